package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"skiff.local/skiff/runtime/docker"
)

// Engine is what managing images needs of an engine.
type Engine interface {
	InspectImage(ctx context.Context, ref string) (*docker.ImageInfo, error)
	ListImages(ctx context.Context, labels map[string]string) ([]docker.ImageInfo, error)
	PullImage(ctx context.Context, ref string, opts docker.PullOptions) error
}

// Keyring finds the credentials that may open an image's repository, best first.
type Keyring interface {
	Lookup(ctx context.Context, ref Reference) []docker.RegistryAuth
}

// Config configures a Manager.
type Config struct {
	Engine Engine
	// Host has the credentials of the person who runs skiff; they come after a pod's own. Nil for none.
	Host Keyring
	// Parallel is how many pulls run at a time; 0 is DefaultParallel.
	Parallel int
	// Stall is how long a pull may go without any sign of progress; 0 is DefaultStall.
	Stall time.Duration
	// ReportEvery is how often a long pull reports its progress as an event; 0 is DefaultReportEvery.
	ReportEvery time.Duration
}

// Defaults, all of them chosen. The engine itself downloads three layers of an image at a time.
const (
	DefaultParallel    = 5
	DefaultStall       = 3 * time.Minute
	DefaultReportEvery = 15 * time.Second
)

// Manager gets containers their images. Pulls of the same image with the same credentials are made once, whoever asks.
type Manager struct {
	config Config
	slots  chan struct{}

	mu    sync.Mutex
	pulls map[pullKey]*pull
}

// NewManager returns a manager without anything in flight.
func NewManager(config Config) *Manager {
	if config.Parallel <= 0 {
		config.Parallel = DefaultParallel
	}
	if config.Stall <= 0 {
		config.Stall = DefaultStall
	}
	if config.ReportEvery <= 0 {
		config.ReportEvery = DefaultReportEvery
	}
	return &Manager{config: config, slots: make(chan struct{}, config.Parallel), pulls: map[pullKey]*pull{}}
}

// Request asks for the image of one container.
type Request struct {
	Image  string // as the pod has it
	Policy Policy
	// Keyring has the pod's own credentials; nil for none.
	Keyring Keyring
	// Notify receives what the pod's events should say; nil when nobody listens. It is called from Ensure's goroutine.
	Notify func(Event)
}

// Ensure makes sure that the engine has the image, as its pull policy says, and describes it. It blocks while the image
// is pulled. Failures are *Error with kubelet's reasons, except when ctx ends; they are not retried here: whoever asks
// decides when to ask again.
//
// The name is handed to the engine as it stands, so whatever the engine finds under it counts as present: also an image
// that was only ever built or imported locally, and also an image's id.
func (m *Manager) Ensure(ctx context.Context, req Request) (*docker.ImageInfo, error) {
	if req.Notify == nil {
		req.Notify = func(Event) {}
	}
	ref, err := Parse(req.Image)
	if err != nil && !isImageID(req.Image) {
		message := fmt.Sprintf("Failed to apply default image tag %q: %v", req.Image, err)
		req.Notify(Event{Warning: true, Reason: EventInspectFailed, Message: message})
		return nil, &Error{Reason: ReasonInvalidName, Message: message, Err: err}
	}
	local, err := m.config.Engine.InspectImage(ctx, req.Image)
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		if ctx.Err() != nil {
			return nil, err
		}
		message := fmt.Sprintf("Failed to inspect image %q: %v", req.Image, err)
		req.Notify(Event{Warning: true, Reason: EventInspectFailed, Message: message})
		return nil, &Error{Reason: ReasonInspectError, Message: message, Err: err}
	}
	switch Decide(req.Policy, local != nil) {
	case UseLocal:
		req.Notify(Event{Reason: EventPulled, Message: fmt.Sprintf("Container image %q already present on machine", req.Image)})
		return local, nil
	case Refuse:
		failure := &Error{
			Reason: ReasonNeverPull, Message: fmt.Sprintf("Container image %q is not present with pull policy of Never", req.Image),
			Suggestions: m.suggest(ctx, ref),
		}
		req.Notify(Event{Warning: true, Reason: EventNeverPull, Message: failure.Error()})
		return nil, failure
	}
	if isImageID(req.Image) {
		if local != nil {
			return local, nil // an id can't be pulled and can't change
		}
		message := fmt.Sprintf("image id %q is not present, and an id can't be pulled", req.Image)
		return nil, &Error{Reason: ReasonPull, Message: message}
	}
	return m.pull(ctx, ref, req, local)
}

