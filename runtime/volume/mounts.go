package volume

import (
	"fmt"
	"path"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume/wire"
)

// TerminationFile is where the pause container has the termination message of a container.
func TerminationFile(container string, attempt int) string {
	return path.Join(wire.PodDir, terminationName(container, attempt))
}

func terminationName(container string, attempt int) string {
	return fmt.Sprintf("%s-%d", container, attempt)
}

// MountInput is what the mounts of a container are made from.
type MountInput struct {
	Container *v1.Container
	Attempt   int
	Volumes   []Volume
	Features  docker.Features
	// Mountpoints tells where on its disk the engine keeps a volume, by engine name. It is only handed back to the engine.
	Mountpoints map[string]string
	// Subpaths holds, by index of the container's volumeMounts, the place inside the volume that a subPath leads to.
	Subpaths map[int]string
}

// Mounts are the mounts of one of the pod's containers.
func Mounts(in MountInput) ([]docker.Mount, error) {
	byName := map[string]*Volume{}
	for i := range in.Volumes {
		byName[in.Volumes[i].Name] = &in.Volumes[i]
	}
	var out []docker.Mount
	for i := range in.Container.VolumeMounts {
		m := &in.Container.VolumeMounts[i]
		v := byName[m.Name]
		if v == nil {
			return nil, fmt.Errorf("the pod has no volume %q", m.Name)
		}
		mount, err := in.mount(i, m, v)
		if err != nil {
			return nil, err
		}
		out = append(out, mount)
	}
	if in.Container.TerminationMessagePath != "" {
		out = append(out, in.inside(byName[ScratchVolume], terminationName(in.Container.Name, in.Attempt), in.Container.TerminationMessagePath))
	}
	return out, nil
}

func (in *MountInput) mount(i int, m *v1.VolumeMount, v *Volume) (docker.Mount, error) {
	subpath, err := in.subpath(i, m)
	if err != nil {
		return docker.Mount{}, err
	}
	var out docker.Mount
	switch {
	case v.Image != "" && v.Engine == "":
		out = docker.Mount{Type: docker.MountImage, Source: v.Image, Target: m.MountPath, Subpath: subpath}
	case v.HostPath != "":
		out = docker.Mount{
			Type: docker.MountBind, Source: path.Join(v.HostPath, subpath), Target: m.MountPath, Propagation: propagation(m),
			CreateSource: v.HostPathType == v1.HostPathUnset || v.HostPathType == v1.HostPathDirectoryOrCreate ||
				v.HostPathType == v1.HostPathDirectory && subpath != "", // a subPath that is missing is made, as in any volume
		}
	case subpath != "" && subpath != ".":
		out = in.inside(v, subpath, m.MountPath)
	default:
		out = docker.Mount{Type: docker.MountVolume, Source: v.Engine, Target: m.MountPath, NoCopy: true}
	}
	out.ReadOnly = m.ReadOnly || v.ReadOnly
	if m.RecursiveReadOnly != nil && out.ReadOnly && out.Type == docker.MountBind {
		out.RecursiveReadOnly = *m.RecursiveReadOnly == v1.RecursiveReadOnlyEnabled ||
			*m.RecursiveReadOnly == v1.RecursiveReadOnlyIfPossible && in.Features.RecursiveReadOnly
		if out.RecursiveReadOnly {
			out.CreateSource = false
		}
	}
	return out, nil
}

func (in *MountInput) subpath(i int, m *v1.VolumeMount) (string, error) {
	if m.SubPath == "" && m.SubPathExpr == "" {
		return "", nil
	}
	place, ok := in.Subpaths[i]
	if !ok {
		return "", fmt.Errorf("the subPath of the mount at %s is not known yet", m.MountPath)
	}
	return place, nil
}

// inside mounts a part of an engine volume. Older engines can't; but they can bind the place where they keep it. Neither
// looks at the place before the container starts, when the pause container has made it.
func (in *MountInput) inside(v *Volume, place, target string) docker.Mount {
	if in.Features.VolumeSubpath {
		return docker.Mount{Type: docker.MountVolume, Source: v.Engine, Target: target, Subpath: place, NoCopy: true}
	}
	return docker.Mount{
		Type: docker.MountBind, Source: path.Join(in.Mountpoints[v.Engine], place), Target: target, CreateSource: true,
	}
}

func propagation(m *v1.VolumeMount) string {
	if m.MountPropagation == nil {
		return ""
	}
	switch *m.MountPropagation {
	case v1.MountPropagationHostToContainer:
		return "rslave"
	case v1.MountPropagationBidirectional:
		return "rshared"
	}
	return ""
}
