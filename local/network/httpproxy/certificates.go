package httpproxy

import (
	"crypto/tls"
	"errors"
	"strings"

	"skiff.local/skiff/local/authority"
)

// Certificates are what a port shows, by host pattern; "" for any host. They are immutable once they are served.
type Certificates struct {
	byHost    byHost[*tls.Certificate]
	authority *authority.Authority
}

// NewCertificates returns none but those that an authority signs; it may be nil.
func NewCertificates(a *authority.Authority) *Certificates {
	return &Certificates{byHost: byHost[*tls.Certificate]{}, authority: a}
}

// Add keeps what is already there. No certificate stands for one that the authority signs.
func (c *Certificates) Add(host string, cert *tls.Certificate) {
	if host = strings.ToLower(host); cert != nil && c.byHost[host] == nil {
		c.byHost[host] = cert
	}
}

// find is the certificate for a name that a client asks for: the authority signs for those that have none.
func (c *Certificates) find(name string) (*tls.Certificate, error) {
	if cert, ok := c.byHost.find(name); ok {
		return cert, nil
	}
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	if c.authority == nil {
		return nil, errors.New("no certificate for " + host)
	}
	if host == "" {
		host = "localhost"
	}
	return c.authority.Leaf(host)
}
