package docker

import (
	"io/fs"
	"net/netip"
	"time"
)

// ContainerSpec is everything that can be said about a container before it exists. The zero value of a field leaves the
// choice to the engine or the image.
type ContainerSpec struct {
	Name  string
	Image string
	// Platform ("linux/arm64") selects one variant of a multi-platform image.
	Platform string

	// Entrypoint replaces the image's entrypoint and, as the engine has it, drops the image's Cmd as well. An empty
	// non-nil Entrypoint clears the image's.
	Entrypoint []string
	Cmd        []string
	Env        []string // "KEY=value"; on top of the image's
	WorkingDir string
	User       string   // "uid", "uid:gid" or a name that the image knows
	Groups     []string // supplemental groups
	Labels     map[string]string
	// Annotations reach the OCI runtime; engines before API 1.43 ignore them.
	Annotations map[string]string

	TTY       bool
	Stdin     bool // keep standard input open
	StdinOnce bool // close it when the first attached client leaves

	StopSignal string // "SIGTERM", "15"; the image's when empty
	// Init runs the engine's init as pid 1. False switches it off even where the engine's configuration says
	// otherwise: a pod's containers must see their own command as pid 1.
	Init bool

	// Network is "none", "host", a network's name or id, or ContainerMode(id). The fields below it apply only to a
	// container that has a network namespace of its own: the engine refuses them on a joined one.
	Network     string
	Endpoint    Endpoint
	Ports       []PortBinding
	Hostname    string
	Domainname  string
	DNS         DNSConfig
	ExtraHosts  []string // "name:ip"
	IPC         string   // "", "none", "private", "shareable", "host", ContainerMode(id)
	PID         string   // "", "host", ContainerMode(id)
	UTS         string   // "", "host"
	UserNS      string   // "", "host"
	CgroupNS    string   // "", "private", "host"
	Sysctls     map[string]string
	ShmSize     int64 // bytes; 0 is the engine's default of 64 MiB
	OOMScoreAdj int

	Privileged     bool
	ReadonlyRootfs bool
	CapAdd         []string
	CapDrop        []string
	Security       SecurityOptions
	Devices        []Device
	DeviceRequests []DeviceRequest
	Ulimits        []Ulimit
	// StorageOpt goes to the storage driver, e.g. {"size": "10G"} where it supports a quota.
	StorageOpt map[string]string
	Runtime    string // OCI runtime; the engine's default when empty

	Resources Resources
	Mounts    []Mount
	Log       LogConfig

	// AutoRemove lets the engine remove the container when it ends: only for chores, a pod's containers must stay
	// readable.
	AutoRemove bool
}

// ContainerMode is the value of a namespace field (network, pid, ipc) that joins the namespace of another container.
func ContainerMode(id string) string { return "container:" + id }

// Endpoint is how a container sits on its network.
type Endpoint struct {
	IPv4    netip.Addr // a static address; the network's IPAM chooses when invalid
	IPv6    netip.Addr
	MAC     string   // a fixed hardware address; the engine chooses when empty, from 28.0 on anew at every start
	Aliases []string // names that the engine's DNS answers on this network
}

// PortBinding publishes a port of the container on the engine's host.
type PortBinding struct {
	ContainerPort uint16
	Protocol      string // "tcp" when empty
	HostIP        netip.Addr
	HostPort      uint16 // 0 lets the engine choose
}

// DNSConfig becomes the container's resolv.conf.
type DNSConfig struct {
	Servers  []string
	Searches []string
	Options  []string
}

// SecurityOptions are the engine's security options, each absent by default. Absent means the engine's own default
// profile, never unconfined.
type SecurityOptions struct {
	// Seccomp is "unconfined" or the JSON text of a profile.
	Seccomp string
	// AppArmor is "unconfined" or the name of a profile loaded on the engine's host.
	AppArmor        string
	NoNewPrivileges bool
	// SELinux options: user, role, type, level. Empty entries are left out.
	SELinuxUser, SELinuxRole, SELinuxType, SELinuxLevel string
	SELinuxDisable                                      bool
	// UnmaskedProc leaves /proc and /sys unmasked and writable (procMount: Unmasked).
	UnmaskedProc bool
	// MaskedPaths and ReadonlyPaths replace the engine's lists when not nil.
	MaskedPaths   []string
	ReadonlyPaths []string
	// Extra options as the engine takes them, e.g. "systempaths=unconfined".
	Extra []string
}

