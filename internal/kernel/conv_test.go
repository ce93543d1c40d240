package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
)

// forEachSetting runs f under every tier and extension that this machine has.
func forEachConvSetting(t *testing.T, f func(t *testing.T)) {
	for _, s := range Available() {
		t.Run(s.String(), func(t *testing.T) {
			defer Use(Use(s))
			f(t)
		})
	}
}

// convCase is a convolution of random geometry with everything that the tests of one need.
type convCase struct {
	rows, in, out, taps, stride int
	accumulate, bias            bool
	xStride, yStride            int
}

func (c convCase) String() string {
	return fmt.Sprintf("rows=%d in=%d out=%d taps=%d stride=%d acc=%v bias=%v", c.rows, c.in, c.out, c.taps, c.stride, c.accumulate, c.bias)
}

const sentinel = 1234.5

// randomFloats has n floats in [-1, 1) between sentinels, at an odd alignment.
type guarded struct {
	all, part []float32
	front     int
}

func newGuarded(r *rand.Rand, n int) guarded {
	front := 1 + r.IntN(20)
	g := guarded{all: make([]float32, front+n+17), front: front}
	for i := range g.all {
		g.all[i] = sentinel
	}
	g.part = g.all[front : front+n : front+n]
	for i := range g.part {
		g.part[i] = 2*r.Float32() - 1
	}
	return g
}

func (g guarded) check(t *testing.T, what string) {
	t.Helper()
	for i, v := range g.all {
		if (i < g.front || i >= g.front+len(g.part)) && v != sentinel {
			t.Fatalf("%s: guard word %d overwritten with %v", what, i-g.front, v)
		}
	}
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func widenTaps(taps []Tap) []reference.Tap {
	w := make([]reference.Tap, len(taps))
	for i, p := range taps {
		w[i] = reference.Tap(p)
	}
	return w
}

func checkClose(t *testing.T, what string, found []float32, want []float64, tolerance float64) {
	t.Helper()
	for i, v := range found {
		if math.IsNaN(want[i]) && v != v {
			continue
		}
		if float64(v) == want[i] { // infinities
			continue
		}
		if d := math.Abs(float64(v) - want[i]); !(d <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, v, want[i])
		}
	}
}

func randomConvCase(r *rand.Rand) convCase {
	c := convCase{rows: r.IntN(40), in: r.IntN(40), out: r.IntN(70), taps: r.IntN(5), stride: 1 + r.IntN(3),
		accumulate: r.IntN(2) == 0, bias: r.IntN(2) == 0}
	if r.IntN(4) == 0 {
		c.rows += 300
	}
	c.xStride = (c.in + r.IntN(3)) * c.stride
	c.yStride = c.out + r.IntN(3)
	return c
}

// geometry gives taps of the case, some with negative offsets, the base that keeps them in range and x's length.
func (c convCase) geometry(r *rand.Rand) (taps []Tap, base, length int) {
	dilation := r.IntN(4) * max(c.in, 1)
	if r.IntN(3) == 0 {
		dilation = c.in
	}
	for p := range c.taps {
		taps = append(taps, Tap{Offset: (p - c.taps/2) * dilation, Weight: p})
	}
	if r.IntN(3) == 0 && len(taps) > 1 {
		taps = taps[:len(taps)-1] // a mask
	}
	base = c.taps / 2 * dilation
	return taps, base, base + max(c.rows-1, 0)*c.xStride + max(c.taps-1, 0)*dilation + c.in
}

func TestConvForward(t *testing.T) {
	forEachConvSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 400 {
			c := randomConvCase(r)
			taps, base, length := c.geometry(r)
			x := newGuarded(r, length)
			w := newGuarded(r, c.taps*c.in*c.out)
			bias := newGuarded(r, c.out)
			y := newGuarded(r, c.rows*c.yStride)
			want := widen(y.part)
			for i := range c.rows {
				for n := range c.out {
					switch {
					case c.accumulate:
					case c.bias:
						want[i*c.yStride+n] = float64(bias.part[n])
					default:
						want[i*c.yStride+n] = 0
					}
				}
			}
			reference.Conv(c.rows, c.in, c.out, widen(x.part), base, c.xStride, widenTaps(taps), widen(w.part), want, 0, c.yStride)
			packed := newGuarded(r, PackedLen(c.taps, c.in, c.out))
			conv := Conv{Rows: c.rows, X: x.part, XBase: base, XStride: c.xStride, Taps: taps,
				W: PackWeights(packed.part, w.part, c.taps, c.in, c.out), Y: y.part, YStride: c.yStride, Accumulate: c.accumulate}
			if c.bias {
				conv.Bias = bias.part
			}
			ConvForward(&conv)
			checkClose(t, c.String(), y.part, want, 1e-5)
			y.check(t, c.String())
			packed.check(t, c.String())
		}
	})
}

