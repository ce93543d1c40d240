package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// randomBF16 has n bfloat16 numbers in [-1, 1) and what they stand for.
func randomBF16(r *rand.Rand, n int) ([]uint16, []float64) {
	f := make([]float32, n)
	for i := range f {
		f[i] = 2*r.Float32() - 1
	}
	b := make([]uint16, n)
	ToBF16(b, f)
	FromBF16(f, b)
	return b, widen(f)
}

// testConvBF16 runs one shape forward and backward in mixed precision on the active tier, with rows of x padded.
func testConvBF16(t testing.TB, r *rand.Rand, s convShape) {
	depth := PaddedBF16(s.in)
	s.xStride = max(s.xStride, depth)
	s.xLen = s.base + max(s.rows-1, 0)*s.xStride + len(s.taps)*s.base + depth + s.matrices*s.xStride*4
	x, xf := randomBF16(r, s.xLen)

	rounded, _ := randomBF16(r, s.matrices*s.in*s.out)
	w := make([]float32, len(rounded))
	FromBF16(w, rounded)
	dy, dyf := randomBF16(r, s.rows*s.yStride)
	dw, dwFence := newFenced[float32](len(w), r.IntN(16))
	normals(r, dw, 1)
	want, size := widen(dw), absolute(widen(dw))
	s.gradient(xf, dyf, want)
	s.gradient(absolute(xf), absolute(dyf), size)
	ConvWeightGradientBF16(&ConvGradientBF16{Rows: s.rows, In: s.in, Out: s.out, X: x, XBase: s.base, XStride: s.xStride, Taps: s.taps,
		DY: dy, DYStride: s.yStride, DW: dw, DWTap: s.in * s.out, DWStride: s.out,
		Scratch: make([]uint16, GradientScratchBF16(s.in, s.out))})
	checkSums(t, s, dw, want, size, s.rows)
	dwFence.check(t, "dw")

	y, yFence := newFenced[float32](s.rows*s.yStride, r.IntN(16))
	normals(r, y, 1)
	bias := normals(r, make([]float32, s.out), 1)
	want, size = widen(y), absolute(widen(y))
	s.forward(xf, widen(w), widen(bias), want)
	s.forward(absolute(xf), absolute(widen(w)), absolute(widen(bias)), size)
	c := ConvBF16{Rows: s.rows, X: x, XBase: s.base, XStride: s.xStride, Taps: s.taps,
		W: PackWeightsBF16(make([]uint16, PackedLenBF16(s.matrices, s.in, s.out)), w, s.matrices, s.in, s.out),
		Y: y, YStride: s.yStride, Accumulate: s.accumulate}
	if s.bias {
		c.Bias = bias
	}
	ConvForwardBF16(&c)
	checkSums(t, s, y, want, size, len(s.taps)*s.in)
	yFence.check(t, "y")
}

func TestConvBF16(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(7)
		for range 150 {
			testConvBF16(t, r, randomConvShape(r))
		}
		for rows := range 70 {
			testConvBF16(t, r, newConvShape(r, rows, 5, 3, 2))
		}
		for out := range 70 {
			testConvBF16(t, r, newConvShape(r, 18, 3, out, 1))
		}
		for in := range 70 {
			testConvBF16(t, r, newConvShape(r, 33, in, 17, 1))
		}
	})
}

func TestPackWeightsTransposedBF16(t *testing.T) {
	const taps, in, out = 3, 5, 37
	w, transposed := normals(newRand(8), make([]float32, taps*in*out), 1), make([]float32, taps*in*out)
	for p := range taps {
		for k := range in {
			for n := range out {
				transposed[(p*out+n)*in+k] = w[(p*in+k)*out+n]
			}
		}
	}
	a := PackWeightsTransposedBF16(make([]uint16, PackedLenBF16(taps, out, in)), w, taps, in, out)
	b := PackWeightsBF16(make([]uint16, PackedLenBF16(taps, out, in)), transposed, taps, out, in)
	if !slices.Equal(a.data, b.data) {
		t.Error("transposing while packing differs from transposing before")
	}
}

func TestConvBF16AllocatesNothing(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		const rows, in, out = 40, 32, 50
		x, y, dw := make([]uint16, rows*in), make([]float32, rows*out), make([]float32, in*out)
		dy, scratch := make([]uint16, rows*out), make([]uint16, GradientScratchBF16(in, out))
		w := PackWeightsBF16(make([]uint16, PackedLenBF16(1, in, out)), dw, 1, in, out)
		taps := []Tap{{}}
		if n := testing.AllocsPerRun(10, func() {
			ConvForwardBF16(&ConvBF16{Rows: rows, X: x, XStride: in, Taps: taps, W: w, Y: y, YStride: out})
			ConvWeightGradientBF16(&ConvGradientBF16{Rows: rows, In: in, Out: out, X: x, XStride: in, Taps: taps,
				DY: dy, DYStride: out, DW: dw, DWStride: out, Scratch: scratch})
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
