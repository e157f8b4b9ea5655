package node

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const patience = 40 * time.Second

var intstr80 = intstr.FromInt32(80)

func (c *cluster) configMap(name string, data map[string]string) {
	c.t.Helper()
	cm := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: data}
	if _, err := c.client.CoreV1().ConfigMaps("default").Create(context.Background(), cm, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) secret(name string, data map[string]string) {
	c.t.Helper()
	s := &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	if _, err := c.client.CoreV1().Secrets("default").Create(context.Background(), s, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func main(p *v1.Pod) *v1.Container { return &p.Spec.Containers[0] }

func script(p *v1.Pod, text string) { main(p).Command = []string{"/bin/sh", "-c", text} }

func status(p *v1.Pod, name string) v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range list {
			if s.Name == name {
				return s
			}
		}
	}
	return v1.ContainerStatus{}
}

const forever = "trap 'exit 0' TERM; while true; do sleep 0.1; done"

// TestPods runs what doesn't interfere side by side on one node.
func TestPods(t *testing.T) {
	c := newCluster(t)
	for _, s := range []*v1.Service{{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"},
		Spec:       v1.ServiceSpec{ClusterIP: "10.244.128.1", Ports: []v1.ServicePort{{Name: "https", Port: 443}}},
	}} {
		if _, err := c.client.CoreV1().Services("default").Create(context.Background(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.configMap("settings", map[string]string{"colour": "blue", "nginx.conf": "server {}"})
	c.configMap("colours", map[string]string{"colour": "blue"})
	c.secret("keys", map[string]string{"password": "hunter2"})
	c.configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CERT"})
	c.run()
	t.Run("group", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *cluster){
			"environment": testEnvironment, "volumes": testVolumes, "crash": testCrash, "init": testInit, "sidecar": testSidecar,
			"liveness": testLiveness, "readiness": testReadiness, "completion": testCompletion, "failure": testFailure,
			"missing": testMissingConfigMap, "no image": testMissingImage, "security": testSecurity, "shared": testSharedNamespaces,
			"hooks": testHooks, "start error": testStartError, "deadline": testDeadline, "ephemeral": testEphemeral,
			"oom": testOOM, "subpath": testSubPath, "hostpath": testHostPath,
		} {
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				inner := *c //nolint:govet // the copy is read only, but for t
				inner.t = t
				test(t, &inner)
			})
		}
	})
}

func testEnvironment(t *testing.T, c *cluster) {
	c.pod("env", func(p *v1.Pod) {
		main(p).Env = []v1.EnvVar{
			{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)-$(COLOUR_colour)-$$(A)-$(NONE)"},
			{Name: "IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "NODE", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
			{Name: "APP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
			{Name: "PASS", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "keys"}, Key: "password"}}},
			{Name: "CPU", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.cpu"}}},
		}
		main(p).Resources.Limits = v1.ResourceList{v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("64Mi")}
		main(p).EnvFrom = []v1.EnvFromSource{{Prefix: "COLOUR_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "colours"}}}}
	})
	p := c.until("env", "ready", patience, ready)
	env := "\n" + c.exec("env", "main", "cat", "/proc/1/environ")
	env = strings.ReplaceAll(env, "\x00", "\n") + "\n"
	for _, want := range []string{
		"A=1", "B=1-blue-$(A)-$(NONE)", "IP=" + p.Status.PodIP, "NODE=skiff", "APP=env", "PASS=hunter2", "CPU=2", "COLOUR_colour=blue",
		"KUBERNETES_SERVICE_HOST=10.244.128.1", "KUBERNETES_PORT_443_TCP_PROTO=tcp",
	} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("no %s in %s", want, env)
		}
	}
	if p.Status.QOSClass != v1.PodQOSGuaranteed && p.Status.QOSClass != v1.PodQOSBurstable {
		t.Errorf("QoS %s", p.Status.QOSClass)
	}
}

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
	check("2777 2000", "stat", "-c", "%a %g", "/mem")
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

	// A change shows up within a second.
	cm, _ := c.client.CoreV1().ConfigMaps("default").Get(context.Background(), "settings", metav1.GetOptions{})
	cm.Data["colour"] = "green"
	cm.ResourceVersion = "77"
	if _, err := c.client.CoreV1().ConfigMaps("default").Update(context.Background(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for c.exec("vols", "main", "cat", "/cm/sub/c") != "green" {
		if time.Since(start) > 5*time.Second {
			t.Fatal("the changed ConfigMap never showed up")
		}
	}
	t.Logf("ConfigMap change visible after %v", time.Since(start))
}

func testCrash(t *testing.T, c *cluster) {
	c.pod("crash", func(p *v1.Pod) { script(p, "echo dying > /dev/termination-log; exit 3") })
	p := c.until("crash", "in CrashLoopBackOff", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff"
	})
	s := status(p, "main")
	if s.RestartCount != 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 3 ||
		s.LastTerminationState.Terminated.Message != "dying\n" || s.LastTerminationState.Terminated.Reason != "Error" {
		t.Errorf("status %+v", s)
	}
	if p.Status.Phase != v1.PodRunning {
		t.Errorf("phase %s", p.Status.Phase)
	}
	p = c.until("crash", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount == 2 })
	if !strings.Contains(c.eventsOf("crash"), "Warning BackOff: Back-off restarting failed container main in pod crash_default(") {
		t.Error(c.eventsOf("crash"))
	}
}

