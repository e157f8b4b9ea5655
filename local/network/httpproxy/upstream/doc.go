// Package upstream connects the proxy to the endpoints of Services: which endpoint is next, what is done when one takes no
// connection, and connections that are kept. It exists apart from what is sent over them, requests and streams, because both
// choose endpoints alike and leave those alone that a Service has lost.
package upstream
