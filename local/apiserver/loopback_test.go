package apiserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// loopbackTo is a client of h in the same process.
func loopbackTo(h http.HandlerFunc) *http.Client {
	l := newLoopback()
	l.serve(h)
	return &http.Client{Transport: l}
}

func TestLoopbackStreamsWhileTheHandlerRuns(t *testing.T) {
	release := make(chan struct{})
	c := loopbackTo(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first")
		w.(http.Flusher).Flush()
		<-release
		fmt.Fprintln(w, "second")
	})
	resp, err := c.Get("https://loopback/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "first" {
		t.Fatalf("first line: %q", lines.Text())
	}
	close(release)
	if !lines.Scan() || lines.Text() != "second" {
		t.Fatalf("second line: %q", lines.Text())
	}
}

func TestLoopbackTellsTheHandlerThatTheClientIsGone(t *testing.T) {
	gone := make(chan error, 1)
	c := loopbackTo(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- r.Context().Err()
	})
	resp, err := c.Get("https://loopback/watch")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v", err)
	}
}

func TestLoopbackFreezesTheHeadersThatWereSent(t *testing.T) {
	c := loopbackTo(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("A", "1")
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("A", "2")
		w.WriteHeader(http.StatusTeapot)
	})
	resp, err := c.Post("https://loopback/", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted || resp.Header.Get("A") != "1" {
		t.Errorf("got %d, A=%s", resp.StatusCode, resp.Header.Get("A"))
	}
}

func TestLoopbackTurnsAPanicIntoAnError(t *testing.T) {
	c := loopbackTo(func(http.ResponseWriter, *http.Request) { panic("oops") })
	resp, err := c.Get("https://loopback/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); resp.StatusCode != 500 || err == nil || !strings.Contains(err.Error(), "GET /x panicked: oops") {
		t.Errorf("%d, %v", resp.StatusCode, err)
	}
}

func TestLoopbackWaitsUntilTheServerServes(t *testing.T) {
	l := newLoopback()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://loopback/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Errorf("a request to a server that never serves: %v", err)
	}
}

func TestJoinedListenersAcceptFromAll(t *testing.T) {
	var all []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	j := joinListeners(all[0], all[1:]...)
	for _, l := range all {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := j.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if server.LocalAddr().String() != l.Addr().String() {
			t.Errorf("accepted at %s, want %s", server.LocalAddr(), l.Addr())
		}
	}
	if j.Addr().String() != all[0].Addr().String() {
		t.Errorf("its address is %s", j.Addr())
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if _, err := j.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	if _, err := net.Dial("tcp", all[1].Addr().String()); err == nil {
		t.Error("the second listener is still open")
	}
}
