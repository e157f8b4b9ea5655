package rules

import (
	"net/http"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"skiff.local/skiff/local/network/httpproxy/routing"
)

// filters brings a rule's filters to a route.
type filters struct {
	resolve Resolve
	route   *routing.Route
	rules   *Rules
}

// share is what the filters of one backend change.
func (f *filters) share(apply func(f *filters)) routing.Share {
	own := *f
	own.route = &routing.Route{}
	apply(&own)
	if own.route.Redirect != nil || own.route.PathChange != nil || own.route.UpstreamHost != "" || own.route.CORS != nil || own.route.Mirrors != nil {
		f.rules.unsupport("a backend's own filters may change headers, and nothing else here")
	}
	return routing.Share{Request: own.route.Request, Response: own.route.Response}
}

func (f *filters) http(list []gatewayv1.HTTPRouteFilter) {
	t := f.route
	for _, filter := range list {
		switch {
		case filter.RequestHeaderModifier != nil:
			t.Request = headers(filter.RequestHeaderModifier)
		case filter.ResponseHeaderModifier != nil:
			t.Response = headers(filter.ResponseHeaderModifier)
		case filter.RequestMirror != nil:
			f.mirror(filter.RequestMirror)
		case filter.RequestRedirect != nil:
			t.Redirect = redirect(filter.RequestRedirect)
		case filter.URLRewrite != nil:
			t.UpstreamHost = string(ptr.Deref(filter.URLRewrite.Hostname, ""))
			t.PathChange = pathChange(filter.URLRewrite.Path)
		case filter.CORS != nil:
			t.CORS = cors(filter.CORS)
		default:
			f.rules.unsupport("the filter %s is not served", filter.Type)
		}
	}
}

// grpc takes filters that are some of HTTP's, by another name.
func (f *filters) grpc(list []gatewayv1.GRPCRouteFilter) {
	same := make([]gatewayv1.HTTPRouteFilter, len(list))
	for i, filter := range list {
		same[i] = gatewayv1.HTTPRouteFilter{
			Type:                  gatewayv1.HTTPRouteFilterType(filter.Type),
			RequestHeaderModifier: filter.RequestHeaderModifier, ResponseHeaderModifier: filter.ResponseHeaderModifier,
			RequestMirror: filter.RequestMirror,
		}
	}
	f.http(same)
}

func (f *filters) mirror(m *gatewayv1.HTTPRequestMirrorFilter) {
	b, _ := f.resolve(m.BackendRef)
	if b == nil {
		return
	}
	mirror := routing.Mirror{Backend: *b, Weight: 1, Total: 1}
	switch {
	case m.Percent != nil:
		mirror.Weight, mirror.Total = int(*m.Percent), 100
	case m.Fraction != nil:
		mirror.Weight, mirror.Total = int(m.Fraction.Numerator), 100
		if m.Fraction.Denominator != nil {
			mirror.Total = int(*m.Fraction.Denominator)
		}
	}
	f.route.Mirrors = append(f.route.Mirrors, mirror)
}

func headers(f *gatewayv1.HTTPHeaderFilter) *routing.HeaderChange {
	c := &routing.HeaderChange{Remove: f.Remove}
	for _, h := range f.Set {
		c.Set = append(c.Set, routing.Header{Name: string(h.Name), Value: h.Value})
	}
	for _, h := range f.Add {
		c.Add = append(c.Add, routing.Header{Name: string(h.Name), Value: h.Value})
	}
	return c
}

func redirect(f *gatewayv1.HTTPRequestRedirectFilter) *routing.Redirect {
	r := &routing.Redirect{Code: http.StatusFound, Scheme: ptr.Deref(f.Scheme, ""), Host: string(ptr.Deref(f.Hostname, "")), Path: pathChange(f.Path)}
	if f.StatusCode != nil {
		r.Code = *f.StatusCode
	}
	if f.Port != nil {
		r.Port = int(*f.Port)
	}
	return r
}

func pathChange(m *gatewayv1.HTTPPathModifier) *routing.PathChange {
	switch {
	case m == nil:
		return nil
	case m.Type == gatewayv1.PrefixMatchHTTPPathModifier:
		return &routing.PathChange{To: ptr.Deref(m.ReplacePrefixMatch, "/"), Prefix: true}
	}
	return &routing.PathChange{To: ptr.Deref(m.ReplaceFullPath, "/")}
}

func cors(f *gatewayv1.HTTPCORSFilter) *routing.CORS {
	return &routing.CORS{
		Origins: words(f.AllowOrigins), Methods: words(f.AllowMethods), Headers: words(f.AllowHeaders), Expose: words(f.ExposeHeaders),
		Credentials: f.AllowCredentials != nil && *f.AllowCredentials, MaxAge: int(f.MaxAge),
	}
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
