//go:build linux

package agent

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff.local/skiff/runtime/volume/wire"
)

func publishFiles(t *testing.T, dir string, files ...wire.File) bool {
	t.Helper()
	res := new(volumes).runAll([]wire.Op{{Kind: wire.Publish, Path: dir, UID: wire.Unset, GID: wire.Unset, Files: files}})
	if res[0].Err != "" {
		t.Fatal(res[0].Err)
	}
	return res[0].Changed
}

func file(path, data string) wire.File {
	return wire.File{Path: path, Data: []byte(data), Mode: 0o644, UID: wire.Unset, GID: wire.Unset}
}

func TestPublishReplacesEverythingThroughOneLink(t *testing.T) {
	dir := t.TempDir()
	if !publishFiles(t, dir, file("a", "1"), file("d/b", "2")) {
		t.Fatal("first publish changed nothing")
	}
	if publishFiles(t, dir, file("a", "1"), file("d/b", "2")) {
		t.Error("publishing the same again changed something")
	}
	if !publishFiles(t, dir, file("a", "3")) {
		t.Error("new content changed nothing")
	}
	got, err := os.ReadFile(filepath.Join(dir, "a"))
	if err != nil || string(got) != "3" {
		t.Errorf("a = %q, %v", got, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "d")); !os.IsNotExist(err) {
		t.Errorf("the link of a removed directory stayed: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 3 { // ..data, one timestamp, a
		t.Errorf("left behind: %v", entries)
	}
}

// A ConfigMap that changed between the creation of a container and its start took the file that a subPath led to away; the
// engine then made a directory of its name.
func TestWhatASubPathLedToOutlivesAChange(t *testing.T) {
	dir := t.TempDir()
	var vols volumes
	step := func(op wire.Op) string {
		t.Helper()
		res := vols.runAll([]wire.Op{op})
		if res[0].Err != "" {
			t.Fatal(res[0].Err)
		}
		return string(res[0].Data)
	}
	publish := func(data string) {
		step(wire.Op{Kind: wire.Publish, Path: dir, UID: wire.Unset, GID: wire.Unset, Files: []wire.File{file("a", data)}})
	}
	publish("1")
	place := step(wire.Op{Kind: wire.Resolve, Root: dir, Path: "a"})
	publish("2")
	publish("3")
	if got, err := os.ReadFile(filepath.Join(dir, place)); err != nil || string(got) != "1" {
		t.Errorf("%s = %q, %v", place, got, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 { // ..data, the newest, the named one, a
		t.Errorf("left behind: %v", entries)
	}
}

func TestEmptyStaysInTheVolume(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	publishFiles(t, dir, file("a", "1"), file("d/b", "2"))
	publishFiles(t, outside, file("kept", "1"))
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if res := new(volumes).runAll([]wire.Op{{Kind: wire.Empty, Path: dir}}); res[0].Err != "" {
		t.Fatal(res[0].Err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := os.ReadFile(filepath.Join(outside, "kept")); err != nil {
		t.Errorf("what a link pointed to: %v", err)
	}
}

func TestMkdirDoesNotFollowALinkOutOfTheVolume(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	res := new(volumes).runAll([]wire.Op{
		{Kind: wire.Mkdir, Root: dir, Path: "x/y"},
		{Kind: wire.Mkdir, Root: dir, Path: "link/evil"},
		{Kind: wire.Resolve, Root: dir, Path: "link"},
	})
	if res[0].Err != "" {
		t.Error(res[0].Err)
	}
	if res[1].Err == "" || res[2].Err == "" {
		t.Errorf("a link led out of the volume: %+v", res)
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("made outside of the volume: %v", entries)
	}
}

func TestMkdirGivesTheModeOfTheVolume(t *testing.T) {
	const want = fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o777
	dir := t.TempDir()
	if err := os.Chmod(dir, want); err != nil {
		t.Fatal(err)
	}
	if res := new(volumes).runAll([]wire.Op{{Kind: wire.Mkdir, Root: dir, Path: "x/y"}}); res[0].Err != "" {
		t.Fatal(res[0].Err)
	}
	info, err := os.Stat(filepath.Join(dir, "x/y"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%v, want %v", info.Mode(), want)
	}
}

func TestARequestAfterATornOneIsAnswered(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go Serve(r, outW, func() { t.Error("nobody asked for the end") })
	whole := wire.AppendRequest(nil, 5, []wire.Op{{Kind: wire.Stat, Path: "/"}})
	if _, err := w.Write(whole[:len(whole)-3]); err != nil {
		t.Fatal(err)
	}
	// The time runs from when the first byte is read, however late that is.
	for unread(t, r) > 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(frameTimeout + 200*time.Millisecond)
	if _, err := w.Write(wire.AppendRequest(nil, 6, []wire.Op{{Kind: wire.Stat, Path: "/"}})); err != nil {
		t.Fatal(err)
	}
	got, err := wire.ReadResponse(outR, 6)
	if err != nil || !bytes.Equal(got[0].Data, []byte(wire.IsDirectory)) {
		t.Errorf("%+v, %v", got, err)
	}
}

// unread is how many bytes wait in a pipe.
func unread(t *testing.T, r *os.File) (n int) {
	t.Helper()
	raw, err := r.SyscallConn() // Fd would make it blocking, for Serve too
	if err != nil {
		t.Fatal(err)
	}
	if outer := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); outer != nil || err != nil {
		t.Fatal(outer, err)
	}
	return n
}

func TestTheEndComesAfterTheAnswer(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go Serve(r, outW, func() { _ = outW.Close() })
	if _, err := w.Write(wire.AppendRequest(nil, 7, []wire.Op{{Kind: wire.Exit}})); err != nil {
		t.Fatal(err)
	}
	got, err := wire.ReadResponse(outR, 7)
	if err != nil || got[0].Err != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if rest, err := io.ReadAll(outR); err != nil || len(rest) > 0 {
		t.Errorf("after the answer came %q, %v", rest, err)
	}
}
