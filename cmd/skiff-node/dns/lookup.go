package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"skiff.local/skiff/local/network/relayproto"
)

// A record is one resource record with the name it is for; data is a dnsmessage resource body.
type record struct {
	name string // absolute, lower case, with the trailing dot
	body dnsmessage.ResourceBody
}

// An answer is what the zone has to say about a question.
type answer struct {
	rcode      dnsmessage.RCode
	records    []record
	additional []record
	// alias, when set, is the target of a CNAME outside of the cluster's domain that has yet to be resolved.
	alias string
}

// A resolver answers questions about names that are the cluster's own.
type resolver struct {
	zone   *Zone
	domain string // "cluster.local"
	fixed  map[string]netip.Addr
	texts  map[string]string
	// cluster is where reverse lookups are ours, found or not.
	cluster netip.Prefix
}

// lookup answers the question, or reports false for a name that is not the cluster's. name is lower case without the
// trailing dot.
func (r *resolver) lookup(name string, qtype dnsmessage.Type) (answer, bool) {
	if ip, ok := r.fixed[name]; ok {
		return answerA(name, qtype, ip), true
	}
	if addrs := r.zone.host(name); len(addrs) > 0 {
		return answerA(name, qtype, addrs...), true
	}
	if text, ok := r.texts[name]; ok {
		return answerText(name, qtype, text), true
	}
	if ip, ok := reverse(name); ok && r.cluster.Contains(ip) {
		return r.pointer(name, ip, qtype), true
	}
	if name == r.domain {
		return answer{}, true
	}
	relative, ok := strings.CutSuffix(name, "."+r.domain)
	if !ok {
		return answer{}, false
	}
	if !r.zone.ready() {
		return answer{rcode: dnsmessage.RCodeServerFailure}, true
	}
	labels := strings.Split(relative, ".")
	kind := labels[len(labels)-1]
	switch {
	case relative == "dns-version":
		return answerText(name, qtype, "1.1.0"), true
	case kind == "svc":
		return r.service(name, labels[:len(labels)-1], qtype), true
	case kind == "pod":
		return r.pod(name, labels[:len(labels)-1], qtype), true
	}
	return answer{rcode: dnsmessage.RCodeNameError}, true
}

// service answers for labels under svc: [_port _proto | endpoint] [service] namespace.
func (r *resolver) service(name string, labels []string, qtype dnsmessage.Type) answer {
	missing := answer{rcode: dnsmessage.RCodeNameError}
	switch n := len(labels); {
	case n == 0:
		return answer{}
	case n == 1:
		if !r.zone.namespace(labels[0]) {
			return missing
		}
		return answer{}
	}
	n := len(labels)
	s, ok := r.zone.service(labels[n-1], labels[n-2])
	if !ok {
		return missing
	}
	if s.ExternalName != "" {
		if n != 2 {
			return missing
		}
		return r.external(name, s, qtype)
	}
	switch {
	case n == 2:
		return r.whole(name, s, qtype)
	case n == 3 && !strings.HasPrefix(labels[0], "_"):
		return r.endpoint(name, s, labels[0], qtype)
	case n == 3 || (n == 4 && strings.HasPrefix(labels[0], "_") && strings.HasPrefix(labels[1], "_")):
		port, proto := "", strings.TrimPrefix(labels[0], "_")
		if n == 4 {
			port, proto = strings.TrimPrefix(labels[0], "_"), strings.TrimPrefix(labels[1], "_")
		}
		targets := r.targets(s, func(p string, t relayproto.Protocol) bool {
			return t.String() == proto && (n == 3 || p == port)
		})
		if len(targets) == 0 {
			return missing
		}
		return r.srv(name, qtype, targets)
	}
	return missing
}

// whole answers for the Service's own name.
func (r *resolver) whole(name string, s relayproto.Service, qtype dnsmessage.Type) answer {
	addrs := s.ClusterIPs
	if s.Headless {
		if len(s.Endpoints) == 0 {
			// As CoreDNS answers.
			return answer{rcode: dnsmessage.RCodeNameError}
		}
		addrs = nil
		for _, e := range s.Endpoints {
			addrs = append(addrs, e.Addr)
		}
	}
	switch qtype {
	case dnsmessage.TypeSRV:
		return r.srv(name, qtype, r.targets(s, func(string, relayproto.Protocol) bool { return true }))
	default:
		return answerA(name, qtype, addrs...)
	}
}

func (r *resolver) endpoint(name string, s relayproto.Service, label string, qtype dnsmessage.Type) answer {
	var addrs []netip.Addr
	for _, e := range s.Endpoints {
		if strings.EqualFold(endpointLabel(e), label) {
			addrs = append(addrs, e.Addr)
		}
	}
	if len(addrs) == 0 {
		return answer{rcode: dnsmessage.RCodeNameError}
	}
	return answerA(name, qtype, addrs...)
}

