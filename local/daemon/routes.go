package daemon

import (
	"cmp"
	"slices"

	"skiff.local/skiff/local/client"
	"skiff.local/skiff/local/network/gateway/plan"
)

// routeURLs lists the routes of the Gateway API that are served with the URL of each host.
func routeURLs(answers []plan.Answer) []client.ServiceStatus {
	var statuses []client.ServiceStatus
	index := map[[3]string]int{}
	for _, a := range answers {
		id := [3]string{a.Kind, a.Namespace, a.Name}
		i, ok := index[id]
		if !ok {
			i = len(statuses)
			index[id] = i
			statuses = append(statuses, client.ServiceStatus{Namespace: a.Namespace, Name: a.Name, Type: a.Kind})
		}
		s := &statuses[i]
		host := cmp.Or(a.Host, "localhost")
		if a.Own.IsValid() {
			host = cmp.Or(a.Host, a.Own.String())
		}
		url := webURL(a.Secure, host, a.Port)
		if !slices.Contains(s.URLs, url) {
			s.URLs = append(s.URLs, url)
		}
		path := a.Path
		if path == "/" || a.Kind == "GRPCRoute" { // whose clients add a method
			path = ""
		}
		for _, service := range a.Services {
			lead(s, service.Namespace+"/"+service.Name, url+path)
		}
	}
	slices.SortFunc(statuses, func(a, b client.ServiceStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	return statuses
}
