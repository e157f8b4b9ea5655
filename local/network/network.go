package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"skiff.local/skiff/local/network/gateway"
	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/ingress"
	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/runtime/docker"
)

// Engine is what the network needs of a Docker Engine.
type Engine interface {
	NetworkLister
	CreateNetwork(ctx context.Context, spec docker.NetworkSpec) (string, error)
	InspectNetwork(ctx context.Context, name string) (*docker.Network, error)
	RemoveNetwork(ctx context.Context, name string) error
	CreateContainer(ctx context.Context, spec docker.ContainerSpec) (string, error)
	StartContainer(ctx context.Context, id string) error
	StopContainer(ctx context.Context, id string, opts docker.StopOptions) error
	RemoveContainer(ctx context.Context, id string, opts docker.RemoveOptions) error
	InspectContainer(ctx context.Context, id string) (*docker.Container, error)
	ListContainers(ctx context.Context, opts docker.ListOptions) ([]docker.ContainerSummary, error)
	StartExec(ctx context.Context, id string, spec docker.ExecSpec, stderr io.Writer) (docker.Session, error)
}

// EnvDial set to "relay" makes the daemon carry every connection to pods through the relay, as with an engine on another
// machine: for an engine whose addresses are also those of somebody else in the daemon's network, and to compare.
const EnvDial = "SKIFF_DIAL"

// Config says which network to run.
type Config struct {
	Engine  Engine
	Profile string
	// Home is the folder of the profile. Two clusters of the same name and of different folders can't share an engine:
	// their containers could not be told apart.
	Home string
	// AuthorityDir keeps the local certificate authority, that of all profiles; without it, hosts that have no Secret have
	// no TLS.
	AuthorityDir string
	// Subnet is the /16 of pods and Services, as ChooseSubnet chose it once.
	Subnet        netip.Prefix
	ClusterDomain string // "cluster.local" when empty
	// Bind are the addresses that node ports answer on; loopback, both families, when empty.
	Bind []netip.Addr
	// Nodes is how many nodes the cluster shows; with more than one, internalTrafficPolicy Local makes a difference.
	Nodes int
	// ForceRelay never dials pod addresses directly, as if the engine were far away. For tests and for engines whose
	// addresses happen to be those of somebody else.
	ForceRelay bool
	// IngressPorts are where Ingresses are served; httpproxy.DefaultPorts when zero.
	IngressPorts httpproxy.Ports
	// IngressLog takes a line per request to an Ingress; when nil, it is profile.IngressLogFile in Home.
	IngressLog io.Writer
	Logger     *slog.Logger
}

// A Network is one cluster's. Its methods may be called from any goroutine.
type Network struct {
	cfg     Config
	log     *slog.Logger
	apiPort atomic.Int32
	direct  atomic.Bool // pod addresses can be dialled from here
	link    link
	program *program
	// listening and gatewaysListening are closed when localhost's ports are open for what there was when Run began: for
	// Services, pods and Ingresses, and for Gateways.
	listening, gatewaysListening chan struct{}

	mu    sync.Mutex
	image string          // of the relay; guarded by mu
	ports *listen.Manager // while Run runs; guarded by mu

	balancer *balancer           // while Run runs; guarded by mu
	ingress  *ingress.Controller // while Run runs; guarded by mu
	gateway  *gateway.Controller // while Run runs, where there may be Gateways; guarded by mu
	policing *policing           // while Run runs; guarded by mu
}

// New checks the configuration. Nothing happens before EnsureRelay.
func New(cfg Config) (*Network, error) {
	switch {
	case cfg.Engine == nil:
		return nil, errors.New("network: no engine")
	case cfg.Profile == "":
		return nil, errors.New("network: no profile")
	case !cfg.Subnet.Addr().Is4() || cfg.Subnet.Bits() > 20:
		return nil, errors.New("network: the subnet must be IPv4 and at least a /20")
	}
	if cfg.ClusterDomain == "" {
		cfg.ClusterDomain = "cluster.local"
	}
	if len(cfg.Bind) == 0 {
		cfg.Bind = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Subnet = cfg.Subnet.Masked()
	n := &Network{cfg: cfg, log: cfg.Logger.With("part", "network"), listening: make(chan struct{}), gatewaysListening: make(chan struct{})}
	n.link.changed = make(chan struct{})
	n.program = newProgram(n)
	return n, nil
}

// SetAPIPort says on which port of 127.0.0.1 the API server listens, where pods' connections to the API are taken.
func (n *Network) SetAPIPort(port int) { n.apiPort.Store(int32(port)) }

// Name is the engine network that pods join.
func (n *Network) Name() string { return docker.NetworkName(n.cfg.Profile) }
