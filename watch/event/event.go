// Package event is what a watched set says while it works: one flat, serialisable record per thing that happened. The
// set never prints; whoever receives events draws them, stores them or sends them on.
package event

import (
	"time"

	"skiff.local/skiff/watch/plan"
)

// Type says what an event is about, and which of its fields are set.
type Type string

const (
	// Started: the set begins its work. Sources, Message (the target).
	Started Type = "started"
	// Watching: everything that was there is applied, from now on changes are waited for. Summary.
	Watching Type = "watching"
	// Object: something was done to an object. Object, Action, Fields, Cause, Notes, File, Line, Took; for failures
	// Message and Hint.
	Object Type = "object"
	// Problem: a file can't be read or an object in it is refused. File, Line, Column, Message, Hint.
	Problem Type = "problem"
	// Solved: a file that had a problem is fine again. File.
	Solved Type = "solved"
	// Applied: a burst of changes was carried out. Summary, Took (since the last write), Cause.
	Applied Type = "applied"
	// Progress: how far the rollout of an object is. Object, Message.
	Progress Type = "progress"
	// Ready: an object does what it should. Object, Took (since it was applied), Message.
	Ready Type = "ready"
	// Waiting: what keeps an object from being ready. Object, Message, Hint.
	Waiting Type = "waiting"
	// Crash: a container ended when it should not have. Object, Pod, Container, Message, Lines.
	Crash Type = "crash"
	// Building: the build of an image begins. Image, Cause, File (the context).
	Building Type = "building"
	// BuildOutput: a line of a builder's progress. Image, Message.
	BuildOutput Type = "build-output"
	// Built: an image was built. Image, Took.
	Built Type = "built"
	// BuildFailed: an image could not be built. Image, File (the Dockerfile), Message, Hint, Lines.
	BuildFailed Type = "build-failed"
	// Synced: files were copied into a running container. Object, Pod, Container, Message, Took.
	Synced Type = "synced"
	// SyncFailed: they could not be. Object, Pod, Container, Message, Hint.
	SyncFailed Type = "sync-failed"
	// Note: something a person should know. Message, Hint.
	Note Type = "note"
	// Stopped: the set ends its work. Message.
	Stopped Type = "stopped"
)

// Action is what was done to an object.
type Action string

// The actions of Object events.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Replaced   Action = "replaced"
	Unchanged  Action = "unchanged"
	Pruned     Action = "pruned"
	Kept       Action = "kept" // left the sources, but is not pruned
	Failed     Action = "failed"
	Restarted  Action = "restarted"
	Gone       Action = "gone" // deleted by someone else
)

// Event is one thing that happened.
type Event struct {
	Type Type      `json:"type"`
	Time time.Time `json:"time"`
	// Set is the name of the set, for streams that carry several.
	Set string `json:"set,omitempty"`

	Object *plan.Ref `json:"object,omitempty"`
	Action Action    `json:"action,omitempty"`
	Fields []string  `json:"fields,omitempty"`
	Cause  string    `json:"cause,omitempty"`
	Notes  []string  `json:"notes,omitempty"`
	// DryRun says that nothing was kept.
	DryRun bool `json:"dryRun,omitempty"`
	// Retry says that a failed action will be tried again by itself.
	Retry bool `json:"retry,omitempty"`

	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`

	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`

	Image     string   `json:"image,omitempty"`
	Pod       string   `json:"pod,omitempty"`
	Container string   `json:"container,omitempty"`
	Lines     []string `json:"lines,omitempty"`

	Sources []string      `json:"sources,omitempty"`
	Summary *Summary      `json:"summary,omitempty"`
	Took    time.Duration `json:"tookNanoseconds,omitempty"`
}

// Summary counts what happened to the objects of a set.
type Summary struct {
	Objects    int `json:"objects"` // in the sources now
	Created    int `json:"created,omitempty"`
	Configured int `json:"configured,omitempty"`
	Replaced   int `json:"replaced,omitempty"`
	Unchanged  int `json:"unchanged,omitempty"`
	Pruned     int `json:"pruned,omitempty"`
	Kept       int `json:"kept,omitempty"`
	Failed     int `json:"failed,omitempty"`
	Problems   int `json:"problems,omitempty"` // files that can't be read now
}

// Count adds an action to the summary.
func (s *Summary) Count(action Action) {
	switch action {
	case Created:
		s.Created++
	case Configured:
		s.Configured++
	case Replaced:
		s.Replaced++
	case Unchanged:
		s.Unchanged++
	case Pruned:
		s.Pruned++
	case Kept:
		s.Kept++
	case Failed:
		s.Failed++
	}
}
