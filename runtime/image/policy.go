package image

import (
	"errors"
	"fmt"
	"strings"

	"skiff.local/skiff/runtime/docker"
)

// Policy is a container's imagePullPolicy.
type Policy string

// The policies, named as in the API.
const (
	Always       Policy = "Always"
	IfNotPresent Policy = "IfNotPresent"
	Never        Policy = "Never"
)

// Action is what to do about an image.
type Action string

// The actions.
const (
	UseLocal Action = "use-local"
	Pull     Action = "pull"
	Refuse   Action = "refuse"
)

// Decide applies a pull policy. An unknown policy pulls what is missing, which is the API's default.
func Decide(policy Policy, present bool) Action {
	switch {
	case policy == Always:
		return Pull
	case present:
		return UseLocal
	case policy == Never:
		return Refuse
	default:
		return Pull
	}
}

// FallBack reports whether a local image may stand in for a pull that failed: when the registry could not be reached or
// was itself unwell, but not when it said that the image does not exist or is not for us.
func FallBack(present bool, pullErr error) bool {
	return present && errors.Is(pullErr, docker.ErrRegistry) &&
		!errors.Is(pullErr, docker.ErrNotFound) && !errors.Is(pullErr, docker.ErrUnauthorized) && !errors.Is(pullErr, docker.ErrForbidden)
}

// The reasons that a container's waiting state gives, as kubelet has them.
const (
	ReasonInvalidName  = "InvalidImageName"
	ReasonInspectError = "ImageInspectError"
	ReasonNeverPull    = "ErrImageNeverPull"
	ReasonPull         = "ErrImagePull"
)

// Error is why a container can't have its image: a reason for its waiting state and a message for people.
type Error struct {
	Reason  string
	Message string
	// Suggestions are local images that may have been meant.
	Suggestions []string
	Err         error
}

func (e *Error) Error() string {
	if len(e.Suggestions) == 0 {
		return e.Message
	}
	return fmt.Sprintf("%s (local images with a similar name: %s)", e.Message, strings.Join(e.Suggestions, ", "))
}

// Unwrap gives the engine's error.
func (e *Error) Unwrap() error { return e.Err }

// Hint is the next thing to try.
func (e *Error) Hint() string {
	switch {
	case len(e.Suggestions) > 0:
		return "use one of the local images, or build this one"
	case e.Reason == ReasonNeverPull:
		return "build the image, or let it be pulled with imagePullPolicy: IfNotPresent"
	case errors.Is(e.Err, docker.ErrUnauthorized), errors.Is(e.Err, docker.ErrNotFound):
		return "build the image here, check its name, or name an imagePullSecret if its repository is private"
	case errors.Is(e.Err, docker.ErrRegistry):
		// Engines don't tell a registry that is away from one that wants a password and was given none.
		return "build the image here, check that its registry can be reached, or name an imagePullSecret if it is private"
	}
	return docker.Hint(e.Err)
}

// Event is something a pod's events should say.
type Event struct {
	Warning bool
	Reason  string
	Message string
}

// The events' reasons; all but the last are kubelet's.
const (
	EventPulling       = "Pulling"
	EventPulled        = "Pulled"
	EventFailed        = "Failed"
	EventInspectFailed = "InspectFailed"
	EventNeverPull     = "ErrImageNeverPull"
	// EventUsingLocal: the registry could not be asked, so the local image is used as it is.
	EventUsingLocal = "UsingLocalImage"
)
