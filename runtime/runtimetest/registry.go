package runtimetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"skiff.local/skiff/runtime/docker"
)

// Registry is a registry on loopback that the engine on this machine can pull from: every repository has the same small
// image of two layers. Engines trust loopback addresses without TLS.
type Registry struct {
	Host string // "127.0.0.1:port"
	// Digest is that of the image's manifest.
	Digest string

	mu       sync.Mutex
	user     string
	password string
	broken   bool
	requests []string
	blobs    map[string][]byte
	manifest []byte
}

// NewRegistry starts a registry that ends with the test. It skips the test when the engine runs on another machine, which
// could not reach it.
func NewRegistry(t testing.TB, eng *docker.Engine) *Registry {
	t.Helper()
	info, err := eng.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if name, _ := os.Hostname(); !eng.Local() || info.Name != name {
		t.Skipf("the engine runs on %s and can't reach a registry on this machine's loopback", info.Name)
	}
	r := &Registry{blobs: map[string][]byte{}}
	r.build(t, info.Architecture)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// Require makes every request need these credentials.
func (r *Registry) Require(user, password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.user, r.password = user, password
}

// Break makes every request fail with an internal error, or not.
func (r *Registry) Break(broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

// Requests returns what was asked so far and forgets it.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.requests
	r.requests = nil
	return out
}

func (r *Registry) build(t testing.TB, arch string) {
	t.Helper()
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Size      int    `json:"size"`
		Digest    string `json:"digest"`
	}
	add := func(mediaType string, data []byte) descriptor {
		d := descriptor{mediaType, len(data), sha(data)}
		r.blobs[d.Digest] = data
		return d
	}
	var layers []descriptor
	var diffs []string
	for i := range 2 {
		// Random-looking and unique to this run, so that the engine has something to download.
		layer := tarBytes(t, fmt.Sprintf("layer-%d", i), bytes.Repeat([]byte(UniqueName("content")), 1<<14))
		diffs = append(diffs, sha(layer))
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(layer); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, add("application/vnd.docker.image.rootfs.diff.tar.gzip", packed.Bytes()))
	}
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux", "config": map[string]any{"Cmd": []string{"/x"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": add("application/vnd.docker.container.image.v1+json", config), "layers": layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Digest = sha(r.manifest)
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

// ServeHTTP is the part of the distribution protocol that a pull uses.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	if r.broken {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if user, password, _ := req.BasicAuth(); r.user != "" && (user != r.user || password != r.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		problem(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	switch {
	case path == "":
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(path, "missing/"):
		problem(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
	case strings.Contains(path, "/manifests/"):
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", r.Digest)
		_, _ = w.Write(r.manifest)
	case strings.Contains(path, "/blobs/"):
		_, digest, _ := strings.Cut(path, "/blobs/")
		if data, ok := r.blobs[digest]; ok {
			_, _ = w.Write(data)
			return
		}
		problem(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func problem(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func tarBytes(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
