package volume

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/ephemeral"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume/wire"
)

// CSIDriver names PersistentVolumes that are volumes of the engine; their volumeHandle is the engine volume's name. The API
// refuses CSI drivers with a slash in their name.
const CSIDriver = "docker-volume.skiff.local"

// ScratchVolume is the name of the engine volume that every pod has beside its own: termination messages live there. The
// underscore keeps it apart from any volume of a manifest.
const ScratchVolume = "_pod"

// A Volume is one volume of a pod as the engine has it.
type Volume struct {
	Name string // in the pod
	// Engine is the engine volume's name; empty for host paths and images.
	Engine string
	// Create is set for volumes that live and die with the pod.
	Create *docker.VolumeSpec
	// HostPath is a path on the engine's host, HostPathType what has to be there.
	HostPath     string
	HostPathType v1.HostPathType
	// Image is mounted read-only where the engine can mount images; elsewhere Engine holds its copy.
	Image string
	// ReadOnly applies to every mount of the volume.
	ReadOnly bool
	// Shared volumes belong to others as well: fsGroup leaves them alone.
	Shared bool
	// Memory volumes vanish with the last container that has them.
	Memory bool

	source *v1.Volume
}

// Claims finds what a claim stands for.
type Claims interface {
	PersistentVolumeClaim(ctx context.Context, namespace, name string) (*v1.PersistentVolumeClaim, error)
	PersistentVolume(ctx context.Context, name string) (*v1.PersistentVolume, error)
}

// Resolve says what the pod's volumes are on an engine with these features. An error names the volume that can't be had (yet).
func Resolve(ctx context.Context, profile string, pod *v1.Pod, claims Claims, features docker.Features) ([]Volume, error) {
	r := resolver{profile: profile, pod: pod, claims: claims, features: features}
	out := []Volume{{Name: ScratchVolume, Engine: r.engineName("pod"), Create: r.owned(r.engineName("pod"), nil)}}
	for i := range pod.Spec.Volumes {
		v, err := r.resolve(ctx, &pod.Spec.Volumes[i])
		if err != nil {
			return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", pod.Spec.Volumes[i].Name, err)
		}
		v.Name, v.source = pod.Spec.Volumes[i].Name, &pod.Spec.Volumes[i]
		out = append(out, v)
	}
	return out, nil
}

type resolver struct {
	profile  string
	pod      *v1.Pod
	claims   Claims
	features docker.Features
}

// ImageCopy is the engine volume for an image's files, on an engine that can't mount images.
func ImageCopy(profile string, pod *v1.Pod, name string) docker.VolumeSpec {
	r := resolver{profile: profile, pod: pod}
	return *r.owned(r.engineName("v_"+name), nil)
}

// engineName keeps the scratch volume ("pod") apart from the pod's own ("v_" and its name).
func (r *resolver) engineName(name string) string {
	return docker.PodVolumeName(string(r.pod.UID), name)
}

func (r *resolver) owned(name string, options map[string]string) *docker.VolumeSpec {
	return &docker.VolumeSpec{
		Name: name, Options: options,
		Labels: docker.VolumeLabels(r.profile, r.pod.Namespace, r.pod.Name, string(r.pod.UID)),
	}
}

func (r *resolver) resolve(ctx context.Context, v *v1.Volume) (Volume, error) {
	name := r.engineName("v_" + v.Name)
	switch {
	case v.EmptyDir != nil && v.EmptyDir.Medium == v1.StorageMediumMemory:
		return Volume{Engine: name, Memory: true, Create: r.owned(name, r.tmpfs(v.EmptyDir))}, nil
	case v.EmptyDir != nil && strings.HasPrefix(string(v.EmptyDir.Medium), string(v1.StorageMediumHugePages)):
		return Volume{}, fmt.Errorf("medium %s is not supported: the engine can't mount hugetlbfs", v.EmptyDir.Medium)
	case v.EmptyDir != nil:
		return Volume{Engine: name, Create: r.owned(name, nil)}, nil
	case v.ConfigMap != nil, v.Secret != nil, v.DownwardAPI != nil, v.Projected != nil:
		return Volume{Engine: name, Create: r.owned(name, nil), ReadOnly: true}, nil
	case v.HostPath != nil:
		return hostPath(v.HostPath), nil
	case v.NFS != nil:
		return r.nfs(name, v.NFS, nil), nil
	case v.Image != nil && !r.features.ImageMounts:
		return Volume{Image: v.Image.Reference, Engine: name, Create: r.owned(name, nil), ReadOnly: true, Shared: true}, nil
	case v.Image != nil:
		return Volume{Image: v.Image.Reference, ReadOnly: true, Shared: true}, nil
	case v.PersistentVolumeClaim != nil:
		out, err := r.claim(ctx, v.PersistentVolumeClaim.ClaimName)
		out.ReadOnly = out.ReadOnly || v.PersistentVolumeClaim.ReadOnly
		return out, err
	case v.Ephemeral != nil:
		return r.claim(ctx, ephemeral.VolumeClaimName(r.pod, v))
	}
	return Volume{}, fmt.Errorf("this kind of volume is not supported on Docker")
}

