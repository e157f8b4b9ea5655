package network

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// settleTimeout bounds what a pod's end waits for the network; chosen: some hundred times what it takes.
const settleTimeout = 2 * time.Second

// inFlight is for connections that were on their way when the rules changed: packets in queues, handshakes that the server
// has yet to accept. Chosen: under a load of ten processes per CPU, handshakes took up to 60 ms, and a server now and then some
// hundred to accept.
const inFlight = 250 * time.Millisecond

// accepting bounds how long connections to the pod that localhost's listeners have just made may go unanswered before it is
// told to stop: on a machine with more to do than it can, a server took 400 ms to accept. Chosen.
const accepting = time.Second

// EndpointsSettled takes a pod that is about to be stopped out of everything that new connections may go to, whatever its
// endpoints still say, and returns when the relay's rules, DNS and localhost's listeners go by it. Call it before the pod
// is told to stop. It waits for two seconds at most; the error says that the network is behind.
func (n *Network) EndpointsSettled(ctx context.Context, pod types.UID) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	change, served := n.program.drain(pod)
	for {
		reached, progress := n.program.reached(change)
		if reached {
			if served && sleep(ctx, inFlight) {
				n.awaitAnswers(ctx, pod)
			}
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("take pod %s out of its Services: %w", pod, ctx.Err())
		}
	}
}

// awaitAnswers returns when no young connection to the pod is unanswered any more.
func (n *Network) awaitAnswers(ctx context.Context, pod types.UID) {
	n.mu.Lock()
	ports := n.ports
	n.mu.Unlock()
	if ports == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, accepting)
	defer cancel()
	young := time.Now().Add(-accepting)
	for _, addr := range n.program.addressesOf(pod) {
		ports.AwaitAnswers(ctx, addr, young)
	}
}
