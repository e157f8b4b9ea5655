package network

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"skiff.local/skiff/local/network/relayproto"
)

func TestAHealthCheckPortTellsHowManyEndpointsThereAre(t *testing.T) {
	for endpoints, status := range map[int]int{0: http.StatusServiceUnavailable, 2: http.StatusOK} {
		client, server := net.Pipe()
		go (&health{relayproto.Key{Namespace: "shop", Name: "web"}, endpoints}).answer(server)
		if _, err := io.WriteString(client, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			Service             struct{ Namespace, Name string }
			LocalEndpoints      int
			ServiceProxyHealthy bool
		}
		err = json.NewDecoder(res.Body).Decode(&said)
		client.Close()
		if err != nil || res.StatusCode != status || said.LocalEndpoints != endpoints || said.Service.Name != "web" || said.Service.Namespace != "shop" || !said.ServiceProxyHealthy {
			t.Errorf("with %d endpoints: %s %+v %v", endpoints, res.Status, said, err)
		}
	}
}
