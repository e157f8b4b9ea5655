//go:build linux

package relay

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// socketPatience is how long the connector waits for a relay that is just starting.
const socketPatience = 5 * time.Second

// Connect gives standard input and output to the relay, waits until either of them ends, and returns the exit code. The
// daemon runs it with an exec in the relay container: its session with the relay then starts and ends with it.
func Connect(args []string, stdin *os.File, stdout *os.File, stderr io.Writer) int {
	flags := flag.NewFlagSet("connect", flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := flags.String("socket", relayproto.Socket, "unix `socket` of the relay")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	conn, err := dialSocket(*socket)
	if err == nil {
		err = handOver(conn, stdin, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "connect: reach the relay: %v\n", err)
		return 1
	}
	io.Copy(io.Discard, conn)
	return 0
}

func dialSocket(socket string) (*net.UnixConn, error) {
	deadline := time.Now().Add(socketPatience)
	for {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}
