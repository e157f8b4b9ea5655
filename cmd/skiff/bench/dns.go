package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff.local/skiff/runtime/docker"
)

// dns compares the relay's answers for a Service's name with those of other servers for the same name, each in a container
// on the pods' network, asked from a pod.
func (b *bench) dns(ctx context.Context) error {
	svc, _, err := b.servers(ctx, "named", 1)
	defer b.removeServers(ctx, "named")
	if err != nil {
		return err
	}
	client, err := b.probePod(ctx, "resolver", "resolver", b.probe)
	defer b.removeServers(ctx, "resolver")
	if err != nil {
		return err
	}
	name := "named.default.svc.cluster.local."
	kubeDNS, err := b.clusterDNS(ctx, client)
	if err != nil {
		return err
	}
	ways := []*dnsWay{{name: "skiff", server: kubeDNS}}
	for _, peer := range []dnsPeer{dnsmasq(svc), coredns(svc)} {
		ip, remove, err := b.peerContainer(ctx, peer)
		defer remove()
		if err != nil {
			b.report.add("DNS against "+peer.name, "-", "skipped: "+err.Error())
			continue
		}
		ways = append(ways, &dnsWay{name: peer.name, server: ip.String() + ":53"})
	}
	for range b.rounds {
		for _, w := range ways {
			s, err := b.loadInPod(ctx, client, "dns", w.server, name, fmt.Sprint(clients), loadTime.String())
			if err != nil {
				return err
			}
			w.rate, w.p99 = append(w.rate, s.PerSecond), append(w.p99, milliseconds(s.P99))
			if s.Failed > 0 {
				b.report.add("DNS, failed queries of "+w.name, fmt.Sprint(s.Failed), fmt.Sprint(s.Errors))
			}
		}
	}
	for _, w := range ways[1:] {
		b.compare("DNS", "queries/s", series{ways[0].rate, w.rate}, w.name, "")
		b.compare("DNS, p99", "ms", series{ways[0].p99, w.p99}, w.name, "")
	}
	if len(ways) == 1 {
		b.report.add("DNS", fmt.Sprintf("%.4g queries/s", middle(ways[0].rate)), "")
	}
	return nil
}

type dnsWay struct {
	name, server string
	rate, p99    []float64
}

// clusterDNS finds the nameserver that pods are given.
func (b *bench) clusterDNS(ctx context.Context, pod *corev1.Pod) (string, error) {
	out, err := b.inPod(ctx, pod, "nameserver")
	return out + ":53", err
}

// A dnsPeer is a server from this machine to compare with.
type dnsPeer struct {
	name   string
	binary string
	args   []string
	files  map[string]string
}

func dnsmasq(svc *corev1.Service) dnsPeer {
	return dnsPeer{name: "dnsmasq", binary: "dnsmasq", args: []string{
		"--keep-in-foreground", "--user=", "--pid-file=", "--conf-file=/etc/dnsmasq.conf", "--no-resolv", "--no-hosts",
		"--host-record=named.default.svc.cluster.local," + svc.Spec.ClusterIP,
	}, files: map[string]string{"etc/dnsmasq.conf": "", "etc/passwd": "root:x:0:0:root:/:/\n", "etc/group": "root:x:0:\n"}}
}

// coredns answers from a hosts block: the fastest way it has to answer a fixed name, without a cluster to watch.
func coredns(svc *corev1.Service) dnsPeer {
	return dnsPeer{name: "CoreDNS", binary: "coredns", args: []string{"-conf", "/etc/Corefile"}, files: map[string]string{
		"etc/Corefile": ".:53 {\n  hosts {\n    " + svc.Spec.ClusterIP + " named.default.svc.cluster.local\n  }\n}\n",
	}}
}

// peerContainer runs a program of this machine in a container on the pods' network: an image of it and the libraries it
// is linked with.
func (b *bench) peerContainer(ctx context.Context, p dnsPeer) (addr netip.Addr, remove func(), err error) {
	var undo []func()
	remove = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	binary, err := found(p.binary)
	if err != nil {
		return addr, remove, err
	}
	layer, err := pack(ctx, binary, p.files)
	if err != nil {
		return addr, remove, err
	}
	ref := fmt.Sprintf("skiff.local/bench-%s-%d:1", p.binary, os.Getpid())
	if _, err := b.engine.ImportImage(ctx, layer, docker.ImportOptions{Ref: ref}); err != nil {
		return addr, remove, err
	}
	background := context.WithoutCancel(ctx)
	undo = append(undo, func() {
		_ = b.engine.RemoveImage(background, ref, docker.RemoveImageOptions{Force: true, PruneChildren: true})
	})
	id, err := b.engine.CreateContainer(ctx, docker.ContainerSpec{
		Name: fmt.Sprintf("bench-%s-%d", p.binary, os.Getpid()), Image: ref, Entrypoint: append([]string{binary}, p.args...),
		Network: docker.NetworkName(b.profile.Name), Labels: docker.ProfileLabels("bench-bare", docker.RoleHelper),
	})
	if err != nil {
		return addr, remove, err
	}
	undo = append(undo, func() {
		_ = b.engine.RemoveContainer(background, id, docker.RemoveOptions{Force: true, Volumes: true})
	})
	if err := b.engine.StartContainer(ctx, id); err != nil {
		return addr, remove, err
	}
	info, err := b.engine.InspectContainer(ctx, id)
	if err != nil {
		return addr, remove, err
	}
	addr = info.IP(docker.NetworkName(b.profile.Name))
	for deadline := time.Now().Add(10 * time.Second); ; {
		if reachable(netip.AddrPortFrom(addr, 53).String()) {
			return addr, remove, nil
		}
		if time.Now().After(deadline) {
			return addr, remove, fmt.Errorf("%s does not answer in its container", p.name)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return addr, remove, err
		}
	}
}

// pack makes a layer of a program, its libraries and some files.
func pack(ctx context.Context, binary string, files map[string]string) (*bytes.Buffer, error) {
	paths := []string{binary}
	// ldd fails for what is linked statically, which then needs nothing.
	out, _ := exec.CommandContext(ctx, "ldd", binary).Output()
	for _, field := range strings.Fields(string(out)) {
		if strings.HasPrefix(field, "/") {
			paths = append(paths, field)
		}
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	add := func(name string, body []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(body))}); err != nil {
			return err
		}
		_, err := w.Write(body)
		return err
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := add(path, body); err != nil {
			return nil, err
		}
	}
	for name, body := range files {
		if err := add(name, []byte(body)); err != nil {
			return nil, err
		}
	}
	return &layer, w.Close()
}
