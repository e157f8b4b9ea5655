package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume"
)

func TestMorePods(t *testing.T) {
	c := newCluster(t)
	c.run()
	t.Run("group", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *cluster){
			"names": testNames, "dns": testDNS, "host-namespaces": testHostNamespaces, "claim": testClaim,
			"force": testForceDelete, "starting": testDeleteWhileStarting, "gate": testReadinessGate, "restart-policy": testOnFailure,
			"image-update": testImageUpdate, "grace": testGrace, "guaranteed": testGuaranteed, "tcp-probe": testTCPProbe,
			"exec-probe-timeout": testExecProbeTimeout, "post-start-fails": testPostStartFails, "evict": testEvict,
			"resize": testResize, "size-limit": testSizeLimit, "start-over": testStartOver, "fields": testEnvFile,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inner := *c //nolint:govet // the copy is read only, but for t
				inner.t = t
				test(t, &inner)
			})
		}
	})
}

func testNames(t *testing.T, c *cluster) {
	c.pod("names", func(p *v1.Pod) {
		p.Spec.Hostname, p.Spec.Subdomain = "db-0", "db"
		p.Spec.HostAliases = []v1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"foo", "bar"}}}
	})
	p := c.until("names", "ready", patience, ready)
	hosts := c.exec("names", "main", "cat", "/etc/hosts")
	if !strings.Contains(hosts, p.Status.PodIP+"\tdb-0.db.default.svc.cluster.local\tdb-0") || !strings.Contains(hosts, "1.2.3.4\tfoo\tbar") {
		t.Error(hosts)
	}
	if got := c.exec("names", "main", "hostname"); got != "db-0" {
		t.Error(got)
	}
	if got := c.exec("names", "main", "hostname", "-f"); got != "db-0.db.default.svc.cluster.local" {
		t.Error(got)
	}
}

func testDNS(t *testing.T, c *cluster) {
	two := "2"
	c.pod("dns", func(p *v1.Pod) {
		p.Spec.DNSPolicy = v1.DNSNone
		p.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"9.9.9.9"}, Searches: []string{"a.b"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "edns0"}}}
	})
	c.until("dns", "ready", patience, ready)
	if got := c.exec("dns", "main", "cat", "/etc/resolv.conf"); got != "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0" {
		t.Error(got)
	}
}

