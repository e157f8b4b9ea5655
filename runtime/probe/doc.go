// Package probe runs the probes of containers from the node's side: HTTP, HTTPS, TCP and gRPC by connecting to the pod, exec
// inside the container. Results follow kubelet's rules for delays, periods and thresholds; the engine is asked nothing
// unless a probe is an exec.
package probe

import (
	"context"
	"net"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Kind is which of a container's probes it is.
type Kind string

// The kinds, as events name them.
const (
	Liveness  Kind = "Liveness"
	Readiness Kind = "Readiness"
	Startup   Kind = "Startup"
)

// A Target is what is probed and by which means.
type Target struct {
	Container *v1.Container
	PodIP     string
	// Dial reaches the pod's address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Exec runs a command in the container. When ctx ends it kills the command and returns ctx's error.
	Exec func(ctx context.Context, command []string) (exitCode int, output []byte, err error)
}

// An Outcome is one probe's result.
type Outcome struct {
	Kind    Kind
	OK      bool
	Warning bool // a success that Message has something to say about: a redirect to another host was not followed
	Message string
	// Settled: the thresholds are met, the result counts.
	Settled bool
	At      time.Time
}

// Values of the API's defaults, for objects that came past its defaulting.
const (
	defaultPeriod  = 10 * time.Second
	defaultTimeout = time.Second
)

func seconds(n int32, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}
