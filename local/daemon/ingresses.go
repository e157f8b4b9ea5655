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
		doors(ing, ports, func(url, path string, to *networkingv1.IngressServiceBackend) {
			if to != nil {
				lead(&s, ing.Namespace+"/"+to.Name, url+path)
			}
			if !known[url] {
				known[url] = true
				s.URLs = append(s.URLs, url)
			}
		})
		if len(s.URLs) > 0 {
			statuses = append(statuses, s)
		}
	}
	return statuses, nil
}

// doors calls found with the URL of each host of an Ingress, and of those with each path and the Service behind it.
func doors(ing *networkingv1.Ingress, ports webPorts, found func(url, path string, to *networkingv1.IngressServiceBackend)) {
	encrypted := map[string]bool{}
	for _, t := range ing.Spec.TLS {
		for _, host := range t.Hosts {
			encrypted[host] = true
		}
	}
	door := func(host, path string, to *networkingv1.IngressServiceBackend) {
		secure, port := encrypted[host], ports.http
		if secure {
			port = ports.https
		}
		if port != 0 {
			found(webURL(secure, host, port), path, to)
		}
	}
	if b := ing.Spec.DefaultBackend; b != nil {
		door("localhost", "", b.Service)
	}
	for _, r := range ing.Spec.Rules {
		host := cmp.Or(r.Host, "localhost")
		if r.HTTP == nil {
			door(host, "", nil)
			continue
		}
		for _, p := range r.HTTP.Paths {
			path := p.Path
			if path == "/" || p.PathType == nil || *p.PathType == networkingv1.PathTypeImplementationSpecific {
				path = "" // which may be a pattern
			}
			door(host, path, p.Backend.Service)
		}
	}
}

// lead notes that a URL leads to a Service.
func lead(s *client.ServiceStatus, service, url string) {
	if s.To == nil {
		s.To = map[string][]string{}
	}
	if !slices.Contains(s.To[service], url) {
		s.To[service] = append(s.To[service], url)
	}
}

// webURL is a host's URL, without a port that goes without saying.
func webURL(secure bool, host string, port uint16) string {
	scheme, usual := "http", uint16(80)
	if secure {
		scheme, usual = "https", 443
	}
	if port == usual {
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}
