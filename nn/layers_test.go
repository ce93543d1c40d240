package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

func TestLinearAgainstReference(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		a := &tensor.Arena{Poison: true}
		for _, c := range []struct{ rows, in, out int }{
			{1, 1, 1}, {3, 2, 5}, {0, 4, 4}, {5, 0, 3}, {5, 3, 0}, {169, 57, 33}, {700, 64, 96}, {337, 130, 1}, {257, 1, 70},
		} {
			l := NewLinear(c.in, c.out, rand.NewPCG(3, 4))
			copy(l.Bias.Value.Data, random(r, 1, c.out).Data)
			x, dy := random(r, 1, c.rows, c.in), random(r, 1, c.rows, c.out)
			y := l.Forward(a, x)
			w, b := doubles(l.Weight.Value.Data), doubles(l.Bias.Value.Data)
			name := fmt.Sprintf("%+v: ", c)
			near(t, name+"y", y.Data, reference.Linear(c.rows, c.in, c.out, doubles(x.Data), w, b), 1e-5)

			// The gradients accumulate onto what is there.
			dw0, db0 := random(r, 1, c.in, c.out), random(r, 1, c.out)
			copy(l.Weight.Grad.Data, dw0.Data)
			copy(l.Bias.Grad.Data, db0.Data)
			dx := l.Backward(a, x, dy)
			wantDX, wantDW, wantDB := reference.LinearBackward(c.rows, c.in, c.out, doubles(x.Data), w, doubles(dy.Data))
			for i, v := range dw0.Data {
				wantDW[i] += float64(v)
			}
			for i, v := range db0.Data {
				wantDB[i] += float64(v)
			}
			near(t, name+"dx", dx.Data, wantDX, 1e-5)
			near(t, name+"dw", l.Weight.Grad.Data, wantDW, 1e-5)
			near(t, name+"db", l.Bias.Grad.Data, wantDB, 1e-5)
			a.Reset()
		}
	})
}

func TestLinearByDifferences(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		a := &tensor.Arena{Poison: true}
		l := NewLinear(6, 5, rand.NewPCG(3, 4))
		x, dy := random(r, 1, 2, 3, 6), random(r, 1, 2, 3, 5)
		dx := clone(l.Backward(a, x, dy).Data)
		directional(t, func() float64 { defer a.Reset(); return inner(l.Forward(a, x).Data, dy.Data) },
			gradcheck.Part{Name: "x", X: x.Data, Grad: dx},
			gradcheck.Part{Name: "weight", X: l.Weight.Value.Data, Grad: l.Weight.Grad.Data},
			gradcheck.Part{Name: "bias", X: l.Bias.Value.Data, Grad: l.Bias.Grad.Data})
	})
}

func TestLinearShapes(t *testing.T) {
	a := new(tensor.Arena)
	l := NewLinear(3, 5, rand.NewPCG(1, 1))
	if y := l.Forward(a, tensor.New(2, 4, 3)); y.String() != "[2 4 5]" {
		t.Errorf("[2 4 3] becomes %v", y)
	}
	wantPanic(t, func() { l.Forward(a, tensor.New(2, 4)) }, "[2 4]", "[3 5]")
	wantPanic(t, func() { l.Forward(a, tensor.New()) }, "[]", "[3 5]")
	wantPanic(t, func() { l.Backward(a, tensor.New(2, 3), tensor.New(3, 5)) }, "[2 3]", "[3 5]")
	wantPanic(t, func() { l.Backward(a, tensor.New(2, 3), tensor.New(2, 4)) }, "[2 3]", "[2 4]", "[3 5]")
}

func TestLinearOnAnyThreads(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		x, dy := random(r, 1, 5000, 60), random(r, 1, 5000, 70)
		sameForAnyThreads(t, "linear", func() [][]float32 {
			a := new(tensor.Arena)
			l := NewLinear(60, 70, rand.NewPCG(1, 1))
			y, dx := l.Forward(a, x), l.Backward(a, x, dy)
			return [][]float32{y.Data, dx.Data, l.Weight.Grad.Data, l.Bias.Grad.Data}
		})
	})
}

