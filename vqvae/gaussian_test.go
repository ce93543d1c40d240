package vqvae

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

func newGaussian(kl float64, warmUp int) *Gaussian {
	return NewGaussian(BottleneckConfig{Kind: VAE, Dim: 3, KL: kl, KLWarmUp: warmUp}, 10)
}

// TestDivergence compares the divergence with an integral over the two densities.
func TestDivergence(t *testing.T) {
	g := newGaussian(0.5, 0)
	src := rand.NewPCG(2, 3)
	z := random(src, 2, 4, 6)
	integral := 0.0
	for r := range z.Rows() {
		for i := range 3 {
			mean, deviation := float64(z.Row(r)[i]), math.Exp(float64(z.Row(r)[3+i])/2)
			const n = 20000
			for k := range n { // the midpoint rule over ten deviations
				u := (float64(k)+0.5)/n*20 - 10
				x := mean + deviation*u
				density := math.Exp(-u*u/2) / math.Sqrt(2*math.Pi) / deviation
				integral += density * (math.Log(density) + x*x/2 + math.Log(2*math.Pi)/2) * deviation * 20 / n
			}
		}
	}
	v := g.Forward(new(tensor.Arena), z, nil)
	if want := integral / 8; math.Abs(v.KLPerFrame-want) > 1e-6*want {
		t.Errorf("a divergence of %g nats per frame, want %g", v.KLPerFrame, want)
	}
	if want := 0.5 * v.KLPerFrame / 10; math.Abs(v.KL-want) > 1e-12 {
		t.Errorf("a loss of %g for %g nats per frame of 10 samples, want %g", v.KL, v.KLPerFrame, want)
	}
	if v.Commitment != 0 || v.Codebook != 0 || v.Codes != nil || v.Lost != 0 {
		t.Errorf("%+v", v)
	}
	// The prior itself, and no frames.
	if v := g.Forward(new(tensor.Arena), tensor.New(5, 6), nil); v.KLPerFrame != 0 {
		t.Errorf("a divergence of %g from itself", v.KLPerFrame)
	}
	if v := g.Forward(new(tensor.Arena), tensor.New(0, 4, 6), src); v.KL != 0 || v.Vectors.Len() != 0 {
		t.Errorf("a divergence of %g of nothing", v.KL)
	}
}

// TestSamples checks mean, deviation and independence of samples, and that evaluation takes the mean.
func TestSamples(t *testing.T) {
	g := newGaussian(1, 0)
	const rows = 40000
	z := tensor.New(rows, 6)
	for r := range rows {
		copy(z.Row(r), []float32{1, -2, 0, 0, float32(2 * math.Log(3)), float32(2 * math.Log(0.1))})
	}
	a := new(tensor.Arena)
	v := g.Forward(a, z, rand.NewPCG(1, 1))
	mean, square := make([]float64, 3), make([][3]float64, 3)
	for r := range rows {
		for i, x := range v.Vectors.Row(r) {
			mean[i] += float64(x) / rows
			for j, y := range v.Vectors.Row(r) {
				square[i][j] += float64(x) * float64(y) / rows
			}
		}
	}
	for i, want := range []float64{1, -2, 0} {
		deviation := []float64{1, 3, 0.1}
		if math.Abs(mean[i]-want) > 5*deviation[i]/math.Sqrt(rows) {
			t.Errorf("channel %d: mean %g, want %g", i, mean[i], want)
		}
		for j := range 3 {
			covariance := 0.0
			if i == j {
				covariance = deviation[i] * deviation[i]
			}
			if got := square[i][j] - mean[i]*mean[j]; math.Abs(got-covariance) > 8*deviation[i]*deviation[j]/math.Sqrt(rows) {
				t.Errorf("channels %d and %d: covariance %g, want %g", i, j, got, covariance)
			}
		}
	}
	again := g.Forward(a, z, rand.NewPCG(1, 1))
	if !slices.Equal(again.Vectors.Data, v.Vectors.Data) {
		t.Error("other samples of the same source")
	}
	evaluated := g.Forward(a, z, nil)
	for r := range rows {
		if !slices.Equal(evaluated.Vectors.Row(r), z.Row(r)[:3]) {
			t.Fatalf("evaluation takes %v, not the mean", evaluated.Vectors.Row(r))
		}
	}
	if evaluated.KLPerFrame != v.KLPerFrame {
		t.Errorf("divergences %g and %g of the same", evaluated.KLPerFrame, v.KLPerFrame)
	}
}

