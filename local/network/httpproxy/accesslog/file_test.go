package accesslog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheAccessLogStaysBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ingress.log")
	l := NewFile(path)
	line := bytes.Repeat([]byte("x"), 1<<20)
	for range 2*maxLog/len(line) + 3 {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if l = NewFile(path); l != nil {
		if _, err := l.Write([]byte("more\n")); err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	if body, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(body, []byte("xmore\n")) {
		t.Errorf("a log that is opened again does not go on: %v", err)
	}
}
