package ingress

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/relayproto"
)

// anyService has every Service with every port, except those called "missing".
type anyService struct{}

func (anyService) Port(key relayproto.Key, number uint16, name string) (uint16, error) {
	if key.Name == "missing" {
		return 0, fmt.Errorf("service missing does not exist in namespace %s", key.Namespace)
	}
	return max(number, 1), nil
}

// ing writes an Ingress: its name, its annotations as "a=b", and its rules as "host/path kind service".
func ing(name string, age int, lines ...string) *networkingv1.Ingress {
	o := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, UID: "uid-" + "x", Annotations: map[string]string{},
		CreationTimestamp: metav1.NewTime(time.Unix(int64(1000-age), 0)),
	}}
	for _, line := range lines {
		if k, v, ok := strings.Cut(line, "="); ok && !strings.Contains(k, " ") {
			o.Annotations["nginx.ingress.kubernetes.io/"+k] = v
			continue
		}
		f := strings.Fields(line)
		switch {
		case f[0] == "tls":
			o.Spec.TLS = append(o.Spec.TLS, networkingv1.IngressTLS{Hosts: f[1:]})
			continue
		case f[0] == "default":
			o.Spec.DefaultBackend = backendOf(f[1])
			continue
		}
		host, path, _ := strings.Cut(f[0], "/")
		kind := map[string]networkingv1.PathType{
			"exact": networkingv1.PathTypeExact, "prefix": networkingv1.PathTypePrefix, "any": networkingv1.PathTypeImplementationSpecific,
		}[f[1]]
		o.Spec.Rules = append(o.Spec.Rules, networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
			HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/" + path, PathType: &kind, Backend: *backendOf(f[2])}}},
		}})
	}
	return o
}

func backendOf(service string) *networkingv1.IngressBackend {
	return &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}}
}

func get(path string) *http.Request { return httptest.NewRequest("GET", path, nil) }

func TestRequestsFindTheirRoute(t *testing.T) {
	routes, fallback, findings := compile([]*networkingv1.Ingress{
		ing("shop", 3, "shop.test/ prefix front", "shop.test/api prefix api", "shop.test/api/v1 exact v1", "*.shop.test/ prefix wild"),
		ing("blog", 2, "rewrite-target=/$2", "blog.test/old(/|$)(.*) any blog"),
		ing("plain", 1, "plain.test/ab any plain", "/everywhere prefix anywhere"),
		ing("rest", 0, "default rest"),
	}, anyService{})
	if len(findings) > 0 {
		t.Errorf("findings: %+v", findings)
	}
	table := routing.BuildTable(routes, fallback)
	for _, c := range []struct{ url, want string }{
		{"shop.test/", "front /"},
		{"SHOP.test/x", "front /x"},
		{"shop.test/api", "api /api"},
		{"shop.test/api/", "api /api/"},
		{"shop.test/apix", "front /apix"},
		{"shop.test/api/v1", "v1 /api/v1"},
		{"shop.test/api/v1/", "api /api/v1/"},
		{"a.shop.test/", "wild /"},
		{"a.b.shop.test/", "rest /"},
		{"blog.test/old", "blog /"},
		{"blog.test/old/a/b", "blog /a/b"},
		{"blog.test/OLD/a", "blog /a"},
		{"blog.test/new", "rest /new"},
		{"plain.test/abc", "plain /abc"},
		{"plain.test/everywhere", "rest /everywhere"},
		{"other.test/everywhere/x", "anywhere /everywhere/x"},
		{"other.test/", "rest /"},
	} {
		host, path, _ := strings.Cut(c.url, "/")
		r := table.Find(host, get("/"+path))
		if r == nil {
			t.Errorf("%s: no route", c.url)
			continue
		}
		if got := r.Backend.Service.Name + " " + r.Rewritten("/"+path); got != c.want {
			t.Errorf("%s goes to %q, want %q", c.url, got, c.want)
		}
	}
}

