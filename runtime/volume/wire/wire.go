// Package wire is what the node and a pod's pause container say to each other: the node can't touch the engine's disk, so
// the pause process, which has every volume of its pod mounted, does the file work for it. Requests travel over the
// container's standard input, which costs about a millisecond where an exec costs eighty and an archive upload a hundred.
//
// The package is linked into the helper that runs in every pod: it imports nothing that needs reflection.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Where the pause container sees what it works on.
const (
	// VolumesDir holds one mount per volume of the pod, named like the volume.
	VolumesDir = "/skiff/volumes"
	// PodDir is the pod's own scratch volume: termination messages live here.
	PodDir = "/skiff/pod"
)

// Kind says what an Op does.
type Kind uint8

// The operations. All of them can be repeated without harm.
const (
	// Publish replaces the content of the volume directory Path by Files, atomically for a reader, in the layout of
	// Kubernetes' AtomicWriter (..data). Result.Changed says whether anything was written.
	Publish Kind = iota + 1
	// Prepare sets mode and owner of the directory Path; with GID and Recursive it gives a volume to an fsGroup.
	Prepare
	// Mkdir makes Path below the directory Root, parents included, never leaving Root through a symlink. It gets Root's mode, as
	// kubelet gives a subPath that of its volume: whoever may write to the one may write to the other.
	Mkdir
	// Touch makes the empty file Path with Mode if it isn't there.
	Touch
	// WriteFile overwrites the file Path in place, keeping its inode: the engine bind-mounts /etc/hosts and its like.
	WriteFile
	// AppendFile adds Data at the end of the file Path.
	AppendFile
	// ReadFile returns the last Limit bytes of Path.
	ReadFile
	// Usage returns bytes and inodes below Path.
	Usage
	// Stat tells what Path is; see the Is… constants.
	Stat
	// HostStat tells how much memory, disk and processes the engine's host has left; see Host.
	HostStat
	// Resolve returns in Data what Path below Root is after every symlink, relative to Root; it fails when that leaves Root.
	Resolve
	// Empty removes everything below the directory Path, and nothing that a link in it points to.
	Empty
	// Exit ends the pause process once the request is answered. For the engine this is cheaper than a signal, which it has
	// another process deliver.
	Exit
)

// What Stat answers in Result.Data.
const (
	IsMissing     = "missing"
	IsDirectory   = "directory"
	IsFile        = "file"
	IsSocket      = "socket"
	IsCharDevice  = "char-device"
	IsBlockDevice = "block-device"
	IsOther       = "other"
)

// Unset leaves an owner as it is.
const Unset int64 = -1

// An Op is one piece of file work. Which fields count depends on the Kind.
type Op struct {
	Kind  Kind
	Root  string
	Path  string
	Mode  uint32
	UID   int64 // Unset: leave
	GID   int64 // Unset: leave
	Limit int64
	Data  []byte
	Files []File
	// Recursive gives everything below Path to GID; OnMismatch only when Path itself doesn't have it yet.
	Recursive, OnMismatch bool
}

// A File of a published volume; Path is relative to the volume and may have directories.
type File struct {
	Path string
	Data []byte
	Mode uint32
	UID  int64
	GID  int64
}

// A Result answers the Op at the same index.
type Result struct {
	Err     string
	Data    []byte
	Bytes   int64
	Inodes  int64
	Changed bool
}

// MaxFrame bounds a request or an answer: a Secret or ConfigMap has at most 1 MiB, a pod can project several.
const MaxFrame = 64 << 20

var magic = [4]byte{0xff, 's', 'k', 'f'}

const headerSize = 4 + 1 + 4 + 4 + 4

// Frame kinds.
const (
	request  = 1
	response = 2
)

// ErrCorrupt is returned for bytes that are no frame. A reader may go on: the next frame is found by its magic.
var ErrCorrupt = errors.New("corrupt frame")

// AppendRequest appends one framed request to b.
func AppendRequest(b []byte, id uint32, ops []Op) []byte {
	return appendFrame(b, request, id, appendOps(nil, ops))
}

// AppendResponse appends one framed answer to b.
func AppendResponse(b []byte, id uint32, results []Result) []byte {
	return appendFrame(b, response, id, appendResults(nil, results))
}

func appendFrame(b []byte, kind byte, id uint32, payload []byte) []byte {
	b = append(b, magic[:]...)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(payload))
	return append(b, payload...)
}

// ReadRequest reads the next request, skipping bytes until one starts. started is called when a frame has begun, so that
// the caller can bound the time in which the rest must follow: a daemon that was killed in the middle of a frame must not
// swallow the next one.
func ReadRequest(r io.Reader, started func()) (id uint32, ops []Op, err error) {
	id, payload, err := readFrame(r, request, started)
	if err != nil {
		return 0, nil, err
	}
	ops, err = parseOps(payload)
	return id, ops, err
}

// ReadResponse reads answers until the one with the given id.
func ReadResponse(r io.Reader, want uint32) ([]Result, error) {
	for {
		id, payload, err := readFrame(r, response, nil)
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the pause container's answer: %w", err)
		}
		if id == want {
			return parseResults(payload)
		}
	}
}

func readFrame(r io.Reader, kind byte, started func()) (uint32, []byte, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return 0, nil, err
	}
	for matched := 0; ; {
		if head[matched] == magic[matched] {
			matched++
		} else if head[matched] == magic[0] {
			head[0], matched = magic[0], 1
		} else {
			matched = 0
		}
		if matched == len(magic) {
			break
		}
		if _, err := io.ReadFull(r, head[matched:matched+1]); err != nil {
			return 0, nil, err
		}
	}
	if started != nil {
		started()
	}
	if _, err := io.ReadFull(r, head[len(magic):]); err != nil {
		return 0, nil, err
	}
	id, size, sum := binary.BigEndian.Uint32(head[5:]), binary.BigEndian.Uint32(head[9:]), binary.BigEndian.Uint32(head[13:])
	if size > MaxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes: %w", size, ErrCorrupt)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	if head[4] != kind || crc32.ChecksumIEEE(payload) != sum {
		return 0, nil, ErrCorrupt
	}
	return id, payload, nil
}
