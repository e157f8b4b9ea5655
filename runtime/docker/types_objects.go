package docker

import (
	"net/netip"
	"time"
)

// ImageInfo is an image the engine has.
type ImageInfo struct {
	ID           string // "sha256:…"
	Tags         []string
	Digests      []string // "repo@sha256:…"
	Created      time.Time
	Size         int64 // bytes
	Architecture string
	OS           string
	Labels       map[string]string

	// The fields below are filled by InspectImage only.
	User         string
	Env          []string
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	StopSignal   string
	Volumes      []string // paths the image declares as volumes, sorted
	ExposedPorts []string // "80/tcp", sorted
}

// RegistryAuth authenticates a pull. The zero value is anonymous.
type RegistryAuth struct {
	Username      string
	Password      string
	IdentityToken string
	RegistryToken string
	ServerAddress string
}

// PullOptions says how an image is pulled.
type PullOptions struct {
	Auth     RegistryAuth
	Platform string
	// Progress is called from the pulling goroutine for every message; nil when nobody listens.
	Progress func(PullProgress)
}

// PullProgress is one message of a pull.
type PullProgress struct {
	Layer   string // short id of the layer; empty for messages about the whole image
	Status  string // "Downloading", "Extracting", "Pull complete"…
	Current int64  // bytes
	Total   int64  // bytes; 0 when unknown
}

// BuildOptions says how a context is built. The Dockerfile is in the context.
type BuildOptions struct {
	Tags       []string
	Dockerfile string
	Args       map[string]string
	Labels     map[string]string
	Target     string
	Platform   string
	NoCache    bool
	// Output is called with each line of the build's output; nil when nobody listens.
	Output func(string)
}

// ImportOptions makes an image out of a tar of a root file system.
type ImportOptions struct {
	Ref      string
	Changes  []string // Dockerfile instructions: "ENTRYPOINT …", "LABEL …"
	Platform string
}

// RemoveImageOptions says how an image is removed.
type RemoveImageOptions struct {
	Force         bool // also when stopped containers use it, or when it has several tags
	PruneChildren bool
}

// NetworkSpec is a network to create.
type NetworkSpec struct {
	Name     string
	Driver   string // "bridge" when empty
	Subnet   netip.Prefix
	IPRange  netip.Prefix // where addresses are given out; the whole subnet when invalid
	Gateway  netip.Addr
	Internal bool
	Options  map[string]string
	Labels   map[string]string
}

// Network is an existing network.
type Network struct {
	ID       string
	Name     string
	Driver   string
	Subnets  []netip.Prefix
	IPRanges []netip.Prefix
	Gateways []netip.Addr
	Internal bool
	Options  map[string]string
	Labels   map[string]string
	// Containers maps ids of running containers to their addresses; filled by InspectNetwork only.
	Containers map[string]netip.Addr
}

// VolumeSpec is a volume to create.
type VolumeSpec struct {
	Name    string
	Driver  string // "local" when empty
	Options map[string]string
	Labels  map[string]string
}

// Volume is an existing volume.
type Volume struct {
	Name       string
	Driver     string
	Mountpoint string // on the engine's host
	Created    time.Time
	Options    map[string]string
	Labels     map[string]string
}

// EngineInfo describes the engine and its host.
type EngineInfo struct {
	ID              string
	Name            string // the host's name
	ServerVersion   string
	OSType          string // "linux"
	OperatingSystem string
	Architecture    string // Go's name: "amd64", "arm64"
	KernelVersion   string
	Time            time.Time // the host's clock when it answered; zero when it doesn't say
	CPUs            int
	Memory          int64 // bytes
	RootDir         string
	StorageDriver   string
	LoggingDriver   string
	CgroupDriver    string // "cgroupfs", "systemd", or "none" of a rootless engine without cgroups
	CgroupVersion   int
	DefaultRuntime  string
	Runtimes        []string
	RegistryMirrors []string
	SwapLimit       bool // memory+swap limits work
	PidsLimit       bool
	CPUQuota        bool
	CPUShares       bool
	MemoryLimit     bool
	Seccomp         bool
	AppArmor        bool
	SELinux         bool
	Rootless        bool
	UserNSRemap     bool
	LiveRestore     bool
	Warnings        []string
}

// HasCgroups reports whether containers have cgroups of their own. Without, nothing limits them and nobody counts what they use.
func (i *EngineInfo) HasCgroups() bool { return i.CgroupDriver != "none" }

// Unlimited are the resources that the engine can't keep a container from using, in words.
func (i *EngineInfo) Unlimited() (names []string) {
	if !i.CPUQuota {
		names = append(names, "CPU")
	}
	if !i.MemoryLimit {
		names = append(names, "memory")
	}
	if !i.PidsLimit {
		names = append(names, "processes")
	}
	return names
}

// Features says what the engine at the other end can express.
type Features struct {
	StopWithSignal    bool // a stop may name its signal (1.42); StopContainer emulates it otherwise
	Annotations       bool // 1.43
	RecursiveReadOnly bool // 1.44
	EndpointMAC       bool // 1.44; before, a hardware address is the container's
	VolumeSubpath     bool // 1.45
	TmpfsOptions      bool // 1.46
	ImageMounts       bool // 1.48
}

// DiskUsage is what the engine's objects occupy, in bytes.
type DiskUsage struct {
	Images     int64
	Containers map[string]int64 // writable layer by container id
	Volumes    map[string]int64 // by volume name; -1 when the driver can't tell
}
