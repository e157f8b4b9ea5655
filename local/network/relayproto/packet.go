package relayproto

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// maxPacket is the largest UDP payload.
const maxPacket = 65507

// A PacketConn gives a stream the message boundaries of UDP: each Write is one packet, each Read returns one.
type PacketConn struct {
	net.Conn
}

// Write sends p as one packet.
func (c PacketConn) Write(p []byte) (int, error) {
	if len(p) > maxPacket {
		return 0, fmt.Errorf("packet of %d bytes is over the limit of UDP", len(p))
	}
	frame := make([]byte, 2, 2+len(p))
	binary.BigEndian.PutUint16(frame, uint16(len(p)))
	if _, err := c.Conn.Write(append(frame, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read returns one packet; what does not fit into p is lost, as with a UDP socket.
func (c PacketConn) Read(p []byte) (int, error) {
	var head [2]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	fits := min(n, len(p))
	if _, err := io.ReadFull(c.Conn, p[:fits]); err != nil {
		return 0, err
	}
	_, err := io.CopyN(io.Discard, c.Conn, int64(n-fits))
	return fits, err
}