// A bias of a long recording: the sum of a million equal numbers, of which one float32 running sum loses 4 %. By blocks of
// 256 the error is bounded by that of 256 additions and then one for each block.
func TestBiasGradientKeepsDigits(t *testing.T) {
	a := new(tensor.Arena)
	l := NewLinear(1, 1, rand.NewPCG(1, 1))
	x, dy := tensor.New(1<<20, 1), tensor.New(1<<20, 1)
	for i := range dy.Data {
		dy.Data[i] = 0.1
	}
	l.Backward(a, x, dy)
	want := float64(float32(0.1)) * (1 << 20)
	const bound = (256 + (1<<20)/256) * 0x1p-24
	if got := float64(l.Bias.Grad.Data[0]); math.Abs(got-want) > bound*want {
		t.Errorf("bias gradient %v, want %v", got, want)
	}
}

func TestEmbeddingAgainstReference(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 3))
		a := &tensor.Arena{Poison: true}
		for _, c := range []struct{ size, n, count int }{{5, 3, 7}, {1, 1, 1}, {4, 2, 0}, {256, 67, 900}, {9, 130, 300}} {
			e := NewEmbedding(c.size, c.n, rand.NewPCG(3, 4))
			in, dy := ids(r, c.count, c.size), random(r, 1, c.count, c.n)
			y := e.Forward(a, in)
			near(t, "y", y.Data, reference.Embedding(c.n, doubles(e.Table.Value.Data), in), 0)
			before := random(r, 1, c.size, c.n)
			copy(e.Table.Grad.Data, before.Data)
			e.Backward(in, dy)
			want := reference.EmbeddingBackward(c.size, c.n, in, doubles(dy.Data))
			for i, v := range before.Data {
				want[i] += float64(v)
			}
			near(t, "gradient of the table", e.Table.Grad.Data, want, 1e-5)
			a.Reset()
		}
	})
}

func TestEmbeddingByDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	a := &tensor.Arena{Poison: true}
	e := NewEmbedding(6, 4, rand.NewPCG(3, 4))
	in, dy := []int32{5, 0, 5, 5, 2}, random(r, 1, 5, 4)
	e.Backward(in, dy)
	directional(t, func() float64 { defer a.Reset(); return inner(e.Forward(a, in).Data, dy.Data) },
		gradcheck.Part{Name: "table", X: e.Table.Value.Data, Grad: e.Table.Grad.Data})
}

func TestEmbeddingPanics(t *testing.T) {
	a := new(tensor.Arena)
	e := NewEmbedding(6, 4, rand.NewPCG(3, 4))
	wantPanic(t, func() { e.Forward(a, []int32{1, 6}) }, "id 6", "position 1", "[0, 6)")
	wantPanic(t, func() { e.Forward(a, []int32{-1}) }, "id -1")
	wantPanic(t, func() { e.Backward([]int32{6}, tensor.New(1, 4)) }, "id 6")
	wantPanic(t, func() { e.Backward([]int32{1}, tensor.New(2, 4)) }, "1 ids", "[2 4]", "[6 4]")
	wantPanic(t, func() { e.Backward([]int32{1}, tensor.New(1, 3)) }, "[1 3]", "[6 4]")
}

func TestEmbeddingOnAnyThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	in, dy := ids(r, 3000, 9), random(r, 1, 3000, 200)
	sameForAnyThreads(t, "embedding", func() [][]float32 {
		e := NewEmbedding(9, 200, rand.NewPCG(3, 4))
		y := e.Forward(new(tensor.Arena), in)
		e.Backward(in, dy)
		return [][]float32{y.Data, e.Table.Grad.Data}
	})
}

func TestReLU(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 6))
		a := &tensor.Arena{Poison: true}
		for _, n := range []int{0, 1, 17, 40000} {
			x, dy := random(r, 1, n), random(r, 1, n)
			if n > 1 {
				x.Data[0], x.Data[1] = 0, float32(math.NaN())
			}
			y := ReLU(a, x)
			dx := ReLUBackward(a, y, dy)
			for i, v := range x.Data {
				wantY, wantDX := max(v, 0), float32(0)
				if v > 0 {
					wantDX = dy.Data[i]
				}
				if (y.Data[i] != wantY && v == v) || (v != v) != (y.Data[i] != y.Data[i]) || dx.Data[i] != wantDX {
					t.Fatalf("%d elements: x %v, dy %v: y %v, dx %v", n, v, dy.Data[i], y.Data[i], dx.Data[i])
				}
			}
		}
		wantPanic(t, func() { ReLUBackward(a, tensor.New(2, 3), tensor.New(3, 2)) }, "[2 3]", "[3 2]")

		x, dy := random(r, 1, 50), random(r, 1, 50)
		for i, v := range x.Data {
			if math.Abs(float64(v)) < 0.1 {
				x.Data[i] = 0.5 // away from the kink
			}
		}
		dx := ReLUBackward(a, ReLU(a, x), dy)
		directional(t, func() float64 { return inner(ReLU(a, x).Data, dy.Data) },
			gradcheck.Part{Name: "x", X: x.Data, Grad: dx.Data})
	})
}

