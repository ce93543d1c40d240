package reference

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The gradients are those of the forward pass: finite differences of <dy, y> in every coordinate.
func TestConv2DGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return v
	}
	for _, c := range []Conv2D{
		{Batch: 1, In: 1, Out: 1, Height: ConvAxis{1, 1, 1, 1, 1, 0}, Width: ConvAxis{5, 5, 2, 1, 1, 1}},
		{Batch: 2, In: 2, Out: 3, Height: ConvAxis{1, 1, 1, 1, 1, 0}, Width: ConvAxis{7, 4, 3, 2, 2, 3}},
		{Batch: 2, In: 3, Out: 2, Height: ConvAxis{4, 2, 3, 2, 1, 1}, Width: ConvAxis{5, 5, 2, 1, 2, 1}},
		{Batch: 1, In: 2, Out: 2, Height: ConvAxis{3, 3, 3, 1, 1, 1}, Width: ConvAxis{3, 3, 3, 1, 1, 1}, Mask: maskB(3, 3, 2, 2)},
	} {
		t.Run(fmt.Sprintf("%+v", c.Width), func(t *testing.T) {
			x := random(c.Batch * c.Height.In * c.Width.In * c.In)
			w := random(c.Height.Kernel * c.Width.Kernel * c.In * c.Out)
			bias := random(c.Out)
			dy := random(c.Batch * c.Height.Out * c.Width.Out * c.Out)
			loss := func() float64 {
				sum := 0.0
				for i, y := range c.Forward(x, w, bias) {
					sum += y * dy[i]
				}
				return sum
			}
			for name, p := range map[string]struct{ value, gradient []float64 }{
				"x": {x, c.InputGradient(w, dy)}, "w": {w, c.WeightGradient(x, dy)}, "bias": {bias, c.BiasGradient(dy)},
			} {
				for i, v := range p.value {
					const h = 1e-3 // the loss is linear in each coordinate
					p.value[i] = v + h
					up := loss()
					p.value[i] = v - h
					down := loss()
					p.value[i] = v
					if want := (up - down) / (2 * h); math.Abs(p.gradient[i]-want) > 1e-6*(1+math.Abs(want)) {
						t.Errorf("d%s[%d] = %v, finite difference %v", name, i, p.gradient[i], want)
					}
				}
			}
		})
	}
}

// One output worked out by hand, so that forward does not rest on its own word.
func TestConv2DForward(t *testing.T) {
	c := Conv2D{Batch: 1, In: 1, Out: 1, Height: ConvAxis{2, 2, 2, 1, 1, 1}, Width: ConvAxis{3, 2, 2, 2, 1, 0}}
	x := []float64{
		1, 2, 3,
		4, 5, 6,
	}
	w := []float64{
		10, 100,
		1000, 10000,
	}
	want := []float64{
		0.5 + 1000 + 20000, 0.5 + 3000,
		0.5 + 10 + 200 + 4000 + 50000, 0.5 + 30 + 6000,
	}
	for i, y := range c.Forward(x, w, []float64{0.5}) {
		if y != want[i] {
			t.Errorf("y[%d] = %v, want %v", i, y, want[i])
		}
	}
}

// maskB keeps the taps up to the centre in raster order.
func maskB(kh, kw, in, out int) []float64 {
	m := make([]float64, kh*kw*in*out)
	for i := range m {
		if tap := i / (in * out); tap <= kh/2*kw+kw/2 {
			m[i] = 1
		}
	}
	return m
}