// Device gives a device of the engine's host to the container.
type Device struct {
	HostPath      string
	ContainerPath string
	Permissions   string // "rwm" when empty
}

// DeviceRequest asks a device driver (GPUs, CDI) for devices.
type DeviceRequest struct {
	Driver       string
	Count        int // -1 is all of them
	IDs          []string
	Capabilities [][]string
	Options      map[string]string
}

// Ulimit is one resource limit of the container's processes.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Resources are the cgroup settings of a container. Zero leaves a setting alone.
type Resources struct {
	CPUShares     int64
	CPUPeriod     int64 // microseconds
	CPUQuota      int64 // microseconds per period; -1 is unlimited
	CpusetCPUs    string
	CpusetMems    string
	Memory        int64 // bytes
	MemorySwap    int64 // memory plus swap in bytes; equal to Memory means no swap, -1 unlimited
	MemoryReserve int64
	PidsLimit     int64 // -1 is unlimited
	CgroupParent  string
	BlkioWeight   uint16
}

// MountType says what a mount's Source is.
type MountType string

// The kinds of mounts.
const (
	MountBind   MountType = "bind"
	MountVolume MountType = "volume"
	MountTmpfs  MountType = "tmpfs"
	// MountImage mounts an image's file system read-only; see Features.ImageMounts.
	MountImage MountType = "image"
)

// Mount is one mount of a container.
type Mount struct {
	Type     MountType
	Source   string // a path on the engine's host, a volume's name or an image
	Target   string
	ReadOnly bool
	// RecursiveReadOnly refuses to start unless all submounts are read-only too (bind; Features.RecursiveReadOnly).
	RecursiveReadOnly bool
	Propagation       string // "private", "rslave", "rshared"…; bind only
	// CreateSource makes a missing directory on the engine's host (bind only); without it the engine refuses.
	CreateSource bool
	NonRecursive bool
	// Subpath mounts a part of a volume or an image; see Features.VolumeSubpath.
	Subpath string
	// NoCopy keeps the engine from filling an empty volume with what the image has at Target.
	NoCopy bool

	TmpfsSize int64 // bytes; 0 is half of the memory, as the kernel has it
	TmpfsMode fs.FileMode
	// TmpfsOptions are further mount options ("exec", "uid=1000"); see Features.TmpfsOptions.
	TmpfsOptions []string
}

// LogConfig chooses where the engine keeps a container's output. The zero value is a rotated json-file, which Logs can
// read back whatever driver the engine has as its default.
type LogConfig struct {
	Driver  string
	Options map[string]string
}

// ContainerStatus is the engine's one-word state of a container.
type ContainerStatus string

// The engine's states.
const (
	StatusCreated    ContainerStatus = "created"
	StatusRunning    ContainerStatus = "running"
	StatusPaused     ContainerStatus = "paused"
	StatusRestarting ContainerStatus = "restarting"
	StatusRemoving   ContainerStatus = "removing"
	StatusExited     ContainerStatus = "exited"
	StatusDead       ContainerStatus = "dead"
)

// ContainerState is what the engine knows about a container's process.
type ContainerState struct {
	Status     ContainerStatus
	Running    bool // also true while paused
	Paused     bool
	OOMKilled  bool
	Pid        int // in the engine host's pid namespace
	ExitCode   int
	Error      string // why the last start failed
	StartedAt  time.Time
	FinishedAt time.Time
}

