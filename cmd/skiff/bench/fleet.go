package main

import (
	"context"
	"fmt"
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

// fleetSize and fleetParallel are the pods of the fleet and how many of them the bare engine is given at a time; the width
// with the best median counts.
const fleetSize = 30

var fleetParallel = []int{4, 8, 16}

// bareRemovals is the most that are removed at a time: with more the engine now and then loses count of the network's
// containers, and the network can't be removed any more.
const bareRemovals = 8

// fleet compares thirty pods at once with the engine's own rate at the best parallelism, taken in turn.
func (b *bench) fleet(ctx context.Context) error {
	ref, err := image.EnsureNode(ctx, b.engine)
	if err != nil {
		return err
	}
	var up, down, swept []time.Duration
	bareUp, bareDown := map[int][]time.Duration{}, map[int][]time.Duration{}
	for range (b.rounds + 1) / 2 {
		begin := time.Now()
		if err := b.deploy(ctx, "fleet", fleetSize); err != nil {
			return err
		}
		up = append(up, time.Since(begin))
		begin = time.Now()
		if err := b.remove(ctx, "fleet"); err != nil {
			return err
		}
		down = append(down, time.Since(begin))
		if err := b.engineClean(ctx); err != nil {
			return err
		}
		swept = append(swept, time.Since(begin))
		for _, width := range fleetParallel {
			took, gone, err := b.bareFleet(ctx, ref, width)
			if err != nil {
				return err
			}
			bareUp[width], bareDown[width] = append(bareUp[width], took), append(bareDown[width], gone)
		}
	}
	bestUp, bestDown := bestMedian(bareUp), bestMedian(bareDown)
	note := func(d []time.Duration) string { return fmt.Sprintf("%.1f pods/s", fleetSize/median(d).Seconds()) }
	best := fmt.Sprintf("the best of %v at a time", fleetParallel)
	b.report.times(fmt.Sprintf("%d pods to Running", fleetSize), up, note(up))
	b.report.times("the same engine calls, bare", bestUp, note(bestUp)+", "+best)
	b.report.ratio("skiff's rate ÷ the engine's", bestUp, up, "aim ≥ 0.9")
	b.report.times(fmt.Sprintf("%d pods deleted, to the last gone from the API", fleetSize), down, note(down))
	b.report.times("  to the last of their containers gone", swept, note(swept))
	b.report.times("bare forced removal", bestDown, note(bestDown)+", "+best)
	b.report.ratio("skiff's rate ÷ the engine's", bestDown, down, "aim ≥ 0.9")
	b.report.ratio("  to the last of their containers gone", bestDown, swept, "")
	return nil
}

// bestMedian is the series with the shortest median.
func bestMedian(series map[int][]time.Duration) (best []time.Duration) {
	for _, width := range fleetParallel {
		if best == nil || median(series[width]) < median(best) {
			best = series[width]
		}
	}
	return best
}

// engineClean returns when the engine has no container of the profile's pods left.
func (b *bench) engineClean(ctx context.Context) error {
	pods := docker.ListOptions{Labels: map[string]string{docker.LabelProfile: b.profile.Name, docker.LabelPodUID: ""}}
	for {
		left, err := b.engine.ListContainers(ctx, pods)
		if err != nil || len(left) == 0 {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
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
	cleanup.SetLimit(min(width, bareRemovals))
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
