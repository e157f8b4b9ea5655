package fswatch

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// stamp is what shows that a file changed without reading it. Links are followed, and also compared themselves.
type stamp struct {
	size   int64
	mod    time.Time
	mode   fs.FileMode
	target string
}

// list takes the stamps of a directory's entries. A directory that can't be read has none.
func list(dir string) map[string]stamp {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	stamps := make(map[string]stamp, len(entries))
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		var s stamp
		if entry.Type()&fs.ModeSymlink != 0 {
			s.target, _ = os.Readlink(path)
		}
		if info, err := os.Stat(path); err == nil {
			s.size, s.mod, s.mode = info.Size(), info.ModTime(), info.Mode()
			if info.IsDir() {
				s.size, s.mod = 0, time.Time{} // its content is watched on its own or doesn't matter
			}
		}
		stamps[entry.Name()] = s
	}
	return stamps
}

// poll looks at the directories that send no notifications, and sleeps while there are none.
func (w *Watcher) poll(ctx context.Context) {
	timer := time.NewTimer(w.opts.Poll)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			timer.Reset(w.opts.Poll)
		case <-timer.C:
			started := time.Now()
			dirs := w.polledDirs()
			for _, dir := range dirs {
				w.look(ctx, dir)
			}
			if len(dirs) > 0 {
				// Never more than a tenth of the time is spent looking, however slow the file system is.
				timer.Reset(max(w.opts.Poll, 9*time.Since(started)))
			}
		}
	}
}

func (w *Watcher) polledDirs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var dirs []string
	for dir, entry := range w.dirs {
		if entry.polled {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (w *Watcher) look(ctx context.Context, dir string) {
	now := list(dir)
	info, statErr := os.Stat(dir)
	w.mu.Lock()
	entry, ok := w.dirs[dir]
	if !ok || !entry.polled {
		w.mu.Unlock()
		return
	}
	before := entry.listing
	entry.listing = now
	gone := statErr != nil || !os.SameFile(info, entry.info)
	if gone {
		delete(w.dirs, dir)
	}
	w.mu.Unlock()
	if gone {
		w.send(ctx, event{path: dir})
	}
	if maps.Equal(before, now) {
		return
	}
	for name, s := range now {
		if old, known := before[name]; !known || old != s {
			w.send(ctx, event{path: filepath.Join(dir, name)})
		}
	}
	for name := range before {
		if _, still := now[name]; !still {
			w.send(ctx, event{path: filepath.Join(dir, name)})
		}
	}
}
