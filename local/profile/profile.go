// Package profile is where one skiff cluster keeps itself on disk: its folder, its lock, its settings and its entry in
// the user's kubeconfig. It exists so that the daemon and every verb agree on those places without talking to each other.
package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
)

// DefaultName is the profile that is used when neither --profile nor SKIFF_PROFILE names one.
const DefaultName = "skiff"

// Environment variables that choose the folder and the profile.
const (
	EnvHome    = "SKIFF_HOME"
	EnvProfile = "SKIFF_PROFILE"
)

// nameRule follows the engine's rule for container names and Kubernetes' for node names (RFC 1123 label); 40 characters
// leave room for what skiff appends to it.
var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// ErrName is wrapped by the error for a profile name that can't be used.
var ErrName = errors.New("invalid profile name")

// Profile names the files of one cluster. The zero value is not usable; use Open.
type Profile struct {
	// Name is the profile's name, also its node's name.
	Name string
	// Dir is the absolute path of the folder that holds everything the cluster keeps.
	Dir string
}

// Home returns SKIFF_HOME, or ~/.skiff.
func Home() (string, error) {
	if home := os.Getenv(EnvHome); home != "" {
		return filepath.Abs(home)
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory (set %s to name a folder): %w", EnvHome, err)
	}
	return filepath.Join(user, ".skiff"), nil
}

// NameFromEnv returns SKIFF_PROFILE, or the default profile's name.
func NameFromEnv() string {
	if name := os.Getenv(EnvProfile); name != "" {
		return name
	}
	return DefaultName
}

// Open names the profile's files under home; it neither reads nor creates anything.
func Open(home, name string) (*Profile, error) {
	if !nameRule.MatchString(name) {
		return nil, fmt.Errorf("%w %q: use up to 40 lower-case letters, digits and dashes, starting and ending with a letter or digit", ErrName, name)
	}
	return &Profile{Name: name, Dir: filepath.Join(home, name)}, nil
}

// List returns the names of the profiles that exist under home, sorted.
func List(home string) ([]string, error) {
	entries, err := os.ReadDir(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(home, e.Name(), settingsFile)); err == nil && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// Context is the name of the profile's context, cluster and user in a kubeconfig.
func (p *Profile) Context() string {
	if p.Name == DefaultName {
		return DefaultName
	}
	return DefaultName + "-" + p.Name
}

// Command is how skiff is typed for this profile, for messages that show what to type next.
func (p *Profile) Command(verb string) string {
	if p.Name == DefaultName {
		return "skiff " + verb
	}
	return "skiff -p " + p.Name + " " + verb
}

// StorePath is the database under the API server.
func (p *Profile) StorePath() string { return filepath.Join(p.Dir, "state.db") }

// PKIDir holds the cluster's certificate authority and the keys made with it.
func (p *Profile) PKIDir() string { return filepath.Join(p.Dir, "pki") }

// LogPath is the daemon's log.
func (p *Profile) LogPath() string { return filepath.Join(p.Dir, "daemon.log") }

// IngressLogFile is the access log of Ingresses and Gateways in the profile's folder. With the suffix ".1" it is the part
// before.
const IngressLogFile = "ingress.log"

// IngressLogPath is the access log.
func (p *Profile) IngressLogPath() string { return filepath.Join(p.Dir, IngressLogFile) }

// KubeconfigPath is a complete kubeconfig for this cluster alone.
func (p *Profile) KubeconfigPath() string { return filepath.Join(p.Dir, "kubeconfig") }

// Exists tells whether the cluster was started once and not deleted since.
func (p *Profile) Exists() bool {
	_, err := os.Stat(filepath.Join(p.Dir, settingsFile))
	return err == nil
}

// MakeDir creates the profile's folder, readable by its owner alone.
func (p *Profile) MakeDir() error {
	return makeDir(p.Dir, p.Name)
}

func makeDir(path, profile string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("create the folder of profile %q: %w (set %s to a folder you can write to)", profile, err, EnvHome)
	}
	return nil
}

// Remove deletes everything the profile kept, the lock file included. The caller holds the lock.
func (p *Profile) Remove() error {
	if err := os.RemoveAll(p.Dir); err != nil {
		return fmt.Errorf("delete the folder of profile %q: %w", p.Name, err)
	}
	_ = os.Remove(p.lockPath()) // Windows doesn't remove a file that is open; an empty one is left there
	return nil
}
