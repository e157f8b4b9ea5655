package docker

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
)

// The default log rotation of a container: kubelet's containerLogMaxSize and containerLogMaxFiles.
const (
	defaultLogDriver   = "json-file"
	defaultLogMaxSize  = "10m"
	defaultLogMaxFiles = "5"
)

// translateSpec is the whole of our vocabulary in the SDK's words.
func translateSpec(spec ContainerSpec) (*container.Config, *container.HostConfig, *network.NetworkingConfig, error) {
	exposed, published, err := translatePorts(spec.Ports)
	if err != nil {
		return nil, nil, nil, err
	}
	config := &container.Config{
		Hostname:     spec.Hostname,
		Domainname:   spec.Domainname,
		User:         spec.User,
		Tty:          spec.TTY,
		OpenStdin:    spec.Stdin,
		StdinOnce:    spec.StdinOnce,
		AttachStdin:  spec.Stdin,
		AttachStdout: true,
		AttachStderr: true,
		ExposedPorts: exposed,
		Env:          spec.Env,
		Cmd:          spec.Cmd,
		Entrypoint:   translateEntrypoint(spec.Entrypoint),
		Image:        spec.Image,
		WorkingDir:   spec.WorkingDir,
		Labels:       spec.Labels,
		StopSignal:   spec.StopSignal,
		// An image's HEALTHCHECK would run beside the pod's own probes and cost an exec each time.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	init := spec.Init
	host := &container.HostConfig{
		NetworkMode:    container.NetworkMode(spec.Network),
		PortBindings:   published,
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		AutoRemove:     spec.AutoRemove,
		Annotations:    spec.Annotations,
		CapAdd:         spec.CapAdd,
		CapDrop:        spec.CapDrop,
		CgroupnsMode:   container.CgroupnsMode(spec.CgroupNS),
		DNS:            spec.DNS.Servers,
		DNSOptions:     spec.DNS.Options,
		DNSSearch:      spec.DNS.Searches,
		ExtraHosts:     spec.ExtraHosts,
		GroupAdd:       spec.Groups,
		IpcMode:        container.IpcMode(spec.IPC),
		PidMode:        container.PidMode(spec.PID),
		UTSMode:        container.UTSMode(spec.UTS),
		UsernsMode:     container.UsernsMode(spec.UserNS),
		OomScoreAdj:    spec.OOMScoreAdj,
		Privileged:     spec.Privileged,
		ReadonlyRootfs: spec.ReadonlyRootfs,
		SecurityOpt:    translateSecurity(spec.Security),
		MaskedPaths:    spec.Security.MaskedPaths,
		ReadonlyPaths:  spec.Security.ReadonlyPaths,
		StorageOpt:     spec.StorageOpt,
		ShmSize:        spec.ShmSize,
		Sysctls:        spec.Sysctls,
		Runtime:        spec.Runtime,
		Init:           &init,
		LogConfig:      translateLog(spec.Log),
		Resources:      translateResources(spec.Resources),
	}
	if spec.Security.UnmaskedProc {
		// Empty, not nil: nil asks for the engine's default lists.
		host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	}
	host.Devices = translateDevices(spec.Devices)
	host.DeviceRequests = translateDeviceRequests(spec.DeviceRequests)
	for _, u := range spec.Ulimits {
		host.Ulimits = append(host.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	if host.Binds, host.Mounts, err = translateMounts(spec.Mounts); err != nil {
		return nil, nil, nil, err
	}
	return config, host, translateEndpoint(spec.Network, spec.Endpoint), nil
}

// translateEntrypoint keeps the difference between "the image's" and "none": the engine resets an image's entrypoint
// only for a list whose one element is empty.
func translateEntrypoint(entrypoint []string) []string {
	if entrypoint != nil && len(entrypoint) == 0 {
		return []string{""}
	}
	return entrypoint
}

func translateSecurity(s SecurityOptions) []string {
	var opts []string
	if s.Seccomp != "" {
		opts = append(opts, "seccomp="+s.Seccomp)
	}
	if s.AppArmor != "" {
		opts = append(opts, "apparmor="+s.AppArmor)
	}
	if s.NoNewPrivileges {
		opts = append(opts, "no-new-privileges:true")
	}
	for _, l := range []struct{ name, value string }{
		{"user", s.SELinuxUser}, {"role", s.SELinuxRole}, {"type", s.SELinuxType}, {"level", s.SELinuxLevel},
	} {
		if l.value != "" {
			opts = append(opts, "label="+l.name+":"+l.value)
		}
	}
	if s.SELinuxDisable {
		opts = append(opts, "label=disable")
	}
	return append(opts, s.Extra...)
}

func translateLog(l LogConfig) container.LogConfig {
	if l.Driver == "" {
		options := map[string]string{"max-size": defaultLogMaxSize, "max-file": defaultLogMaxFiles}
		for k, v := range l.Options {
			options[k] = v
		}
		return container.LogConfig{Type: defaultLogDriver, Config: options}
	}
	return container.LogConfig{Type: l.Driver, Config: l.Options}
}

func translateResources(r Resources) container.Resources {
	out := container.Resources{
		CPUShares:         r.CPUShares,
		CPUPeriod:         r.CPUPeriod,
		CPUQuota:          r.CPUQuota,
		CpusetCpus:        r.CpusetCPUs,
		CpusetMems:        r.CpusetMems,
		Memory:            r.Memory,
		MemorySwap:        r.MemorySwap,
		MemoryReservation: r.MemoryReserve,
		CgroupParent:      r.CgroupParent,
		BlkioWeight:       r.BlkioWeight,
	}
	if r.PidsLimit != 0 {
		limit := r.PidsLimit
		out.PidsLimit = &limit
	}
	return out
}

func translateDevices(devices []Device) []container.DeviceMapping {
	var out []container.DeviceMapping
	for _, d := range devices {
		m := container.DeviceMapping{PathOnHost: d.HostPath, PathInContainer: d.ContainerPath, CgroupPermissions: d.Permissions}
		if m.PathInContainer == "" {
			m.PathInContainer = m.PathOnHost
		}
		if m.CgroupPermissions == "" {
			m.CgroupPermissions = "rwm"
		}
		out = append(out, m)
	}
	return out
}

func translateDeviceRequests(requests []DeviceRequest) []container.DeviceRequest {
	var out []container.DeviceRequest
	for _, r := range requests {
		out = append(out, container.DeviceRequest{
			Driver: r.Driver, Count: r.Count, DeviceIDs: r.IDs, Capabilities: r.Capabilities, Options: r.Options,
		})
	}
	return out
}

func translatePorts(ports []PortBinding) (nat.PortSet, nat.PortMap, error) {
	if len(ports) == 0 {
		return nil, nil, nil
	}
	exposed, published := nat.PortSet{}, nat.PortMap{}
	for _, p := range ports {
		proto := strings.ToLower(p.Protocol)
		if proto == "" {
			proto = "tcp"
		}
		if proto != "tcp" && proto != "udp" && proto != "sctp" {
			return nil, nil, fmt.Errorf("port %d: unknown protocol %q", p.ContainerPort, p.Protocol)
		}
		port, err := nat.NewPort(proto, strconv.Itoa(int(p.ContainerPort)))
		if err != nil {
			return nil, nil, fmt.Errorf("port %d/%s: %w", p.ContainerPort, proto, err)
		}
		binding := nat.PortBinding{}
		if p.HostIP.IsValid() {
			binding.HostIP = p.HostIP.String()
		}
		if p.HostPort != 0 {
			binding.HostPort = strconv.Itoa(int(p.HostPort))
		}
		exposed[port] = struct{}{}
		published[port] = append(published[port], binding)
	}
	return exposed, published, nil
}

func translateEndpoint(networkMode string, ep Endpoint) *network.NetworkingConfig {
	if !ep.IPv4.IsValid() && !ep.IPv6.IsValid() && ep.MAC == "" && len(ep.Aliases) == 0 {
		return nil
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{networkMode: endpointSettings(ep)}}
}

func endpointSettings(ep Endpoint) *network.EndpointSettings {
	settings := &network.EndpointSettings{Aliases: ep.Aliases, MacAddress: ep.MAC}
	if ep.IPv4.IsValid() || ep.IPv6.IsValid() {
		settings.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: addrString(ep.IPv4), IPv6Address: addrString(ep.IPv6)}
	}
	return settings
}

func addrString(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
