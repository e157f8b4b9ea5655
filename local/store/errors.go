package store

import (
	"errors"
	"fmt"
	"time"

	"skiff.local/skiff/local/store/journal"
)

var (
	// ErrClosed is the answer to writes after Close.
	ErrClosed = errors.New("the store is closed")
	// ErrNoSpace is the answer to writes when the disk, the quota or the limit for files is full. Reads, and what was
	// acknowledged, are not affected, and writes succeed again as soon as there is space.
	ErrNoSpace = errors.New("there is no space left for the store's file: free some space; nothing that was acknowledged is lost")
	// ErrInUse is returned when the store is open elsewhere.
	ErrInUse = errors.New("in use")
	// ErrNoCopy is returned by Restore when there is no copy to restore.
	ErrNoCopy = errors.New("there is no copy of the store")
)

// DamagedError is returned by Open when the store's file is not what was written to it. Its text is for the user: what
// is wrong and what to do.
type DamagedError struct {
	Path   string
	Reason error
	// Copy describes the last good copy, nil when there is none that could be restored.
	Copy *CopyInfo
	// RestoreCommand is the caller's, see Options.
	RestoreCommand string
}

func (e *DamagedError) Error() string {
	var advice string
	switch {
	case e.Copy == nil:
		advice = "there is no good copy of it"
	case e.RestoreCommand == "":
		advice = fmt.Sprintf("its last good copy is %s of %s", e.Copy.Path, e.Copy.Time.Format(time.DateTime))
	default:
		advice = fmt.Sprintf("its last good copy is of %s; to put it back: %s", e.Copy.Time.Format(time.DateTime), e.RestoreCommand)
	}
	return fmt.Sprintf("the store can't be used: %v; %s", e.Reason, advice)
}

func (e *DamagedError) Unwrap() error { return e.Reason }

// FormatError is returned by Open for a store that a newer version wrote.
type FormatError struct {
	Path          string
	Format, Known uint32
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("the store %s was written by a newer version (format %d, this one knows up to %d): use that version", e.Path, e.Format, e.Known)
}

// openError gives the journal's errors the store's names.
func (o *Options) openError(err error) error {
	var damage *journal.DamageError
	var format *journal.FormatError
	switch {
	case errors.As(err, &damage):
		d := &DamagedError{Path: o.Path, Reason: err, RestoreCommand: o.RestoreCommand}
		if c, cerr := readCopy(copyPath(o.Path)); cerr == nil {
			d.Copy = &c
		}
		return d
	case errors.As(err, &format):
		return &FormatError{Path: o.Path, Format: format.Format, Known: formatVersion}
	case errors.Is(err, journal.ErrInUse):
		return fmt.Errorf("the store %s is %w by another process", o.Path, ErrInUse)
	}
	return fmt.Errorf("open store: %w", err)
}

// writeError says what is known of a failed write.
func writeError(err error) error {
	if isNoSpace(err) {
		return fmt.Errorf("%w (%w)", ErrNoSpace, err)
	}
	return fmt.Errorf("the store can't be written, nothing that was acknowledged is lost: %w", err)
}
