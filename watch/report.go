package watch

import (
	"fmt"
	"slices"
	"strings"

	"skiff.local/skiff/watch/event"
	"skiff.local/skiff/watch/manifest"
	"skiff.local/skiff/watch/plan"
	"skiff.local/skiff/watch/source"
)

// reportFiles says what is newly wrong with the files, and what is fine again. What was said stays said.
func (s *Set) reportFiles() {
	problems := map[string][]manifest.Problem{}
	skipped := map[string]bool{}
	for _, unit := range s.state.snapshot.Units {
		if len(unit.Problems) > 0 {
			problems[unit.ID] = unit.Problems
			if !slices.Equal(s.state.problems[unit.ID], unit.Problems) {
				s.reportProblems(unit.Problems)
			}
		}
		if unit.Skipped != "" {
			skipped[unit.ID] = true
			if !s.state.skipped[unit.ID] {
				s.emit(event.Event{Type: event.Note, File: unit.Name, Message: unit.Skipped})
			}
		}
	}
	names := map[string]string{}
	for _, unit := range s.state.snapshot.Units {
		names[unit.ID] = unit.Name
	}
	for id := range s.state.problems {
		if problems[id] != nil {
			continue
		}
		if name, exists := names[id]; exists {
			s.emit(event.Event{Type: event.Solved, File: name})
		}
	}
	s.state.problems, s.state.skipped = problems, skipped
	s.reportMissing(s.state.snapshot.Missing)
}

func (s *Set) reportProblems(problems []manifest.Problem) {
	for _, p := range problems {
		s.emit(event.Event{Type: event.Problem, File: p.File, Line: p.Line, Column: p.Column, Message: p.Reason, Hint: p.Hint})
	}
}

func (s *Set) reportMissing(sources []source.Source) {
	missing := map[string]bool{}
	for _, src := range sources {
		missing[src.Path] = true
		if !s.state.missing[src.Path] {
			s.emit(event.Event{Type: event.Problem, File: src.Name, Message: "it is not there",
				Hint: "what came from it stays in the cluster; it is applied when it appears"})
		}
	}
	for path := range s.state.missing {
		if !missing[path] {
			s.emit(event.Event{Type: event.Solved, File: s.nameOf(path), Message: "is back"})
		}
	}
	s.state.missing = missing
}

func (s *Set) nameOf(path string) string {
	for _, src := range s.definition.Sources {
		if src.Path == path {
			return src.Name
		}
	}
	return path
}

func (s *Set) reportTwice(p plan.Plan) {
	twice := map[plan.Ref]bool{}
	for _, d := range p.Twice {
		first, second := s.state.objects[d.First], s.state.objects[d.Second]
		twice[second.ref] = true
		if s.state.twice[second.ref] || first.Hash == second.Hash {
			continue
		}
		s.emit(event.Event{Type: event.Problem, File: second.Origin.File, Line: second.Origin.Line, Column: 1,
			Message: fmt.Sprintf("%s is written a second time", second.ref),
			Hint:    fmt.Sprintf("the one in %s counts", manifest.Problem{File: first.Origin.File, Line: first.Origin.Line}.Position())})
	}
	s.state.twice = twice
}

// reportKept says once why something that left the sources stays.
func (s *Set) reportKept(p *plan.Plan) {
	kept := map[plan.Ref]string{}
	awaiting := map[string][]string{}
	for _, op := range p.Keep {
		kept[op.Ref] = op.Cause
		if s.state.kept[op.Ref] == op.Cause || op.Unread {
			continue // said already, or said by the file's problem
		}
		if op.Awaits != "" {
			awaiting[op.Awaits] = append(awaiting[op.Awaits], op.Ref.String())
			continue
		}
		ref := op.Ref
		s.emit(event.Event{Type: event.Object, Object: &ref, Action: event.Kept, Cause: op.Cause})
	}
	for unit, names := range awaiting {
		s.emit(event.Event{Type: event.Note, File: unit,
			Message: some(names) + " left other files: pruned only when this one can be read, since it might hold what left"})
	}
	s.state.kept = kept
}

// some lists a few names and counts the others, so that a deleted directory is one line.
func some(names []string) string {
	const most = 3
	if more := len(names) - most; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
