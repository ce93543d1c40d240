package wavenet

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/tensor"
)

// samplerConfigs are netConfigs, and some of the sizes that are used.
var samplerConfigs = slices.Concat(netConfigs[:5], []Config{
	{Classes: 256, Residual: 32, Skip: 64, Layers: 9, Cycles: 1, Local: 16, Hop: 64, Global: 8},
	{Classes: 128, Residual: 20, Skip: 33, Layers: 5, Cycles: 2, Local: 5, Hop: 40, Upsample: []int{5, 2, 2}},
	{Classes: 256, Mixture: 10, Residual: 32, Skip: 64, Layers: 9, Cycles: 1, Local: 16, Hop: 64, Global: 8},
	{Classes: 1 << 16, Mixture: 10, Residual: 32, Skip: 64, Layers: 9, Cycles: 1, Local: 16, Hop: 64, Global: 8},
}, netConfigs[5:])

// onEveryTier runs f on each setting of the kernels.
func onEveryTier(t *testing.T, f func(t *testing.T)) {
	before := kernel.Active()
	defer kernel.Use(before)
	for _, setting := range kernel.Available() {
		kernel.Use(setting)
		t.Run(fmt.Sprint(setting), f)
	}
}

// uniforms returns n numbers from [0, 1).
func uniforms(n int, r *rand.Rand) []float64 {
	u := make([]float64, n)
	for i := range u {
		u[i] = r.Float64()
	}
	return u
}

// TestSamplerIsTeacherForced draws sequences, has the net predict them, and draws again from what it predicts.
func TestSamplerIsTeacherForced(t *testing.T) {
	for i, c := range samplerConfigs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			n := testNet(c, r)
			usual := kernel.Active()
			onEveryTier(t, func(t *testing.T) {
				steps := 500
				if kernel.Active() == usual {
					steps = 4000
				}
				if c.Local > 0 {
					steps += c.Hop - steps%c.Hop
				}
				in := Input{Batch: 1, Steps: make([]int32, steps)}
				if c.Local > 0 {
					in.Local = randomTensor(r, 1, steps/c.Hop, c.Local)
				}
				if c.Global > 0 {
					in.Global = randomTensor(r, 1, c.Global)
				}
				u := uniforms(steps, r)
				const temperature = 0.9
				a, s := new(tensor.Arena), NewSampler(n, Float32)
				condition := n.Project(a, in.Local, in.Global, 1)
				hold, previous := steps/condition.Dim(1), n.First()
				logits := make([]float32, 0, steps*c.Outputs())
				for j := range in.Steps {
					if j == 0 || j%hold == 0 && c.Local > 0 {
						s.Frame(condition.Row(j / hold))
					}
					l := s.Step(previous)
					logits = append(logits, l...)
					previous = s.Draw(l, Drawing{Temperature: temperature}, u[j])
					in.Steps[j] = previous
				}
				for j, want := range n.Logits(a, in).Data {
					if got := logits[j]; got != want {
						t.Fatalf("step %d: logit %d is %v, the net's %v", j/c.Outputs(), j%c.Outputs(), got, want)
					}
				}
				if len(slices.Compact(slices.Clone(in.Steps))) < steps/4 {
					t.Fatal("nearly all steps are the same: the test says nothing")
				}
				s.Reset()
				s.Frame(condition.Row(0))
				if l := s.Step(n.First()); !slices.Equal(l, logits[:c.Outputs()]) {
					t.Error("after Reset the first logits are others")
				}
			})
		})
	}
}

// TestGenerator compares a generator that is fed in pieces with steps drawn one by one under the whole condition.
func TestGenerator(t *testing.T) {
	for i, c := range samplerConfigs {
		if c.Local == 0 {
			continue
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, uint64(i)))
			n := New(c, dilated.Float32, r)
			frames := 83 // more than two blocks, and a part of one
			if c.Hop > 100 {
				frames = 35
			}
			local, voice := randomTensor(r, 1, frames, c.Local), Voice{Drawing: Drawing{Temperature: 1}}
			var global tensor.Tensor
			if c.Global > 0 {
				global = randomTensor(r, 1, c.Global)
				voice.Global = global.Data
			}
			lead := (leadSteps + c.Hold() - 1) / c.Hold() * c.Hold()
			u := uniforms(lead+frames*c.Hop, r)

			s, previous := NewSampler(n, Float32), n.First()
			condition := n.Project(new(tensor.Arena), local, global, 1)
			var want []int32
			for j, v := range u {
				if j%c.Hold() == 0 {
					s.Frame(condition.Row(max(0, j-lead) / c.Hold()))
				}
				previous = s.Draw(s.Step(previous), Drawing{Temperature: 1}, v)
				want = append(want, previous)
			}
			want = want[lead:]
			for _, piece := range []int{1, 7, frames} {
				var got []int32
				left := u
				voice.Uniform = func() float64 { v := left[0]; left = left[1:]; return v }
				g := s.Another().NewGenerator(voice, func(steps []int32) error { got = append(got, steps...); return nil })
				for block := range slices.Chunk(local.Data, piece*c.Local) {
					if err := g.Write(block); err != nil {
						t.Fatal(err)
					}
				}
				if err := g.Close(); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("in pieces of %d frames the steps are others", piece)
				}
			}
		})
	}
}

