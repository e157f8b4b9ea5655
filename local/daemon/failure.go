package daemon

import (
	"context"
	"errors"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/runtime/docker"
)

// failure says err in the words of the verb that waits for this daemon.
func failure(err error, p *profile.Profile) *client.Failure {
	if f := client.AsFailure(err); f != nil {
		return f
	}
	f := &client.Failure{Reason: client.ReasonInternal, Message: err.Error(), Hint: docker.Hint(err)}
	switch {
	case errors.Is(err, docker.ErrNoEngine):
		f.Reason = client.ReasonNoEngine
	case errors.Is(err, docker.ErrPermission):
		f.Reason = client.ReasonEnginePermission
	case errors.Is(err, docker.ErrTooOld):
		f.Reason = client.ReasonEngineTooOld
	case errors.Is(err, docker.ErrConfig):
		f.Reason = client.ReasonInvalid
	case errors.Is(err, profile.ErrRunning):
		f.Reason = client.ReasonAlreadyRunning
	case errors.Is(err, context.DeadlineExceeded):
		f.Reason = client.ReasonTimeout
	case errors.As(err, new(*network.SubnetTakenError)):
		f.Reason = client.ReasonInvalid
	}
	if f.Hint == "" {
		f.Hint = "look at " + p.LogPath()
	}
	return f
}
