package pod

import (
	"context"
	"fmt"
	"maps"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/volume"
)

// imageVolumes are the volumes with an image in them that a container mounts.
func imageVolumes(pod *v1.Pod, c *v1.Container) []*v1.Volume {
	var out []*v1.Volume
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		// An empty reference is one that whoever makes the pod still has to set.
		if v.Image == nil || v.Image.Reference == "" {
			continue
		}
		for j := range c.VolumeMounts {
			if c.VolumeMounts[j].Name == v.Name {
				out = append(out, v)
				break
			}
		}
	}
	return out
}

// copied reports the volumes that hold their image's copy already: a container is created after that, so those of the ones there
// are. It keeps what a running container sees as it is when another one restarts.
func copied(pod *v1.Pod, containers map[string]*plan.Container) map[string]bool {
	out := map[string]bool{}
	for _, existing := range containers {
		if c := containerSpec(pod, existing.Name); c != nil {
			for _, v := range imageVolumes(pod, c) {
				out[v.Name] = true
			}
		}
	}
	return out
}

// ensureImageVolume makes sure of the image of a volume as of a container's, and where the engine is too old to mount an image
// copies its files into a volume of the pod. Copying again what is there is harmless.
func (w *Worker) ensureImageVolume(ctx context.Context, pod *v1.Pod, v *v1.Volume, there bool, notify func(bool, string, string)) error {
	asked := &v1.Container{Name: v.Name, Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy}
	image, err := w.cfg.Images.Ensure(ctx, pod, asked, notify)
	if err != nil || there || w.cfg.Spec.Features.ImageMounts {
		return err
	}
	w.copying.Lock()
	defer w.copying.Unlock()
	if err := w.copyImage(ctx, pod, image.ID, volume.ImageCopy(w.cfg.Spec.Profile, pod, v.Name)); err != nil {
		return fmt.Errorf("copy image %q into volume %q: %w", v.Image.Reference, v.Name, err)
	}
	return nil
}

// copyImage goes through two containers that never run: one has the image's files, the other the volume.
func (w *Worker) copyImage(ctx context.Context, pod *v1.Pod, image string, to docker.VolumeSpec) error {
	if _, err := w.cfg.Engine.CreateVolume(ctx, to); err != nil {
		return err
	}
	labels := docker.ProfileLabels(w.cfg.Spec.Profile, docker.RoleHelper)
	maps.Copy(labels, docker.PodLabels(w.cfg.Spec.Profile, string(pod.UID)))
	helper := func(image string, mounts ...docker.Mount) (string, func(), error) {
		id, err := w.cfg.Engine.CreateContainer(ctx, docker.ContainerSpec{
			// An image of files alone has no command, and the engine wants one.
			Image: image, Entrypoint: []string{docker.HelperPath}, Cmd: []string{"version"}, Labels: labels, Network: "none",
			Log: docker.LogConfig{Driver: "none"}, Mounts: mounts,
		})
		return id, func() {
			_ = w.cfg.Engine.RemoveContainer(context.WithoutCancel(ctx), id, docker.RemoveOptions{Force: true, Volumes: true})
		}, err
	}
	source, remove, err := helper(image)
	if err != nil {
		return err
	}
	defer remove()
	const place = "/volume"
	target, remove, err := helper(w.cfg.Spec.NodeImage, docker.Mount{Type: docker.MountVolume, Source: to.Name, Target: place, NoCopy: true})
	if err != nil {
		return err
	}
	defer remove()
	files, _, err := w.cfg.Engine.CopyFrom(ctx, source, "/")
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }()
	return w.cfg.Engine.CopyTo(ctx, target, place, files, docker.CopyOptions{KeepOwner: true})
}
