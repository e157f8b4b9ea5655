package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The default log rotation of a container: kubelet's containerLogMaxSize and containerLogMaxFiles.
const (
	defaultLogDriver   = "json-file"
	defaultLogMaxSize  = "10m"
	defaultLogMaxFiles = "5"
)

// CreateContainer creates a container and returns its id. A missing image is ErrNotFound and ErrNoImage, a taken name
// ErrConflict, and something this engine can't express ErrUnsupported (before anything is created).
func (e *Engine) CreateContainer(ctx context.Context, spec ContainerSpec) (string, error) {
	const op = "create container"
	if err := e.checkSpec(spec); err != nil {
		return "", err
	}
	config, host, networking, err := translateSpec(spec)
	if err != nil {
		return "", &Error{Op: op, Object: spec.Name, Kind: ErrInvalid, Text: err.Error(), Err: err}
	}
	platform, err := parsePlatform(spec.Platform)
	if err != nil {
		return "", &Error{Op: op, Object: spec.Name, Kind: ErrInvalid, Text: err.Error(), Err: err}
	}
	if mac := spec.Endpoint.MAC; mac != "" && !e.features.EndpointMAC {
		config.MacAddress = mac //nolint:staticcheck // what replaces it is younger
		networking.EndpointsConfig[spec.Network].MacAddress = ""
	}
	resp, err := e.cli.ContainerCreate(ctx, config, host, networking, platform, spec.Name)
	if err != nil {
		err = e.convert(err, op, spec.Name)
		// The image is the only thing that create looks up by name and reports as missing: volumes are made, and
		// networks and joined containers are looked up at start.
		var ours *Error
		if errors.As(err, &ours) && ours.Kind == ErrNotFound {
			ours.Also = ErrNoImage
			ours.Advice = "build or pull " + spec.Image + ", or check its name and tag with `docker images`"
		}
		return "", err
	}
	return resp.ID, nil
}

// checkSpec refuses what the engine would silently ignore or misread because it is too old.
func (e *Engine) checkSpec(spec ContainerSpec) error {
	const op = "create container"
	for _, m := range spec.Mounts {
		switch {
		case m.Type == MountImage && !e.features.ImageMounts:
			return e.unsupported(op, spec.Name, "an image volume", "1.48")
		case m.Subpath != "" && !e.features.VolumeSubpath:
			return e.unsupported(op, spec.Name, "a volume's subpath", "1.45")
		case len(m.TmpfsOptions) > 0 && !e.features.TmpfsOptions:
			return e.unsupported(op, spec.Name, "a tmpfs option", "1.46")
		case m.RecursiveReadOnly && !e.features.RecursiveReadOnly:
			return e.unsupported(op, spec.Name, "a recursive read-only mount", "1.44")
		}
	}
	return nil
}

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

// translateMounts sorts mounts into the engine's two lists. The older list, Binds, is used only for a bind mount that
// may create its source: every engine does that there, while the newer list can since API 1.42 only.
func translateMounts(mounts []Mount) (binds []string, out []mount.Mount, err error) {
	for _, m := range mounts {
		if m.Type == MountBind && m.CreateSource {
			bind, err := bindString(m)
			if err != nil {
				return nil, nil, err
			}
			binds = append(binds, bind)
			continue
		}
		translated, err := translateMount(m)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, translated)
	}
	return binds, out, nil
}

func bindString(m Mount) (string, error) {
	if strings.Contains(m.Source, ":") || strings.Contains(m.Target, ":") {
		return "", fmt.Errorf("mount %s at %s: a path with a colon can't be created on the engine's host", m.Source, m.Target)
	}
	options := []string{"rw"}
	if m.ReadOnly {
		options[0] = "ro"
	}
	if m.Propagation != "" {
		options = append(options, m.Propagation)
	}
	return m.Source + ":" + m.Target + ":" + strings.Join(options, ","), nil
}

func translateMount(m Mount) (mount.Mount, error) {
	out := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly || m.RecursiveReadOnly}
	switch m.Type {
	case MountBind:
		if m.Propagation != "" || m.NonRecursive || m.RecursiveReadOnly {
			out.BindOptions = &mount.BindOptions{
				Propagation:            mount.Propagation(m.Propagation),
				NonRecursive:           m.NonRecursive,
				ReadOnlyForceRecursive: m.RecursiveReadOnly,
			}
		}
	case MountVolume:
		if m.NoCopy || m.Subpath != "" {
			out.VolumeOptions = &mount.VolumeOptions{NoCopy: m.NoCopy, Subpath: m.Subpath}
		}
	case MountTmpfs:
		out.Source = ""
		out.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: m.TmpfsSize, Mode: m.TmpfsMode}
		for _, option := range m.TmpfsOptions {
			key, value, hasValue := strings.Cut(option, "=")
			if hasValue {
				out.TmpfsOptions.Options = append(out.TmpfsOptions.Options, []string{key, value})
			} else {
				out.TmpfsOptions.Options = append(out.TmpfsOptions.Options, []string{key})
			}
		}
	case MountImage:
		if m.Subpath != "" {
			out.ImageOptions = &mount.ImageOptions{Subpath: m.Subpath}
		}
	default:
		return out, fmt.Errorf("mount at %s: unknown type %q", m.Target, m.Type)
	}
	return out, nil
}

func parsePlatform(s string) (*ocispec.Platform, error) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return nil, fmt.Errorf("platform %q is not of the form os/architecture[/variant]", s)
	}
	platform := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		platform.Variant = parts[2]
	}
	return platform, nil
}
