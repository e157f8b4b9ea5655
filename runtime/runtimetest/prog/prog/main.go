//go:build linux

// Command prog is the static binary form of package prog.
package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"skiff.local/skiff/runtime/runtimetest/prog"
)

func main() {
	names := map[os.Signal]string{
		syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1",
	}
	received := make(chan os.Signal, 8)
	signal.Notify(received, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	signals := make(chan string, 8)
	go func() {
		for s := range received {
			signals <- names[s]
		}
	}()
	os.Exit(prog.Run(context.Background(), prog.Proc{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Signals: signals, ReadFile: os.ReadFile,
		WriteFile: func(name string, data []byte) error { return os.WriteFile(name, data, 0o644) },
		Spawn: func(args ...string) error {
			return exec.Command("/proc/self/exe", args...).Start()
		},
	}))
}
