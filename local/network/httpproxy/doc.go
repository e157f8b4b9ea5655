// Package httpproxy serves HTTP on this machine by routing tables that know nothing of Kubernetes objects: hosts, paths,
// headers, TLS, weights, rewrites and redirects. It exists apart from what it serves, Ingresses and the Gateway API's routes,
// because both share ports. Connections that are not HTTP's share them too: the name in a ClientHello tells them apart.
//
// The proxy follows the table that is current when a request arrives and picks endpoints itself, so that a rolling update
// loses no request.
package httpproxy
