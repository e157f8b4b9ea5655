package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/local/network/relayproto"
)

// policing keeps NetworkPolicies enforced: in the relay for what goes through Services, and in the namespace of every
// isolated pod for the rest.
type policing struct {
	network  *Network
	recorder record.EventRecorder
	policies networkinglisters.NetworkPolicyLister
	pods     corelisters.PodLister
	spaces   corelisters.NamespaceLister
	wake     chan struct{}

	syncing sync.Mutex // held while policies are worked out and handed on

	mu     sync.Mutex
	active bool                          // there is a policy; guarded by mu
	guards map[types.UID]*guard          // of isolated pods; guarded by mu
	early  map[types.UID]*corev1.Pod     // pods whose status does not have their address yet; guarded by mu
	told   map[types.UID]map[string]bool // problems of policies that an event told about; guarded by mu
}

func newPolicing(n *Network, c Cluster, recorder record.EventRecorder) *policing {
	return &policing{
		network: n, recorder: recorder, wake: make(chan struct{}, 1),
		policies: c.Informers.Networking().V1().NetworkPolicies().Lister(),
		pods:     c.Informers.Core().V1().Pods().Lister(), spaces: c.Informers.Core().V1().Namespaces().Lister(),
		guards: map[types.UID]*guard{}, told: map[types.UID]map[string]bool{},
		early: map[types.UID]*corev1.Pod{},
	}
}

// watch makes changes wake the policing. Pods and namespaces matter only while there are policies.
func (p *policing) watch(c Cluster) ([]cache.DoneChecker, error) {
	always := func() { p.poke() }
	ifActive := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.active {
			p.poke()
		}
	}
	var synced []cache.DoneChecker
	var failed error
	for informer, poke := range map[cache.SharedIndexInformer]func(){
		c.Informers.Networking().V1().NetworkPolicies().Informer(): always,
		c.Informers.Core().V1().Pods().Informer():                  ifActive,
		c.Informers.Core().V1().Namespaces().Informer():            ifActive,
	} {
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() },
		})
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		synced = append(synced, registration.HasSyncedChecker())
	}
	return synced, failed
}

func (p *policing) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run enforces until ctx ends. What is in force then stays so.
func (p *policing) run(ctx context.Context) {
	for {
		p.sync()
		select {
		case <-ctx.Done():
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, g := range p.guards {
				g.stop()
			}
			return
		case <-p.wake:
		}
		if !sleep(ctx, burst) {
			return
		}
	}
}

func (p *policing) sync() {
	p.syncing.Lock()
	defer p.syncing.Unlock()
	wanted, problems, err := p.compile()
	if err != nil {
		p.network.log.Error("NetworkPolicies can't be worked out", "err", err)
		return
	}
	p.complain(problems)
	list := make([]relayproto.PodPolicy, 0, len(wanted))
	for _, w := range wanted {
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b relayproto.PodPolicy) int { return a.Addr.Compare(b.Addr) })
	p.network.program.setPolicies(list)

	routed, err := p.routed(wanted)
	if err != nil {
		p.network.log.Error("pods can't be given a way to externalIPs", "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for uid, g := range p.guards {
		if _, stays := routed[uid]; !stays {
			g.release()
			delete(p.guards, uid)
		}
	}
	routes := p.network.program.externalIPs()
	for uid, w := range routed {
		p.guardLocked(uid).want(p.guardOf(w, routes))
	}
}

func (p *policing) guardLocked(uid types.UID) *guard {
	g := p.guards[uid]
	if g == nil {
		g = newGuard(p.network, uid, p.failing)
		p.guards[uid] = g
		go g.run()
	}
	return g
}

// guardTimeout bounds what a pod's start waits for its policies.
const guardTimeout = 3 * time.Second

// Guard puts the NetworkPolicies of a pod in force whose sandbox runs and whose containers are about to start, and returns
// when they are. The pod's status need not have the address yet. It returns at once for a pod that no policy selects,
// unless it must be given a way to externalIPs. The error says that the pod would run unprotected.
func (n *Network) Guard(ctx context.Context, pod *corev1.Pod, addr netip.Addr) error {
	n.mu.Lock()
	p := n.policing
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	if policies, err := p.policies.NetworkPolicies(pod.Namespace).List(labels.Everything()); err != nil || len(policies) == 0 && len(n.program.externalIPs()) == 0 {
		return err
	}
	early := pod.DeepCopy()
	early.Status.PodIP = addr.String()
	p.mu.Lock()
	p.early[pod.UID] = early
	p.mu.Unlock()
	p.sync()
	p.mu.Lock()
	g := p.guards[pod.UID]
	p.mu.Unlock()
	if g == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	err := g.wait(ctx)
	switch {
	case err != nil && g.isolates():
		return fmt.Errorf("enforce the NetworkPolicies of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	case err != nil:
		n.log.Warn("a pod starts without a way to the externalIPs of Services", "pod", pod.Namespace+"/"+pod.Name, "err", err)
	}
	return nil
}

// setPolicies makes the relay enforce these from the next update on.
func (p *program) setPolicies(list []relayproto.PodPolicy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reflect.DeepEqual(p.policies, list) {
		return
	}
	p.policies, p.policiesDirty = list, true
	p.markLocked()
}
