package network_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/network/networktest"
)

// testSlowAccept has an endpoint that is no container but a listener of the test, which accepts when it wants to.
func testSlowAccept(t *testing.T, c *networktest.Cluster) {
	server, err := net.Listen("tcp", net.JoinHostPort(network.GatewayAddr(c.Subnet).String(), "0"))
	if err != nil {
		t.Skipf("pods' addresses are somewhere else: %v", err)
	}
	defer server.Close()
	at := server.Addr().(*net.TCPAddr)
	c.Service(webService(c, "slow", 21, 0))
	c.Slice("default", "slow", []networktest.Port{{Name: "http", Port: int32(at.Port), Protocol: corev1.ProtocolTCP}},
		networktest.Endpoint{IP: at.IP.String(), UID: "slow"})
	networktest.Eventually(t, networktest.Patience, func() string {
		conn, err := c.Network.DialContext(t.Context(), "tcp", "slow.default.svc:80")
		if err != nil {
			return err.Error()
		}
		defer conn.Close() // it stays in the queue
		return ""
	})

	settled := make(chan error, 1)
	go func() { settled <- c.Network.EndpointsSettled(t.Context(), "slow") }()
	select {
	case <-settled:
		t.Fatal("the pod may be told to stop while a connection waits to be accepted")
	case <-time.After(600 * time.Millisecond): // more than twice what there is for those on their way
	}
	begin := time.Now()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	t.Logf("settled %v after everything was accepted", time.Since(begin))
}

// testHostNetwork has a server of the test stand for one of a pod on the host's network.
func testHostNetwork(t *testing.T, c *networktest.Cluster, client *networktest.Pod) {
	server, err := net.Listen("tcp", net.JoinHostPort(network.GatewayAddr(c.Subnet).String(), "0"))
	if err != nil {
		t.Skipf("the engine's host is somewhere else: %v", err)
	}
	defer server.Close()
	go http.Serve(server, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the host") }))
	nodePort := freePort(t)
	c.Service(webService(c, "onhost", 22, nodePort))
	c.Slice("default", "onhost", []networktest.Port{{Name: "http", Port: int32(server.Addr().(*net.TCPAddr).Port), Protocol: corev1.ProtocolTCP}},
		networktest.Endpoint{IP: c.Network.Status().Relay.String(), UID: "onhost"})
	networktest.Eventually(t, networktest.Patience, func() string {
		inside, outside := client.Probe("get", "http://"+c.ServiceIP(22)+"/"), httpGet(fmt.Sprintf("http://127.0.0.1:%d/", nodePort))
		if inside != "the host" || outside != inside {
			return fmt.Sprintf("from a pod %q, from here %q", inside, outside)
		}
		return ""
	})
}
