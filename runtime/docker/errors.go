package docker

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// The kinds of failures that callers tell apart, with errors.Is.
var (
	// ErrNoEngine: nothing answers where the engine should be, or it stopped answering.
	ErrNoEngine = errors.New("no Docker Engine")
	// ErrPermission: the engine's socket exists and this user may not use it.
	ErrPermission = errors.New("no permission to use the Docker Engine")
	// ErrTooOld: the engine speaks only API versions before MinAPIVersion.
	ErrTooOld = errors.New("the Docker Engine is too old")
	// ErrConfig: DOCKER_HOST, the docker context or its files make no sense.
	ErrConfig = errors.New("the Docker client configuration is wrong")

	ErrNotFound     = errors.New("not found")
	ErrConflict     = errors.New("conflict")
	ErrNotModified  = errors.New("already in that state")
	ErrUnauthorized = errors.New("unauthorized")
	ErrForbidden    = errors.New("forbidden")
	ErrInvalid      = errors.New("invalid")
	ErrUnsupported  = errors.New("not supported by this engine")
	ErrInternal     = errors.New("engine failure")

	// ErrNoImage accompanies ErrNotFound when what is missing is an image.
	ErrNoImage = errors.New("no such image")
	// ErrRegistry: the registry could not be reached or refused; the engine itself is well.
	ErrRegistry = errors.New("registry failure")
	// ErrLostCount accompanies the refusal to remove a network that has no container: engines before 28 now and then count
	// wrong while containers come and leave at once, and count anew only when they are restarted.
	ErrLostCount = errors.New("the engine has lost count of the network's containers")
)

// Error is a failed engine operation. It says what was attempted, on which object, what the engine answered, and, where
// the cause is known well enough, what to try next.
type Error struct {
	Op     string // "create container"
	Object string // a name, id or address
	Kind   error  // one of the Err values
	Also   error  // a second Err value that holds as well; may be nil
	Text   string // what the engine said
	Advice string
	Err    error // the cause, for context errors and the operating system's
}

// Error is the message without the hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	b.WriteString(": ")
	switch {
	case e.Text != "":
		b.WriteString(e.Text)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	default:
		b.WriteString(e.Kind.Error())
	}
	return b.String()
}

// Is makes errors.Is find the kinds.
func (e *Error) Is(target error) bool {
	return target != nil && (target == e.Kind || target == e.Also)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint is the next thing to try, or empty.
func (e *Error) Hint() string { return e.Advice }

// Hint returns the advice attached to err or to something it wraps.
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Reason is what the engine said, without what was attempted: for messages that name the object themselves.
func Reason(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Text != "" {
		return e.Text
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// convert turns an SDK error into ours: the only place where that happens. Context errors stay findable with errors.Is.
func (e *Engine) convert(err error, op, object string) error {
	if err == nil {
		return nil
	}
	out := &Error{Op: op, Object: object, Text: engineText(err), Err: err, Kind: ErrInternal}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		out.Kind, out.Text = nil, ""
	case errors.Is(err, fs.ErrPermission):
		out.Kind, out.Advice = ErrPermission, permissionAdvice(e.host)
	case client.IsErrConnectionFailed(err), isDialFailure(err):
		out.Kind, out.Advice = ErrNoEngine, noEngineAdvice(e.host)
	case cerrdefs.IsNotFound(err):
		out.Kind = ErrNotFound
	case cerrdefs.IsConflict(err), cerrdefs.IsAlreadyExists(err):
		out.Kind = ErrConflict
	case cerrdefs.IsNotModified(err):
		out.Kind = ErrNotModified
	case cerrdefs.IsUnauthorized(err):
		out.Kind = ErrUnauthorized
	case cerrdefs.IsPermissionDenied(err):
		out.Kind = ErrForbidden
	case cerrdefs.IsNotImplemented(err):
		out.Kind = ErrUnsupported
	case cerrdefs.IsInvalidArgument(err), cerrdefs.IsFailedPrecondition(err):
		out.Kind = ErrInvalid
	}
	return out
}

// engineText drops what the SDK puts before the engine's own words.
func engineText(err error) string {
	return strings.TrimPrefix(err.Error(), "Error response from daemon: ")
}

// unsupported is the error for something this engine's API version can't express.
func (e *Engine) unsupported(op, object, what, since string) error {
	return &Error{
		Op: op, Object: object, Kind: ErrUnsupported,
		Text:   what + " needs a Docker Engine with API " + since + " or newer; this one speaks " + e.APIVersion(),
		Advice: "upgrade the Docker Engine, or leave this out of the manifest",
	}
}
