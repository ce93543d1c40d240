package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/parallel"
)

// someParameters are of sizes below, at and above a block.
func someParameters(seed uint64) Parameters {
	r := rand.New(rand.NewPCG(seed, 0))
	ps := Parameters{NewParameter("a", 3, 5), NewParameter("b", elementBlock), NewParameter("c", 3, 5501), NewParameter("none", 0)}
	for _, p := range ps {
		copy(p.Value.Data, random(r, 1, p.Value.Len()).Data)
		copy(p.Grad.Data, random(r, 1, p.Value.Len()).Data)
	}
	return ps
}

// newGradients fills the gradients with those of the given step.
func newGradients(ps Parameters, step int) {
	r := rand.New(rand.NewPCG(99, uint64(step)))
	for _, p := range ps {
		copy(p.Grad.Data, random(r, 0.1, p.Value.Len()).Data)
	}
}

// values returns copies of the elements of all parameters.
func values(ps Parameters) [][]float32 {
	var all [][]float32
	for _, p := range ps {
		all = append(all, clone(p.Value.Data))
	}
	return all
}

// Adam and AdamW over 8 steps against the algorithm in float64.
func TestAdam(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, weightDecay := range []float64{0, 0.1} {
			ps := someParameters(1)
			o := NewAdamW(ps, weightDecay)
			o.Beta1, o.Beta2 = 0.8, 0.95
			type state struct{ w, m, v float64 }
			var want []state
			for _, p := range ps {
				for _, w := range p.Value.Data {
					want = append(want, state{w: float64(w)})
				}
			}
			for step := 1; step <= 8; step++ {
				rate := 0.01 / float64(step)
				newGradients(ps, step)
				o.Step(rate)
				i := 0
				for _, p := range ps {
					for _, g := range p.Grad.Data {
						s, g := &want[i], float64(g)
						s.m = 0.8*s.m + 0.2*g
						s.v = 0.95*s.v + 0.05*g*g
						m, v := s.m/(1-math.Pow(0.8, float64(step))), s.v/(1-math.Pow(0.95, float64(step)))
						s.w -= rate * (m/(math.Sqrt(v)+1e-8) + weightDecay*s.w)
						i++
					}
				}
			}
			i := 0
			for _, p := range ps {
				for k, w := range p.Value.Data {
					if math.Abs(float64(w)-want[i].w) > 3e-6 {
						t.Fatalf("decay %v: %s[%d] is %v, want %v", weightDecay, p.Name, k, w, want[i].w)
					}
					i++
				}
			}
			if s := o.State().Find("adam.steps"); s == nil || s.Value.Data[0] != 8 {
				t.Errorf("state says %v steps, want 8", s)
			}
		}
	})
}

func TestAdamDefaultsHaveNoDecay(t *testing.T) {
	ps := Parameters{NewParameter("a", 1)}
	ps[0].Value.Data[0] = 5
	o := NewAdam(ps)
	o.Step(1) // the gradient is zero
	if ps[0].Value.Data[0] != 5 {
		t.Errorf("a zero gradient changed 5 to %v", ps[0].Value.Data[0])
	}
	ps[0].Grad.Data[0] = 123
	o = NewAdam(ps)
	o.Step(0.5) // the first step is of the size of the rate
	if got := ps[0].Value.Data[0]; math.Abs(float64(got)-4.5) > 1e-6 {
		t.Errorf("the first step leads from 5 to %v, want 4.5", got)
	}
}

// Stopped after any step and resumed from named state, training goes on bit for bit; on any number of threads.
func TestOptimisersResumeFromState(t *testing.T) {
	const steps = 7
	train := func(stop int) [][]float32 {
		ps := someParameters(2)
		o, m := NewAdamW(ps, 0.01), NewAverage(ps, 0.9)
		for step := range steps {
			if step == stop {
				next := someParameters(3)
				o2, m2 := NewAdamW(next, 0.01), NewAverage(next, 0.9)
				load := func(to, from Parameters) {
					if err := from.CheckNames(); err != nil {
						t.Fatal(err)
					}
					for _, p := range from {
						copy(to.Find(p.Name).Value.Data, p.Value.Data)
					}
				}
				load(next, ps)
				load(o2.State(), o.State())
				load(m2.State(), m.State())
				ps, o, m = next, o2, m2
			}
			newGradients(ps, step)
			if norm := ClipGlobalNorm(ps, 1); !(norm > 1) {
				t.Fatalf("norm %v, too small to be clipped", norm)
			}
			o.Step(0.01)
			m.Update()
		}
		return append(append(values(ps), values(o.State())...), values(m.State())...)
	}
	want := train(-1)
	for stop := range steps {
		for i, got := range train(stop) {
			if at := firstDifference(got, want[i]); at >= 0 {
				t.Fatalf("resumed at step %d: tensor %d differs at %d", stop, i, at)
			}
		}
	}
	sameForAnyThreads(t, "training", func() [][]float32 { return train(-1) })
}

func TestNewAdamPanicsWithoutGradients(t *testing.T) {
	wantPanic(t, func() { NewAdam(NewAdam(someParameters(1)).State()) }, "adam.steps", "[1]", "[]")
}

