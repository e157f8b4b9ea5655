package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// hijacked is a connection that left HTTP behind.
type hijacked struct {
	net.Conn
	r *bufio.Reader
}

// hijack posts a request and takes its connection over. The SDK's own version drops the status and the text of a
// refusal, which is where "container is not running" and "no such exec" would be told apart.
func (e *Engine) hijack(ctx context.Context, path string, query url.Values, body any) (*hijacked, error) {
	var payload io.Reader = http.NoBody
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.target(path, query), payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	req.Header.Set("User-Agent", userAgent)

	conn, err := e.cli.Dialer()(ctx)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlivePeriod(30 * time.Second)
	}
	h, err := upgrade(ctx, conn, req)
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return h, nil
}

func upgrade(ctx context.Context, conn net.Conn, req *http.Request) (*hijacked, error) {
	// Neither writing a request nor reading its response by hand listens to a context.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, 32<<10)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return &hijacked{Conn: conn, r: r}, nil
	}
	return nil, refused(resp)
}

func (h *hijacked) Read(p []byte) (int, error) { return h.r.Read(p) }

// CloseWrite ends our direction only.
func (h *hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return fmt.Errorf("close standard input: %T can't be closed in one direction", h.Conn)
}
