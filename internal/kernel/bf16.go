package kernel

import "math"

// bfloat16 is the upper half of a float32. ToBF16 rounds to the nearest, ties to even, by integer arithmetic, so that all
// tiers agree bit for bit: subnormal numbers are kept, values above the range become Inf, a NaN stays a NaN and becomes
// quiet.

// ToBF16 converts src to bfloat16.
func ToBF16(dst []uint16, src []float32) {
	checkLen("ToBF16: src", len(src), len(dst))
	for len(dst) > chunk {
		toBF16(dst[:chunk], 0, src[:chunk], 0, 1, chunk)
		dst, src = dst[chunk:], src[chunk:]
	}
	toBF16(dst, 0, src, 0, 1, len(dst))
}

// ToBF16Rows converts src [rows, n] to bfloat16; columns n to dstStride-1 of each row of dst, which has rows*dstStride
// elements, are set to zero.
func ToBF16Rows(dst []uint16, dstStride int, src []float32, srcStride, rows, n int) {
	checkMatrix("ToBF16Rows: src", len(src), srcStride, rows, n)
	checkMatrix("ToBF16Rows: dst", len(dst), dstStride, rows, n)
	checkLen("ToBF16Rows: dst", len(dst), rows*dstStride)
	for r0 := 0; r0 < rows; {
		k := min(rows-r0, rowsPerCall(n))
		if n > 0 {
			toBF16(dst[r0*dstStride:], dstStride, src[r0*srcStride:], srcStride, k, n)
		}
		r0 += k
	}
	if dstStride > n {
		for r := range rows {
			clear(dst[r*dstStride+n : (r+1)*dstStride])
		}
	}
}

func toBF16Generic(dst []uint16, dstStride int, src []float32, srcStride, rows, n int) {
	for r := range rows {
		out := dst[r*dstStride:][:n]
		for j, v := range src[r*srcStride:][:n] {
			out[j] = bf16Round(v)
		}
	}
}

// FromBF16 converts src from bfloat16, exactly.
func FromBF16(dst []float32, src []uint16) {
	checkLen("FromBF16: src", len(src), len(dst))
	for len(dst) > chunk {
		fromBF16(dst[:chunk], src[:chunk])
		dst, src = dst[chunk:], src[chunk:]
	}
	fromBF16(dst, src)
}

func fromBF16Generic(dst []float32, src []uint16) {
	for i, v := range src {
		dst[i] = bf16Float(v)
	}
}

// bf16Float is the float32 that the bfloat16 b stands for.
func bf16Float(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// bf16Round rounds to the nearest bfloat16, ties to even; a NaN stays one, made quiet.
func bf16Round(f float32) uint16 {
	u := math.Float32bits(f)
	if u&0x7fffffff > 0x7f800000 {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
