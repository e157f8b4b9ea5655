package store

import (
	"fmt"
	"io"
	"os"

	"skiff.local/skiff/local/store/journal"
)

// decoders read the payloads of one format.
type decoders struct {
	head  func([]byte) (revision int64, objects int, err error)
	base  func([]byte, func(record) error) error
	batch func([]byte, func(r record, at int64) error) error
}

// formats are the formats that can be read. The current one is written; a file of another is copied, then rewritten, when
// it is opened.
type formats struct {
	current uint32
	known   map[uint32]decoders
}

func currentFormats() formats {
	return formats{
		current: formatVersion,
		known: map[uint32]decoders{
			1: {head: decodeHead, base: decodeBase, batch: decodeBatch},
		},
	}
}

// loader builds a state from what a journal holds, and checks that it makes sense.
type loader struct {
	formats formats
	format  uint32
	dec     decoders
	state   *state
	objects int // that the base shall have
	headed  bool
}

func newLoader(f formats) *loader { return &loader{formats: f, state: newState()} }

func (l *loader) handler() journal.Handler {
	return journal.Handler{Format: l.setFormat, Base: l.base, EndBase: l.endBase, Batch: l.batch}
}

func (l *loader) setFormat(format uint32) error {
	d, ok := l.formats.known[format]
	if !ok {
		return &journal.FormatError{Format: format}
	}
	l.format, l.dec = format, d
	return nil
}

func (l *loader) base(payload []byte) (err error) {
	if !l.headed {
		l.headed = true
		l.state.revision, l.objects, err = l.dec.head(payload)
		l.state.setBase(l.state.revision)
		return err
	}
	return l.dec.base(payload, l.state.load)
}

func (l *loader) endBase() error {
	if n := l.state.tree.Len(); !l.headed || n != l.objects {
		return fmt.Errorf("the base has %d objects instead of %d", n, l.objects)
	}
	return nil
}

func (l *loader) batch(payload []byte) error { return l.dec.batch(payload, l.state.replay) }

// upgrade brings a file of an older format to the current one, after copying it to <path>.v<format>.
func (s *Store) upgrade(l *loader) error {
	if l.format == l.formats.current {
		return nil
	}
	backup := fmt.Sprintf("%s.v%d", s.opts.Path, l.format)
	if err := copyFile(s.opts.Path, backup); err != nil {
		return fmt.Errorf("copy the store before its upgrade to format %d: %w", l.formats.current, err)
	}
	since := s.journal.Size()
	w, err := journal.NewWriter(s.opts.Path, s.format)
	if err != nil {
		return err
	}
	writeState(w, s.snapshot())
	if err := s.journal.Replace(w, since); err != nil {
		return fmt.Errorf("upgrade the store to format %d (%s is a copy of what it was): %w", l.formats.current, backup, err)
	}
	s.log.Info("upgraded the store", "path", s.opts.Path, "format", l.formats.current, "copy", backup)
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	return err
}
