package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/image"
)

const (
	namespace = "default"
	helloRef  = "skiff.local/hello:1.0"
)

// leavesAtOnce are the arguments of a demo that takes no connection after SIGTERM, so that a deletion measures skiff and the
// engine, not how long the app drains.
var leavesAtOnce = []string{"-drain", "0s"}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken:  ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To(int64(1)),
		Containers:                    []corev1.Container{{Name: "hello", Image: helloRef, ImagePullPolicy: corev1.PullIfNotPresent, Args: leavesAtOnce}},
	}
}

// pods compares one pod, from the request to Running and away again, with the same engine calls made bare.
func (b *bench) pods(ctx context.Context) error {
	ref, err := image.EnsureNode(ctx, b.engine)
	if err != nil {
		return err
	}
	var ours, bare, gone []time.Duration
	for i := range b.rounds + 1 {
		up, down, err := b.onePod(ctx, fmt.Sprintf("one-%d", i))
		if err != nil {
			return err
		}
		begin := time.Now()
		remove, err := b.barePod(ctx, ref, fmt.Sprintf("bench-bare-%d", i))
		took := time.Since(begin)
		remove()
		if err != nil {
			return err
		}
		if i == 0 {
			continue // warms both
		}
		ours, gone, bare = append(ours, up), append(gone, down), append(bare, took)
	}
	b.report.times("one pod, created to Running", ours, "")
	b.report.times("the same engine calls, bare", bare, "sandbox and container, created and started in order")
	b.report.ratio("one pod ÷ bare", ours, bare, "aim ≤ 1.1")
	b.report.times("one pod, deleted to gone", gone, "")
	return nil
}

func (b *bench) onePod(ctx context.Context, name string) (up, down time.Duration, err error) {
	pods := b.client.CoreV1().Pods(namespace)
	watcher, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, 0, err
	}
	defer watcher.Stop()
	begin := time.Now()
	if _, err := pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec()}, metav1.CreateOptions{}); err != nil {
		return 0, 0, err
	}
	if err := await(ctx, watcher, func(e watch.Event, pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning }); err != nil {
		return 0, 0, err
	}
	up = time.Since(begin)
	begin = time.Now()
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return 0, 0, err
	}
	err = await(ctx, watcher, func(e watch.Event, _ *corev1.Pod) bool { return e.Type == watch.Deleted })
	return up, time.Since(begin), err
}

func await(ctx context.Context, w watch.Interface, done func(watch.Event, *corev1.Pod) bool) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return errors.New("nothing happened for a minute")
		case e, ok := <-w.ResultChan():
			if !ok {
				return errors.New("the watch ended")
			}
			if pod, isPod := e.Object.(*corev1.Pod); isPod && done(e, pod) {
				return nil
			}
		}
	}
}

// barePod makes the two containers of such a pod, as plainly as the engine allows.
func (b *bench) barePod(ctx context.Context, ref, name string) (remove func(), err error) {
	var mu sync.Mutex
	var made []string
	remove = func() {
		for i := len(made) - 1; i >= 0; i-- {
			_ = b.engine.RemoveContainer(context.WithoutCancel(ctx), made[i], docker.RemoveOptions{Force: true})
		}
	}
	run := func(spec docker.ContainerSpec) (string, error) {
		spec.Labels = docker.ProfileLabels("bench-bare", docker.RoleHelper)
		id, err := b.engine.CreateContainer(ctx, spec)
		if err != nil {
			return "", err
		}
		mu.Lock()
		made = append(made, id)
		mu.Unlock()
		return id, b.engine.StartContainer(ctx, id)
	}
	sandbox, err := run(docker.ContainerSpec{
		Name: name + "-pause", Image: ref, Network: docker.NetworkName(b.profile.Name), IPC: "shareable", Hostname: name,
	})
	if err != nil {
		return remove, err
	}
	join := docker.ContainerMode(sandbox)
	_, err = run(docker.ContainerSpec{Name: name, Image: helloRef, Cmd: leavesAtOnce, Network: join, IPC: join})
	return remove, err
}
