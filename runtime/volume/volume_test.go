package volume

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume/wire"
)

type api struct{ refresh time.Time }

func notFound(resource, name string) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: resource}, name)
}

func (api) ConfigMap(_ context.Context, _, name string) (*v1.ConfigMap, error) {
	if name != "cm" {
		return nil, notFound("configmaps", name)
	}
	return &v1.ConfigMap{Data: map[string]string{"a": "1", "b": "2"}, BinaryData: map[string][]byte{"bin": {0}}}, nil
}

func (api) Secret(_ context.Context, _, name string) (*v1.Secret, error) {
	if name != "s" {
		return nil, notFound("secrets", name)
	}
	return &v1.Secret{Data: map[string][]byte{"k": []byte("v")}}, nil
}
func (api) Field(path string) (string, error)                       { return "<" + path + ">", nil }
func (api) ResourceField(*v1.ResourceFieldSelector) (string, error) { return "1", nil }
func (api) TrustBundle(context.Context, *v1.ClusterTrustBundleProjection) ([]byte, error) {
	return nil, errors.New("none")
}

func (a api) Token(context.Context, string, *v1.ServiceAccountTokenProjection) (string, time.Time, error) {
	return "token", a.refresh, nil
}

func (api) PersistentVolumeClaim(_ context.Context, _, name string) (*v1.PersistentVolumeClaim, error) {
	pvc := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if name == "bound" || name == "exported" {
		pvc.Spec.VolumeName, pvc.Status.Phase = "pv-"+name, v1.ClaimBound
	}
	return pvc, nil
}

func (api) PersistentVolume(_ context.Context, name string) (*v1.PersistentVolume, error) {
	if name == "pv-exported" {
		return &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PersistentVolumeSpec{
			PersistentVolumeSource: v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "srv", Path: "/e"}},
			MountOptions:           []string{"hard", "nfsvers=4.2"},
		}}, nil
	}
	return &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: v1.PersistentVolumeSource{
		CSI: &v1.CSIPersistentVolumeSource{Driver: CSIDriver, VolumeHandle: "engine-volume"},
	}}}, nil
}

func fill(t *testing.T, change func(*v1.Pod), sources ...v1.VolumeSource) (*Content, []Volume, error) {
	t.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "uid"}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c"}}}}
	for i, s := range sources {
		p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "v" + string(rune('0'+i)), VolumeSource: s})
	}
	if change != nil {
		change(p)
	}
	volumes, err := Resolve(t.Context(), "prof", p, api{}, docker.Features{})
	if err != nil {
		return nil, nil, err
	}
	content, err := Fill(t.Context(), p, volumes, api{refresh: time.Unix(1000, 0)})
	return content, volumes, err
}

func files(op wire.Op) map[string]string {
	out := map[string]string{}
	for _, f := range op.Files {
		out[f.Path] = string(f.Data)
	}
	return out
}

