package image

import (
	"fmt"
	"sync"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// Progress is how far a pull has come.
type Progress struct {
	Image      string
	Since      time.Time
	Layers     int
	LayersDone int
	Bytes      int64 // downloaded
	TotalBytes int64 // as far as the registry said; layers that have not begun are not counted
	Status     string
}

// String is one line for people.
func (p Progress) String() string {
	if p.Layers == 0 {
		return p.Status
	}
	return fmt.Sprintf("%d of %d layers, %s of %s", p.LayersDone, p.Layers, megabytes(p.Bytes), megabytes(p.TotalBytes))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// tracker adds up the messages of a pull.
type tracker struct {
	mu       sync.Mutex
	progress Progress
	layers   map[string]*layerProgress
	last     time.Time // of the last message
}

type layerProgress struct {
	current, total int64
	done           bool
}

func newTracker(image string, now time.Time) *tracker {
	return &tracker{progress: Progress{Image: image, Since: now}, layers: map[string]*layerProgress{}, last: now}
}

// The engine's words for the stages of a layer.
const (
	statusDownloading  = "Downloading"
	statusPullComplete = "Pull complete"
	statusExists       = "Already exists"
)

func (t *tracker) add(p docker.PullProgress, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
	// The first message names the tag where others name a layer; it carries no bytes and says so in its status.
	if len(p.Layer) != 12 {
		t.progress.Status = p.Status
		return
	}
	l := t.layers[p.Layer]
	if l == nil {
		l = &layerProgress{}
		t.layers[p.Layer] = l
	}
	switch p.Status {
	case statusDownloading:
		l.current, l.total = p.Current, p.Total
	case statusPullComplete, statusExists:
		l.current, l.done = l.total, true
	}
}

func (t *tracker) snapshot() (p Progress, last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p = t.progress
	p.Layers = len(t.layers)
	for _, l := range t.layers {
		p.Bytes += l.current
		p.TotalBytes += l.total
		if l.done {
			p.LayersDone++
		}
	}
	return p, t.last
}