func TestClipGlobalNorm(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		ps := someParameters(4)
		squares := 0.0
		for _, p := range ps {
			for _, g := range p.Grad.Data {
				squares += float64(g) * float64(g)
			}
		}
		want := math.Sqrt(squares)
		before := clone(ps[2].Grad.Data)
		if norm := ClipGlobalNorm(ps, want*1.01); math.Abs(norm-want) > 1e-6*want {
			t.Errorf("norm %v, want %v", norm, want)
		}
		if firstDifference(before, ps[2].Grad.Data) >= 0 {
			t.Error("gradients below the limit were changed")
		}
		ClipGlobalNorm(ps, 3)
		if norm := ClipGlobalNorm(ps, 3.1); math.Abs(norm-3) > 1e-5 {
			t.Errorf("norm %v after clipping to 3", norm)
		}
		for i, g := range ps[2].Grad.Data {
			if w := float64(before[i]) * 3 / want; math.Abs(float64(g)-w) > 1e-6*math.Abs(w) {
				t.Fatalf("gradient %d is %v after clipping, want %v", i, g, w)
			}
		}
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30} {
			ps := someParameters(4)
			ps[2].Grad.Data[16400] = float32(bad)
			before := [][]float32{clone(ps[0].Grad.Data), clone(ps[2].Grad.Data)}
			norm := ClipGlobalNorm(ps, 1)
			if !math.IsNaN(norm) && !math.IsInf(norm, 1) {
				t.Errorf("norm %v with a gradient of %v", norm, bad)
			}
			if firstDifference(before[0], ps[0].Grad.Data) >= 0 || firstDifference(before[1], ps[2].Grad.Data) >= 0 {
				t.Errorf("gradients were changed although one is %v", bad)
			}
		}
		ClipGlobalNorm(ps, 0)
		if norm := ClipGlobalNorm(ps, 1); norm != 0 {
			t.Errorf("norm %v after clipping to 0", norm)
		}
		if norm := ClipGlobalNorm(nil, 1); norm != 0 {
			t.Errorf("norm of no parameters %v", norm)
		}
	})
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Schedule
		want map[int]float64
	}{
		{"constant", Constant(0.5), map[int]float64{0: 0.5, 1: 0.5, 1 << 40: 0.5}},
		{"exponential", Exponential(0.8, 0.5, 100), map[int]float64{0: 0.8, 100: 0.4, 300: 0.1, 50: 0.8 * math.Sqrt(0.5)}},
		{"cosine", Cosine(1, 0.2, 100), map[int]float64{0: 1, 50: 0.6, 25: 0.2 + 0.4*(1+math.Sqrt(0.5)), 100: 0.2, 101: 0.2, 1 << 40: 0.2}},
		{"cosine of no steps", Cosine(1, 0.2, 0), map[int]float64{0: 0.2}},
		{"warm-up", WarmUp(4, Constant(1)), map[int]float64{0: 0.25, 1: 0.5, 2: 0.75, 3: 1, 4: 1, 100: 1}},
		{"warm-up, exponential", WarmUp(2, Exponential(1, 0.5, 10)), map[int]float64{0: 0.5, 1: 1, 2: 1, 12: 0.5, 22: 0.25}},
		{"warm-up, cosine", WarmUp(10, Cosine(2, 0, 10)), map[int]float64{0: 0.2, 9: 2, 10: 2, 15: 1, 20: 0, 30: 0}},
		{"no warm-up", WarmUp(0, Cosine(2, 0, 10)), map[int]float64{0: 2, 5: 1}},
	} {
		for step, want := range c.want {
			if got := c.s(step); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s, step %d: %v, want %v", c.name, step, got, want)
			}
		}
	}
}

func TestAverage(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		ps := someParameters(5)
		m := NewAverage(ps, 0.3) // reached by the rise from 1/10 within a few updates
		r := rand.New(rand.NewPCG(6, 0))
		want := doubles(ps[2].Value.Data)
		for n := range 12 {
			for _, p := range ps {
				copy(p.Value.Data, random(r, 1, p.Value.Len()).Data)
			}
			m.Update()
			decay := min(0.3, float64(1+n)/float64(10+n))
			for i, w := range ps[2].Value.Data {
				want[i] = decay*want[i] + (1-decay)*float64(w)
			}
		}
		weights := values(ps)
		m.SwapIn()
		near(t, "average", ps[2].Value.Data, want, 1e-6)
		wantPanic(t, func() { m.Update() }, "Update", "SwapOut")
		wantPanic(t, func() { m.SwapIn() }, "SwapIn", "SwapOut")
		wantPanic(t, func() { m.State() }, "State", "SwapOut")
		m.SwapOut()
		wantPanic(t, func() { m.SwapOut() }, "SwapOut")
		for i, p := range ps {
			if at := firstDifference(p.Value.Data, weights[i]); at >= 0 {
				t.Errorf("%s[%d] is not as before SwapIn", p.Name, at)
			}
		}
		near(t, "state", m.State().Find("average.c").Value.Data, want, 1e-6)
	})
}

func TestAverageStartsAsTheWeights(t *testing.T) {
	ps := someParameters(7)
	before := values(ps)
	m := NewAverage(ps, 0.9999)
	ps[0].Value.Zero()
	m.SwapIn()
	if firstDifference(ps[0].Value.Data, before[0]) >= 0 {
		t.Error("the average does not start as a copy of the weights")
	}
}

func BenchmarkAdam(b *testing.B) {
	ps := Parameters{NewParameter("w", 1<<20)}
	o := NewAdam(ps)
	for _, threads := range []int{1, 2} {
		b.Run(map[int]string{1: "threads=1", 2: "threads=2"}[threads], func(b *testing.B) {
			defer parallel.SetThreads(parallel.Threads())
			parallel.SetThreads(threads)
			for b.Loop() {
				o.Step(1e-3)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<20), "ns/element")
		})
	}
}
