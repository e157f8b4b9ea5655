package forward

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// throughProxy sends a request for shop.test through a proxy to a backend.
func throughProxy(t *testing.T, backend http.HandlerFunc, change func(*http.Request)) (*http.Response, error) {
	t.Helper()
	behind := httptest.NewServer(backend)
	t.Cleanup(behind.Close)
	front := inFrontOf(t, behind.Listener.Addr().(*net.TCPAddr).AddrPort(), nil)
	req, err := http.NewRequest("GET", front.URL+"/a?b=c;d", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.test"
	if change != nil {
		change(req)
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err == nil {
		t.Cleanup(func() { res.Body.Close() })
	}
	return res, err
}

func TestHeadersOfAConnectionStayOnIt(t *testing.T) {
	var seen *http.Request
	res, err := throughProxy(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.Header().Set("Connection", "x-hop")
		w.Header().Set("X-Hop", "backend")
		w.Header().Set("X-End", "backend")
	}, func(r *http.Request) {
		r.Header = http.Header{
			"Connection": {"X-Mine, close"}, "X-Mine": {"1"}, "Proxy-Authorization": {"secret"}, "Te": {"trailers, deflate"}, "X-End": {"client"},
			"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}, "User-Agent": {""},
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("X-Hop") != "" || res.Header.Get("X-End") != "backend" {
		t.Errorf("the client sees %v", res.Header)
	}
	want := http.Header{
		"Te": {"trailers"}, "X-End": {"client"}, "Accept-Encoding": {"gzip"}, "X-Forwarded-For": {"192.0.2.1, 127.0.0.1"},
		"X-Forwarded-Host": {"shop.test"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {"80"}, "X-Real-Ip": {"127.0.0.1"},
	}
	if fmt.Sprint(seen.Header) != fmt.Sprint(want) || seen.Host != "shop.test" || seen.RequestURI != "/a?b=c;d" {
		t.Errorf("the backend sees %s %s\n%v\nwant\n%v", seen.Host, seen.RequestURI, seen.Header, want)
	}
}

func TestAnswersBeforeTheAnswerAndTrailersArePassedOn(t *testing.T) {
	var hints []string
	res, err := throughProxy(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Announced", "1")
		w.Header().Set(http.TrailerPrefix+"X-Surprise", "2")
	}, func(r *http.Request) {
		*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "body" || res.Header.Get("Link") != "" {
		t.Errorf("%q, %v, %v", body, err, res.Header)
	}
	if res.Trailer.Get("X-Announced") != "1" || res.Trailer.Get("X-Surprise") != "2" {
		t.Errorf("trailers %v", res.Trailer)
	}
	if len(hints) != 1 || hints[0] != "103</style.css>; rel=preload" {
		t.Errorf("hints %q", hints)
	}
}

func TestHeadersDoNotWaitForTheBody(t *testing.T) {
	for name, length := range map[string]string{"of known length": "4", "of unknown length": ""} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			res, err := throughProxy(t, func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-arrived:
				case <-r.Context().Done():
				}
				_, _ = io.WriteString(w, "body")
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			close(arrived)
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "body" {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
}

func TestABodyThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	res, err := throughProxy(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, nil)
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(res.Body); err == nil {
			t.Errorf("the client has %q and no error", body)
		}
	}
}

func TestUpgradesArePassedOn(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		rw.Flush()
		line, _ := rw.ReadString('\n')
		fmt.Fprintf(conn, "heard %s", line)
	}))
	defer behind.Close()
	front := inFrontOf(t, behind.Listener.Addr().(*net.TCPAddr).AddrPort(), nil)
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := in.ReadString('\n'); strings.TrimSpace(line) != "heard hello" {
		t.Errorf("%q, %v", line, err)
	}
}