func testInit(t *testing.T, c *cluster) {
	c.pod("init", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		mounts := []v1.VolumeMount{{Name: "v", MountPath: "/v"}}
		for _, name := range []string{"one", "two"} {
			k := c.container(name, "echo "+name+" >> /v/order")
			k.VolumeMounts = mounts
			p.Spec.InitContainers = append(p.Spec.InitContainers, k)
		}
		main(p).VolumeMounts = mounts
	})
	p := c.until("init", "ready", patience, ready)
	if got := c.exec("init", "main", "cat", "/v/order"); got != "one\ntwo" {
		t.Errorf("order %q", got)
	}
	if s := status(p, "one"); !s.Ready || s.State.Terminated == nil || s.State.Terminated.Reason != "Completed" {
		t.Errorf("init status %+v", s)
	}
}

func testSidecar(t *testing.T, c *cluster) {
	always := v1.ContainerRestartPolicyAlways
	c.pod("sidecar", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		side := c.container("side", "touch /tmp/up; "+forever)
		side.RestartPolicy = &always
		side.StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 10, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/stat", "/tmp/up"}}}}
		p.Spec.InitContainers = []v1.Container{side}
		script(p, "sleep 1")
	})
	c.until("sidecar", "running", patience, func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodRunning && status(p, "side").State.Running != nil && status(p, "main").State.Running != nil
	})
	p := c.until("sidecar", "succeeded", patience, phase(v1.PodSucceeded))
	if status(p, "side").State.Terminated == nil {
		t.Errorf("the sidecar outlived the pod: %+v", status(p, "side"))
	}
}

func testLiveness(t *testing.T, c *cluster) {
	c.pod("live", func(p *v1.Pod) {
		script(p, "touch /tmp/ok; "+forever)
		main(p).LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1, InitialDelaySeconds: 1, TimeoutSeconds: 5,
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/stat", "/tmp/ok"}}}}
	})
	c.until("live", "ready", patience, ready)
	c.exec("live", "main", "rm", "/tmp/ok")
	p := c.until("live", "restarted", patience, func(p *v1.Pod) bool {
		return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil
	})
	events := c.eventsOf("live")
	if !strings.Contains(events, "Warning Unhealthy: Liveness probe failed: stat: can't stat '/tmp/ok'") ||
		!strings.Contains(events, "Normal Killing: Container main failed liveness probe, will be restarted") {
		t.Error(events)
	}
	_ = p
}

func testReadiness(t *testing.T, c *cluster) {
	c.pod("rdy", func(p *v1.Pod) {
		script(p, "mkdir /tmp/w; touch /tmp/w/healthz; httpd -p 8080 -h /tmp/w; "+forever)
		main(p).Ports = []v1.ContainerPort{{Name: "web", ContainerPort: 8080}}
		main(p).ReadinessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1,
			ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("web")}}}
	})
	c.until("rdy", "ready", patience, ready)
	c.exec("rdy", "main", "rm", "/tmp/w/healthz")
	c.until("rdy", "unready", patience, func(p *v1.Pod) bool { return !ready(p) })
	c.exec("rdy", "main", "touch", "/tmp/w/healthz")
	c.until("rdy", "ready again", patience, ready)
	if events := c.eventsOf("rdy"); !strings.Contains(events, "Readiness probe failed: HTTP probe failed with statuscode: 404") {
		t.Error(events)
	}
}

