package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

//go:generate go run -C generate ./matvec -out ../matvec_amd64.s

// The products of a vector with a matrix, y = start + x W, that a sampler makes at every step: W is [in, out] and is
// read once from beginning to end, so that its bytes are what a step costs. It is packed once, the same for all tiers:
// panels of 64 columns as long as there are 64, then at most one of 32 and one of 16, then one for the last out % 16
// columns, padded to 16. Within a panel the rows follow each other; bfloat16 rows go in pairs (both values of a column
// side by side), int8 rows in fours.
const (
	matVecPanel  = 64
	matVecVector = 16 // what assembly computes whole: the last out % 16 columns go through a buffer of this size
)

// matVecWidth returns the width of the panel that holds the first of the left columns that are left.
func matVecWidth(left int) int {
	switch {
	case left >= matVecPanel:
		return matVecPanel
	case left >= 32:
		return 32
	}
	return matVecVector
}

// matVecColumns returns how many columns of the given bytes one call of assembly takes: about 1 MiB, since assembly
// cannot be preempted.
func matVecColumns(bytes int) int {
	return max(matVecPanel, (1<<20)/max(bytes, 1)&^(matVecPanel-1))
}

// packMatVec fills dst with w [in, out] in panels of rows in groups of group; dst was made with padding zero.
func packMatVec[T any](dst, w []T, in, out, group int) {
	at := 0
	for n := 0; n < out; {
		width := matVecWidth(out - n)
		cols := min(width, out-n)
		for k := range in {
			row := dst[at+k/group*group*width+k%group:]
			for j, v := range w[k*out+n : k*out+n+cols] {
				row[j*group] = v
			}
		}
		at += roundUp(in, group) * width
		n += cols
	}
}

// aligned returns n zeros that start on a cache line.
func aligned[T any](n int) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	s := make([]T, n+64/size)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(s)))) & 63 / size
	return s[skip : skip+n : skip+n]
}

// sub returns s[from:to], or nil for nil.
func sub[T any](s []T, from, to int) []T {
	if s == nil {
		return nil
	}
	return s[from:to]
}

// MatVec is a matrix [In, Out] of float32, packed. It is read-only and may be shared by goroutines.
type MatVec struct {
	In, Out int
	w       []float32
}

// PackMatVec packs w [in, out].
func PackMatVec(w []float32, in, out int) MatVec {
	checkLen("PackMatVec: w", len(w), in*out)
	m := MatVec{In: in, Out: out, w: aligned[float32](in * roundUp(out, matVecVector))}
	packMatVec(m.w, w, in, out, 1)
	return m
}

// Mul computes the product of x [In] with the matrix:
//
//	for n in [0, Out):
//	    y[n] = start[n] + sum over k in [0, In) of x[k] * W[k][n]
//
// A nil start stands for zeros; with y itself as start the product is added to y. Apart from that nothing may overlap. Each sum
// begins with start and goes over k in order, by fused multiply-adds in the assembly tiers: it is that of [Conv], bit for bit.
func (m *MatVec) Mul(y, x, start []float32) {
	checkMatVec("MatVec.Mul", m.In, m.Out, len(x), y, start)
	k, whole := m.In, m.Out&^(matVecVector-1)
	step := matVecColumns(4 * k)
	for n := 0; n < whole; n += step {
		to := min(n+step, whole)
		matVec(y[n:to], x, m.w[n*k:to*k], sub(start, n, to))
	}
	if whole < m.Out {
		var last [matVecVector]float32
		if start != nil {
			copy(last[:], start[whole:m.Out])
		}
		matVec(last[:], x, m.w[whole*k:], last[:])
		copy(y[whole:m.Out], last[:])
	}
}

// MulExact multiplies each of so many rows, x [rows, In], as Mul does one, in an order of operations that is always the same; start
// and y are [rows, Out]:
//
//	for r in [0, rows), n in [0, Out):
//	    sum = start[r][n]
//	    for k in [0, In):
//	        sum = round(sum + round(x[r][k] * W[k][n]))     round: to the nearest float32, ties to even
//	    y[r][n] = sum
//
// Every tier, on every processor, gives the same, bit for bit (but for the bits of a NaN). A panel of the matrix is read once for all
// rows.
func (m *MatVec) MulExact(rows int, y, x, start []float32) {
	if len(x) != rows*m.In || len(y) != rows*m.Out || start != nil && len(start) != len(y) {
		panic(fmt.Sprintf("kernel.MatVec.MulExact: matrix is [%d, %d], but x has %d elements for %d rows, y %d, start %d", m.In, m.Out,
			len(x), rows, len(y), len(start)))
	}
	for n := 0; n < m.Out; {
		width := matVecWidth(m.Out - n)
		to := min(n+width, m.Out)
		w := m.w[n*m.In : (n+width)*m.In]
		for r := range rows {
			xr, yr, sr := x[r*m.In:][:m.In], y[r*m.Out+n:r*m.Out+to], start
			if start != nil {
				sr = start[r*m.Out+n : r*m.Out+to]
			}
			if to-n == width {
				matVecExact(yr, xr, w, sr)
				continue
			}
			var last [matVecVector]float32
			copy(last[:], sr)
			matVecExact(last[:], xr, w, last[:])
			copy(yr, last[:])
		}
		n = to
	}
}

