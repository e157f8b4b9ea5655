package daemon

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff.local/skiff/local/client"
)

// answering lists the addresses of this machine on which a port is open for a Service.
type answering func(s *corev1.Service, port int32, proto corev1.Protocol) []netip.Addr

// serviceURLs lists the Services that answer on localhost, with the URLs where each of their ports does: best ones first,
// and none where somebody else answers.
func serviceURLs(services corelisters.ServiceLister, at answering) ([]client.ServiceStatus, error) {
	list, err := services.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var statuses []client.ServiceStatus
	for _, s := range list {
		var urls []string
		switch s.Spec.Type {
		case corev1.ServiceTypeNodePort:
			urls = nodePortURLs(s, at)
		case corev1.ServiceTypeLoadBalancer:
			urls = append(loadBalancerURLs(s, at), nodePortURLs(s, at)...)
		default:
			continue
		}
		statuses = append(statuses, client.ServiceStatus{
			Namespace: s.Namespace, Name: s.Name, Type: string(s.Spec.Type), URLs: urls,
		})
	}
	slices.SortFunc(statuses, func(a, b client.ServiceStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return statuses, nil
}

func nodePortURLs(s *corev1.Service, at answering) []string {
	var urls []string
	for _, p := range s.Spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		if shared, others := hosts(at(s, p.NodePort, p.Protocol), "127.0.0.1"); len(shared) > 0 {
			urls = append(urls, portURL(p, shared, int(p.NodePort)))
		} else if len(others) > 0 {
			urls = append(urls, portURL(p, others[0], int(p.NodePort)))
		}
	}
	return urls
}

// loadBalancerURLs are localhost's first, and then those on the Service's own address.
func loadBalancerURLs(s *corev1.Service, at answering) []string {
	var urls, more []string
	for _, p := range s.Spec.Ports {
		shared, others := hosts(at(s, p.Port, p.Protocol), "localhost")
		if shared != "" {
			urls = append(urls, portURL(p, shared, int(p.Port)))
		}
		for _, host := range others {
			more = append(more, portURL(p, host, int(p.Port)))
		}
	}
	return append(urls, more...)
}

// hosts names addresses for a URL: the loopback that everything shares by the name given, when it is among them.
func hosts(addrs []netip.Addr, localhost string) (shared string, others []string) {
	for _, a := range addrs {
		if a.IsUnspecified() || a == netip.IPv6Loopback() || a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
			shared = localhost
		} else {
			others = append(others, a.String())
		}
	}
	return shared, others
}

// portURL guesses the scheme as browsers' users would: from appProtocol, else from the port's name and number.
func portURL(p corev1.ServicePort, host string, port int) string {
	if p.Protocol != corev1.ProtocolTCP {
		return strings.ToLower(string(p.Protocol)) + "://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	scheme := "http"
	protocol := ""
	if p.AppProtocol != nil {
		protocol = strings.ToLower(*p.AppProtocol)
	}
	name := strings.ToLower(p.Name)
	switch {
	case protocol == "https" || protocol == "" && (strings.HasPrefix(name, "https") || p.Port == 443 || p.Port == 8443):
		scheme = "https"
	case protocol == "tcp" || strings.HasPrefix(name, "tcp"):
		scheme = "tcp"
	}
	if scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
}
