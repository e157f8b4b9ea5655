package volume

import (
	"context"
	"fmt"
	"sort"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"skiff.local/skiff/runtime/volume/wire"
)

// Sources is where the content of volumes comes from.
type Sources interface {
	ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*v1.Secret, error)
	// Field and ResourceField resolve the downward API.
	Field(path string) (string, error)
	ResourceField(ref *v1.ResourceFieldSelector) (string, error)
	// Token returns a token of the pod's service account and when it should be replaced.
	Token(ctx context.Context, volume string, source *v1.ServiceAccountTokenProjection) (token string, refresh time.Time, err error)
	// TrustBundle returns the PEM certificates that a projection selects.
	TrustBundle(ctx context.Context, source *v1.ClusterTrustBundleProjection) ([]byte, error)
}

// Content is what has to be written into the pod's volumes.
type Content struct {
	Ops []wire.Op
	// Refresh is when a token has to be replaced; zero for never.
	Refresh time.Time
}

// Fill collects the content of the pod's volumes. An error names the volume whose source is missing.
func Fill(ctx context.Context, pod *v1.Pod, volumes []Volume, sources Sources) (*Content, error) {
	f := filler{pod: pod, sources: sources, gid: wire.Unset, uid: commonUser(pod), out: &Content{}}
	if sc := pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		f.gid = *sc.FSGroup
	}
	for i := range volumes {
		if err := f.volume(ctx, &volumes[i]); err != nil {
			return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", volumes[i].Name, err)
		}
	}
	return f.out, nil
}

// commonUser is the user that all containers run as, or Unset: tokens then belong to it.
func commonUser(pod *v1.Pod) int64 {
	user := wire.Unset
	check := func(c *v1.Container) bool {
		uid := wire.Unset
		if pod.Spec.SecurityContext != nil && pod.Spec.SecurityContext.RunAsUser != nil {
			uid = *pod.Spec.SecurityContext.RunAsUser
		}
		if c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
			uid = *c.SecurityContext.RunAsUser
		}
		if uid == wire.Unset || user != wire.Unset && user != uid {
			return false
		}
		user = uid
		return true
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if !check(&list[i]) {
				return wire.Unset
			}
		}
	}
	return user
}

type filler struct {
	pod      *v1.Pod
	sources  Sources
	uid, gid int64
	out      *Content
}

