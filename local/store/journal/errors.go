package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrInUse is returned by Open when another process, or another Journal of this one, has the file open.
	ErrInUse = errors.New("in use")
	// ErrBroken is returned by Append when an earlier append failed and its remains could not be cut off. Each Append
	// tries again to cut them off first.
	ErrBroken = errors.New("an earlier failed write could not be undone")
)

// DamageError says that the file is not what was written to it.
type DamageError struct {
	Path   string
	Offset int64  // where reading stopped
	Reason string // what is wrong there
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.Path, e.Offset, e.Reason)
}

// FormatError says that the file has a format that the reader does not know.
type FormatError struct {
	Path   string
	Format uint32
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d, which this version does not know", e.Path, e.Format)
}
