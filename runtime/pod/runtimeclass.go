package pod

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// A shim of containerd is a runtime of newer engines under its own name, without being in their configuration.
const containerdShim = "io.containerd."

// runtime is the engine's runtime for the containers of a pod with a RuntimeClass: the one that the handler names. Empty is the
// engine's default, which the pause container always has, for what it does is skiff's.
func (w *Worker) runtime(ctx context.Context, pod *v1.Pod) (string, error) {
	if pod.Spec.RuntimeClassName == nil || *pod.Spec.RuntimeClassName == "" {
		return "", nil
	}
	class := *pod.Spec.RuntimeClassName
	handler, err := w.cfg.Objects.RuntimeHandler(ctx, class)
	if err != nil {
		return "", fmt.Errorf("find the RuntimeClass of the pod: %w", err)
	}
	if strings.HasPrefix(handler, containerdShim) {
		return handler, nil
	}
	info, err := w.cfg.Engine.Info(ctx)
	if err != nil {
		return "", err
	}
	if !slices.Contains(info.Runtimes, handler) {
		return "", fmt.Errorf("no runtime for %q is configured, the handler of RuntimeClass %s: the Docker Engine has %s; others are added to the \"runtimes\" of its daemon.json",
			handler, class, strings.Join(info.Runtimes, ", "))
	}
	return handler, nil
}