func (f *filler) volume(ctx context.Context, v *Volume) error {
	s := v.source
	if s == nil {
		return nil
	}
	var files map[string]wire.File
	var err error
	switch {
	case s.EmptyDir != nil && !v.Memory:
		f.emptyDir(v)
		return nil
	case s.PersistentVolumeClaim != nil || s.Ephemeral != nil:
		f.owner(v)
		return nil
	case s.ConfigMap != nil:
		files, err = f.configMap(ctx, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.DefaultMode, s.ConfigMap.Optional)
	case s.Secret != nil:
		files, err = f.secret(ctx, s.Secret.SecretName, s.Secret.Items, s.Secret.DefaultMode, s.Secret.Optional)
	case s.DownwardAPI != nil:
		files, err = f.downward(s.DownwardAPI.Items, s.DownwardAPI.DefaultMode)
	case s.Projected != nil:
		files, err = f.projected(ctx, v.Name, s.Projected)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	f.publish(v, files)
	return nil
}

// emptyDir: kubelet makes them 0777, with an fsGroup also set-group-ID.
func (f *filler) emptyDir(v *Volume) {
	mode := uint32(0o777)
	if f.gid != wire.Unset {
		mode = 0o2777
	}
	f.out.Ops = append(f.out.Ops, wire.Op{Kind: wire.Prepare, Path: v.Dir(), Mode: mode, UID: wire.Unset, GID: f.gid})
}

// owner gives a persistent volume to the fsGroup.
func (f *filler) owner(v *Volume) {
	if f.gid == wire.Unset || v.Shared || v.ReadOnly || v.Engine == "" {
		return
	}
	policy := f.pod.Spec.SecurityContext.FSGroupChangePolicy
	f.out.Ops = append(f.out.Ops, wire.Op{
		Kind: wire.Prepare, Path: v.Dir(), UID: wire.Unset, GID: f.gid, Recursive: true,
		OnMismatch: policy != nil && *policy == v1.FSGroupChangeOnRootMismatch,
	})
}

func (f *filler) publish(v *Volume, files map[string]wire.File) {
	op := wire.Op{Kind: wire.Publish, Path: v.Dir(), UID: wire.Unset, GID: f.gid}
	paths := make([]string, 0, len(files))
	for p := range files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	for _, p := range paths {
		file := files[p]
		file.Path = p
		if f.gid != wire.Unset {
			file.GID = f.gid
			file.Mode |= 0o440 // readable for the group
		}
		op.Files = append(op.Files, file)
	}
	f.out.Ops = append(f.out.Ops, op)
}

func newFile(data []byte, mode int32) wire.File {
	return wire.File{Data: data, Mode: uint32(mode) & 0o777, UID: wire.Unset, GID: wire.Unset}
}

// The API's default modes, for objects that came past its defaulting.
const defaultFileMode = 0o644

func modeOf(specific, general *int32) int32 {
	if specific != nil {
		return *specific
	}
	if general != nil {
		return *general
	}
	return defaultFileMode
}

func (f *filler) configMap(ctx context.Context, name string, items []v1.KeyToPath, mode *int32, optional *bool) (map[string]wire.File, error) {
	cm, err := f.sources.ConfigMap(ctx, f.pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && optional != nil && *optional {
			return nil, nil
		}
		return nil, err
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	for k, v := range cm.BinaryData {
		data[k] = v
	}
	return pick(data, items, mode, optional, "configmap references non-existent config key: %s")
}

func (f *filler) secret(ctx context.Context, name string, items []v1.KeyToPath, mode *int32, optional *bool) (map[string]wire.File, error) {
	secret, err := f.sources.Secret(ctx, f.pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && optional != nil && *optional {
			return nil, nil
		}
		return nil, err
	}
	return pick(secret.Data, items, mode, optional, "references non-existent secret key: %s")
}

// pick makes files of all keys, or of those that items name.
func pick(data map[string][]byte, items []v1.KeyToPath, mode *int32, optional *bool, missing string) (map[string]wire.File, error) {
	files := map[string]wire.File{}
	if len(items) == 0 {
		for k, v := range data {
			files[k] = newFile(v, modeOf(nil, mode))
		}
		return files, nil
	}
	for _, item := range items {
		content, ok := data[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return nil, fmt.Errorf(missing, item.Key)
		}
		files[item.Path] = newFile(content, modeOf(item.Mode, mode))
	}
	return files, nil
}

func (f *filler) downward(items []v1.DownwardAPIVolumeFile, mode *int32) (map[string]wire.File, error) {
	files := map[string]wire.File{}
	for i := range items {
		item := &items[i]
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = f.sources.Field(item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = f.sources.ResourceField(item.ResourceFieldRef)
		}
		if err != nil {
			return nil, err
		}
		files[item.Path] = newFile([]byte(value), modeOf(item.Mode, mode))
	}
	return files, nil
}

func (f *filler) projected(ctx context.Context, volume string, p *v1.ProjectedVolumeSource) (map[string]wire.File, error) {
	files := map[string]wire.File{}
	for i := range p.Sources {
		part, err := f.projection(ctx, volume, &p.Sources[i], p.DefaultMode)
		if err != nil {
			return nil, err
		}
		for path, file := range part {
			files[path] = file
		}
	}
	return files, nil
}

func (f *filler) projection(ctx context.Context, volume string, s *v1.VolumeProjection, mode *int32) (map[string]wire.File, error) {
	switch {
	case s.ConfigMap != nil:
		return f.configMap(ctx, s.ConfigMap.Name, s.ConfigMap.Items, mode, s.ConfigMap.Optional)
	case s.Secret != nil:
		return f.secret(ctx, s.Secret.Name, s.Secret.Items, mode, s.Secret.Optional)
	case s.DownwardAPI != nil:
		return f.downward(s.DownwardAPI.Items, mode)
	case s.ServiceAccountToken != nil:
		token, refresh, err := f.sources.Token(ctx, volume, s.ServiceAccountToken)
		if err != nil {
			return nil, err
		}
		if f.out.Refresh.IsZero() || refresh.Before(f.out.Refresh) {
			f.out.Refresh = refresh
		}
		file := newFile([]byte(token), modeOf(nil, mode))
		if f.uid != wire.Unset || f.gid != wire.Unset {
			file.Mode, file.UID = 0o600, f.uid
		}
		return map[string]wire.File{s.ServiceAccountToken.Path: file}, nil
	case s.ClusterTrustBundle != nil:
		pem, err := f.sources.TrustBundle(ctx, s.ClusterTrustBundle)
		if err != nil {
			if apierrors.IsNotFound(err) && s.ClusterTrustBundle.Optional != nil && *s.ClusterTrustBundle.Optional {
				pem = nil
			} else {
				return nil, err
			}
		}
		return map[string]wire.File{s.ClusterTrustBundle.Path: newFile(pem, modeOf(nil, mode))}, nil
	}
	return nil, fmt.Errorf("this kind of projection is not supported")
}
