package client

import (
	"net/netip"
	"time"
)

// ControlPath is the prefix under which the daemon serves its own requests, on the API server's port and behind its
// authentication: the kubeconfig is the only key to both.
const ControlPath = "/skiff/v1/"

// Phase names a step of a start, in the order in which they usually end.
type Phase string

// The phases of a start.
const (
	PhaseEngine  Phase = "engine"  // the Docker Engine answers
	PhaseStore   Phase = "store"   // the database is open
	PhaseAPI     Phase = "api"     // the API acknowledges writes
	PhaseNetwork Phase = "network" // the relay runs
	PhaseDNS     Phase = "dns"     // the cluster's DNS answers
	PhaseReady   Phase = "ready"   // all of the above
)

// Event is one line that a starting daemon writes to its standard output, as JSON.
type Event struct {
	Phase   Phase         `json:"phase,omitempty"`
	Message string        `json:"message,omitempty"`
	Elapsed time.Duration `json:"elapsed"` // since the daemon's process started
	Failure *Failure      `json:"failure,omitempty"`
}

// Reason classifies a failure for exit codes and scripts.
type Reason string

// The reasons a start, a stop or a request can fail for.
const (
	ReasonInternal         Reason = "Internal"
	ReasonNoEngine         Reason = "NoEngine"
	ReasonEnginePermission Reason = "EnginePermission"
	ReasonEngineTooOld     Reason = "EngineTooOld"
	ReasonPortInUse        Reason = "PortInUse"
	ReasonHome             Reason = "HomeUnusable"
	ReasonAlreadyRunning   Reason = "AlreadyRunning"
	ReasonNotRunning       Reason = "NotRunning"
	ReasonStoreDamaged     Reason = "StoreDamaged"
	ReasonInvalid          Reason = "Invalid"
	ReasonTimeout          Reason = "Timeout"
	ReasonNotFound         Reason = "NotFound"
	ReasonUnscheduled      Reason = "Unscheduled"
	// ReasonProgram is for a daemon's program that is missing, or of another release than skiff.
	ReasonProgram Reason = "Program"
)

// Failure is an error that crosses from the daemon to a verb: what happened, and the next thing to try.
type Failure struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (f *Failure) Error() string { return f.Message }

// Status is what `skiff status` shows and `-o json` prints.
type Status struct {
	Profile string `json:"profile"`
	Context string `json:"context"`
	Running bool   `json:"running"`
	// Left are the containers that there are although no daemon runs; nil when there are none, or nobody can tell.
	Left     *LeftContainers `json:"left,omitempty"`
	Daemon   *DaemonStatus   `json:"daemon,omitempty"`
	API      APIStatus       `json:"api"`
	Engine   EngineStatus    `json:"engine"`
	Network  NetworkStatus   `json:"network"`
	Store    StoreStatus     `json:"store"`
	Versions Versions        `json:"versions"`
	Nodes    []string        `json:"nodes,omitempty"`
	Pods     PodCounts       `json:"pods"`
	Services []ServiceStatus `json:"services,omitempty"`
	Sets     []SetStatus     `json:"sets,omitempty"`
	// Problems is everything that is not well; empty when all is.
	Problems []Problem `json:"problems"`
}

// DaemonStatus describes the daemon's process.
type DaemonStatus struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// RSS is the resident memory in bytes; 0 where the system does not tell.
	RSS     uint64 `json:"rss,omitempty"`
	LogFile string `json:"logFile"`
}

// APIStatus describes the Kubernetes API.
type APIStatus struct {
	URL   string `json:"url,omitempty"`
	Ready bool   `json:"ready"`
}

// EngineStatus describes the Docker Engine.
type EngineStatus struct {
	Host  string `json:"host,omitempty"`
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
	// Rootless is an engine that runs without root.
	Rootless bool `json:"rootless,omitempty"`
	// Unlimited are the resources whose limits it does not enforce.
	Unlimited []string `json:"unlimited,omitempty"`
}

// NetworkStatus describes the pod network.
type NetworkStatus struct {
	Subnet netip.Prefix `json:"subnet"`
	Relay  string       `json:"relay,omitempty"` // running, starting, or what is wrong
	DNS    bool         `json:"dns"`
	// Mode tells how ClusterIPs are carried: nftables or userspace.
	Mode string `json:"mode,omitempty"`
	// HTTP and HTTPS are the ports on which Ingresses answer; 0 when there are none.
	HTTP  uint16 `json:"http,omitempty"`
	HTTPS uint16 `json:"https,omitempty"`
}

// StoreStatus describes the database under the API.
type StoreStatus struct {
	Revision int64 `json:"revision"`
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
}

// Versions are those of the daemon and of what it stands on.
type Versions struct {
	Skiff      string `json:"skiff"`
	Kubernetes string `json:"kubernetes"`
	Engine     string `json:"engine,omitempty"`
	EngineAPI  string `json:"engineAPI,omitempty"`
}

// PodCounts sums the pods of all namespaces.
type PodCounts struct {
	Total     int `json:"total"`
	Ready     int `json:"ready"`
	Completed int `json:"completed"`
}

// ServiceStatus is one Service, Ingress or route of the Gateway API that answers on localhost.
type ServiceStatus struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	URLs      []string `json:"urls"`
	// To are the URLs that an Ingress or a route leads on to a Service from, by the Service's "namespace/name".
	To      map[string][]string `json:"to,omitempty"`
	Problem string              `json:"problem,omitempty"`
}

// LeftContainers counts what a daemon that ended has left in the engine: frozen by a pause, or running on.
type LeftContainers struct {
	Running int `json:"running"`
	Paused  int `json:"paused"`
}

// Problem is one thing that is not well, with what to do about it.
type Problem struct {
	Object  string `json:"object"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Image is the image that a pod waits for, and Owner what made the pod: Kind/name. Either may be empty.
	Image string `json:"image,omitempty"`
	Owner string `json:"owner,omitempty"`
}

// SetSpec is a set of manifests that the daemon watches.
type SetSpec struct {
	// Name is unique in the cluster; empty lets the daemon derive it from the sources.
	Name string `json:"name,omitempty"`
	// Sources are absolute paths.
	Sources   []string `json:"sources"`
	Namespace string   `json:"namespace,omitempty"`
	Prune     string   `json:"prune,omitempty"`
}

// SetStatus is how a watched set is doing.
type SetStatus struct {
	SetSpec
	Objects int       `json:"objects"`
	Synced  time.Time `json:"synced,omitempty"`
	// Errors are the lines that the last pass could not apply.
	Errors []string `json:"errors,omitempty"`
}

// StopRequest asks the daemon to end.
type StopRequest struct {
	// KeepPods leaves the pods' containers and the relay running; the next start adopts them.
	KeepPods bool `json:"keepPods,omitempty"`
	// Now kills containers instead of waiting for their grace periods.
	Now bool `json:"now,omitempty"`
}
