package routing

import (
	"net"
	"net/http"
	"strings"
)

// HostOf is the host of a Host header, or of an address, without its port.
func HostOf(hostport string) string {
	if strings.IndexByte(hostport, ':') < 0 {
		return hostport
	}
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// IsGRPC reports whether a request is a call of gRPC.
func IsGRPC(req *http.Request) bool {
	const kind = "application/grpc"
	t := req.Header.Get("Content-Type")
	return req.ProtoMajor == 2 && len(t) >= len(kind) && t[:len(kind)] == kind
}
