// Package fieldschema holds the schema by which server-side apply tells apart who owns which field of the
// built-in kinds: client-go's, as Go data that the linker lays out. Parsing client-go's YAML instead takes
// 60 ms of the first write and keeps several MB of heap for good.
//
// The data is written, and compared with client-go's, by this package's test:
//
//	go test ./local/apiserver/fieldschema -update
package fieldschema

import (
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// Parser returns a parser with the schema. Its types are shared and must not be changed.
func Parser() *typed.Parser {
	return &typed.Parser{Schema: schema.Schema{Types: types[:]}}
}
