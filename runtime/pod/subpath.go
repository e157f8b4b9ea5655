package pod

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"

	"skiff.local/skiff/runtime/pod/spec"
	"skiff.local/skiff/runtime/volume"
	"skiff.local/skiff/runtime/volume/wire"
)

// subpaths makes the directories that subPaths name and finds where they end, so that no link leads out of the volume.
func (w *Worker) subpaths(ctx context.Context, sandbox string, c *v1.Container, volumes []volume.Volume, env []spec.EnvVar) (map[int]string, error) {
	out := map[int]string{}
	var ops []wire.Op
	var index []int
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		if m.SubPath == "" && m.SubPathExpr == "" {
			continue
		}
		place, err := subpath(m, env)
		if err != nil {
			return nil, err
		}
		v := findVolume(volumes, m.Name)
		if v == nil || v.Engine == "" {
			out[i] = place // below a host path or in an image: the engine looks
			continue
		}
		if !v.ReadOnly {
			ops = append(ops, wire.Op{Kind: wire.Mkdir, Root: v.Dir(), Path: place})
			index = append(index, -1)
		}
		ops = append(ops, wire.Op{Kind: wire.Resolve, Root: v.Dir(), Path: place})
		index = append(index, i)
	}
	results, err := w.ask(ctx, sandbox, ops)
	if err == nil {
		err = volume.FirstError(ops, results)
	}
	if err != nil {
		return nil, err
	}
	for n, r := range results {
		if index[n] >= 0 {
			out[index[n]] = string(r.Data)
		}
	}
	return out, nil
}

func findVolume(volumes []volume.Volume, name string) *volume.Volume {
	for i := range volumes {
		if volumes[i].Name == name {
			return &volumes[i]
		}
	}
	return nil
}

// subpath expands subPathExpr and refuses what leaves the volume.
func subpath(m *v1.VolumeMount, env []spec.EnvVar) (string, error) {
	place := m.SubPath
	if m.SubPathExpr != "" {
		var missing []string
		place = expansion.Expand(m.SubPathExpr, func(key string) string {
			for _, e := range env {
				if e.Name == key && e.Value != "" {
					return e.Value
				}
			}
			missing = append(missing, key)
			return ""
		})
		if len(missing) > 0 {
			return "", fmt.Errorf("missing value for %s", strings.Join(missing, ", "))
		}
	}
	clean := path.Clean(place)
	if path.IsAbs(clean) || !fs.ValidPath(clean) {
		return "", fmt.Errorf("subPath %q must stay inside the volume", place)
	}
	return clean, nil
}

// envFile reads one variable of an environment file in a volume.
func (w *Worker) envFile(sandbox string) func(context.Context, *v1.FileKeySelector) (string, bool, error) {
	return func(ctx context.Context, ref *v1.FileKeySelector) (string, bool, error) {
		ops := []wire.Op{{Kind: wire.ReadFile, Root: path.Join(wire.VolumesDir, ref.VolumeName), Path: ref.Path}}
		results, err := w.ask(ctx, sandbox, ops)
		if err != nil {
			return "", false, err
		}
		if results[0].Err != "" {
			if ref.Optional != nil && *ref.Optional {
				return "", false, nil
			}
			return "", false, fmt.Errorf("environment file %s: %s", ref.Path, results[0].Err)
		}
		value, found := parseEnvFile(string(results[0].Data), ref.Key)
		return value, found, nil
	}
}

// parseEnvFile finds a key in lines of the form KEY='value' (the API's format for environment files).
func parseEnvFile(text, key string) (string, bool) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") || strings.TrimSpace(name) != key {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && (value[0] == '\'' || value[0] == '"') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		return value, true
	}
	return "", false
}
