package spec

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Hosts is the content of the pod's /etc/hosts, in kubelet's words. A pod on the host's network keeps the engine's file,
// with the aliases appended by the caller: it then gets ok == false and only the aliases.
func Hosts(pod *v1.Pod, ips []string, clusterDomain string) (content string, ok bool) {
	var b strings.Builder
	if !pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
		host, domain := Hostname(pod, clusterDomain)
		for _, ip := range ips {
			if domain != "" {
				fmt.Fprintf(&b, "%s\t%s.%s\t%s\n", ip, host, domain, host)
			} else {
				fmt.Fprintf(&b, "%s\t%s\n", ip, host)
			}
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, alias := range pod.Spec.HostAliases {
			fmt.Fprintf(&b, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
		}
	}
	return b.String(), !pod.Spec.HostNetwork
}

// The limits of resolv.conf that kubelet applies.
const (
	maxNameservers = 3
	maxSearchPaths = 32
)

// Resolv is the content of the pod's /etc/resolv.conf, or false where the engine's own is right (dnsPolicy Default).
func (c *Config) Resolv(pod *v1.Pod) (content string, ok bool) {
	var servers, searches []string
	var options []string
	policy := pod.Spec.DNSPolicy
	cluster := policy == v1.DNSClusterFirstWithHostNet || (policy == v1.DNSClusterFirst || policy == "") && !pod.Spec.HostNetwork
	switch {
	case cluster && c.ClusterDNS.IsValid():
		servers = []string{c.ClusterDNS.String()}
		searches = []string{pod.Namespace + ".svc." + c.ClusterDomain, "svc." + c.ClusterDomain, c.ClusterDomain}
		options = []string{"ndots:5"}
	case policy == v1.DNSNone:
	default:
		if pod.Spec.DNSConfig == nil {
			return "", false
		}
		// Additions to the host's own configuration need its nameservers, which only the engine knows.
		servers = nil
	}
	if d := pod.Spec.DNSConfig; d != nil {
		servers = appendNew(servers, d.Nameservers)
		searches = appendNew(searches, d.Searches)
		options = mergeOptions(options, d.Options)
	}
	if len(servers) == 0 {
		return "", false
	}
	return resolvText(servers, searches, options), true
}

func resolvText(servers, searches, options []string) string {
	var b strings.Builder
	if len(searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(searches[:min(len(searches), maxSearchPaths)], " "))
	}
	for _, s := range servers[:min(len(servers), maxNameservers)] {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.String()
}

func appendNew(list, more []string) []string {
	seen := map[string]bool{}
	for _, s := range list {
		seen[s] = true
	}
	for _, s := range more {
		if !seen[s] {
			seen[s] = true
			list = append(list, s)
		}
	}
	return list
}

// mergeOptions lets a pod's options replace those of the same name.
func mergeOptions(options []string, more []v1.PodDNSConfigOption) []string {
	for _, o := range more {
		text := o.Name
		if o.Value != nil && *o.Value != "" {
			text += ":" + *o.Value
		}
		replaced := false
		for i := range options {
			if name, _, _ := strings.Cut(options[i], ":"); name == o.Name {
				options[i], replaced = text, true
			}
		}
		if !replaced {
			options = append(options, text)
		}
	}
	return options
}
