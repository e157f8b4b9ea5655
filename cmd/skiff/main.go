// Command skiff is a local Kubernetes on the Docker Engine you already have.
package main

import (
	"os"

	"skiff.local/skiff/cmd/cli"
)

// version is stamped by the linker (see the Makefile).
var version = "0.1.0-dev"

func main() { os.Exit(cli.Main(os.Args[1:], version)) }
