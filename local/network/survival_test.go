package network_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/network/networktest"
	"skiff.local/skiff/runtime/docker"
)

func TestWhatSurvivesWhat(t *testing.T) {
	c := networktest.Start(t, networktest.Options{})
	one, client := c.Serve("one"), c.Serve("client")
	nodePort := freePort(t)
	c.Service(webService(c, "web", 20, nodePort))
	c.Slice("default", "web", []networktest.Port{httpPort, udpPort}, networktest.Endpoint{IP: one.IP.String()})
	clusterIP := c.ServiceIP(20)
	answers := func() string {
		if got := client.Probe("get", "http://"+clusterIP+"/"); !strings.HasPrefix(got, "one") {
			return got
		}
		if got := client.Probe("resolve", "web.default.svc.cluster.local", "A", c.ServiceIP(10)); got != clusterIP {
			return got
		}
		return ""
	}
	networktest.Eventually(t, networktest.Patience, answers)
	relay := docker.RelayName(c.Profile)

	t.Run("the relay is killed", func(t *testing.T) {
		// What a client notices is longer: its kernel sends again what was lost a second later.
		outage := make(chan string, 1)
		go func() { outage <- client.Probe("outage", clusterIP+":80", "4s") }()
		if got := answers(); got != "" { // by now the other probe runs
			t.Fatal(got)
		}
		begin := time.Now()
		if err := c.Engine.KillContainer(t.Context(), relay, "KILL"); err != nil {
			t.Fatal(err)
		}
		networktest.Eventually(t, networktest.Patience, answers)
		took := time.Since(begin)
		ms, err := strconv.Atoi(<-outage)
		if err != nil || ms > 3000 {
			t.Errorf("no connection was taken for %d ms, %v", ms, err)
		}
		t.Logf("answers again after %v; no connection was taken for %d ms", took, ms)
	})

	t.Run("the relay is removed", func(t *testing.T) {
		begin := time.Now()
		if err := c.Engine.RemoveContainer(t.Context(), relay, docker.RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		networktest.Eventually(t, networktest.Patience, answers)
		t.Logf("back after %v", time.Since(begin))
	})

	t.Run("the daemon is away and comes back", func(t *testing.T) {
		c.Stop()
		for range 3 {
			if got := answers(); got != "" {
				t.Fatalf("without the daemon: %s", got)
			}
		}
		if _, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", nodePort)); err == nil {
			t.Error("the node port answers without the daemon")
		}
		before, err := c.Engine.InspectContainer(t.Context(), relay)
		if err != nil {
			t.Fatal(err)
		}
		c.New(networktest.Options{})
		begin := time.Now()
		c.Ensure()
		c.Run()
		if err := c.Network.WaitDNS(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("adopted in %v", time.Since(begin))
		networktest.Eventually(t, networktest.Patience, func() string {
			res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", nodePort))
			if err != nil {
				return err.Error()
			}
			res.Body.Close()
			return ""
		})
		after, err := c.Engine.InspectContainer(t.Context(), relay)
		if err != nil || after.ID != before.ID || after.State.StartedAt != before.State.StartedAt {
			t.Errorf("the relay was not adopted: %v", err)
		}
	})

	t.Run("the relay restarts while the daemon is away", func(t *testing.T) {
		c.Stop()
		// The state is kept a second after the last change.
		networktest.Eventually(t, networktest.Patience, func() string {
			if _, err := c.Engine.StatPath(t.Context(), relay, "/run/skiff/relay.json"); err != nil {
				return err.Error()
			}
			return ""
		})
		if err := c.Engine.StopContainer(t.Context(), relay, docker.StopOptions{Grace: time.Second}); err != nil {
			t.Fatal(err)
		}
		if err := c.Engine.StartContainer(t.Context(), relay); err != nil {
			t.Fatal(err)
		}
		networktest.Eventually(t, networktest.Patience, answers)
	})

	t.Run("a stopped network starts again, a removed one leaves nothing", func(t *testing.T) {
		c.New(networktest.Options{})
		c.Ensure()
		if err := c.Network.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.New(networktest.Options{})
		begin := time.Now()
		c.Ensure()
		c.Run()
		if err := c.Network.WaitDNS(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("started again in %v", time.Since(begin))
		c.Stop()
		one.Remove()
		client.Remove()
		if err := network.Remove(context.Background(), c.Engine, c.Profile); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Engine.InspectNetwork(t.Context(), docker.NetworkName(c.Profile)); err == nil {
			t.Error("the network is still there")
		}
		if err := network.Remove(context.Background(), c.Engine, c.Profile); err != nil {
			t.Errorf("removing what is gone: %v", err)
		}
	})
}
