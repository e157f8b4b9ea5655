// Package corefile reads what people tell a cluster's DNS by ConfigMaps: stub domains and fixed hosts, in CoreDNS's
// Corefile as far as these go, and in the older form of kube-dns. Everything else that a Corefile can say has no meaning
// here and is passed over.
package corefile

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// A Config is what was read.
type Config struct {
	// Stubs maps domains, lower case and without trailing dot, to the servers that answer for them. "." replaces the
	// resolver for every other name.
	Stubs map[string][]netip.AddrPort
	// Hosts maps names to the addresses that they have.
	Hosts map[string][]netip.Addr
}

// Merge adds what other says; what is there already stays.
func (c *Config) Merge(other Config) {
	for zone, servers := range other.Stubs {
		if _, have := c.Stubs[zone]; !have {
			c.addStub(zone, servers)
		}
	}
	for name, addrs := range other.Hosts {
		if _, have := c.Hosts[name]; !have {
			for _, a := range addrs {
				c.addHost(name, a)
			}
		}
	}
}

func (c *Config) addStub(zone string, servers []netip.AddrPort) {
	if c.Stubs == nil {
		c.Stubs = map[string][]netip.AddrPort{}
	}
	c.Stubs[zone] = servers
}

func (c *Config) addHost(name string, addr netip.Addr) {
	if c.Hosts == nil {
		c.Hosts = map[string][]netip.Addr{}
	}
	c.Hosts[name] = append(c.Hosts[name], addr)
}

// Parse reads server blocks of a Corefile: `zone… { forward . server… }` and `hosts { address name… }`. A forward of the
// root block to /etc/resolv.conf, which every stock Corefile has, means what happens anyway.
func Parse(text string) (Config, error) {
	var c Config
	var zones []string
	depth := 0
	inHosts := false
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(line, "{", " { "), "}", " } "))
		if len(fields) == 0 {
			continue
		}
		opens := fields[len(fields)-1] == "{"
		switch {
		case fields[0] == "}":
			if depth--; depth < 0 {
				return c, fmt.Errorf("line %d: a } without a {", n+1)
			}
			inHosts = false
			continue
		case depth == 0 && opens:
			zones = nil
			for _, f := range fields[:len(fields)-1] {
				zones = append(zones, zoneName(f))
			}
		case depth == 1 && fields[0] == "forward" && len(fields) >= 3:
			servers, err := parseServers(fields[2:])
			if err != nil {
				return c, fmt.Errorf("line %d: %w", n+1, err)
			}
			if len(servers) > 0 {
				for _, z := range zones {
					c.addStub(z, servers)
				}
			}
		case depth == 1 && fields[0] == "hosts" && opens:
			inHosts = true
		case inHosts && len(fields) >= 2:
			if addr, err := netip.ParseAddr(fields[0]); err == nil {
				for _, name := range fields[1:] {
					c.addHost(zoneName(name), addr)
				}
			}
		}
		if opens {
			depth++
		}
		// A whole block on one line: the closing brace is the last field.
		if fields[len(fields)-1] == "}" && fields[0] != "}" {
			if depth == 0 {
				return c, fmt.Errorf("line %d: a block on one line is not read: write each of its parts on a line of its own", n+1)
			}
		}
	}
	if depth != 0 {
		return c, fmt.Errorf("a { is not closed")
	}
	return c, nil
}

// ParseStubDomains reads the JSON of kube-dns's key stubDomains: {"acme.local": ["1.2.3.4"]}.
func ParseStubDomains(text string) (Config, error) {
	var c Config
	var raw map[string][]string
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return c, fmt.Errorf("stubDomains: %w", err)
	}
	for zone, list := range raw {
		servers, err := parseServers(list)
		if err != nil {
			return c, fmt.Errorf("stubDomains: %w", err)
		}
		c.addStub(zoneName(zone), servers)
	}
	return c, nil
}

// zoneName turns "dns://Acme.local.:53" into "acme.local", and "." into itself.
func zoneName(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if host, _, ok := strings.Cut(s, ":"); ok {
		s = host
	}
	if s == "." {
		return s
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// parseServers reads addresses with or without port; options and files, which stock Corefiles have, are passed over.
func parseServers(fields []string) ([]netip.AddrPort, error) {
	var servers []netip.AddrPort
	for _, f := range fields {
		f = strings.TrimPrefix(f, "dns://")
		switch {
		case f == "{" || f == "}" || strings.HasPrefix(f, "/"):
			continue
		case strings.HasPrefix(f, "tls://"):
			return nil, fmt.Errorf("forward to %s: servers are asked in plain DNS only", f)
		}
		if addr, err := netip.ParseAddrPort(f); err == nil {
			servers = append(servers, addr)
			continue
		}
		addr, err := netip.ParseAddr(f)
		if err != nil {
			return nil, fmt.Errorf("forward to %q: not an address", f)
		}
		servers = append(servers, netip.AddrPortFrom(addr, 53))
	}
	return servers, nil
}
