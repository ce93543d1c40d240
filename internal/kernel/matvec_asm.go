//go:build !noasm && (amd64 || arm64)

package kernel

// lastQuad tells assembly how many whole quads q has, whether (1 or 0) another one follows, and its bytes.
func lastQuad(q []uint8) (quads, rest int, last uint32) {
	quads = len(q) / 4
	for i, v := range q[4*quads:] {
		rest = 1
		last |= uint32(v) << (8 * i)
	}
	return quads, rest, last
}
