package daemon

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff.local/skiff/local/client"
)

// serviceURLs lists the Services that answer on localhost, with the URL to use of each port.
func serviceURLs(services corelisters.ServiceLister) ([]client.ServiceStatus, error) {
	list, err := services.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var statuses []client.ServiceStatus
	for _, s := range list {
		var urls []string
		switch s.Spec.Type {
		case corev1.ServiceTypeNodePort:
			urls = nodePortURLs(s)
		case corev1.ServiceTypeLoadBalancer:
			urls = append(loadBalancerURLs(s), nodePortURLs(s)...)
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

func nodePortURLs(s *corev1.Service) []string {
	var urls []string
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 {
			urls = append(urls, portURL(p, "127.0.0.1", int(p.NodePort)))
		}
	}
	return urls
}

func loadBalancerURLs(s *corev1.Service) []string {
	var urls []string
	for _, ingress := range s.Status.LoadBalancer.Ingress {
		host := cmp.Or(ingress.Hostname, ingress.IP)
		failed := map[int32]bool{}
		for _, p := range ingress.Ports {
			failed[p.Port] = p.Error != nil
		}
		for _, p := range s.Spec.Ports {
			if !failed[p.Port] {
				urls = append(urls, portURL(p, host, int(p.Port)))
			}
		}
	}
	return urls
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
