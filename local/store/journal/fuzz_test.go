package journal

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzRead hands any bytes to the reader as a file: it must not panic, and what it reports as readable must be readable
// again alone.
func FuzzRead(f *testing.F) {
	const id = 0x1122334455667788
	file := header{format: 7, id: id}.encode()
	f.Add(file)
	for i, p := range []string{"one", "", "batch"} {
		file = appendFrame(file, kind(i+1), uint32(i), []byte(p), id)
		f.Add(file)
	}
	f.Add(file[:len(file)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		h := &held{}
		c, err := read("fuzz", bytes.NewReader(b), int64(len(b)), noted{}, h.handler())
		if err != nil {
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("%v is no DamageError", err)
			}
			return
		}
		if c.good+c.torn != int64(len(b)) {
			t.Fatalf("%d readable and %d torn bytes of %d", c.good, c.torn, len(b))
		}
		again := &held{}
		c2, err := read("fuzz", bytes.NewReader(b[:c.good]), c.good, noted{}, again.handler())
		if err != nil || c2.torn != 0 || again.String() != h.String() {
			t.Fatalf("read again: %v, %d torn, %s instead of %s", err, c2.torn, again, h)
		}
	})
}
