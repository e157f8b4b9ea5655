package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network"
	"skiff.local/skiff/local/network/networktest/load"
	"skiff.local/skiff/local/network/networktest/probeimage"
	"skiff.local/skiff/runtime/docker"
)

// A series is what one way gave in each round, and the other way beside it in the same round.
type series struct{ ours, theirs []float64 }

// compare adds our median, theirs, and our share of it.
func (b *bench) compare(what, unit string, s series, peer, aim string) {
	o, t := middle(s.ours), middle(s.theirs)
	b.report.add(what, fmt.Sprintf("%.4g %s", o, unit), fmt.Sprintf("%s: %.4g %s; ratio %.2f; %s", peer, t, unit, o/t, aim))
}

func middle(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// clusterIP compares a Service's address with the pod behind it, from another pod.
func (b *bench) clusterIP(ctx context.Context) error {
	svc, pods, err := b.servers(ctx, "target", 1)
	defer b.removeServers(ctx, "target")
	if err != nil {
		return err
	}
	client, err := b.probePod(ctx, "asker", "asker", b.probe)
	defer b.removeServers(ctx, "asker")
	if err != nil {
		return err
	}
	var throughput, latency series
	for range b.rounds {
		// In turn, so that other work on this machine falls on both.
		for _, way := range []struct {
			ip   string
			gbit *[]float64
			µs   *[]float64
		}{{pods[0], &throughput.theirs, &latency.theirs}, {svc.Spec.ClusterIP, &throughput.ours, &latency.ours}} {
			mbit, err := b.numberInPod(ctx, client, "throughput", fmt.Sprintf("%s:%d", way.ip, probePorts["sink"]), "1")
			if err != nil {
				return err
			}
			µs, err := b.numberInPod(ctx, client, "latency", fmt.Sprintf("%s:%d", way.ip, probePorts["echo"]), "4000")
			if err != nil {
				return err
			}
			*way.gbit, *way.µs = append(*way.gbit, mbit/1000), append(*way.µs, µs)
		}
	}
	b.compare("ClusterIP, throughput", "Gbit/s", throughput, "pod to pod", "aim ≥ 0.93")
	b.compare("ClusterIP, round trip", "µs", latency, "pod to pod", "aim ≤ 1.08")
	return nil
}

// nodePort compares a node port with a port that the engine publishes, with pod addresses dialled from here and with
// every connection carried by the relay, as with a remote engine.
func (b *bench) nodePort(ctx context.Context) error {
	svc, _, err := b.servers(ctx, "ported", 1)
	defer b.removeServers(ctx, "ported")
	if err != nil {
		return err
	}
	published, remove, err := b.publish(ctx)
	defer remove()
	if err != nil {
		return err
	}
	for _, way := range []string{"direct", "relay"} {
		if way == "relay" {
			if err := b.restart(ctx, network.EnvDial+"=relay"); err != nil {
				return err
			}
			defer func() { _ = b.restart(context.WithoutCancel(ctx)) }()
		}
		if err := b.comparePorts(ctx, "NodePort, "+way, svc, published); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) comparePorts(ctx context.Context, name string, svc *corev1.Service, published map[string]uint16) error {
	url := func(port any) string { return fmt.Sprintf("http://127.0.0.1:%d/", port) }
	for _, u := range []string{url(portOf(svc, "http", true)), url(published["http"])} {
		if err := awaitOK(ctx, u, ""); err != nil {
			return err
		}
	}
	var gbit, kept, keptP99, short, shortP99 series
	failed := 0
	for range b.rounds {
		for _, way := range []struct {
			http, sink int
			add        func(*series) *[]float64
		}{
			{int(published["http"]), int(published["sink"]), func(s *series) *[]float64 { return &s.theirs }},
			{int(portOf(svc, "http", true)), int(portOf(svc, "sink", true)), func(s *series) *[]float64 { return &s.ours }},
		} {
			rate, err := sink(way.sink, time.Second)
			if err != nil {
				return err
			}
			k := ask(ctx, load.Options{URL: url(way.http), Kept: clients})
			s := ask(ctx, load.Options{URL: url(way.http), Short: clients})
			for to, value := range map[*series]float64{
				&gbit: rate, &kept: k.PerSecond, &keptP99: milliseconds(k.P99), &short: s.PerSecond, &shortP99: milliseconds(s.P99),
			} {
				list := way.add(to)
				*list = append(*list, value)
			}
			failed += k.Failed + s.Failed
		}
	}
	const peer = "published port"
	b.compare(name+", throughput", "Gbit/s", gbit, peer, "aim ≥ 1")
	b.compare(name+", kept connections", "req/s", kept, peer, "aim ≥ 1")
	b.compare(name+", kept connections, p99", "ms", keptP99, peer, "")
	b.compare(name+", a connection each", "req/s", short, peer, "aim ≥ 1")
	b.compare(name+", a connection each, p99", "ms", shortP99, peer, "")
	if failed > 0 {
		b.report.add(name+", failed requests", fmt.Sprint(failed), "of either")
	}
	return nil
}

// publish runs the probe in a container whose ports the engine publishes.
func (b *bench) publish(ctx context.Context) (ports map[string]uint16, remove func(), err error) {
	ports = map[string]uint16{}
	var bindings []docker.PortBinding
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for name, inside := range probePorts {
		outside, err := freePort()
		if err != nil {
			return nil, func() {}, err
		}
		ports[name] = outside
		bindings = append(bindings, docker.PortBinding{ContainerPort: uint16(inside), Protocol: "tcp", HostIP: loopback, HostPort: outside})
	}
	id, err := b.engine.CreateContainer(ctx, docker.ContainerSpec{
		Name: fmt.Sprintf("bench-published-%d", os.Getpid()), Image: b.probe, Entrypoint: []string{probeimage.Binary, "serve"},
		Network: docker.NetworkName(b.profile.Name), Labels: docker.ProfileLabels("bench-bare", docker.RoleHelper), Ports: bindings,
	})
	if err != nil {
		return nil, func() {}, err
	}
	remove = func() {
		_ = b.engine.RemoveContainer(context.WithoutCancel(ctx), id, docker.RemoveOptions{Force: true, Volumes: true})
	}
	return ports, remove, b.engine.StartContainer(ctx, id)
}

func freePort() (uint16, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}

// sink writes into a port that swallows for a while and returns Gbit/s.
func sink(port int, d time.Duration) (float64, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	buf := make([]byte, 256<<10)
	begin, sent := time.Now(), 0
	for time.Since(begin) < d {
		n, err := conn.Write(buf)
		if err != nil {
			return 0, errors.Join(fmt.Errorf("write into port %d", port), err)
		}
		sent += n
	}
	return float64(sent) * 8 / 1e9 / time.Since(begin).Seconds(), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// restart ends the daemon and starts it with further environment.
func (b *bench) restart(ctx context.Context, env ...string) error {
	if _, err := b.skiff(ctx, "stop", "--keep-pods"); err != nil {
		return err
	}
	b.extraEnv = env
	if _, err := b.skiff(ctx, "start"); err != nil {
		return err
	}
	return b.connect()
}
