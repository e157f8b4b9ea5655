package network

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"skiff.local/skiff/local/network/relayproto"
)

// health is what a Service's healthCheckNodePort answers, as kube-proxy's does: 200 while there are endpoints, else 503.
type health struct {
	service   relayproto.Key
	endpoints int // that are ready
}

// healthTimeout bounds a question about health. Chosen: who asks does so at once.
const healthTimeout = 10 * time.Second

// answer answers one request.
func (h *health) answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(healthTimeout))
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, err := json.MarshalIndent(map[string]any{
		"service":        map[string]string{"namespace": h.service.Namespace, "name": h.service.Name},
		"localEndpoints": h.endpoints, "serviceProxyHealthy": true,
	}, "", "\t")
	if err != nil {
		return
	}
	status := http.StatusOK
	if h.endpoints == 0 {
		status = http.StatusServiceUnavailable
	}
	answer := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true, Request: req,
		Header: http.Header{
			"Content-Type": {"application/json"}, "X-Content-Type-Options": {"nosniff"},
			"X-Load-Balancing-Endpoint-Weight": {strconv.Itoa(h.endpoints)},
		},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	_ = answer.Write(conn)
}
