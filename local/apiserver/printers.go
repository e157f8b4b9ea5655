package apiserver

import (
	"reflect"

	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
	printerstorage "k8s.io/kubernetes/pkg/printers/storage"
)

// sharePrinters gives all stores one table of the columns of every kind. Each makes its own: 6 MB together.
func sharePrinters(groups []*genericapiserver.APIGroupInfo) {
	shared := printerstorage.TableConvertor{TableGenerator: printers.NewTableGenerator().With(printersinternal.AddHandlers)}
	for _, g := range groups {
		for _, stores := range g.VersionedResourcesStorageMap {
			for _, s := range stores {
				for _, store := range genericStores(s) {
					if _, own := store.TableConvertor.(printerstorage.TableConvertor); own {
						store.TableConvertor = shared
					}
				}
			}
		}
	}
}

// genericStores are the stores that s is made of. Those of subresources are in fields that are not exported.
func genericStores(s rest.Storage) (stores []*genericregistry.Store) {
	v := reflect.Indirect(reflect.ValueOf(s))
	if v.Kind() != reflect.Struct {
		return nil
	}
	wanted := reflect.TypeFor[*genericregistry.Store]()
	for i := range v.NumField() {
		if f := v.Field(i); f.Type() == wanted && !f.IsNil() {
			stores = append(stores, (*genericregistry.Store)(f.UnsafePointer()))
		}
	}
	return stores
}
