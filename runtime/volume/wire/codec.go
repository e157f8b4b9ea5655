package wire

import "encoding/binary"

func appendOps(b []byte, ops []Op) []byte {
	b = binary.AppendUvarint(b, uint64(len(ops)))
	for i := range ops {
		op := &ops[i]
		b = append(b, byte(op.Kind))
		b = appendBytes(b, op.Root)
		b = appendBytes(b, op.Path)
		b = binary.AppendUvarint(b, uint64(op.Mode))
		b = binary.AppendVarint(b, op.UID)
		b = binary.AppendVarint(b, op.GID)
		b = binary.AppendVarint(b, op.Limit)
		b = appendBytes(b, op.Data)
		b = appendBool(b, op.Recursive)
		b = appendBool(b, op.OnMismatch)
		b = binary.AppendUvarint(b, uint64(len(op.Files)))
		for j := range op.Files {
			f := &op.Files[j]
			b = appendBytes(b, f.Path)
			b = appendBytes(b, f.Data)
			b = binary.AppendUvarint(b, uint64(f.Mode))
			b = binary.AppendVarint(b, f.UID)
			b = binary.AppendVarint(b, f.GID)
		}
	}
	return b
}

func appendResults(b []byte, results []Result) []byte {
	b = binary.AppendUvarint(b, uint64(len(results)))
	for i := range results {
		r := &results[i]
		b = appendBytes(b, r.Err)
		b = appendBytes(b, r.Data)
		b = binary.AppendVarint(b, r.Bytes)
		b = binary.AppendVarint(b, r.Inodes)
		b = appendBool(b, r.Changed)
	}
	return b
}

func appendBytes[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseOps(payload []byte) ([]Op, error) {
	d := decoder{b: payload}
	ops := make([]Op, 0, d.count())
	for n := cap(ops); n > 0 && !d.bad; n-- {
		op := Op{
			Kind: Kind(d.byte()), Root: string(d.bytes()), Path: string(d.bytes()), Mode: uint32(d.uint()),
			UID: d.int(), GID: d.int(), Limit: d.int(), Data: d.bytes(), Recursive: d.byte() != 0, OnMismatch: d.byte() != 0,
		}
		for files := d.count(); files > 0 && !d.bad; files-- {
			op.Files = append(op.Files, File{
				Path: string(d.bytes()), Data: d.bytes(), Mode: uint32(d.uint()), UID: d.int(), GID: d.int(),
			})
		}
		ops = append(ops, op)
	}
	return ops, d.err()
}

func parseResults(payload []byte) ([]Result, error) {
	d := decoder{b: payload}
	results := make([]Result, 0, d.count())
	for n := cap(results); n > 0 && !d.bad; n-- {
		results = append(results, Result{
			Err: string(d.bytes()), Data: d.bytes(), Bytes: d.int(), Inodes: d.int(), Changed: d.byte() != 0,
		})
	}
	return results, d.err()
}

// A decoder reads fields until one doesn't fit; from then on it returns zeros and err tells.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) err() error {
	if d.bad || len(d.b) > 0 {
		return ErrCorrupt
	}
	return nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a length and refuses one that the remaining bytes can't hold, so that a corrupt frame allocates nothing.
func (d *decoder) count() int {
	v := d.uint()
	if v > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *decoder) bytes() []byte {
	n := d.count()
	if d.bad || n == 0 {
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
