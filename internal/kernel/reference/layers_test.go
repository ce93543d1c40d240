package reference_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
)

// normal returns n normal values with the given deviation.
func normal(r *rand.Rand, n int, deviation float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = deviation * r.NormFloat64()
	}
	return x
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func central(t *testing.T, what string, f func() float64, x, analytic []float64) {
	t.Helper()
	if err := gradcheck.Central(f, x, analytic); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func TestLinear(t *testing.T) {
	y := reference.Linear(2, 2, 1, []float64{1, 2, 3, 4}, []float64{10, 100}, []float64{5})
	if y[0] != 215 || y[1] != 435 {
		t.Errorf("Linear is %v, want [215 435]", y)
	}
	r := rand.New(rand.NewPCG(1, 1))
	const rows, in, out = 5, 4, 3
	x, w, b, dy := normal(r, rows*in, 1), normal(r, in*out, 1), normal(r, out, 1), normal(r, rows*out, 1)
	f := func() float64 { return dot(reference.Linear(rows, in, out, x, w, b), dy) }
	dx, dw, db := reference.LinearBackward(rows, in, out, x, w, dy)
	central(t, "x", f, x, dx)
	central(t, "w", f, w, dw)
	central(t, "b", f, b, db)
}

func TestEmbedding(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	const size, n = 5, 3
	ids := []int32{4, 0, 4, 2, 4}
	table, dy := normal(r, size*n, 1), normal(r, len(ids)*n, 1)
	if y := reference.Embedding(n, table, ids); y[3] != table[0] || y[11] != table[8] {
		t.Errorf("Embedding is %v of %v", y, table)
	}
	f := func() float64 { return dot(reference.Embedding(n, table, ids), dy) }
	central(t, "table", f, table, reference.EmbeddingBackward(size, n, ids, dy))
}

func TestCrossEntropy(t *testing.T) {
	loss, _ := reference.CrossEntropy(2, []float64{0, math.Log(3), 1000, 0}, []int32{0, 1})
	if want := (math.Log(4) + 1000) / 2; math.Abs(loss-want) > 1e-9 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	r := rand.New(rand.NewPCG(3, 1))
	logits, targets := normal(r, 4*7, 2), []int32{0, 6, 3, 3}
	f := func() float64 { loss, _ := reference.CrossEntropy(7, logits, targets); return loss }
	_, dlogits := reference.CrossEntropy(7, logits, targets)
	central(t, "logits", f, logits, dlogits)
}

func TestMSE(t *testing.T) {
	if loss, _ := reference.MSE([]float64{1, 5}, []float64{2, 2}); loss != 5 {
		t.Errorf("loss %v, want 5", loss)
	}
	r := rand.New(rand.NewPCG(4, 1))
	y, target := normal(r, 9, 1), normal(r, 9, 1)
	_, dy := reference.MSE(y, target)
	central(t, "y", func() float64 { loss, _ := reference.MSE(y, target); return loss }, y, dy)
}

func TestLogisticMixture(t *testing.T) {
	// One mixture, mean 0, s = 1/2: the probability of level 1 of 3, the x in [-1/2, 1/2], is tanh(1/2).
	loss, _ := reference.LogisticMixture(1, 3, 1, []float64{0, 0, math.Log(0.5)}, []int32{1})
	if want := -math.Log(math.Tanh(0.5)); math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	for _, c := range []struct{ channels, levels, mixtures int }{
		{1, 2, 1}, {1, 256, 3}, {1, 65536, 2}, {3, 256, 1}, {3, 256, 4}, {3, 5, 2},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 1))
			perChannel := 2
			if c.channels == 3 {
				perChannel = 3
			}
			rows, width := 6, c.mixtures*(1+c.channels*perChannel)
			params := normal(r, rows*width, 0.5)
			targets := make([]int32, rows*c.channels)
			for i := range targets {
				targets[i] = int32(r.IntN(c.levels))
			}
			targets[0], targets[c.channels] = 0, int32(c.levels-1)
			for i := range params {
				if kind := (i%width/c.mixtures - 1) % perChannel; i%width >= c.mixtures && kind == 1 {
					params[i] = 0.3*params[i] - 1 // log s
					if c.mixtures > 1 && i%c.mixtures == 0 && i/width%2 == 0 {
						params[i] = -20 // below the limit; the other mixtures keep the likelihood up
					}
				}
			}
			f := func() float64 {
				loss, _ := reference.LogisticMixture(c.channels, c.levels, c.mixtures, params, targets)
				return loss
			}
			_, dparams := reference.LogisticMixture(c.channels, c.levels, c.mixtures, params, targets)
			central(t, "params", f, params, dparams)
		})
	}
}
