package network_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/network/networktest"
	"skiff.local/skiff/local/network/networktest/ports"
)

var (
	httpPort = networktest.Port{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}
	udpPort  = networktest.Port{Name: "echo", Port: 9090, Protocol: corev1.ProtocolUDP}
)

func webService(c *networktest.Cluster, name string, ip int, nodePort int32) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, ClusterIP: c.ServiceIP(ip), ClusterIPs: []string{c.ServiceIP(ip)},
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, NodePort: nodePort},
				{Name: "echo", Port: 90, Protocol: corev1.ProtocolUDP, NodePort: nodePort},
			},
		},
	}
	if nodePort == 0 {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	return s
}

// freePort is a port that nothing on this machine listens on.
func freePort(t *testing.T) int32 {
	t.Helper()
	return int32(ports.Free(t))
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestNetworkDirect(t *testing.T)       { testNetwork(t, networktest.Options{}) }
func TestNetworkThroughRelay(t *testing.T) { testNetwork(t, networktest.Options{ForceRelay: true}) }

// testNetwork is what a user may expect of Services, whichever way pod addresses are reached.
func testNetwork(t *testing.T, o networktest.Options) {
	c := networktest.Start(t, o)
	t.Logf("relay up and connected in %v", c.Started)
	one, two, client := c.Serve("one"), c.Serve("two"), c.Serve("client")
	nodePort := freePort(t)
	c.Service(webService(c, "web", 20, nodePort))
	clusterIP := c.ServiceIP(20)
	url := fmt.Sprintf("http://127.0.0.1:%d/", nodePort)

	t.Run("a Service without endpoints refuses at once", func(t *testing.T) {
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := client.Probe("connect", clusterIP+":80"); !strings.HasPrefix(got, "refused") {
				return got
			}
			return ""
		})
		expect(t, "UDP", client.Probe("udp", clusterIP+":90", "x"), "refused")
		if _, err := http.Get(url); err == nil {
			t.Error("the node port answers without endpoints")
		}
	})

	c.Slice("default", "web", []networktest.Port{httpPort, udpPort},
		networktest.Endpoint{IP: one.IP.String(), UID: "one"}, networktest.Endpoint{IP: two.IP.String(), UID: "two"})

	t.Run("a ClusterIP balances over its endpoints", func(t *testing.T) {
		seen := map[string]bool{}
		networktest.Eventually(t, networktest.Patience, func() string {
			got := client.Probe("get", "http://"+clusterIP+"/")
			seen[strings.Fields(got + " ?")[0]] = true
			if seen["one"] && seen["two"] {
				return ""
			}
			return fmt.Sprintf("%v, last %q", seen, got)
		})
		// As often as it takes to be its own endpoint.
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := one.Probe("get", "http://"+clusterIP+"/"); !strings.HasPrefix(got, "one") {
				return got
			}
			return ""
		})
		got := client.Probe("udp", clusterIP+":90", "ping")
		if !strings.HasSuffix(got, " ping") {
			t.Errorf("UDP through the ClusterIP: %q", got)
		}
		if got := client.Probe("connect", clusterIP+":81"); !strings.HasPrefix(got, "refused") {
			t.Errorf("a port that the Service does not have: %q", got)
		}
	})

	t.Run("a node port answers on both loopbacks and on the node's address", func(t *testing.T) {
		for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
			res, err := http.Get(fmt.Sprintf("http://%s:%d/", host, nodePort))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if !strings.HasPrefix(string(body), "one") && !strings.HasPrefix(string(body), "two") {
				t.Errorf("%s answers %q", host, body)
			}
		}
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", nodePort))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(3 * time.Second))
		conn.Write([]byte("hello"))
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if err != nil || !strings.HasSuffix(string(buf[:n]), " hello") {
			t.Errorf("UDP node port: %q, %v", buf[:n], err)
		}
		got := client.Probe("get", fmt.Sprintf("http://%s:%d/", c.Network.Status().Relay, nodePort))
		if !strings.HasPrefix(got, "one") && !strings.HasPrefix(got, "two") {
			t.Errorf("node port from inside: %q", got)
		}
	})

	t.Run("a pod about to stop gets no new connection", func(t *testing.T) {
		begin := time.Now()
		if err := c.Network.EndpointsSettled(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		t.Logf("settled in %v", time.Since(begin))
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		for range 20 {
			res, err := http.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			if !strings.HasPrefix(string(body), "two") {
				t.Fatalf("the node port went to %q", body)
			}
		}
		for range 5 {
			expect(t, "ClusterIP", client.Probe("get", "http://"+clusterIP+"/"), "two")
		}
		c.Slice("default", "web", []networktest.Port{httpPort, udpPort},
			networktest.Endpoint{IP: two.IP.String(), UID: "two", Terminating: true})
		networktest.Eventually(t, time.Second, func() string {
			if got := client.Probe("get", "http://"+clusterIP+"/"); !strings.HasPrefix(got, "two") {
				return "a terminating endpoint is better than none: " + got
			}
			return ""
		})
	})

	t.Run("a pod that is slow to accept is not stopped before it has", func(t *testing.T) { testSlowAccept(t, c) })

	t.Run("a pod on the host's network is an endpoint as any other", func(t *testing.T) { testHostNetwork(t, c, client) })

	t.Run("DNS follows the specification", func(t *testing.T) { testDNS(t, c, one, two, client, clusterIP) })

	t.Run("a pod reaches the API and the developer's machine", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(conn, "hello from the API")
				conn.Close()
			}
		}()
		port := l.Addr().(*net.TCPAddr).Port
		c.Network.SetAPIPort(port)
		expect(t, "API", client.Probe("api", c.ServiceIP(1)+":443"), "hello from the API")
		node := fmt.Sprintf("%s:%d", network.RelayAddr(c.Subnet), network.RelayKubeletPort)
		expect(t, "a node's kubelet", client.Probe("api", node), "hello from the API")
		host := client.Probe("resolve", "host.skiff.local", "A", c.ServiceIP(10))
		expect(t, "host", client.Probe("api", fmt.Sprintf("%s:%d", host, port)), "hello from the API")
		l.Close()
		got := client.Probe("connect", fmt.Sprintf("%s:%d", host, port))
		if got != "reset" && !strings.HasPrefix(got, "refused") {
			t.Errorf("a port where nobody listens: %q", got)
		}
	})

	t.Run("the daemon dials pods and Services by name", func(t *testing.T) {
		c.Slice("default", "web", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: two.IP.String(), UID: "two"})
		for _, addr := range []string{two.IP.String() + ":8080", clusterIP + ":80", "web.default.svc:80", "web.default.svc.cluster.local:80"} {
			networktest.Eventually(t, networktest.Patience, func() string {
				client := http.Client{Transport: &http.Transport{DialContext: c.Network.DialContext, DisableKeepAlives: true}}
				res, err := client.Get("http://" + addr + "/")
				if err != nil {
					return err.Error()
				}
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				if !strings.HasPrefix(string(body), "two") {
					return string(body)
				}
				return ""
			})
		}
		_, err := c.Network.DialContext(t.Context(), "tcp", "web.default.svc:81")
		if err == nil || !strings.Contains(err.Error(), "no such port") {
			t.Errorf("error = %v", err)
		}
	})
}

