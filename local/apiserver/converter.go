package apiserver

import (
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// typeConverter tells the owners of fields apart by client-go's compiled-in schema, so that no OpenAPI
// document has to be built at start. Parsing the schema takes 60 ms and is done once, on first use.
type typeConverter struct {
	schema  func() managedfields.TypeConverter
	deduced managedfields.TypeConverter
}

func newTypeConverter() *typeConverter {
	return &typeConverter{
		schema:  sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(legacyscheme.Scheme) }),
		deduced: managedfields.NewDeducedTypeConverter(),
	}
}

// warm parses the schema; the first write would otherwise wait for it.
func (c *typeConverter) warm() { c.schema() }

func (c *typeConverter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	v, err := c.schema().ObjectToTyped(obj, opts...)
	// Kinds that are posted but never stored (Binding, Eviction) are in no schema, and the library has no
	// typed error for that.
	if err != nil && strings.Contains(err.Error(), "no type found") {
		return c.deduced.ObjectToTyped(obj, opts...)
	}
	return v, err
}

func (c *typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	return c.schema().TypedToObject(v)
}
