package docker

import (
	"fmt"
	"strings"

	"github.com/docker/docker/api/types/mount"
)

// translateMounts sorts mounts into the engine's two lists. The older list, Binds, is used only for a bind mount that
// may create its source: every engine does that there, while the newer list can since API 1.42 only.
func translateMounts(mounts []Mount) (binds []string, out []mount.Mount, err error) {
	for _, m := range mounts {
		if m.Type == MountBind && m.CreateSource {
			bind, err := bindString(m)
			if err != nil {
				return nil, nil, err
			}
			binds = append(binds, bind)
			continue
		}
		translated, err := translateMount(m)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, translated)
	}
	return binds, out, nil
}

func bindString(m Mount) (string, error) {
	if strings.Contains(m.Source, ":") || strings.Contains(m.Target, ":") {
		return "", fmt.Errorf("mount %s at %s: a path with a colon can't be created on the engine's host", m.Source, m.Target)
	}
	options := []string{"rw"}
	if m.ReadOnly {
		options[0] = "ro"
	}
	if m.Propagation != "" {
		options = append(options, m.Propagation)
	}
	return m.Source + ":" + m.Target + ":" + strings.Join(options, ","), nil
}

func translateMount(m Mount) (mount.Mount, error) {
	out := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly || m.RecursiveReadOnly}
	switch m.Type {
	case MountBind:
		if m.Propagation != "" || m.NonRecursive || m.RecursiveReadOnly {
			out.BindOptions = &mount.BindOptions{
				Propagation:            mount.Propagation(m.Propagation),
				NonRecursive:           m.NonRecursive,
				ReadOnlyForceRecursive: m.RecursiveReadOnly,
			}
		}
	case MountVolume:
		if m.NoCopy || m.Subpath != "" {
			out.VolumeOptions = &mount.VolumeOptions{NoCopy: m.NoCopy, Subpath: m.Subpath}
		}
	case MountTmpfs:
		out.Source = ""
		out.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: m.TmpfsSize, Mode: m.TmpfsMode}
		for _, option := range m.TmpfsOptions {
			key, value, hasValue := strings.Cut(option, "=")
			if hasValue {
				out.TmpfsOptions.Options = append(out.TmpfsOptions.Options, []string{key, value})
			} else {
				out.TmpfsOptions.Options = append(out.TmpfsOptions.Options, []string{key})
			}
		}
	case MountImage:
		if m.Subpath != "" {
			out.ImageOptions = &mount.ImageOptions{Subpath: m.Subpath}
		}
	default:
		return out, fmt.Errorf("mount at %s: unknown type %q", m.Target, m.Type)
	}
	return out, nil
}
