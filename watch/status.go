package watch

import (
	"maps"
	"slices"
	"time"

	"skiff.local/skiff/watch/event"
)

// Status is how a set is doing, for people who look in from elsewhere.
type Status struct {
	Definition Definition    `json:"definition"`
	Summary    event.Summary `json:"summary"`
	// Synced is when changes were carried out the last time.
	Synced time.Time `json:"synced,omitzero"`
	// Away says that the cluster does not answer.
	Away bool `json:"away,omitempty"`
	// Wrong are the problems of files and the failures of objects that last, as lines.
	Wrong []string `json:"wrong,omitempty"`

	files   map[string]string
	objects map[string]string
}

// Status may be called at any time from any goroutine.
func (s *Set) Status() Status {
	s.statusMu.Lock()
	defer s.statusMu.Unlock()
	status := s.status
	status.Definition = s.definition
	status.Wrong = nil
	for _, lines := range []map[string]string{status.files, status.objects} {
		for _, key := range slices.Sorted(maps.Keys(lines)) {
			status.Wrong = append(status.Wrong, lines[key])
		}
	}
	status.files, status.objects = nil, nil
	return status
}

func (s *Set) noteStatus(e event.Event) {
	s.statusMu.Lock()
	defer s.statusMu.Unlock()
	st := &s.status
	if st.files == nil {
		st.files, st.objects = map[string]string{}, map[string]string{}
	}
	switch e.Type {
	case event.Problem:
		st.files[e.File] = e.String()
	case event.Solved:
		delete(st.files, e.File)
	case event.Watching, event.Applied:
		st.Summary, st.Synced, st.Away = *e.Summary, e.Time, false
	case event.Object:
		switch key := e.Object.String(); e.Action {
		case event.Failed:
			st.objects[key] = e.String()
		default:
			delete(st.objects, key)
		}
	case event.Ready:
		delete(st.objects, e.Object.String())
	case event.Waiting, event.Crash:
		st.objects[e.Object.String()] = e.String()
	}
}
