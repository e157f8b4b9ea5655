package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	fileMagic  = "skiff\x00j\n"
	headerSize = 32

	frameMagic      = 0x4d465253 // "SRFM" in the file
	frameHeaderSize = 24

	// MaxPayload bounds one payload (chosen): far above what one group commit gathers, low enough that a damaged length
	// can't ask for all memory.
	MaxPayload = 256 << 20
)

// castagnoli is the polynomial that amd64 and arm64 compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type kind uint8

const (
	kindBase    kind = 1 // a part of the state at the journal's start
	kindBaseEnd kind = 2 // closes the base; empty
	kindBatch   kind = 3 // an acknowledged append
)

// header is the first thing in a journal file.
//
//	magic 8 | format 4 | reserved 4 | id 8 | reserved 4 | crc 4
type header struct {
	format uint32
	id     uint64 // random per file: a mark, or a frame, of another file never fits
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, fileMagic)
	binary.LittleEndian.PutUint32(b[8:], h.format)
	binary.LittleEndian.PutUint64(b[16:], h.id)
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	return b
}

func decodeHeader(b []byte) (header, error) {
	switch {
	case len(b) < headerSize:
		return header{}, fmt.Errorf("the file has %d bytes, less than its header", len(b))
	case string(b[:8]) != fileMagic:
		return header{}, fmt.Errorf("the file does not start as a journal does")
	case binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli):
		return header{}, fmt.Errorf("the checksum of the file's header does not match")
	}
	return header{format: binary.LittleEndian.Uint32(b[8:]), id: binary.LittleEndian.Uint64(b[16:])}, nil
}

// frameHeader precedes each payload.
//
//	magic 4 | kind 1 | reserved 3 | sequence 4 | payload length 4 | payload crc 4 | header crc 4
//
// The header's checksum starts from the file's id, so a frame that was copied from another journal does not pass.
type frameHeader struct {
	kind   kind
	seq    uint32
	length uint32
	crc    uint32
}

func (f frameHeader) put(b []byte, id uint64) {
	binary.LittleEndian.PutUint32(b, frameMagic)
	b[4], b[5], b[6], b[7] = byte(f.kind), 0, 0, 0
	binary.LittleEndian.PutUint32(b[8:], f.seq)
	binary.LittleEndian.PutUint32(b[12:], f.length)
	binary.LittleEndian.PutUint32(b[16:], f.crc)
	binary.LittleEndian.PutUint32(b[20:], headerSum(b, id))
}

// appendFrame appends a whole frame.
func appendFrame(b []byte, k kind, seq uint32, payload []byte, id uint64) []byte {
	var h [frameHeaderSize]byte
	frameHeader{kind: k, seq: seq, length: uint32(len(payload)), crc: crc32.Checksum(payload, castagnoli)}.put(h[:], id)
	return append(append(b, h[:]...), payload...)
}

func headerSum(b []byte, id uint64) uint32 {
	return crc32.Update(uint32(id)^uint32(id>>32), castagnoli, b[:20])
}

// parseFrameHeader reports whether b starts with the header of a frame of the file with this id.
func parseFrameHeader(b []byte, id uint64) (frameHeader, bool) {
	if len(b) < frameHeaderSize || binary.LittleEndian.Uint32(b) != frameMagic || binary.LittleEndian.Uint32(b[20:]) != headerSum(b, id) {
		return frameHeader{}, false
	}
	f := frameHeader{
		kind:   kind(b[4]),
		seq:    binary.LittleEndian.Uint32(b[8:]),
		length: binary.LittleEndian.Uint32(b[12:]),
		crc:    binary.LittleEndian.Uint32(b[16:]),
	}
	return f, f.length <= MaxPayload
}

// hasFrame reports whether a frame header of the file with this id begins anywhere in b.
func hasFrame(b []byte, id uint64) bool {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	for {
		i := bytes.Index(b, magic[:])
		if i < 0 {
			return false
		}
		if _, ok := parseFrameHeader(b[i:], id); ok {
			return true
		}
		b = b[i+1:]
	}
}