// pull pulls and falls back to the local image where that is right.
func (m *Manager) pull(ctx context.Context, ref Reference, req Request, local *docker.ImageInfo) (*docker.ImageInfo, error) {
	req.Notify(Event{Reason: EventPulling, Message: fmt.Sprintf("Pulling image %q", req.Image)})
	began := time.Now()
	waited, err := m.pullWithAny(ctx, ref, req)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("pull image %s: %w", req.Image, ctx.Err())
	}
	if FallBack(local != nil, err) {
		req.Notify(Event{Warning: true, Reason: EventUsingLocal, Message: fmt.Sprintf(
			"The registry of image %q could not be reached, the local image is used: %s", req.Image, docker.Reason(err))})
		return local, nil
	}
	if err != nil {
		failure := &Error{Reason: ReasonPull, Message: fmt.Sprintf("Failed to pull image %q: %s", req.Image, docker.Reason(err)), Err: err}
		if local == nil {
			failure.Suggestions = m.suggest(ctx, ref)
		}
		req.Notify(Event{Warning: true, Reason: EventFailed, Message: failure.Error()})
		return nil, failure
	}
	info, err := m.config.Engine.InspectImage(ctx, req.Image)
	if err != nil {
		return nil, &Error{Reason: ReasonInspectError, Message: fmt.Sprintf("Failed to inspect image %q: %v", req.Image, err), Err: err}
	}
	took := time.Since(began)
	req.Notify(Event{Reason: EventPulled, Message: fmt.Sprintf(
		"Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.", req.Image,
		(took - waited).Truncate(time.Millisecond), took.Truncate(time.Millisecond), info.Size)})
	return info, nil
}

// pullWithAny tries the credentials in order, as kubelet does: the first one that works wins, and without any the pull is
// anonymous. It returns how long it waited for its turn.
func (m *Manager) pullWithAny(ctx context.Context, ref Reference, req Request) (waited time.Duration, err error) {
	var auths []docker.RegistryAuth
	for _, ring := range []Keyring{req.Keyring, m.config.Host} {
		if ring != nil {
			auths = append(auths, ring.Lookup(ctx, ref)...)
		}
	}
	if len(auths) == 0 {
		auths = []docker.RegistryAuth{{}}
	}
	var failures []error
	for _, auth := range auths {
		w, err := m.join(ctx, ref, auth, req)
		waited += w
		if err == nil || ctx.Err() != nil {
			return waited, err
		}
		failures = append(failures, err)
		if FallBack(true, err) {
			break // other credentials don't make a registry reachable
		}
	}
	if len(failures) == 1 {
		return waited, failures[0]
	}
	return waited, errors.Join(failures...)
}

func (m *Manager) suggest(ctx context.Context, ref Reference) []string {
	if ref.named == nil {
		return nil
	}
	local, err := m.config.Engine.ListImages(ctx, nil)
	if err != nil {
		return nil // the failure at hand says more than this one would
	}
	return Suggest(ref, local)
}

// Pulls lists what is being pulled, oldest first.
func (m *Manager) Pulls() []Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Progress
	for _, p := range m.pulls {
		progress, _ := p.tracker.snapshot()
		out = append(out, progress)
	}
	slices.SortFunc(out, func(a, b Progress) int { return a.Since.Compare(b.Since) })
	return out
}

// isImageID recognises "sha256:…" and a bare digest, which Parse refuses since neither can be pulled.
func isImageID(s string) bool {
	s = strings.TrimPrefix(s, "sha256:")
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
