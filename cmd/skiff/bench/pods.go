package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
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
	// fleetSize and fleetParallel are the pods of the fleet and how many of them the bare engine is given at a time;
	// the best of several widths counts.
	fleetSize = 30
)

var fleetParallel = []int{4, 8, 16}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken:  ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To(int64(1)),
		Containers:                    []corev1.Container{{Name: "hello", Image: helloRef, ImagePullPolicy: corev1.PullIfNotPresent}},
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
	_, err = run(docker.ContainerSpec{Name: name, Image: helloRef, Network: join, IPC: join})
	return remove, err
}

// fleet compares thirty pods at once with the engine's own rate at the best parallelism.
func (b *bench) fleet(ctx context.Context) error {
	ref, err := image.EnsureNode(ctx, b.engine)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := b.deploy(ctx, "fleet", fleetSize); err != nil {
		return err
	}
	up := time.Since(begin)
	begin = time.Now()
	if err := b.remove(ctx, "fleet"); err != nil {
		return err
	}
	down := time.Since(begin)

	best, bestDown := time.Duration(0), time.Duration(0)
	for _, width := range fleetParallel {
		took, gone, err := b.bareFleet(ctx, ref, width)
		if err != nil {
			return err
		}
		if best == 0 || took < best {
			best = took
		}
		if bestDown == 0 || gone < bestDown {
			bestDown = gone
		}
	}
	rate := func(d time.Duration) string { return fmt.Sprintf("%.1f pods/s", fleetSize/d.Seconds()) }
	b.report.add(fmt.Sprintf("%d pods to Running", fleetSize), ms(up), rate(up))
	b.report.add("the same engine calls, bare", ms(best), fmt.Sprintf("%s, the best of %v at a time", rate(best), fleetParallel))
	b.report.add("skiff's rate ÷ the engine's", fmt.Sprintf("%.2f ×", best.Seconds()/up.Seconds()), "aim ≥ 0.9")
	b.report.add(fmt.Sprintf("%d pods deleted", fleetSize), ms(down), "bare removal: "+ms(bestDown))
	return nil
}

func (b *bench) bareFleet(ctx context.Context, ref string, width int) (up, down time.Duration, err error) {
	removes := make([]func(), fleetSize)
	begin := time.Now()
	var group errgroup.Group
	group.SetLimit(width)
	for i := range fleetSize {
		group.Go(func() (err error) {
			removes[i], err = b.barePod(ctx, ref, fmt.Sprintf("bench-fleet-%d-%d", width, i))
			return err
		})
	}
	err = group.Wait()
	up = time.Since(begin)
	begin = time.Now()
	var cleanup errgroup.Group
	cleanup.SetLimit(width)
	for _, remove := range removes {
		cleanup.Go(func() error { remove(); return nil })
	}
	_ = cleanup.Wait()
	return up, time.Since(begin), err
}

// deploy runs replicas of the demo and returns when all are Running.
func (b *bench) deploy(ctx context.Context, name string, replicas int32) error {
	labels := map[string]string{"app": name}
	watcher, err := b.client.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	_, err = b.client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec()},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	running := map[string]bool{}
	return await(ctx, watcher, func(_ watch.Event, pod *corev1.Pod) bool {
		if pod.Status.Phase == corev1.PodRunning {
			running[pod.Name] = true
		}
		return len(running) == int(replicas)
	})
}

// remove deletes a deployment and returns when its last pod is gone.
func (b *bench) remove(ctx context.Context, name string) error {
	pods := b.client.CoreV1().Pods(namespace)
	selector := metav1.ListOptions{LabelSelector: "app=" + name}
	list, err := pods.List(ctx, selector)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, p := range list.Items {
		left[p.Name] = true
	}
	selector.ResourceVersion = list.ResourceVersion
	watcher, err := pods.Watch(ctx, selector)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	err = b.client.AppsV1().Deployments(namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
	if err != nil {
		return err
	}
	return await(ctx, watcher, func(e watch.Event, pod *corev1.Pod) bool {
		if e.Type == watch.Deleted {
			delete(left, pod.Name)
		}
		return len(left) == 0
	})
}
