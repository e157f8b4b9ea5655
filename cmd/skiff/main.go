// Command skiff is a local Kubernetes on the Docker Engine you already have.
package main

import (
	"os"

	"skiff.local/skiff/cmd/cli"
	"skiff.local/skiff/local/client"
)

// version is stamped by the linker (see the Makefile).
var version = client.Unstamped

func main() { os.Exit(cli.Main(os.Args[1:], version)) }
