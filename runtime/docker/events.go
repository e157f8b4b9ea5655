package docker

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/docker/docker/api/types/filters"
)

// Events streams what happens in the engine until ctx ends; then the channel is closed. The stream reconnects by itself.
//
// Every connection, the first one included, begins with an EventGap, sent once the engine is listening: a consumer that
// lists its objects on each gap misses nothing and need not poll. A connection that breaks, or that can't be made, is an
// EventLost with the reason; the gap that follows it says that the engine is back. After a gap come the events that the
// engine remembers from the time in between, so events may repeat what a list has shown.
// Consumers must keep reading: a stream that falls far behind blocks, and the engine drops it, which shows as a gap.
func (e *Engine) Events(ctx context.Context, opts EventOptions) <-chan Event {
	out := make(chan Event, 64)
	s := &eventStream{engine: e, opts: opts, out: out, since: opts.Since}
	if s.since.IsZero() {
		// The engine acknowledges the request a moment before it listens; asking for the last second as well closes
		// that hole. It depends on both clocks agreeing only to that extent, and what is replayed does no harm.
		s.since = time.Now().Add(-time.Second)
	}
	go s.run(ctx)
	return out
}

type eventStream struct {
	engine *Engine
	opts   EventOptions
	out    chan<- Event
	since  time.Time // where the next connection begins, on the engine's clock once an event was seen
}

// The pauses between attempts to reconnect. Chosen: an engine's restart takes a second or more.
const (
	firstReconnect = 50 * time.Millisecond
	lastReconnect  = 3 * time.Second
)

func (s *eventStream) run(ctx context.Context) {
	defer close(s.out)
	for pause := firstReconnect; ; pause = min(2*pause, lastReconnect) {
		connected, err := s.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		if connected {
			pause = firstReconnect
		}
		lost := s.engine.convert(err, "watch the events of", s.engine.host)
		if !s.send(ctx, Event{Time: time.Now(), Type: "engine", Action: EventLost, Err: lost}) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// connection runs one connection to its end and tells whether it came about.
func (s *eventStream) connection(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query := url.Values{"since": {timestamp(s.since)}}
	if filter := s.filter(); filter.Len() > 0 {
		text, err := filters.ToJSON(filter)
		if err != nil {
			return false, err
		}
		query.Set("filters", text)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.engine.target("/events", query), http.NoBody)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := s.engine.cli.HTTPClient().Do(req)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, refused(resp)
	}
	defer func() { _ = resp.Body.Close() }()
	if !s.send(ctx, Event{Time: time.Now(), Type: "engine", Action: EventGap}) {
		return true, ctx.Err()
	}
	decoder := json.NewDecoder(resp.Body)
	for {
		var m eventMessage
		if err := decoder.Decode(&m); err != nil {
			return true, err
		}
		at := time.Unix(0, m.TimeNano)
		s.since = at.Add(1)
		if !s.send(ctx, Event{Time: at, Type: m.Type, Action: m.Action, ID: m.Actor.ID, Attributes: m.Actor.Attributes}) {
			return true, ctx.Err()
		}
	}
}

// eventMessage is the part of the engine's events that is not deprecated.
type eventMessage struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
	TimeNano int64 `json:"timeNano"`
}

func (s *eventStream) filter() filters.Args {
	args := labelFilter(s.opts.Labels)
	for _, t := range s.opts.Types {
		args.Add("type", t)
	}
	for _, a := range s.opts.Actions {
		args.Add("event", a)
	}
	return args
}

func (s *eventStream) send(ctx context.Context, ev Event) bool {
	select {
	case s.out <- ev:
		return true
	case <-ctx.Done():
		return false
	}
}
