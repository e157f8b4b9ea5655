package rules

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff.local/skiff/local/network/relayproto"
)

// roleEnv makes the test's program play a part in a network namespace of its own.
const roleEnv = "SKIFF_RULES_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(m.Run())
	case "relay":
		err = relayUnderLoad()
	case "client":
		err = connectAgainAndAgain()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A packet that is in the table while it changes must find an endpoint all the same. Without a rule behind the choice some
// ten connections were refused here.
func TestAnUpdateRefusesNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("changes a table under load for seconds")
	}
	cmd := inNamespace("relay", syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET)
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("this system lets no user make a network namespace")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func inNamespace(role string, flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	return cmd
}

const (
	underTest = "10.99.128.20:80"
	loadTime  = 5 * time.Second
)

// relayUnderLoad changes the endpoints of a Service as fast as it can while a client connects to it.
func relayUnderLoad() error {
	client := inNamespace("client", syscall.CLONE_NEWNET)
	client.Stdout, client.Stderr = os.Stdout, os.Stderr
	ready, err := client.StdinPipe()
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "here"}, PeerName: "there", PeerNamespace: netlink.NsPid(client.Process.Pid)}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("connect the namespaces: %w", err)
	}
	endpoints := []string{"10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.0.4"}
	if err := address("here", endpoints...); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	err = netlink.RouteAdd(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		Dst: &net.IPNet{IP: net.IPv4(10, 99, 128, 0), Mask: net.CIDRMask(17, 32)},
	})
	if err != nil {
		return fmt.Errorf("own the service's address: %w", err)
	}
	s := relayproto.Service{
		Key:        relayproto.Key{Namespace: "default", Name: "web"},
		ClusterIPs: []netip.Addr{netip.MustParseAddrPort(underTest).Addr()}, Ports: []relayproto.Port{{Protocol: relayproto.TCP, Port: 80}},
	}
	var all []netip.AddrPort
	for _, ip := range endpoints {
		l, err := net.Listen("tcp4", ip+":8080")
		if err != nil {
			return err
		}
		go hangUpOnAll(l)
		all = append(all, l.Addr().(*net.TCPAddr).AddrPort())
	}
	table, err := Open(Options{Node: all[0].Addr(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	apply := func(backends ...netip.AddrPort) error {
		s.Ports = []relayproto.Port{{Protocol: relayproto.TCP, Port: 80, Backends: backends}}
		// Without forgetting flows, which would take most of the time.
		return table.execute([]*change{planChange(s.Key, table.current[s.Key], compile(s, table.node, nil))})
	}
	if err := apply(all[:3]...); err != nil {
		return err
	}
	ready.Close()
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	for changes := 0; ; changes += 2 {
		select {
		case err := <-ended:
			fmt.Println(changes, "changes")
			return err
		default:
		}
		if err := errors.Join(apply(all[1:]...), apply(all[:3]...)); err != nil {
			return err
		}
	}
}

func hangUpOnAll(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}

// address sets up an interface.
func address(name string, ips ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, ip := range ips {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ip), Mask: net.CIDRMask(16, 32)}}); err != nil {
			return fmt.Errorf("give %s address %s: %w", name, ip, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// connectAgainAndAgain fails when a connection does.
func connectAgainAndAgain() error {
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	if err := address("there", "10.99.1.1"); err != nil {
		return err
	}
	var made, failed atomic.Int64
	var last atomic.Value
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for begin := time.Now(); time.Since(begin) < loadTime; {
				conn, err := net.DialTimeout("tcp4", underTest, 3*time.Second)
				if err != nil {
					failed.Add(1)
					last.Store(err.Error())
					continue
				}
				made.Add(1)
				conn.(*net.TCPConn).SetLinger(0) // so that ports don't run out
				conn.Close()
			}
		})
	}
	clients.Wait()
	fmt.Println(made.Load(), "connections")
	if n := failed.Load(); n > 0 || made.Load() == 0 {
		return fmt.Errorf("%d connections failed, the last with: %v", n, last.Load())
	}
	return nil
}
