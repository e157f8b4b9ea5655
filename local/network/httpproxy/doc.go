// Package httpproxy keeps ports of this machine open and gives what arrives there to whom it is for: requests to forward, by the
// tables of routing, and connections that are not HTTP's to the endpoints of their own backends, by the name in their ClientHello.
// It exists apart from what it serves, Ingresses and the Gateway API's routes, because both share ports.
//
// What is current when a request arrives counts, and endpoints are picked then, so that a rolling update loses no request.
package httpproxy
