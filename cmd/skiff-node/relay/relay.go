//go:build linux

package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"skiff.local/skiff/cmd/skiff-node/dns"
	"skiff.local/skiff/cmd/skiff-node/policy"
	"skiff.local/skiff/local/network/relayproto"
)

// A relay is what the sessions share.
type relay struct {
	cfg      Config
	log      *slog.Logger
	instance string
	problem  string
	zone     *dns.Zone

	applying sync.Mutex  // held while an update is applied
	rules    forwarder   // guarded by applying
	state    state       // guarded by applying
	saving   *time.Timer // guarded by applying

	mu      sync.Mutex
	session *yamux.Session // the newest one that lives; guarded by mu
	arrived chan struct{}  // closed when session is set; guarded by mu
}

// A forwarder carries connections to Services' addresses to endpoints.
type forwarder interface {
	Apply(set []relayproto.Service, removed []relayproto.Key, full bool) error
	// SetNodes tells which pods are on which node.
	SetNodes(nodes map[string][]netip.Addr) error
}

// A state is everything that the relay was told, by which it goes on after a restart without the daemon.
type state struct {
	Services   map[string]relayproto.Service `json:"services"`
	Namespaces []string                      `json:"namespaces"`
	Policies   []relayproto.PodPolicy        `json:"policies"`
	Nodes      map[string][]netip.Addr       `json:"nodes,omitempty"`
	Stubs      map[string][]netip.AddrPort   `json:"stubs"`
	Hosts      map[string][]netip.Addr       `json:"hosts"`
}

// apply puts an update in force: names first, so that whoever sees a new rule can resolve it.
func (r *relay) apply(u relayproto.Update) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	r.zone.Apply(u)
	var err error
	if u.Nodes != nil {
		err = r.rules.SetNodes(u.Nodes)
		r.state.Nodes = u.Nodes
	}
	err = errors.Join(err, r.rules.Apply(u.Services, u.Removed, u.Full))
	if u.Policies != nil {
		if failed := policy.Relay(*u.Policies); failed != nil {
			err = errors.Join(err, failed)
		}
		r.state.Policies = *u.Policies
	}
	if u.Full || r.state.Services == nil {
		r.state.Services = map[string]relayproto.Service{}
	}
	for _, key := range u.Removed {
		delete(r.state.Services, key.Namespace+"/"+key.Name)
	}
	for _, s := range u.Services {
		r.state.Services[s.Namespace+"/"+s.Name] = s
	}
	if u.Namespaces != nil {
		r.state.Namespaces = u.Namespaces
	}
	if u.Stubs != nil {
		r.state.Stubs = u.Stubs
	}
	if u.Hosts != nil {
		r.state.Hosts = u.Hosts
	}
	r.saveSoonLocked()
	return err
}

// saveDelay gathers bursts of updates into one write; what is lost with the container is sent again by the daemon.
const saveDelay = time.Second

func (r *relay) saveSoonLocked() {
	if r.saving != nil || r.cfg.State == "" {
		return
	}
	r.saving = time.AfterFunc(saveDelay, func() {
		r.applying.Lock()
		r.saving = nil
		body, err := json.Marshal(r.state)
		r.applying.Unlock()
		if err == nil {
			err = replaceFile(r.cfg.State, body)
		}
		if err != nil {
			r.log.Warn("the state could not be kept", "err", err)
		}
	})
}

// restore takes up what an earlier process of this container served.
func (r *relay) restore() {
	body, err := os.ReadFile(r.cfg.State)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var kept state
	if err == nil {
		err = json.Unmarshal(body, &kept)
	}
	if err != nil {
		r.log.Warn("the state of the last run is lost", "err", err)
		return
	}
	u := relayproto.Update{Full: true, Namespaces: kept.Namespaces, Policies: &kept.Policies, Nodes: kept.Nodes, Stubs: kept.Stubs, Hosts: kept.Hosts}
	for _, s := range kept.Services {
		u.Services = append(u.Services, s)
	}
	if err := r.apply(u); err != nil {
		r.log.Warn("the state of the last run is not fully in force", "err", err)
	}
}

func replaceFile(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the directory of %s: %w", path, err)
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, body, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	return os.Rename(temp, path)
}
