package node

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

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
		"KUBERNETES_SERVICE_HOST=10.244.128.1", "KUBERNETES_PORT_443_TCP_PROTO=tcp", "DB_SERVICE_HOST=10.244.128.7",
	} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("no %s in %s", want, env)
		}
	}
	if p.Status.QOSClass != v1.PodQOSGuaranteed && p.Status.QOSClass != v1.PodQOSBurstable {
		t.Errorf("QoS %s", p.Status.QOSClass)
	}
}

func testServiceLinks(t *testing.T, c *cluster) {
	no := false
	c.pod("unlinked", func(p *v1.Pod) {
		p.Spec.EnableServiceLinks = &no
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		main(p).Env = []v1.EnvVar{{Name: "WHO", Value: "me"}}
		main(p).Command = []string{"/bin/sh", "-c"}
		main(p).Args = []string{"env; echo $0; exit 1", "for-$(WHO)-$$(WHO)-$(NONE)"}
		main(p).TerminationMessagePolicy = v1.TerminationMessageFallbackToLogsOnError
	})
	p := c.until("unlinked", "ended", patience, phase(v1.PodFailed))
	said := status(p, "main").State.Terminated.Message
	if strings.Contains(said, "DB_SERVICE") || !strings.Contains(said, "KUBERNETES_SERVICE_HOST=10.244.128.1\n") || !strings.HasSuffix(said, "\nfor-me-$(WHO)-$(NONE)\n") {
		t.Errorf("without service links: %s", said)
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