// external answers with the CNAME of an ExternalName Service, and with what is behind it when that is ours.
func (r *resolver) external(name string, s relayproto.Service, qtype dnsmessage.Type) answer {
	target := strings.ToLower(strings.Trim(s.ExternalName, "."))
	host, err := dnsmessage.NewName(target + ".")
	if err != nil {
		return answer{rcode: dnsmessage.RCodeServerFailure}
	}
	a := answer{records: []record{{name + ".", &dnsmessage.CNAMEResource{CNAME: host}}}}
	if qtype == dnsmessage.TypeCNAME || target == name {
		return a
	}
	if s2, isService := r.asService(target); isService && s2.ExternalName == "" {
		if behind, ok := r.lookup(target, qtype); ok {
			a.records = append(a.records, behind.records...)
			a.additional = behind.additional
		}
		return a
	}
	if !strings.HasSuffix(target, "."+r.domain) {
		a.alias = target
	}
	return a
}

// asService returns the Service whose own name this is.
func (r *resolver) asService(name string) (relayproto.Service, bool) {
	relative, ok := strings.CutSuffix(name, ".svc."+r.domain)
	if !ok {
		return relayproto.Service{}, false
	}
	svc, namespace, ok := strings.Cut(relative, ".")
	if !ok || strings.Contains(namespace, ".") {
		return relayproto.Service{}, false
	}
	return r.zone.service(namespace, svc)
}

// pod answers a-b-c-d.namespace.pod, for any address in a namespace that exists, as CoreDNS's default does.
func (r *resolver) pod(name string, labels []string, qtype dnsmessage.Type) answer {
	switch len(labels) {
	case 0:
		return answer{}
	case 1:
		if r.zone.namespace(labels[0]) {
			return answer{}
		}
	case 2:
		ip, err := netip.ParseAddr(strings.ReplaceAll(labels[0], "-", "."))
		if err == nil && ip.Is4() && r.zone.namespace(labels[1]) {
			return answerA(name, qtype, ip)
		}
	}
	return answer{rcode: dnsmessage.RCodeNameError}
}

func (r *resolver) pointer(name string, ip netip.Addr, qtype dnsmessage.Type) answer {
	names := r.zone.names(ip)
	if len(names) == 0 {
		return answer{rcode: dnsmessage.RCodeNameError}
	}
	a := answer{}
	if qtype != dnsmessage.TypePTR && qtype != dnsmessage.TypeALL {
		return a
	}
	for _, n := range names {
		target, err := dnsmessage.NewName(n + ".svc." + r.domain + ".")
		if err == nil {
			a.records = append(a.records, record{name + ".", &dnsmessage.PTRResource{PTR: target}})
		}
	}
	return a
}

// A target is one host and port of a SRV answer.
type target struct {
	host string // without trailing dot
	addr netip.Addr
	port uint16
}

func (r *resolver) targets(s relayproto.Service, want func(port string, proto relayproto.Protocol) bool) []target {
	base := s.Name + "." + s.Namespace + ".svc." + r.domain
	var found []target
	if s.Headless {
		for _, e := range s.Endpoints {
			for _, p := range e.Ports {
				if want(p.Name, p.Protocol) {
					found = append(found, target{endpointLabel(e) + "." + base, e.Addr, p.Port})
				}
			}
		}
		return found
	}
	for _, p := range s.Ports {
		if p.Port != 0 && want(p.Name, p.Protocol) && len(s.ClusterIPs) > 0 {
			found = append(found, target{base, s.ClusterIPs[0], p.Port})
		}
	}
	return found
}

func (r *resolver) srv(name string, qtype dnsmessage.Type, targets []target) answer {
	a := answer{}
	if qtype != dnsmessage.TypeSRV && qtype != dnsmessage.TypeALL {
		return a
	}
	seen := map[string]bool{}
	for _, t := range targets {
		host, err := dnsmessage.NewName(t.host + ".")
		if err != nil {
			continue
		}
		weight := uint16(max(1, 100/len(targets)))
		a.records = append(a.records, record{name + ".", &dnsmessage.SRVResource{Weight: weight, Port: t.port, Target: host}})
		if key := t.host + t.addr.String(); !seen[key] {
			seen[key] = true
			a.additional = append(a.additional, record{t.host + ".", &dnsmessage.AResource{A: t.addr.As4()}})
		}
	}
	return a
}

func answerA(name string, qtype dnsmessage.Type, addrs ...netip.Addr) answer {
	a := answer{}
	if qtype != dnsmessage.TypeA && qtype != dnsmessage.TypeALL {
		return a
	}
	for _, ip := range addrs {
		if ip.Is4() {
			a.records = append(a.records, record{name + ".", &dnsmessage.AResource{A: ip.As4()}})
		}
	}
	return a
}

func answerText(name string, qtype dnsmessage.Type, text string) answer {
	if qtype != dnsmessage.TypeTXT && qtype != dnsmessage.TypeALL {
		return answer{}
	}
	return answer{records: []record{{name + ".", &dnsmessage.TXTResource{TXT: []string{text}}}}}
}

// reverse parses d.c.b.a.in-addr.arpa.
func reverse(name string) (netip.Addr, bool) {
	rest, ok := strings.CutSuffix(name, ".in-addr.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	labels := strings.Split(rest, ".")
	if len(labels) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 10, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		b[3-i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}
