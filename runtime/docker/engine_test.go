package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stub is an engine that answers what a test tells it to.
type stub struct {
	host  string
	conns atomic.Int64
}

// serve answers /_ping as an engine of the given version and leaves the rest to handle. The version and the "/vX.Y"
// before a path are dealt with here.
func serve(t *testing.T, api string, handle http.HandlerFunc) *stub {
	t.Helper()
	dir, err := os.MkdirTemp("", "stub") // t.TempDir's names can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{host: "unix://" + socket}
	server := &http.Server{
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.conns.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", api)
			w.Header().Set("Ostype", "linux")
			if r.URL.Path == "/_ping" {
				return
			}
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/v"+api)
			handle(w, r)
		}),
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

func (s *stub) connect(t *testing.T) *Engine {
	t.Helper()
	e, err := Connect(t.Context(), Options{Host: s.host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, text)
}

func TestConnectSaysWhatIsWrong(t *testing.T) {
	nobody := "unix://" + filepath.Join(os.TempDir(), "skiff-no-such.sock")
	for name, c := range map[string]struct {
		host string
		kind error
		says string
	}{
		"no socket":      {nobody, ErrNoEngine, "skiff-no-such.sock"},
		"nobody listens": {"tcp://127.0.0.1:1", ErrNoEngine, "127.0.0.1:1"},
		"too old":        {serve(t, "1.40", nil).host, ErrTooOld, "API 1.40"},
		"no version":     {serve(t, "", nil).host, ErrTooOld, "unknown version"},
		"nonsense":       {"unix://", ErrConfig, "unix://"},
	} {
		_, err := Connect(t.Context(), Options{Host: c.host})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || Hint(err) == "" {
			t.Errorf("%s: %v, hint %q", name, err, Hint(err))
		}
	}
}

func TestConnectStopsAtTheOldestCommonVersion(t *testing.T) {
	for api, want := range map[string]string{"1.41": "1.41", "1.47": "1.47", "1.99": "1.51"} {
		e := serve(t, api, nil).connect(t)
		if e.APIVersion() != want {
			t.Errorf("engine %s: spoke %s, want %s", api, e.APIVersion(), want)
		}
		if f := e.Features(); f.VolumeSubpath != (api != "1.41") || f.ImageMounts != (api == "1.99") {
			t.Errorf("engine %s: features %+v", api, f)
		}
	}
}

func TestRefusalsBecomeKinds(t *testing.T) {
	status := http.StatusOK
	e := serve(t, "1.41", func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, "because") }).connect(t)
	for code, kind := range map[int]error{
		400: ErrInvalid, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict, 500: ErrInternal, 501: ErrUnsupported,
	} {
		status = code
		for what, err := range map[string]error{
			"request": e.KillContainer(t.Context(), "web", ""),
			"hijack":  e.Attach(t.Context(), "web", Streams{}),
		} {
			if !errors.Is(err, kind) || !strings.HasSuffix(err.Error(), "container web: because") || Reason(err) != "because" {
				t.Errorf("%d by %s: %v", code, what, err)
			}
		}
	}
	status = http.StatusNotModified
	if err := e.StartContainer(t.Context(), "web"); err != nil {
		t.Errorf("start of what runs: %v", err)
	}
}

func TestPermissionIsToldApart(t *testing.T) {
	e := &Engine{host: "unix:///var/run/docker.sock"}
	dial := &net.OpError{Op: "dial", Net: "unix", Err: &os.SyscallError{Syscall: "connect", Err: fs.ErrPermission}}
	err := e.convert(dial, "reach the Docker Engine at", e.host)
	if !errors.Is(err, ErrPermission) || errors.Is(err, ErrNoEngine) || Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, Hint(err))
	}
}

func TestNothingIsSentThatTheEngineWouldMisread(t *testing.T) {
	e := serve(t, "1.41", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the engine was asked: %s", r.URL.Path)
	}).connect(t)
	for what, m := range map[string]Mount{
		"subpath": {Type: MountVolume, Source: "v", Target: "/x", Subpath: "a"},
		"image":   {Type: MountImage, Source: "i", Target: "/x"},
		"tmpfs":   {Type: MountTmpfs, Target: "/x", TmpfsOptions: []string{"exec"}},
		"rro":     {Type: MountBind, Source: "/h", Target: "/x", RecursiveReadOnly: true},
	} {
		_, err := e.CreateContainer(t.Context(), ContainerSpec{Name: "c", Image: "i", Mounts: []Mount{m}})
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "1.41") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	s := serve(t, "1.41", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) })
	e := s.connect(t)
	for range 50 {
		if _, err := e.ListContainers(t.Context(), ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("50 requests in a row took %d connections", n)
	}
}

