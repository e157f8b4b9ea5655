package runtimetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"skiff.local/skiff/runtime/docker"
)

type fakeVolume struct {
	info  docker.Volume
	files fileTree
}

func (f *Fake) addVolume(spec docker.VolumeSpec) *fakeVolume {
	if spec.Name == "" {
		spec.Name = newID()
	}
	if spec.Driver == "" {
		spec.Driver = "local"
	}
	v := &fakeVolume{files: fileTree{}, info: docker.Volume{
		Name: spec.Name, Driver: spec.Driver, Mountpoint: "/var/lib/docker/volumes/" + spec.Name + "/_data",
		Created: time.Now(), Options: spec.Options, Labels: spec.Labels,
	}}
	f.volumes[spec.Name] = v
	f.events.emit(docker.Event{Type: "volume", Action: "create", ID: spec.Name, Attributes: map[string]string{"driver": spec.Driver}})
	return v
}

// CreateVolume implements Engine.
func (f *Fake) CreateVolume(ctx context.Context, spec docker.VolumeSpec) (*docker.Volume, error) {
	if err := f.begin(ctx, "CreateVolume", spec.Name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.volumes[spec.Name]
	if !ok {
		v = f.addVolume(spec)
	}
	info := v.info
	return &info, nil
}

// InspectVolume implements Engine.
func (f *Fake) InspectVolume(ctx context.Context, name string) (*docker.Volume, error) {
	if err := f.begin(ctx, "InspectVolume", name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.volumes[name]
	if !ok {
		return nil, fail(docker.ErrNotFound, "inspect volume", name, "get %s: no such volume", name)
	}
	info := v.info
	return &info, nil
}

// ListVolumes implements Engine.
func (f *Fake) ListVolumes(ctx context.Context, labels map[string]string) ([]docker.Volume, error) {
	if err := f.begin(ctx, "ListVolumes", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []docker.Volume{}
	for _, v := range f.volumes {
		if matches(v.info.Labels, labels) {
			out = append(out, v.info)
		}
	}
	slices.SortFunc(out, func(a, b docker.Volume) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// RemoveVolume implements Engine.
func (f *Fake) RemoveVolume(ctx context.Context, name string, force bool) error {
	const op = "remove volume"
	if err := f.begin(ctx, "RemoveVolume", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.volumes[name]; !ok {
		if force {
			return nil
		}
		return fail(docker.ErrNotFound, op, name, "get %s: no such volume", name)
	}
	for _, c := range f.containers {
		for _, m := range c.spec.Mounts {
			if m.Type == docker.MountVolume && m.Source == name {
				return fail(docker.ErrConflict, op, name, "remove %s: volume is in use - [%s]", name, c.id)
			}
		}
	}
	delete(f.volumes, name)
	f.events.emit(docker.Event{Type: "volume", Action: "destroy", ID: name, Attributes: map[string]string{}})
	return nil
}
