package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
	"skiff.local/skiff/runtime/volume"
)

// A token of the pod's service account, kept until it should be replaced.
type token struct {
	text    string
	refresh time.Time
}

// sourceVolumes collects the content of the pod's volumes.
func (w *Worker) sourceVolumes() job {
	pod := w.pod
	w.stale = false
	reader := &sourceReader{worker: w, pod: pod, known: maps.Clone(w.tokens), fresh: map[string]token{}, ips: w.podIPs()}
	return func(ctx context.Context) (func(), error) {
		volumes, err := volume.Resolve(ctx, w.cfg.Spec.Profile, pod, w.cfg.Objects, w.cfg.Spec.Features)
		if err != nil {
			return nil, err
		}
		content, err := volume.Fill(ctx, pod, volumes, reader)
		if err != nil {
			return nil, err
		}
		return func() {
			w.volumes, w.content = volumes, content
			maps.Copy(w.tokens, reader.fresh)
		}, nil
	}
}

// podIPs are the addresses of the running sandbox.
func (w *Worker) podIPs() []string {
	for _, s := range w.sandboxes {
		if s.State == "running" {
			if w.pod.Spec.HostNetwork {
				return w.cfg.HostIPs
			}
			return s.IPs
		}
	}
	return nil
}

// sourceReader reads the content of volumes for one pass.
type sourceReader struct {
	worker *Worker
	pod    *v1.Pod
	ips    []string
	known  map[string]token
	fresh  map[string]token
}

func (r *sourceReader) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	return r.worker.cfg.Objects.ConfigMap(ctx, namespace, name)
}

func (r *sourceReader) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	return r.worker.cfg.Objects.Secret(ctx, namespace, name)
}

func (r *sourceReader) Field(path string) (string, error) {
	return r.worker.cfg.Spec.Field(r.pod, path, r.ips, r.worker.cfg.HostIPs)
}

func (r *sourceReader) ResourceField(ref *v1.ResourceFieldSelector) (string, error) {
	return r.worker.cfg.Spec.ResourceField(r.pod, ref.ContainerName, ref)
}

func (r *sourceReader) TrustBundle(ctx context.Context, source *v1.ClusterTrustBundleProjection) ([]byte, error) {
	return r.worker.cfg.Objects.TrustBundle(ctx, source)
}

// Token keeps a token until four fifths of its life are over, as kubelet does, or a day at most.
func (r *sourceReader) Token(ctx context.Context, name string, source *v1.ServiceAccountTokenProjection) (string, time.Time, error) {
	key := name + "/" + source.Audience + "/" + source.Path
	if t, ok := r.known[key]; ok && time.Now().Before(t.refresh) {
		return t.text, t.refresh, nil
	}
	text, expires, err := r.worker.cfg.Objects.Token(ctx, r.pod, source)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("failed to fetch token: %w", err)
	}
	const longest = 24 * time.Hour
	life := time.Until(expires)
	jitter := time.Duration(rand.Int64N(int64(10 * time.Second)))
	t := token{text: text, refresh: time.Now().Add(min(life*4/5, longest) - jitter)}
	r.fresh[key] = t
	return t.text, t.refresh, nil
}

// metadataChanged reports whether what a downward API volume can show has changed.
func metadataChanged(a, b *v1.Pod) bool {
	return !reflect.DeepEqual(a.Labels, b.Labels) || !reflect.DeepEqual(a.Annotations, b.Annotations)
}

// older compares resource versions, which are ordered in our store; any other server's are taken as they come.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}

// removeVolumes removes what the pod owned. A pod that was adopted asks the engine what that is; claims' volumes aren't
// labelled with the pod, so they are not found.
func (w *Worker) removeVolumes() job {
	uid := string(w.pod.UID)
	var names []string
	for i := range w.made {
		if w.made[i].Create != nil {
			names = append(names, w.made[i].Engine)
		}
	}
	return func(ctx context.Context) (func(), error) {
		if names == nil {
			list, err := w.cfg.Engine.ListVolumes(ctx, docker.PodLabels(w.cfg.Spec.Profile, uid))
			if err != nil {
				return nil, err
			}
			for _, v := range list {
				names = append(names, v.Name)
			}
		}
		group, ctx := errgroup.WithContext(ctx)
		for _, name := range names {
			group.Go(func() error {
				if err := w.cfg.Engine.RemoveVolume(ctx, name, false); err != nil && !errors.Is(err, docker.ErrNotFound) {
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		return func() { w.volumesExist = false }, nil
	}
}
