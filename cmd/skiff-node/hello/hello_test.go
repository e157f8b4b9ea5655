package hello

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// drain is what a test's server gives open requests: longer than any test takes, so that none depends on it.
const drain = time.Minute

func startServer(t *testing.T, app *App) (url string, s *server, stop func()) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s = &server{handle: app.respond, log: io.Discard}
	go func() {
		defer close(ended)
		s.serve(ctx, listener, drain)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return "http://" + listener.Addr().String(), s, stop
}

func TestPathsAnswerToAStockClient(t *testing.T) {
	app := &App{Version: "2.0", Color: "red", Pod: "web-<1>", started: time.Now()}
	url, _, _ := startServer(t, app)
	for _, c := range []struct {
		path, want string
		status     int
	}{
		{"/version", "2.0\n", 200},
		{"/version?verbose=1", "2.0\n", 200},
		{"/healthz", "ok\n", 200},
		{"/hostname", "web-<1>\n", 200},
		{"/nothing", "404: there is nothing at /nothing\n", 404},
	} {
		res, err := http.Get(url + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != c.want || res.StatusCode != c.status {
			t.Errorf("GET %s = %d %q, want %d %q", c.path, res.StatusCode, body, c.status, c.want)
		}
	}
	res, err := http.Post(url+"/", "text/plain", strings.NewReader("a body nobody reads"))
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if !strings.Contains(string(page), "web-&lt;1&gt;") || strings.Contains(string(page), "{{") {
		t.Errorf("page is not rendered safely: %s", page)
	}
}

func TestStoppingClosesIdleConnections(t *testing.T) {
	url, _, stop := startServer(t, &App{Version: "1.0", started: time.Now()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	begin := time.Now()
	stop()
	if took := time.Since(begin); took >= drain {
		t.Errorf("stopping with an idle connection took %v", took)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the idle connection is still open")
	}
}

// Connections that came in just before the end, and had not asked yet, were closed without an answer.
func TestWhoConnectedBeforeTheEndIsAnswered(t *testing.T) {
	url, s, stop := startServer(t, &App{Version: "1.0", started: time.Now()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	for stopping := false; !stopping; { // until the server has shut down but for this connection
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		stopping = s.stopping
		s.mu.Unlock()
	}
	io.WriteString(conn, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 200 || !res.Close {
		t.Errorf("%+v, %v", res, err)
	}
	<-ended
}

func TestWithNothingToDrainItLeavesAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	best := time.Hour // of several: what other programs take of the machine is not the server's
	for range 5 {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := (&server{log: io.Discard}).serve(ctx, listener, 0); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
	}
	if best >= lameDuck {
		t.Errorf("it took %v at best", best)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f.Add("POST /a?b HTTP/1.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi")
	f.Fuzz(func(t *testing.T, head string) {
		req, err := readRequest(bufio.NewReaderSize(strings.NewReader(head), maxHeader))
		if err == nil && !strings.HasPrefix(req.path, "/") {
			t.Errorf("path %q of a request that was accepted", req.path)
		}
	})
}
