package docker

import (
	"context"

	"github.com/docker/docker/api/types/volume"
)

// CreateVolume creates a volume. Creating one that exists with the same driver returns the existing one, as the engine
// has it: its labels are then those it was created with.
func (e *Engine) CreateVolume(ctx context.Context, spec VolumeSpec) (*Volume, error) {
	v, err := e.cli.VolumeCreate(ctx, volume.CreateOptions{Name: spec.Name, Driver: spec.Driver, DriverOpts: spec.Options, Labels: spec.Labels})
	if err != nil {
		return nil, e.convert(err, "create volume", spec.Name)
	}
	return volumeFrom(v), nil
}

// InspectVolume returns one volume.
func (e *Engine) InspectVolume(ctx context.Context, name string) (*Volume, error) {
	v, err := e.cli.VolumeInspect(ctx, name)
	if err != nil {
		return nil, e.convert(err, "inspect volume", name)
	}
	return volumeFrom(v), nil
}

// ListVolumes lists the volumes that carry the labels; nil lists all of them.
func (e *Engine) ListVolumes(ctx context.Context, labels map[string]string) ([]Volume, error) {
	list, err := e.cli.VolumeList(ctx, volume.ListOptions{Filters: labelFilter(labels)})
	if err != nil {
		return nil, e.convert(err, "list volumes", "")
	}
	out := make([]Volume, 0, len(list.Volumes))
	for _, v := range list.Volumes {
		out = append(out, *volumeFrom(*v))
	}
	return out, nil
}

// RemoveVolume removes a volume and what is in it. One that a container refers to, running or not, is ErrConflict.
func (e *Engine) RemoveVolume(ctx context.Context, name string, force bool) error {
	return e.convert(e.cli.VolumeRemove(ctx, name, force), "remove volume", name)
}

func volumeFrom(v volume.Volume) *Volume {
	return &Volume{
		Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint, Created: parseTime(v.CreatedAt),
		Options: v.Options, Labels: v.Labels,
	}
}
