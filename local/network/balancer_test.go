package network

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network/httpproxy"
	"skiff.local/skiff/local/network/listen"
	"skiff.local/skiff/local/network/relayproto"
)

var (
	shared = netip.MustParseAddr("127.0.0.1")
	own    = netip.MustParseAddr("127.64.3.4")
)

func twoPorts() *corev1.Service {
	return &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{
		{Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}, {Port: 81, NodePort: 30081, Protocol: corev1.ProtocolTCP},
	}}}
}

func TestALoadBalancersStatusNamesWhatIsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		own    netip.Addr
		closed []string
		want   string
		lost   bool
	}{
		"everything is open":                    {own, nil, "localhost; 127.64.3.4", false},
		"where there are no more addresses":     {netip.Addr{}, nil, "localhost", false},
		"somebody has a port of localhost":      {own, []string{"127.0.0.1:80"}, "localhost 80✗ 81; 127.64.3.4", false},
		"somebody has localhost's ports":        {own, []string{"127.0.0.1:80", "127.0.0.1:81"}, "127.64.3.4", true},
		"ports below 1024 are root's":           {own, []string{"127.0.0.1:80", "127.0.0.1:81", "127.64.3.4:80", "127.64.3.4:81"}, "localhost 80✗ 81✗ 30080 30081", true},
		"somebody has the only address's ports": {netip.Addr{}, []string{"127.0.0.1:80", "127.0.0.1:81"}, "localhost 80✗ 81✗ 30080 30081", true},
	} {
		t.Run(name, func(t *testing.T) {
			svc := twoPorts()
			svc.Status.LoadBalancer.Ingress = balanced(svc, []netip.Addr{shared, netip.IPv6Loopback()}, c.own, func(a netip.Addr, p corev1.ServicePort) bool {
				return a.Is4() && !slices.Contains(c.closed, fmt.Sprintf("%s:%d", a, p.Port))
			})
			var got []string
			for _, in := range svc.Status.LoadBalancer.Ingress {
				text := in.Hostname + in.IP
				for _, p := range in.Ports {
					text += fmt.Sprintf(" %d", p.Port)
					if p.Error != nil {
						text += "✗"
					}
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("status: %s, want %s", text, c.want)
			}
			if lostLocalhost(svc) != c.lost {
				t.Errorf("lost localhost: %v", !c.lost)
			}
		})
	}
}

func TestWhereAServiceAnswersInstead(t *testing.T) {
	problem := func(addr string, err error, ours bool) listen.Problem {
		return listen.Problem{Port: listen.Port{Addr: netip.MustParseAddrPort(addr), Protocol: relayproto.TCP}, Err: err, Ours: ours}
	}
	for name, c := range map[string]struct {
		problem listen.Problem
		want    string
	}{
		"another Service has localhost's": {problem("127.0.0.1:80", syscall.EADDRINUSE, true), "127.64.3.4:80"},
		"a program has it":                {problem("127.0.0.1:80", syscall.EADDRINUSE, false), "localhost:30080, its node port"},
		"root alone may":                  {problem("127.0.0.1:81", os.ErrPermission, false), "localhost:30081, its node port"},
		"the Ingresses have it":           {nameIngress(problem("127.0.0.1:80", syscall.EADDRINUSE, false), httpproxy.Status{HTTP: 80}), "127.64.3.4:80"},
		"a node port":                     {problem("127.0.0.1:30080", syscall.EADDRINUSE, false), ""},
	} {
		if got := instead(twoPorts(), own, c.problem); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
