//go:build linux

package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"skiff.local/skiff/cmd/skiff-node/agent"
)

// pause holds a pod's namespaces open: it reaps the orphans that a shared PID namespace hands to its first process and
// leaves at once when asked, since nothing in it needs saving. Meanwhile it serves the node's file work on the pod's
// volumes over standard input. With a directory as its argument it takes that for the root of the file system, so that
// absolute links below it lead where they would lead there.
func pause(args []string) int {
	if len(args) > 0 {
		if err := syscall.Chroot(args[0]); err != nil {
			fmt.Fprintln(os.Stderr, "pause:", args[0], err)
			return 1
		}
		if err := os.Chdir("/"); err != nil {
			return 1
		}
	}
	signals := make(chan os.Signal, 8)
	// SIGHUP comes with a lost terminal and must not end a pod.
	signal.Ignore(syscall.SIGHUP)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	go agent.Serve(os.Stdin, os.Stdout, func() { os.Exit(0) })
	for sig := range signals {
		if sig != syscall.SIGCHLD {
			return 0
		}
		reap()
	}
	return 0
}

// reap collects every child that has ended: one SIGCHLD may stand for many.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
