package runtimetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// eventMemory is how many events a real engine remembers for streams that ask for the past.
const eventMemory = 256

// eventLog is what happened, and who listens. The fake's lock guards it.
type eventLog struct {
	past    []docker.Event
	streams map[*eventStream]bool
}

type eventStream struct {
	opts  docker.EventOptions
	queue []docker.Event
	wake  chan struct{} // has room for one
}

func (s *eventStream) push(ev docker.Event) {
	s.queue = append(s.queue, ev)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (l *eventLog) emit(ev docker.Event) {
	ev.Time = time.Now()
	l.past = append(l.past, ev)
	if over := len(l.past) - eventMemory; over > 0 {
		l.past = slices.Delete(l.past, 0, over)
	}
	for s := range l.streams {
		if wanted(s.opts, ev) {
			s.push(ev)
		}
	}
}

// breakAll interrupts every stream; each reconnects at once.
func (l *eventLog) breakAll(err error) {
	for s := range l.streams {
		s.push(docker.Event{Time: time.Now(), Type: "engine", Action: docker.EventLost, Err: err})
		s.push(docker.Event{Time: time.Now(), Type: "engine", Action: docker.EventGap})
	}
}

func wanted(o docker.EventOptions, ev docker.Event) bool {
	if len(o.Types) > 0 && !slices.Contains(o.Types, ev.Type) {
		return false
	}
	action, _, _ := strings.Cut(ev.Action, ":")
	if len(o.Actions) > 0 && !slices.Contains(o.Actions, action) {
		return false
	}
	return matches(ev.Attributes, o.Labels)
}

// BreakEvents interrupts every event stream as a lost connection would.
func (f *Fake) BreakEvents() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events.breakAll(errDown("watch the events of"))
}

// Events implements Engine.
func (f *Fake) Events(ctx context.Context, opts docker.EventOptions) <-chan docker.Event {
	out := make(chan docker.Event)
	s := &eventStream{opts: opts, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	if f.events.streams == nil {
		f.events.streams = map[*eventStream]bool{}
	}
	f.events.streams[s] = true
	s.push(docker.Event{Time: time.Now(), Type: "engine", Action: docker.EventGap})
	for _, ev := range f.events.past {
		if !opts.Since.IsZero() && !ev.Time.Before(opts.Since) && wanted(opts, ev) {
			s.push(ev)
		}
	}
	f.mu.Unlock()
	go func() {
		defer close(out)
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.events.streams, s)
		}()
		for {
			f.mu.Lock()
			queue := s.queue
			s.queue = nil
			f.mu.Unlock()
			for _, ev := range queue {
				select {
				case out <- ev:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// emitContainer reports something that happened to a container, with the attributes a real engine gives.
func (f *Fake) emitContainer(c *fakeContainer, action string, more map[string]string) {
	attributes := maps.Clone(c.spec.Labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"], attributes["image"] = c.name, c.spec.Image
	maps.Copy(attributes, more)
	f.events.emit(docker.Event{Type: "container", Action: action, ID: c.id, Attributes: attributes})
}
