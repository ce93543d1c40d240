package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
)

// convShape is a stretch of a convolution to test: sizes, strides in floats, taps.
type convShape struct {
	rows, in, out, matrices int
	taps                    []Tap
	base, xLen              int // where the first row of x begins, and how long x is
	xStride, yStride        int
	accumulate, bias        bool
}

func (s convShape) String() string {
	type plain convShape
	return fmt.Sprintf("%+v", plain(s))
}

// newConvShape draws a shape of at most the given sizes: any stride and dilation, taps before and after the row, sometimes
// masked, sometimes adjacent, rows of x and y sometimes longer than their channels.
func newConvShape(r *rand.Rand, rows, in, out, taps int) convShape {
	s := convShape{rows: rows, in: in, out: out, matrices: taps, accumulate: r.IntN(2) == 0, bias: r.IntN(2) == 0}
	row := in + r.IntN(3)
	s.xStride, s.yStride = row*(1+r.IntN(3)), out+r.IntN(3)
	step := row * r.IntN(4)
	if r.IntN(3) == 0 {
		step = in // adjacent
	}
	before := taps / 2
	for p := range taps {
		s.taps = append(s.taps, Tap{Offset: (p - before) * step, Weight: p})
	}
	if taps > 1 && r.IntN(3) == 0 {
		s.taps = append(s.taps[:1], s.taps[2:]...) // masked
	}
	s.base = before * step
	s.xLen = s.base + max(rows-1, 0)*s.xStride + max(taps-1, 0)*step + in
	return s
}

func randomConvShape(r *rand.Rand) convShape {
	rows := r.IntN(40)
	if r.IntN(4) == 0 {
		rows += 2 * gradientBlock
	}
	return newConvShape(r, rows, r.IntN(40), r.IntN(70), r.IntN(5))
}

// forward runs the plain float64 loop of the convolution on y.
func (s convShape) forward(x, w, bias, y []float64) {
	for t := range s.rows {
		for n := range s.out {
			switch at := t*s.yStride + n; {
			case s.accumulate:
			case s.bias:
				y[at] = bias[n]
			default:
				y[at] = 0
			}
		}
	}
	reference.Conv(s.rows, s.in, s.out, x, s.base, s.xStride, s.referenceTaps(), w, y, 0, s.yStride)
}

func (s convShape) gradient(x, dy, dw []float64) {
	reference.ConvWeightGradient(s.rows, s.in, s.out, x, s.base, s.xStride, s.referenceTaps(), dw, dy, 0, s.yStride)
}

func (s convShape) referenceTaps() []reference.Tap {
	taps := make([]reference.Tap, len(s.taps))
	for i, p := range s.taps {
		taps[i] = reference.Tap(p)
	}
	return taps
}

// run computes the convolution on the active tier.
func (s convShape) run(x, w, bias, y, packed []float32) {
	c := Conv{Rows: s.rows, X: x, XBase: s.base, XStride: s.xStride, Taps: s.taps,
		W: PackWeights(packed, w, s.matrices, s.in, s.out), Y: y, YStride: s.yStride, Accumulate: s.accumulate}
	if s.bias {
		c.Bias = bias
	}
	ConvForward(&c)
}

func (s convShape) runGradient(x, dy, dw []float32) {
	ConvWeightGradient(&ConvGradient{Rows: s.rows, In: s.in, Out: s.out, X: x, XBase: s.base, XStride: s.xStride, Taps: s.taps,
		DY: dy, DYStride: s.yStride, DW: dw, DWTap: s.in * s.out, DWStride: s.out})
}

// absolute has the magnitudes of x.
func absolute(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = math.Abs(v)
	}
	return y
}

// checkSums compares sums of terms float32 products with their float64 values, NaN with NaN. They may be apart by what
// rounding after every term can amount to, given the sums of the magnitudes of the terms.
func checkSums(t testing.TB, what fmt.Stringer, found []float32, want, magnitude []float64, terms int) {
	t.Helper()
	bound := float64(terms+2) * 0x1p-24
	for i, v := range found {
		w := want[i]
		if float64(v) == w || math.IsNaN(w) && v != v {
			continue
		}
		if d := math.Abs(float64(v) - w); !(d <= bound*magnitude[i]+0x1p-126) {
			t.Fatalf("%v: element %d is %v, want %v", what, i, v, w)
		}
	}
}

