//go:build !noasm

package kernel

import "unsafe"

// In all of these n is a multiple of 16, and start may be nil.

//go:noescape
func matVecNEON(k, n int, x, w, y, start *float32)

//go:noescape
func matVecExactNEON(k, n int, x, w, y, start *float32)

//go:noescape
func matVecBF16NEON(k, n int, x *float32, w *uint16, y, start *float32)

// The q are quads times four bytes, and then, if rest is 1, four more, which are last.
//
//go:noescape
func matVecInt8NEON(quads, rest int, last uint32, n int, q *uint8, scale float32, w *int8, scales *float32,
	offsets *int32, y, start *float32)

//go:noescape
func largestBitsNEON(n int, x *float32) uint32

//go:noescape
func quantiseInt8NEON(n int, q *uint8, x *float32, inverse float32)

func matVec(y, x, w, start []float32) {
	if active.Tier == Generic {
		matVecGeneric(y, x, w, start)
		return
	}
	px, pw, py, ps := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y), unsafe.SliceData(start)
	matVecNEON(len(x), len(y), px, pw, py, ps)
}

func matVecExact(y, x, w, start []float32) {
	if active.Tier == Generic {
		matVecExactGeneric(y, x, w, start)
		return
	}
	px, pw, py, ps := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y), unsafe.SliceData(start)
	matVecExactNEON(len(x), len(y), px, pw, py, ps)
}

func matVecBF16(y, x []float32, w []uint16, start []float32) {
	if active.Tier == Generic {
		matVecBF16Generic(y, x, w, start)
		return
	}
	px, pw, py, ps := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y), unsafe.SliceData(start)
	matVecBF16NEON(len(x), len(y), px, pw, py, ps)
}

func matVecInt8(y []float32, q []uint8, scale float32, w []int8, scales []float32, offsets []int32, start []float32) {
	if active.Tier == Generic {
		matVecInt8Generic(y, q, scale, w, scales, start)
		return
	}
	quads, rest, last := lastQuad(q)
	pq, pw, pscale, poffset := unsafe.SliceData(q), unsafe.SliceData(w), unsafe.SliceData(scales), unsafe.SliceData(offsets)
	matVecInt8NEON(quads, rest, last, len(y), pq, scale, pw, pscale, poffset, unsafe.SliceData(y), unsafe.SliceData(start))
}

func largestBits(x []float32) uint32 {
	n := len(x) &^ 15
	if n == 0 || active.Tier == Generic {
		return largestBitsGeneric(x)
	}
	return max(largestBitsNEON(n, &x[0]), largestBitsGeneric(x[n:]))
}

func quantiseInt8(q []uint8, x []float32, inverse float32) {
	n := 0
	if active.Tier == NEON {
		n = len(x) &^ 15
		quantiseInt8NEON(n, unsafe.SliceData(q), unsafe.SliceData(x), inverse)
	}
	quantiseInt8Generic(q[n:], x[n:], inverse)
}
