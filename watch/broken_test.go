package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff.local/skiff/watch/event"
)

// A broken file that nothing in the cluster came from may be another one's new name: nothing is pruned until it can be
// read, one line says so, and the repair makes up for it.
func TestWhatLeavesWhileANewFileIsBrokenGoesWithItsRepair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "k")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		writeFile(t, dir+"/"+name+".yaml", config(name, "1"))
	}
	b := start(t, dir, newFakeCluster(), nil)
	b.write("new.yaml", "kind: [")
	b.await("the problem", func(e event.Event) bool { return e.Type == event.Problem && e.File == "k/new.yaml" })
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		do(t, os.Rename(b.path(name+".yaml"), b.path(name+".gone")))
	}
	note := b.await("the reason for keeping them", func(e event.Event) bool {
		return e.Type == event.Note && strings.Contains(e.Message, "left other files")
	})
	if note.File != "k/new.yaml" {
		t.Errorf("the reason names %q", note.File)
	}
	b.holds("a=1", "b=1", "c=1", "d=1", "e=1")
	for _, e := range b.seen() {
		if e.Action == event.Kept || e.Action == event.Pruned {
			t.Errorf("%s", e)
		}
	}
	b.write("new.yaml", config("c", "1"))
	b.holds("c=1")
}

// The object of a renamed file belongs to the new name, also after a restart: while that file is broken it stays.
func TestARenamedFileThatBreaksKeepsWhatCameWithIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "k")
	writeFile(t, dir+"/old.yaml", config("a", "1"))
	fake := newFakeCluster()
	b := start(t, dir, fake, nil)
	do(t, os.Rename(b.path("old.yaml"), b.path("new.yaml")))
	b.until("the new name to be noted", func() bool {
		fake.mu.Lock()
		defer fake.mu.Unlock()
		for _, member := range fake.members {
			return member.Unit == "k/new.yaml"
		}
		return false
	})
	b.write("new.yaml", config("a", "1")+"---\n"+config("b", "1"))
	b.holds("a=1", "b=1")
	b.stop()
	b.write("new.yaml", "kind: [")
	b.write("other.yaml", config("c", "1"))
	b = start(t, dir, fake, nil)
	b.write("other.yaml", config("d", "1"))
	b.holds("a=1", "b=1", "d=1")
}