func testHostNamespaces(t *testing.T, c *cluster) {
	c.pod("hostns", func(p *v1.Pod) {
		p.Spec.HostNetwork, p.Spec.HostPID, p.Spec.HostIPC = true, true, true
		p.Spec.DNSPolicy = v1.DNSClusterFirstWithHostNet
		p.Spec.HostAliases = []v1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"foo"}}}
		port := 20000 + rand.IntN(10000)
		script(p, fmt.Sprintf("httpd -p %d -h /etc; ", port)+forever)
		main(p).ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/passwd", Port: intstr.FromInt(port)}}}
	})
	p := c.until("hostns", "ready", patience, ready)
	if p.Status.PodIP != p.Status.HostIP || p.Status.PodIP == "" {
		t.Errorf("%+v", p.Status)
	}
	if got := c.exec("hostns", "main", "ps"); !strings.Contains(got, "dockerd") {
		t.Error("not the host's processes")
	}
	if got := c.exec("hostns", "main", "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 10.244.128.10") {
		t.Error(got)
	}
	if got := c.exec("hostns", "main", "cat", "/etc/hosts"); !strings.Contains(got, "1.2.3.4\tfoo") {
		t.Error(got)
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

func (c *cluster) untilEvent(pod, text string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(c.eventsOf(pod), text) {
		if time.Now().After(deadline) {
			c.t.Fatalf("no event %q in\n%s", text, c.eventsOf(pod))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func testForceDelete(t *testing.T, c *cluster) {
	c.pod("force", func(p *v1.Pod) { main(p).Command = []string{"/bin/sleep", "1000"} }) // deaf to SIGTERM
	c.until("force", "ready", patience, ready)
	if err := c.client.CoreV1().Pods("default").Delete(context.Background(), "force", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.untilGoneFromEngine("force")
}

func (c *cluster) untilGoneFromEngine(pod string) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		left := strings.Join(c.left(), "\n")
		if !strings.Contains(left, "_"+pod+"_default_") && !strings.Contains(left, "k8s_"+pod+"-") {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("left of %s:\n%s", pod, left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func testDeleteWhileStarting(t *testing.T, c *cluster) {
	for i := range 5 {
		name := fmt.Sprintf("brief%d", i)
		c.pod(name, usualVolumes)
		time.Sleep(time.Duration(i*120) * time.Millisecond)
		c.remove(name, 1)
		c.until(name, "gone", patience, gone)
		c.untilGoneFromEngine(name)
	}
}

func usualVolumes(p *v1.Pod) {
	p.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	main(p).VolumeMounts = []v1.VolumeMount{{Name: "d", MountPath: "/d"}}
}

func testReadinessGate(t *testing.T, c *cluster) {
	c.pod("gate", func(p *v1.Pod) { p.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/open"}} })
	p := c.until("gate", "running", patience, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.Ready
	})
	if ready(p) {
		t.Error("ready in spite of its gate")
	}
	p.Status.Conditions = append(p.Status.Conditions, v1.PodCondition{Type: "example.com/open", Status: v1.ConditionTrue})
	if _, err := c.client.CoreV1().Pods("default").UpdateStatus(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("gate", "ready", patience, ready)
}

func testOnFailure(t *testing.T, c *cluster) {
	c.pod("onfail", func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyOnFailure
		p.Spec.Volumes = []v1.Volume{{Name: "d", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		main(p).VolumeMounts = []v1.VolumeMount{{Name: "d", MountPath: "/d"}}
		script(p, "stat /d/second && exit 0; touch /d/second; exit 1")
	})
	p := c.until("onfail", "succeeded", patience, phase(v1.PodSucceeded))
	if s := status(p, "main"); s.RestartCount != 1 {
		t.Errorf("%+v", s)
	}
}

func testImageUpdate(t *testing.T, c *cluster) {
	c.pod("upd", nil)
	p := c.until("upd", "ready", patience, ready)
	other := "skiff.local/t-pod:other-" + c.profile
	if err := c.engine.TagImage(context.Background(), c.image, other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.engine.RemoveImage(context.Background(), other, docker.RemoveImageOptions{}) })
	main(p).Image = other
	if _, err := c.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("upd", "updated", patience, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.RestartCount == 1 && s.State.Running != nil && s.Image == other
	})
}

func testGrace(t *testing.T, c *cluster) {
	c.pod("deaf", func(p *v1.Pod) { main(p).Command = []string{"/bin/sleep", "1000"} })
	c.until("deaf", "ready", patience, ready)
	start := time.Now()
	c.remove("deaf", 4)
	c.until("deaf", "gone", patience, gone)
	if took := time.Since(start); took < 3*time.Second || took > 12*time.Second {
		t.Errorf("a grace of 4s took %v", took)
	}
}

func testGuaranteed(t *testing.T, c *cluster) {
	c.pod("qos", func(p *v1.Pod) {
		list := v1.ResourceList{v1.ResourceCPU: resource.MustParse("500m"), v1.ResourceMemory: resource.MustParse("64Mi")}
		main(p).Resources = v1.ResourceRequirements{Requests: list, Limits: list}
	})
	p := c.until("qos", "ready", patience, ready)
	if p.Status.QOSClass != v1.PodQOSGuaranteed {
		t.Error(p.Status.QOSClass)
	}
	k, err := c.engine.InspectContainer(context.Background(), strings.TrimPrefix(status(p, "main").ContainerID, "docker://"))
	if err != nil {
		t.Fatal(err)
	}
	if r := k.Resources; r.Memory != 64<<20 || r.CPUQuota != 50000 || r.CPUShares != 512 {
		t.Errorf("%+v", r)
	}
}

func testTCPProbe(t *testing.T, c *cluster) {
	c.pod("tcp", func(p *v1.Pod) {
		script(p, "sleep 2; httpd -p 80; "+forever)
		main(p).StartupProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 30, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr80}}}
		main(p).LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 1, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr80}}}
	})
	p := c.until("tcp", "ready", patience, ready)
	if s := status(p, "main"); s.RestartCount != 0 || s.Started == nil || !*s.Started {
		t.Errorf("%+v", s)
	}
}

func testExecProbeTimeout(t *testing.T, c *cluster) {
	c.pod("slow", func(p *v1.Pod) {
		main(p).ReadinessProbe = &v1.Probe{PeriodSeconds: 2, TimeoutSeconds: 1, FailureThreshold: 1, SuccessThreshold: 1,
			ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"/bin/sleep", "77"}}}}
	})
	c.untilEvent("slow", "Readiness probe failed: command timed out")
	deadline := time.Now().Add(20 * time.Second)
	for strings.Count(c.exec("slow", "main", "ps"), "sleep 77") > 1 {
		if time.Now().After(deadline) {
			t.Fatal("timed out probes go on running")
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func testPostStartFails(t *testing.T, c *cluster) {
	c.pod("psf", func(p *v1.Pod) {
		main(p).Lifecycle = &v1.Lifecycle{PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"/bin/false"}}}}
	})
	c.until("psf", "restarted", patience, func(p *v1.Pod) bool { return status(p, "main").RestartCount > 0 })
	if e := c.eventsOf("psf"); !strings.Contains(e, "Warning FailedPostStartHook: PostStartHook failed") || !strings.Contains(e, "Killing: FailedPostStartHook") {
		t.Error(e)
	}
}

func testEvict(t *testing.T, c *cluster) {
	c.pod("evict", nil)
	c.until("evict", "ready", patience, ready)
	c.agent.worker("default", "evict").Evict("Evicted", "The node was low on resource: memory.")
	p := c.until("evict", "evicted", patience, func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodFailed && status(p, "main").State.Terminated != nil
	})
	if p.Status.Reason != "Evicted" {
		t.Errorf("%+v", p.Status)
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == v1.DisruptionTarget && cond.Status == v1.ConditionTrue && cond.Reason == "TerminationByKubelet" {
			return
		}
	}
	t.Errorf("no DisruptionTarget: %+v", p.Status.Conditions)
}

