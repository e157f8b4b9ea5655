package ingress

import (
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// Annotations are read with nginx's prefix, since manifests have them so, and with our own.
var prefixes = []string{"nginx.ingress.kubernetes.io/", "ingress.skiff.local/"}

// annotations is what an Ingress's annotations say.
type annotations struct {
	rewrite       string
	useRegexp     bool
	redirect      *routing.Redirect
	appRoot       string
	sslRedirect   *bool
	forceSSL      bool
	protocol      routing.Protocol
	upstreamHost  string
	aliases       []string
	stickyCookie  string
	cors          *routing.CORS
	canary        bool
	split         routing.Canary
	trouble       []string
	affinityWants bool
	corsWants     bool
}

// regexps reports whether paths that don't say what they are are regular expressions: nginx makes them so wherever a
// rewrite may refer to groups.
func (a annotations) regexps() bool { return a.useRegexp || strings.Contains(a.rewrite, "$") }

// httpsRedirect: nginx redirects wherever there is TLS, unless told not to.
func (a annotations) httpsRedirect(tls bool) bool {
	if a.forceSSL {
		return true
	}
	if a.sslRedirect != nil {
		return tls && *a.sslRedirect
	}
	return tls
}

func annotationsOf(ing *networkingv1.Ingress) annotations {
	a := annotations{protocol: routing.HTTP, split: routing.Canary{Total: 100}, cors: defaultCORS()}
	values := map[string]string{}
	for _, prefix := range prefixes {
		for name, v := range ing.Annotations {
			if short, ok := strings.CutPrefix(name, prefix); ok {
				values[short] = v
			}
		}
	}
	for _, name := range slices.Sorted(keys(values)) {
		read, known := readers[name]
		switch {
		case !known:
			a.trouble = append(a.trouble, fmt.Sprintf("the annotation %s has no effect here", name))
		case read != nil:
			if err := read(&a, values[name]); err != nil {
				a.trouble = append(a.trouble, fmt.Sprintf("the annotation %s is ignored: %v", name, err))
			}
		}
	}
	if a.affinityWants && a.stickyCookie == "" {
		a.stickyCookie = "INGRESSCOOKIE"
	}
	if !a.corsWants {
		a.cors = nil
	}
	if a.redirect != nil && a.redirect.To == "" {
		a.redirect = nil
	}
	if a.redirect != nil && a.redirect.Code == 0 {
		a.redirect.Code = http.StatusMovedPermanently
	}
	return a
}

// readers read the annotations that have an effect. A nil reader is for those that are understood and need none here:
// limits and timeouts that protect a public proxy.
var readers = map[string]func(a *annotations, v string) error{
	"rewrite-target": func(a *annotations, v string) error { a.rewrite = v; return nil },
	"use-regex":      boolean(func(a *annotations, b bool) { a.useRegexp = b }),
	"app-root":       func(a *annotations, v string) error { a.appRoot = v; return nil },
	"ssl-redirect":   boolean(func(a *annotations, b bool) { a.sslRedirect = &b }),

	"force-ssl-redirect": boolean(func(a *annotations, b bool) { a.forceSSL = b }),
	"permanent-redirect": func(a *annotations, v string) error { return redirectTo(a, v, 0) },
	"permanent-redirect-code": func(a *annotations, v string) error {
		code, err := strconv.Atoi(v)
		if err != nil || code < 300 || code > 308 {
			return fmt.Errorf("%q is no redirect code", v)
		}
		if a.redirect == nil {
			a.redirect = &routing.Redirect{}
		}
		a.redirect.Code = code
		return nil
	},
	"temporal-redirect": func(a *annotations, v string) error { return redirectTo(a, v, http.StatusFound) },
	"backend-protocol": func(a *annotations, v string) error {
		p := routing.Protocol(strings.ToUpper(v))
		if !slices.Contains([]routing.Protocol{routing.HTTP, routing.HTTPS, routing.GRPC, routing.GRPCS}, p) {
			return fmt.Errorf("%q is none of HTTP, HTTPS, GRPC, GRPCS", v)
		}
		a.protocol = p
		return nil
	},
	"upstream-vhost": func(a *annotations, v string) error { a.upstreamHost = v; return nil },
	"server-alias": func(a *annotations, v string) error {
		for _, alias := range strings.Split(v, ",") {
			if alias = strings.ToLower(strings.TrimSpace(alias)); alias != "" {
				a.aliases = append(a.aliases, alias)
			}
		}
		return nil
	},
	"affinity": func(a *annotations, v string) error {
		if v != "cookie" {
			return fmt.Errorf("%q is not known, only cookie is", v)
		}
		a.affinityWants = true
		return nil
	},
	"session-cookie-name":    func(a *annotations, v string) error { a.stickyCookie = v; return nil },
	"enable-cors":            boolean(func(a *annotations, on bool) { a.corsWants = on }),
	"cors-allow-origin":      list(func(a *annotations, l []string) { a.cors.Origins = l }),
	"cors-allow-methods":     list(func(a *annotations, l []string) { a.cors.Methods = l }),
	"cors-allow-headers":     list(func(a *annotations, l []string) { a.cors.Headers = l }),
	"cors-expose-headers":    list(func(a *annotations, l []string) { a.cors.Expose = l }),
	"cors-allow-credentials": boolean(func(a *annotations, b bool) { a.cors.Credentials = b }),
	"cors-max-age":           number(func(a *annotations, n int) { a.cors.MaxAge = n }),
	"canary":                 boolean(func(a *annotations, b bool) { a.canary = b }),
	"canary-by-header":       func(a *annotations, v string) error { a.split.Header = v; return nil },
	"canary-by-header-value": func(a *annotations, v string) error { a.split.Value = v; return nil },
	"canary-by-header-pattern": func(a *annotations, v string) (err error) {
		a.split.Pattern, err = regexp.Compile(v)
		return err
	},
	"canary-by-cookie":    func(a *annotations, v string) error { a.split.Cookie = v; return nil },
	"canary-weight":       number(func(a *annotations, n int) { a.split.Weight = n }),
	"canary-weight-total": number(func(a *annotations, n int) { a.split.Total = n }),

	"proxy-body-size": nil, "proxy-connect-timeout": nil, "proxy-read-timeout": nil, "proxy-send-timeout": nil,
	"proxy-buffering": nil, "proxy-buffer-size": nil, "proxy-request-buffering": nil, "client-body-buffer-size": nil,
	"limit-rps": nil, "limit-rpm": nil, "limit-connections": nil, "session-cookie-expires": nil,
	"session-cookie-max-age": nil, "session-cookie-path": nil, "affinity-mode": nil, "ssl-passthrough": nil,
	"proxy-http-version": nil, "websocket-services": nil, "proxy-next-upstream": nil,
}

// defaultCORS is what nginx's enable-cors means by itself.
func defaultCORS() *routing.CORS {
	return &routing.CORS{
		Origins: []string{"*"}, Methods: []string{"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"},
		Headers: []string{
			"DNT", "Keep-Alive", "User-Agent", "X-Requested-With", "If-Modified-Since", "Cache-Control", "Content-Type", "Range", "Authorization",
		},
		Credentials: true, MaxAge: 1728000,
	}
}

func list(set func(*annotations, []string)) func(*annotations, string) error {
	return func(a *annotations, v string) error {
		var l []string
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item != "" {
				l = append(l, item)
			}
		}
		set(a, l)
		return nil
	}
}

func boolean(set func(*annotations, bool)) func(*annotations, string) error {
	return func(a *annotations, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", v)
		}
		set(a, b)
		return nil
	}
}

func number(set func(*annotations, int)) func(*annotations, string) error {
	return func(a *annotations, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no count", v)
		}
		set(a, n)
		return nil
	}
}

func redirectTo(a *annotations, to string, code int) error {
	if u, err := url.Parse(to); err != nil || u.Scheme == "" && !strings.HasPrefix(to, "/") {
		return fmt.Errorf("%q is no URL", to)
	}
	if a.redirect == nil {
		a.redirect = &routing.Redirect{}
	}
	a.redirect.To = to
	if code != 0 {
		a.redirect.Code = code
	}
	return nil
}

func keys(m map[string]string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
