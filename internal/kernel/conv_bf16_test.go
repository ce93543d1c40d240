package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
)

// randomBF16 has n bfloat16 numbers in [-1, 1) and what they stand for.
func randomBF16(r *rand.Rand, n int) ([]uint16, []float64) {
	b, f := make([]uint16, n), make([]float64, n)
	for i := range b {
		b[i] = bf16Round(2*r.Float32() - 1)
		f[i] = float64(bf16Float(b[i]))
	}
	return b, f
}

func TestConvForwardBF16(t *testing.T) {
	forEachConvSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for range 300 {
			c := randomConvCase(r)
			depth := PaddedBF16(c.in)
			c.xStride = max(c.xStride, depth)
			taps, base, length := c.geometry(r)
			x, xf := randomBF16(r, length+depth-c.in)
			w, bias := make([]float32, c.taps*c.in*c.out), newGuarded(r, c.out)
			wf := make([]float64, c.taps*depth*c.out) // zeros below the padding of x
			for i := range w {
				w[i] = 2*r.Float32() - 1
				tap, k, n := i/(c.in*c.out), i/c.out%c.in, i%c.out
				wf[(tap*depth+k)*c.out+n] = float64(bf16Float(bf16Round(w[i])))
			}
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
			reference.Conv(c.rows, depth, c.out, xf, base, c.xStride, widenTaps(taps), wf, want, 0, c.yStride)
			conv := ConvBF16{Rows: c.rows, X: x, XBase: base, XStride: c.xStride, Taps: taps,
				W: PackWeightsBF16(make([]uint16, PackedLenBF16(c.taps, c.in, c.out)), w, c.taps, c.in, c.out),
				Y: y.part, YStride: c.yStride, Accumulate: c.accumulate}
			if c.bias {
				conv.Bias = bias.part
			}
			ConvForwardBF16(&conv)
			checkClose(t, c.String(), y.part, want, 2e-5)
			y.check(t, c.String())
		}
	})
}

func TestPackWeightsTransposedBF16(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const taps, in, out = 3, 5, 37
	w, transposed := newGuarded(r, taps*in*out), make([]float32, taps*in*out)
	for p := range taps {
		for k := range in {
			for n := range out {
				transposed[(p*out+n)*in+k] = w.part[(p*in+k)*out+n]
			}
		}
	}
	a := PackWeightsTransposedBF16(make([]uint16, PackedLenBF16(taps, out, in)), w.part, taps, in, out)
	b := PackWeightsBF16(make([]uint16, PackedLenBF16(taps, out, in)), transposed, taps, out, in)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("transposing while packing differs from transposing before")
	}
}

func TestConvWeightGradientBF16(t *testing.T) {
	forEachConvSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for range 200 {
			c := randomConvCase(r)
			taps, base, length := c.geometry(r)
			x, xf := randomBF16(r, length)
			dy, dyf := randomBF16(r, c.rows*c.yStride)
			dw := newGuarded(r, c.taps*c.in*c.out)
			want := widen(dw.part)
			reference.ConvWeightGradient(c.rows, c.in, c.out, xf, base, c.xStride, widenTaps(taps), want, dyf, 0, c.yStride)
			ConvWeightGradientBF16(&ConvGradientBF16{Rows: c.rows, In: c.in, Out: c.out, X: x, XBase: base, XStride: c.xStride, Taps: taps,
				DY: dy, DYStride: c.yStride, DW: dw.part, DWTap: c.in * c.out, DWStride: c.out,
				Scratch: make([]uint16, GradientScratchBF16(c.in, c.out))})
			checkClose(t, c.String(), dw.part, want, 5e-5)
			dw.check(t, c.String())
		}
	})
}