// TestGaussianGradients compares with differences of <vectors, dvectors> + KL, the noise being the same, with noise and without,
// within and beyond the limits of the variance.
func TestGaussianGradients(t *testing.T) {
	for _, noise := range []bool{true, false} {
		for _, weight := range []float64{0, 0.7, 500} {
			g := newGaussian(weight, 0)
			src := rand.NewPCG(2, 3)
			z, dvectors := random(src, 2, 5, 6), random(src, 2, 5, 3)
			z.Row(1)[3], z.Row(3)[5] = -40, -8
			forward := func() Latent {
				if noise {
					return g.Forward(new(tensor.Arena), z, rand.NewPCG(7, 7))
				}
				return g.Forward(new(tensor.Arena), z, nil)
			}
			a := &tensor.Arena{Poison: true}
			dz := g.Backward(a, z, forward(), dvectors)
			loss := func() float64 {
				v := forward()
				return inner(v.Vectors.Data, dvectors.Data) + v.KL
			}
			if err := gradcheck.Directional(loss, src, gradcheck.Part{Name: "z", X: z.Data, Grad: dz.Data}); err != nil {
				t.Errorf("noise %t, weight %g: %v", noise, weight, err)
			}
			z.Row(2)[4] = 25
			if dz = g.Backward(a, z, forward(), dvectors); dz.Row(1)[3] != 0 || dz.Row(2)[4] != 0 {
				t.Errorf("gradients %g and %g beyond the limits", dz.Row(1)[3], dz.Row(2)[4])
			}
		}
	}
}

// TestWarmUp: the weight rises by the updates that had a batch, up to the end.
func TestWarmUp(t *testing.T) {
	g := newGaussian(2, 4)
	a, z := new(tensor.Arena), random(rand.NewPCG(2, 3), 3, 6)
	for _, want := range []float64{0, 0.5, 1, 1.5, 2, 2, 2} {
		v := g.Forward(a, z, nil)
		if got := v.KL / v.KLPerFrame * 10; math.Abs(got-want) > 1e-12 || g.Weight() != want {
			t.Errorf("weight %g, in the loss %g, want %g", g.Weight(), got, want)
		}
		g.Keep(g.Forward(a, tensor.New(0, 6), nil))
		g.Update(nil)
		g.Keep(v)
		g.Update(nil)
		g.Update(nil) // without a batch
	}
	if state := g.State(); len(state) != 1 || state[0].Name != "steps" || state[0].Value.Data[0] != 7 {
		t.Errorf("state %v", state[0].Value.Data)
	}
	if w := newGaussian(2, 0).Weight(); w != 2 {
		t.Errorf("without warm-up a weight of %g at first", w)
	}
}

// TestGaussianExtremes: the largest and smallest logarithms do not overflow; what is not finite makes the loss so.
func TestGaussianExtremes(t *testing.T) {
	g := newGaussian(1, 0)
	a := new(tensor.Arena)
	z := tensor.From([]float32{0, 1, 2, 3e38, -3e38, 88}, 1, 6)
	v := g.Forward(a, z, rand.NewPCG(1, 1))
	if v.Lost != 0 || !finite(v.Vectors.Data) || math.IsInf(v.KL, 0) || math.IsNaN(v.KL) || !finite(g.Backward(a, z, v, v.Vectors).Data) {
		t.Errorf("%v, %d lost, a loss of %g", v.Vectors.Data, v.Lost, v.KL)
	}
	for i := range 6 {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, weight := range []float64{0, 1} {
				g := newGaussian(weight, 0)
				z := tensor.New(3, 6)
				z.Row(1)[i] = float32(bad)
				if v := g.Forward(a, z, rand.NewPCG(1, 1)); v.Lost != 1 || !math.IsInf(v.KL, 1) && !math.IsNaN(v.KL) {
					t.Errorf("%g as element %d: %d lost, a loss of %g", bad, i, v.Lost, v.KL)
				}
			}
		}
	}
}

// TestThrough: nothing happens to vectors without a bottleneck.
func TestThrough(t *testing.T) {
	b := newBottleneck(BottleneckConfig{Kind: None, Dim: 3}, 10, nil)
	z, d := random(rand.NewPCG(2, 3), 2, 4, 3), random(rand.NewPCG(2, 4), 2, 4, 3)
	a := new(tensor.Arena)
	v := b.Forward(a, z, nil)
	if !slices.Equal(v.Vectors.Data, z.Data) || v.Codes != nil || v.Commitment+v.Codebook+v.KL != 0 || v.Lost != 0 {
		t.Errorf("%+v", v)
	}
	if !slices.Equal(b.Backward(a, z, v, d).Data, d.Data) {
		t.Error("the gradient does not pass")
	}
	z.Row(5)[1] = float32(math.Inf(1))
	if v := b.Forward(a, z, nil); v.Lost != 1 {
		t.Errorf("%d lost vectors, want 1", v.Lost)
	}
}
