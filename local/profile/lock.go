package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrRunning is returned by Lock when a daemon of the profile holds the lock.
var ErrRunning = errors.New("another daemon of this profile is running")

// Lock takes the profile for this process, or fails with ErrRunning. The operating system releases it however the
// process ends, so there is no stale lock to clean up.
func (p *Profile) Lock() (release func(), err error) {
	if err := makeDir(filepath.Dir(p.Dir), p.Name); err != nil {
		return nil, err
	}
	for {
		lock := flock.New(p.lockPath())
		held, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock profile %q: %w", p.Name, err)
		}
		if held && !p.isLockFile(lock) {
			_ = lock.Unlock() // of a profile that was deleted meanwhile
			continue
		}
		if held {
			if err := p.MakeDir(); err != nil { // under the lock: whoever deletes the profile holds it too
				_ = lock.Unlock()
				return nil, err
			}
			return func() { _ = lock.Unlock() }, nil
		}
		if p.Running() {
			return nil, fmt.Errorf("profile %q: %w", p.Name, ErrRunning)
		}
		// It was a question of Running that held it, shared and for a moment.
	}
}

// Running tells whether a daemon holds the lock.
func (p *Profile) Running() bool {
	lock := flock.New(p.lockPath(), flock.SetFlag(os.O_RDONLY)) // asking creates nothing
	held, err := lock.TryRLock()
	if err != nil {
		return false // no lock file yet, so no daemon
	}
	if held {
		_ = lock.Unlock()
	}
	return !held
}

// isLockFile tells whether the file that is held is still the one that others find.
func (p *Profile) isLockFile(held *flock.Flock) bool {
	own, err := held.Stat()
	found, foundErr := os.Stat(p.lockPath())
	return err == nil && foundErr == nil && os.SameFile(own, found)
}

// lockPath lies beside the folder, so that it can be held until all of the folder is deleted.
func (p *Profile) lockPath() string {
	return filepath.Join(filepath.Dir(p.Dir), "."+p.Name+".lock")
}