// TestKilledAtAnyStep ends the agent at random moments of a pod's start and deletion.
func TestKilledAtAnyStep(t *testing.T) {
	c := newCluster(t)
	for i := range 8 {
		name := fmt.Sprintf("k%d", i)
		c.run()
		c.pod(name, usualVolumes)
		time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
		c.stopAgent()
		c.run()
		p := c.until(name, "ready", patience, ready)
		if s := status(p, "main"); s.RestartCount != 0 {
			t.Errorf("%s was restarted: %+v\n%s", name, s, c.eventsOf(name))
		}
		c.remove(name, 2)
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		c.stopAgent()
		c.run()
		c.until(name, "gone", patience, gone)
		c.untilGoneFromEngine(name)
		c.stopAgent()
	}
}

func testResize(t *testing.T, c *cluster) {
	limit := func(cpu, memory string) v1.ResourceRequirements {
		return v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory)}}
	}
	c.pod("big", func(p *v1.Pod) {
		main(p).Resources = limit("500m", "64Mi")
		side := c.container("side", forever)
		side.Resources = limit("500m", "64Mi")
		side.ResizePolicy = []v1.ContainerResizePolicy{{ResourceName: v1.ResourceMemory, RestartPolicy: v1.RestartContainer}}
		p.Spec.Containers = append(p.Spec.Containers, side)
	})
	p := c.until("big", "ready", patience, ready)
	id := strings.TrimPrefix(status(p, "main").ContainerID, "docker://")
	p.Spec.Containers[0].Resources = limit("1", "128Mi")
	p.Spec.Containers[1].Resources = limit("500m", "128Mi")
	if _, err := c.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p = c.until("big", "resized", patience, func(p *v1.Pod) bool {
		s := status(p, "main")
		return s.Resources != nil && s.Resources.Limits.Memory().Value() == 128<<20 && status(p, "side").RestartCount == 1 && ready(p)
	})
	if status(p, "main").RestartCount != 0 {
		t.Error("main was restarted")
	}
	k, err := c.engine.InspectContainer(context.Background(), id)
	if err != nil || k.Resources.Memory != 128<<20 || k.Resources.CPUQuota != 100000 {
		t.Errorf("%+v %v", k.Resources, err)
	}
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

func testStartOver(t *testing.T, c *cluster) {
	never := v1.ContainerRestartPolicyNever
	c.pod("over", func(p *v1.Pod) {
		usualVolumes(p)
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		init := c.container("init", "echo x >> /d/inits")
		init.VolumeMounts = main(p).VolumeMounts
		p.Spec.InitContainers = []v1.Container{init}
		trigger := c.container("trigger", "stat /d/done && { "+forever+"; }; touch /d/done; sleep 2; exit 42")
		trigger.VolumeMounts = main(p).VolumeMounts
		trigger.RestartPolicy = &never
		trigger.RestartPolicyRules = []v1.ContainerRestartRule{{
			Action:    v1.ContainerRestartRuleActionRestartAllContainers,
			ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: v1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
		}}
		p.Spec.Containers = append(p.Spec.Containers, trigger)
	})
	p := c.until("over", "started over", patience, func(p *v1.Pod) bool {
		return status(p, "main").RestartCount == 1 && status(p, "trigger").RestartCount == 1 && ready(p)
	})
	if got := c.exec("over", "main", "cat", "/d/inits"); got != "x\nx" {
		t.Errorf("init containers ran: %q", got)
	}
	if status(p, "init").RestartCount != 1 {
		t.Errorf("%+v", status(p, "init"))
	}
}

func testEnvFile(t *testing.T, c *cluster) {
	c.pod("envfile", func(p *v1.Pod) {
		usualVolumes(p)
		init := c.container("init", "echo \"KEY='value'\" > /d/env")
		init.VolumeMounts = main(p).VolumeMounts
		p.Spec.InitContainers = []v1.Container{init}
		main(p).Env = []v1.EnvVar{{Name: "FROM_FILE", ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{VolumeName: "d", Path: "env", Key: "KEY"}}}}
	})
	c.until("envfile", "ready", patience, ready)
	if got := strings.ReplaceAll(c.exec("envfile", "main", "cat", "/proc/1/environ"), "\x00", "\n"); !strings.Contains(got, "FROM_FILE=value\n") {
		t.Error(got)
	}
}

func TestFiftyContainersInOnePod(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.pod("many", func(p *v1.Pod) {
		p.Spec.Containers = nil
		for i := range 50 {
			p.Spec.Containers = append(p.Spec.Containers, c.container(fmt.Sprintf("c%d", i), "exec sleep 1000"))
		}
	})
	start := time.Now()
	c.until("many", "ready", 3*time.Minute, ready)
	t.Logf("50 containers ready after %v", time.Since(start))
	c.remove("many", 0)
	c.until("many", "gone", 2*time.Minute, gone)
	c.untilNothingLeft()
}
