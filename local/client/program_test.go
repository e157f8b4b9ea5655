package client

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestTheDaemonsProgramIsFoundWhereItIsInstalled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege there")
	}
	place := func(t *testing.T, path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		skiffd []string // below the scratch folder
		path   string
		want   string
	}{
		"beside skiff":               {[]string{"bin/skiffd", "libexec/skiff/skiffd", "other/skiffd"}, "other", "bin/skiffd"},
		"in libexec":                 {[]string{"libexec/skiff/skiffd", "other/skiffd"}, "other", "libexec/skiff/skiffd"},
		"beside what skiff links to": {[]string{"opt/skiffd", "other/skiffd"}, "other", "opt/skiffd"},
		"on the PATH":                {[]string{"other/skiffd"}, "other", "other/skiffd"},
		"nowhere":                    {nil, "other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			place(t, filepath.Join(dir, "opt/skiff"))
			if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
				t.Fatal(err)
			}
			self := filepath.Join(dir, "bin/skiff")
			if err := os.Symlink(filepath.Join(dir, "opt/skiff"), self); err != nil {
				t.Fatal(err)
			}
			for _, path := range c.skiffd {
				place(t, filepath.Join(dir, path))
			}
			t.Setenv("PATH", filepath.Join(dir, c.path))
			got, err := program(self)
			if c.want == "" {
				if f := AsFailure(err); f == nil || f.Reason != ReasonProgram || f.Hint == "" {
					t.Errorf("found %q, %v", got, err)
				}
				return
			}
			if err != nil || got != filepath.Join(dir, c.want) {
				t.Errorf("found %q, %v", got, err)
			}
		})
	}
}

func TestSKIFFDOverridesAndMustExist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine")
	t.Setenv(EnvProgram, path)
	if _, err := Program(); AsFailure(err) == nil || AsFailure(err).Reason != ReasonProgram {
		t.Errorf("a SKIFFD that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Program(); err != nil || got != path {
		t.Errorf("Program = %q, %v", got, err)
	}
}
