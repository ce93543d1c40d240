//go:build noasm || (!amd64 && !arm64)

package kernel

func matVec(y, x, w, start []float32) { matVecGeneric(y, x, w, start) }

func matVecExact(y, x, w, start []float32) { matVecExactGeneric(y, x, w, start) }

func matVecBF16(y, x []float32, w []uint16, start []float32) { matVecBF16Generic(y, x, w, start) }

func matVecInt8(y []float32, q []uint8, scale float32, w []int8, scales []float32, offsets []int32, start []float32) {
	matVecInt8Generic(y, q, scale, w, scales, start)
}

func largestBits(x []float32) uint32 { return largestBitsGeneric(x) }

func quantiseInt8(q []uint8, x []float32, inverse float32) { quantiseInt8Generic(q, x, inverse) }
