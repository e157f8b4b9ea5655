package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// held is what a test journal holds.
type held struct {
	format  uint32
	base    []string
	ended   bool
	batches []string
}

func (h *held) handler() Handler {
	return Handler{
		Format:  func(f uint32) error { h.format = f; return nil },
		Base:    func(p []byte) error { h.base = append(h.base, string(p)); return nil },
		EndBase: func() error { h.ended = true; return nil },
		Batch:   func(p []byte) error { h.batches = append(h.batches, string(p)); return nil },
	}
}

func (h *held) String() string { return fmt.Sprintf("%v|%v", h.base, h.batches) }

func writeTestBase(w *Writer) {
	w.Base([]byte("one"))
	w.Base([]byte("two"))
}

func openTest(path string) (*Journal, *held, error) {
	h := &held{}
	j, err := Open(path, 7, writeTestBase, h.handler())
	return j, h, err
}

func mustOpen(t *testing.T, path string) (*Journal, *held) {
	t.Helper()
	j, h, err := openTest(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, h
}

func mustAppend(t *testing.T, j *Journal, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := j.Append([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

func closed(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// reopened returns what the journal holds.
func reopened(t *testing.T, path string) string {
	t.Helper()
	j, h := mustOpen(t, path)
	closed(t, j)
	if h.format != 7 || !h.ended {
		t.Errorf("format %d, base ended: %v", h.format, h.ended)
	}
	return h.String()
}

func testPath(t *testing.T) string { return filepath.Join(t.TempDir(), "j") }

func TestAppendedPayloadsAreThereAgain(t *testing.T) {
	path := testPath(t)
	j, _ := mustOpen(t, path)
	mustAppend(t, j, "a", "", "c")
	closed(t, j)
	j, h := mustOpen(t, path)
	if got := h.String(); got != "[one two]|[a  c]" {
		t.Errorf("got %s", got)
	}
	mustAppend(t, j, "d")
	closed(t, j)
	if got := reopened(t, path); got != "[one two]|[a  c d]" {
		t.Errorf("got %s", got)
	}
}

func TestAJournalIsOpenOnceAtATime(t *testing.T) {
	path := testPath(t)
	j, _ := mustOpen(t, path)
	if _, _, err := openTest(path); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	closed(t, j)
	j, _ = mustOpen(t, path)
	closed(t, j)
}

// forget removes the note of what was acknowledged, as a power failure may do.
func forget(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(markPath(path), 0); err != nil {
		t.Fatal(err)
	}
}

// written returns a journal of a base and three batches, and where each frame of a batch ends; the first is the end of
// the base.
func written(t *testing.T, path string) (content []byte, ends []int64) {
	t.Helper()
	j, _ := mustOpen(t, path)
	ends = append(ends, j.Size())
	for _, p := range []string{"first", "second", strings.Repeat("third", 20)} {
		mustAppend(t, j, p)
		ends = append(ends, j.Size())
	}
	closed(t, j)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, ends
}

func rewriteFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFlippedBitAnywhereIsRecognised(t *testing.T) {
	path := testPath(t)
	content, _ := written(t, path)
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1 << (i % 8)
		rewriteFile(t, path, changed)
		var damage *DamageError
		if _, h, err := openTest(path); !errors.As(err, &damage) {
			t.Fatalf("a bit of byte %d flipped: opened with %s, error %v", i, h, err)
		}
	}
	rewriteFile(t, path, content)
	reopened(t, path) // a failed open changes nothing
}

func TestAMissingEndIsRecognised(t *testing.T) {
	path := testPath(t)
	content, _ := written(t, path)
	for n := range content {
		rewriteFile(t, path, content[:n])
		var damage *DamageError
		if _, h, err := openTest(path); !errors.As(err, &damage) {
			t.Fatalf("cut to %d bytes: opened with %s, error %v", n, h, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if _, _, err := openTest(path); !errors.As(err, &damage) {
		t.Fatalf("file removed: error %v", err)
	}
}

func TestExchangedOrRepeatedFramesAreRecognised(t *testing.T) {
	path := testPath(t)
	content, ends := written(t, path)
	part := func(i int) []byte { return content[ends[i-1]:ends[i]] }
	for name, changed := range map[string][][]byte{
		"exchanged": {content[:ends[0]], part(2), part(1), part(3)},
		"repeated":  {content[:ends[0]], part(1), part(1), part(2), part(3)},
		"left out":  {content[:ends[0]], part(1), part(3)},
	} {
		forget(t, path)
		rewriteFile(t, path, bytes.Join(changed, nil))
		var damage *DamageError
		if _, h, err := openTest(path); !errors.As(err, &damage) {
			t.Errorf("%s: opened with %s, error %v", name, h, err)
		}
	}
}

// Only what nobody was told to be stored may be cut off silently: without the note, that is the last frame at most.
func TestAnInterruptedLastWriteIsCutOff(t *testing.T) {
	path := testPath(t)
	content, ends := written(t, path)
	for n := ends[2]; n < ends[3]; n += 7 {
		for _, tail := range [][]byte{nil, make([]byte, 40), bytes.Repeat([]byte{0xa5}, 100)} {
			forget(t, path)
			rewriteFile(t, path, append(bytes.Clone(content[:n]), tail...))
			j, h := mustOpen(t, path)
			if got := h.String(); got != "[one two]|[first second]" {
				t.Fatalf("cut to %d bytes and %d others: got %s", n, len(tail), got)
			}
			if want := n - ends[2] + int64(len(tail)); j.Torn() != want {
				t.Errorf("cut to %d bytes: %d bytes are said to have been cut off, want %d", n, j.Torn(), want)
			}
			mustAppend(t, j, "next")
			closed(t, j)
			if got := reopened(t, path); got != "[one two]|[first second next]" {
				t.Fatalf("after another append: got %s", got)
			}
		}
	}
}

// A base gets its name when it is complete, so there is no innocent reason for an incomplete one.
func TestAnIncompleteBaseIsDamage(t *testing.T) {
	path := testPath(t)
	content, ends := written(t, path)
	for n := range ends[0] {
		forget(t, path)
		rewriteFile(t, path, content[:n])
		var damage *DamageError
		if _, _, err := openTest(path); !errors.As(err, &damage) {
			t.Fatalf("cut to %d bytes: error %v", n, err)
		}
	}
}

func TestAPayloadThatMakesNoSenseIsDamage(t *testing.T) {
	path := testPath(t)
	written(t, path)
	nonsense := errors.New("nonsense")
	h := (&held{}).handler()
	h.Batch = func([]byte) error { return nonsense }
	var damage *DamageError
	if _, err := Open(path, 7, writeTestBase, h); !errors.As(err, &damage) || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}

func TestAFormatThatIsNotKnownIsLeftAlone(t *testing.T) {
	path := testPath(t)
	written(t, path)
	h := (&held{}).handler()
	h.Format = func(f uint32) error { return &FormatError{Path: path, Format: f} }
	var format *FormatError
	if _, err := Open(path, 8, writeTestBase, h); !errors.As(err, &format) || format.Format != 7 {
		t.Errorf("got %v", err)
	}
	reopened(t, path)
}

func TestReplaceKeepsWhatWasAppendedMeanwhile(t *testing.T) {
	for name, meanwhile := range map[string][]string{"nothing": nil, "two": {"b", "c"}} {
		t.Run(name, func(t *testing.T) {
			path := testPath(t)
			j, _ := mustOpen(t, path)
			mustAppend(t, j, "a")
			since := j.Size()
			w, err := NewWriter(path, 7)
			if err != nil {
				t.Fatal(err)
			}
			w.Base([]byte("one two a"))
			w.EndBase()
			mustAppend(t, j, meanwhile...)
			if err := j.Replace(w, since); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, j, "z")
			closed(t, j)
			want := fmt.Sprintf("[one two a]|%v", append(meanwhile, "z"))
			if got := reopened(t, path); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestAFailedReplaceLeavesTheJournalAsItWas(t *testing.T) {
	path := testPath(t)
	j, _ := mustOpen(t, path)
	mustAppend(t, j, "a")
	w, err := NewWriter(path, 7)
	if err != nil {
		t.Fatal(err)
	}
	w.EndBase()
	w.err = errors.New("full")
	if err := j.Replace(w, j.Size()); err == nil {
		t.Error("no error")
	}
	mustAppend(t, j, "b")
	closed(t, j)
	if got := reopened(t, path); got != "[one two]|[a b]" {
		t.Errorf("got %s", got)
	}
	if _, err := os.Stat(path + newSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new file is left: %v", err)
	}
}

// Read has no note of what was acknowledged, and reads copies that were completed: nothing may be missing.
func TestReadWantsAllOfACopy(t *testing.T) {
	path := testPath(t)
	content, ends := written(t, path)
	other := path + ".copy"
	for _, n := range []int64{int64(len(content)), ends[3] - 1, ends[2] + 1, ends[0] - 1} {
		rewriteFile(t, other, content[:n])
		h := &held{}
		err := Read(other, h.handler())
		var damage *DamageError
		if whole := n == int64(len(content)); whole != (err == nil) || !whole && !errors.As(err, &damage) {
			t.Errorf("%d of %d bytes: error %v", n, len(content), err)
		}
	}
}
