package pod

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/pod/spec"
	"skiff.local/skiff/runtime/volume"
	"skiff.local/skiff/runtime/volume/wire"
)

// createSandbox makes the pod's engine volumes and its pause container.
func (w *Worker) createSandbox(op plan.Op) job {
	pod := w.pod
	if op.Attempt > 0 {
		w.event(v1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	w.volumesExist = true
	return func(ctx context.Context) (func(), error) {
		if err := w.cfg.Spec.CheckSandbox(pod); err != nil {
			return nil, err
		}
		if _, err := w.runtime(ctx, pod); err != nil {
			return nil, err
		}
		volumes, err := volume.Resolve(ctx, w.cfg.Spec.Profile, pod, w.cfg.Objects, w.cfg.Spec.Features)
		if err != nil {
			return nil, &mountError{err}
		}
		mountpoints, err := w.makeVolumes(ctx, volumes)
		if err != nil {
			return nil, &mountError{err}
		}
		if err := w.checkHostPaths(ctx, pod, volumes); err != nil {
			return nil, &mountError{err}
		}
		request := w.cfg.Spec.Sandbox(pod, op.Attempt, volume.SandboxMounts(volumes))
		id, err := w.create(ctx, request)
		if err != nil {
			return nil, err
		}
		return func() {
			w.volumes = volumes
			if !w.adopted {
				w.made = volumes
			}
			for name, place := range mountpoints {
				w.mountpoints[name] = place
			}
			if w.sandboxes[id] == nil {
				w.sandboxes[id] = &plan.Sandbox{ID: id, Attempt: op.Attempt, State: plan.Created, Created: time.Now()}
			}
		}, nil
	}
}

// create creates a container. A name that is taken belongs to the same attempt of the same container, made by a process
// that died before it could tell: it is taken over.
func (w *Worker) create(ctx context.Context, request docker.ContainerSpec) (string, error) {
	id, err := w.cfg.Engine.CreateContainer(ctx, request)
	if !errors.Is(err, docker.ErrConflict) {
		return id, err
	}
	existing, lookErr := w.cfg.Engine.InspectContainer(ctx, request.Name)
	if lookErr != nil || existing.State.Status != docker.StatusCreated ||
		existing.Labels[docker.LabelPodUID] != request.Labels[docker.LabelPodUID] ||
		existing.Labels[docker.LabelProfile] != request.Labels[docker.LabelProfile] {
		return "", err
	}
	if existing.NetworkMode == request.Network {
		return existing.ID, nil
	}
	if err := w.cfg.Engine.RemoveContainer(ctx, existing.ID, docker.RemoveOptions{Volumes: true}); err != nil {
		return "", err
	}
	return w.cfg.Engine.CreateContainer(ctx, request)
}

// makeVolumes makes the volumes that belong to the pod and returns where the engine keeps all of them.
func (w *Worker) makeVolumes(ctx context.Context, volumes []volume.Volume) (map[string]string, error) {
	places := make([]string, len(volumes))
	group, ctx := errgroup.WithContext(ctx)
	for i := range volumes {
		v := &volumes[i]
		switch {
		case v.Create != nil:
			group.Go(func() error {
				made, err := w.cfg.Engine.CreateVolume(ctx, *v.Create)
				if err == nil {
					places[i] = made.Mountpoint
				}
				return err
			})
		case v.Engine != "":
			group.Go(func() error {
				found, err := w.cfg.Engine.InspectVolume(ctx, v.Engine)
				if err == nil {
					places[i] = found.Mountpoint
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range volumes {
		if volumes[i].Engine != "" {
			out[volumes[i].Engine] = places[i]
		}
	}
	return out, nil
}

func (w *Worker) startSandbox(op plan.Op) job {
	unseen := w.pod.Spec.HostPID && w.cfg.Spec.Engine.Rootless
	return func(ctx context.Context) (func(), error) {
		if err := w.start(ctx, op.ID, false); err != nil {
			if unseen {
				err = fmt.Errorf("hostPID, which a rootless Docker Engine may be unable to give (leave it out, or use an engine with root): %w", err)
			}
			return w.startSandboxFailed(op.ID, err), err
		}
		s, err := w.look(ctx, op.ID)
		if err != nil {
			return nil, err
		}
		return func() {
			if s == nil {
				w.vanish(op.ID)
				return
			}
			w.record(s)
		}, nil
	}
}

// start starts a container, in its turn.
func (w *Worker) start(ctx context.Context, id string, urgent bool) error {
	if err := w.cfg.Starts.take(ctx, urgent); err != nil {
		return err
	}
	defer w.cfg.Starts.give()
	return w.cfg.Engine.StartContainer(ctx, id)
}

// startSandboxFailed gives a sandbox that can't start up, so that the next attempt begins with a new one.
func (w *Worker) startSandboxFailed(id string, err error) func() {
	if errors.Is(err, docker.ErrNotFound) {
		return func() { w.vanish(id) }
	}
	return nil
}

// prepareSandbox lets the pause process fill the volumes and write the pod's network files.
func (w *Worker) prepareSandbox(op plan.Op) job {
	sandbox := w.sandboxes[op.ID]
	if sandbox == nil || w.content == nil {
		return func(context.Context) (func(), error) { return nil, nil }
	}
	first, content := !sandbox.Prepared, w.content.Ops
	ops := append([]wire.Op(nil), content...)
	if first {
		ops = append(ops, w.networkFiles(sandbox.IPs)...)
	}
	pod, ips := w.pod, sandbox.IPs
	return func(ctx context.Context) (func(), error) {
		isolated := make(chan struct{})
		go func() {
			defer close(isolated)
			if first {
				w.isolate(ctx, pod, ips)
			}
		}()
		results, err := w.ask(ctx, op.ID, ops)
		<-isolated
		if err == nil {
			err = volume.FirstError(ops, results)
		}
		if err != nil {
			return nil, &mountError{fmt.Errorf("fill the pod's volumes: %w", err)}
		}
		return func() {
			w.written = digest(content)
			if s := w.sandboxes[op.ID]; s != nil {
				s.Prepared = true
			}
		}, nil
	}
}

// isolate waits for the pod's NetworkPolicies.
func (w *Worker) isolate(ctx context.Context, pod *v1.Pod, ips []string) {
	if w.cfg.Isolate == nil || pod.Spec.HostNetwork || len(ips) == 0 {
		return
	}
	if address, err := netip.ParseAddr(ips[0]); err == nil {
		w.cfg.Isolate(ctx, pod, address)
	}
}

func (w *Worker) networkFiles(ips []string) []wire.Op {
	var ops []wire.Op
	if text, ok := spec.Hosts(w.pod, ips, w.cfg.Spec.ClusterDomain); ok {
		ops = append(ops, wire.Op{Kind: wire.WriteFile, Path: "/etc/hosts", Mode: 0o644, Data: []byte(text)})
	} else if text != "" {
		ops = append(ops, wire.Op{Kind: wire.AppendFile, Path: "/etc/hosts", Mode: 0o644, Data: []byte(text)})
	}
	if text, ok := w.cfg.Spec.Resolv(w.pod); ok {
		ops = append(ops, wire.Op{Kind: wire.WriteFile, Path: "/etc/resolv.conf", Mode: 0o644, Data: []byte(text)})
	}
	return ops
}

// ask lets the pause container of the pod do file work.
func (w *Worker) ask(ctx context.Context, sandbox string, ops []wire.Op) ([]wire.Result, error) {
	w.agent.Lock()
	defer w.agent.Unlock()
	return volume.Do(ctx, w.cfg.Engine, sandbox, ops)
}

func digest(ops []wire.Op) string {
	h := fnv.New128a()
	_, _ = h.Write(wire.AppendRequest(nil, 0, ops))
	return string(h.Sum(nil))
}

// detachPatience bounds what a pause process may take to leave by itself. Chosen; it takes milliseconds.
const detachPatience = 5 * time.Second

func (w *Worker) removeSandbox(op plan.Op) job {
	var waste []wire.Op
	s := w.sandboxes[op.ID]
	running := s != nil && s.State == plan.Running
	if running && w.verdict != nil && w.verdict.Immediate {
		waste = w.scratch()
	}
	return func(ctx context.Context) (func(), error) {
		if len(waste) > 0 {
			if _, err := w.ask(ctx, op.ID, waste); err != nil {
				w.cfg.Logger.Warn("empty the volumes of an evicted pod", "pod", w.current.Load().Name, "error", err)
			}
		}
		if running {
			if err := w.detach(ctx, op.ID); err != nil {
				return nil, err
			}
		}
		if err := w.remove(ctx, op.ID); err != nil {
			return nil, err
		}
		return func() { w.vanish(op.ID) }, nil
	}
}

// detach ends a pause process, which has nothing to save, and returns when the engine has taken its container off the network;
// only that has to wait for its turn. The process leaves by itself when it is asked to: that spares the engine another one that
// delivers a signal. What fails here the removal does, which is forced.
func (w *Worker) detach(ctx context.Context, sandbox string) error {
	if err := w.cfg.Detachments.take(ctx, false); err != nil {
		return err
	}
	defer w.cfg.Detachments.give()
	ctx, cancel := context.WithTimeout(ctx, detachPatience)
	defer cancel()
	results, err := w.ask(ctx, sandbox, []wire.Op{{Kind: wire.Exit}})
	if err != nil || results[0].Err != "" {
		err = w.cfg.Engine.KillContainer(ctx, sandbox, "SIGKILL")
	}
	if err == nil {
		_, err = w.cfg.Engine.WaitContainer(ctx, sandbox, docker.WaitNotRunning)
	}
	if err == nil {
		// A wait ends with the process. The answer to this comes when the engine is through with the container's end.
		_, _ = w.cfg.Engine.InspectContainer(ctx, sandbox)
	}
	return nil
}

// scratch empties the volumes that end with the pod. The engine keeps a volume for as long as a dead container refers to
// it, and a pod that was evicted keeps those for their logs: until somebody deletes it, its disk would be short for others.
func (w *Worker) scratch() []wire.Op {
	var ops []wire.Op
	for i := range w.pod.Spec.Volumes {
		if v := &w.pod.Spec.Volumes[i]; v.EmptyDir != nil {
			ops = append(ops, wire.Op{Kind: wire.Empty, Path: wire.VolumesDir + "/" + v.Name})
		}
	}
	return ops
}

// remove removes a container, whatever it does. One that is gone, or that somebody else is removing, is as good.
func (w *Worker) remove(ctx context.Context, id string) error {
	if err := w.cfg.Removals.take(ctx, false); err != nil {
		return err
	}
	err := w.cfg.Engine.RemoveContainer(ctx, id, docker.RemoveOptions{Force: true, Volumes: true})
	w.cfg.Removals.give()
	if errors.Is(err, docker.ErrConflict) {
		_, err = w.cfg.Engine.WaitContainer(ctx, id, docker.WaitRemoved)
	}
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}
