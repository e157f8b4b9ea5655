package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// imageFormat counts changes to what the images look like around the helper; it is part of their version.
const imageFormat = 1

// epoch dates everything in the images: the same helper makes the same image, byte for byte.
var epoch = time.Unix(0, 0).UTC()

// imageConfig is the part of the OCI image configuration that our images use.
type imageConfig struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
}

type taggedConfig struct {
	ref    string
	config imageConfig
}

// archive packs images that share one layer in the form of `docker save`, which every engine and image store loads.
func archive(arch string, layer []byte, images []taggedConfig) ([]byte, error) {
	diffID := "sha256:" + digest(layer)
	layerPath := digest(layer) + "/layer.tar"
	type manifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var manifests []manifest
	files := []file{{name: layerPath, data: layer, mode: 0o644}}
	for _, img := range images {
		config, err := json.Marshal(map[string]any{
			"architecture": arch,
			"os":           "linux",
			"created":      epoch.Format(time.RFC3339),
			"config":       img.config,
			"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{diffID}},
			"history":      []map[string]string{{"created": epoch.Format(time.RFC3339), "created_by": "skiff"}},
		})
		if err != nil {
			return nil, fmt.Errorf("describe image %s: %w", img.ref, err)
		}
		name := digest(config) + ".json"
		files = append(files, file{name: name, data: config, mode: 0o644})
		manifests = append(manifests, manifest{Config: name, RepoTags: []string{img.ref}, Layers: []string{layerPath}})
	}
	index, err := json.Marshal(manifests)
	if err != nil {
		return nil, fmt.Errorf("describe images: %w", err)
	}
	return pack(append(files, file{name: "manifest.json", data: index, mode: 0o644}))
}

// helperLayer is the whole root file system of our images.
func helperLayer(binary []byte) ([]byte, error) {
	return pack([]file{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", data: []byte("root:x:0:\nnonroot:x:65532:\n"), mode: 0o644},
		{name: "etc/passwd", data: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"), mode: 0o644},
		{name: "skiff-node", data: binary, mode: 0o755},
		{name: "tmp/", mode: 0o1777},
	})
}

// file is an entry of a tar; a name that ends in a slash is a directory.
type file struct {
	name string
	data []byte
	mode int64
}

func pack(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: epoch, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack image: %w", err)
	}
	return out.Bytes(), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