// tmpfs has the mode that the kernel gives one unless told otherwise, and kubelet does not.
func (r *resolver) tmpfs(e *v1.EmptyDirVolumeSource) map[string]string {
	options := "mode=1777"
	if sc := r.pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		options = "mode=3777,gid=" + strconv.FormatInt(*sc.FSGroup, 10)
	}
	if e.SizeLimit != nil && e.SizeLimit.Value() > 0 {
		options += ",size=" + strconv.FormatInt(e.SizeLimit.Value(), 10)
	}
	return map[string]string{"type": "tmpfs", "device": "tmpfs", "o": options}
}

func hostPath(h *v1.HostPathVolumeSource) Volume {
	out := Volume{HostPath: path.Clean(h.Path), Shared: true}
	if h.Type != nil {
		out.HostPathType = *h.Type
	}
	return out
}

// nfs uses the engine's local driver, which mounts what mount(8) can on the engine's host.
func (r *resolver) nfs(name string, source *v1.NFSVolumeSource, mountOptions []string) Volume {
	mode := "rw"
	if source.ReadOnly {
		mode = "ro"
	}
	o := append([]string{"addr=" + source.Server, mode}, mountOptions...)
	options := map[string]string{"type": "nfs", "device": ":" + source.Path, "o": strings.Join(o, ",")}
	return Volume{Engine: name, Create: r.owned(name, options), ReadOnly: source.ReadOnly, Shared: true}
}

func (r *resolver) claim(ctx context.Context, name string) (Volume, error) {
	pvc, err := r.claims.PersistentVolumeClaim(ctx, r.pod.Namespace, name)
	if err != nil {
		return Volume{}, err
	}
	if pvc.Spec.VolumeName == "" || pvc.Status.Phase != v1.ClaimBound {
		return Volume{}, fmt.Errorf("persistentvolumeclaim %q is not bound", name)
	}
	pv, err := r.claims.PersistentVolume(ctx, pvc.Spec.VolumeName)
	if err != nil {
		return Volume{}, err
	}
	if pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == v1.PersistentVolumeBlock {
		return Volume{}, fmt.Errorf("volumeMode Block is not supported on Docker")
	}
	out, err := r.persistent(pv)
	if len(pv.Spec.AccessModes) == 1 && pv.Spec.AccessModes[0] == v1.ReadOnlyMany {
		out.ReadOnly = true
	}
	return out, err
}

func (r *resolver) persistent(pv *v1.PersistentVolume) (Volume, error) {
	s := &pv.Spec.PersistentVolumeSource
	switch {
	case s.CSI != nil && s.CSI.Driver == CSIDriver:
		return Volume{Engine: s.CSI.VolumeHandle, ReadOnly: s.CSI.ReadOnly}, nil
	case s.HostPath != nil:
		return hostPath(s.HostPath), nil
	case s.Local != nil:
		return Volume{HostPath: path.Clean(s.Local.Path), HostPathType: v1.HostPathDirectory, Shared: true}, nil
	case s.NFS != nil:
		return r.nfs(r.engineName("v_"+pv.Name), s.NFS, pv.Spec.MountOptions), nil
	case s.CSI != nil:
		return Volume{}, fmt.Errorf("persistentvolume %q: CSI driver %s doesn't run here; storage class \"standard\" makes volumes of the engine", pv.Name, s.CSI.Driver)
	}
	return Volume{}, fmt.Errorf("persistentvolume %q: this kind of volume is not supported on Docker", pv.Name)
}

// SandboxMounts show the pause container every engine volume of the pod, so that it can fill them and keeps those in
// memory alive.
func SandboxMounts(volumes []Volume) []docker.Mount {
	var out []docker.Mount
	for i := range volumes {
		v := &volumes[i]
		if v.Engine == "" {
			continue
		}
		out = append(out, docker.Mount{Type: docker.MountVolume, Source: v.Engine, Target: v.Dir(), NoCopy: true})
	}
	return out
}

// Dir is where the pause container has the volume.
func (v *Volume) Dir() string {
	if v.Name == ScratchVolume {
		return wire.PodDir
	}
	return path.Join(wire.VolumesDir, v.Name)
}
