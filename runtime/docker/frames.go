package docker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The engine multiplexes standard output and error of a process without a terminal into frames: one byte for the
// stream, three of zero, four of big-endian length, then the bytes.
const (
	frameHeader = 8
	frameStdin  = 0
	frameStdout = 1
	frameStderr = 2
	frameError  = 3
)

// frameReader reads one stream out of the multiplexed two and hands the other one on as it comes by. It copies nothing
// more than once and allocates nothing per frame.
type frameReader struct {
	r      *bufio.Reader
	stderr io.Writer // nil drops standard error
	left   int       // bytes of the current standard output frame that were not read yet
}

func (f *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for f.left == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, cutOff(err)
}

// next reads a header and consumes frames that are not standard output's.
func (f *frameReader) next() error {
	var header [frameHeader]byte
	if _, err := io.ReadFull(f.r, header[:]); err != nil {
		return err // io.EOF between frames is the ordinary end
	}
	size := int(binary.BigEndian.Uint32(header[4:]))
	switch header[0] {
	case frameStdin, frameStdout:
		f.left = size
		return nil
	case frameStderr:
		dst := f.stderr
		if dst == nil {
			dst = io.Discard
		}
		_, err := io.CopyN(dst, f.r, int64(size))
		return cutOff(err)
	case frameError:
		text := make([]byte, min(size, 4096))
		if _, err := io.ReadFull(f.r, text); err != nil {
			return cutOff(err)
		}
		return fmt.Errorf("the engine broke off the stream: %s", text)
	default:
		return fmt.Errorf("unknown stream %d in the engine's output", header[0])
	}
}

// cutOff makes an end inside a frame visible as such.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// demultiplex copies a whole multiplexed stream to two writers; a nil writer drops its part.
func demultiplex(r io.Reader, stdout, stderr io.Writer) error {
	if stdout == nil {
		stdout = io.Discard
	}
	_, err := io.Copy(stdout, &frameReader{r: bufio.NewReaderSize(r, 32<<10), stderr: stderr})
	return err
}
