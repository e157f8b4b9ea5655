package network

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func ptr[T any](v T) *T { return &v }

// ep writes an endpoint as "ip[/uid][ notready|serving|dying]".
func ep(text string) discoveryv1.Endpoint {
	where, state, _ := strings.Cut(text, " ")
	ip, uid, _ := strings.Cut(where, "/")
	e := discoveryv1.Endpoint{Addresses: []string{ip}}
	if uid != "" {
		e.TargetRef = &corev1.ObjectReference{UID: types.UID(uid)}
	}
	switch state {
	case "notready":
		e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false)}
	case "dying":
		e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(true), Terminating: ptr(true)}
	case "dead":
		e.Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Serving: ptr(false), Terminating: ptr(true)}
	}
	return e
}

func slice(port int32, name string, endpoints ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for _, e := range endpoints {
		s.Endpoints = append(s.Endpoints, ep(e))
	}
	return s
}

func TestWhichEndpointsGetConnections(t *testing.T) {
	web := func(change ...func(*corev1.Service)) *corev1.Service {
		s := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.244.128.7"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}
		for _, c := range change {
			c(s)
		}
		return s
	}
	unready := func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }
	labelled := func(label string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Labels = map[string]string{label: ""} }
	}
	headless := func(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
		s.Labels = map[string]string{corev1.IsHeadlessService: ""}
		return s
	}
	for _, c := range []struct {
		name    string
		service *corev1.Service
		slices  []*discoveryv1.EndpointSlice
		ending  string
		ended   string
		want    string
	}{
		{"none without slices", web(), nil, "", "", "[]"},
		{"the ready ones", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1", "10.0.0.2 notready")}, "", "", "[10.0.0.1:8080]"},
		{"not those that terminate while one is ready", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1", "10.0.0.2 dying")}, "", "", "[10.0.0.1:8080]"},
		{"those that terminate when none is ready", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1 notready", "10.0.0.2 dying", "10.0.0.3 dead")}, "", "", "[10.0.0.2:8080]"},
		{"not one that is about to stop", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1/a", "10.0.0.2/b")}, "a", "", "[10.0.0.2:8080]"},
		{"one that is about to stop when it is the last", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1/a")}, "a", "", "[10.0.0.1:8080]"},
		{"what is published although unready stays to its end", web(unready), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1/a", "10.0.0.2/b")}, "a", "", "[10.0.0.1:8080 10.0.0.2:8080]"},
		{"nothing of a pod that is no more", web(unready), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1/a")}, "", "a", "[]"},
		{"ports that differ per pod", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1"), slice(9090, "http", "10.0.0.2"), slice(1, "other", "10.0.0.3")}, "", "", "[10.0.0.1:8080 10.0.0.2:9090]"},
		{"none of a Service that another proxy is to forward", web(labelled("service.kubernetes.io/service-proxy-name")), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1")}, "", "", "[]"},
		{"none of a Service that is labelled as headless", web(labelled("service.kubernetes.io/headless")), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1")}, "", "", "[]"},
		{"none of slices that are labelled as headless", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1"), headless(slice(8080, "http", "10.0.0.2"))}, "", "", "[10.0.0.1:8080]"},
		{"an address in two slices once", web(), []*discoveryv1.EndpointSlice{slice(8080, "http", "10.0.0.1"), slice(8080, "http", "10.0.0.1")}, "", "", "[10.0.0.1:8080]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := project(c.service, netip.MustParsePrefix("10.244.0.0/16"), c.slices, func(uid types.UID) fate {
				switch string(uid) {
				case c.ending:
					return isEnding
				case c.ended:
					return hasEnded
				}
				return stays
			})
			backends, ok := v.backends(80, protocol(""))
			if got := fmt.Sprint(backends); !ok || got != c.want {
				t.Errorf("backends = %s, want %s", got, c.want)
			}
		})
	}
}

func TestASubnetOverlapsNothing(t *testing.T) {
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, s := range texts {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, c := range []struct {
		taken []netip.Prefix
		want  string
	}{
		{nil, "10.244.0.0/16"},
		{prefixes("172.17.0.0/16", "192.168.1.0/24"), "10.244.0.0/16"},
		{prefixes("10.244.3.0/24"), "10.245.0.0/16"},
		{prefixes("10.240.0.0/12"), "10.239.0.0/16"},
		{prefixes("10.0.0.0/8"), "172.31.0.0/16"},
	} {
		got, err := choose(c.taken)
		if err != nil || got.String() != c.want {
			t.Errorf("with %v: %v, %v; want %s", c.taken, got, err, c.want)
		}
	}
	if got, err := choose(prefixes("10.0.0.0/8", "172.16.0.0/12")); err == nil {
		t.Errorf("with everything taken: %v", got)
	}
}

func TestTheAddressPlanHoldsTogether(t *testing.T) {
	for _, text := range []string{"10.244.0.0/16", "172.31.0.0/16", "10.9.240.0/20"} {
		s := netip.MustParsePrefix(text)
		pods, services := PodRange(s), ServiceRange(s)
		if pods.Overlaps(services) || !s.Overlaps(pods) || !s.Overlaps(services) || pods.Bits() != services.Bits() {
			t.Errorf("%s is divided into %s and %s", s, pods, services)
		}
		for _, a := range []netip.Addr{GatewayAddr(s), RelayAddr(s), HostAddr(s)} {
			if !pods.Contains(a) {
				t.Errorf("%s is not in %s", a, pods)
			}
		}
		if !services.Contains(DNSAddr(s)) {
			t.Errorf("DNS at %s", DNSAddr(s))
		}
	}
	s := netip.MustParsePrefix("10.244.0.0/16")
	if got := fmt.Sprint(GatewayAddr(s), RelayAddr(s), ServiceRange(s), DNSAddr(s)); got != "10.244.0.1 10.244.127.254 10.244.128.0/17 10.244.128.10" {
		t.Errorf("plan: %s", got)
	}
}
