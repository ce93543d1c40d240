//go:build !noasm

package kernel

import "unsafe"

// In all of these n is a multiple of 16, and start may be nil.

//go:noescape
func matVecAVX512(k, n int, x, w, y, start *float32)

//go:noescape
func matVecAVX2(k, n int, x, w, y, start *float32)

//go:noescape
func matVecExactAVX512(k, n int, x, w, y, start *float32)

//go:noescape
func matVecExactAVX2(k, n int, x, w, y, start *float32)

//go:noescape
func matVecBF16AVX512(k, n int, x *float32, w *uint16, y, start *float32)

//go:noescape
func matVecBF16AVX2(k, n int, x *float32, w *uint16, y, start *float32)

// The q are quads times four bytes, and then, if rest is 1, four more, which are last.
//
//go:noescape
func matVecInt8VNNI(quads, rest int, last uint32, n int, q *uint8, scale float32, w *int8, scales *float32,
	offsets *int32, y, start *float32)

//go:noescape
func matVecInt8AVX2(quads, rest int, last uint32, n int, q *uint8, scale float32, w *int8, scales *float32,
	offsets *int32, y, start *float32)

//go:noescape
func largestBitsAVX512(n int, x *float32) uint32

//go:noescape
func largestBitsAVX2(n int, x *float32) uint32

//go:noescape
func quantiseInt8AVX512(n int, q *uint8, x *float32, inverse float32)

//go:noescape
func quantiseInt8AVX2(n int, q *uint8, x *float32, inverse float32)

func matVec(y, x, w, start []float32) {
	px, pw, py, ps := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y), unsafe.SliceData(start)
	switch active.Tier {
	case AVX512:
		matVecAVX512(len(x), len(y), px, pw, py, ps)
	case AVX2:
		matVecAVX2(len(x), len(y), px, pw, py, ps)
	default:
		matVecGeneric(y, x, w, start)
	}
}

func matVecExact(y, x, w, start []float32) {
	px, pw, py, ps := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y), unsafe.SliceData(start)
	switch active.Tier {
	case AVX512:
		matVecExactAVX512(len(x), len(y), px, pw, py, ps)
	case AVX2:
		matVecExactAVX2(len(x), len(y), px, pw, py, ps)
	default:
		matVecExactGeneric(y, x, w, start)
	}
}

func matVecBF16(y, x []float32, w []uint16, start []float32) {
	px, pw, py, ps := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y), unsafe.SliceData(start)
	switch active.Tier {
	case AVX512:
		matVecBF16AVX512(len(x), len(y), px, pw, py, ps)
	case AVX2:
		matVecBF16AVX2(len(x), len(y), px, pw, py, ps)
	default:
		matVecBF16Generic(y, x, w, start)
	}
}

func matVecInt8(y []float32, q []uint8, scale float32, w []int8, scales []float32, offsets []int32, start []float32) {
	if active.Tier == Generic {
		matVecInt8Generic(y, q, scale, w, scales, start)
		return
	}
	quads, rest, last := lastQuad(q)
	pq, pw, pscale, poffset := unsafe.SliceData(q), unsafe.SliceData(w), unsafe.SliceData(scales), unsafe.SliceData(offsets)
	py, ps := unsafe.SliceData(y), unsafe.SliceData(start)
	if active.Ext.VNNI {
		matVecInt8VNNI(quads, rest, last, len(y), pq, scale, pw, pscale, poffset, py, ps)
	} else {
		matVecInt8AVX2(quads, rest, last, len(y), pq, scale, pw, pscale, poffset, py, ps)
	}
}

func largestBits(x []float32) uint32 {
	n := len(x) &^ 15
	if n == 0 || active.Tier == Generic {
		return largestBitsGeneric(x)
	}
	if active.Tier == AVX512 {
		return max(largestBitsAVX512(n, &x[0]), largestBitsGeneric(x[n:]))
	}
	return max(largestBitsAVX2(n, &x[0]), largestBitsGeneric(x[n:]))
}

func quantiseInt8(q []uint8, x []float32, inverse float32) {
	n := len(x) &^ 15
	switch active.Tier {
	case AVX512:
		quantiseInt8AVX512(n, unsafe.SliceData(q), unsafe.SliceData(x), inverse)
	case AVX2:
		quantiseInt8AVX2(n, unsafe.SliceData(q), unsafe.SliceData(x), inverse)
	default:
		n = 0
	}
	quantiseInt8Generic(q[n:], x[n:], inverse)
}
