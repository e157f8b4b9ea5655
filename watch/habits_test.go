package watch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/watch/event"
)

// TestHabits saves files in the ways of editors and other tools, on the real file system, once with the system's
// notifications and once by polling.
func TestHabits(t *testing.T) {
	habits := []struct {
		name string
		// before is what the directory k holds at the start, by path.
		before map[string]string
		// act changes it.
		act func(t *testing.T, dir string)
		// want is what the cluster holds in the end.
		want []string
		// never are objects that must not be pruned on the way.
		never []string
	}{
		{"a plain write", one, func(t *testing.T, dir string) { writeFile(t, dir+"/a.yaml", config("a", "2")) }, []string{"a=2"}, []string{"a"}},
		{"truncate, then write in pieces", one, func(t *testing.T, dir string) {
			f, err := os.OpenFile(dir+"/a.yaml", os.O_WRONLY|os.O_TRUNC, 0)
			do(t, err)
			for _, piece := range strings.SplitAfter(config("a", "2"), "\n") {
				_, err := f.WriteString(piece)
				do(t, err)
				time.Sleep(time.Millisecond)
			}
			do(t, f.Close())
		}, []string{"a=2"}, []string{"a"}},
		{"truncate, and write only after a pause", one, func(t *testing.T, dir string) {
			do(t, os.Truncate(dir+"/a.yaml", 0))
			time.Sleep(70 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
		{"write beside and rename over it", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/.a.yaml.tmp123", config("a", "2"))
			do(t, os.Rename(dir+"/.a.yaml.tmp123", dir+"/a.yaml"))
		}, []string{"a=2"}, []string{"a"}},
		{"vim: probe 4913, rename to a backup, write anew, remove the backup", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/.a.yaml.swp", "b0VIM")
			writeFile(t, dir+"/4913", "")
			do(t, os.Remove(dir+"/4913"))
			do(t, os.Rename(dir+"/a.yaml", dir+"/a.yaml~"))
			time.Sleep(5 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "2"))
			do(t, os.Remove(dir+"/a.yaml~"))
			do(t, os.Remove(dir+"/.a.yaml.swp"))
		}, []string{"a=2"}, []string{"a"}},
		{"emacs: lock link, auto-save file, backup", one, func(t *testing.T, dir string) {
			if runtime.GOOS != "windows" {
				do(t, os.Symlink("me@host.1234", dir+"/.#a.yaml"))
			}
			writeFile(t, dir+"/#a.yaml#", config("a", "half"))
			do(t, os.Rename(dir+"/a.yaml", dir+"/a.yaml~"))
			writeFile(t, dir+"/a.yaml", config("a", "2"))
			_ = os.Remove(dir + "/.#a.yaml")
		}, []string{"a=2"}, []string{"a"}},
		{"JetBrains: safe write", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/a.yaml___jb_tmp___", config("a", "2"))
			do(t, os.Rename(dir+"/a.yaml", dir+"/a.yaml___jb_old___"))
			do(t, os.Rename(dir+"/a.yaml___jb_tmp___", dir+"/a.yaml"))
			do(t, os.Remove(dir+"/a.yaml___jb_old___"))
		}, []string{"a=2"}, []string{"a"}},
		{"delete and write anew after a moment", one, func(t *testing.T, dir string) {
			do(t, os.Remove(dir+"/a.yaml"))
			time.Sleep(60 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
		{"delete", one, func(t *testing.T, dir string) { do(t, os.Remove(dir+"/a.yaml")) }, nil, nil},
		{"remove a document", map[string]string{"a.yaml": config("a", "1") + "---\n" + config("b", "1")}, func(t *testing.T, dir string) {
			writeFile(t, dir+"/a.yaml", config("b", "1"))
		}, []string{"b=1"}, []string{"b"}},
		{"rename the file", one, func(t *testing.T, dir string) { do(t, os.Rename(dir+"/a.yaml", dir+"/z.yaml")) }, []string{"a=1"}, []string{"a"}},
		{"move the file into a new directory", one, func(t *testing.T, dir string) {
			do(t, os.MkdirAll(dir+"/x/y", 0o755))
			do(t, os.Rename(dir+"/a.yaml", dir+"/x/y/a.yaml"))
		}, []string{"a=1"}, []string{"a"}},
		{"a new directory with files, then a change in it", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/n/m/b.yaml", config("b", "1"))
			time.Sleep(300 * time.Millisecond)
			writeFile(t, dir+"/n/m/b.yaml", config("b", "2"))
		}, []string{"a=1", "b=2"}, []string{"a", "b"}},
		{"a directory is moved in", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"-side/b.yaml", config("b", "1"))
			do(t, os.Rename(dir+"-side", dir+"/in"))
		}, []string{"a=1", "b=1"}, []string{"a", "b"}},
		{"a directory is replaced by another", map[string]string{"d/a.yaml": config("a", "1")}, func(t *testing.T, dir string) {
			writeFile(t, dir+"-new/a.yaml", config("a", "2"))
			do(t, os.Rename(dir+"/d", dir+"-old"))
			do(t, os.Rename(dir+"-new", dir+"/d"))
			time.Sleep(200 * time.Millisecond)
			writeFile(t, dir+"/d/a.yaml", config("a", "3"))
		}, []string{"a=3"}, []string{"a"}},
		{"the whole directory vanishes and comes back", one, func(t *testing.T, dir string) {
			do(t, os.Rename(dir, dir+"-away"))
			time.Sleep(400 * time.Millisecond)
			do(t, os.Rename(dir+"-away", dir))
			writeFile(t, dir+"/a.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
		{"the whole directory is deleted and made anew", one, func(t *testing.T, dir string) {
			do(t, os.RemoveAll(dir))
			time.Sleep(300 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "2"))
			time.Sleep(300 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "3"))
		}, []string{"a=3"}, nil},
		{"two writes within a clock tick, of the same size", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/a.yaml", config("a", "2"))
			time.Sleep(45 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "3"))
			do(t, os.Chtimes(dir+"/a.yaml", time.Now(), time.Now()))
		}, []string{"a=3"}, []string{"a"}},
		{"a link to a file is pointed elsewhere", nil, func(t *testing.T, dir string) {
			writeFile(t, dir+"-data/1.yaml", config("a", "1"))
			writeFile(t, dir+"-data/2.yaml", config("a", "2"))
			do(t, os.Symlink(dir+"-data/1.yaml", dir+"/a.yaml"))
			time.Sleep(200 * time.Millisecond)
			do(t, os.Symlink(dir+"-data/2.yaml", dir+"/next"))
			do(t, os.Rename(dir+"/next", dir+"/a.yaml"))
		}, []string{"a=2"}, []string{"a"}},
		{"what a link points to changes", nil, func(t *testing.T, dir string) {
			writeFile(t, dir+"-data/1.yaml", config("a", "1"))
			do(t, os.Symlink(dir+"-data/1.yaml", dir+"/a.yaml"))
			time.Sleep(200 * time.Millisecond)
			writeFile(t, dir+"-data/1.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
		{"a linked directory, and a link in a circle", nil, func(t *testing.T, dir string) {
			writeFile(t, dir+"-data/b.yaml", config("b", "1"))
			do(t, os.Symlink(dir+"-data", dir+"/linked"))
			do(t, os.Symlink(dir, dir+"/circle"))
			time.Sleep(200 * time.Millisecond)
			writeFile(t, dir+"-data/b.yaml", config("b", "2"))
		}, []string{"b=2"}, []string{"b"}},
		{"a mounted ConfigMap's way: ..data is swapped", nil, func(t *testing.T, dir string) {
			writeFile(t, dir+"/..1/a.yaml", config("a", "1"))
			writeFile(t, dir+"/..2/a.yaml", config("a", "2"))
			do(t, os.Symlink("..1", dir+"/..data"))
			do(t, os.Symlink("..data/a.yaml", dir+"/a.yaml"))
			time.Sleep(200 * time.Millisecond)
			do(t, os.Symlink("..2", dir+"/..tmp"))
			do(t, os.Rename(dir+"/..tmp", dir+"/..data"))
		}, []string{"a=2"}, []string{"a"}},
		{"an ignore file appears", map[string]string{"a.yaml": config("a", "1"), "b.yaml": config("b", "1")}, func(t *testing.T, dir string) {
			writeFile(t, dir+"/.skiffignore", "b.yaml\n")
		}, []string{"a=1"}, []string{"a"}},
		{"a file breaks and is repaired", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/a.yaml", "apiVersion: v1\nkind: [\n")
			time.Sleep(300 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
		{"a file becomes something else for a while", one, func(t *testing.T, dir string) {
			writeFile(t, dir+"/a.yaml", "x: 1\n")
			time.Sleep(300 * time.Millisecond)
			writeFile(t, dir+"/a.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
		{"logs and images beside the manifests", one, func(t *testing.T, dir string) {
			for i := range 50 {
				writeFile(t, fmt.Sprintf("%s/%d.log", dir, i), "x")
			}
			writeFile(t, dir+"/a.yaml", config("a", "2"))
		}, []string{"a=2"}, []string{"a"}},
	}
	for _, mode := range []string{"notified", "polled"} {
		for _, habit := range habits {
			t.Run(mode+"/"+habit.name, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "k")
				do(t, os.MkdirAll(dir, 0o755))
				for name, text := range habit.before {
					writeFile(t, filepath.Join(dir, name), text)
				}
				fake := newFakeCluster()
				b := start(t, dir, fake, func(c *Config) {
					c.Definition.Poll = mode == "polled"
					c.Settle = 600 * time.Millisecond // ten times what any of them leaves an object away for
					if mode == "polled" {
						c.PollEvery = 100 * time.Millisecond
					}
				})
				habit.act(t, dir)
				b.holds(habit.want...)
				time.Sleep(150 * time.Millisecond) // nothing may come after it
				b.holds(habit.want...)
				for _, call := range fake.log() {
					for _, name := range habit.never {
						if call == "pruned ConfigMap default/"+name {
							t.Errorf("%s was pruned on the way: %v", name, fake.log())
						}
					}
				}
			})
		}
	}
}

var one = map[string]string{"a.yaml": config("a", "1")}

func TestACheckoutIsOneBurst(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git")
	}
	dir := filepath.Join(t.TempDir(), "k")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(value string) {
		for i := range 200 {
			writeFile(t, fmt.Sprintf("%s/%d/%03d.yaml", dir, i%7, i), config(fmt.Sprintf("c%03d", i), value))
		}
	}
	do(t, os.MkdirAll(dir, 0o755))
	run("init", "-q", "-b", "main")
	write("1")
	run("add", ".")
	run("commit", "-q", "-m", "one")
	run("checkout", "-q", "-b", "two")
	write("2")
	do(t, os.RemoveAll(dir+"/3"))
	run("add", "-A")
	run("commit", "-q", "-m", "two")

	b := start(t, dir, newFakeCluster(), nil)
	b.forget()
	run("checkout", "-q", "main")
	b.until("all 200 objects of the other branch", func() bool {
		names := b.cluster.names()
		return len(names) == 200 && !strings.Contains(strings.Join(names, " "), "=2")
	})
	applied := 0
	for _, e := range b.seen() {
		if e.Type == event.Applied {
			applied++
		}
	}
	// On an idle machine it is one; on a busy one git itself pauses for longer than a burst may.
	if applied > 5 {
		t.Errorf("the checkout of 200 files became %d applies", applied)
	}
}
