package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"skiff.local/skiff/local/client"
)

func TestWhatLeadsToAServiceIsFoundByItsName(t *testing.T) {
	all := []client.ServiceStatus{
		{Namespace: "shop", Name: "api", Type: "NodePort", URLs: []string{"http://127.0.0.1:30080"}},
		{Namespace: "shop", Name: "web", Type: "Ingress", URLs: []string{"http://shop.localhost"}, To: map[string][]string{
			"shop/web": {"http://shop.localhost"}, "shop/api": {"http://shop.localhost/api"},
		}},
		{Namespace: "edge", Name: "all", Type: "HTTPRoute", URLs: []string{"http://www.test"}, To: map[string][]string{
			"shop/api": {"http://www.test/api"}, "blue/api": {"http://www.test/blue"},
		}},
	}
	for asked, want := range map[string]string{
		"/api":     "NodePort http://127.0.0.1:30080, Ingress http://shop.localhost/api, HTTPRoute http://www.test/blue http://www.test/api",
		"shop/api": "NodePort http://127.0.0.1:30080, Ingress http://shop.localhost/api, HTTPRoute http://www.test/api",
		"/web":     "Ingress http://shop.localhost",
		"/all":     "HTTPRoute http://www.test",
		"shop/":    "NodePort http://127.0.0.1:30080, Ingress http://shop.localhost",
		"/none":    "",
	} {
		namespace, name, _ := strings.Cut(asked, "/")
		var got []string
		for _, s := range matching(all, namespace, name) {
			got = append(got, fmt.Sprint(s.Type, " ", strings.Join(s.URLs, " ")))
		}
		if !slices.Equal(got, strings.Split(want, ", ")) && strings.Join(got, "") != want {
			t.Errorf("%s: %q, want %q", asked, got, want)
		}
	}
}
