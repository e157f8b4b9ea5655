package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"go.etcd.io/etcd/client/v3/kubernetes"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/compatibility"
	"k8s.io/kubernetes/pkg/kubeapiserver"
)

// storagePrefix is the root of all keys, as in every other Kubernetes.
const storagePrefix = "/registry"

// newStorageFactory decides in which version and under which key each built-in kind is stored.
func newStorageFactory(version compatibility.EffectiveVersion, resources *serverstorage.ResourceConfig) (*serverstorage.DefaultStorageFactory, error) {
	opts := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(storagePrefix, nil))
	// Nothing ever connects to it, but a factory without servers is refused.
	opts.StorageConfig.Transport.ServerList = []string{"http://127.0.0.1:1"}
	opts.DefaultStorageMediaType = runtime.ContentTypeProtobuf
	opts.EnableWatchCache = false
	opts.SkipHealthEndpoints = true
	config := kubeapiserver.NewStorageFactoryConfigEffectiveVersion(version)
	config.APIResourceConfig = resources
	f, err := config.Complete(opts).New()
	if err != nil {
		return nil, fmt.Errorf("make storage factory: %w", err)
	}
	return f, nil
}

// backend makes the storage of single resources. There is no watch cache: with the store in the same
// process it would hold every object a second time and answer no faster.
type backend struct {
	client    *kubernetes.Client
	compactor etcd3.Compactor
}

// check reads from the store, under the name that monitors ask kube-apiserver for: /livez/etcd.
func (b backend) check(r *http.Request) error {
	_, err := b.client.Kubernetes.Get(r.Context(), storagePrefix+"/health", kubernetes.GetOptions{})
	return err
}

func (b backend) decorate(config *storagebackend.ConfigForResource, resourcePrefix string, _ func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object, _ storage.AttrFunc, _ storage.IndexerFuncs, _ *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	if !strings.HasPrefix(resourcePrefix, "/") {
		resourcePrefix = "/" + resourcePrefix
	}
	versioner := storage.APIObjectVersioner{}
	s, err := etcd3.New(b.client, b.compactor, config.Codec, newFunc, newListFunc, config.Prefix, resourcePrefix, config.GroupResource,
		identity.NewEncryptCheckTransformer(), config.LeaseManagerConfig, etcd3.NewDefaultDecoder(config.Codec, versioner), versioner)
	if err != nil {
		return nil, nil, fmt.Errorf("make storage of %s: %w", config.GroupResource, err)
	}
	return bookmarked{s}, func() {}, nil
}

// bookmarked asks for the periodic bookmarks that the watch cache would otherwise produce.
type bookmarked struct{ storage.Interface }

func (b bookmarked) Watch(ctx context.Context, key string, opts storage.ListOptions) (watch.Interface, error) {
	opts.ProgressNotify = opts.ProgressNotify || opts.Predicate.AllowWatchBookmarks
	return b.Interface.Watch(ctx, key, opts)
}

// builtinOptions gives the stores of the built-in groups their options.
type builtinOptions struct {
	factory *serverstorage.DefaultStorageFactory
	backend backend
}

func (g builtinOptions) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	config, err := g.factory.NewConfig(resource, example)
	if err != nil {
		return generic.RESTOptions{}, fmt.Errorf("configure storage of %s: %w", resource, err)
	}
	return generic.RESTOptions{
		StorageConfig:           config,
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
		ResourcePrefix:          g.factory.ResourcePrefix(resource),
		Decorator:               g.backend.decorate,
	}, nil
}

// codecOptions gives stores that all use one codec their options: those of the CRD server and the aggregator.
type codecOptions struct {
	codec   runtime.Codec
	backend backend
}

func (g codecOptions) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	return generic.RESTOptions{
		StorageConfig:           storagebackend.NewDefaultConfig(storagePrefix, g.codec).ForResource(resource),
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
		ResourcePrefix:          resource.Group + "/" + resource.Resource,
		Decorator:               g.backend.decorate,
	}, nil
}