// testConv runs one shape forward and backward on the active tier; special puts NaN and infinities among the numbers.
func testConv(t testing.TB, r *rand.Rand, s convShape, special bool) {
	buffer := func(n int) ([]float32, fenced[float32]) {
		x, f := newFenced[float32](n, r.IntN(16))
		for i := range x {
			x[i] = 2*r.Float32() - 1
			if special && r.IntN(64) == 0 {
				x[i] = []float32{float32(math.NaN()), posInf, negInf}[r.IntN(3)]
			}
		}
		return x, f
	}
	x, _ := buffer(s.xLen)
	w, _ := buffer(s.matrices * s.in * s.out)
	bias, _ := buffer(s.out)
	y, yFence := buffer(s.rows * s.yStride)
	dw, dwFence := buffer(len(w))
	packed, packedFence := newFenced[float32](PackedLen(s.matrices, s.in, s.out), r.IntN(16))

	want, size := widen(dw), absolute(widen(dw))
	s.gradient(widen(x), widen(y), want)
	s.gradient(absolute(widen(x)), absolute(widen(y)), size)
	s.runGradient(x, y, dw)
	checkSums(t, s, dw, want, size, s.rows)
	dwFence.check(t, "dw")

	want, size = widen(y), absolute(widen(y))
	s.forward(widen(x), widen(w), widen(bias), want)
	s.forward(absolute(widen(x)), absolute(widen(w)), absolute(widen(bias)), size)
	s.run(x, w, bias, y, packed)
	checkSums(t, s, y, want, size, len(s.taps)*s.in)
	yFence.check(t, "y")
	packedFence.check(t, "packed weights")
}

func TestConv(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(1)
		for i := range 400 {
			testConv(t, r, randomConvShape(r), i%4 == 0)
		}
	})
}

// TestConvSizes walks through every height and width of a tile, and its neighbours.
func TestConvSizes(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(2)
		for rows := range 32 {
			testConv(t, r, newConvShape(r, rows, 5, 3, 2), false)
		}
		for in := range 34 {
			testConv(t, r, newConvShape(r, 3, in, 4, 1), false)
		}
		for out := range 70 {
			testConv(t, r, newConvShape(r, 2, 3, out, 1), false)
		}
	})
}

// TestConvLong has sums so long that a tile needs several calls of assembly for its columns.
func TestConvLong(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds for the plain loops: not with -short")
	}
	forEachSetting(t, func(t *testing.T) {
		r := newRand(10)
		s := newConvShape(r, 17, 3000, 130, 3)
		testConv(t, r, s, false)
		testConvBF16(t, r, newConvShape(r, 70, 3000, 70, 3))
	})
}

func FuzzConv(f *testing.F) {
	f.Add(uint64(1), uint8(14), uint8(3), uint8(33), uint8(2), false)
	f.Add(uint64(2), uint8(31), uint8(16), uint8(16), uint8(1), true)
	f.Add(uint64(3), uint8(0), uint8(0), uint8(0), uint8(0), false)
	f.Fuzz(func(t *testing.T, seed uint64, rows, in, out, taps uint8, special bool) {
		defer Use(Active())
		for _, setting := range Available() {
			Use(setting)
			r := newRand(seed)
			s := newConvShape(r, int(rows), int(in), int(out), int(taps%6))
			testConv(t, r, s, special)
			testConvBF16(t, r, s)
		}
	})
}

// TestConvTransposed: with transposed weights and negated offsets the same loop is the input gradient.
func TestConvTransposed(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(3)
		for range 100 {
			rows, in, out, count := 20+r.IntN(40), 1+r.IntN(40), 1+r.IntN(40), 1+r.IntN(3)
			dilation := 1 + r.IntN(4)
			reach := (count - 1) * dilation
			s := convShape{rows: rows, in: in, out: out, xStride: in, yStride: out}
			var back []Tap
			for p := range count {
				s.taps = append(s.taps, Tap{p * dilation * in, p})
				back = append(back, Tap{-p * dilation * out, p})
			}
			w := normals(r, make([]float32, count*in*out), 0.5)
			dy := make([]float32, (rows+2*reach)*out) // zeros before and after
			normals(r, dy[reach*out:(rows+reach)*out], 0.5)
			dx, fence := newFenced[float32]((rows+reach)*in, r.IntN(16))
			want, size := make([]float64, len(dx)), make([]float64, len(dx))
			reference.ConvInputGradient(rows, in, out, want, 0, in, s.referenceTaps(), widen(w), widen(dy[reach*out:]), 0, out)
			reference.ConvInputGradient(rows, in, out, size, 0, in, s.referenceTaps(), absolute(widen(w)), absolute(widen(dy[reach*out:])), 0, out)
			ConvForward(&Conv{Rows: rows + reach, X: dy, XBase: reach * out, XStride: out, Taps: back,
				W: PackWeightsTransposed(make([]float32, PackedLen(count, out, in)), w, count, in, out), Y: dx, YStride: in})
			checkSums(t, s, dx, want, size, count*out)
			fence.check(t, "dx")
		}
	})
}

