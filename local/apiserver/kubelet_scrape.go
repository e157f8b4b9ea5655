package apiserver

import (
	"net"
	"net/http"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// answerScrapers puts, before the API, the part of the kubelet's API that tells and changes nothing: metrics-server, Prometheus
// and other collectors ask a node's address for it, on the kubelet's port. The relay has that address and carries the port here
// as it carries the API's; the request's Host says which of the two was meant. What runs commands isn't served this way: it
// goes through the API.
func (r *reach) answerScrapers(api http.Handler, c *genericapiserver.Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, port, err := net.SplitHostPort(req.Host); err != nil || port != kubeletPort {
			api.ServeHTTP(w, req)
			return
		}
		subresource := scraped(req.URL.Path)
		if subresource == "" || req.Method != http.MethodGet {
			http.NotFound(w, req)
			return
		}
		who, ok, err := c.Authentication.Authenticator.AuthenticateRequest(req)
		if err != nil || !ok {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		attributes := authorizer.AttributesRecord{
			User: who.User, Verb: "get", APIVersion: "v1", Resource: "nodes", Subresource: subresource, ResourceRequest: true, Path: req.URL.Path,
		}
		decision, _, err := c.Authorization.Authorizer.Authorize(req.Context(), attributes)
		if err != nil || decision != authorizer.DecisionAllow {
			http.Error(w, "Forbidden (user="+who.User.GetName()+", verb=get, resource=nodes, subresource="+subresource+")", http.StatusForbidden)
			return
		}
		r.serveKubelet(w, req)
	})
}

// scraped is the subresource of nodes that kubelet asks for before it answers a path; empty for one that is not served.
func scraped(path string) string {
	switch {
	case path == "/metrics/resource":
		return "metrics"
	case strings.HasPrefix(path, "/stats/"):
		return "stats"
	case path == "/pods", path == "/healthz":
		return "proxy"
	}
	return ""
}
