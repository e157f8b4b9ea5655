package routing

import (
	"crypto/tls"
	"crypto/x509"
	"regexp"

	"skiff.local/skiff/local/network/relayproto"
)

// A Backend is a Service's port.
type Backend struct {
	Service  relayproto.Key
	Port     uint16
	Protocol Protocol
	TLS      *BackendTLS // when the protocol has it; nil trusts any endpoint
}

// Protocol is what is spoken to endpoints.
type Protocol string

// The protocols of the backend-protocol annotation.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
	GRPC  Protocol = "GRPC"
	GRPCS Protocol = "GRPCS"
)

// BackendTLS says how endpoints prove who they are, and what they are shown.
type BackendTLS struct {
	// ID is different for what is different in content: connections of another ID are not used.
	ID         string
	ServerName string
	Roots      *x509.CertPool // nil for the system's
	// Names and URIs are subject alternative names of which a certificate must have one, instead of ServerName. A name may
	// begin with "*.".
	Names, URIs []string
	// Certificate is shown to endpoints that ask for one; it may be nil.
	Certificate *tls.Certificate
}

// A Canary takes some of a Route's requests.
type Canary struct {
	Backend Backend
	Header  string // by this header: "always", "never", or HeaderValue
	Value   string
	Pattern *regexp.Regexp
	Cookie  string // by this cookie: "always" or "never"
	Weight  int    // of Total
	Total   int
}

// A Share is a backend that takes its weight's part of a Route's requests.
type Share struct {
	Backend *Backend // nil when there is none to be had: see Unavailable
	Weight  int      // at least 1
	// Unavailable says why there is no backend.
	Unavailable       string
	Request, Response *HeaderChange
}

// A Mirror is a backend that gets a copy of Weight of Total requests; what it answers is thrown away.
type Mirror struct {
	Backend       Backend
	Weight, Total int
}
