package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
)

func TestStreams(t *testing.T) {
	c := newCluster(t)
	c.run()
	server := httptest.NewServer(c.agent.Handler())
	t.Cleanup(server.Close)
	base, _ := url.Parse(server.URL)
	c.pod("s", func(p *v1.Pod) {
		script(p, `echo out; echo err >&2; mkdir /tmp/w; echo page > /tmp/w/index.html; httpd -p 127.0.0.1:8081 -h /tmp/w; httpd -p 8080 -h /tmp/w; `+forever)
		tty := c.container("tty", "cat")
		tty.Command, tty.TTY, tty.Stdin = []string{"/bin/cat"}, true, true
		p.Spec.Containers = append(p.Spec.Containers, tty)
	})
	c.until("s", "ready", patience, ready)
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}

	// A container runs before its program has said anything.
	for deadline := time.Now().Add(patience); len(get("/containerLogs/default/s/main")) < len("out\nerr\n"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the container's log stays empty")
		}
	}
	t.Run("logs", func(t *testing.T) {
		if got := get("/containerLogs/default/s/main"); got != "out\nerr\n" && got != "err\nout\n" {
			t.Errorf("%q", got)
		}
		if got := get("/containerLogs/default/s/main?stream=Stdout"); got != "out\n" {
			t.Errorf("stdout: %q", got)
		}
		if got := get("/containerLogs/default/s/main?tailLines=1&limitBytes=2"); len(got) != 2 {
			t.Errorf("limit: %q", got)
		}
		if got := get("/containerLogs/default/s/main?timestamps=true&tailLines=1"); !strings.Contains(got, "Z ") {
			t.Errorf("timestamps: %q", got)
		}
		if got := get("/containerLogs/default/s/main?previous=true"); !strings.Contains(got, `previous terminated container "main" in pod "s" not found`) {
			t.Errorf("previous: %q", got)
		}
	})
	t.Run("follow", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/containerLogs/default/s/main?follow=true&tailLines=0", nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		go c.exec("s", "main", "/bin/sh", "-c", "echo later > /proc/1/fd/1")
		line := make([]byte, 6)
		if _, err := io.ReadFull(resp.Body, line); err != nil || string(line) != "later\n" {
			t.Errorf("%q %v", line, err)
		}
	})

	// The API server speaks SPDY to nodes, whatever its clients speak to it.
	executor := func(path string, query url.Values) remotecommand.Executor {
		t.Helper()
		u := *base
		u.Path, u.RawQuery = path, query.Encode()
		e, err := remotecommand.NewSPDYExecutor(&rest.Config{Host: server.URL}, "POST", &u)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Run("exec", func(t *testing.T) {
		var out, errOut bytes.Buffer
		q := url.Values{"command": {"/bin/sh", "-c", "cat; echo oops >&2; exit 42"}, "input": {"1"}, "output": {"1"}, "error": {"1"}}
		err := executor("/exec/default/s/main", q).StreamWithContext(t.Context(), remotecommand.StreamOptions{
			Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errOut,
		})
		var exit utilexec.CodeExitError
		if !errors.As(err, &exit) || exit.Code != 42 || out.String() != "hello" || errOut.String() != "oops\n" {
			t.Errorf("out %q, err %q, %v", out.String(), errOut.String(), err)
		}
	})
	t.Run("exec with a terminal", func(t *testing.T) {
		var out bytes.Buffer
		q := url.Values{"command": {"/bin/sh", "-c", "test -t 1 && echo is a terminal"}, "output": {"1"}, "tty": {"1"}}
		err := executor("/exec/default/s/tty", q).StreamWithContext(t.Context(), remotecommand.StreamOptions{
			Stdout: &out, Tty: true,
		})
		if err != nil || !strings.Contains(out.String(), "is a terminal") {
			t.Errorf("%q %v", out.String(), err)
		}
	})
	t.Run("attach", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		in, feed := io.Pipe()
		out := &waitFor{text: "ping", seen: cancel}
		go func() { _, _ = fmt.Fprintln(feed, "ping") }()
		q := url.Values{"input": {"1"}, "output": {"1"}, "tty": {"1"}}
		_ = executor("/attach/default/s/tty", q).StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out, Tty: true})
		if !strings.Contains(out.String(), "ping") {
			t.Errorf("%q", out.String())
		}
	})
	t.Run("port-forward", func(t *testing.T) {
		c.in(t).needsRoute()
		u := *base
		u.Path = "/portForward/default/s"
		transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", &u)
		stop, up := make(chan struct{}), make(chan struct{})
		defer close(stop)
		f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{":8080", ":8081"}, stop, up, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = f.ForwardPorts() }()
		<-up
		ports, err := f.GetPorts()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", p.Local))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(body) != "page\n" {
				t.Errorf("port %d: %q", p.Remote, body)
			}
		}
	})
	t.Run("host", func(t *testing.T) {
		h, err := c.agent.host(t.Context())
		if err != nil || h.Memory < 1<<28 || h.MemoryFree <= 0 || h.Disk <= h.DiskFree || h.Processes < 10 || h.ProcessesMost < 1000 {
			t.Errorf("%+v %v", h, err)
		}
	})
	t.Run("stats", func(t *testing.T) {
		c.in(t).needsCgroups()
		if got := get("/stats/summary"); !strings.Contains(got, `"name":"main"`) || !strings.Contains(got, `"workingSetBytes"`) {
			t.Error(got)
		}
	})
}

// waitFor collects output and calls seen once it has the text. The buffer isn't embedded: io.Copy would find its ReadFrom
// and never call Write.
type waitFor struct {
	buffer bytes.Buffer
	text   string
	seen   func()
}

func (w *waitFor) String() string { return w.buffer.String() }

func (w *waitFor) Write(p []byte) (int, error) {
	n, err := w.buffer.Write(p)
	if strings.Contains(w.String(), w.text) {
		w.seen()
	}
	return n, err
}
