package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/cmd/cli/iostreams"
	"skiff.local/skiff/local/network/httpproxy/accesslog"
)

func request(at time.Time, host, path string) string {
	return fmt.Sprintf("%s 127.0.0.1 GET %s %s HTTP/1.1 200 5 1.000ms default/web:80 web-1\n", at.UTC().Format(accesslog.TimeFormat), host, path)
}

func TestRequestsAreChosen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ingress.log")
	now := time.Now()
	files := map[string]string{
		path + ".1": request(now.Add(-time.Hour), "shop.localhost", "/old"),
		path:        request(now, "shop.localhost:8080", "/a") + request(now, "api.localhost", "/b") + request(now, "api.localhost", "/c"),
	}
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		options options
		want    string
	}{
		"all of both parts":   {options{tail: -1}, "/old /a /b /c"},
		"of a host":           {options{tail: -1, host: "Shop.localhost"}, "/old /a"},
		"the last ones":       {options{tail: 2}, "/b /c"},
		"of the last minutes": {options{tail: -1, since: time.Minute}, "/a /b /c"},
		"that match":          {options{tail: -1, grep: " /[ab] "}, "/a /b"},
	} {
		t.Run(name, func(t *testing.T) {
			streams, _, out, _ := iostreams.Test()
			c.options.io = streams
			if err := c.options.compile(); err != nil {
				t.Fatal(err)
			}
			if err := c.options.showRequests(t.Context(), path, nil); err != nil {
				t.Fatal(err)
			}
			var paths []string
			for line := range strings.Lines(out.String()) {
				paths = append(paths, strings.Fields(line)[4])
			}
			if got := strings.Join(paths, " "); got != c.want {
				t.Errorf("shown: %s, want %s", got, c.want)
			}
		})
	}
}

// A log that is followed before its first request begins, grows past its bound, and begins anew.
func TestRequestsAreFollowedIntoTheNextPart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ingress.log")
	out, in := io.Pipe()
	streams, _, _, _ := iostreams.Test()
	streams.Out = in
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		o := options{io: streams, tail: -1, follow: true, host: "shop.localhost"}
		ended <- o.showRequests(ctx, path, nil)
		in.Close()
	}()
	late := time.AfterFunc(time.Minute, func() { in.CloseWithError(errors.New("nothing more came")) })
	defer late.Stop()
	shown := bufio.NewScanner(out)
	shown.Buffer(nil, 1<<20)
	next := func(want string) {
		t.Helper()
		if !shown.Scan() || strings.Fields(shown.Text())[4] != want {
			t.Fatalf("shown: %.100q, %v; want %s", shown.Text(), shown.Err(), want)
		}
	}
	log := accesslog.NewFile(path)
	defer log.Close()
	write := func(host, path string) {
		t.Helper()
		if _, err := io.WriteString(log, request(time.Now(), host, path)); err != nil {
			t.Fatal(err)
		}
	}
	write("shop.localhost", "/first")
	next("/first")
	filler := strings.Repeat("x", 1<<20)
	for range 7 {
		write("other.localhost", "/"+filler)
	}
	write("shop.localhost", "/last-of-this-part")
	write("other.localhost", "/"+filler)
	write("shop.localhost", "/first-of-the-next")
	if _, err := os.Stat(path + ".1"); err != nil {
		t.Fatalf("no new part began: %v", err)
	}
	next("/last-of-this-part")
	next("/first-of-the-next")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
