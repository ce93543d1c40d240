package kernel

import (
	"fmt"
	"math"
)

// MatVecInt8 is a matrix [In, Out] of int8 with one scale for each column, packed:
// W[k][n] is about scale[n] * w[k][n] with w in [-127, 127]. It is read-only and may be shared by goroutines.
type MatVecInt8 struct {
	In, Out int
	w       []int8
	scale   []float32
	offset  []int32 // -128 times the column's sum: what the zero point 128 of x adds
}

// PackMatVecInt8 quantises w [in, out] and packs it: a column's scale is its largest magnitude over 127, its values are
// rounded to the nearest, ties to even. A column that holds NaN or Inf gets the scale NaN, and so NaN results. in may be
// at most 65536, so that sums stay within 32 bits.
func PackMatVecInt8(w []float32, in, out int) MatVecInt8 {
	checkLen("PackMatVecInt8: w", len(w), in*out)
	if in > 1<<16 {
		panic(fmt.Sprintf("kernel.PackMatVecInt8: %d inputs, at most %d", in, 1<<16))
	}
	padded := roundUp(out, matVecVector)
	m := MatVecInt8{
		In: in, Out: out,
		w:      aligned[int8](roundUp(in, 4) * padded),
		scale:  aligned[float32](padded),
		offset: aligned[int32](padded),
	}
	quantised := make([]int8, len(w))
	for n := range out {
		var largest uint32
		for k := range in {
			largest = max(largest, math.Float32bits(w[k*out+n])&^(1<<31))
		}
		if largest >= infinityBits {
			m.scale[n] = float32(math.NaN())
			continue
		}
		m.scale[n] = math.Float32frombits(largest) / 127
		inverse := reciprocal(m.scale[n])
		for k := range in {
			q := quantise(w[k*out+n], inverse)
			quantised[k*out+n] = int8(q)
			m.offset[n] -= 128 * q
		}
	}
	packMatVec(m.w, quantised, in, out, 4)
	return m
}

const infinityBits = 0x7f800000

// reciprocal returns 1/scale, or 0 for a scale so small that 1/scale might overflow: everything is then quantised to 0.
func reciprocal(scale float32) float32 {
	if scale < 0x1p-126 {
		return 0
	}
	return 1 / scale
}

// quantise returns v*inverse, limited to [-127, 127] and rounded to the nearest integer, ties to even; NaN gives -127.
func quantise(v, inverse float32) int32 {
	f := v * inverse
	if !(f > -127) {
		f = -127
	}
	if f > 127 {
		f = 127
	}
	return int32(math.RoundToEven(float64(f)))
}

// QuantiseScale returns the scale by which QuantiseInt8 uses its whole range: the largest magnitude in x over 127. It is
// NaN if x holds NaN or Inf, and all results of MatVecInt8.Mul are then NaN.
func QuantiseScale(x []float32) float32 {
	largest := largestBits(x)
	if largest >= infinityBits {
		return float32(math.NaN())
	}
	return math.Float32frombits(largest) / 127
}

// largestBitsGeneric returns the largest of the magnitudes as integers, in which order NaN is above Inf.
func largestBitsGeneric(x []float32) uint32 {
	var largest uint32
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&^(1<<31))
	}
	return largest
}

// QuantiseInt8 quantises x for MatVecInt8.Mul: q = 128 + x/scale, rounded to the nearest, ties to even, and limited to
// [1, 255]. The division is a multiplication with 1/scale; a NaN in x gives 1. Every tier gives the same.
func QuantiseInt8(q []uint8, x []float32, scale float32) {
	checkLen("QuantiseInt8: q", len(q), len(x))
	quantiseInt8(q, x, reciprocal(scale))
}

func quantiseInt8Generic(q []uint8, x []float32, inverse float32) {
	for i, v := range x {
		q[i] = uint8(128 + quantise(v, inverse))
	}
}

// Mul computes the product of the vector scale * (q - 128), q [In], with the matrix:
//
//	for n in [0, Out):
//	    sum = sum over k in [0, In) of (q[k] - 128) * w[k][n]     in integers
//	    y[n] = start[n] + float32(sum) * scale[n] * scale         each operation rounded, left to right
//
// A nil start stands for zeros; with y itself as start the product is added to y. Apart from that nothing may overlap.
// Every tier gives the same, bit for bit.
func (m *MatVecInt8) Mul(y []float32, q []uint8, scale float32, start []float32) {
	checkMatVec("MatVecInt8.Mul", m.In, m.Out, len(q), y, start)
	k, whole := roundUp(m.In, 4), m.Out&^(matVecVector-1)
	step := matVecColumns(k)
	for n := 0; n < whole; n += step {
		to := min(n+step, whole)
		matVecInt8(y[n:to], q, scale, m.w[n*k:to*k], m.scale[n:to], m.offset[n:to], sub(start, n, to))
	}
	if whole < m.Out {
		var last [matVecVector]float32
		if start != nil {
			copy(last[:], start[whole:m.Out])
		}
		matVecInt8(last[:], q, scale, m.w[whole*k:], m.scale[whole:], m.offset[whole:], last[:])
		copy(y[whole:m.Out], last[:])
	}
}

func matVecInt8Generic(y []float32, q []uint8, scale float32, w []int8, scales []float32, start []float32) {
	for n := 0; n < len(y); {
		width := matVecWidth(len(y) - n)
		var sums [matVecPanel]int32
		for k, qv := range q {
			row := w[k/4*4*width+k%4:]
			for j := range sums[:width] {
				sums[j] += (int32(qv) - 128) * int32(row[4*j])
			}
		}
		w = w[roundUp(len(q), 4)*width:]
		for _, sum := range sums[:width] {
			var v float32
			if start != nil {
				v = start[n]
			}
			y[n] = v + float32(float32(float32(sum)*scales[n])*scale)
			n++
		}
	}
}
