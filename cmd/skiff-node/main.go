//go:build linux

package main

import (
	"fmt"
	"os"

	"skiff.local/skiff/cmd/skiff-node/hello"
	"skiff.local/skiff/cmd/skiff-node/policy"
	"skiff.local/skiff/cmd/skiff-node/relay"
)

// version is stamped by the linker (-X main.version=…).
var version = "dev"

// A command runs one of the binary's jobs with the arguments after its name and returns the exit code.
type command func(args []string) int

func commands() map[string]command {
	return map[string]command{
		"pause": pause,
		"kill":  kill,
		"dial":  dial,
		"relay": func(args []string) int { return relay.Main(args, os.Stderr) },
		"connect": func(args []string) int {
			return relay.Connect(args, os.Stdin, os.Stdout, os.Stderr)
		},
		"policy": func([]string) int {
			if err := policy.Serve(os.Stdin, os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, "policy:", err)
				return 1
			}
			return 0
		},
		"hello": func(args []string) int { return hello.Main(args, os.Getenv, os.Stdout, os.Stderr) },
		"version": func([]string) int {
			fmt.Println(version)
			return 0
		},
	}
}

func main() {
	if len(os.Args) < 2 {
		os.Exit(usage())
	}
	run, ok := commands()[os.Args[1]]
	if !ok {
		os.Exit(usage())
	}
	os.Exit(run(os.Args[2:]))
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: skiff-node pause | relay [flags] | connect [flags] | hello [flags] | version")
	return 2
}
