package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"time"
)

// SCTP's handshake by hand (RFC 9260, section 3), on a raw socket: the kernels that tests run on forward SCTP, and most
// have no sockets for it.
const (
	sctpPort          = 9093
	chunkInit         = 1
	chunkInitAck      = 2
	initialTag        = 0x5c1ff001
	sctpInitLength    = 20
	sctpHeaderLength  = 12
	sctpOffsetOfCheck = 8
)

// sctpPacket is a packet with one chunk, an INIT or an INIT ACK.
func sctpPacket(from, to uint16, tag uint32, chunk byte) []byte {
	p := make([]byte, sctpHeaderLength+sctpInitLength)
	binary.BigEndian.PutUint16(p[0:], from)
	binary.BigEndian.PutUint16(p[2:], to)
	binary.BigEndian.PutUint32(p[4:], tag)
	p[12] = chunk
	binary.BigEndian.PutUint16(p[14:], sctpInitLength)
	binary.BigEndian.PutUint32(p[16:], initialTag)
	binary.BigEndian.PutUint32(p[20:], 64<<10)     // window
	binary.BigEndian.PutUint32(p[24:], 1<<16|1)    // streams
	binary.BigEndian.PutUint32(p[28:], 0x01020304) // initial sequence number
	binary.LittleEndian.PutUint32(p[sctpOffsetOfCheck:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}

// answerSCTP acknowledges every INIT to sctpPort. It needs the right to raw sockets, and does nothing without.
func answerSCTP() {
	conn, err := net.ListenPacket("ip4:132", "0.0.0.0")
	if err != nil {
		return
	}
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < sctpHeaderLength+sctpInitLength || buf[12] != chunkInit || binary.BigEndian.Uint16(buf[2:]) != sctpPort {
			continue
		}
		_, _ = conn.WriteTo(sctpPacket(sctpPort, binary.BigEndian.Uint16(buf), binary.BigEndian.Uint32(buf[16:]), chunkInitAck), from)
	}
}

// sctp ADDR: sends an INIT, and prints from where it was acknowledged.
func sctp(args []string) error {
	to, err := net.ResolveTCPAddr("tcp4", args[0]) // a port is a port
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("ip4:132", "0.0.0.0")
	if err != nil {
		return err
	}
	from := uint16(20000 + os.Getpid()%10000)
	if _, err := conn.WriteTo(sctpPacket(from, uint16(to.Port), 0, chunkInit), &net.IPAddr{IP: to.IP}); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, 2048)
	for {
		n, peer, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		if n < sctpHeaderLength+sctpInitLength || buf[12] != chunkInitAck || binary.BigEndian.Uint16(buf[2:]) != from {
			continue
		}
		sum := binary.LittleEndian.Uint32(buf[sctpOffsetOfCheck:])
		copy(buf[sctpOffsetOfCheck:], bytes.Repeat([]byte{0}, 4))
		if crc32.Checksum(buf[:n], crc32.MakeTable(crc32.Castagnoli)) != sum {
			return errors.New("the checksum is wrong")
		}
		fmt.Printf("acknowledged from %s:%d\n", peer, binary.BigEndian.Uint16(buf))
		return nil
	}
}
