package forward

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/httpproxy/upstream"
)

// failed answers for an endpoint that did not.
func (x *exchange) failed(w http.ResponseWriter, req *http.Request, err error) {
	code := http.StatusBadGateway
	switch {
	case errors.Is(err, upstream.ErrNoEndpoints):
		code = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, upstream.ErrSlow):
		code = http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		code = 499 // as nginx logs a client that left
	}
	s := x.Backend.Service
	problem(w, req, code, fmt.Sprintf("service %s/%s port %d: %v", s.Namespace, s.Name, x.Backend.Port, err))
}

func noRoute(w http.ResponseWriter, req *http.Request, host string, t *routing.Table) {
	message := fmt.Sprintf("nothing is routed for the host %q with the path %q", host, req.URL.Path)
	if hosts := t.Hosts(); len(hosts) > 0 {
		message += "; hosts: " + strings.Join(hosts, ", ")
	}
	problem(w, req, http.StatusNotFound, message)
}

// problem answers in the form that the client prefers.
func problem(w http.ResponseWriter, req *http.Request, code int, message string) {
	title := fmt.Sprintf("%d %s", code, http.StatusText(code))
	if routing.IsGRPC(req) {
		w.Header().Set("Content-Type", "application/grpc")
		status := "14" // UNAVAILABLE
		if code == http.StatusNotFound {
			status = "12" // UNIMPLEMENTED
		}
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", message)
		w.WriteHeader(http.StatusOK)
		return
	}
	if strings.Contains(req.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprintf(w, "<!doctype html><title>%s</title><body style=\"font:16px system-ui;margin:3rem\"><h1>%s</h1><p>skiff ingress: %s</p>\n", title, title, html.EscapeString(message))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s\nskiff ingress: %s\n", title, message)
}
