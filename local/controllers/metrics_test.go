package controllers_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emicklei/go-restful/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/sets"
	genericapi "k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/informers"

	"skiff.local/skiff/local/controllers/metrics"
)

// fakeUsage says of every pod that each of its containers uses so much.
type fakeUsage struct{ cpuMillis atomic.Int64 }

func (f *fakeUsage) PodUsage(_ context.Context, pods []*corev1.Pod) (map[types.UID]metrics.PodUsage, error) {
	usage := make(map[types.UID]metrics.PodUsage)
	for _, p := range pods {
		u := metrics.PodUsage{Time: time.Now(), Window: time.Second}
		for _, c := range p.Spec.Containers {
			u.Containers = append(u.Containers, metrics.ContainerUsage{Name: c.Name, CPUNanos: uint64(f.cpuMillis.Load()) * 1e6, Memory: 10 << 20})
		}
		usage[p.UID] = u
	}
	return usage, nil
}

// newMetricsAPI serves the group metrics.k8s.io alone.
func newMetricsAPI(t testing.TB, source metrics.Source, inf informers.SharedInformerFactory) http.RoundTripper {
	t.Helper()
	info := metrics.Group(source, inf.Core().V1().Pods().Lister(), inf.Core().V1().Nodes().Lister())
	container := restful.NewContainer()
	for _, gv := range info.PrioritizedVersions {
		_, _, err := (&genericapi.APIGroupVersion{
			Root:                       "/apis",
			GroupVersion:               gv,
			Storage:                    info.VersionedResourcesStorageMap[gv.Version],
			ParameterCodec:             info.ParameterCodec,
			Serializer:                 info.NegotiatedSerializer,
			Creater:                    info.Scheme,
			Convertor:                  info.Scheme,
			ConvertabilityChecker:      info.Scheme,
			UnsafeConvertor:            runtime.UnsafeObjectConvertor(info.Scheme),
			Defaulter:                  info.Scheme,
			Typer:                      info.Scheme,
			Namer:                      runtime.Namer(meta.NewAccessor()),
			OptionsExternalVersion:     info.OptionsExternalVersion,
			EquivalentResourceRegistry: runtime.NewEquivalentResourceRegistry(),
			TypeConverter:              managedfields.NewDeducedTypeConverter(),
		}).InstallREST(container)
		check(t, err)
	}
	resolver := &request.RequestInfoFactory{APIPrefixes: sets.NewString("apis")}
	return recorded{filters.WithRequestInfo(container, resolver)}
}

// recorded calls a handler.
type recorded struct{ handler http.Handler }

func (r recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Result(), nil
}
