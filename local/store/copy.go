package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"skiff.local/skiff/local/store/journal"
)

// CopyInfo describes the last good copy of a store.
type CopyInfo struct {
	Path     string
	Time     time.Time // when it was written
	Revision int64
	Objects  int
}

func copyPath(path string) string { return path + ".good" }

// keepCopy writes the last good copy, from memory: what was loaded and checked, not what the disk gives back today. It
// is called after the committer has ended.
func (s *Store) keepCopy() error {
	if revision, err := copyRevision(copyPath(s.opts.Path)); err == nil && revision == s.state.revision {
		return nil
	}
	w, err := journal.NewWriter(copyPath(s.opts.Path), s.format)
	if err == nil {
		writeBase(w, s.state)
		w.EndBase()
		err = w.Commit()
	}
	if err != nil {
		return fmt.Errorf("keep a copy of the store: %w", err)
	}
	return nil
}

var errEnough = errors.New("read enough")

// copyRevision reads only as far as needed.
func copyRevision(path string) (revision int64, err error) {
	l := newLoader(currentFormats())
	err = journal.Read(path, journal.Handler{Format: l.setFormat, Base: func(p []byte) error {
		revision, _, err = l.dec.head(p)
		return errors.Join(err, errEnough)
	}})
	if revision > 0 {
		return revision, nil
	}
	return 0, err
}

// readCopy reads a copy whole, so that what it describes can be restored.
func readCopy(path string) (CopyInfo, error) {
	l, st, err := loadCopy(path)
	if err != nil {
		return CopyInfo{}, err
	}
	return CopyInfo{Path: path, Time: st.ModTime(), Revision: l.state.revision, Objects: l.state.tree.Len()}, nil
}

func loadCopy(path string) (*loader, fs.FileInfo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	l := newLoader(currentFormats())
	if err := journal.Read(path, l.handler()); err != nil {
		return nil, nil, err
	}
	return l, st, nil
}

// revisionGap is added to the revision of a restored store (chosen, as etcd's --bump-revision: more than can have been
// written since the copy). Without it, revisions that clients remember from the time after the copy would come a second
// time and name other changes; with it, they are compacted, and the clients list again.
const revisionGap = 1 << 30

// Restore puts the last good copy of the store at path in its place. The file that was there is kept as <path>.damaged. The
// store must not be open.
func Restore(path string) (CopyInfo, error) {
	unlock, err := journal.Lock(path)
	if err != nil {
		return CopyInfo{}, (&Options{Path: path}).openError(err)
	}
	defer unlock()
	l, st, err := loadCopy(copyPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return CopyInfo{}, fmt.Errorf("restore the store %s: %w", path, ErrNoCopy)
	}
	if err != nil {
		return CopyInfo{}, fmt.Errorf("restore the store %s: the copy can't be used: %w", path, err)
	}
	info := CopyInfo{Path: copyPath(path), Time: st.ModTime(), Revision: l.state.revision, Objects: l.state.tree.Len()}
	l.state.setBase(l.state.revision + revisionGap)
	w, err := journal.NewWriter(path, formatVersion)
	if err != nil {
		return CopyInfo{}, fmt.Errorf("restore the store: %w", err)
	}
	defer w.Abort()
	writeBase(w, l.state)
	w.EndBase()
	if err := os.Rename(path, path+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return CopyInfo{}, fmt.Errorf("restore the store: keep the damaged file: %w", err)
	}
	if err := w.Commit(); err != nil {
		return CopyInfo{}, fmt.Errorf("restore the store: %w", err)
	}
	return info, nil
}
