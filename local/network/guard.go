package network

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
	"skiff.local/skiff/runtime/docker"
)

// A guard keeps the policy of one pod enforced in its network namespace, by way of a helper process in its pause
// container that stays for as long as the pod is isolated. What it wrote stays without it.
type guard struct {
	network *Network
	uid     types.UID
	failing func(types.UID, error)
	wake    chan struct{}
	done    chan struct{}
	end     func()

	mu       sync.Mutex // guards everything below
	wanted   relayproto.PodGuard
	version  uint64 // of wanted
	inForce  uint64 // the version that is enforced
	progress chan struct{}
	err      error // why wanted is not in force
	leaving  bool  // the pod is not isolated any more
}

func newGuard(n *Network, uid types.UID, failing func(types.UID, error)) *guard {
	g := &guard{
		network: n, uid: uid, failing: failing, wake: make(chan struct{}, 1), done: make(chan struct{}),
		progress: make(chan struct{}),
	}
	g.end = sync.OnceFunc(func() { close(g.done) })
	return g
}

// want replaces what is to be enforced.
func (g *guard) want(w relayproto.PodGuard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.version > 0 && reflect.DeepEqual(g.wanted, w) {
		return
	}
	g.wanted = w
	g.version++
	g.pokeLocked()
}

// release ends the isolation of the pod, if it still lives, and then the guard.
func (g *guard) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaving = true
	g.wanted.Policy, g.wanted.Routed = relayproto.PodPolicy{Addr: g.wanted.Policy.Addr}, nil
	g.version++
	g.pokeLocked()
}

// stop ends the guard and leaves in force what is.
func (g *guard) stop() { g.end() }

func (g *guard) pokeLocked() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// wait returns when what is wanted now is in force.
func (g *guard) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		reached, progress, err := g.inForce == g.version, g.progress, g.err
		g.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-progress:
		}
	}
}

// isolates reports whether there is a policy to enforce, and not only a way to externalIPs to be given.
func (g *guard) isolates() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wanted.Policy.Ingress != nil || g.wanted.Policy.Egress != nil
}

func (g *guard) trouble() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// run keeps a helper running and told until the guard ends.
func (g *guard) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-g.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	const first, last = 50 * time.Millisecond, 2 * time.Second // chosen
	pause := first
	for ctx.Err() == nil {
		begin := time.Now()
		err := g.serve(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		if time.Since(begin) > last {
			pause = first
		}
		g.failed(err)
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, last)
	}
}

// failed notes a failure, and tells about it when it lasts: a pod that ends breaks its session, too.
func (g *guard) failed(err error) {
	g.mu.Lock()
	lasting := g.err != nil && !g.leaving
	g.err = err
	leaving := g.leaving
	close(g.progress)
	g.progress = make(chan struct{})
	g.mu.Unlock()
	if leaving || errors.Is(err, errNoSandbox) {
		// Gone, and its rules with it.
		if leaving {
			g.end()
		}
		return
	}
	if lasting {
		g.network.log.Warn("a pod's NetworkPolicies are not enforced", "uid", g.uid, "err", err)
		g.failing(g.uid, err)
	}
}

// errNoSandbox: the pod has no running pause container, and thus nothing to protect.
var errNoSandbox = errors.New("the pod's sandbox does not run")

// serve runs one helper. It returns nil when the guard's work is over.
func (g *guard) serve(ctx context.Context) error {
	sandbox, err := g.sandbox(ctx)
	if err != nil {
		return err
	}
	var trouble lockedBuffer
	// The pause container has NET_ADMIN, the pod's own containers have not.
	exec := docker.ExecSpec{Cmd: []string{docker.HelperPath, "policy"}, User: "0"}
	session, err := g.network.cfg.Engine.StartExec(ctx, sandbox, exec, &trouble)
	if err != nil {
		return fmt.Errorf("start the helper: %w", err)
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	acks := make(chan error, 2) // an answer, and the end of the session
	go func() {
		defer close(acks)
		for {
			var ack relayproto.Ack
			err := relayproto.ReadFrame(session, &ack)
			if err == nil && ack.Error != "" {
				err = errors.New(ack.Error)
			}
			select {
			case acks <- err:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for sent := uint64(0); ; {
		g.mu.Lock()
		w, version, leaving := g.wanted, g.version, g.leaving
		g.mu.Unlock()
		if version == sent {
			select {
			case <-ctx.Done():
				return nil
			case <-g.wake:
			case err := <-acks: // nothing was asked: the sandbox is gone
				g.reached(0)
				return errors.Join(errors.New("the helper ended"), err, trouble.err())
			}
			continue
		}
		if err := relayproto.WriteFrame(session, w); err != nil {
			return errors.Join(err, trouble.err())
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-acks:
			if err != nil {
				return errors.Join(err, trouble.err())
			}
		}
		sent = version
		g.reached(version)
		if leaving {
			return nil
		}
	}
}

func (g *guard) reached(version uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inForce, g.err = version, nil
	close(g.progress)
	g.progress = make(chan struct{})
}

// sandbox finds the pod's running pause container.
func (g *guard) sandbox(ctx context.Context) (string, error) {
	filter := docker.PodLabels(g.network.cfg.Profile, string(g.uid))
	filter[docker.LabelRole] = string(docker.RoleSandbox)
	list, err := g.network.cfg.Engine.ListContainers(ctx, docker.ListOptions{Labels: filter, RunningOnly: true})
	if err != nil {
		return "", fmt.Errorf("find the pod's sandbox: %w", err)
	}
	if len(list) == 0 {
		return "", errNoSandbox
	}
	return list[0].ID, nil
}
