package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// file is what a journal does with its file while it is open; tests lose power and fill disks there.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// diskFile is the real one.
type diskFile struct{ *os.File }

func (f diskFile) Sync() error { return syncData(f.File) }

func openFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return diskFile{f}, nil
}

// Journal is an open journal file. Its methods belong to one goroutine at a time.
type Journal struct {
	path  string
	file  file
	mark  *mark
	hdr   header
	seq   uint32
	size  int64 // acknowledged length; the file is longer only while or after an append fails
	dirty bool  // a failed append may have left bytes after size
	named bool  // the directory entry that leads to the file is durable
	buf   []byte
	torn  int64
	last  time.Duration
}

// Open opens the journal at path, holding it exclusively, and hands what it holds to h. A file that does not exist
// is made, with the given format and what create writes as its base; a file that is gone although its mark says that
// something was stored in it is damage.
func Open(path string, format uint32, create func(*Writer), h Handler) (*Journal, error) {
	m, err := lockMark(path)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, mark: m}
	if err := j.open(format, create, h); err != nil {
		if j.file != nil {
			_ = j.file.Close()
		}
		return nil, errors.Join(err, m.release())
	}
	return j, nil
}

func (j *Journal) open(format uint32, create func(*Writer), h Handler) error {
	acked := j.mark.read()
	st, err := os.Stat(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		if acked.length > 0 {
			return &DamageError{Path: j.path, Reason: fmt.Sprintf("the file is gone, but %d bytes had been acknowledged", acked.length)}
		}
		if err := j.create(format, create); err != nil {
			return err
		}
		st, err = os.Stat(j.path)
	}
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if j.file, err = openFile(j.path); err != nil {
		return err
	}
	c, err := read(j.path, j.file, st.Size(), acked, h)
	if err != nil {
		return err
	}
	_ = os.Remove(j.path + newSuffix) // an interrupted Writer's; nothing refers to it
	j.hdr, j.seq, j.size, j.torn = c.hdr, c.seq, c.good, c.torn
	// What was read may so far only be in the page cache, if the last process was killed between write and sync. From
	// here on it counts as acknowledged: readers see it.
	j.dirty = c.torn > 0
	if err := j.repair(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	j.note()
	return nil
}

func (j *Journal) create(format uint32, create func(*Writer)) error {
	w, err := NewWriter(j.path, format)
	if err != nil {
		return err
	}
	create(w)
	w.EndBase()
	return w.Commit()
}

// Append stores a payload. When it returns nil the payload is durable; on an error it is not stored, and the journal
// can be used on.
func (j *Journal) Append(payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("append to %s: payload of %d bytes is too large", j.path, len(payload))
	}
	if err := j.repair(); err != nil {
		return fmt.Errorf("append to %s: %w: %w", j.path, ErrBroken, err)
	}
	b := appendFrame(j.buf[:0], kindBatch, j.seq, payload, j.hdr.id)
	if cap(b) <= 1<<20 {
		j.buf = b // a large batch shall not hold its memory for good
	}
	start := time.Now()
	j.dirty = true
	if _, err := j.file.WriteAt(b, j.size); err != nil {
		return j.undo(err)
	}
	if err := j.file.Sync(); err != nil {
		return j.undo(err)
	}
	j.dirty = false
	j.last = time.Since(start)
	j.size += int64(len(b))
	j.seq++
	j.note()
	return nil
}

// undo takes back a failed append at once, so that a crash leaves no write behind that was refused.
func (j *Journal) undo(err error) error {
	err = fmt.Errorf("append to %s: %w", j.path, err)
	if rerr := j.repair(); rerr != nil {
		return errors.Join(err, rerr)
	}
	return err
}

// repair does what must be done before something can be acknowledged: it cuts off what is not. After a failed sync nobody knows what of the pages reached the disk; cutting
// and writing them anew does not depend on it.
func (j *Journal) repair() error {
	if !j.named {
		if err := syncDir(j.path); err != nil {
			return err
		}
		j.named = true
	}
	if !j.dirty {
		return nil
	}
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("cut off unacknowledged bytes: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync after cutting off unacknowledged bytes: %w", err)
	}
	j.dirty = false
	return nil
}

func (j *Journal) note() { j.mark.write(noted{id: j.hdr.id, length: j.size}) }

// Size returns the file's acknowledged length in bytes.
func (j *Journal) Size() int64 { return j.size }

// Torn returns how many bytes of an unacknowledged write Open cut off.
func (j *Journal) Torn() int64 { return j.torn }

// LastWrite returns how long the last append took, write and sync together.
func (j *Journal) LastWrite() time.Duration { return j.last }

// Replace puts a file that w wrote in place of the journal. It first adds all batches that were appended after the
// journal had the length since. w must have closed its base. On an error the journal goes on with its old file.
func (j *Journal) Replace(w *Writer, since int64) error {
	defer w.Abort()
	if err := j.copyBatches(w, since); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	// Windows renames onto no open file.
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	err := w.rename()
	f, oerr := openFile(j.path)
	if oerr != nil {
		// Appends fail on the closed file from here on, and say so; nothing acknowledged is lost.
		return errors.Join(err, oerr)
	}
	j.file = f
	if err != nil && !w.done {
		return err
	}
	// Nothing may be acknowledged in a file whose name a power failure could take back: see repair.
	j.hdr, j.seq, j.size, j.dirty, j.named = w.hdr, w.seq, w.size, false, err == nil
	j.note()
	return err
}

func (j *Journal) copyBatches(w *Writer, since int64) error {
	r := newReader(j.path, j.file, since, j.size)
	r.hdr = j.hdr
	for r.off < r.size {
		h, payload, err := r.frame(anySeq)
		if err != nil {
			return r.damage("%v", err)
		}
		w.frame(h.kind, payload)
		r.off += frameHeaderSize + int64(len(payload))
	}
	return nil
}

// Close releases the file and the lock.
func (j *Journal) Close() error {
	return errors.Join(j.repair(), j.file.Close(), j.mark.release())
}
