package docker

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestMain lets this binary stand in for ssh: with the variable set it connects its standard streams to that socket, as
// `docker system dial-stdio` does on the other side, or fails as ssh does.
func TestMain(m *testing.M) {
	switch socket := os.Getenv("SKIFF_TEST_DIAL"); socket {
	case "":
		os.Exit(m.Run())
	case "refused":
		_, _ = os.Stderr.WriteString("me@box: Permission denied (publickey).\n")
		os.Exit(255)
	default:
		conn, err := net.Dial("unix", socket)
		if err != nil {
			os.Exit(1)
		}
		go func() {
			_, _ = io.Copy(conn, os.Stdin)
			_ = conn.(*net.UnixConn).CloseWrite()
		}()
		_, _ = io.Copy(os.Stdout, conn)
	}
}

// echo answers an attach by sending back what it gets, and everything else with an empty list.
func echo(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/attach") {
			_, _ = w.Write([]byte("[]"))
			return
		}
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		data, _ := io.ReadAll(buffered) // until our side is closed
		_, _ = conn.Write(frame(frameStdout, string(data)))
	}
}

// talk makes an ordinary call and a stream whose input ends before its output does.
func talk(t *testing.T, e *Engine) {
	t.Helper()
	for range 3 {
		if _, err := e.ListContainers(t.Context(), ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	err := e.Attach(t.Context(), "web", Streams{Stdin: strings.NewReader("hello"), Stdout: &out})
	if err != nil || out.String() != "hello" {
		t.Errorf("attach: %q, %v", out.String(), err)
	}
}

func TestAnEngineBehindSSH(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for ssh is a symbolic link")
	}
	s := serve(t, "1.41", echo(t))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter
	t.Setenv("SKIFF_TEST_DIAL", strings.TrimPrefix(s.host, "unix://"))
	e, err := Connect(t.Context(), Options{Host: "ssh://me@box"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	talk(t, e)
	if n := s.conns.Load(); n != 2 {
		t.Errorf("%d connections, want one for calls and one for the stream", n)
	}

	t.Setenv("SKIFF_TEST_DIAL", "refused")
	_, err = Connect(t.Context(), Options{Host: "ssh://me@box"})
	if !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "Permission denied (publickey)") || !strings.Contains(Hint(err), "docker -H ssh://me@box") {
		t.Errorf("refused: %v, hint %q", err, Hint(err))
	}
	t.Setenv("PATH", t.TempDir())
	if _, err = Connect(t.Context(), Options{Host: "ssh://me@box"}); !errors.Is(err, ErrNoEngine) {
		t.Errorf("no ssh: %v", err)
	}
}

func TestAnEngineBehindTLS(t *testing.T) {
	handler := echo(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if r.URL.Path != "/_ping" {
			handler(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	certs := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(certs, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	host := "tcp://" + strings.TrimPrefix(server.URL, "https://")
	env := map[string]string{"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": certs}
	connect := func() (*Engine, error) {
		return Connect(t.Context(), Options{Env: func(k string) string { return env[k] }, Home: t.TempDir()})
	}
	e, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	talk(t, e)

	env["DOCKER_CERT_PATH"] = t.TempDir()
	if _, err := connect(); err == nil {
		t.Error("a certificate of an unknown authority was accepted")
	}
	delete(env, "DOCKER_TLS_VERIFY")
	if _, err := connect(); !errors.Is(err, ErrNoEngine) {
		t.Errorf("without TLS: %v", err)
	}
}
