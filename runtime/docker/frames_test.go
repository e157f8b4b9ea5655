package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func frame(stream byte, data string) []byte {
	header := [frameHeader]byte{0: stream}
	binary.BigEndian.PutUint32(header[4:], uint32(len(data)))
	return append(header[:], data...)
}

func TestFramesAreTakenApart(t *testing.T) {
	input := bytes.Join([][]byte{frame(1, "one"), frame(2, "err"), frame(1, ""), frame(1, "two"), frame(2, "")}, nil)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(input), "by byte": iotest.OneByteReader(bytes.NewReader(input)), "end with data": iotest.DataErrReader(bytes.NewReader(input)),
	} {
		var out, errs bytes.Buffer
		if err := demultiplex(r, &out, &errs); err != nil || out.String() != "onetwo" || errs.String() != "err" {
			t.Errorf("%s: %q, %q, %v", name, out.String(), errs.String(), err)
		}
	}
	if err := demultiplex(bytes.NewReader(input), nil, nil); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestABrokenStreamIsNoOrdinaryEnd(t *testing.T) {
	for name, input := range map[string][]byte{
		"inside a header":       frame(1, "x")[:5],
		"inside standard out":   frame(1, "abc")[:9],
		"inside standard error": frame(2, "abc")[:9],
	} {
		if err := demultiplex(bytes.NewReader(input), io.Discard, io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := demultiplex(bytes.NewReader(frame(3, "driver failed")), nil, nil); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the engine's own error: %v", err)
	}
	if err := demultiplex(bytes.NewReader(frame(9, "x")), nil, nil); err == nil {
		t.Error("an unknown stream was accepted")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(frame(1, "x"), "split")
	f.Fuzz(func(t *testing.T, garbage []byte, text string) {
		_ = demultiplex(bytes.NewReader(garbage), io.Discard, io.Discard) // must neither hang nor panic
		var out bytes.Buffer
		if err := demultiplex(bytes.NewReader(append(frame(1, text), frame(2, "other")...)), &out, nil); err != nil || out.String() != text {
			t.Errorf("%q came out as %q, %v", text, out.String(), err)
		}
	})
}
