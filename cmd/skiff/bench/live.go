package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"skiff.local/skiff/runtime/image"
)

// liveManifest is a workload of one pod, of an image that is built here, with a value that a save changes.
const liveManifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: live}
spec:
  selector: {matchLabels: {app: live}}
  template:
    metadata: {labels: {app: live}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      containers: [{name: hello, image: %q, imagePullPolicy: Never, env: [{name: ROUND, value: "%d"}]}]
`

// live measures what a person waits for: from a save, and from the end of `docker build`, to a new pod that is Ready,
// beside the engine calls that such a pod takes.
func (b *bench) live(ctx context.Context) error {
	ref, err := image.EnsureNode(ctx, b.engine)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.home, "live-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	app := b.profile.Name + "-live:dev"
	if _, err := b.build(ctx, app, 0); err != nil {
		return err
	}
	defer func() {
		_ = exec.CommandContext(context.WithoutCancel(ctx), "docker", "rmi", "-f", app).Run()
		_ = b.remove(context.WithoutCancel(ctx), "live")
	}()
	save := func(n int) error {
		return os.WriteFile(filepath.Join(dir, "live.yaml"), fmt.Appendf(nil, liveManifest, app, n), 0o600)
	}
	if err := save(0); err != nil {
		return err
	}
	up, err := b.watch(ctx, dir)
	if err != nil {
		return err
	}
	defer up.end()

	known := map[string]bool{}
	if err := b.alone(ctx, known); err != nil {
		return err
	}
	var saved, bare, built, builds []time.Duration
	for n := 1; n <= b.rounds; n++ {
		begin := time.Now()
		if err := save(n); err != nil {
			return err
		}
		took, err := b.untilNew(ctx, known, begin)
		if err != nil {
			return err
		}
		saved = append(saved, took)
		begin = time.Now()
		remove, err := b.barePod(ctx, ref, fmt.Sprintf("bench-live-%d", n))
		bare = append(bare, time.Since(begin))
		remove()
		if err != nil {
			return err
		}
		building, err := b.build(ctx, app, n)
		if err != nil {
			return err
		}
		if took, err = b.untilNew(ctx, known, time.Now()); err != nil {
			return err
		}
		builds, built = append(builds, building), append(built, took)
	}
	b.report.times("a save to the new pod Ready", saved, "")
	b.report.times("the engine calls of such a pod, bare", bare, "sandbox and container, created and started in order")
	b.report.ratio("a save to the new pod Ready ÷ bare", saved, bare, "")
	b.report.times("`docker build` that moves the tag", builds, "one label on the demo's image")
	b.report.times("its end to the new pod Ready", built, "")
	return nil
}

// build makes an image that differs from the last one.
func (b *bench) build(ctx context.Context, tag string, n int) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.home, "build-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), fmt.Appendf(nil, "FROM %s\nLABEL n=%d\n", helloRef, n), 0o600); err != nil {
		return 0, err
	}
	command := exec.CommandContext(ctx, "docker", "build", "-q", "-t", tag, dir)
	command.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // buildx may not be installed
	begin := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("docker build: %w: %s", err, out)
	}
	took := time.Since(begin)
	b.atEnd = append(b.atEnd, func(ctx context.Context) {
		_ = exec.CommandContext(ctx, "docker", "rmi", "-f", strings.TrimSpace(string(out))).Run()
	})
	return took, nil
}

// untilNew waits for a Ready pod that is not known, and then, outside of the measured time, until it is alone.
func (b *bench) untilNew(ctx context.Context, known map[string]bool, begin time.Time) (time.Duration, error) {
	watcher, err := b.client.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "app=live"})
	if err != nil {
		return 0, err
	}
	defer watcher.Stop()
	if err := await(ctx, watcher, func(_ watch.Event, pod *corev1.Pod) bool { return !known[pod.Name] && ready(pod) }); err != nil {
		return 0, err
	}
	return time.Since(begin), b.alone(ctx, known)
}

// alone waits until there is one pod, which is Ready, and notes it.
func (b *bench) alone(ctx context.Context, known map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := b.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=live"})
		if err != nil {
			return err
		}
		if len(list.Items) == 1 && ready(&list.Items[0]) && list.Items[0].DeletionTimestamp == nil {
			known[list.Items[0].Name] = true
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