func TestGeneratorStops(t *testing.T) {
	n := New(samplerConfigs[0], dilated.Float32, rand.NewPCG(4, 0))
	stop := errors.New("stop")
	voice := Voice{Global: make([]float32, n.Config.Global), Drawing: Drawing{Temperature: 1}, Uniform: rand.New(rand.NewPCG(4, 1)).Float64}
	calls := 0
	g := NewSampler(n, Float32).NewGenerator(voice, func([]int32) error { calls++; return stop })
	if err := g.Write(make([]float32, 100*n.Config.Local)); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	if err := NewSampler(n, Float32).NewGenerator(voice, nil).Close(); err != nil {
		t.Errorf("without frames: %v", err)
	}
}

func TestDraw(t *testing.T) {
	s := NewSampler(New(Config{Classes: 4, Residual: 1, Skip: 1, Layers: 1, Cycles: 1}, dilated.Float32, rand.NewPCG(5, 0)), Float32)
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	logits := []float32{ln(0.1), ln(0.2), ln(0.4), ln(0.3)}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		logits               []float32
		temperature, uniform float64
		want                 int32
	}{
		{logits, 1, 0, 0}, {logits, 1, 0.0999, 0}, {logits, 1, 0.1001, 1}, {logits, 1, 0.2999, 1}, {logits, 1, 0.3001, 2},
		{logits, 1, 0.6999, 2}, {logits, 1, 0.7001, 3}, {logits, 1, math.Nextafter(1, 0), 3},
		{logits, 0, 0.99, 2}, {logits, 1e-320, 0.99, 2}, {logits, 0.01, 0.5, 2},
		{logits, 0.5, 0.032, 0}, {logits, 0.5, 0.034, 1}, // squares: 1, 4, 16 and 9 of 30
		{logits, 0.5, 0.699, 2}, {logits, 0.5, 0.701, 3},
		{logits, math.Inf(1), 0.49, 1}, {logits, math.Inf(1), 0.51, 2}, // all alike
		{[]float32{5, 7, 7, 1}, 0, 0, 1},
		{[]float32{-inf, 0, -inf, 0}, 1, 0, 1}, {[]float32{-inf, 0, -inf, 0}, 1, 0.51, 3},
	} {
		if got := s.Draw(c.logits, Drawing{Temperature: c.temperature}, c.uniform); got != c.want {
			t.Errorf("Draw(%v, %v, %v) is %d, want %d", c.logits, c.temperature, c.uniform, got, c.want)
		}
	}
	for _, c := range []struct {
		topK    int
		topP    float64
		uniform float64
		want    int32
	}{ // of 0.1, 0.2, 0.4 and 0.3
		{1, 0, 0, 2}, {1, 0, 0.99, 2}, {2, 0, 0, 2}, {2, 0, 0.57, 2}, {2, 0, 0.58, 3}, {3, 0, 0, 1}, {3, 0, 0.21, 1}, {3, 0, 0.23, 2}, {4, 0, 0.05, 0}, {9, 0, 0.05, 0},
		{0, 0.3, 0.99, 2}, {0, 0.41, 0.58, 3}, {0, 0.69, 0, 2}, {0, 0.71, 0, 1}, {0, 0.91, 0.05, 0}, {0, 1, 0.05, 0},
		{3, 0.7, 0, 2}, // of three the two likeliest have seven ninths
	} {
		if got := s.Draw(logits, Drawing{1, c.topK, c.topP}, c.uniform); got != c.want {
			t.Errorf("top-k %d, top-p %v, %v: %d, want %d", c.topK, c.topP, c.uniform, got, c.want)
		}
	}
	if got := s.Draw([]float32{1, 2, 2, 0}, Drawing{Temperature: 1, TopK: 1}, 0.9); got != 2 {
		t.Errorf("of two that are as likely, %d", got)
	}
	r := rand.New(rand.NewPCG(5, 1))
	wide := NewDrawer(Config{Classes: 64})
	for range 10000 { // in which sums are rounded
		logits := make([]float32, 64)
		for i := range logits {
			logits[i] = float32(20 * r.NormFloat64())
		}
		logits[63] = -inf
		if got := wide.Draw(logits, Drawing{Temperature: 1}, math.Nextafter(1, 0)); got == 63 {
			t.Fatalf("drew a class without probability from %v", logits)
		}
	}
	for _, v := range []float32{nan, inf, -inf} {
		for i := range 4 {
			logits := []float32{1, 2, 3, 4}
			logits[i] = v
			if got := s.Draw(logits, Drawing{Temperature: 1}, 0.5); got < 0 || got > 3 {
				t.Errorf("Draw(%v) is %d", logits, got)
			}
		}
	}
}

