package network_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/local/network/networktest"
	"skiff.local/skiff/local/network/networktest/load"
)

// The probe's ports: HTTP, TCP echo, TCP sink.
var benchPorts = []networktest.Port{
	{Name: "http", Port: 8080, Protocol: corev1.ProtocolTCP}, {Name: "echo", Port: 9091, Protocol: corev1.ProtocolTCP},
	{Name: "sink", Port: 9092, Protocol: corev1.ProtocolTCP},
}

func benchService(c *networktest.Cluster, b *testing.B, pod *networktest.Pod) (clusterIP string, nodePorts []int32) {
	b.Helper()
	s := webService(c, "bench", 60, 0)
	s.Spec.Type, s.Spec.Ports = corev1.ServiceTypeNodePort, nil
	for _, p := range benchPorts {
		port := freeTCP(b)
		nodePorts = append(nodePorts, port)
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: p.Protocol, NodePort: port})
	}
	c.Service(s)
	c.Slice("default", "bench", benchPorts, networktest.Endpoint{IP: pod.IP.String()})
	return c.ServiceIP(60), nodePorts
}

func freeTCP(t testing.TB) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// BenchmarkClusterIP compares a Service's address with the pod behind it, from another pod.
func BenchmarkClusterIP(b *testing.B) {
	c := networktest.Start(b, networktest.Options{})
	server, client := c.Serve("server"), c.Serve("client")
	clusterIP, _ := benchService(c, b, server)
	networktest.Eventually(b, 5*time.Second, func() string {
		if got := client.Probe("connect", clusterIP+":9091"); got[:4] != "open" {
			return got
		}
		return ""
	})
	number := func(args ...string) float64 {
		n, err := strconv.ParseFloat(client.Probe(args...), 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	var throughput, latency [2]float64
	rounds := 0
	for b.Loop() {
		// In turn, so that other work on this machine falls on both.
		for i, ip := range []string{server.IP.String(), clusterIP} {
			throughput[i] += number("throughput", ip+":9092", "1")
			latency[i] += number("latency", ip+":9091", "2000")
		}
		rounds++
	}
	n := float64(rounds)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(throughput[0]/n/1000, "direct-Gbit/s")
	b.ReportMetric(throughput[1]/n/1000, "service-Gbit/s")
	b.ReportMetric(throughput[1]/throughput[0], "throughput-ratio")
	b.ReportMetric(latency[0]/n, "direct-µs")
	b.ReportMetric(latency[1]/n, "service-µs")
	b.ReportMetric(latency[0]/latency[1], "latency-ratio")
}

// BenchmarkNodePort compares a node port with a port that the engine publishes, directly and through the relay.
func BenchmarkNodePort(b *testing.B) {
	for name, o := range map[string]networktest.Options{"direct": {}, "relay": {ForceRelay: true}} {
		b.Run(name, func(b *testing.B) {
			c := networktest.Start(b, o)
			published := []int32{freeTCP(b), freeTCP(b), freeTCP(b)}
			server := c.Publish("server", map[uint16]uint16{8080: uint16(published[0]), 9091: uint16(published[1]), 9092: uint16(published[2])})
			_, ports := benchService(c, b, server)
			networktest.Eventually(b, 5*time.Second, func() string {
				if got := httpGet(fmt.Sprintf("http://127.0.0.1:%d/", ports[0])); got[:6] != "server" {
					return got
				}
				return ""
			})
			var gbit [2]float64
			var results [2]load.Result
			var short [2]load.Result
			rounds := 0
			for b.Loop() {
				for i, list := range [][]int32{published, ports} {
					gbit[i] += sink(b, list[2], time.Second)
					url := fmt.Sprintf("http://127.0.0.1:%d/", list[0])
					results[i] = run(load.Options{URL: url, Kept: 16})
					short[i] = run(load.Options{URL: url, Short: 16})
				}
				rounds++
			}
			b.ReportMetric(0, "ns/op")
			for i, name := range []string{"engine", "skiff"} {
				b.ReportMetric(gbit[i]/float64(rounds), name+"-Gbit/s")
				b.ReportMetric(float64(results[i].Requests)/results[i].Took.Seconds(), name+"-kept/s")
				b.ReportMetric(float64(results[i].Percentile(99).Microseconds())/1000, name+"-kept-p99-ms")
				b.ReportMetric(float64(short[i].Requests)/short[i].Took.Seconds(), name+"-short/s")
				b.ReportMetric(float64(short[i].Percentile(99).Microseconds())/1000, name+"-short-p99-ms")
				if n := results[i].Failed + short[i].Failed; n > 0 {
					b.Errorf("%s: %d requests failed", name, n)
				}
			}
		})
	}
}

func run(o load.Options) load.Result {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return load.Run(ctx, o)
}

// sink writes into a port that swallows for a while and returns Gbit/s.
func sink(b *testing.B, port int32, d time.Duration) float64 {
	b.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 256<<10)
	begin, sent := time.Now(), 0
	for time.Since(begin) < d {
		n, err := conn.Write(buf)
		if err != nil {
			b.Fatal(err)
		}
		sent += n
	}
	return float64(sent) * 8 / 1e9 / time.Since(begin).Seconds()
}

// BenchmarkRelayStart measures a cluster's first start of its network and a later one, to DNS answering.
func BenchmarkRelayStart(b *testing.B) {
	for b.Loop() {
		begin := time.Now()
		c := networktest.Start(b, networktest.Options{})
		b.ReportMetric(float64(c.Started.Milliseconds()), "first-ms")
		_ = begin
		c.Stop()
		if err := c.Network.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		c.New(networktest.Options{})
		begin = time.Now()
		c.Ensure()
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "again-ms")
		c.Run()
		if err := c.Network.WaitDNS(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "again-dns-ms")
		c.Stop()
		c.New(networktest.Options{})
		begin = time.Now()
		c.Ensure()
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "adopt-ms")
		c.Run()
	}
	b.ReportMetric(0, "ns/op")
}
