// Package ingress serves HTTP on this machine for Ingress objects of class skiff: hosts, paths, TLS, canaries, rewrites
// and redirects, with the nginx annotations that people use.
//
// Objects are compiled into a routing table that knows nothing of Kubernetes; the proxy follows the table that is current
// when a request arrives and picks endpoints itself, so that a rolling update loses no request.
package ingress
