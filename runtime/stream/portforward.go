package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/cri-streaming/pkg/streaming/portforward"

	v1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// dialer is where the helper image has its binary.
const dialer = "/skiff-node"

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	pod := s.cfg.Pods.Pod(r.Context(), r.PathValue("namespace"), r.PathValue("pod"))
	if pod == nil {
		http.Error(w, "pod does not exist", http.StatusNotFound)
		return
	}
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, forwarder{s, pod}, pod.Name, string(pod.UID), opts, idleTimeout, creationTimeout, portforward.SupportedProtocols)
}

type forwarder struct {
	s   *Server
	pod *v1.Pod
}

// PortForward connects a stream to a port of the pod: at the pod's address, which costs a connection, or, for a server that
// listens on the pod's loopback only, through a process inside of it.
func (f forwarder) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer func() { _ = stream.Close() }()
	sandbox, ip, ok := f.s.cfg.Pods.Sandbox(f.pod)
	if !ok {
		return fmt.Errorf("pod %s is not running", f.pod.Name)
	}
	if !f.pod.Spec.HostNetwork && ip != "" {
		conn, err := f.s.cfg.Dial(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(int(port))))
		if err == nil {
			return splice(stream, conn)
		}
	}
	return f.inside(ctx, sandbox, port, stream)
}

func (f forwarder) inside(ctx context.Context, sandbox string, port int32, stream io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	number := strconv.Itoa(int(port))
	var trouble bytes.Buffer
	code, err := f.s.cfg.Engine.Exec(ctx, sandbox, docker.ExecSpec{Cmd: []string{dialer, "dial", "127.0.0.1:" + number, "[::1]:" + number}},
		docker.Streams{Stdin: stream, Stdout: stream, Stderr: &trouble})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("connect to port %d of pod %s: %s", port, f.pod.Name, strings.TrimSpace(trouble.String()))
	}
	return nil
}

// splice copies both ways until both are done; the end of one direction is passed on.
func splice(stream io.ReadWriteCloser, conn net.Conn) error {
	defer func() { _ = conn.Close() }()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, stream)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		sent <- err
	}()
	_, err := io.Copy(stream, conn)
	_ = stream.Close()
	if sendErr := <-sent; err == nil && !errors.Is(sendErr, io.EOF) {
		err = sendErr
	}
	return err
}
