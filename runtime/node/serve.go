package node

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"skiff.local/skiff/runtime/pod"
	"skiff.local/skiff/runtime/pod/plan"
	"skiff.local/skiff/runtime/stats"
	"skiff.local/skiff/runtime/stream"
)

// Handler serves kubelet's HTTP API: logs, exec, attach, port-forward, statistics and health. Whoever serves it decides who
// may ask.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", stream.New(stream.Config{Engine: a.cfg.Engine, Pods: view{a}, Dial: a.cfg.Dial}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("GET /stats/summary", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, a.Summary(r.Context()))
	})
	mux.HandleFunc("GET /metrics/resource", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(stats.ResourceMetrics(a.Summary(r.Context()))) // the client has gone: nobody to tell
	})
	mux.HandleFunc("GET /pods", func(w http.ResponseWriter, _ *http.Request) {
		list := v1.PodList{}
		list.APIVersion, list.Kind = "v1", "PodList"
		for _, p := range a.listed() {
			list.Items = append(list.Items, *p)
		}
		writeJSON(w, list)
	})
	// kubelet has nothing like this: it lets a copied file take effect in a program that reads its files only once.
	mux.HandleFunc("POST /restart/{namespace}/{pod}/{container}", a.restart)
	return mux
}

func (a *Agent) restart(w http.ResponseWriter, r *http.Request) {
	worker := a.worker(r.PathValue("namespace"), r.PathValue("pod"))
	if worker == nil {
		http.Error(w, "this node has no such pod", http.StatusNotFound)
		return
	}
	if err := worker.RestartInPlace(r.Context(), r.PathValue("container")); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}

// Summary samples the usage of all running containers, now.
func (a *Agent) Summary(ctx context.Context) *statsapi.Summary {
	var pods []stats.Pod
	a.each(func(w *pod.Worker) {
		v := w.View()
		if v.Pod == nil || v.Sandbox.State != plan.Running {
			return
		}
		p := stats.Pod{Namespace: v.Pod.Namespace, Name: v.Pod.Name, UID: string(v.Pod.UID), Started: v.Sandbox.Created}
		if !v.Pod.Spec.HostNetwork {
			p.Sandbox = v.Sandbox.ID
		}
		for i := range v.Containers {
			if c := &v.Containers[i]; c.State == plan.Running {
				p.Containers = append(p.Containers, stats.Container{Name: c.Name, ID: c.ID, Started: c.Started})
			}
		}
		pods = append(pods, p)
	})
	return a.sampler.Summary(ctx, a.cfg.NodeNames[0], a.started.Truncate(time.Second), pods)
}

// view shows the agent's pods to the streams.
type view struct{ a *Agent }

// comingUp is how long a request for a pod may wait for the agent's first look at it. Chosen: an engine that answers is
// looked through in well under a second.
const comingUp = 10 * time.Second

func (v view) Pod(ctx context.Context, namespace, name string) *v1.Pod {
	ctx, cancel := context.WithTimeout(ctx, comingUp)
	defer cancel()
	select {
	case <-v.a.ready:
	case <-ctx.Done():
	}
	if w := v.a.worker(namespace, name); w != nil {
		select {
		case <-w.Known():
		case <-w.Done():
		case <-ctx.Done():
		}
	}
	if p, err := v.a.pods.Pods(namespace).Get(name); err == nil && v.a.ours(p) {
		return p
	}
	return nil
}

func (v view) Container(p *v1.Pod, name string, previous bool) (stream.Container, bool) {
	w := v.a.worker(p.Namespace, p.Name)
	if w == nil {
		return stream.Container{}, false
	}
	snapshot := w.View()
	c, ok := snapshot.Container(name, previous)
	if !ok || c.State == plan.Gone || c.State == plan.Created {
		return stream.Container{}, false
	}
	out := stream.Container{ID: c.ID, Running: c.State == plan.Running}
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				out.TTY, out.Stdin = list[i].TTY, list[i].Stdin
			}
		}
	}
	for i := range p.Spec.EphemeralContainers {
		if e := &p.Spec.EphemeralContainers[i]; e.Name == name {
			out.TTY, out.Stdin = e.TTY, e.Stdin
		}
	}
	return out, true
}

func (v view) Sandbox(p *v1.Pod) (id, ip string, ok bool) {
	w := v.a.worker(p.Namespace, p.Name)
	if w == nil {
		return "", "", false
	}
	snapshot := w.View()
	if snapshot.Sandbox.State != plan.Running {
		return "", "", false
	}
	if len(snapshot.Sandbox.IPs) > 0 {
		ip = snapshot.Sandbox.IPs[0]
	}
	return snapshot.Sandbox.ID, ip, true
}
