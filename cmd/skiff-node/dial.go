//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// dial connects standard input and output to an address as the container sees it. Port-forwarding uses it for servers
// that listen on a pod's loopback only, which nothing outside of the pod can reach.
func dial(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: skiff-node dial host:port…")
		return 2
	}
	var conn net.Conn
	var err error
	for _, addr := range args {
		if conn, err = net.DialTimeout("tcp", addr, 5*time.Second); err == nil {
			break
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}
