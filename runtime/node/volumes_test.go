package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume"
)

func testVolumes(t *testing.T, c *cluster) {
	mode := int32(0o400)
	expiry := int64(3600)
	c.pod("vols", func(p *v1.Pod) {
		group := int64(2000)
		p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &group}
		size := resource.MustParse("8Mi")
		p.Spec.Volumes = []v1.Volume{
			{Name: "disk", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
			{Name: "mem", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: &size}}},
			{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{
				LocalObjectReference: v1.LocalObjectReference{Name: "settings"}, Items: []v1.KeyToPath{{Key: "colour", Path: "sub/c"}},
			}}},
			{Name: "sec", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "keys", DefaultMode: &mode}}},
			{Name: "down", VolumeSource: v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{Items: []v1.DownwardAPIVolumeFile{
				{Path: "labels", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
			}}}},
			{Name: "kube-api-access", VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{
				{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &expiry}},
				{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []v1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				{DownwardAPI: &v1.DownwardAPIProjection{Items: []v1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
			}}}},
		}
		main(p).VolumeMounts = []v1.VolumeMount{
			{Name: "disk", MountPath: "/disk"}, {Name: "mem", MountPath: "/mem"}, {Name: "cm", MountPath: "/cm"}, {Name: "sec", MountPath: "/sec"},
			{Name: "down", MountPath: "/down"}, {Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		}
	})
	c.until("vols", "ready", patience, ready)
	check := func(want string, command ...string) {
		t.Helper()
		if got := c.exec("vols", "main", command...); got != want {
			t.Errorf("%v: %q, want %q", command, got, want)
		}
	}
	check("2777 2000", "stat", "-c", "%a %g", "/disk")
	check("3777 2000", "stat", "-c", "%a %g", "/mem")
	check("blue", "cat", "/cm/sub/c")
	check("440 2000", "stat", "-L", "-c", "%a %g", "/sec/password")
	check("hunter2", "cat", "/sec/password")
	check(`app="vols"`, "cat", "/down/labels")
	check("token.of.the-pod", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
	check("default", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if got := c.exec("vols", "main", "touch", "/cm/x"); !strings.Contains(got, "Read-only") {
		t.Errorf("a ConfigMap volume is writable: %q", got)
	}
	if got := c.exec("vols", "main", "df", "-k", "/mem"); !strings.Contains(got, "8192") {
		t.Errorf("size of the memory volume: %s", got)
	}

	// A change shows up without a restart.
	cm, _ := c.client.CoreV1().ConfigMaps("default").Get(context.Background(), "settings", metav1.GetOptions{})
	cm.Data["colour"] = "green"
	cm.ResourceVersion = "77"
	if _, err := c.client.CoreV1().ConfigMaps("default").Update(context.Background(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for c.exec("vols", "main", "cat", "/cm/sub/c") != "green" {
		if time.Since(start) > patience {
			t.Fatal("the changed ConfigMap never showed up")
		}
	}
	t.Logf("ConfigMap change visible after %v", time.Since(start))
}

func testSubPath(t *testing.T, c *cluster) {
	c.pod("sub", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{
			{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "settings"}}}},
			{Name: "data", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		}
		main(p).SecurityContext = &v1.SecurityContext{RunAsUser: ptr.To(int64(1000))} // who may write to the volume as to its parts
		main(p).Env = []v1.EnvVar{{Name: "POD", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
		main(p).VolumeMounts = []v1.VolumeMount{
			{Name: "cm", MountPath: "/etc/nginx.conf", SubPath: "nginx.conf"},
			{Name: "data", MountPath: "/logs", SubPathExpr: "logs/$(POD)"}, {Name: "data", MountPath: "/all"},
		}
	})
	c.until("sub", "ready", patience, ready)
	if got := c.exec("sub", "main", "cat", "/etc/nginx.conf"); got != "server {}" {
		t.Errorf("subPath of a ConfigMap: %q", got)
	}
	c.exec("sub", "main", "touch", "/logs/x")
	if got := c.exec("sub", "main", "ls", "/all/logs/sub"); got != "x" {
		t.Errorf("subPathExpr: %q", got)
	}
}

func testClaim(t *testing.T, c *cluster) {
	ctx := context.Background()
	name := c.profile + "-claim"
	if _, err := c.engine.CreateVolume(ctx, docker.VolumeSpec{Name: name, Labels: map[string]string{docker.LabelProfile: c.profile}}); err != nil {
		t.Fatal(err)
	}
	pvc := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "default"}}
	if _, err := c.client.CoreV1().PersistentVolumeClaims("default").Create(ctx, pvc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	group := int64(3000)
	c.pod("claim", func(p *v1.Pod) {
		p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: &group}
		p.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "d", MountPath: "/data"}}
	})
	c.untilEvent("claim", `FailedMount: MountVolume.SetUp failed for volume "d" : persistentvolumeclaim "data" is not bound`)
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv1"}, Spec: v1.PersistentVolumeSpec{
		PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: volume.CSIDriver, VolumeHandle: name}},
	}}
	if _, err := c.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pvc.Spec.VolumeName, pvc.Status.Phase = "pv1", v1.ClaimBound
	if _, err := c.client.CoreV1().PersistentVolumeClaims("default").Update(ctx, pvc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("claim", "ready", patience, ready)
	c.exec("claim", "main", "touch", "/data/kept")
	if got := c.exec("claim", "main", "stat", "-c", "%g", "/data"); got != "3000" {
		t.Errorf("group %s", got)
	}
	c.remove("claim", 1)
	c.until("claim", "gone", patience, gone)
	if _, err := c.engine.InspectVolume(ctx, name); err != nil {
		t.Errorf("the claim's volume went with the pod: %v", err)
	}
}

func usualVolumes(p *v1.Pod) {
	p.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	main(p).VolumeMounts = []v1.VolumeMount{{Name: "d", MountPath: "/d"}}
}

func testSizeLimit(t *testing.T, c *cluster) {
	limit := resource.MustParse("1Mi")
	c.pod("full", func(p *v1.Pod) {
		usualVolumes(p)
		p.Spec.Volumes[0].EmptyDir.SizeLimit = &limit
		script(p, "head -c 3000000 /dev/zero > /d/x; "+forever)
	})
	p := c.until("full", "evicted", patience, phase(v1.PodFailed))
	if p.Status.Reason != "Evicted" || p.Status.Message != `Usage of EmptyDir volume "d" exceeds the limit "1Mi". ` {
		t.Errorf("%s: %q", p.Status.Reason, p.Status.Message)
	}
}
