package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// A Port is a place to listen.
type Port struct {
	Addr     netip.AddrPort
	Protocol relayproto.Protocol // TCP or UDP
}

// String is the port as messages name it: 127.0.0.1:80/tcp.
func (p Port) String() string { return p.Addr.String() + "/" + p.Protocol.String() }

// A Target is where a port's connections go.
type Target struct {
	Backends []netip.AddrPort
	// Affinity sends a client where its last connection went, for so long after it; 0 means anywhere.
	Affinity time.Duration
	// Sources, when there are any, are the networks that clients may come from; this machine itself always may.
	Sources []netip.Prefix
	// Quiet ports may fail without anybody being told: a family or an address that this machine does not have.
	Quiet bool
	// Answer, when not nil, answers TCP connections, and closes them, instead of any backend.
	Answer func(net.Conn)
}

// An Owner says for whom a port is open.
type Owner struct {
	Namespace, Name string
	Kind            string // "Service" or "Pod"
}

// String names the owner as kubectl does.
func (o Owner) String() string { return o.Kind + " " + o.Namespace + "/" + o.Name }

// A Problem is a port that can't be opened.
type Problem struct {
	Owner Owner
	Port  Port
	Err   error
	// Holder is the program or the owner that has the port, where it could be found out.
	Holder string
	// Ours says that the holder is another owner.
	Ours  bool
	Since time.Time
}

// Config says what a Manager needs.
type Config struct {
	// Dial connects to an endpoint.
	Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
	// Failed is told once about each port that can't be opened, Opened when it could be after all. Both may be nil,
	// and must not call the Manager.
	Failed func(Problem)
	Opened func(Owner, Port)
	Logger *slog.Logger
}

// A Manager keeps ports open. Its methods may be called from any goroutine.
type Manager struct {
	cfg Config

	mu       sync.Mutex
	wanted   map[Owner]map[Port]Target // guarded by mu
	open     map[Port]*listener        // guarded by mu
	problems map[Port]map[Owner]*Problem
	retry    *time.Timer // guarded by mu; nil when nothing waits
	closed   bool

	unanswered unanswered
}

// listener is an open port.
type listener struct {
	owner  Owner
	target *target
	close  func()
}

// New returns a manager without ports.
func New(cfg Config) *Manager {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Manager{
		cfg: cfg, wanted: map[Owner]map[Port]Target{}, open: map[Port]*listener{}, problems: map[Port]map[Owner]*Problem{},
	}
}

// Set makes ports everything that the owner has open; nil closes all. When it returns, new connections go by it.
func (m *Manager) Set(owner Owner, ports map[Port]Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	freed := false
	for port := range m.wanted[owner] {
		if _, stays := ports[port]; stays {
			continue
		}
		m.forgetProblemLocked(port, owner)
		if l := m.open[port]; l != nil && l.owner == owner {
			l.close()
			delete(m.open, port)
			freed = true
		}
	}
	if len(ports) == 0 {
		delete(m.wanted, owner)
	} else {
		m.wanted[owner] = ports
	}
	for port, t := range ports {
		m.ensureLocked(owner, port, t)
	}
	if freed && len(m.problems) > 0 {
		m.retryLocked()
	}
}

// Close closes every port. Connections that are open stay open.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.retry != nil {
		m.retry.Stop()
	}
	for _, l := range m.open {
		l.close()
	}
	m.open = map[Port]*listener{}
}

// Problems lists the ports that can't be opened, in a stable order.
func (m *Manager) Problems() []Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Problem
	for _, byOwner := range m.problems {
		for _, p := range byOwner {
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b Problem) int {
		if c := a.Port.Addr.Compare(b.Port.Addr); c != 0 {
			return c
		}
		return int(a.Port.Protocol) - int(b.Port.Protocol)
	})
	return all
}

// Open reports whether the owner has the port.
func (m *Manager) Open(owner Owner, port Port) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.open[port]
	return l != nil && l.owner == owner
}