func TestContentOfVolumes(t *testing.T) {
	yes, mode := true, int32(0o400)
	cm := func(optional *bool, name string, items ...v1.KeyToPath) v1.VolumeSource {
		return v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: name}, Items: items, Optional: optional}}
	}
	for _, test := range []struct {
		name    string
		source  v1.VolumeSource
		want    map[string]string
		wantErr string
	}{
		{"all keys", cm(nil, "cm"), map[string]string{"a": "1", "b": "2", "bin": "\x00"}, ""},
		{"items", cm(nil, "cm", v1.KeyToPath{Key: "a", Path: "x/y"}), map[string]string{"x/y": "1"}, ""},
		{"a missing key", cm(nil, "cm", v1.KeyToPath{Key: "z", Path: "z"}), nil, `volume "v0" : configmap references non-existent config key: z`},
		{"a missing ConfigMap", cm(nil, "other"), nil, `MountVolume.SetUp failed for volume "v0" : configmaps "other" not found`},
		{"a missing optional ConfigMap is empty", cm(&yes, "other"), map[string]string{}, ""},
		{"projected", v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []v1.VolumeProjection{
			{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}},
			{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "s"}}},
			{DownwardAPI: &v1.DownwardAPIProjection{Items: []v1.DownwardAPIVolumeFile{{Path: "ns", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
		}}}, map[string]string{"token": "token", "k": "v", "ns": "<metadata.namespace>"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			content, _, err := fill(t, nil, test.source)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, files(content.Ops[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFSGroupOwnsWhatIsThePods(t *testing.T) {
	group, policy := int64(7), v1.FSGroupChangeOnRootMismatch
	content, _, err := fill(t, func(p *v1.Pod) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &group, FSGroupChangePolicy: &policy}
	}, v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}},
		v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "bound"}},
		v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/x"}},
		v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(content.Ops) != 3 {
		t.Fatalf("%+v", content.Ops)
	}
	if op := content.Ops[0]; op.Mode != 0o2777 || op.GID != 7 {
		t.Errorf("emptyDir %+v", op)
	}
	if op := content.Ops[1]; !op.Recursive || !op.OnMismatch || op.GID != 7 {
		t.Errorf("claim %+v", op)
	}
	if f := content.Ops[2].Files[0]; f.GID != 7 || f.Mode != 0o640 {
		t.Errorf("token %+v", f)
	}
	if !content.Refresh.Equal(time.Unix(1000, 0)) {
		t.Error(content.Refresh)
	}
}

func TestVolumesOfTheEngine(t *testing.T) {
	_, volumes, err := fill(t, nil, v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}},
		v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "bound", ReadOnly: true}},
		v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "srv", Path: "/e"}},
		v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "exported"}})
	if err != nil {
		t.Fatal(err)
	}
	if v := volumes[1]; v.Create.Options["type"] != "tmpfs" || !v.Memory {
		t.Errorf("%+v", v)
	}
	if v := volumes[2]; v.Engine != "engine-volume" || v.Create != nil || !v.ReadOnly {
		t.Errorf("%+v", v)
	}
	if v := volumes[3]; v.Create.Options["o"] != "addr=srv,rw" || v.Create.Options["device"] != ":/e" {
		t.Errorf("%+v", v)
	}
	if v := volumes[4]; v.Create.Options["o"] != "addr=srv,rw,hard,nfsvers=4.2" {
		t.Errorf("%+v", v)
	}
	if _, _, err := fill(t, nil, v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "open"}}); err == nil ||
		!strings.Contains(err.Error(), `persistentvolumeclaim "open" is not bound`) {
		t.Error(err)
	}
}

func TestMountsInsideAVolumeDependOnTheEngine(t *testing.T) {
	in := MountInput{
		Container: &v1.Container{Name: "c", TerminationMessagePath: "/dev/termination-log", VolumeMounts: []v1.VolumeMount{
			{Name: "d", MountPath: "/d"}, {Name: "d", MountPath: "/s", SubPath: "s", ReadOnly: true},
		}},
		Attempt:     3,
		Volumes:     []Volume{{Name: ScratchVolume, Engine: "scratch"}, {Name: "d", Engine: "e"}},
		Mountpoints: map[string]string{"e": "/var/e", "scratch": "/var/scratch"}, Subpaths: map[int]string{1: "s"},
	}
	want := []docker.Mount{
		{Type: docker.MountVolume, Source: "e", Target: "/d", NoCopy: true},
		{Type: docker.MountBind, Source: "/var/e/s", Target: "/s", ReadOnly: true, CreateSource: true},
		{Type: docker.MountBind, Source: "/var/scratch/c-3", Target: "/dev/termination-log", CreateSource: true},
	}
	got, err := Mounts(in)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	in.Features.VolumeSubpath = true
	want[1] = docker.Mount{Type: docker.MountVolume, Source: "e", Target: "/s", Subpath: "s", ReadOnly: true, NoCopy: true}
	want[2] = docker.Mount{Type: docker.MountVolume, Source: "scratch", Target: "/dev/termination-log", Subpath: "c-3", NoCopy: true}
	got, err = Mounts(in)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
