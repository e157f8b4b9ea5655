// Package ingress compiles Ingress objects of class skiff, with the nginx annotations that people use, into routes of the
// proxy, and writes their status and events. It also brings Listeners of others, of the Gateway API, to the proxy's ports.
package ingress