// Holder names who has a port of this machine: an owner here, or another program; "" where that can't be seen.
func (m *Manager) Holder(port Port) string {
	m.mu.Lock()
	l := m.open[port]
	m.mu.Unlock()
	if l != nil {
		return l.owner.String()
	}
	return holderOf(port)
}

// Addresses lists where the owner has a port open, in order.
func (m *Manager) Addresses(owner Owner, port uint16, proto relayproto.Protocol) []netip.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []netip.Addr
	for p, l := range m.open {
		if l.owner == owner && p.Addr.Port() == port && p.Protocol == proto {
			all = append(all, p.Addr.Addr())
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

func (m *Manager) ensureLocked(owner Owner, port Port, t Target) {
	if l := m.open[port]; l != nil {
		if l.owner == owner {
			l.target.set(t)
			return
		}
		m.failLocked(owner, port, t, errTaken, l.owner.String())
		return
	}
	l, err := m.listen(port, t)
	if err != nil {
		holder := ""
		if InUse(err) {
			holder = holderOf(port)
		}
		m.failLocked(owner, port, t, err, holder)
		return
	}
	l.owner = owner
	m.open[port] = l
	if m.forgetProblemLocked(port, owner) && m.cfg.Opened != nil {
		m.cfg.Opened(owner, port)
	}
}

// errTaken is the error of a port that another owner has.
var errTaken = errors.New("another Service has it")

func (m *Manager) listen(port Port, t Target) (*listener, error) {
	shared := newTarget(t)
	switch port.Protocol {
	case relayproto.TCP:
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(port.Addr))
		if err != nil {
			return nil, err
		}
		go m.serveTCP(l, shared)
		return &listener{target: shared, close: func() { l.Close() }}, nil
	case relayproto.UDP:
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(port.Addr))
		if err != nil {
			return nil, err
		}
		relay := newUDP(c, shared, m.cfg)
		go relay.serve()
		return &listener{target: shared, close: func() { c.Close() }}, nil
	}
	return nil, fmt.Errorf("%s is not available on localhost", port.Protocol)
}

// retryEvery is how often ports that can't be opened are tried again; chosen, well within what a person calls at once.
const retryEvery = time.Second

func (m *Manager) failLocked(owner Owner, port Port, t Target, err error, holder string) {
	if t.Quiet && !InUse(err) && !errors.Is(err, errTaken) {
		return
	}
	if m.problems[port] == nil {
		m.problems[port] = map[Owner]*Problem{}
	}
	old := m.problems[port][owner]
	p := &Problem{Owner: owner, Port: port, Err: err, Holder: holder, Ours: errors.Is(err, errTaken), Since: time.Now()}
	if old != nil {
		p.Since = old.Since
	}
	m.problems[port][owner] = p
	if old == nil || old.Err.Error() != err.Error() {
		m.cfg.Logger.Warn("a port can't be opened", "port", port.String(), "owner", owner.String(), "err", err, "holder", holder)
		if m.cfg.Failed != nil && !t.Quiet {
			m.cfg.Failed(*p)
		}
	}
	if m.retry == nil {
		m.retry = time.AfterFunc(retryEvery, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.retryLocked()
		})
	}
}

func (m *Manager) forgetProblemLocked(port Port, owner Owner) bool {
	_, had := m.problems[port][owner]
	delete(m.problems[port], owner)
	if len(m.problems[port]) == 0 {
		delete(m.problems, port)
	}
	return had
}

func (m *Manager) retryLocked() {
	if m.retry != nil {
		m.retry.Stop()
		m.retry = nil
	}
	if m.closed {
		return
	}
	type waiting struct {
		owner Owner
		port  Port
	}
	var all []waiting
	for port, byOwner := range m.problems {
		for owner := range byOwner {
			all = append(all, waiting{owner, port})
		}
	}
	// Who waited longest goes first.
	slices.SortFunc(all, func(a, b waiting) int {
		return m.problems[a.port][a.owner].Since.Compare(m.problems[b.port][b.owner].Since)
	})
	for _, w := range all {
		m.ensureLocked(w.owner, w.port, m.wanted[w.owner][w.port])
	}
}
