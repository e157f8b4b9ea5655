package apiserver

import (
	"reflect"

	"github.com/emicklei/go-restful/v3"
)

// forgetDocumentation frees what routes carry for those who describe or match them in ways that nobody here
// does: 12 MB of the 19 MB that an idle server holds. The OpenAPI documents are built ahead (package openapi),
// and the router that Kubernetes uses compares path segments, for which the regular expression that go-restful
// compiles for every route is not needed.
func forgetDocumentation(container *restful.Container) {
	for _, ws := range container.RegisteredWebServices() {
		routes := ws.Routes()
		for i := range routes {
			r := &routes[i]
			r.ParameterDocs, r.ResponseErrors, r.DefaultResponse = nil, nil, nil
			r.ReadSample, r.WriteSample, r.WriteSamples, r.Metadata = nil, nil, nil, nil
			forgetPattern(r)
		}
	}
}

// forgetPattern drops the regular expression of a route. The field is not exported, so a version of go-restful
// that calls it otherwise keeps it.
func forgetPattern(r *restful.Route) {
	f := reflect.ValueOf(r).Elem().FieldByName("pathExpr")
	if f.IsValid() && f.Kind() == reflect.Pointer {
		reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().SetZero()
	}
}
