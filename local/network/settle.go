package network

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/local/network/relayproto"
)

// settleTimeout bounds what a pod's end waits for the network; chosen: some hundred times what it takes.
const settleTimeout = 2 * time.Second

// inFlight is for connections that were on their way when the rules changed: packets in queues, handshakes that the server
// has yet to accept. Chosen: under a load of ten processes per CPU, handshakes took up to 60 ms, and a server now and then some
// hundred to accept.
const inFlight = 250 * time.Millisecond

// accepting bounds how long a pod that is slow to accept connections is waited for before it is told to stop: on a machine with
// more to do than it can, a server took 400 ms. Chosen.
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

// awaitAnswers returns when the pod has accepted what is in its queues, and no young connection from localhost is unanswered
// any more.
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
	var queues sync.WaitGroup
	for _, at := range n.program.endpointsOf(pod) {
		queues.Go(func() { n.awaitAccept(ctx, at) })
		ports.AwaitAnswers(ctx, at.Addr(), young)
	}
	queues.Wait()
}

// awaitAccept returns when a server has accepted the connections that it has been sent: the kernel queues them in order, so that
// one which comes last and says at once that it has nothing to say is ended, or greeted, after all others were accepted.
// Those through the relay can be seen in no other way from outside the pod.
func (n *Network) awaitAccept(ctx context.Context, at netip.AddrPort) {
	conn, err := n.dialCluster(ctx, "tcp", at)
	if err != nil {
		return // nobody listens, so nothing waits
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(aLongTimeAgo) })
	defer stop()
	relayproto.CloseWrite(conn)
	_, _ = conn.Read(make([]byte, 1))
}
