package journal

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// Handler receives what a journal holds, in order. A payload is only valid during the call. An error that a handler
// returns means that the payload, though whole, makes no sense: it is reported as damage.
type Handler struct {
	// Format is asked first, with the file's format; an error ends the reading and is returned as it is.
	Format func(format uint32) error
	Base   func(payload []byte) error
	// EndBase is called between the base and the batches.
	EndBase func() error
	Batch   func(payload []byte) error
}

// contents is what reading a file showed.
type contents struct {
	hdr  header
	seq  uint32 // of the next frame
	good int64  // length of the readable part
	torn int64  // bytes after it, of a write that was never acknowledged
}

// Read reads a journal that is not open, for instance a copy, without changing it.
func Read(path string, h Handler) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat journal: %w", err)
	}
	c, err := read(path, f, st.Size(), noted{}, h)
	if err == nil && c.torn > 0 {
		return &DamageError{Path: path, Offset: c.good, Reason: "the last frame is incomplete"}
	}
	return err
}

// anySeq stands for whatever number a frame has.
const anySeq = -1

// errMisplaced is the reason of a frame that is whole, but not the next one: no interrupted write leaves that.
var errMisplaced = errors.New("is in the place of frame")

// reader reads one frame after the other.
type reader struct {
	path string
	file io.ReaderAt
	in   *bufio.Reader
	off  int64 // where the next frame begins
	size int64
	hdr  header
	buf  []byte
}

func newReader(path string, f io.ReaderAt, from, size int64) *reader {
	return &reader{path: path, file: f, in: bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), 256<<10), off: from, size: size}
}

func (r *reader) damage(format string, args ...any) error {
	return &DamageError{Path: r.path, Offset: r.off, Reason: fmt.Sprintf(format, args...)}
}

func read(path string, f io.ReaderAt, size int64, acked noted, h Handler) (contents, error) {
	r := newReader(path, f, 0, size)
	if err := r.header(h); err != nil {
		return contents{}, err
	}
	c := contents{hdr: r.hdr}
	if acked.id != r.hdr.id {
		acked.length = 0
	}
	for inBase := true; inBase || r.off < r.size; c.seq++ {
		fh, payload, reason := r.frame(int64(c.seq))
		if reason != nil {
			if err := r.checkTorn(reason, inBase, acked.length); err != nil {
				return contents{}, err
			}
			c.good, c.torn = r.off, r.size-r.off
			return c, nil
		}
		if err := deliver(h, fh.kind, inBase, payload); err != nil {
			return contents{}, r.damage("%v", err)
		}
		inBase = inBase && fh.kind == kindBase
		r.off += frameHeaderSize + int64(len(payload))
	}
	if c.good = r.off; c.good < acked.length {
		return contents{}, r.damage("the file ends there, but %d bytes had been acknowledged", acked.length)
	}
	return c, nil
}

func (r *reader) header(h Handler) error {
	b := make([]byte, min(headerSize, r.size))
	if _, err := io.ReadFull(r.in, b); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	hdr, err := decodeHeader(b)
	if err != nil {
		return r.damage("%v", err)
	}
	r.hdr, r.off = hdr, headerSize
	return h.Format(hdr.format)
}

// frame reads the frame at r.off. The error is the reason why there is none, not a failure to read.
func (r *reader) frame(seq int64) (frameHeader, []byte, error) {
	var b [frameHeaderSize]byte
	if r.size-r.off < frameHeaderSize {
		return frameHeader{}, nil, errors.New("the file ends within a frame")
	}
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return frameHeader{}, nil, fmt.Errorf("a frame's header can't be read: %w", err)
	}
	h, ok := parseFrameHeader(b[:], r.hdr.id)
	switch {
	case !ok:
		return h, nil, errors.New("there is no valid frame header")
	case seq != anySeq && int64(h.seq) != seq:
		return h, nil, fmt.Errorf("frame %d %w %d", h.seq, errMisplaced, seq)
	case int64(h.length) > r.size-r.off-frameHeaderSize:
		return h, nil, errors.New("the file ends within a frame")
	}
	if cap(r.buf) < int(h.length) {
		r.buf = make([]byte, h.length, h.length+h.length/4)
	}
	p := r.buf[:h.length]
	if _, err := io.ReadFull(r.in, p); err != nil {
		return h, nil, fmt.Errorf("a frame can't be read: %w", err)
	}
	if crc32.Checksum(p, castagnoli) != h.crc {
		return h, nil, errors.New("a frame's checksum does not match")
	}
	return h, p, nil
}

// checkTorn returns nil if the unreadable frame at r.off can be the remains of a write that was never acknowledged.
func (r *reader) checkTorn(reason error, inBase bool, acked int64) error {
	if inBase || r.off < acked || errors.Is(reason, errMisplaced) {
		return r.damage("%v", reason)
	}
	rest, err := io.ReadAll(io.NewSectionReader(r.file, r.off+1, r.size-r.off-1))
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	if hasFrame(rest, r.hdr.id) {
		return r.damage("%v, although more was written after it", reason)
	}
	return nil
}

func deliver(h Handler, k kind, inBase bool, payload []byte) error {
	switch {
	case inBase && k == kindBase:
		return h.Base(payload)
	case inBase && k == kindBaseEnd && len(payload) == 0:
		return h.EndBase()
	case !inBase && k == kindBatch:
		return h.Batch(payload)
	}
	return fmt.Errorf("a frame of kind %d is out of place", k)
}