func testCompletion(t *testing.T, c *cluster) {
	c.pod("done", func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever; script(p, "exit 0") })
	p := c.until("done", "succeeded", patience, phase(v1.PodSucceeded))
	if s := status(p, "main"); s.State.Terminated == nil || s.State.Terminated.Reason != "Completed" {
		t.Errorf("%+v", s)
	}
	c.remove("done", 0)
	c.until("done", "gone", patience, gone)
}

func testFailure(t *testing.T, c *cluster) {
	c.pod("bad", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		main(p).TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
		script(p, "echo the reason; exit 7")
	})
	p := c.until("bad", "failed", patience, phase(v1.PodFailed))
	if s := status(p, "main"); s.State.Terminated == nil || s.State.Terminated.ExitCode != 7 || s.State.Terminated.Message != "the reason\n" {
		t.Errorf("%+v", s)
	}
}

func testMissingConfigMap(t *testing.T, c *cluster) {
	c.pod("late", func(p *v1.Pod) {
		main(p).EnvFrom = []v1.EnvFromSource{{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "late"}}}}
	})
	p := c.until("late", "waiting for its ConfigMap", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CreateContainerConfigError"
	})
	if w := status(p, "main").State.Waiting; !strings.Contains(w.Message, `configmaps "late" not found`) {
		t.Errorf("%+v", w)
	}
	c.configMap("late", map[string]string{"X": "1"})
	start := time.Now()
	c.until("late", "ready", patience, ready)
	t.Logf("ready %v after its ConfigMap came", time.Since(start))
}

func testMissingImage(t *testing.T, c *cluster) {
	c.pod("noimg", func(p *v1.Pod) { main(p).Image, main(p).ImagePullPolicy = "skiff.local/t-pod:nope", v1.PullNever })
	p := c.until("noimg", "waiting", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "ErrImageNeverPull"
	})
	if w := status(p, "main").State.Waiting; !strings.Contains(w.Message, "busybox") {
		t.Errorf("the nearest local tag isn't named: %+v", w)
	}
}

func testSecurity(t *testing.T, c *cluster) {
	yes, no, uid := true, false, int64(1000)
	c.pod("sec", func(p *v1.Pod) {
		main(p).SecurityContext = &v1.SecurityContext{
			RunAsUser: &uid, RunAsNonRoot: &yes, ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
			Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}},
		}
		p.Spec.SecurityContext = &v1.PodSecurityContext{SupplementalGroups: []int64{4000}}
	})
	c.pod("nonroot", func(p *v1.Pod) { main(p).SecurityContext = &v1.SecurityContext{RunAsNonRoot: &yes} })
	c.until("sec", "ready", patience, ready)
	if got := c.exec("sec", "main", "id"); !strings.HasPrefix(got, "uid=1000(app) gid=1000 groups=1000,4000") && !strings.Contains(got, "4000") {
		t.Errorf("id: %s", got)
	}
	proc := c.exec("sec", "main", "cat", "/proc/1/status")
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"} {
		if !strings.Contains(proc, want) {
			t.Errorf("no %q in\n%s", want, proc)
		}
	}
	if got := c.exec("sec", "main", "touch", "/x"); !strings.Contains(got, "Read-only") {
		t.Errorf("root is writable: %s", got)
	}
	p := c.until("nonroot", "refused", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CreateContainerConfigError"
	})
	if w := status(p, "main").State.Waiting; !strings.Contains(w.Message, "image will run as root") {
		t.Errorf("%+v", w)
	}
}

func testSharedNamespaces(t *testing.T, c *cluster) {
	yes := true
	c.pod("duo", func(p *v1.Pod) {
		p.Spec.ShareProcessNamespace = &yes
		p.Spec.Containers = append(p.Spec.Containers, c.container("side", "mkdir /tmp/w; echo hi > /tmp/w/index.html; httpd -p 80 -h /tmp/w; "+forever))
		main(p).Stdin, main(p).TTY = true, true
		main(p).Command = []string{"/bin/cat"}
	})
	c.until("duo", "ready", patience, ready)
	if got := c.exec("duo", "main", "wget", "-q", "-O-", "http://127.0.0.1/"); got != "hi" {
		t.Errorf("over localhost: %q", got)
	}
	if got := c.exec("duo", "main", "ps"); !strings.Contains(got, "skiff-node pause") || !strings.Contains(got, "httpd") {
		t.Errorf("processes: %s", got)
	}
	ipc := func(name string) string { return c.exec("duo", name, "readlink", "/proc/self/ns/ipc") }
	if ipc("main") != ipc("side") {
		t.Error("two IPC namespaces")
	}
}