func testDNS(t *testing.T, c *networktest.Cluster, one, two, client *networktest.Pod, clusterIP string) {
	c.Service(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, ClusterIPs: []string{corev1.ClusterIPNone},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	})
	c.Slice("shop", "db", []networktest.Port{httpPort},
		networktest.Endpoint{IP: one.IP.String(), Hostname: "db-0"}, networktest.Endpoint{IP: two.IP.String(), Hostname: "db-1"},
		networktest.Endpoint{IP: client.IP.String(), Hostname: "db-2", NotReady: true})
	c.Service(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "outside"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.default.svc.cluster.local"},
	})
	server := c.ServiceIP(10)
	corefile := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns-custom"}, Data: map[string]string{
		"hosts.server": ".:53 {\n  hosts {\n    10.9.9.9 git.corp.test\n  }\n}\n",
	}}
	if _, err := c.Client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), corefile, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	networktest.Eventually(t, time.Second, func() string {
		if got := client.Probe("resolve", "db.shop.svc.cluster.local", "A", server); got == "not found" {
			return got
		}
		return ""
	})
	both := one.IP.String() + " " + two.IP.String()
	if one.IP.String() > two.IP.String() {
		both = two.IP.String() + " " + one.IP.String()
	}
	dashed := strings.ReplaceAll(one.IP.String(), ".", "-")
	for _, q := range []struct{ name, qtype, want string }{
		{"web.default.svc.cluster.local", "A", clusterIP},
		{"WEB.Default.svc.cluster.local", "A", clusterIP},
		{"_http._tcp.web.default.svc.cluster.local", "SRV", "web.default.svc.cluster.local.:80"},
		{"_echo._udp.web.default.svc.cluster.local", "SRV", "web.default.svc.cluster.local.:90"},
		{"_nope._tcp.web.default.svc.cluster.local", "SRV", "not found"},
		{"db.shop.svc.cluster.local", "A", both},
		{"db-0.db.shop.svc.cluster.local", "A", one.IP.String()},
		{"db-2.db.shop.svc.cluster.local", "A", "not found"},
		{"_http._tcp.db.shop.svc.cluster.local", "SRV", "db-0.db.shop.svc.cluster.local.:8080 db-1.db.shop.svc.cluster.local.:8080"},
		{"outside.shop.svc.cluster.local", "A", clusterIP},
		{"outside.shop.svc.cluster.local", "CNAME", "web.default.svc.cluster.local."},
		{"git.corp.test", "A", "10.9.9.9"},
		{clusterIP, "PTR", "web.default.svc.cluster.local."},
		{one.IP.String(), "PTR", "db-0.db.shop.svc.cluster.local."},
		{c.ServiceIP(5000), "PTR", "not found"},
		{dashed + ".default.pod.cluster.local", "A", one.IP.String()},
		{dashed + ".nowhere.pod.cluster.local", "A", "not found"},
		{"nothing.default.svc.cluster.local", "A", "not found"},
		{"web.nowhere.svc.cluster.local", "A", "not found"},
	} {
		for _, transport := range []string{"udp", "tcp"} {
			if got := client.Probe("resolve", q.name, q.qtype, server, transport); got != q.want {
				t.Errorf("%s %s over %s: %q, want %q", q.qtype, q.name, transport, got, q.want)
			}
		}
	}
}
