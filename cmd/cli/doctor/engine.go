package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"skiff.local/skiff/cmd/cli/exit"
	"skiff.local/skiff/runtime/docker"
)

func checkEngine(ctx context.Context, p *patient) []Finding {
	settings, _, _ := p.profile.ReadSettings()
	engine, err := docker.Connect(ctx, docker.Options{Host: settings.Engine})
	if err == nil {
		p.engine = engine
		p.info, err = engine.Info(ctx)
		p.asked = time.Now()
	}
	if err != nil {
		code, message, hint := exit.Of(err)
		return []Finding{{Level: Bad, Message: message, Cure: hint, code: code}}
	}
	where := engine.Host()
	if settings.Engine != "" {
		where += " (on which the cluster was made)"
	} else if s := engine.HostSource(); s != "" {
		where += " (" + s + ")"
	}
	return one(Good, "", "Docker %s, API %s, %s on %s, %d CPUs, %.1f GB, at %s",
		p.info.ServerVersion, engine.APIVersion(), p.info.OperatingSystem, p.info.Architecture, p.info.CPUs, float64(p.info.Memory)/1e9, where)
}

func noEngine() []Finding { return one(Skipped, "", "needs an engine") }

func checkFeatures(_ context.Context, p *patient) []Finding {
	if p.info == nil {
		return noEngine()
	}
	var found []Finding
	if p.info.OSType != "linux" {
		found = append(found, Finding{Level: Bad, Message: "the engine runs " + p.info.OSType + " containers", Cure: "switch Docker Desktop to Linux containers"})
	}
	if p.info.CgroupVersion == 1 {
		found = append(found, Finding{Level: Notice, Message: "the engine's host uses cgroup v1: it works, and Kubernetes itself has ended support for it", Cure: "boot with systemd.unified_cgroup_hierarchy=1 when you can"})
	}
	if without := p.info.Unlimited(); len(without) > 0 {
		f := Finding{Level: Notice, Message: "the engine can't limit " + strings.Join(without, ", ") + ": such limits in manifests have no effect"}
		if p.info.Rootless {
			f.Cure = "a rootless engine can with cgroup v2 and systemd, which has to delegate cpu, memory and pids: https://docs.docker.com/engine/security/rootless/tips/"
		}
		found = append(found, f)
	}
	if !p.info.HasCgroups() {
		found = append(found, Finding{Level: Notice, Message: "the engine has no cgroups: `skiff top` and autoscalers learn nothing, and a node short of memory evicts by request alone"})
	}
	if !p.info.Seccomp {
		found = append(found, Finding{Level: Notice, Message: "the engine has no seccomp: containers run unconfined"})
	}
	// The engine warns about missing features in words of its own; what is said above is not said twice.
	for _, w := range p.info.Warnings {
		if strings.Contains(w, "insecure") || strings.Contains(w, "bridge-nf") {
			found = append(found, Finding{Level: Notice, Message: "the engine says: " + w})
		}
	}
	if len(found) == 0 {
		return one(Good, "", "cgroup v%d, limits and seccomp work", p.info.CgroupVersion)
	}
	return found
}

// checkSubnets looks for networks of this machine that the profile's overlap.
func checkSubnets(ctx context.Context, p *patient) []Finding {
	settings, ok, err := p.profile.ReadSettings()
	if err != nil || !ok || !settings.Subnet.IsValid() {
		return one(Good, "", "a free one is chosen at the first start")
	}
	if p.engine == nil {
		return noEngine()
	}
	own := docker.NetworkName(p.profile.Name)
	networks, err := p.engine.ListNetworks(ctx, nil)
	if err != nil {
		return one(Bad, "", "list the engine's networks: %v", err)
	}
	for _, n := range networks {
		for _, s := range n.Subnets {
			if n.Name != own && s.Overlaps(settings.Subnet) {
				return one(Bad, fmt.Sprintf("docker network rm %s, or skiff delete and skiff start --subnet ANOTHER/16", n.Name),
					"%s of this profile overlaps the engine's network %s (%s)", settings.Subnet, n.Name, s)
			}
		}
	}
	for _, s := range hostSubnets() {
		if s.Overlaps(settings.Subnet) && s.Bits() != settings.Subnet.Bits() {
			return one(Bad, "skiff delete, then skiff start --subnet ANOTHER/16", "%s of this profile overlaps %s of this machine", settings.Subnet, s)
		}
	}
	return one(Good, "", "%s overlaps nothing", settings.Subnet)
}

func hostSubnets() []netip.Prefix {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var subnets []netip.Prefix
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			subnets = append(subnets, prefix.Masked())
		}
	}
	return subnets
}

// checkNames asks what image pulls and pods depend on. Working offline is fine, so it is only worth a notice.
func checkNames(ctx context.Context, _ *patient) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, "registry-1.docker.io"); err != nil {
		return one(Notice, "local images work without it", "this machine does not resolve registry-1.docker.io: images can't be pulled from Docker Hub")
	}
	if addresses, err := net.DefaultResolver.LookupHost(ctx, "localhost"); err != nil || len(addresses) == 0 {
		return one(Bad, "add `127.0.0.1 localhost` to the hosts file", "localhost does not resolve")
	}
	return one(Good, "", "registries and localhost resolve")
}
