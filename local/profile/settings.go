package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const (
	settingsFile = "cluster.json"
	daemonFile   = "daemon.json"
)

// Settings are the decisions that a cluster keeps from its first start on.
type Settings struct {
	// APIPort is the TCP port of the API on loopback.
	APIPort int `json:"apiPort"`
	// APIPortFixed says that the user chose the port: another one is never taken instead.
	APIPortFixed bool `json:"apiPortFixed,omitempty"`
	// Subnet is the /16 that holds the pods (lower half) and the Services (upper half).
	Subnet netip.Prefix `json:"subnet"`
	// Nodes is how many Node objects the one engine is shown as.
	Nodes int `json:"nodes"`
	// Bind is the extra address that NodePorts listen on besides loopback; empty for none.
	Bind string `json:"bind,omitempty"`
	// Engine is the engine's address (DOCKER_HOST's form) the cluster was made on; empty for the user's default.
	Engine string `json:"engine,omitempty"`
	// Created is the time of the first start.
	Created time.Time `json:"created"`
}

// ReadSettings returns the stored settings; ok is false before the first start.
func (p *Profile) ReadSettings() (s Settings, ok bool, err error) {
	ok, err = p.readJSON(settingsFile, &s)
	return s, ok, err
}

// WriteSettings stores the settings; a crash leaves either the old or the new ones.
func (p *Profile) WriteSettings(s Settings) error { return p.writeJSON(settingsFile, s) }

// Daemon is what a running daemon tells about itself. It is a hint: only the lock proves that the daemon runs.
type Daemon struct {
	PID     int       `json:"pid"`
	URL     string    `json:"url"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Executable is the path of the binary that runs.
	Executable string `json:"executable"`
}

// ReadDaemon returns what the last daemon wrote; ok is false when none has, or it ended in order.
func (p *Profile) ReadDaemon() (d Daemon, ok bool, err error) {
	ok, err = p.readJSON(daemonFile, &d)
	return d, ok, err
}

// WriteDaemon records the running daemon.
func (p *Profile) WriteDaemon(d Daemon) error { return p.writeJSON(daemonFile, d) }

// RemoveDaemon forgets the daemon that ends in order.
func (p *Profile) RemoveDaemon() error {
	err := os.Remove(filepath.Join(p.Dir, daemonFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (p *Profile) readJSON(name string, into any) (bool, error) {
	path := filepath.Join(p.Dir, name)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read profile %q: %w", p.Name, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, fmt.Errorf("read profile %q: %s: %w (run `skiff delete -p %s` to start afresh)", p.Name, path, err, p.Name)
	}
	return true, nil
}

func (p *Profile) writeJSON(name string, from any) error {
	raw, err := json.MarshalIndent(from, "", "  ")
	if err != nil {
		return fmt.Errorf("write profile %q: %w", p.Name, err)
	}
	return WriteFile(filepath.Join(p.Dir, name), append(raw, '\n'))
}

// WriteFile replaces path with data, mode 0600, in one step: a reader or a crash sees the old file or the new one.
func WriteFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