func matVecGeneric(y, x, w, start []float32) {
	for n := 0; n < len(y); {
		width := matVecWidth(len(y) - n)
		var sums [matVecPanel]float32
		copy(sums[:], sub(start, n, min(n+width, len(y))))
		for _, xv := range x {
			for j, wv := range w[:width] {
				sums[j] += xv * wv
			}
			w = w[width:]
		}
		n += copy(y[n:], sums[:width])
	}
}

// matVecExactGeneric is matVecGeneric with conversions that forbid a fused multiply-add.
func matVecExactGeneric(y, x, w, start []float32) {
	for n := 0; n < len(y); {
		width := matVecWidth(len(y) - n)
		var sums [matVecPanel]float32
		copy(sums[:], sub(start, n, min(n+width, len(y))))
		for _, xv := range x {
			for j, wv := range w[:width] {
				sums[j] += float32(xv * wv)
			}
			w = w[width:]
		}
		n += copy(y[n:], sums[:width])
	}
}

// MatVecBF16 is a matrix [In, Out] of bfloat16, packed. It is read-only and may be shared by goroutines.
//
// Two rows of a column share 32 bits: the first has the lower 16, the second the upper 16. Kernels take the second one with all
// 32 bits, as they are, which saves an instruction for each vector. Its upper 16 bits are chosen such that the whole is at most
// half a unit of bfloat16 off, as if it had been rounded.
type MatVecBF16 struct {
	In, Out int
	w       []uint16
}

// PackMatVecBF16 packs w [in, out]: each weight becomes one that is at most half a unit of bfloat16 away. [MatVecBF16.Weights]
// returns them. What is infinite or NaN becomes one or the other.
func PackMatVecBF16(w []float32, in, out int) MatVecBF16 {
	checkLen("PackMatVecBF16: w", len(w), in*out)
	halves := make([]uint16, len(w))
	ToBF16(halves, w)
	for i := out; i < len(w); i++ {
		if i/out%2 == 1 {
			halves[i] = upperHalf(w[i], halves[i-out])
		}
	}
	m := MatVecBF16{In: in, Out: out, w: aligned[uint16](roundUp(in, 2) * roundUp(out, matVecVector))}
	packMatVec(m.w, halves, in, out, 2)
	return m
}

// upperHalf returns the upper 16 bits of a float32 near v whose lower 16 are lower. It is finite if v is.
func upperHalf(v float32, lower uint16) uint16 {
	bits := math.Float32bits(v)
	magnitude, sign := bits&^(1<<31), uint16(bits>>31<<15)
	if magnitude >= infinityBits {
		return sign | 0x7fc0
	}
	return sign | uint16(min((max(magnitude, uint32(lower))-uint32(lower)+1<<15)>>16, 0x7f7f))
}

// Weights returns the weights [In, Out] that products are made with.
func (m *MatVecBF16) Weights() []float32 {
	w := make([]float32, m.In*m.Out)
	at := 0
	for n := 0; n < m.Out; {
		width := matVecWidth(m.Out - n)
		cols := min(width, m.Out-n)
		for k := range m.In {
			for j := range cols {
				w[k*m.Out+n+j] = pairWeight(m.w[at+k/2*2*width+2*j:], k%2)
			}
		}
		at += roundUp(m.In, 2) * width
		n += cols
	}
	return w
}

// pairWeight returns the first or second weight of a pair.
func pairWeight(pair []uint16, second int) float32 {
	lower := uint32(pair[0])
	if second == 0 {
		return math.Float32frombits(lower << 16)
	}
	return math.Float32frombits(uint32(pair[1])<<16 | lower)
}

// Mul is MatVec.Mul with these weights, to the last bit.
func (m *MatVecBF16) Mul(y, x, start []float32) {
	checkMatVec("MatVecBF16.Mul", m.In, m.Out, len(x), y, start)
	k, whole := roundUp(m.In, 2), m.Out&^(matVecVector-1)
	step := matVecColumns(2 * k)
	for n := 0; n < whole; n += step {
		to := min(n+step, whole)
		matVecBF16(y[n:to], x, m.w[n*k:to*k], sub(start, n, to))
	}
	if whole < m.Out {
		var last [matVecVector]float32
		if start != nil {
			copy(last[:], start[whole:m.Out])
		}
		matVecBF16(last[:], x, m.w[whole*k:], last[:])
		copy(y[whole:m.Out], last[:])
	}
}

func matVecBF16Generic(y, x []float32, w []uint16, start []float32) {
	for n := 0; n < len(y); {
		width := matVecWidth(len(y) - n)
		var sums [matVecPanel]float32
		copy(sums[:], sub(start, n, min(n+width, len(y))))
		for k, xv := range x {
			row := w[k/2*2*width:]
			for j := range sums[:width] {
				sums[j] += xv * pairWeight(row[2*j:], k%2)
			}
		}
		w = w[roundUp(len(x), 2)*width:]
		n += copy(y[n:], sums[:width])
	}
}

func checkMatVec(what string, in, out, x int, y, start []float32) {
	if x != in || len(y) != out || start != nil && len(start) != out {
		panic(fmt.Sprintf("kernel.%s: matrix is [%d, %d], but x has %d elements, y %d, start %d", what, in, out, x,
			len(y), len(start)))
	}
}
