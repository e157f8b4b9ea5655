package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"skiff.local/skiff/local/apiserver/fieldschema"
)

// typeConverter tells the owners of fields apart by a compiled-in schema, so that no OpenAPI document has
// to be built at start.
type typeConverter struct{ schema, deduced managedfields.TypeConverter }

func newTypeConverter() typeConverter {
	return typeConverter{
		schema:  managedfields.NewSchemeTypeConverter(legacyscheme.Scheme, fieldschema.Parser()),
		deduced: managedfields.NewDeducedTypeConverter(),
	}
}

func (c typeConverter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	v, err := c.schema.ObjectToTyped(obj, opts...)
	// Kinds that are posted but never stored (Binding, Eviction) are in no schema, and the library has no
	// typed error for that.
	if err != nil && strings.Contains(err.Error(), "no type found") {
		return c.deduced.ObjectToTyped(obj, opts...)
	}
	return v, err
}

func (c typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	return c.schema.TypedToObject(v)
}
