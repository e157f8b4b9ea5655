package forward

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Whatever its length, known or not, a body goes on as it comes: a page that fills slowly must not stay blank.
func TestABodyGoesOnAsItComes(t *testing.T) {
	for name, length := range map[string]string{"of known length": "8", "of unknown length": ""} {
		t.Run(name, func(t *testing.T) {
			more := make(chan struct{})
			backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				for range 2 {
					_, _ = io.WriteString(w, "part")
					_ = http.NewResponseController(w).Flush()
					select {
					case <-more:
					case <-r.Context().Done():
						return
					}
				}
			}))
			defer backend.Close()
			front := inFrontOf(t, backend.Listener.Addr().(*net.TCPAddr).AddrPort(), nil)
			req, err := http.NewRequest("GET", front.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "shop.test"
			client := http.Client{Timeout: time.Minute}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			part := make([]byte, 4)
			for range 2 { // the second part is not written before the first one is here
				if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != "part" {
					t.Fatalf("read %q, %v", part, err)
				}
				more <- struct{}{}
			}
		})
	}
}
