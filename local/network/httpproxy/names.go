package httpproxy

import (
	"crypto/tls"
	"crypto/x509"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// A Name is what a secure port does for clients that ask for a host in their ClientHello (SNI, RFC 6066).
type Name struct {
	// Owner is whose the host is: a request for another owner's host on the same connection is misdirected (RFC 9110, 421).
	// "" is nobody who minds.
	Owner string
	// Clients, when not nil, says which certificates clients must have.
	Clients *Clients
	// Stream, when not nil, takes the connections: they are not HTTP's.
	Stream *Stream
}

// Clients are those whose certificates one of Roots vouches for.
type Clients struct {
	Roots *x509.CertPool
	// Optional asks for a certificate, and takes clients with any or none.
	Optional bool
}

// A Stream carries connections to the backends of a Route.
type Stream struct {
	Listener  string         // for the access log; without spaces
	Route     *routing.Route // nil refuses them
	Terminate bool           // TLS ends here instead of at the backend
}

// names are what a secure port does by name. They are immutable.
type names struct {
	byHost  byHost[*Name]
	streams bool                     // there are some
	configs map[*Clients]*tls.Config // of connections where clients need a certificate
}

func (d *door) newNames(by map[string]*Name) *names {
	n := &names{byHost: by, configs: map[*Clients]*tls.Config{}}
	for _, name := range by {
		n.streams = n.streams || name.Stream != nil
		if c := name.Clients; c != nil && n.configs[c] == nil {
			config := d.tlsConfig()
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, c.Roots
			if c.Optional {
				config.ClientAuth = tls.RequestClientCert
			}
			n.configs[c] = config
		}
	}
	return n
}

// config is what to do TLS with for a client; nil for the port's own.
func (n *names) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if name, ok := n.byHost.find(hello.ServerName); ok && name.Clients != nil {
		return n.configs[name.Clients], nil
	}
	return nil, nil
}

// misdirected reports whether a request for a host belongs on another connection: one for whose name somebody else
// is responsible, or on which the client showed a certificate; the connection may be older than that demand. Clients that
// gave no name, or nobody's, are let through otherwise: that is how one tries things with curl.
func (n *names) misdirected(state *tls.ConnectionState, host string) bool {
	want, ok := n.byHost.find(host)
	if !ok {
		return false
	}
	guarded := want.Clients != nil && !want.Clients.Optional
	switch {
	case guarded && len(state.VerifiedChains) == 0:
		return true
	case want.Owner == "" || state.ServerName == host:
		return false
	}
	asked, known := n.byHost.find(state.ServerName)
	if known && state.ServerName != "" {
		return asked.Owner != want.Owner
	}
	return guarded && (!known || asked.Clients != want.Clients)
}
