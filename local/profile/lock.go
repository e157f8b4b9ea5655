package profile

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrRunning is returned by Lock when a daemon of the profile holds the lock.
var ErrRunning = errors.New("another daemon of this profile is running")

// Lock takes the profile for this process, or fails with ErrRunning. The operating system releases it however the
// process ends, so there is no stale lock to clean up.
func (p *Profile) Lock() (release func(), err error) {
	if err := p.MakeDir(); err != nil {
		return nil, err
	}
	lock := p.flock()
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock profile %q: %w", p.Name, err)
	}
	if !held {
		return nil, fmt.Errorf("profile %q: %w", p.Name, ErrRunning)
	}
	return func() { _ = lock.Unlock() }, nil
}

// Running tells whether a daemon holds the lock.
func (p *Profile) Running() bool {
	lock := p.flock()
	held, err := lock.TryRLock()
	if err != nil {
		return false // no folder yet, so no daemon
	}
	if held {
		_ = lock.Unlock()
	}
	return !held
}

// The lock file lies beside the folder, so that deleting the folder under the lock leaves no second, unlocked file.
func (p *Profile) flock() *flock.Flock {
	return flock.New(filepath.Join(filepath.Dir(p.Dir), "."+p.Name+".lock"))
}
