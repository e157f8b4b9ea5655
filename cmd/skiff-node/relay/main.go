//go:build linux

package relay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/signal"
	"runtime"
	"syscall"

	"skiff.local/skiff/cmd/skiff-node/dns"
	"skiff.local/skiff/cmd/skiff-node/rules"
	"skiff.local/skiff/cmd/skiff-node/userspace"
	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/local/network/relayproto"
)

// Config is what a relay must know before anybody talks to it. It arrives as flags.
type Config struct {
	IP       netip.Addr   // the relay's own address on the pod network
	Cluster  netip.Prefix // pods and Services
	Services netip.Prefix // the part of it that the relay answers for
	DNS      netip.Addr   // the cluster's DNS Service
	Host     netip.Addr   // stands for the developer's machine
	Domain   string
	APIPort  uint16 // where pods' connections to the API arrive
	// KubeletPort is where those arrive that are meant for a node.
	KubeletPort uint16
	Upstream    netip.AddrPort
	State       string // file that outlives the process
	Socket      string
}

func parse(args []string, stderr io.Writer) (Config, error) {
	var c Config
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.TextVar(&c.IP, "ip", netip.Addr{}, "the relay's own `address`")
	flags.TextVar(&c.Cluster, "cluster", netip.Prefix{}, "`subnet` of pods and Services")
	flags.TextVar(&c.Services, "services", netip.Prefix{}, "`range` of Service addresses")
	flags.TextVar(&c.DNS, "dns", netip.Addr{}, "`address` of the cluster's DNS")
	flags.TextVar(&c.Host, "host", netip.Addr{}, "`address` that stands for the developer's machine")
	flags.TextVar(&c.Upstream, "upstream", netip.MustParseAddrPort("127.0.0.11:53"), "`server` for names outside of the cluster")
	flags.StringVar(&c.Domain, "domain", "cluster.local", "the cluster's domain")
	flags.StringVar(&c.State, "state", "/run/skiff/relay.json", "`file` that keeps the rules over a restart")
	flags.StringVar(&c.Socket, "socket", relayproto.Socket, "unix `socket` for the connector")
	port := flags.Uint("api-port", 6443, "`port` for connections to the API")
	kubelet := flags.Uint("kubelet-port", 10250, "`port` for connections to the nodes")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.APIPort, c.KubeletPort = uint16(*port), uint16(*kubelet)
	if !c.IP.IsValid() || !c.Services.IsValid() || !c.DNS.IsValid() || !c.Cluster.IsValid() {
		return c, errors.New("-ip, -cluster, -services and -dns are needed")
	}
	return c, nil
}

// threads is how many of the relay's goroutines run at once. Its work is to pass on what comes, and a third of its time
// went into their waking each other: on two cores, one at a time gave 1.1 to 1.2 × the requests, 1.3 × the DNS answers and
// the same throughput. A request costs it 31 µs then (43 before): one core is enough for what an exec carries.
const threads = 1

// Main runs the relay until SIGTERM or SIGINT and returns the exit code.
func Main(args []string, stderr io.Writer) int {
	runtime.GOMAXPROCS(threads)
	cfg, err := parse(args, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "relay: %v\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if err := run(ctx, cfg, log); err != nil {
		log.Error("relay stopped", "err", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, cfg Config, log *slog.Logger) error {
	// The socket first: the connector may already be waiting for it.
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.Socket, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen for the daemon: %w", err)
	}
	defer socket.Close()
	if err := own(cfg.Services); err != nil {
		return err
	}
	if cfg.Host.IsValid() {
		if err := own(netip.PrefixFrom(cfg.Host, 32)); err != nil {
			return err
		}
	}

	instance := make([]byte, 8)
	rand.Read(instance)
	r := &relay{cfg: cfg, log: log, instance: hex.EncodeToString(instance), zone: dns.NewZone()}
	r.openRules()
	r.restore()

	server := dns.New(dns.Config{
		Zone: r.zone, Domain: cfg.Domain, Cluster: cfg.Cluster, Upstream: []netip.AddrPort{cfg.Upstream},
		Fixed: map[string]netip.Addr{"host.skiff.local": cfg.Host, "host.docker.internal": cfg.Host},
		Texts: map[string]string{relayproto.InstanceName: r.instance},
	})
	for _, ip := range []netip.Addr{cfg.DNS, cfg.IP} {
		if err := server.Listen(ctx, netip.AddrPortFrom(ip, 53)); err != nil {
			return err
		}
	}
	if err := r.serveAPI(ctx); err != nil {
		return err
	}
	if cfg.Host.IsValid() {
		if err := r.serveHost(ctx); err != nil {
			return err
		}
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	r.serveSessions(ctx, socket)
	return nil
}

// openRules readies nftables, or the second best where there is none.
func (r *relay) openRules() {
	reserved := []rules.Reserve{
		{Addr: netip.AddrPortFrom(r.cfg.IP, r.cfg.APIPort), Protocol: relayproto.TCP},
		{Addr: netip.AddrPortFrom(r.cfg.IP, r.cfg.KubeletPort), Protocol: relayproto.TCP},
	}
	for _, ip := range []netip.Addr{r.cfg.IP, r.cfg.DNS} {
		for _, proto := range []relayproto.Protocol{relayproto.TCP, relayproto.UDP} {
			reserved = append(reserved, rules.Reserve{Addr: netip.AddrPortFrom(ip, 53), Protocol: proto})
		}
	}
	var host netip.AddrPort
	if r.cfg.Host.IsValid() {
		host = netip.AddrPortFrom(r.cfg.Host, relayproto.HostPort)
	}
	table, err := rules.Open(rules.Options{Node: r.cfg.IP, Reserved: reserved, Host: host, Log: r.log})
	if err == nil {
		r.rules = table
		return
	}
	r.log.Error("nftables is not usable", "err", err)
	r.problem = "the engine's kernel has no usable nftables: Services are forwarded by the relay's process, slower, and " +
		"without host.skiff.local and NetworkPolicies (" + err.Error() + ")"
	var taken []listen.Port
	for _, own := range reserved {
		taken = append(taken, listen.Port{Addr: own.Addr, Protocol: own.Protocol})
	}
	r.rules = userspace.New(r.cfg.IP, taken)
}