func TestAPullThatFailsInTheMiddleFails(t *testing.T) {
	body := ""
	e := serve(t, "1.41", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/distribution/") {
			refuse(w, http.StatusInternalServerError, "no route")
			return
		}
		_, _ = w.Write([]byte(body))
	}).connect(t)
	for _, c := range []struct {
		body string
		kind error
	}{
		{`{"status":"Pulling from x","id":"1"}{"errorDetail":{"code":401,"message":"no entry"},"error":"no entry"}`, ErrUnauthorized},
		{`{"errorDetail":{"message":"no route"},"error":"no route"}`, ErrInternal},
		{`{"error":"only this"}`, ErrInternal},
		{`{"status":"cut o`, ErrInternal},
	} {
		body = c.body
		err := e.PullImage(t.Context(), "app:1", PullOptions{})
		if !errors.Is(err, c.kind) || !errors.Is(err, ErrRegistry) {
			t.Errorf("%s: %v", c.body, err)
		}
	}
	// A layer without progressDetail is what once crashed others.
	var seen []PullProgress
	body = `{"status":"Waiting","id":"abcdefabcdef"}{"status":"Downloading","id":"abcdefabcdef","progressDetail":{"current":1,"total":2}}{"status":"done","progressDetail":null}`
	if err := e.PullImage(t.Context(), "app:1", PullOptions{Progress: func(p PullProgress) { seen = append(seen, p) }}); err != nil || len(seen) != 3 || seen[1].Total != 2 {
		t.Errorf("%v, %v", seen, err)
	}
}

func TestEventsComeBackAndSayThatTheyWereGone(t *testing.T) {
	var connections atomic.Int64
	since := make(chan string, 8)
	e := serve(t, "1.41", func(w http.ResponseWriter, r *http.Request) {
		since <- r.URL.Query().Get("since")
		n := connections.Add(1)
		if n == 2 {
			refuse(w, http.StatusServiceUnavailable, "starting up")
			return
		}
		_, _ = fmt.Fprintf(w, `{"Type":"container","Action":"start","Actor":{"ID":"c%d","Attributes":{"name":"web"}},"timeNano":%d}`+"\n", n, n*1_000_000_001)
		w.(http.Flusher).Flush()
		if n == 3 {
			<-r.Context().Done()
		}
	}).connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream := e.Events(ctx, EventOptions{Types: []string{"container"}})
	var got []string
	for ev := range stream {
		got = append(got, strings.TrimSpace(ev.Action+" "+ev.ID))
		if ev.Action == EventLost && ev.Err == nil {
			t.Error("lost without a reason")
		}
		if ev.ID == "c3" {
			cancel()
		}
	}
	want := "gap, start c1, lost, lost, gap, start c3"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	<-since
	for range 2 {
		if s := <-since; s != "1.000000002" {
			t.Errorf("it asked again from %s, want just after the last event", s)
		}
	}
}

func TestACallThatIsCancelledLooksLikeThat(t *testing.T) {
	started := make(chan struct{}, 8)
	e := serve(t, "1.41", func(_ http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-r.Context().Done()
	}).connect(t)
	for what, call := range map[string]func(context.Context) error{
		"request": func(ctx context.Context) error { return e.KillContainer(ctx, "x", "") },
		"hijack":  func(ctx context.Context) error { return e.Attach(ctx, "x", Streams{}) },
		"wait": func(ctx context.Context) error {
			_, err := e.WaitContainer(ctx, "x", WaitNotRunning)
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-started
			cancel()
		}()
		if err := call(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoEngine) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
}

func TestTimestampsKeepNanoseconds(t *testing.T) {
	for at, want := range map[time.Time]string{
		{}: "", time.Unix(5, 0): "5.000000000", time.Unix(1700000000, 42): "1700000000.000000042",
	} {
		if got := timestamp(at); got != want {
			t.Errorf("%v: got %q, want %q", at, got, want)
		}
	}
}
