package watch

import (
	"maps"
	"path/filepath"
	"sync"
)

// places are the directories beyond the sources whose changes matter: build contexts, trees that are copied into
// containers. The loop sets them, the watcher asks.
type places struct {
	mu   sync.Mutex
	dirs map[string]map[string]bool // real paths, by what they are for; guarded by mu
}

func newPlaces() *places { return &places{dirs: map[string]map[string]bool{}} }

func (p *places) set(purpose string, dirs map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirs[purpose] = dirs
}

// Relevant reports whether a change may matter.
func (p *places) Relevant(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dirs := range p.dirs {
		if dirs[filepath.Dir(path)] {
			return true
		}
	}
	return false
}

func (p *places) all() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]bool{}
	for _, dirs := range p.dirs {
		maps.Copy(all, dirs)
	}
	return all
}

// watchDir has a directory watched and notes its real path.
func (s *Set) watchDir(dir string, into map[string]bool) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		into[real] = true
	}
	if s.watcher == nil {
		return
	}
	if err := s.watcher.Add(dir); err != nil {
		s.log.Debug("watch a directory", "error", err)
	}
}
