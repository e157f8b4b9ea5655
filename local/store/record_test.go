package store

import (
	"bytes"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"
)

func kvOf(key string, revision int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}
}

func drawRecord(t *rapid.T) record {
	kv := &mvccpb.KeyValue{
		Key:         rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(t, "key"),
		ModRevision: rapid.Int64Min(2).Draw(t, "revision"),
	}
	if rapid.Bool().Draw(t, "deleted") {
		return record{kv: kv}
	}
	kv.Version = rapid.Int64Min(1).Draw(t, "version")
	kv.CreateRevision = rapid.Int64Range(2, kv.ModRevision).Draw(t, "created")
	kv.Value = rapid.SliceOf(rapid.Byte()).Draw(t, "value")
	r := record{kv: kv}
	if rapid.Bool().Draw(t, "leased") {
		kv.Lease = rapid.Int64Min(1).Draw(t, "lease")
		r.expires = rapid.Int64().Draw(t, "expires")
	}
	return r
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64().Draw(t, "at")
		records := rapid.SliceOfN(rapid.Custom(drawRecord), 0, 5).Draw(t, "records")
		b := appendBatchTime(nil, at)
		for _, r := range records {
			b = appendRecord(b, r.kv, func(int64) int64 { return r.expires })
		}
		i := 0
		err := decodeBatch(b, func(r record, gotAt int64) error {
			if w := records[i]; r.kv.String() != w.kv.String() || r.expires != w.expires || gotAt != at {
				t.Fatalf("read %+v at %d, wrote %+v at %d", r, gotAt, w, at)
			}
			i++
			return nil
		})
		if err != nil || i != len(records) {
			t.Fatalf("%d of %d read: %v", i, len(records), err)
		}
		// Nothing that is left out at the end goes unnoticed, except whole records.
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		n := 0
		if err := decodeBatch(b[:cut], func(record, int64) error { n++; return nil }); err == nil && n == len(records) && n > 0 {
			t.Fatalf("cut from %d to %d bytes: all %d records read", len(b), cut, n)
		}
	})
}

// FuzzDecode hands any bytes to the decoders: they must not panic, nor ask for more memory than there are bytes, and what
// they accept must come out again when it is encoded.
func FuzzDecode(f *testing.F) {
	f.Add(appendHead(nil, 5, 2))
	full := &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v"), ModRevision: 9, CreateRevision: 3, Version: 4, Lease: 7}
	f.Add(appendRecord([]byte{payloadBase}, full, func(int64) int64 { return 11 }))
	f.Add(appendRecord(appendBatchTime(nil, 1), kvOf("k", 10), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = decodeHead(b)
		_ = decodeBase(b, func(record) error { return nil })
		var at int64
		var records []record
		err := decodeBatch(b, func(r record, a int64) error {
			at, records = a, append(records, r)
			return nil
		})
		if err != nil || len(records) == 0 {
			return
		}
		again := appendBatchTime(nil, at)
		for _, r := range records {
			again = appendRecord(again, r.kv, func(int64) int64 { return r.expires })
		}
		i := 0
		err = decodeBatch(again, func(r record, a int64) error {
			if r.kv.String() != records[i].kv.String() || a != at {
				t.Fatalf("%v became %v", records[i].kv, r.kv)
			}
			i++
			return nil
		})
		if err != nil || len(again) > len(b) && bytes.Equal(again[:len(b)], b) {
			t.Fatalf("%d bytes, encoded again %d: %v", len(b), len(again), err)
		}
	})
}
