package network_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/local/network/networktest"
)

// With several nodes, internalTrafficPolicy Local keeps pods on theirs, also where that leads nowhere.
func TestLocalTrafficStaysOnItsNode(t *testing.T) {
	c := networktest.Start(t, networktest.Options{Nodes: 3})
	pods := map[string]*networktest.Pod{}
	for _, at := range []string{"one", "two", "client-one", "client-two", "client-three"} {
		pods[at] = c.Pod("default", at, nil)
		c.Place(pods[at], at[strings.LastIndexByte(at, '-')+1:])
	}
	port := freePort(t)
	s := webService(c, "local", 20, port)
	s.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
	c.Service(s)
	endpoint := func(name string) networktest.Endpoint {
		return networktest.Endpoint{IP: pods[name].IP.String(), Node: name}
	}
	c.Slice("default", "local", []networktest.Port{httpPort, udpPort}, endpoint("one"), endpoint("two"))
	stays := func(client, want string) {
		t.Helper()
		ask := func() string { return pods[client].Probe("get", "http://"+c.ServiceIP(20)+"/") }
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := ask(); !strings.HasPrefix(got, want) && !strings.Contains(got, want) {
				return got
			}
			return ""
		})
		for range 4 {
			if got := ask(); !strings.HasPrefix(got, want) && !strings.Contains(got, want) {
				t.Errorf("%s got %q, want %q alone", client, got, want)
			}
		}
	}
	stays("client-one", "one from")
	stays("client-two", "two from")
	stays("client-three", "refused")
	// Localhost is no node's.
	for _, want := range []string{"one", "two"} {
		networktest.Eventually(t, networktest.Patience, func() string {
			if got := httpGet(fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.HasPrefix(got, want) {
				return got
			}
			return ""
		})
	}
	c.Slice("default", "local", []networktest.Port{httpPort, udpPort}, endpoint("one"))
	stays("client-two", "refused")
	c.Place(pods["client-two"], "one")
	stays("client-two", "one from")
	s.Spec.InternalTrafficPolicy = nil
	c.Service(s)
	stays("client-three", "one from")
}