// TestConvTransposed uses transposed weights and negated offsets for the input gradient.
func TestConvTransposed(t *testing.T) {
	forEachConvSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 100 {
			rows, in, out, count := 20+r.IntN(40), 1+r.IntN(40), 1+r.IntN(40), 1+r.IntN(3)
			dilation := 1 + r.IntN(4)
			reach := (count - 1) * dilation
			var taps, back []Tap
			for p := range count {
				taps = append(taps, Tap{p * dilation * in, p})
				back = append(back, Tap{-p * dilation * out, p})
			}
			w, dy := newGuarded(r, count*in*out), newGuarded(r, (rows+2*reach)*out)
			clear(dy.part[:reach*out])
			clear(dy.part[(rows+reach)*out:])
			dx := newGuarded(r, (rows+reach)*in)
			want := make([]float64, len(dx.part))
			reference.ConvInputGradient(rows, in, out, want, 0, in, widenTaps(taps), widen(w.part), widen(dy.part[reach*out:]), 0, out)
			ConvForward(&Conv{Rows: rows + reach, X: dy.part, XBase: reach * out, XStride: out, Taps: back,
				W: PackWeightsTransposed(make([]float32, PackedLen(count, out, in)), w.part, count, in, out), Y: dx.part, YStride: in})
			checkClose(t, "dx", dx.part, want, 1e-5)
			dx.check(t, "dx")
		}
	})
}

func TestConvWeightGradient(t *testing.T) {
	forEachConvSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for range 300 {
			c := randomConvCase(r)
			taps, base, length := c.geometry(r)
			x, dy := newGuarded(r, length), newGuarded(r, c.rows*c.yStride)
			dw := newGuarded(r, c.taps*c.in*c.out)
			want := widen(dw.part)
			reference.ConvWeightGradient(c.rows, c.in, c.out, widen(x.part), base, c.xStride, widenTaps(taps), want, widen(dy.part), 0, c.yStride)
			ConvWeightGradient(&ConvGradient{Rows: c.rows, In: c.in, Out: c.out, X: x.part, XBase: base, XStride: c.xStride, Taps: taps,
				DY: dy.part, DYStride: c.yStride, DW: dw.part, DWTap: c.in * c.out, DWStride: c.out})
			checkClose(t, c.String(), dw.part, want, 3e-5)
			dw.check(t, c.String())
		}
	})
}

// BenchmarkConv reports GFLOP/s of the three products for a 1x1 and a dilated layer.
func BenchmarkConv(b *testing.B) {
	type shape struct{ out, in, rows, taps int }
	for _, s := range Available() {
		if s.Tier == Generic || s.Ext != Best().Ext && s.Tier == AVX512 {
			continue
		}
		for _, h := range []shape{{128, 64, 8192, 1}, {128, 128, 8192, 1}, {256, 256, 8192, 1}, {256, 256, 32768, 1},
			{64, 64, 8192, 2}, {128, 128, 8192, 2}, {256, 256, 8192, 2}} {
			const dilation = 64
			reach := (h.taps - 1) * dilation
			x, y := make([]float32, (h.rows+reach)*h.in), make([]float32, h.rows*h.out)
			w, dw := make([]float32, h.taps*h.in*h.out), make([]float32, h.taps*h.in*h.out)
			packed := make([]float32, PackedLen(h.taps, h.in, h.out))
			var taps []Tap
			for p := range h.taps {
				taps = append(taps, Tap{p * dilation * h.in, p})
			}
			flops := 2 * float64(h.rows*h.in*h.out*h.taps)
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%v/%dx%dx%dk%d", name, s.Tier, h.out, h.in, h.rows, h.taps), func(b *testing.B) {
					defer Use(Use(s))
					f()
					for b.Loop() {
						f()
					}
					b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
			run("forward", func() {
				ConvForward(&Conv{Rows: h.rows, X: x, XStride: h.in, Taps: taps, W: PackWeights(packed, w, h.taps, h.in, h.out), Y: y, YStride: h.out})
			})
			run("gradient", func() {
				ConvWeightGradient(&ConvGradient{Rows: h.rows, In: h.in, Out: h.out, X: x, XStride: h.in, Taps: taps,
					DY: y, DYStride: h.out, DW: dw, DWTap: h.in * h.out, DWStride: h.out})
			})
		}
	}
}