// TestConvSplit: the result does not depend, in any bit, on how the rows of a convolution or the channels of a weight
// gradient are split into calls.
func TestConvSplit(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		const rows, in, out = 500, 37, 41
		r := newRand(4)
		x, w := normals(r, make([]float32, rows*in), 1), normals(r, make([]float32, in*out), 1)
		whole, parts := make([]float32, rows*out), make([]float32, rows*out)
		c := Conv{Rows: rows, X: x, XStride: in, Taps: []Tap{{}}, W: PackWeights(make([]float32, PackedLen(1, in, out)), w, 1, in, out), Y: whole, YStride: out}
		ConvForward(&c)
		c.Y = parts
		for from := 0; from < rows; from += c.Rows {
			c.Rows, c.XBase, c.YBase = min(1+r.IntN(60), rows-from), from*in, from*out
			ConvForward(&c)
		}
		sameBits(t, "rows", parts, whole)

		dw, dwParts := make([]float32, in*out), make([]float32, in*out)
		g := ConvGradient{Rows: rows, In: in, Out: out, X: x, XStride: in, Taps: []Tap{{}}, DY: whole, DYStride: out, DW: dw, DWStride: out}
		ConvWeightGradient(&g)
		g.DW = dwParts
		for k := 0; k < in; k += g.In {
			for n := 0; n < out; n += g.Out {
				if n == 0 {
					g.In = min(1+r.IntN(20), in-k)
				}
				g.Out = min(1+r.IntN(40), out-n)
				g.XBase, g.DYBase, g.DWBase = k, n, k*out+n
				ConvWeightGradient(&g)
			}
		}
		sameBits(t, "channels", dwParts, dw)
	})
}

func sameBits(t *testing.T, what string, found, want []float32) {
	t.Helper()
	for i, v := range found {
		if math.Float32bits(v) != math.Float32bits(want[i]) {
			t.Fatalf("split by %s: element %d is %v, want %v", what, i, v, want[i])
		}
	}
}

func TestConvAllocatesNothing(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		s := newConvShape(newRand(5), 40, 20, 50, 2)
		x, w, bias, y := make([]float32, s.xLen), make([]float32, 2*20*50), make([]float32, 50), make([]float32, s.rows*s.yStride)
		packed := make([]float32, PackedLen(2, 20, 50))
		if n := testing.AllocsPerRun(10, func() { s.run(x, w, bias, y, packed); s.runGradient(x, y, w) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// TestConvPanics: a reach outside a slice is caught before any arithmetic, and the message has both sizes.
func TestConvPanics(t *testing.T) {
	r := newRand(6)
	s := newConvShape(r, 10, 4, 6, 2)
	x, w, y := make([]float32, s.xLen), make([]float32, 2*4*6), make([]float32, s.rows*s.yStride)
	packed := make([]float32, PackedLen(2, 4, 6))
	s.bias = false
	for name, f := range map[string]func(){
		"short x":      func() { s.run(x[:(s.rows-1)*s.xStride], w, nil, y, packed) },
		"short y":      func() { s.run(x, w, nil, y[:(s.rows-1)*s.yStride], packed) },
		"short w":      func() { s.run(x, w[1:], nil, y, packed) },
		"short packed": func() { s.run(x, w, nil, y, packed[1:]) },
		"short dw":     func() { s.runGradient(x, y, w[:1]) },
	} {
		func() {
			defer func() {
				if v := recover(); v == nil {
					t.Errorf("%s: no panic", name)
				} else if _, ok := v.(string); !ok {
					t.Errorf("%s: panic %v, want a message", name, v)
				}
			}()
			f()
		}()
	}
}

// BenchmarkConv reports GFLOP/s of the products of 1x1 and dilated layers.
func BenchmarkConv(b *testing.B) {
	forEachTier(b, func(b *testing.B) {
		for _, h := range []struct{ out, in, rows, taps int }{{128, 64, 8192, 1}, {256, 256, 8192, 1}, {64, 64, 8192, 2}, {128, 128, 8192, 2}} {
			const dilation = 64
			s := convShape{rows: h.rows, in: h.in, out: h.out, matrices: h.taps, xStride: h.in, yStride: h.out}
			for p := range h.taps {
				s.taps = append(s.taps, Tap{p * dilation * h.in, p})
			}
			x, y := make([]float32, (h.rows+(h.taps-1)*dilation)*h.in), make([]float32, h.rows*h.out)
			w := make([]float32, h.taps*h.in*h.out)
			packed := make([]float32, PackedLen(h.taps, h.in, h.out))
			for name, f := range map[string]func(){
				"forward":  func() { s.run(x, w, nil, y, packed) },
				"gradient": func() { s.runGradient(x, y, w) },
			} {
				b.Run(fmt.Sprintf("%s/%dx%dx%d,k=%d", name, h.out, h.in, h.rows, h.taps), func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(2*float64(h.rows*h.in*h.out*h.taps)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	})
}
