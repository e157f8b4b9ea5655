package env

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"skiff.local/skiff/local/profile"
)

// currentFile, below SKIFF_HOME, holds what `skiff profile use` chose.
const currentFile = "current-profile"

// DefaultProfile is the profile that verbs use when no flag names one: SKIFF_PROFILE, else what `skiff profile use`
// chose, else the default.
func DefaultProfile() string {
	if os.Getenv(profile.EnvProfile) != "" {
		return profile.NameFromEnv()
	}
	home, err := profile.Home()
	if err != nil {
		return profile.DefaultName
	}
	raw, err := os.ReadFile(filepath.Join(home, currentFile))
	if name := strings.TrimSpace(string(raw)); err == nil && name != "" {
		return name
	}
	return profile.DefaultName
}

// UseProfile makes a profile the one that verbs use; the default's name takes the choice back.
func UseProfile(home, name string) error {
	path := filepath.Join(home, currentFile)
	if name == profile.DefaultName {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("choose profile %q: %w", name, err)
		}
		return nil
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("choose profile %q: %w", name, err)
	}
	return profile.WriteFile(path, []byte(name+"\n"))
}
