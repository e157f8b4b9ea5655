package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampleOps() []Op {
	return []Op{
		{Kind: Publish, Path: VolumesDir + "/token", UID: Unset, GID: 2000, Files: []File{
			{Path: "token", Data: []byte("x.y.z"), Mode: 0o600, UID: 1000, GID: Unset},
			{Path: "a/b", Mode: 0o644, UID: Unset, GID: Unset},
		}},
		{Kind: ReadFile, Path: PodDir + "/main-0", Limit: 4096},
		{Kind: Mkdir, Root: VolumesDir + "/data", Path: "x/y", Mode: 0o750, Recursive: true, OnMismatch: true},
	}
}

func TestRequestSurvivesTheWire(t *testing.T) {
	frame := AppendRequest(nil, 7, sampleOps())
	id, ops, err := ReadRequest(bytes.NewReader(frame), nil)
	if err != nil || id != 7 {
		t.Fatalf("id %d, err %v", id, err)
	}
	if diff := cmp.Diff(sampleOps(), ops); diff != "" {
		t.Error(diff)
	}
}

func TestReaderFindsTheNextFrameAfterRubbish(t *testing.T) {
	stream := append([]byte{'n', 0xff, 's', 'k', 0xff, 'x'}, AppendRequest(nil, 9, sampleOps())...)
	id, _, err := ReadRequest(bytes.NewReader(stream), nil)
	if err != nil || id != 9 {
		t.Fatalf("id %d, err %v", id, err)
	}
}

func TestResponseOfAnotherRequestIsSkipped(t *testing.T) {
	stream := AppendResponse(nil, 1, []Result{{Err: "old"}})
	stream = AppendResponse(stream, 2, []Result{{Data: []byte("new"), Bytes: 5, Inodes: -1, Changed: true}})
	got, err := ReadResponse(bytes.NewReader(stream), 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Result{{Data: []byte("new"), Bytes: 5, Inodes: -1, Changed: true}}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(AppendRequest(nil, 1, sampleOps()))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, ops, err := ReadRequest(bytes.NewReader(b), nil)
		if err != nil {
			return
		}
		again := AppendRequest(nil, id, ops)
		if _, ops2, err := ReadRequest(bytes.NewReader(again), nil); err != nil || !cmp.Equal(ops, ops2) {
			t.Errorf("does not round-trip: %v %v", ops, err)
		}
	})
}
