package ignore

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cases are patterns and paths; what is right is git's own answer where git is installed, and the table's everywhere.
var cases = []struct {
	rules, path string
	dir         bool
	want        bool
}{
	{"*.log", "a.log", false, true},
	{"*.log", "x/y/a.log", false, true},
	{"/a.log", "x/a.log", false, false},
	{"/a.log", "a.log", false, true},
	{"x/a", "x/a", false, true},
	{"x/a", "y/x/a", false, false},
	{"build/", "build", true, true},
	{"build/", "build", false, false},
	{"**/gen", "a/b/gen", false, true},
	{"**/gen", "gen", false, true},
	{"a/**", "a/b/c", false, true},
	{"a/**", "a", true, false},
	{"a/**/z", "a/z", false, true},
	{"a/**/z", "a/b/c/z", false, true},
	{"a**z", "a/z", false, false},
	{"a**z", "abcz", false, true},
	{"*.yaml\n!keep.yaml", "keep.yaml", false, false},
	{"*.yaml\n!keep.yaml", "drop.yaml", false, true},
	{"!keep.yaml\n*.yaml", "keep.yaml", false, true},
	{"a?c", "abc", false, true},
	{"a?c", "a/c", false, false},
	{"[a-c]x", "bx", false, true},
	{"[!a-c]x", "bx", false, false},
	{"[!a-c]x", "dx", false, true},
	{"[]a]", "]", false, true},
	{"[a-]", "-", false, true},
	{"[[:digit:]]", "7", false, true},
	{"# comment", "# comment", false, false},
	{`\#x`, "#x", false, true},
	{`\!x`, "!x", false, true},
	{"x  ", "x", false, true},
	{`x\ `, "x ", false, true},
	{"[", "[", false, false},
	{"a.b", "axb", false, false},
	{"doc/*.txt", "doc/x/a.txt", false, false},
	{"doc/*.txt", "doc/a.txt", false, true},
	{"x\r", "x", false, true},
	{"", "x", false, false},
	{"/", "x", false, false},
}

func TestMatch(t *testing.T) {
	for _, tc := range cases {
		got, _ := Parse([]byte(tc.rules)).Match(tc.path, tc.dir)
		if got != tc.want {
			t.Errorf("rules %q, path %q (dir %v): ignored %v, want %v", tc.rules, tc.path, tc.dir, got, tc.want)
		}
	}
}

// TestTheTableIsWhatGitDoes keeps the expectations above honest.
func TestTheTableIsWhatGitDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs git once per case")
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git to compare with")
	}
	for _, tc := range cases {
		if strings.Contains(tc.rules, "\r") {
			continue // git takes a carriage return literally; files written on Windows should work all the same
		}
		dir := t.TempDir()
		run := func(args ...string) error {
			cmd := exec.Command(git, args...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
			return cmd.Run()
		}
		if err := run("init", "-q"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(tc.rules), 0o644); err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, filepath.FromSlash(tc.path))
		if tc.dir {
			err = os.MkdirAll(target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			err = os.WriteFile(target, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := run("check-ignore", "-q", "--no-index", tc.path) == nil; got != tc.want {
			t.Errorf("git says %v for rules %q, path %q (dir %v)", got, tc.rules, tc.path, tc.dir)
		}
	}
}

func TestStack(t *testing.T) {
	stack := Stack{}.Push("", Parse([]byte("*.tmp\n/a/b\n"))).Push("x", Parse([]byte("!keep.tmp\n/only\n")))
	for path, want := range map[string]bool{
		"a.tmp": true, "x/keep.tmp": false, "x/y/keep.tmp": false, "x/other.tmp": true, "x/only": true, "x/y/only": false, "a/b": true,
	} {
		if got := stack.Ignored(path, false); got != want {
			t.Errorf("%s: ignored %v, want %v", path, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tc := range cases {
		f.Add(tc.rules, tc.path)
	}
	f.Fuzz(func(_ *testing.T, rules, path string) {
		Parse([]byte(rules)).Match(path, false)
		Parse([]byte(rules)).Match(path, true)
	})
}