func TestInitialisers(t *testing.T) {
	const n = 100000
	w := tensor.New(n)
	for name, c := range map[string]struct {
		fill             func(src rand.Source)
		deviation, bound float64
	}{
		"He":     {func(src rand.Source) { HeUniform(w, 50, src) }, math.Sqrt(2.0 / 50), math.Sqrt(6.0 / 50)},
		"Xavier": {func(src rand.Source) { XavierUniform(w, 20, 30, src) }, math.Sqrt(2.0 / 50), math.Sqrt(6.0 / 50)},
		"normal": {func(src rand.Source) { Normal(w, 0.3, src) }, 0.3, math.Inf(1)},
	} {
		c.fill(rand.NewPCG(1, 2))
		sum, squares := 0.0, 0.0
		for _, v := range w.Data {
			sum += float64(v)
			squares += float64(v) * float64(v)
			if math.Abs(float64(v)) > c.bound {
				t.Fatalf("%s: %v is beyond %v", name, v, c.bound)
			}
		}
		if mean := sum / n; math.Abs(mean) > 5*c.deviation/math.Sqrt(n) {
			t.Errorf("%s: mean %v", name, mean)
		}
		if d := math.Sqrt(squares / n); math.Abs(d-c.deviation) > 0.01*c.deviation {
			t.Errorf("%s: deviation %v, want %v", name, d, c.deviation)
		}
		first := clone(w.Data)
		c.fill(rand.NewPCG(1, 2))
		if firstDifference(first, w.Data) >= 0 {
			t.Errorf("%s: the same seed gives other weights", name)
		}
		c.fill(rand.NewPCG(1, 3))
		if firstDifference(first, w.Data) < 0 {
			t.Errorf("%s: another seed gives the same weights", name)
		}
	}
}

func TestParameters(t *testing.T) {
	l, e := NewLinear(3, 4, rand.NewPCG(1, 1)), NewEmbedding(5, 3, rand.NewPCG(1, 1))
	ps := append(l.Parameters().Named("encoder.0"), e.Parameters().Named("speaker")...)
	for i, name := range []string{"encoder.0.weight", "encoder.0.bias", "speaker.weight"} {
		if ps[i].Name != name {
			t.Errorf("parameter %d is named %q, want %q", i, ps[i].Name, name)
		}
	}
	if l.Weight.Name != "weight" {
		t.Errorf("Named changed the layer's own parameter to %q", l.Weight.Name)
	}
	if ps.Count() != 3*4+4+5*3 {
		t.Errorf("Count is %d", ps.Count())
	}
	if p := ps.Find("encoder.0.bias"); p == nil || &p.Value.Data[0] != &l.Bias.Value.Data[0] || &p.Grad.Data[0] != &l.Bias.Grad.Data[0] {
		t.Error("Find does not give the layer's elements")
	}
	if ps.Find("bias") != nil {
		t.Error("Find gives a parameter by half its name")
	}
	l.Weight.Grad.Data[5] = 1
	ps.ZeroGrad()
	if l.Weight.Grad.Data[5] != 0 {
		t.Error("ZeroGrad left a gradient")
	}
	if err := ps.CheckNames(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Parameters{append(ps, NewParameter("encoder.0.bias", 2)), append(ps, NewParameter("", 2))} {
		if bad.CheckNames() == nil {
			t.Errorf("CheckNames accepts %q", bad[3].Name)
		}
	}
}

func BenchmarkLinear(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 7))
	const rows, in, out = 8192, 128, 256
	x, dy := random(r, 1, rows, in), random(r, 1, rows, out)
	l := NewLinear(in, out, rand.NewPCG(3, 4))
	a := new(tensor.Arena)
	for _, threads := range []int{1, 2} {
		for name, products := range map[string]int{"forward": 1, "backward": 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				defer parallel.SetThreads(parallel.Threads())
				parallel.SetThreads(threads)
				for b.Loop() {
					if name == "forward" {
						l.Forward(a, x)
					} else {
						l.Backward(a, x, dy)
					}
					a.Reset()
				}
				b.ReportMetric(float64(2*rows*in*out*products*b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}
