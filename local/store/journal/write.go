package journal

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// newSuffix is what a file is called beside path while it is written.
const newSuffix = ".new"

// Writer makes a whole new journal file beside the one that it will replace. It belongs to one goroutine.
type Writer struct {
	path string // of the finished file
	tmp  *os.File
	buf  *bufio.Writer
	hdr  header
	seq  uint32
	size int64
	err  error
	done bool
}

// NewWriter begins a file that will get the name path when Commit succeeds. Until then it is path.new, which an earlier
// interrupted writer may have left and which is replaced.
func NewWriter(path string, format uint32) (*Writer, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("choose journal id: %w", err)
	}
	f, err := os.OpenFile(path+newSuffix, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	w := &Writer{path: path, tmp: f, buf: bufio.NewWriterSize(f, 256<<10), hdr: header{format: format, id: binary.LittleEndian.Uint64(id[:])}}
	w.write(w.hdr.encode())
	return w, nil
}

// Base adds a part of the state. All parts come before the first batch. An error is kept and returned by Commit.
func (w *Writer) Base(payload []byte) { w.frame(kindBase, payload) }

// EndBase closes the base.
func (w *Writer) EndBase() { w.frame(kindBaseEnd, nil) }

// Batch adds a payload as Append would.
func (w *Writer) Batch(payload []byte) { w.frame(kindBatch, payload) }

func (w *Writer) frame(k kind, payload []byte) {
	if len(payload) > MaxPayload {
		w.err = errors.Join(w.err, fmt.Errorf("payload of %d bytes is too large", len(payload)))
		return
	}
	var h [frameHeaderSize]byte
	frameHeader{kind: k, seq: w.seq, length: uint32(len(payload)), crc: crc32.Checksum(payload, castagnoli)}.put(h[:], w.hdr.id)
	w.seq++
	w.write(h[:])
	w.write(payload)
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.buf.Write(b)
	w.size += int64(n)
	w.err = err
}

// flush makes the temporary file durable without giving it its name.
func (w *Writer) flush() error {
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	if w.err == nil {
		w.err = syncData(w.tmp)
	}
	if w.err != nil {
		return fmt.Errorf("write %s: %w", w.tmp.Name(), w.err)
	}
	return nil
}

// Commit syncs the file and gives it its name. On an error, what had the name before still has it.
func (w *Writer) Commit() error {
	defer w.Abort()
	if err := w.flush(); err != nil {
		return err
	}
	return w.rename()
}

// rename closes the file first: Windows renames no open file.
func (w *Writer) rename() error {
	if err := w.tmp.Close(); err != nil {
		return fmt.Errorf("close %s: %w", w.tmp.Name(), err)
	}
	if err := os.Rename(w.tmp.Name(), w.path); err != nil {
		return fmt.Errorf("replace journal: %w", err)
	}
	w.done = true
	return syncDir(w.path)
}

// Abort removes an uncommitted file; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	_ = w.tmp.Close()
	_ = os.Remove(w.tmp.Name())
}
