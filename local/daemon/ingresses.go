package daemon

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	networkinglisters "k8s.io/client-go/listers/networking/v1"

	"skiff.local/skiff/local/client"
)

// webPorts are where Ingresses are served on this machine; 0 for not at all.
type webPorts struct{ http, https uint16 }

// ingressURLs lists the Ingresses that skiff serves with the URL of each host. One whose hosts others have already, as a
// canary's, is not listed again.
func ingressURLs(ingresses networkinglisters.IngressLister, ports webPorts) ([]client.ServiceStatus, error) {
	list, err := ingresses.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list Ingresses: %w", err)
	}
	slices.SortFunc(list, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var statuses []client.ServiceStatus
	known := map[string]bool{}
	for _, ing := range list {
		if len(ing.Status.LoadBalancer.Ingress) == 0 {
			continue // another controller's, or not served yet
		}
		s := client.ServiceStatus{Namespace: ing.Namespace, Name: ing.Name, Type: "Ingress"}
		for _, u := range hostURLs(ing, ports) {
			if !known[u] {
				known[u] = true
				s.URLs = append(s.URLs, u)
			}
		}
		if len(s.URLs) > 0 {
			statuses = append(statuses, s)
		}
	}
	return statuses, nil
}

func hostURLs(ing *networkingv1.Ingress, ports webPorts) []string {
	encrypted := map[string]bool{}
	for _, t := range ing.Spec.TLS {
		for _, host := range t.Hosts {
			encrypted[host] = true
		}
	}
	hosts := []string{}
	if ing.Spec.DefaultBackend != nil {
		hosts = append(hosts, "localhost")
	}
	for _, r := range ing.Spec.Rules {
		hosts = append(hosts, cmp.Or(r.Host, "localhost"))
	}
	var urls []string
	for _, host := range hosts {
		scheme, port, usual := "http", ports.http, uint16(80)
		if encrypted[host] {
			scheme, port, usual = "https", ports.https, 443
		}
		switch port {
		case 0: // not served
		case usual:
			urls = append(urls, scheme+"://"+host)
		default:
			urls = append(urls, scheme+"://"+net.JoinHostPort(host, strconv.Itoa(int(port))))
		}
	}
	return urls
}
