package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"skiff.local/skiff/local/store/journal"
)

// closedStore returns the options of a store with some objects that was closed, and one write after its copy.
func closedStore(t *testing.T) Options {
	t.Helper()
	s := openTest(t, func(o *Options) { o.RestoreCommand = "skiff store restore" })
	for i := range 20 {
		put(t, s, fmt.Sprintf("/d/%02d", i), strings.Repeat("v", i*10))
	}
	s = reopen(t, s)
	put(t, s, "/d/late", "after the copy")
	abandon(t, s)
	return s.opts
}

func TestADamagedFileIsNamedAndRestored(t *testing.T) {
	o := closedStore(t)
	content, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		c := bytes.Clone(content)
		c[at] ^= 0x10
		return c
	}
	for name, damaged := range map[string][]byte{
		"header":              flip(9),
		"base":                flip(60),
		"middle":              flip(len(content) / 2),
		"last byte":           flip(len(content) - 1),
		"cut within a frame":  content[:len(content)-5],
		"cut behind the base": content[:120],
		"empty":               nil,
		"other":               []byte("apiVersion: v1\n"),
		"gone":                []byte("gone"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(o.Path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if name == "gone" {
				os.Remove(o.Path)
			}
			_, err := Open(o)
			var d *DamagedError
			if !errors.As(err, &d) {
				t.Fatalf("got %v", err)
			}
			for _, part := range []string{o.Path, "to put it back: skiff store restore"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message lacks %q: %v", part, err)
				}
			}
			if d.Copy == nil || d.Copy.Objects != 20 || d.Copy.Revision != 21 {
				t.Errorf("the copy is %+v", d.Copy)
			}
		})
	}
	info, err := Restore(o.Path)
	if err != nil || info.Objects != 20 {
		t.Fatalf("%+v, %v", info, err)
	}
	s := openTest(t, func(opts *Options) { *opts = o })
	if got := listed(t, s, "/d/", 0); !strings.HasPrefix(got, "/d/00=@2.1 /d/01=") || strings.Contains(got, "late") {
		t.Errorf("restored %s", got)
	}
	// Revision 22 was something else once.
	if rev := put(t, s, "/d/new", ""); rev <= 22 {
		t.Errorf("the next revision is %d", rev)
	}
	w := s.Client(t.Context()).Watch(t.Context(), "/d/", clientv3.WithPrefix(), clientv3.WithRev(22))
	if resp := <-w; resp.Err() != rpctypes.ErrCompacted {
		t.Errorf("a watch from before goes on: %v", resp.Err())
	}
}

func TestWithoutACopyTheMessageSaysSo(t *testing.T) {
	s := openTest(t, func(o *Options) { o.RestoreCommand = "skiff store restore" })
	put(t, s, "a", "1")
	abandon(t, s)
	if err := os.Truncate(s.opts.Path, 50); err != nil {
		t.Fatal(err)
	}
	_, err := Open(s.opts)
	var d *DamagedError
	if !errors.As(err, &d) || d.Copy != nil || !strings.Contains(err.Error(), "there is no good copy") {
		t.Errorf("got %v", err)
	}
	if _, err := Restore(s.opts.Path); !errors.Is(err, ErrNoCopy) {
		t.Errorf("Restore: %v", err)
	}
}

func TestADamagedCopyIsNotRestored(t *testing.T) {
	o := closedStore(t)
	before, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(copyPath(o.Path))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(copyPath(o.Path), st.Size()-1); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(o.Path); err == nil || !strings.Contains(err.Error(), "the copy can't be used") {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(o.Path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the store was changed: %v", err)
	}
}

func TestCloseKeepsACopyOnlyWhenSomethingChanged(t *testing.T) {
	s := openTest(t)
	put(t, s, "a", "1")
	s = reopen(t, s)
	first, err := os.Stat(copyPath(s.opts.Path))
	if err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	second, err := os.Stat(copyPath(s.opts.Path))
	if err != nil || !os.SameFile(first, second) {
		t.Errorf("the copy was written again: %v", err)
	}
	put(t, s, "a", "2")
	s = reopen(t, s)
	info, err := readCopy(copyPath(s.opts.Path))
	if err != nil || info.Revision != 3 {
		t.Errorf("the copy is %+v, %v", info, err)
	}
}

func TestAStoreOfANewerVersionIsLeftAlone(t *testing.T) {
	s := openTest(t)
	o := s.opts
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := formats{current: 9, known: map[uint32]decoders{formatVersion: currentFormats().known[formatVersion], 9: currentFormats().known[formatVersion]}}
	s, err := open(o, newer)
	if err != nil {
		t.Fatal(err)
	}
	abandon(t, s)
	var f *FormatError
	if _, err := Open(o); !errors.As(err, &f) || f.Format != 9 || f.Known != formatVersion || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
}

func TestAnOlderFormatIsCopiedThenRewritten(t *testing.T) {
	o := closedStore(t)
	was, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	known := currentFormats().known[formatVersion]
	upgraded := formats{current: formatVersion + 1, known: map[uint32]decoders{formatVersion: known, formatVersion + 1: known}}
	s, err := open(o, upgraded)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "/d/new", "")
	before := listed(t, s, "/d/", 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(fmt.Sprintf("%s.v%d", o.Path, formatVersion)); err != nil || !bytes.Equal(kept, was) {
		t.Errorf("the copy is not what was there: %v", err)
	}
	var format uint32
	h := journal.Handler{Format: func(f uint32) error { format = f; return errEnough }}
	if err := journal.Read(o.Path, h); !errors.Is(err, errEnough) || format != formatVersion+1 {
		t.Errorf("format %d, %v", format, err)
	}
	if s, err = open(o, upgraded); err != nil {
		t.Fatal(err)
	}
	want(t, listed(t, s, "/d/", 0), before)
	abandon(t, s)
}

func TestALoaderRefusesWhatDoesNotFit(t *testing.T) {
	put := func(rev, create, version int64, key string) []byte {
		kv := kvOf(key, rev)
		kv.CreateRevision, kv.Version = create, version
		return appendRecord(nil, kv, nil)
	}
	del := func(rev int64, key string) []byte { return appendRecord(nil, kvOf(key, rev), nil) }
	for name, c := range map[string]struct {
		objects int
		base    [][]byte
		batch   [][]byte
	}{
		"too few objects":        {objects: 2, base: [][]byte{put(3, 3, 1, "a")}},
		"objects out of order":   {objects: 2, base: [][]byte{put(3, 3, 1, "b"), put(4, 4, 1, "a")}},
		"an object twice":        {objects: 1, base: [][]byte{put(3, 3, 1, "b"), put(3, 3, 1, "b")}},
		"an object of later":     {objects: 1, base: [][]byte{put(30, 30, 1, "b")}},
		"a deletion in the base": {objects: 0, base: [][]byte{del(3, "b")}},
		"a revision left out":    {batch: [][]byte{put(12, 12, 1, "a")}},
		"a revision twice":       {batch: [][]byte{put(11, 11, 1, "a"), put(11, 11, 2, "a")}},
		"a version left out":     {batch: [][]byte{put(11, 11, 2, "a")}},
		"a deletion of nothing":  {batch: [][]byte{del(11, "a")}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoader(currentFormats())
			err := errors.Join(l.setFormat(formatVersion), l.base(appendHead(nil, 10, c.objects)),
				l.base(append([]byte{payloadBase}, bytes.Join(c.base, nil)...)), l.endBase(),
				l.batch(append(appendBatchTime(nil, 0), bytes.Join(c.batch, nil)...)))
			if err == nil {
				t.Error("it was accepted")
			}
		})
	}
}
