package stream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"skiff.local/skiff/runtime/docker"
)

// logs serves `kubectl logs`. What goes wrong before the first byte is an HTTP error; afterwards the stream just ends.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	namespace, name, container := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	pod := s.cfg.Pods.Pod(r.Context(), namespace, name)
	if pod == nil {
		http.Error(w, fmt.Sprintf("pod %q does not exist", name), http.StatusNotFound)
		return
	}
	opts, err := parseLogOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c, ok := s.cfg.Pods.Container(pod, container, opts.previous)
	if !ok {
		http.Error(w, whyNoLog(pod, container, opts.previous), http.StatusBadRequest)
		return
	}
	opts.TTY = c.TTY
	if !c.Running {
		opts.Follow = false
	}
	out := &flushWriter{w: w, left: opts.limit}
	w.Header().Set("Transfer-Encoding", "chunked")
	if opts.Follow {
		// The client must not wait for the first line to learn that it is connected.
		out.start()
	}
	stdout, stderr := io.Writer(out), io.Writer(out)
	switch opts.stream {
	case v1.LogStreamStdout:
		stderr = nil
	case v1.LogStreamStderr:
		stdout = nil
	}
	err = s.cfg.Engine.Logs(r.Context(), c.ID, opts.LogOptions, stdout, stderr)
	if err != nil && !out.started && r.Context().Err() == nil && !errors.Is(err, errLimit) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// whyNoLog says in kubelet's words why there is nothing to read.
func whyNoLog(pod *v1.Pod, container string, previous bool) string {
	for _, list := range [][]v1.ContainerStatus{
		pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses,
	} {
		status, ok := podutil.GetContainerStatus(list, container)
		if !ok {
			continue
		}
		if previous {
			return fmt.Sprintf("previous terminated container %q in pod %q not found", container, pod.Name)
		}
		if waiting := status.State.Waiting; waiting != nil {
			switch waiting.Reason {
			case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName":
				return fmt.Sprintf("container %q in pod %q is waiting to start: image can't be pulled", container, pod.Name)
			}
			return fmt.Sprintf("container %q in pod %q is waiting to start: %s", container, pod.Name, waiting.Reason)
		}
		return fmt.Sprintf("container %q in pod %q is terminated", container, pod.Name)
	}
	return fmt.Sprintf("container %q in pod %q is not available", container, pod.Name)
}

type logOptions struct {
	docker.LogOptions
	previous bool
	limit    int64 // -1: none
	stream   string
}

func parseLogOptions(q url.Values) (logOptions, error) {
	out := logOptions{limit: -1, stream: q.Get("stream")}
	var err error
	flag := func(name string) bool {
		v := q.Get(name)
		if v == "" {
			return false
		}
		b, parseErr := strconv.ParseBool(v)
		err = errors.Join(err, parseErr)
		return b
	}
	number := func(name string) (int64, bool) {
		v := q.Get(name)
		if v == "" {
			return 0, false
		}
		n, parseErr := strconv.ParseInt(v, 10, 64)
		err = errors.Join(err, parseErr)
		return n, parseErr == nil
	}
	out.Follow, out.previous, out.Timestamps = flag("follow"), flag("previous"), flag("timestamps")
	if n, ok := number("tailLines"); ok {
		tail := int(n)
		out.Tail = &tail
	}
	if n, ok := number("limitBytes"); ok {
		out.limit = n
	}
	if n, ok := number("sinceSeconds"); ok {
		out.Since = time.Now().Add(-time.Duration(n) * time.Second)
	}
	if v := q.Get("sinceTime"); v != "" {
		at, parseErr := time.Parse(time.RFC3339, v)
		err = errors.Join(err, parseErr)
		out.Since = at
	}
	return out, err
}

var errLimit = errors.New("the limit of bytes is reached")

// A flushWriter sends every line at once, up to a limit.
type flushWriter struct {
	w       http.ResponseWriter
	left    int64 // -1: no limit
	started bool
}

func (f *flushWriter) start() {
	f.started = true
	f.w.WriteHeader(http.StatusOK)
	f.flush()
}

func (f *flushWriter) flush() {
	if flusher, ok := f.w.(http.Flusher); ok {
		flusher.Flush()
	}
}

func (f *flushWriter) Write(p []byte) (int, error) {
	full := len(p)
	over := f.left >= 0 && int64(full) >= f.left
	if over {
		p = p[:f.left]
	}
	f.started = true
	n, err := f.w.Write(p)
	if f.left >= 0 {
		f.left -= int64(n)
	}
	f.flush()
	if err == nil && over {
		err = errLimit
	}
	return n, err
}
