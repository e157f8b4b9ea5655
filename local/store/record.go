package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// formatVersion is the format of payloads that this version writes. Raise it when what is below changes, and keep the
// older decoder in formats.go.
const formatVersion = 1

// The first byte of a payload says what it is.
const (
	payloadHead  = 'H' // revision, number of objects: what the base will hold
	payloadBase  = 'B' // records of objects
	payloadBatch = 'T' // time, then records of changes with consecutive revisions
)

// The first byte of a record.
const (
	recordPut    = 'p'
	recordDelete = 'd'
)

// change is what one revision did. It is immutable.
type change struct {
	// kv is the object after the change. After a deletion it has a key, a ModRevision and nothing else.
	kv *mvccpb.KeyValue
	// prev is the object before the change, nil where there was none.
	prev *mvccpb.KeyValue
	// at is when the change was made, in Unix milliseconds.
	at int64
}

func (c change) deleted() bool { return c.kv.Version == 0 }

// expiry gives the time at which a lease ends, in Unix nanoseconds. It is stored with each object of the lease: that is
// all that is stored of leases, and a lease without objects need not survive.
type expiry func(lease int64) int64

func appendHead(b []byte, revision int64, objects int) []byte {
	b = append(b, payloadHead)
	b = binary.AppendUvarint(b, uint64(revision))
	return binary.AppendUvarint(b, uint64(objects))
}

func decodeHead(b []byte) (revision int64, objects int, err error) {
	d := decoder{b: b}
	d.expect(payloadHead)
	revision, objects = d.int64(), int(d.int64())
	return revision, objects, d.end()
}

func appendBatchTime(b []byte, at int64) []byte {
	return binary.AppendVarint(append(b, payloadBatch), at)
}

func appendRecord(b []byte, kv *mvccpb.KeyValue, expires expiry) []byte {
	if kv.Version == 0 {
		b = append(b, recordDelete)
		b = binary.AppendUvarint(b, uint64(kv.ModRevision))
		return appendBytes(b, kv.Key)
	}
	b = append(b, recordPut)
	b = binary.AppendUvarint(b, uint64(kv.ModRevision))
	b = appendBytes(b, kv.Key)
	b = binary.AppendUvarint(b, uint64(kv.CreateRevision))
	b = binary.AppendUvarint(b, uint64(kv.Version))
	b = binary.AppendUvarint(b, uint64(kv.Lease))
	if kv.Lease != 0 {
		b = binary.AppendVarint(b, expires(kv.Lease))
	}
	return appendBytes(b, kv.Value)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// record is a decoded record; expires is 0 without a lease.
type record struct {
	kv      *mvccpb.KeyValue
	expires int64
}

// decodeBase calls f for each record of a payloadBase.
func decodeBase(b []byte, f func(record) error) error {
	d := decoder{b: b}
	d.expect(payloadBase)
	for d.err == nil && len(d.b) > 0 {
		if r := d.record(); d.err == nil {
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return d.end()
}

// decodeBatch calls f for each record of a payloadBatch, with the time at which it was made.
func decodeBatch(b []byte, f func(r record, at int64) error) error {
	d := decoder{b: b}
	d.expect(payloadBatch)
	at := d.varint()
	for d.err == nil && len(d.b) > 0 {
		if r := d.record(); d.err == nil {
			if err := f(r, at); err != nil {
				return err
			}
		}
	}
	return d.end()
}

// decoder takes values off the front of b. After an error all values are zero.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("a record is incomplete")

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail(fmt.Errorf("%d bytes follow the last value", len(d.b)))
	}
	return d.err
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) expect(want byte) {
	if got := d.byte(); d.err == nil && got != want {
		d.fail(fmt.Errorf("a payload of type %q is there instead of %q", got, want))
	}
}

// int64 reads an unsigned value that must fit in an int64, as revisions, versions and lengths do.
func (d *decoder) int64() int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || int64(v) < 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes copies: the payload's buffer is used again, and a slice of it would hold all of it in memory.
func (d *decoder) bytes() []byte {
	n := d.int64()
	if n > int64(len(d.b)) {
		d.fail(errShort)
		return nil
	}
	v := make([]byte, n)
	copy(v, d.b)
	d.b = d.b[n:]
	return v
}

func (d *decoder) record() (r record) {
	kv := &mvccpb.KeyValue{}
	switch t := d.byte(); t {
	case recordDelete:
		kv.ModRevision, kv.Key = d.int64(), d.bytes()
	case recordPut:
		kv.ModRevision, kv.Key = d.int64(), d.bytes()
		kv.CreateRevision, kv.Version, kv.Lease = d.int64(), d.int64(), d.int64()
		if kv.Lease != 0 {
			r.expires = d.varint()
		}
		kv.Value = d.bytes()
		if d.err == nil && (kv.Version < 1 || kv.CreateRevision > kv.ModRevision) {
			d.fail(fmt.Errorf("the record of %q contradicts itself", kv.Key))
		}
	default:
		d.fail(fmt.Errorf("a record of type %q is not known", t))
	}
	if d.err == nil && len(kv.Key) == 0 {
		d.fail(errors.New("a record has no key"))
	}
	r.kv = kv
	return r
}
