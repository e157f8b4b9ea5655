package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume"
	"skiff.local/skiff/runtime/volume/wire"
)

// checkHostPaths verifies the types of host paths, by a helper that sees the root of the engine's host for a moment.
func (w *Worker) checkHostPaths(ctx context.Context, pod *v1.Pod, volumes []volume.Volume) error {
	ops, want := hostPathChecks(volumes)
	if len(ops) == 0 {
		return nil
	}
	labels := docker.ProfileLabels(w.cfg.Spec.Profile, docker.RoleHelper)
	maps.Copy(labels, docker.PodLabels(w.cfg.Spec.Profile, string(pod.UID)))
	id, err := w.cfg.Engine.CreateContainer(ctx, docker.ContainerSpec{
		Image: w.cfg.Spec.NodeImage, Cmd: []string{"pause", hostRoot}, Labels: labels, Stdin: true, Network: "none",
		Log:    docker.LogConfig{Driver: "none"},
		Mounts: []docker.Mount{{Type: docker.MountBind, Source: "/", Target: hostRoot}},
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = w.cfg.Engine.RemoveContainer(context.WithoutCancel(ctx), id, docker.RemoveOptions{Force: true, Volumes: true})
	}()
	if err := w.cfg.Engine.StartContainer(ctx, id); err != nil {
		return err
	}
	results, err := volume.Do(ctx, w.cfg.Engine, id, ops)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != "" {
			return errors.New(r.Err)
		}
		if found := string(r.Data); ops[i].Kind == wire.Stat && found != want[i].kind && (found != wire.IsMissing || !want[i].created) {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q : hostPath type check failed: %s is not a %s",
				want[i].volume, want[i].path, want[i].name)
		}
	}
	return nil
}

// hostRoot is where the helper has the root of the engine's host, and what it then takes for its own.
const hostRoot = "/host"

// hostPathWant is what has to be at a path; created says that the engine makes what is missing.
type hostPathWant struct {
	volume, path, kind, name string
	created                  bool
}

func hostPathChecks(volumes []volume.Volume) (ops []wire.Op, want []hostPathWant) {
	kinds := map[v1.HostPathType][2]string{
		v1.HostPathDirectory: {wire.IsDirectory, "directory"}, v1.HostPathDirectoryOrCreate: {wire.IsDirectory, "directory"},
		v1.HostPathFile: {wire.IsFile, "file"}, v1.HostPathFileOrCreate: {wire.IsFile, "file"},
		v1.HostPathSocket: {wire.IsSocket, "socket file"}, v1.HostPathCharDev: {wire.IsCharDevice, "character device"},
		v1.HostPathBlockDev: {wire.IsBlockDevice, "block device"},
	}
	for i := range volumes {
		v := &volumes[i]
		kind, checked := kinds[v.HostPathType]
		if v.HostPath == "" || !checked {
			continue
		}
		if v.HostPathType == v1.HostPathFileOrCreate {
			ops = append(ops, wire.Op{Kind: wire.Touch, Path: v.HostPath, Mode: 0o644})
			want = append(want, hostPathWant{})
		}
		ops = append(ops, wire.Op{Kind: wire.Stat, Path: v.HostPath})
		want = append(want, hostPathWant{v.Name, v.HostPath, kind[0], kind[1], v.HostPathType == v1.HostPathDirectoryOrCreate})
	}
	return ops, want
}