func testHooks(t *testing.T, c *cluster) {
	c.pod("hooks", func(p *v1.Pod) {
		grace := int64(10)
		p.Spec.TerminationGracePeriodSeconds = &grace
		p.Spec.Volumes = []v1.Volume{{Name: "h", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		main(p).Lifecycle = &v1.Lifecycle{
			PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"/bin/sh", "-c", "sleep 1; echo post > /tmp/post"}}},
			PreStop:   &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 1}},
		}
	})
	c.until("hooks", "ready", patience, ready)
	if got := c.exec("hooks", "main", "cat", "/tmp/post"); got != "post" {
		t.Errorf("postStart: %q", got)
	}
	start := time.Now()
	c.remove("hooks", 10)
	c.until("hooks", "gone", patience, gone)
	if took := time.Since(start); took < time.Second || took > 8*time.Second {
		t.Errorf("termination with a preStop of 1s took %v", took)
	}
}

func testStartError(t *testing.T, c *cluster) {
	c.pod("nocmd", func(p *v1.Pod) { main(p).Command = []string{"/no/such/thing"} })
	p := c.until("nocmd", "in CrashLoopBackOff", patience, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff"
	})
	if term := status(p, "main").LastTerminationState.Terminated; term == nil || term.Reason != "StartError" || term.ExitCode != 128 || !strings.Contains(term.Message, "/no/such/thing") {
		t.Errorf("%+v", term)
	}
}

func testDeadline(t *testing.T, c *cluster) {
	seconds := int64(8)
	c.pod("dead", func(p *v1.Pod) { p.Spec.ActiveDeadlineSeconds = &seconds })
	p := c.until("dead", "failed", patience, phase(v1.PodFailed))
	if p.Status.Reason != "DeadlineExceeded" {
		t.Errorf("reason %q", p.Status.Reason)
	}
	c.until("dead", "stopped", patience, func(p *v1.Pod) bool { return status(p, "main").State.Terminated != nil })
}

func testEphemeral(t *testing.T, c *cluster) {
	c.pod("dbg", nil)
	p := c.until("dbg", "ready", patience, ready)
	p.Spec.EphemeralContainers = []v1.EphemeralContainer{{
		EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "debugger", Image: c.image, Command: []string{"/bin/sh", "-c", forever}},
		TargetContainerName:      "main",
	}}
	if _, err := c.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("dbg", "being debugged", patience, func(p *v1.Pod) bool { return status(p, "debugger").State.Running != nil })
	if got := c.exec("dbg", "debugger", "ps"); !strings.Contains(got, "sleep 0.1") {
		t.Errorf("processes: %s", got)
	}
}

func testOOM(t *testing.T, c *cluster) {
	c.pod("oom", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		main(p).Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("16Mi")}
		script(p, "exec tail /dev/zero")
	})
	p := c.until("oom", "failed", patience, phase(v1.PodFailed))
	if s := status(p, "main"); s.State.Terminated.Reason != "OOMKilled" || s.State.Terminated.ExitCode != 137 {
		t.Errorf("%+v", s.State.Terminated)
	}
}

func testSubPath(t *testing.T, c *cluster) {
	c.pod("sub", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{
			{Name: "cm", VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "settings"}}}},
			{Name: "data", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		}
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

func testHostPath(t *testing.T, c *cluster) {
	dir, file := v1.HostPathDirectory, v1.HostPathFile
	c.pod("host", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "etc", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/etc", Type: &dir}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "etc", MountPath: "/host-etc", ReadOnly: true}}
	})
	c.pod("nofile", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "etc", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/etc", Type: &file}}}}
	})
	c.until("host", "ready", patience, ready)
	if got := c.exec("host", "main", "stat", "-c", "%F", "/host-etc"); got != "directory" {
		t.Errorf("%q", got)
	}
	deadline := time.Now().Add(patience)
	for !strings.Contains(c.eventsOf("nofile"), "hostPath type check failed: /etc is not a file") {
		if time.Now().After(deadline) {
			t.Fatal(c.eventsOf("nofile"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
