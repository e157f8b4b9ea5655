package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume"
)

// TestVolumes is one node with a pod for each kind of volume and what can be said about it.
func TestVolumes(t *testing.T) {
	c := newCluster(t)
	c.configMap("settings", map[string]string{"colour": "blue", "size": "xl"})
	c.secret("keys", map[string]string{"password": "hunter2"})
	c.run()
	t.Run("group", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *cluster){
			"host-path-types": testHostPathTypes, "host-path-mismatch": testHostPathMismatch, "host-path-created": testHostPathCreated,
			"token": testTokenIsReplaced, "propagation": testPropagation, "nfs": testNFS, "image": testImageVolume,
			"modes": testModesAndOptionalSources, "group-policy": testGroupChangePolicy, "ephemeral": testEphemeralClaim,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, c.in(t))
			})
		}
	})
}

// hostThings are a path of every kind on the engine's host, which is this machine.
func hostThings(t *testing.T) map[v1.HostPathType]string {
	t.Helper()
	// Not t.TempDir: a socket's path has at most 107 bytes.
	dir, err := os.MkdirTemp("", "hostpath-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	things := map[v1.HostPathType]string{v1.HostPathDirectory: dir, v1.HostPathFile: dir + "/file", v1.HostPathCharDev: "/dev/null"}
	if err := os.WriteFile(things[v1.HostPathFile], []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Behind an absolute link, like /var/run/docker.sock on most hosts.
	if err := os.Symlink(dir, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	things[v1.HostPathSocket] = dir + "/link/sock"
	listener, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if syscall.Mknod(dir+"/block", syscall.S_IFBLK|0o600, 7<<8) == nil {
		things[v1.HostPathBlockDev] = dir + "/block"
	}
	return things
}

func hostVolume(name, path string, kind v1.HostPathType) v1.Volume {
	return v1.Volume{Name: name, VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}}
}

func testHostPathTypes(t *testing.T, c *cluster) {
	things := hostThings(t)
	things[v1.HostPathDirectoryOrCreate], things[v1.HostPathFileOrCreate] = things[v1.HostPathDirectory], things[v1.HostPathFile]
	things[v1.HostPathUnset] = things[v1.HostPathFile] // nothing is asked of it
	c.pod("kinds", func(p *v1.Pod) {
		for kind, path := range things {
			name := "v" + strings.ToLower(string(kind))
			p.Spec.Volumes = append(p.Spec.Volumes, hostVolume(name, path, kind))
			main(p).VolumeMounts = append(main(p).VolumeMounts, v1.VolumeMount{Name: name, MountPath: "/v/" + name})
		}
	})
	c.until("kinds", "ready", patience, ready)
	for kind, want := range map[v1.HostPathType]string{
		v1.HostPathUnset: "regular file", v1.HostPathDirectory: "directory", v1.HostPathDirectoryOrCreate: "directory", v1.HostPathFile: "regular file",
		v1.HostPathFileOrCreate: "regular file", v1.HostPathSocket: "socket", v1.HostPathCharDev: "character special file", v1.HostPathBlockDev: "block special file",
	} {
		if things[kind] == "" {
			t.Logf("no %s here", kind)
			continue
		}
		if got := c.exec("kinds", "main", "stat", "-c", "%F", "/v/v"+strings.ToLower(string(kind))); got != want {
			t.Errorf("type %q: %s, want %s", kind, got, want)
		}
	}
	if info, err := os.Stat(things[v1.HostPathFile]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("FileOrCreate changed a file that was there: %v, %v", info.Mode(), err)
	}
}

func testHostPathMismatch(t *testing.T, c *cluster) {
	things := hostThings(t)
	file, dir := things[v1.HostPathFile], things[v1.HostPathDirectory]
	for kind, bad := range map[v1.HostPathType][2]string{
		v1.HostPathDirectory: {file, "directory"}, v1.HostPathDirectoryOrCreate: {file, "directory"}, v1.HostPathFile: {dir, "file"},
		v1.HostPathFileOrCreate: {dir, "file"}, v1.HostPathSocket: {file, "socket file"}, v1.HostPathCharDev: {file, "character device"},
		v1.HostPathBlockDev: {"/dev/null", "block device"},
	} {
		name := "bad-" + strings.ToLower(string(kind))
		c.pod(name, func(p *v1.Pod) { p.Spec.Volumes = []v1.Volume{hostVolume("v", bad[0], kind)} })
		c.untilEvent(name, fmt.Sprintf(`Warning FailedMount: MountVolume.SetUp failed for volume "v" : hostPath type check failed: %s is not a %s`, bad[0], bad[1]))
		c.remove(name, 0)
	}
}

func testHostPathCreated(t *testing.T, c *cluster) {
	dir := hostThings(t)[v1.HostPathDirectory]
	c.pod("made", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{
			hostVolume("d", dir+"/new/dir", v1.HostPathDirectoryOrCreate), hostVolume("f", dir+"/newfile", v1.HostPathFileOrCreate),
			hostVolume("s", dir, v1.HostPathDirectory),
		}
		main(p).VolumeMounts = []v1.VolumeMount{
			{Name: "d", MountPath: "/d"}, {Name: "f", MountPath: "/f"}, {Name: "s", MountPath: "/s", SubPath: "sub/path"},
		}
		script(p, "echo text > /f && touch /d/inside /s/inside && "+forever)
	})
	c.until("made", "ready", patience, ready)
	c.untilExec("made", "main", "inside", "ls", "/s") // ready is sooner than what its program does
	for _, file := range []string{"new/dir/inside", "sub/path/inside"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(dir + "/newfile"); string(text) != "text\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// testTokenIsReplaced: the API gives tokens that live so short that the first has to be replaced while the test looks on.
func testTokenIsReplaced(t *testing.T, c *cluster) {
	const life = 12 * time.Second
	var given atomic.Int32
	c.client.PrependReactor("create", "serviceaccounts", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if create, ok := action.(clienttesting.CreateActionImpl); !ok || create.Name != "brief" {
			return false, nil, nil
		}
		return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{
			Token: fmt.Sprintf("token-%d", given.Add(1)), ExpirationTimestamp: metav1.NewTime(time.Now().Add(life)),
		}}, nil
	})
	c.pod("token", func(p *v1.Pod) {
		p.Spec.ServiceAccountName = "brief"
		p.Spec.Volumes = []v1.Volume{{Name: "t", VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{
			{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To(int64(600)), Audience: "somebody"}},
		}}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "t", MountPath: "/t"}}
	})
	c.until("token", "ready", patience, ready)
	first := c.exec("token", "main", "cat", "/t/token")
	for deadline := time.Now().Add(patience); c.exec("token", "main", "cat", "/t/token") == first; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the token stayed %s; the API gave %d", first, given.Load())
		}
	}
	if p := c.get("token"); status(p, "main").RestartCount != 0 {
		t.Errorf("a new token restarted the container: %+v", p.Status)
	}
}

