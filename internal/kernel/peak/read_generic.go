//go:build noasm || !arm64

package peak

import "encoding/binary"

// readGeneric returns the sum of the words, and is not inlined, so that nothing is left out.
//
//go:noinline
func readGeneric(buf []byte) (sum uint64) {
	for len(buf) >= 512 {
		for i := 0; i < 512; i += 8 {
			sum += binary.LittleEndian.Uint64(buf[i:])
		}
		buf = buf[512:]
	}
	return sum
}
