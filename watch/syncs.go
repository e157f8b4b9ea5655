package watch

import (
	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/livesync"
)

// syncFiles tells the syncer which files belong where, and has it look at those that may have changed.
func (s *Set) syncFiles(c cause) {
	if s.syncer == nil {
		return
	}
	var rules []livesync.Rule
	said := map[string]bool{}
	for _, obj := range s.state.objects {
		path := templatePath(obj.Unstructured)
		if path == nil {
			continue
		}
		found, err := livesync.Parse(obj.ref, obj.GetAnnotations(), obj.dir, containerNames(podSpec(obj.Unstructured, path)))
		if err != nil {
			said[err.Error()] = true
			if !s.state.badSync[err.Error()] {
				s.emit(event.Event{Type: event.Problem, File: obj.Origin.File, Line: obj.Origin.Line, Message: err.Error()})
			}
			continue
		}
		rules = append(rules, found...)
	}
	s.state.badSync = said
	s.syncer.SetRules(rules)
	if len(rules) == 0 {
		s.places.set("sync", nil)
		return
	}
	if c.burst == nil && !c.first && len(rules) == s.state.syncRules {
		return
	}
	s.state.syncRules = len(rules)
	dirs := map[string]bool{}
	s.syncer.Scan(func(dir string) { s.watchDir(dir, dirs) })
	s.places.set("sync", dirs)
}

func containerNames(spec map[string]any) []string {
	containers, _ := spec["containers"].([]any)
	names := make([]string, 0, len(containers))
	for _, c := range containers {
		fields, _ := c.(map[string]any)
		name, _ := fields["name"].(string)
		names = append(names, name)
	}
	return names
}
