package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseAnnotation(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  Image
		err   string
	}{
		{"./app", Image{Reference: "web", Context: "/src/app", Dockerfile: "/src/app/Dockerfile", Args: map[string]string{}}, ""},
		{".. file=dev/Dockerfile target=x arg.A=1 arg.B=", Image{Reference: "web", Context: "/", Dockerfile: "/dev/Dockerfile", Target: "x", Args: map[string]string{"A": "1", "B": ""}}, ""},
		{"", Image{}, "is empty"},
		{". file=", Image{}, "has no value"},
		{". verbose=1", Image{}, "is none of"},
	} {
		got, err := ParseAnnotation(tc.value, "/src", "web")
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: error %v, want %q", tc.value, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tc.value, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.value, diff)
		}
	}
}

func TestFingerprintFollowsWhatABuildCanSee(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Dockerfile", "FROM scratch\n")
	write(".dockerignore", "# left out\nnode_modules\n*.log\nout/**\n!out/keep.txt\n")
	write("main.go", "1")
	image := Image{Reference: "x", Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile")}
	print := func() string {
		t.Helper()
		f, err := Fingerprint(image, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tc := range []struct {
		file    string
		changes bool
	}{
		{"main.go", true}, {"new/deep.go", true}, {"node_modules/x/y.js", false}, {"a.log", false}, {"new/a.log", true},
		{"out/x.bin", false}, {"out/keep.txt", true}, {"Dockerfile", true}, {".git/HEAD", false},
	} {
		before := print()
		write(tc.file, time.Now().String())
		if changed := print() != before; changed != tc.changes {
			t.Errorf("%s: changed %v, want %v", tc.file, changed, tc.changes)
		}
	}
	image.Args = map[string]string{"A": "1"}
	before := print()
	image.Args["A"] = "2"
	if print() == before {
		t.Error("another argument is the same build")
	}
	if _, err := Fingerprint(Image{Context: dir, Dockerfile: filepath.Join(dir, "none")}, func(string) {}); err == nil {
		t.Error("no Dockerfile and no error")
	}
}
