package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod"
	"skiff.local/skiff/runtime/pod/plan"
)

// forBench is a cluster for a benchmark.
func forBench(b *testing.B) *cluster {
	b.Helper()
	c := newCluster(b)
	c.configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CERT"})
	c.run()
	return c
}

// bare does for one pod what the engine can't be spared, one call after the other.
func (c *cluster) bare(name string) (ids []string) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	labels := map[string]string{docker.LabelProfile: c.profile}
	pause, err := c.engine.CreateContainer(ctx, docker.ContainerSpec{
		Image: c.node, Cmd: []string{"pause"}, Network: c.network, IPC: "shareable", Hostname: name, Labels: labels,
	})
	must(err)
	must(c.engine.StartContainer(ctx, pause))
	app, err := c.engine.CreateContainer(ctx, docker.ContainerSpec{
		Image: c.image, Entrypoint: []string{"/bin/sleep"}, Cmd: []string{"1000"}, Network: docker.ContainerMode(pause), IPC: docker.ContainerMode(pause), Labels: labels,
	})
	must(err)
	must(c.engine.StartContainer(ctx, app))
	return []string{app, pause}
}

func (c *cluster) removeBare(ids []string) {
	for _, id := range ids {
		if err := c.engine.RemoveContainer(context.Background(), id, docker.RemoveOptions{Force: true}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// usual is a pod as most are: one container and the service account's token.
func usual(p *v1.Pod) {
	expiry := int64(3607)
	p.Spec.Volumes = []v1.Volume{{Name: "kube-api-access", VolumeSource: v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: []v1.VolumeProjection{
		{ServiceAccountToken: &v1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &expiry}},
		{ConfigMap: &v1.ConfigMapProjection{LocalObjectReference: v1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []v1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
		{DownwardAPI: &v1.DownwardAPIProjection{Items: []v1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
	}}}}}
	main(p).VolumeMounts = []v1.VolumeMount{{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}}
	script(p, "trap 'exit 0' TERM; while true; do sleep 1 & wait; done")
}

// BenchmarkPod compares a pod from its creation in the API to Running in its status with the engine calls that it needs,
// made bare, alternating, so that both see the same machine.
func BenchmarkPod(b *testing.B) {
	c := forBench(b)
	var bare, pods, deleted time.Duration
	n := 0
	for b.Loop() {
		n++
		start := time.Now()
		ids := c.bare(fmt.Sprintf("bare%d", n))
		bare += time.Since(start)
		c.removeBare(ids)

		name := fmt.Sprintf("pod%d", n)
		start = time.Now()
		c.pod(name, usual)
		c.until(name, "running", patience, phase(v1.PodRunning))
		pods += time.Since(start)
		start = time.Now()
		c.remove(name, 0)
		c.until(name, "gone", patience, gone)
		deleted += time.Since(start)
		c.untilNothingLeft()
	}
	b.ReportMetric(float64(bare.Milliseconds())/float64(n), "bare-ms")
	b.ReportMetric(float64(pods.Milliseconds())/float64(n), "pod-ms")
	b.ReportMetric(float64(pods)/float64(bare), "×bare")
	b.ReportMetric(float64(deleted.Milliseconds())/float64(n), "delete-ms")
}

// BenchmarkThirtyPods compares the rate of thirty pods at once with the engine's own at several degrees of parallelism.
func BenchmarkThirtyPods(b *testing.B) {
	const many = 30
	c := forBench(b)
	for b.Loop() {
		for _, parallel := range []int{2, 4, 8} {
			var mu sync.Mutex
			var all []string
			slots := make(chan struct{}, parallel)
			var wait sync.WaitGroup
			start := time.Now()
			for i := range many {
				wait.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					ids := c.bare(fmt.Sprintf("bare%d", i))
					mu.Lock()
					all = append(all, ids...)
					mu.Unlock()
				})
			}
			wait.Wait()
			b.ReportMetric(many/time.Since(start).Seconds(), fmt.Sprintf("bare%d-pods/s", parallel))
			start = time.Now()
			for _, id := range all {
				wait.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					c.removeBare([]string{id})
				})
			}
			wait.Wait()
			b.ReportMetric(many/time.Since(start).Seconds(), fmt.Sprintf("bare%d-removals/s", parallel))
		}
		start := time.Now()
		for i := range many {
			c.pod(fmt.Sprintf("p%d", i), usual)
		}
		c.untilAny(phase(v1.PodRunning))
		b.ReportMetric(time.Since(start).Seconds(), "first-s")
		for i := range many {
			c.until(fmt.Sprintf("p%d", i), "running", 2*time.Minute, phase(v1.PodRunning))
		}
		b.ReportMetric(many/time.Since(start).Seconds(), "pods/s")
		start = time.Now()
		for i := range many {
			c.remove(fmt.Sprintf("p%d", i), 0)
		}
		for i := range many {
			c.until(fmt.Sprintf("p%d", i), "gone", 2*time.Minute, gone)
		}
		b.ReportMetric(many/time.Since(start).Seconds(), "deletions/s")
		c.untilNothingLeft()
	}
}

// untilAny waits until any pod fulfils the condition.
func (c *cluster) untilAny(ok func(*v1.Pod) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	watcher, err := c.client.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer watcher.Stop()
	for ev := range watcher.ResultChan() {
		if p, isPod := ev.Object.(*v1.Pod); isPod && ok(p) {
			return
		}
	}
	c.t.Fatal("no pod came so far")
}

// BenchmarkHundredPods fills the node, and measures how long a restarted daemon takes to know all of it again.
func BenchmarkHundredPods(b *testing.B) {
	const many = 100
	c := forBench(b)
	for b.Loop() {
		start := time.Now()
		for i := range many {
			c.pod(fmt.Sprintf("p%d", i), usual)
		}
		for i := range many {
			c.until(fmt.Sprintf("p%d", i), "running", 5*time.Minute, phase(v1.PodRunning))
		}
		b.ReportMetric(many/time.Since(start).Seconds(), "pods/s")
		before := c.ids()
		c.stopAgent()
		start = time.Now()
		c.run()
		for i := range many {
			for view := c.agent.view(fmt.Sprintf("p%d", i)); view.Sandbox.State != plan.Running; view = c.agent.view(fmt.Sprintf("p%d", i)) {
				time.Sleep(time.Millisecond)
			}
		}
		b.ReportMetric(time.Since(start).Seconds(), "adopt-s")
		if !slices.Equal(before, c.ids()) {
			b.Error("adoption changed containers")
		}
		start = time.Now()
		for i := range many {
			c.remove(fmt.Sprintf("p%d", i), 0)
		}
		for i := range many {
			c.until(fmt.Sprintf("p%d", i), "gone", 5*time.Minute, gone)
		}
		b.ReportMetric(many/time.Since(start).Seconds(), "deletions/s")
		c.untilNothingLeft()
	}
}

func (a *Agent) view(name string) pod.View {
	if w := a.worker("default", name); w != nil {
		return w.View()
	}
	return pod.View{}
}
