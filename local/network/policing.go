package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"skiff.local/skiff/local/network/policy"
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

// routed adds all other pods to the isolated ones, without a policy, while there are externalIPs to give them a way to.
func (p *policing) routed(isolated map[types.UID]relayproto.PodPolicy) (map[types.UID]relayproto.PodPolicy, error) {
	if len(p.network.program.externalIPs()) == 0 {
		return isolated, nil
	}
	p.mu.Lock()
	p.active = true
	p.mu.Unlock()
	pods, err := p.pods.List(labels.Everything())
	if err != nil {
		return isolated, err
	}
	all := maps.Clone(isolated)
	if all == nil {
		all = map[types.UID]relayproto.PodPolicy{}
	}
	for _, o := range p.withEarly(pods) {
		if pod, ok := policy.PodOf(o); ok {
			if _, has := all[pod.UID]; !has {
				all[pod.UID] = relayproto.PodPolicy{Addr: pod.Addrs[0]}
			}
		}
	}
	return all, nil
}

// compile works out the policies of all pods.
func (p *policing) compile() (map[types.UID]relayproto.PodPolicy, []policy.Problem, error) {
	policies, err := p.policies.List(labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	p.active = len(policies) > 0
	p.mu.Unlock()
	if len(policies) == 0 {
		return nil, nil, nil
	}
	all, err := p.pods.List(labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	pods := []policy.Pod{p.clusterDNS()}
	for _, o := range p.withEarly(all) {
		if pod, ok := policy.PodOf(o); ok {
			pods = append(pods, pod)
		}
	}
	spaces, err := p.spaces.List(labels.Everything())
	if err != nil {
		return nil, nil, err
	}
	byName := map[string]map[string]string{}
	for _, ns := range spaces {
		byName[ns.Name] = ns.Labels
	}
	wanted, problems := policy.Compile(policies, pods, byName)
	return wanted, problems, nil
}

// withEarly replaces the pods that are known better than by their status.
func (p *policing) withEarly(all []*corev1.Pod) []*corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.early) == 0 {
		return all
	}
	still := map[types.UID]*corev1.Pod{}
	all = slices.Clone(all)
	for i, o := range all {
		if early := p.early[o.UID]; early != nil && o.Status.PodIP == "" {
			still[o.UID], all[i] = early, early
		}
	}
	p.early = still
	return all
}

// clusterDNS stands for the pods of the cluster's DNS, which policies select by their well-known label: here it is the
// relay.
func (p *policing) clusterDNS() policy.Pod {
	subnet := p.network.cfg.Subnet
	return policy.Pod{
		Namespace: metav1.NamespaceSystem, Name: "kube-dns", Labels: map[string]string{"k8s-app": "kube-dns"},
		Addrs: []netip.Addr{RelayAddr(subnet), DNSAddr(subnet)},
		Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", ContainerPort: 53, Protocol: corev1.ProtocolTCP}},
	}
}

func (p *policing) guardOf(w relayproto.PodPolicy, routes []netip.Addr) relayproto.PodGuard {
	subnet := p.network.cfg.Subnet
	relay, host := RelayAddr(subnet), HostAddr(subnet)
	g := relayproto.PodGuard{
		Policy:  w,
		Node:    []netip.Addr{GatewayAddr(subnet), relay},
		Relayed: []netip.Prefix{ServiceRange(subnet), netip.PrefixFrom(relay, 32), netip.PrefixFrom(host, 32)},
		Routed:  routes, Via: relay,
	}
	for _, ip := range routes {
		g.Relayed = append(g.Relayed, netip.PrefixFrom(ip, 32))
	}
	return g
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

// failing is told when a pod's policy is not enforced.
func (p *policing) failing(uid types.UID, err error) {
	pod := p.podOf(uid)
	p.mu.Lock()
	g := p.guards[uid]
	p.mu.Unlock()
	switch {
	case pod == nil:
	case g != nil && !g.isolates():
		p.recorder.Eventf(pod, corev1.EventTypeWarning, "ExternalIPsNotReachable", "the externalIPs of Services can't be reached from this pod: %v", err)
	default:
		p.recorder.Eventf(pod, corev1.EventTypeWarning, "NetworkPolicyNotEnforced", "NetworkPolicies are not enforced for this pod: %v", err)
	}
}

// podOf is the pod with this identity, or nil when there is none any more.
func (p *policing) podOf(uid types.UID) *corev1.Pod {
	pods, err := p.pods.List(labels.Everything())
	if err != nil {
		return nil
	}
	for _, pod := range pods {
		if pod.UID == uid {
			return pod
		}
	}
	return nil
}

// complain makes an event of what has no meaning in a policy, once for as long as it lasts.
func (p *policing) complain(problems []policy.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := map[types.UID]map[string]bool{}
	for _, problem := range problems {
		uid := problem.Policy.UID
		if now[uid] == nil {
			now[uid] = map[string]bool{}
		}
		now[uid][problem.Message] = true
		if !p.told[uid][problem.Message] {
			p.recorder.Event(problem.Policy, corev1.EventTypeWarning, "InvalidPolicy", problem.Message)
		}
	}
	p.told = now
}

// unenforced lists why the policies of pods are not in force, by the pods' namespaces and names.
func (p *policing) unenforced() map[types.NamespacedName]error {
	p.mu.Lock()
	guards := maps.Clone(p.guards)
	p.mu.Unlock()
	out := map[types.NamespacedName]error{}
	for uid, g := range guards {
		err := g.trouble()
		if err == nil || !g.isolates() {
			continue
		}
		if pod := p.podOf(uid); pod != nil {
			out[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = err
		}
	}
	return out
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