func testPropagation(t *testing.T, c *cluster) {
	dir := hostThings(t)[v1.HostPathDirectory]
	// A mount of its own that others can be told about.
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounts can't be made here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := syscall.Mount("", dir, "", syscall.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"/late", "/own"} {
		if err := os.Mkdir(dir+sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.pod("spread", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{hostVolume("v", dir, v1.HostPathDirectory)}
		// What a privileged container may, as far as this test needs it: not every machine's engine may grant all of it.
		main(p).SecurityContext = &v1.SecurityContext{
			Capabilities:   &v1.Capabilities{Add: []v1.Capability{"SYS_ADMIN"}},
			SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined},
		}
		main(p).VolumeMounts = []v1.VolumeMount{
			{Name: "v", MountPath: "/none", MountPropagation: ptr.To(v1.MountPropagationNone)},
			{Name: "v", MountPath: "/down", MountPropagation: ptr.To(v1.MountPropagationHostToContainer)},
			{Name: "v", MountPath: "/both", MountPropagation: ptr.To(v1.MountPropagationBidirectional)},
		}
	})
	c.until("spread", "ready", patience, ready)
	if err := syscall.Mount("tmpfs", dir+"/late", "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir+"/late", syscall.MNT_DETACH) })
	c.exec("spread", "main", "mount", "-t", "tmpfs", "tmpfs", "/both/own")
	mounts := c.exec("spread", "main", "cat", "/proc/mounts")
	for place, want := range map[string]bool{"/none/late": false, "/down/late": true, "/both/late": true} {
		if got := strings.Contains(mounts, " "+place+" "); got != want {
			t.Errorf("the host's mount at %s: %v, want %v", place, got, want)
		}
	}
	if here, err := os.ReadFile("/proc/mounts"); !strings.Contains(string(here), " "+dir+"/own ") {
		t.Errorf("the container's mount did not reach the host: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir+"/own", syscall.MNT_DETACH) })
}

// testNFS: nothing serves NFS here, and many kernels can't mount it. The engine is asked for the right thing, and what it says
// is told.
func testNFS(t *testing.T, c *cluster) {
	p := c.pod("nfs", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "n", VolumeSource: v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "127.0.0.1", Path: "/exports/data", ReadOnly: true}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "n", MountPath: "/n"}}
	})
	c.untilEvent("nfs", "failed to mount local volume: mount :/exports/data:")
	list, err := c.engine.ListVolumes(context.Background(), docker.PodLabels(c.profile, string(p.UID)))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		if strings.HasSuffix(v.Name, "v_n") || v.Options["type"] == "nfs" {
			if o := v.Options; o["type"] != "nfs" || o["device"] != ":/exports/data" || o["o"] != "addr=127.0.0.1,ro" {
				t.Errorf("the engine was asked for %v", o)
			}
			c.remove("nfs", 0)
			c.until("nfs", "gone", patience, gone)
			c.untilGoneFromEngine("nfs")
			return
		}
	}
	t.Errorf("no volume of the engine among %+v", list)
}

