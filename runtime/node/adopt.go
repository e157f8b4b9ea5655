package node

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"skiff.local/skiff/runtime/docker"
)

// listed are the pods of this node that the API has.
func (a *Agent) listed() []*v1.Pod {
	all, err := a.pods.List(labels.Everything())
	if err != nil {
		return nil // the lister reads memory
	}
	var out []*v1.Pod
	for _, p := range all {
		if a.ours(p) {
			out = append(out, p)
		}
	}
	return out
}

// adopt starts workers for everything that a former process left: with the pod, or without one that the API has, in which
// case what is left goes.
func (a *Agent) adopt(ctx context.Context) error {
	existing, err := a.existing(ctx)
	if err != nil {
		return err
	}
	pods := map[types.UID]*v1.Pod{}
	for _, p := range a.listed() {
		pods[p.UID] = p
	}
	a.mu.Lock()
	for uid, containers := range existing {
		if p := pods[uid]; p != nil {
			a.startLocked(p, containers, false)
		} else {
			a.startLocked(orphan(uid, containers), containers, true)
		}
	}
	a.mu.Unlock()
	go a.sweep(ctx, pods)
	return nil
}

// existing groups the engine's containers of this profile by pod.
func (a *Agent) existing(ctx context.Context) (map[types.UID][]docker.ContainerSummary, error) {
	list, err := a.cfg.Engine.ListContainers(ctx, docker.ListOptions{Labels: map[string]string{docker.LabelProfile: a.cfg.Profile, docker.LabelPodUID: ""}})
	if err != nil {
		return nil, fmt.Errorf("list the containers of the profile's pods: %w", err)
	}
	out := map[types.UID][]docker.ContainerSummary{}
	for _, c := range list {
		if id, ok := docker.ParseIdentity(c.Labels); ok {
			out[types.UID(id.UID)] = append(out[types.UID(id.UID)], c)
		}
	}
	return out, nil
}

// orphan stands for a pod that only the engine still knows.
func orphan(uid types.UID, containers []docker.ContainerSummary) *v1.Pod {
	id, _ := docker.ParseIdentity(containers[0].Labels)
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: id.Pod, Namespace: id.Namespace, UID: uid}}
	seen := map[string]bool{}
	for _, c := range containers {
		id, _ := docker.ParseIdentity(c.Labels)
		if id.Role == docker.RoleContainer && !seen[id.Container] {
			seen[id.Container] = true
			p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: id.Container})
		}
	}
	return p
}

// sweep removes volumes of pods that have neither an API object nor a container, and helpers that outlived their process.
func (a *Agent) sweep(ctx context.Context, pods map[types.UID]*v1.Pod) {
	helpers, err := a.cfg.Engine.ListContainers(ctx, docker.ListOptions{Labels: docker.ProfileLabels(a.cfg.Profile, docker.RoleHelper)})
	if err == nil {
		for _, c := range helpers {
			if a.started.After(c.Created) {
				err = errors.Join(err, a.cfg.Engine.RemoveContainer(ctx, c.ID, docker.RemoveOptions{Force: true, Volumes: true}))
			}
		}
	}
	volumes, listErr := a.cfg.Engine.ListVolumes(ctx, docker.ProfileLabels(a.cfg.Profile, docker.RoleVolume))
	err = errors.Join(err, listErr)
	for _, v := range volumes {
		uid := types.UID(v.Labels[docker.LabelPodUID])
		if uid == "" || pods[uid] != nil || a.hasWorker(uid) {
			continue
		}
		if removeErr := a.cfg.Engine.RemoveVolume(ctx, v.Name, false); !errors.Is(removeErr, docker.ErrNotFound) {
			err = errors.Join(err, removeErr)
		}
	}
	if err != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("sweep what former processes left", "error", err)
	}
}

func (a *Agent) hasWorker(uid types.UID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.workers[uid] != nil
}

// engineEvent hands an event to the worker of its pod. After a gap every worker gets the whole picture.
func (a *Agent) engineEvent(ctx context.Context, ev docker.Event) {
	if ev.Action == docker.EventLost {
		a.cfg.Logger.Warn("the engine's events are interrupted", "error", ev.Err)
		return
	}
	if ev.Action == docker.EventGap {
		a.resync(ctx)
		return
	}
	uid := types.UID(ev.Attributes[docker.LabelPodUID])
	a.mu.Lock()
	w := a.workers[uid]
	a.mu.Unlock()
	if w != nil {
		w.EngineEvent(ev)
	}
}

func (a *Agent) resync(ctx context.Context) {
	existing, err := a.existing(ctx)
	if err != nil {
		a.cfg.Logger.Warn("resync with the engine", "error", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for uid, w := range a.workers {
		w.Resync(existing[uid])
	}
	for uid, containers := range existing {
		if a.workers[uid] == nil {
			a.startLocked(orphan(uid, containers), containers, true)
		}
	}
}