func TestSamplerAllocatesNothing(t *testing.T) {
	for _, c := range []Config{netConfigs[1], netConfigs[6]} {
		n := New(c, dilated.Float32, rand.NewPCG(6, 0))
		s, condition := NewSampler(n, Float32), make([]float32, n.Condition.Config().Out)
		allocations := testing.AllocsPerRun(100, func() {
			if s.one[0].left == 0 {
				s.Frame(condition)
			}
			s.Draw(s.Step(3), Drawing{Temperature: 0.8}, 0.5)
		})
		if allocations != 0 {
			t.Errorf("%+v: %v allocations for a step", c, allocations)
		}
	}
}

// TestGeneratorsAllocateLittle: what is allocated does not depend on the number of steps.
func TestGeneratorsAllocateLittle(t *testing.T) {
	c := Config{Classes: 256, Residual: 16, Skip: 16, Layers: 6, Cycles: 1, Local: 4, Hop: 50, Global: 4}
	n := New(c, dilated.Float32, rand.NewPCG(6, 1))
	voice := Voice{Global: make([]float32, 4), Drawing: Drawing{Temperature: 0.9, TopK: 30}, Uniform: rand.New(rand.NewPCG(6, 2)).Float64}
	ignore := func([]int32) error { return nil }
	for name, g := range map[string]*Generator{
		"sampler": NewSampler(n, Int8).NewGenerator(voice, ignore), "group": NewGroup(NewSampler(n, BFloat16), 2).NewGenerator(voice, ignore),
		"pair": NewPair(n, Float32).NewGenerator(voice, ignore),
	} {
		const frames = 64 // of 50 steps
		local := make([]float32, frames*c.Local)
		g.Write(local)
		if allocations := testing.AllocsPerRun(3, func() { g.Write(local) }); allocations > 5*frames {
			t.Errorf("%s: %v allocations for %d steps", name, allocations, frames*c.Hop)
		}
	}
}

func randomTensor(r *rand.Rand, shape ...int) tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64())
	}
	return t
}

// benchmarkSizes are the presets, and one with a mixture.
var benchmarkSizes = []struct {
	name string
	c    Config
}{
	{"small", Config{Classes: 256, Residual: 32, Skip: 64, Layers: 10, Cycles: 1, Local: 64, Hop: 64, Global: 64}},
	{"base", Config{Classes: 256, Residual: 64, Skip: 128, Layers: 10, Cycles: 2, Local: 64, Hop: 64, Global: 64}},
	{"large", Config{Classes: 256, Residual: 128, Skip: 256, Layers: 10, Cycles: 3, Local: 64, Hop: 64, Global: 64}},
	{"mixture", Config{Classes: 1 << 16, Mixture: 10, Residual: 64, Skip: 128, Layers: 10, Cycles: 2, Local: 64, Hop: 64, Global: 64}},
}

// BenchmarkSampler draws with each.
func BenchmarkSampler(b *testing.B) {
	for _, size := range benchmarkSizes {
		for _, p := range []Precision{Float32, BFloat16, Int8} {
			b.Run(fmt.Sprint(size.name, "/", p), func(b *testing.B) { benchmarkSampler(b, size.c, p) })
		}
	}
}

func benchmarkSampler(b *testing.B, c Config, p Precision) {
	n := New(c, dilated.Float32, rand.NewPCG(7, 0))
	s, r := NewSampler(n, p), rand.New(rand.NewPCG(7, 1))
	voice := Voice{Global: make([]float32, 64), Drawing: Drawing{Temperature: 1}, Uniform: r.Float64}
	local := randomTensor(r, 16, 64)
	for b.Loop() {
		g := s.NewGenerator(voice, func([]int32) error { return nil })
		if err := errors.Join(g.Write(local.Data), g.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(16*64*b.N)/b.Elapsed().Seconds(), "samples/s")
}