// testImageVolume: where the engine can't mount images, their files are copied, which no container may notice.
func testImageVolume(t *testing.T, c *cluster) {
	volumes := func(reference string, policy v1.PullPolicy) []v1.Volume {
		return []v1.Volume{{Name: "i", VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: reference, PullPolicy: policy}}}}
	}
	c.pod("imgvol", func(p *v1.Pod) {
		p.Spec.Volumes = volumes(c.image, v1.PullIfNotPresent)
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "i", MountPath: "/i"}, {Name: "i", MountPath: "/sub", SubPath: "etc"}}
	})
	c.pod("imgnone", func(p *v1.Pod) {
		p.Spec.Volumes = volumes("skiff.local/t-no-such-image:1", v1.PullNever)
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "i", MountPath: "/i"}}
	})
	c.until("imgvol", "ready", patience, ready)
	for _, file := range []string{"/i/etc/passwd", "/sub/passwd"} {
		if got := c.exec("imgvol", "main", "cat", file); !strings.HasPrefix(got, "root:") {
			t.Errorf("%s: %q", file, got)
		}
	}
	if got := c.exec("imgvol", "main", "sh", "-c", "echo x 2>/dev/null >/i/x && echo written || echo refused"); strings.TrimSpace(got) != "refused" {
		t.Errorf("a write into an image: %q", got)
	}
	c.until("imgnone", "told that the volume's image is missing", patience, func(p *v1.Pod) bool {
		return p != nil && status(p, "main").State.Waiting != nil && status(p, "main").State.Waiting.Reason == "ErrImageNeverPull"
	})
	for _, name := range []string{"imgvol", "imgnone"} {
		c.remove(name, 0)
		c.until(name, "gone", patience, gone)
		c.untilGoneFromEngine(name)
	}
}

