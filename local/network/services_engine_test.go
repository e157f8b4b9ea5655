package network_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/networktest"
)

func httpGet(url string) string {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

func TestKindsOfServices(t *testing.T) {
	c := networktest.Start(t, networktest.Options{})
	one, two, client := c.Serve("one"), c.Serve("two"), c.Serve("client")
	both := []networktest.Endpoint{{IP: one.IP.String()}, {IP: two.IP.String()}}

	t.Run("affinity keeps a client on its endpoint while others go elsewhere", func(t *testing.T) {
		s := webService(c, "sticky", 30, 0)
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		c.Service(s)
		c.Slice("default", "sticky", []networktest.Port{httpPort, udpPort}, both...)
		url := "http://" + c.ServiceIP(30) + "/"
		var first string
		networktest.Eventually(t, networktest.Patience, func() string {
			first, _, _ = strings.Cut(client.Probe("get", url), " ")
			if first != "one" && first != "two" {
				return first
			}
			return ""
		})
		for range 8 {
			if got := client.Probe("get", url); !strings.HasPrefix(got, first+" ") {
				t.Fatalf("went to %q after %s", got, first)
			}
		}
		// Another endpoint that comes does not move the client; its own that goes does.
		left, stays := both[0], both[1]
		if first == "one" {
			left, stays = both[1], both[0]
		}
		c.Slice("default", "sticky", []networktest.Port{httpPort, udpPort}, stays)
		time.Sleep(50 * time.Millisecond)
		c.Slice("default", "sticky", []networktest.Port{httpPort, udpPort}, both...)
		time.Sleep(50 * time.Millisecond)
		for range 8 {
			if got := client.Probe("get", url); !strings.HasPrefix(got, first+" ") {
				t.Fatalf("another endpoint came and went, and the client moved to %q", got)
			}
		}
		c.Slice("default", "sticky", []networktest.Port{httpPort, udpPort}, left)
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := client.Probe("get", url); strings.HasPrefix(got, first+" ") || strings.HasPrefix(got, "error") {
				return got
			}
			return ""
		})
	})

	t.Run("a UDP client moves on when its endpoint goes", func(t *testing.T) {
		c.Service(webService(c, "udp", 31, 0))
		c.Slice("default", "udp", []networktest.Port{httpPort, udpPort}, both[0])
		addr := c.ServiceIP(31) + ":90"
		fixed := func(want string) {
			t.Helper()
			networktest.Eventually(t, networktest.Patience, func() string {
				if got := client.Probe("udp", addr, "x", ":7777"); !strings.HasPrefix(got, want) {
					return got
				}
				return ""
			})
		}
		fixed("one x")
		c.Slice("default", "udp", []networktest.Port{httpPort, udpPort}, both[1])
		fixed("two x")
		c.Slice("default", "udp", []networktest.Port{httpPort, udpPort})
		fixed("refused")
		c.Slice("default", "udp", []networktest.Port{httpPort, udpPort}, both[0])
		fixed("one x")
	})

	t.Run("a client is free to go elsewhere when it has not been there for the time of its affinity", func(t *testing.T) {
		s := webService(c, "forgetful", 33, 0)
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To(int32(1))}}
		c.Service(s)
		c.Slice("default", "forgetful", []networktest.Port{httpPort, udpPort}, both...)
		seen := map[string]bool{}
		networktest.Eventually(t, 40*time.Second, func() string {
			name, _, _ := strings.Cut(client.Probe("get", "http://"+c.ServiceIP(33)+"/"), " ")
			seen[name] = true
			if seen["one"] && seen["two"] {
				return ""
			}
			time.Sleep(1100 * time.Millisecond) // longer than the affinity lasts
			return fmt.Sprintf("always %v", seen)
		})
	})

	t.Run("SCTP is forwarded", func(t *testing.T) {
		s := webService(c, "telecom", 34, 0)
		s.Spec.Ports = []corev1.ServicePort{{Name: "sctp", Port: 99, Protocol: corev1.ProtocolSCTP}}
		c.Service(s)
		c.Slice("default", "telecom", []networktest.Port{{Name: "sctp", Port: 9093, Protocol: corev1.ProtocolSCTP}}, both...)
		addr := c.ServiceIP(34) + ":99"
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := client.Probe("sctp", addr); got != "acknowledged from "+addr {
				return got
			}
			return ""
		})
	})

	t.Run("a connection attempt that nobody answers moves on when its endpoint goes", func(t *testing.T) {
		c.Service(webService(c, "lost", 32, 0))
		nobody := networktest.Endpoint{IP: c.PodIP(100*256 + 200)}
		c.Slice("default", "lost", []networktest.Port{httpPort, udpPort}, nobody)
		// The same port again is what the kernel does when it sends again what was not answered.
		attempt := func() string { return client.Probe("connect", c.ServiceIP(32)+":80", ":7778") }
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := attempt(); !strings.Contains(got, "timeout") {
				return got
			}
			return ""
		})
		c.Slice("default", "lost", []networktest.Port{httpPort, udpPort}, both[0])
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := attempt(); !strings.HasPrefix(got, "open") {
				return got
			}
			return ""
		})
	})

	t.Run("a port whose last connection was reset is not sent to an endpoint that has gone since", func(t *testing.T) {
		c.Service(webService(c, "hard", 35, 0))
		resets := networktest.Port{Name: "http", Port: 9094, Protocol: corev1.ProtocolTCP}
		asks := func(want string) {
			t.Helper()
			networktest.Eventually(t, networktest.Patience, func() string {
				if got := client.Probe("reset", c.ServiceIP(35)+":80", ":7779"); got != want {
					return got
				}
				return ""
			})
		}
		c.Slice("default", "hard", []networktest.Port{resets}, both[0])
		asks("one")
		c.Slice("default", "hard", []networktest.Port{resets}, both[1])
		asks("two")
	})

	testLocalhost(t, c, client, [2]*networktest.Pod{one, two}, "direct")

	// The daemon's half made anew as where pod addresses can't be dialled: what is inside the cluster is the relay's, whose
	// rules stay.
	c.Stop()
	c.New(networktest.Options{ForceRelay: true})
	c.Ensure()
	c.Run()
	if err := c.Network.WaitDNS(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Network.Status().Direct {
		t.Fatal("pod addresses are dialled directly")
	}
	testLocalhost(t, c, client, [2]*networktest.Pod{one, two}, "through-relay")

	t.Run("many Services are programmed in well under a second", func(t *testing.T) {
		const services, endpoints = 500, 10
		name, port, proto := "http", int32(8080), corev1.ProtocolTCP
		for i := range services {
			s := webService(c, fmt.Sprint("many", i), 1000+i, 0)
			slice := &discoveryv1.EndpointSlice{
				ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: s.Name, Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
				AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &proto}},
			}
			for e := range endpoints {
				ip := fmt.Sprintf("10.9.%d.%d", e, i%250)
				if i == services-1 {
					ip = two.IP.String()
				}
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
			}
			c.Service(s)
			if _, err := c.Client.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		last := "http://" + c.ServiceIP(1000+services-1) + "/"
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := client.Probe("get", last); !strings.HasPrefix(got, "two") {
				return got
			}
			return ""
		})
		// A daemon that comes back tells everything again; a relay that comes back has nothing.
		c.Stop()
		c.New(networktest.Options{})
		c.Ensure()
		c.Run()
		if err := c.Network.WaitDNS(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := c.Network.EndpointsSettled(t.Context(), "nobody"); err != nil {
			t.Fatal(err)
		}
		t.Logf("settled after a resync in %v", time.Since(begin))
		if got := client.Probe("get", last); !strings.HasPrefix(got, "two") {
			t.Error(got)
		}
	})
}
