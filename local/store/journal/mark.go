package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/gofrs/flock"
)

// markOffset leaves the first bytes alone: the lock is on byte 0, and on Windows nobody can read or write a locked byte.
const (
	markOffset = 16
	markSize   = 20
)

// mark is the lock on a journal and the note of how much of it was acknowledged, both in the file <journal>.lock.
type mark struct {
	lock *flock.Flock
	file *os.File
	buf  [markSize]byte
}

// noted is what a mark says: of the journal with this id, length bytes were acknowledged.
type noted struct {
	id     uint64
	length int64
}

func markPath(path string) string { return path + ".lock" }

// lockMark takes the lock without waiting.
func lockMark(path string) (*mark, error) {
	l := flock.New(markPath(path), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", markPath(path), err)
	}
	if !ok {
		return nil, fmt.Errorf("%s: %w by another process, which holds the lock %s", path, ErrInUse, markPath(path))
	}
	f, err := os.OpenFile(markPath(path), os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open mark: %w", err), l.Unlock())
	}
	return &mark{lock: l, file: f}, nil
}

// read returns the zero value where there is no valid mark: it is a witness, its absence proves nothing.
func (m *mark) read() noted {
	n, _ := readMark(m.file)
	return n
}

func readMark(r io.ReaderAt) (noted, error) {
	var b [markSize]byte
	if _, err := r.ReadAt(b[:], markOffset); err != nil {
		return noted{}, err
	}
	if binary.LittleEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return noted{}, errors.New("the mark's checksum does not match")
	}
	return noted{id: binary.LittleEndian.Uint64(b[0:]), length: int64(binary.LittleEndian.Uint64(b[8:]))}, nil
}

// write does not sync, see the package comment. A mark that could not be written stays behind, which is safe.
func (m *mark) write(n noted) {
	b := m.buf[:]
	binary.LittleEndian.PutUint64(b[0:], n.id)
	binary.LittleEndian.PutUint64(b[8:], uint64(n.length))
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	_, _ = m.file.WriteAt(b, markOffset)
}

// release leaves the file: removing it would let two processes hold locks on two files of one name.
func (m *mark) release() error {
	return errors.Join(m.file.Close(), m.lock.Unlock())
}

// Lock holds the journal at path, which must not be open, until the returned function is called. It is for replacing the
// file by a new Writer's: what was noted of the old file's length does not concern a new one.
func Lock(path string) (unlock func() error, err error) {
	m, err := lockMark(path)
	if err != nil {
		return nil, err
	}
	return m.release, nil
}
