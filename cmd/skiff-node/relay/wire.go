//go:build linux

package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A wire is the standard input and output of a connector. The relay reads and writes them itself: a connector that copied
// between them and the socket would be one more process to wake for all that comes and goes.
type wire struct {
	in, out *os.File
	conn    *net.UnixConn // stays open for as long as the connector lives
}

// handOver gives a connector's standard input and output to the relay at the other end of conn.
func handOver(conn *net.UnixConn, stdin, stdout *os.File) error {
	rights := unix.UnixRights(int(stdin.Fd()), int(stdout.Fd()))
	if _, _, err := conn.WriteMsgUnix([]byte{0}, rights, nil); err != nil {
		return fmt.Errorf("hand over standard input and output: %w", err)
	}
	return nil
}

// takeOver waits for what handOver sends. The wire closes itself when the connector ends.
func takeOver(conn *net.UnixConn) (*wire, error) {
	oob := make([]byte, unix.CmsgSpace(2*4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, fmt.Errorf("take over a connector's input and output: %w", err)
	}
	fds, err := rightsOf(oob[:n])
	if err != nil {
		return nil, fmt.Errorf("take over a connector's input and output: %w", err)
	}
	for _, fd := range fds {
		// Or the runtime would not let a Close end a Read.
		unix.SetNonblock(fd, true)
	}
	w := &wire{in: os.NewFile(uintptr(fds[0]), "connector's input"), out: os.NewFile(uintptr(fds[1]), "connector's output"), conn: conn}
	go func() {
		io.Copy(io.Discard, conn)
		w.Close()
	}()
	return w, nil
}

// rightsOf returns the two descriptors of a control message.
func rightsOf(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errors.New("it sent none")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err == nil && len(fds) != 2 {
		err = fmt.Errorf("it sent %d of 2", len(fds))
	}
	return fds, err
}

func (w *wire) Read(p []byte) (int, error)  { return w.in.Read(p) }
func (w *wire) Write(p []byte) (int, error) { return w.out.Write(p) }

// Close ends the connector, too.
func (w *wire) Close() error { return errors.Join(w.in.Close(), w.out.Close(), w.conn.Close()) }
