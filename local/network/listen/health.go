package listen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Health is what a Service's healthCheckNodePort answers, as kube-proxy's does: 200 while there are endpoints, else 503.
type Health struct {
	Namespace, Name string
	Endpoints       int // that are ready
}

// healthTimeout bounds a question about health. Chosen: who asks does so at once.
const healthTimeout = 10 * time.Second

// serve answers one request.
func (h *Health) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(healthTimeout))
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, err := json.MarshalIndent(map[string]any{
		"service":        map[string]string{"namespace": h.Namespace, "name": h.Name},
		"localEndpoints": h.Endpoints, "serviceProxyHealthy": true,
	}, "", "\t")
	if err != nil {
		return
	}
	status := http.StatusOK
	if h.Endpoints == 0 {
		status = http.StatusServiceUnavailable
	}
	answer := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true, Request: req,
		Header: http.Header{
			"Content-Type": {"application/json"}, "X-Content-Type-Options": {"nosniff"},
			"X-Load-Balancing-Endpoint-Weight": {strconv.Itoa(h.Endpoints)},
		},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	_ = answer.Write(conn)
}