// Container is one container as inspected.
type Container struct {
	ID      string
	Name    string // without the engine's leading slash
	Image   string // the reference it was created with
	ImageID string
	Created time.Time
	Labels  map[string]string
	State   ContainerState

	Entrypoint  []string
	Cmd         []string
	Env         []string
	User        string
	Hostname    string
	WorkingDir  string
	TTY         bool
	Stdin       bool
	StopSignal  string
	NetworkMode string
	PIDMode     string
	IPCMode     string
	Resources   Resources
	OOMScoreAdj int
	Networks    map[string]EndpointState // by network name
	Mounts      []MountState
	LogPath     string // on the engine's host
	LogDriver   string
}

// IP is the container's IPv4 address on the named network, or on its only one when network is empty. It is invalid
// while the container does not run.
func (c *Container) IP(network string) netip.Addr { return endpointIP(c.Networks, network) }

// ContainerSummary is one line of a list: enough to find and to compare, without the exit code.
type ContainerSummary struct {
	ID          string
	Name        string
	Image       string
	ImageID     string
	Created     time.Time
	Labels      map[string]string
	Status      ContainerStatus
	NetworkMode string
	Networks    map[string]EndpointState
	Mounts      []MountState
}

// IP is the container's IPv4 address on the named network, or on its only one when network is empty.
func (c *ContainerSummary) IP(network string) netip.Addr { return endpointIP(c.Networks, network) }

func endpointIP(endpoints map[string]EndpointState, network string) netip.Addr {
	if network == "" && len(endpoints) == 1 {
		for _, ep := range endpoints {
			return ep.IPv4
		}
	}
	return endpoints[network].IPv4
}

// EndpointState is where a container sits on a network.
type EndpointState struct {
	NetworkID string
	IPv4      netip.Addr
	IPv6      netip.Addr
	Gateway   netip.Addr
	MAC       string
}

// MountState is one mount of an existing container.
type MountState struct {
	Type     MountType
	Name     string // of the volume
	Source   string
	Target   string
	ReadOnly bool
}

// StopOptions says how a container is asked to stop.
type StopOptions struct {
	// Signal is sent first; the container's own stop signal when empty.
	Signal string
	// Grace is the time until SIGKILL, at the engine's precision of a second (rounded up). Zero kills at once.
	Grace time.Duration
}

// RemoveOptions says what goes with a container.
type RemoveOptions struct {
	Force   bool // kill it when it runs
	Volumes bool // and its anonymous volumes
}

// ListOptions narrows a list by labels; an empty value asks only for the label's presence.
type ListOptions struct {
	Labels map[string]string
	// RunningOnly leaves out containers that do not run; by default all are listed.
	RunningOnly bool
}

// WaitCondition is what WaitContainer waits for.
type WaitCondition string

// The engine's wait conditions.
const (
	// WaitNotRunning returns at once for a container that was created and never started.
	WaitNotRunning WaitCondition = "not-running"
	WaitNextExit   WaitCondition = "next-exit"
	WaitRemoved    WaitCondition = "removed"
)

// FileStat describes a path in a container.
type FileStat struct {
	Name       string
	Size       int64
	Mode       fs.FileMode
	ModTime    time.Time
	LinkTarget string
}

// CopyOptions says how a tar is unpacked into a container.
type CopyOptions struct {
	// KeepOwner applies the numeric owners of the tar's entries; without it everything belongs to root.
	KeepOwner bool
	// AllowOverwrite lets a file replace a directory and a directory a file.
	AllowOverwrite bool
}

// Stats is one sample of a container's usage. Counters are cumulative since the container started.
type Stats struct {
	Read              time.Time
	CPUNanos          uint64
	CPUThrottledNanos uint64
	MemoryUsage       uint64 // as the cgroup counts it, page cache included
	MemoryWorkingSet  uint64 // usage minus inactive file pages, cAdvisor's definition
	MemoryRSS         uint64
	MemoryLimit       uint64
	PageFaults        uint64
	MajorPageFaults   uint64
	Pids              uint64
	Networks          map[string]NetworkStats // by interface; empty on a joined container
	BlockReadBytes    uint64
	BlockWriteBytes   uint64
}

// NetworkStats counts one interface.
type NetworkStats struct {
	RxBytes, RxErrors, TxBytes, TxErrors uint64
}