func testModesAndOptionalSources(t *testing.T, c *cluster) {
	yes := ptr.To(true)
	c.pod("modes", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{
			{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{
				LocalObjectReference: v1.LocalObjectReference{Name: "settings"}, DefaultMode: ptr.To(int32(0o640)),
				Items: []v1.KeyToPath{{Key: "colour", Path: "a/b/colour"}, {Key: "size", Path: "size", Mode: ptr.To(int32(0o400))}},
			}}},
			{Name: "none", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "nowhere"}, Optional: yes}}},
			{Name: "nokey", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "keys", Optional: yes, Items: []v1.KeyToPath{
				{Key: "password", Path: "password"}, {Key: "nothing", Path: "nothing"},
			}}}},
			{Name: "all", VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{DefaultMode: ptr.To(int32(0o440)), Sources: []v1.VolumeProjection{
				{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "settings"}}},
				{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: "nowhere"}, Optional: yes}},
				{DownwardAPI: &v1.DownwardAPIProjection{Items: []v1.DownwardAPIVolumeFile{{Path: "cpu", Mode: ptr.To(int32(0o444)),
					ResourceFieldRef: &v1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.memory"}}}}},
			}}}},
		}
		main(p).Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")}
		for i := range p.Spec.Volumes {
			name := p.Spec.Volumes[i].Name
			main(p).VolumeMounts = append(main(p).VolumeMounts, v1.VolumeMount{Name: name, MountPath: "/" + name})
		}
	})
	c.until("modes", "ready", patience, ready)
	for _, check := range [][2]string{
		{"stat -L -c %a:%n /cm/a/b/colour /cm/size", "640:/cm/a/b/colour\n400:/cm/size"},
		{"ls /none", ""}, {"ls /nokey", "password"}, {"ls /all", "colour\ncpu\nsize"},
		{"stat -L -c %a /all/colour /all/cpu", "440\n444"}, {"cat /all/cpu", "67108864"},
	} {
		if got := c.exec("modes", "main", strings.Fields(check[0])...); got != check[1] {
			t.Errorf("%s: %q, want %q", check[0], got, check[1])
		}
	}
	// What was optional and missing shows up when it comes.
	c.configMap("nowhere", map[string]string{"now": "here"})
	for deadline := time.Now().Add(patience); c.exec("modes", "main", "ls", "/none") != "now"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an optional ConfigMap that came later never showed up")
		}
	}
}

// claimed makes a volume of the engine and a claim that is bound to it.
func (c *cluster) claimed(claim string) {
	c.t.Helper()
	ctx, name := context.Background(), c.profile+"-"+claim
	if _, err := c.engine.CreateVolume(ctx, docker.VolumeSpec{Name: name, Labels: map[string]string{docker.LabelProfile: c.profile}}); err != nil {
		c.t.Fatal(err)
	}
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: claim}, Spec: v1.PersistentVolumeSpec{
		PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: volume.CSIDriver, VolumeHandle: name}},
	}}
	if _, err := c.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	pvc := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: claim, Namespace: "default"}}
	pvc.Spec.VolumeName, pvc.Status.Phase = claim, v1.ClaimBound
	if _, err := c.client.CoreV1().PersistentVolumeClaims("default").Create(ctx, pvc, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func testGroupChangePolicy(t *testing.T, c *cluster) {
	c.claimed("grouped")
	run := func(name string, policy v1.PodFSGroupChangePolicy) {
		c.pod(name, func(p *v1.Pod) {
			p.Spec.SecurityContext = &v1.PodSecurityContext{FSGroup: ptr.To(int64(2000)), FSGroupChangePolicy: &policy}
			p.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "grouped"}}}}
			main(p).VolumeMounts = []v1.VolumeMount{{Name: "d", MountPath: "/d"}}
		})
		c.until(name, "ready", patience, ready)
	}
	group := func(pod string) string { return c.exec(pod, "main", "stat", "-c", "%g", "/d/file") }
	run("first", v1.FSGroupChangeAlways)
	c.exec("first", "main", "touch", "/d/file")
	c.exec("first", "main", "busybox", "chgrp", "77", "/d/file")
	run("mismatch", v1.FSGroupChangeOnRootMismatch)
	if got := group("mismatch"); got != "77" {
		t.Errorf("the volume belongs to the group, and OnRootMismatch gave a file in it to group %s", got)
	}
	run("always", v1.FSGroupChangeAlways)
	if got := group("always"); got != "2000" {
		t.Errorf("Always left a file to group %s", got)
	}
}

func testEphemeralClaim(t *testing.T, c *cluster) {
	c.pod("eph", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "scratch", VolumeSource: v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "scratch", MountPath: "/d"}}
		script(p, "touch /d/x && "+forever)
	})
	c.untilEvent("eph", `FailedMount: MountVolume.SetUp failed for volume "scratch" : persistentvolumeclaims "eph-scratch" not found`)
	c.claimed("eph-scratch")
	c.until("eph", "ready", patience, ready)
}
