package source

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"time"

	"skiff.local/skiff/watch/manifest"
)

// racy is how young a file may be when it is read before its times stop proving anything: a second write within the
// file system's clock tick leaves size and times as they were. FAT counts in 2 s, the coarsest of all; git calls such
// entries racily clean and does the same.
const racy = 2 * time.Second

// cached is what a file held when it was last read.
type cached struct {
	info   fs.FileInfo
	readAt time.Time
	data   []byte
	name   string
	result manifest.Result
}

// unchanged reports whether the file is provably the one that was read.
func (c *cached) unchanged(info fs.FileInfo) bool {
	return c.info.Size() == info.Size() && c.info.ModTime().Equal(info.ModTime()) && os.SameFile(c.info, info) &&
		c.readAt.Sub(info.ModTime()) > racy
}

// readFile reads a file, and parses it unless it holds what it held when it was known.
func readFile(at place, info fs.FileInfo, known *cached) (*cached, error) {
	readAt := time.Now()
	data, err := os.ReadFile(at.path)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if known != nil && known.name == at.name && bytes.Equal(known.data, data) {
		return &cached{info: info, readAt: readAt, data: known.data, name: known.name, result: known.result}, nil
	}
	return &cached{info: info, readAt: readAt, data: data, name: at.name, result: manifest.Parse(at.name, data)}, nil
}
