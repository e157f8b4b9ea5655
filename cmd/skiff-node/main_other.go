//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "skiff-node runs inside Linux containers only")
	os.Exit(2)
}
