// Package stream serves the part of kubelet's HTTP API that the API server asks a node for: logs, exec, attach and
// port-forward, over SPDY and WebSocket. It knows pods only through a small interface and reaches containers only through
// the engine.
package stream

import (
	"context"
	"io"
	"net"
	"net/http"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// Engine is what streams need of the engine.
type Engine interface {
	Logs(ctx context.Context, containerID string, opts docker.LogOptions, stdout, stderr io.Writer) error
	Exec(ctx context.Context, containerID string, spec docker.ExecSpec, streams docker.Streams) (int, error)
	Attach(ctx context.Context, containerID string, streams docker.Streams) error
}

// A Container is one of a pod's containers in the engine.
type Container struct {
	ID      string
	Running bool
	TTY     bool
	Stdin   bool
}

// Pods finds pods and their containers.
type Pods interface {
	// Pod returns a pod of this node, or nil. While the node is coming up it waits until what the pod has in the engine is
	// known: a container that runs is not called stopped because nobody has looked yet.
	Pod(ctx context.Context, namespace, name string) *v1.Pod
	// Container returns the newest container of a name, or with previous the one before it.
	Container(pod *v1.Pod, name string, previous bool) (Container, bool)
	// Sandbox returns the pause container and the address of a running pod.
	Sandbox(pod *v1.Pod) (id, ip string, ok bool)
}

// Config is what a Server needs.
type Config struct {
	Engine Engine
	Pods   Pods
	// Dial reaches the addresses of pods.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Server serves the streams of a node's pods.
type Server struct {
	cfg Config
	mux *http.ServeMux
}

// New makes the server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, method := range []string{"GET ", "POST "} {
		s.mux.HandleFunc(method+"/exec/{namespace}/{pod}/{container}", s.exec)
		s.mux.HandleFunc(method+"/exec/{namespace}/{pod}/{uid}/{container}", s.exec)
		s.mux.HandleFunc(method+"/attach/{namespace}/{pod}/{container}", s.attach)
		s.mux.HandleFunc(method+"/attach/{namespace}/{pod}/{uid}/{container}", s.attach)
		s.mux.HandleFunc(method+"/portForward/{namespace}/{pod}", s.portForward)
		s.mux.HandleFunc(method+"/portForward/{namespace}/{pod}/{uid}", s.portForward)
	}
	s.mux.HandleFunc("POST /run/{namespace}/{pod}/{container}", s.runCommand)
	return s
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// find answers the request itself when there is no such pod or container.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (*v1.Pod, Container, bool) {
	namespace, name, container := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	pod := s.cfg.Pods.Pod(r.Context(), namespace, name)
	if pod == nil {
		http.Error(w, "pod does not exist", http.StatusNotFound)
		return nil, Container{}, false
	}
	c, ok := s.cfg.Pods.Container(pod, container, false)
	if !ok || !c.Running {
		http.Error(w, "container "+container+" of pod "+name+" is not running", http.StatusBadRequest)
		return nil, Container{}, false
	}
	return pod, c, true
}
