// Package daemon is the one place where a cluster is put together: it starts the store, the API, the controllers, the
// node and the network in order, serves what verbs ask of the cluster as a whole, and stops everything in reverse.
package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"skiff.local/skiff/local/apiserver"
	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/controllers/nodes"
	"skiff.local/skiff/local/memory"
	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/profile"
	"skiff.local/skiff/local/store"
	"skiff.local/skiff/runtime/docker"
)

// Options say which cluster to run and how.
type Options struct {
	Profile *profile.Profile
	// Start holds what the start decides; zero values keep what the cluster has.
	Start client.StartOptions
	// Version is skiff's own.
	Version string
	// Events takes the progress of the start as JSON lines. It is closed when the cluster is ready or has failed.
	Events io.WriteCloser
	Logger *slog.Logger
}

// clusterDomain is the DNS domain of Services and pods.
const clusterDomain = "cluster.local"

// daemon is a running cluster. Fields are set by the start, in order, and not changed afterwards.
type daemon struct {
	opts     Options
	profile  *profile.Profile
	settings profile.Settings
	log      *slog.Logger
	tell     *announcer
	started  time.Time

	engine    *docker.Engine
	nodeImage string
	store     *store.Store
	api       *apiserver.Server
	client    kubernetes.Interface
	network   *network.Network
	nodes     *nodes.Registry
	// pods is nil until the network is there; working is closed when it is set.
	pods    atomic.Pointer[pods]
	working chan struct{}
	// leaveNetwork ends the care for the relay and leaves it running; nil until it started.
	leaveNetwork atomic.Pointer[func()]
	sets         *sets

	// ready is closed when the cluster's DNS has answered once, and localhost's ports are open.
	ready chan struct{}
	// abandonStart ends a start that is under way; the daemon then waits for its end as one that has started.
	abandonStart context.CancelCauseFunc
	// stop takes the request that ends the daemon.
	stop chan client.StopRequest
	// failed takes the error of a part that ended although nobody asked it to.
	failed chan error
}

// Run runs the profile's cluster until ctx ends, which leaves the pods running, or until a verb asks it to stop. A
// start that fails is reported to Options.Events and returned; it leaves things as they were.
func Run(ctx context.Context, o Options) error {
	memory.Start()
	// Whoever started the daemon may be gone before the last event about it is written.
	signal.Ignore(syscall.SIGPIPE)
	d := &daemon{
		opts: o, profile: o.Profile, log: o.Logger, started: time.Now(),
		working: make(chan struct{}), ready: make(chan struct{}), stop: make(chan client.StopRequest, 1), failed: make(chan error, 8),
	}
	d.tell = newAnnouncer(o.Events, d.started)
	err := d.run(ctx)
	if err != nil {
		d.log.Error("the daemon ends", "error", err)
		d.tell.fail(failure(err, d.profile))
	}
	return err
}

func (d *daemon) run(ctx context.Context) error {
	release, err := d.profile.Lock()
	if err != nil {
		return err
	}
	defer release()
	// What a killed daemon wrote about itself would send verbs to an API that is not there yet.
	if err := d.profile.RemoveDaemon(); err != nil {
		return err
	}

	// Parts run until runCtx ends; what must end in order is on the stack.
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var undo stack
	defer func() {
		undo.unwind(d.log)
		cancel()
	}()
	startCtx, abandon := context.WithCancelCause(ctx)
	d.abandonStart = abandon
	if err := d.start(startCtx, runCtx, &undo); err != nil && context.Cause(startCtx) != errStopped {
		return err
	}
	go memory.Keep(runCtx, d.log)

	select {
	case <-ctx.Done():
		d.log.Info("asked to end by a signal: pods keep running")
	case request := <-d.stop:
		d.log.Info("asked to stop", "keepPods", request.KeepPods)
	case err := <-d.failed:
		return err
	}
	return nil
}

// stack undoes the steps of a start, the last one first.
type stack []func() error

func (s *stack) push(undo func() error) { *s = append(*s, undo) }

func (s *stack) unwind(log *slog.Logger) {
	for i := len(*s) - 1; i >= 0; i-- {
		if err := (*s)[i](); err != nil {
			log.Error("stop", "error", err)
		}
	}
	*s = nil
}

// supervise runs a part for as long as ctx lasts; one that ends earlier ends the daemon, because a cluster that is
// half alive misleads more than one that is down.
func (d *daemon) supervise(ctx context.Context, name string, run func(context.Context) error) {
	go func() {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case d.failed <- fmt.Errorf("%s ended: %w", name, err):
		default:
		}
	}()
}

func ips(addrs ...netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range addrs {
		out = append(out, a.AsSlice())
	}
	return out
}

func executable() string {
	path, _ := os.Executable()
	return path
}
