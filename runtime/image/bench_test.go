package image

import "testing"

// BenchmarkVersion is what knowing the helper's reference costs each start.
func BenchmarkVersion(b *testing.B) {
	for b.Loop() {
		h, err := findHelpers(embedded)
		if err != nil {
			b.Fatal(err)
		}
		_ = h.version()
	}
}
