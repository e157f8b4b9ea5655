package apiserver

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"
)

// longRunning says which requests are streams, which no timeout may cut off and no limit counts.
func longRunning(extra map[string]http.Handler) apirequest.LongRunningRequestCheck {
	kubernetes := filters.BasicLongRunningRequestCheck(
		sets.NewString("watch", "proxy"),
		sets.NewString("attach", "exec", "proxy", "log", "portforward"),
	)
	return func(r *http.Request, info *apirequest.RequestInfo) bool {
		if kubernetes(r, info) {
			return true
		}
		for prefix := range extra {
			if strings.HasPrefix(r.URL.Path, prefix) {
				return true
			}
		}
		return false
	}
}

// administratorsOnly refuses everybody but members of system:masters, whatever roles say: what is behind
// it controls the daemon, not the cluster.
func administratorsOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, ok := apirequest.UserFrom(r.Context())
		if !ok || !slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
			http.Error(w, "only members of system:masters may do this", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
