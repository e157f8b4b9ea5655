package apiserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	clientremote "k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	clientexec "k8s.io/client-go/util/exec"
	serverportforward "k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// fakeKubelet has containers that echo, ports that tell their number, and says what else it is asked.
func fakeKubelet(w http.ResponseWriter, r *http.Request) {
	what, _, _ := strings.Cut(r.URL.Path[1:], "/")
	switch what {
	case "exec", "attach":
		opts, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if what == "attach" {
			remotecommand.ServeAttach(w, r, fakeStreams{}, "p", "", "c", opts, time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
			return
		}
		remotecommand.ServeExec(w, r, fakeStreams{}, "p", "", "c", r.URL.Query()["command"], opts, time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
	case "portForward":
		opts, err := serverportforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		serverportforward.ServePortForward(w, r, fakeStreams{}, "p", "", opts, time.Minute, time.Minute, serverportforward.SupportedProtocols)
	default:
		fmt.Fprintf(w, "kubelet of %s: %s %s", r.Host, r.Method, r.URL)
	}
}

type fakeStreams struct{}

func (fakeStreams) ExecInContainer(_ context.Context, _, _, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	fmt.Fprintf(errOut, "running %s", cmd)
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return utilexec.CodeExitError{Err: fmt.Errorf("exited"), Code: 7}
}

func (fakeStreams) AttachContainer(_ context.Context, _, _, _ string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	_, err := io.Copy(out, in)
	return err
}

func (fakeStreams) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	fmt.Fprintf(stream, "port %d", port)
	return nil
}

func TestExecAndAttachCarryMegabytesBothWays(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	c.runningPod(t, ns, "p")
	// More than any buffer on the way holds, so that a direction that blocks the other would hang.
	sent := make([]byte, 4<<20)
	_, _ = rand.Read(sent)
	for _, transport := range []string{"SPDY", "WebSocket"} {
		for _, what := range []string{"exec", "attach"} {
			t.Run(what+" over "+transport, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				request := c.client.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("p").SubResource(what)
				wantErr := ""
				if what == "exec" {
					request.VersionedParams(&corev1.PodExecOptions{Container: "c", Command: []string{"cat", "-"}, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
					wantErr = "running [cat -]"
				} else {
					request.VersionedParams(&corev1.PodAttachOptions{Container: "c", Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
				}
				executor, err := clientremote.NewSPDYExecutor(c.admin, "POST", request.URL())
				if transport == "WebSocket" {
					executor, err = clientremote.NewWebSocketExecutor(c.admin, "GET", request.URL().String())
				}
				if err != nil {
					t.Fatal(err)
				}
				var out, errOut bytes.Buffer
				err = executor.StreamWithContext(ctx, clientremote.StreamOptions{Stdin: bytes.NewReader(sent), Stdout: &out, Stderr: &errOut})
				if exit, ok := err.(clientexec.CodeExitError); what == "exec" && (!ok || exit.Code != 7) || what == "attach" && err != nil {
					t.Errorf("ended with %v", err)
				}
				if !bytes.Equal(out.Bytes(), sent) || errOut.String() != wantErr {
					t.Errorf("%d bytes out of %d came back, stderr %q", out.Len(), len(sent), errOut.String())
				}
			})
		}
	}
}

func TestPortForwardReachesTheKubelet(t *testing.T) {
	c := sharedCluster(t)
	ns := c.namespace(t)
	c.runningPod(t, ns, "p")
	url := c.client.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("p").SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.admin)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := portforward.NewSPDYOverWebsocketDialer(url, c.admin)
	if err != nil {
		t.Fatal(err)
	}
	for name, dialer := range map[string]forwarder{
		"SPDY":      {spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", url)},
		"WebSocket": {ws},
	} {
		t.Run(name, func(t *testing.T) {
			if got := dialer.dial(t); got != "port 8080" {
				t.Errorf("got %q", got)
			}
		})
	}
}

type forwarder struct{ dialer httpstream.Dialer }

// dial forwards a free local port to 8080 and reads from it.
func (f forwarder) dial(t *testing.T) string {
	t.Helper()
	stop, ready := make(chan struct{}), make(chan struct{})
	fw, err := portforward.NewOnAddresses(f.dialer, []string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- fw.ForwardPorts() }()
	defer func() { close(stop); <-done }()
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	ports, err := fw.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
