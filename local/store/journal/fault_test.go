package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
)

// faulty is a file whose operations can fail, and that knows what a power failure could leave of it.
type faulty struct {
	file
	fail func(op string) error // asked before each operation
	// durable is the content at the last sync, and pending what was done since.
	durable []byte
	pending []func([]byte) []byte
}

func (f *faulty) do(op string) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(op)
}

func (f *faulty) WriteAt(b []byte, off int64) (int, error) {
	if err := f.do("write"); err != nil {
		// A full disk takes what fits.
		n, _ := f.file.WriteAt(b[:len(b)/2], off)
		return n, err
	}
	// Sectors reach the disk one by one.
	for i := 0; i < len(b); i += 16 {
		part, at := slices.Clone(b[i:min(i+16, len(b))]), off+int64(i)
		f.pending = append(f.pending, func(c []byte) []byte {
			if need := at + int64(len(part)); int64(len(c)) < need {
				c = append(c, make([]byte, need-int64(len(c)))...)
			}
			copy(c[at:], part)
			return c
		})
	}
	return f.file.WriteAt(b, off)
}

func (f *faulty) Truncate(size int64) error {
	if err := f.do("truncate"); err != nil {
		return err
	}
	f.pending = append(f.pending, func(c []byte) []byte { return c[:min(size, int64(len(c)))] })
	return f.file.Truncate(size)
}

func (f *faulty) Sync() error {
	if err := f.do("sync"); err != nil {
		return err
	}
	for _, p := range f.pending {
		f.durable = p(f.durable)
	}
	f.pending = nil
	return nil
}

// afterPowerFailure returns what may be on the disk: all that was synced, and any of what was not.
func (f *faulty) afterPowerFailure(r *rand.Rand) []byte {
	c := slices.Clone(f.durable)
	keep := r.Float64()
	for _, p := range f.pending {
		if r.Float64() < keep {
			c = p(c)
		}
	}
	return c
}

func makeFaulty(t *testing.T, j *Journal) *faulty {
	t.Helper()
	content, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{file: j.file, durable: content}
	j.file = f
	return f
}

func TestAFailedAppendIsTakenBack(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		t.Run(op, func(t *testing.T) {
			path := testPath(t)
			j, _ := mustOpen(t, path)
			f := makeFaulty(t, j)
			mustAppend(t, j, "a")
			failed := false
			f.fail = func(o string) error {
				if o == op && !failed {
					failed = true
					return syscall.ENOSPC
				}
				return nil
			}
			if err := j.Append([]byte("refused")); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v, want ENOSPC", err)
			}
			if st, err := os.Stat(path); err != nil || st.Size() != j.Size() {
				t.Errorf("the file has %d bytes, want %d: %v", st.Size(), j.Size(), err)
			}
			mustAppend(t, j, "b")
			closed(t, j)
			if got := reopened(t, path); got != "[one two]|[a b]" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// As long as the remains of a failed write can't be cut off, nothing may be written behind them.
func TestNothingIsAppendedBehindWhatCanNotBeCutOff(t *testing.T) {
	path := testPath(t)
	j, _ := mustOpen(t, path)
	f := makeFaulty(t, j)
	mustAppend(t, j, "a")
	f.fail = func(string) error { return syscall.EIO }
	for range 3 {
		if err := j.Append([]byte("refused")); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v, want EIO", err)
		}
	}
	f.fail = func(op string) error {
		if op == "truncate" {
			return syscall.EIO
		}
		return nil
	}
	if err := j.Append([]byte("refused")); !errors.Is(err, ErrBroken) {
		t.Fatalf("got %v, want ErrBroken", err)
	}
	f.fail = nil
	mustAppend(t, j, "b")
	closed(t, j)
	if got := reopened(t, path); got != "[one two]|[a b]" {
		t.Errorf("got %s", got)
	}
}

// The power fails at random moments, and of what was not synced any sector may be on the disk or not; the note of what was
// acknowledged is of any time before. Whatever was acknowledged is there, of the write under way all or nothing.
func TestPowerFailure(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	path := testPath(t)
	for round := range 300 {
		_ = os.Remove(path)
		_ = os.Remove(markPath(path))
		j, _ := mustOpen(t, path)
		f := makeFaulty(t, j)
		notes := []noted{j.mark.read()}
		acked := []string{}
		for i := range r.IntN(5) {
			p := fmt.Sprintf("%d-%s", i, make([]byte, r.IntN(200)))
			mustAppend(t, j, p)
			acked, notes = append(acked, p), append(notes, j.mark.read())
		}
		// The last append fails because there is no power any more. What would take it back fails too, or not.
		dead, last := false, fmt.Sprintf("last-%s", make([]byte, r.IntN(200)))
		undone := r.IntN(2) == 0
		f.fail = func(op string) error {
			dead = dead || op == "sync" && r.IntN(3) > 0 || op == "truncate" && !undone
			if dead {
				return syscall.EIO
			}
			return nil
		}
		if err := j.Append([]byte(last)); err == nil {
			acked = append(acked, last)
		}
		image := f.afterPowerFailure(r)
		j.mark.write(notes[r.IntN(len(notes))])
		f.fail = nil
		f.file.Close()
		if err := j.mark.release(); err != nil {
			t.Fatal(err)
		}
		rewriteFile(t, path, image)

		j, h, err := openTest(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		closed(t, j)
		if !slices.Equal(h.batches, acked) && !slices.Equal(h.batches, append(acked, last)) {
			t.Fatalf("round %d: %q is there, %q was acknowledged", round, h.batches, acked)
		}
	}
}