func TestWhatIsWrongIsSaidAndTheRestServed(t *testing.T) {
	broken := ing("broken", 1, "canary-weight=many", "auth-url=http://x", "a.test/ prefix missing", "use-regex=true", "a.test/( any web")
	second := ing("second", 0, "b.test/ prefix two")
	first := ing("first", 2, "b.test/ prefix one")
	orphan := ing("orphan", 0, "canary=true", "canary-weight=5", "nowhere.test/ prefix web")
	routes, _, findings := compile([]*networkingv1.Ingress{broken, second, first, orphan}, anyService{})
	var got []string
	for _, f := range findings {
		got = append(got, f.Ingress.Name+" "+f.Reason+": "+f.Message)
	}
	for _, want := range []string{
		`broken Annotation: the annotation auth-url has no effect here`,
		`broken Annotation: the annotation canary-weight is ignored: "many" is no count`,
		`broken NoBackend: service missing does not exist in namespace default`,
		"broken InvalidPath: path \"/(\" is no regular expression",
		`second Conflict: b.test/ is served by ingress default/first, which is older`,
		`orphan NoMainIngress: no other ingress of this namespace has nowhere.test/`,
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("nothing says %q in:\n%s", want, strings.Join(got, "\n"))
		}
	}
	table := routing.BuildTable(routes, nil)
	if r := table.Find("b.test", get("/")); r == nil || r.Backend.Service.Name != "one" {
		t.Errorf("the older one does not win: %+v", r)
	}
	if r := table.Find("a.test", get("/")); r == nil || r.Unavailable == "" {
		t.Errorf("a route without a Service: %+v", r)
	}
}

func TestCanariesTakeTheirShare(t *testing.T) {
	routes, _, _ := compile([]*networkingv1.Ingress{
		ing("web", 1, "web.test/ prefix stable"),
		ing("canary", 0, "canary=true", "canary-by-header=X-Canary", "canary-by-cookie=try", "canary-weight=20", "web.test/ prefix next"),
	}, anyService{})
	r := routing.BuildTable(routes, nil).Find("web.test", get("/"))
	request := func(change func(*http.Request)) *http.Request {
		req := httptest.NewRequest("GET", "/", nil)
		change(req)
		return req
	}
	for _, c := range []struct {
		name string
		req  *http.Request
		roll int
		want string
	}{
		{"by weight", request(func(*http.Request) {}), 19, "next"},
		{"above the weight", request(func(*http.Request) {}), 20, "stable"},
		{"header always", request(func(r *http.Request) { r.Header.Set("X-Canary", "always") }), 99, "next"},
		{"header never", request(func(r *http.Request) { r.Header.Set("X-Canary", "never") }), 0, "stable"},
		{"cookie always", request(func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "try", Value: "always"}) }), 99, "next"},
		{"header before cookie", request(func(r *http.Request) {
			r.Header.Set("X-Canary", "never")
			r.AddCookie(&http.Cookie{Name: "try", Value: "always"})
		}), 0, "stable"},
	} {
		if got := r.Choose(c.req, func(int) int { return c.roll }).Service.Name; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTLSMeansARedirectUnlessToldOtherwise(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{[]string{"a.test/ prefix web"}, false},
		{[]string{"a.test/ prefix web", "tls a.test"}, true},
		{[]string{"a.test/ prefix web", "tls *.test"}, true},
		{[]string{"a.test/ prefix web", "tls b.test"}, false},
		{[]string{"a.test/ prefix web", "tls a.test", "ssl-redirect=false"}, false},
		{[]string{"a.test/ prefix web", "force-ssl-redirect=true"}, true},
	} {
		routes, _, _ := compile([]*networkingv1.Ingress{ing("web", 0, c.lines...)}, anyService{})
		if routes[0].HTTPSRedirect != c.want {
			t.Errorf("%v: redirect %v", c.lines, routes[0].HTTPSRedirect)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("/old(/|$)(.*)", "/$2", "/old/x")
	f.Add("/", "$1$", "/a")
	f.Fuzz(func(t *testing.T, expression, target, path string) {
		o := ing("web", 0)
		o.Annotations["nginx.ingress.kubernetes.io/rewrite-target"] = target
		o.Annotations["nginx.ingress.kubernetes.io/use-regex"] = "true"
		kind := networkingv1.PathTypeImplementationSpecific
		o.Spec.Rules = []networkingv1.IngressRule{{IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: expression, PathType: &kind, Backend: *backendOf("web")}},
		}}}}
		routes, _, _ := compile([]*networkingv1.Ingress{o}, anyService{})
		for _, r := range routes {
			if r.Regexp.MatchString(path) && target != "" && !strings.HasPrefix(r.Rewritten(path), "/") {
				t.Errorf("%q is rewritten to %q", path, r.Rewritten(path))
			}
		}
	})
}
