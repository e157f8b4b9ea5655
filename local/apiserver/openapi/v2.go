package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

const mediaProto = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

// mergedV2 is the last JSON document with custom resources in it, compressed, and the hash of the custom part.
type mergedV2 struct {
	sync.Mutex
	of  [sha256.Size]byte
	doc []byte
}

// serveV2 answers with the built-in kinds and the custom ones.
func (s *Service) serveV2(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "proto-openapi") {
		s.serveV2Proto(w, r)
		return
	}
	custom, err := s.customV2(r, "application/json")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	doc, err := s.merged.merge(custom)
	if err != nil {
		http.Error(w, "merge OpenAPI documents: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if doc == nil {
		sendEmbedded(w, r, "application/json", v2JSON)
		return
	}
	sendCompressed(w, r, "application/json", doc)
}

// serveV2Proto appends the custom kinds to the built-in ones: protobuf messages merge by concatenation, and
// so do members of a gzip stream.
func (s *Service) serveV2Proto(w http.ResponseWriter, r *http.Request) {
	custom, err := s.customV2(r, mediaProto)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	builtin, err := documents.ReadFile(v2Proto)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var added bytes.Buffer
	z := gzip.NewWriter(&added)
	_, _ = z.Write(custom) // into memory
	_ = z.Close()
	sendCompressed(w, r, mediaProto, append(builtin, added.Bytes()...))
}

// customV2 is the document of custom resources alone.
func (s *Service) customV2(r *http.Request, accept string) ([]byte, error) {
	rec := &recorder{header: http.Header{}}
	req := r.Clone(r.Context())
	req.Header = http.Header{"Accept": {accept}}
	s.crdV2H.ServeHTTP(rec, req)
	if rec.code != 0 && rec.code != http.StatusOK {
		return nil, fmt.Errorf("build OpenAPI document of custom resources: status %d %s", rec.code, rec.body.String())
	}
	return rec.body.Bytes(), nil
}

// merge returns the built-in document with custom's paths and definitions, compressed, or nil if custom has none.
func (m *mergedV2) merge(custom []byte) ([]byte, error) {
	sum := sha256.Sum256(custom)
	m.Lock()
	defer m.Unlock()
	if m.doc != nil && m.of == sum {
		return m.doc, nil
	}
	add, err := splitV2(custom)
	if err != nil || len(add.paths) == 0 {
		return nil, err
	}
	b, err := readEmbedded(v2JSON)
	if err != nil {
		return nil, err
	}
	doc, err := splitV2(b)
	if err != nil {
		return nil, err
	}
	for k, v := range add.paths {
		doc.paths[k] = v
	}
	for k, v := range add.definitions {
		if _, ok := doc.definitions[k]; !ok {
			doc.definitions[k] = v
		}
	}
	if b, err = doc.join(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	_, _ = zw.Write(b) // into memory
	_ = zw.Close()
	m.doc, m.of = out.Bytes(), sum
	return m.doc, nil
}

// documentV2 is a document taken apart as far as merging needs it.
type documentV2 struct {
	top, paths, definitions map[string]json.RawMessage
}

func splitV2(b []byte) (d documentV2, err error) {
	if len(b) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(b, &d.top); err != nil {
		return d, err
	}
	for name, to := range map[string]*map[string]json.RawMessage{"paths": &d.paths, "definitions": &d.definitions} {
		if raw, ok := d.top[name]; ok {
			if err := json.Unmarshal(raw, to); err != nil {
				return d, fmt.Errorf("read %s: %w", name, err)
			}
		}
	}
	return d, nil
}

func (d documentV2) join() (b []byte, err error) {
	if d.top["paths"], err = json.Marshal(d.paths); err != nil {
		return nil, err
	}
	if d.top["definitions"], err = json.Marshal(d.definitions); err != nil {
		return nil, err
	}
	return json.Marshal(d.top)
}
