package forward

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"skiff.local/skiff/local/network/httpproxy/routing"
	"skiff.local/skiff/local/network/httpproxy/upstream"
)

// Bounds on copies, chosen: a slow mirror must not hold up requests, nor many of them fill the memory.
const (
	mirrorsAtOnce = 64
	mirrorTimeout = 15 * time.Second
	mirrorBody    = 1 << 20
)

type mirrors struct {
	pool *upstream.Pool
	slot chan struct{}
}

func newMirrors(p *upstream.Pool) *mirrors {
	return &mirrors{pool: p, slot: make(chan struct{}, mirrorsAtOnce)}
}

// send copies a request to mirrors. Requests with a body that is too long to be kept are not copied.
func (m *mirrors) send(list []routing.Mirror, req *http.Request) {
	var body []byte
	if req.Body != nil && req.Body != http.NoBody {
		if req.ContentLength < 0 || req.ContentLength > mirrorBody {
			return
		}
		read, err := io.ReadAll(io.LimitReader(req.Body, mirrorBody))
		rest := io.Reader(req.Body)
		if err != nil {
			rest = failing{err}
		}
		req.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(read), rest), req.Body}
		body = read
	}
	for i := range list {
		if mirror := &list[i]; rand.IntN(max(mirror.Total, 1)) < mirror.Weight {
			m.copy(mirror, req, body)
		}
	}
}

func (m *mirrors) copy(mirror *routing.Mirror, req *http.Request, body []byte) {
	select {
	case m.slot <- struct{}{}:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), mirrorTimeout)
	out := req.Clone(ctx)
	out.Body = http.NoBody
	if body != nil {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	go func() {
		defer func() { cancel(); <-m.slot }()
		if res, _, err := m.pool.RoundTrip(out, &mirror.Backend, netip.AddrPort{}, 0); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
}

// failing is a body that could not be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
