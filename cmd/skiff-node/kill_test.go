//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseStatReadsNamesWithParentheses(t *testing.T) {
	got, state, ok := parseStat([]byte("42 (a) b (c)) S 7 42 42 0 -1"))
	if !ok || got != (process{42, 7}) || state != 'S' {
		t.Fatalf("got %v %c %v", got, state, ok)
	}
	for _, bad := range []string{"", "42", "42 (x", "x (y) S 1", "42 (x) S"} {
		if _, _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestKillTakesDescendantsAndSparesTheRest(t *testing.T) {
	table := []process{{1, 0}, {10, 0}, {11, 10}, {12, 11}, {13, 1}, {14, 10}}
	got := withDescendants(table, func(pid int) bool { return pid == 10 || pid == 11 })
	slices.Sort(got)
	if want := []int{10, 11, 12, 14}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestAProcessIsKnownByItsCgroup(t *testing.T) {
	proc := t.TempDir()
	for pid, cgroup := range map[string]string{
		"1": "11:memory:/docker/0123abcd\n", "2": "0::/../docker-0123abcd.scope\n", "3": "0::/user.slice\n",
	} {
		if err := os.Mkdir(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "cgroup"), []byte(cgroup), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pid, want := range map[int]bool{1: true, 2: true, 3: false, 4: false} {
		if got := inContainer(proc, pid, "0123abcd"); got != want {
			t.Errorf("process %d: %v, want %v", pid, got, want)
		}
	}
}
