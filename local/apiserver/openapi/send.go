package openapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// sendEmbedded answers with an embedded document.
func sendEmbedded(w http.ResponseWriter, r *http.Request, mediaType, file string) {
	b, err := documents.ReadFile(file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sendCompressed(w, r, mediaType, b)
}

// readEmbedded returns an embedded document, decompressed.
func readEmbedded(file string) ([]byte, error) {
	f, err := documents.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// sendCompressed answers with a gzip stream, as it is when the client takes that.
func sendCompressed(w http.ResponseWriter, r *http.Request, mediaType string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Vary", "Accept, Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		_, _ = w.Write(b) // the client is gone
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.Copy(w, z) // the client is gone
}

// recorder keeps a response in memory.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
