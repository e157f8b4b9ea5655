package listen

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"skiff.local/skiff/local/network/relayproto"
)

func TestAHealthCheckPortTellsHowManyEndpointsThereAre(t *testing.T) {
	m, _ := newManager(t)
	port := Port{Addr: deadPort(t), Protocol: relayproto.TCP}
	for endpoints, status := range map[int]int{0: http.StatusServiceUnavailable, 2: http.StatusOK} {
		m.Set(web, map[Port]Target{port: {Health: &Health{Namespace: "shop", Name: "web", Endpoints: endpoints}}})
		res, err := http.Get(fmt.Sprintf("http://%s/healthz", port.Addr))
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			Service             struct{ Namespace, Name string }
			LocalEndpoints      int
			ServiceProxyHealthy bool
		}
		err = json.NewDecoder(res.Body).Decode(&said)
		res.Body.Close()
		if err != nil || res.StatusCode != status || said.LocalEndpoints != endpoints || said.Service.Name != "web" || said.Service.Namespace != "shop" || !said.ServiceProxyHealthy {
			t.Errorf("with %d endpoints: %s %+v %v", endpoints, res.Status, said, err)
		}
	}
}
