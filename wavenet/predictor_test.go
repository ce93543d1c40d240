package wavenet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
)

var predictorConfigs = []Config{
	{Classes: 37, Residual: 12, Skip: 20, Layers: 4, Cycles: 2, Global: 5},
	{Classes: 2, Residual: 1, Skip: 1, Layers: 1, Cycles: 1},
	{Classes: 512, Residual: 33, Skip: 70, Layers: 3, Cycles: 2},
	{Classes: 100, Residual: 64, Skip: 48, Layers: 5, Cycles: 1, Global: 16},
}

// exactNet returns a net with weights that are drawn without a function of package math, which may differ between processors.
func exactNet(c Config, seed uint64) *Net {
	n, r := New(c, dilated.Float32, rand.NewPCG(0, 0)), rand.New(rand.NewPCG(seed, 1))
	for _, p := range n.Parameters() {
		scale := float32(3 / math.Sqrt(float64(p.Value.Len()/p.Value.Channels()+1)))
		for i := range p.Value.Data {
			p.Value.Data[i] = scale * (r.Float32() - 0.5)
		}
	}
	return n
}

// predictorInput returns classes, and a condition for a net.
func predictorInput(c Config, steps int, r *rand.Rand) (classes []int32, global []float32) {
	for range steps {
		classes = append(classes, r.Int32N(int32(c.Classes)))
	}
	for range c.Global {
		global = append(global, 2*r.Float32()-1)
	}
	return classes, global
}

// TestPredictorAgainstNet compares frequencies with the softmax of the logits of the whole sequence.
func TestPredictorAgainstNet(t *testing.T) {
	for i, c := range predictorConfigs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := rand.New(rand.NewPCG(31, uint64(i)))
			n := exactNet(c, uint64(i))
			steps, global := predictorInput(c, 2*c.ReceptiveField()+5, r)
			in := Input{Steps: steps, Batch: 1}
			if c.Global > 0 {
				in.Global = tensor.From(global, 1, c.Global)
			}
			logits := n.Logits(new(tensor.Arena), in)
			s := NewPredictor(n, global).Sequences(1)
			for j, step := range steps {
				s.Predict([]int{0})
				sum, largest := 0.0, slices.Max(logits.Row(j))
				for _, v := range logits.Row(j) {
					sum += math.Exp(float64(v - largest))
				}
				total := uint64(0)
				for k, v := range logits.Row(j) {
					p := math.Exp(float64(v-largest)) / sum
					f := s.Frequencies(0)[k]
					if got := float64(f) / (1 << FrequencyBits); math.Abs(got-p) > 1e-5*p+2e-9 || f == 0 {
						t.Fatalf("step %d: class %d has a frequency of %v, the net's probability is %v", j, k, got, p)
					}
					if bits := s.Bits(0, int32(k)); math.Abs(bits+math.Log2(p)) > 1e-4 {
						t.Fatalf("step %d: class %d has %v bits, of the net %v", j, k, bits, -math.Log2(p))
					}
					total += uint64(f)
				}
				if total != 1<<FrequencyBits {
					t.Fatalf("step %d: the frequencies add up to %d", j, total)
				}
				s.Append(0, step)
			}
		})
	}
}

// TestPredictorAgainstGolden wants the frequencies that were computed once, on every tier, and side by side as alone.
func TestPredictorAgainstGolden(t *testing.T) {
	golden := []string{"ce2f8f230a65f56d", "998aa2a3a5a64d1b", "ff7ac36bba638a12", "c77bf3e10846c418"}
	for i, c := range predictorConfigs {
		r := rand.New(rand.NewPCG(32, uint64(i)))
		n := exactNet(c, uint64(i))
		steps, global := predictorInput(c, 150, r)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			onEveryTier(t, func(t *testing.T) {
				p := NewPredictor(n, global)
				alone, h := p.Sequences(1), sha256.New()
				var want [][]uint32
				for _, step := range steps {
					alone.Predict([]int{0})
					want = append(want, slices.Clone(alone.Frequencies(0)))
					binary.Write(h, binary.LittleEndian, alone.Frequencies(0))
					alone.Append(0, step)
				}
				if got := hex.EncodeToString(h.Sum(nil)[:8]); got != golden[i] {
					t.Errorf("frequencies are %s, were %s", got, golden[i])
				}

				// Five sequences of which some rest, and of which each begins again now and then, give the same.
				const n = 5
				beside, at, random := p.Sequences(n), [n]int{}, rand.New(rand.NewPCG(33, 1))
				for range 200 {
					var which []int
					for _, k := range random.Perm(n)[:random.IntN(n+1)] {
						if random.IntN(40) == 0 || at[k] == len(steps) {
							beside.Reset(k)
							at[k] = 0
						}
						which = append(which, k)
					}
					beside.Predict(which)
					for j, k := range which {
						if !slices.Equal(beside.Frequencies(j), want[at[k]]) {
							t.Fatalf("sequence %d of %v: other frequencies at step %d than alone", k, which, at[k])
						}
						beside.Append(k, steps[at[k]])
						at[k]++
					}
				}
			})
		})
	}
}

// TestPredictorOddLogits: frequencies are valid, whatever the logits are.
func TestPredictorOddLogits(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, logits := range [][]float32{
		{0, 0}, {0, 1000}, {-1000, -2000, -1000}, {1e38, -3e38}, {nan, 0}, {0, nan, 1}, {nan, nan}, {inf, 0, 1}, {0, inf, inf},
		{-inf, 0}, {-inf, -inf}, make([]float32, 1<<16),
	} {
		f, total := make([]uint32, len(logits)), uint64(0)
		exactFrequencies(f, logits)
		for _, v := range f {
			total += uint64(v)
			if v == 0 {
				t.Errorf("%v: %v", logits, f)
			}
		}
		if total != 1<<FrequencyBits {
			t.Errorf("%v: %v add up to %d", logits, f, total)
		}
	}
}

// TestExactExp compares exponentials with those of package math.
func TestExactExp(t *testing.T) {
	for x := -64.0; x <= 64; x += 0.00917 {
		if got, want := exactExp(x), math.Exp(x); math.Abs(got/want-1) > 1e-8 {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	if exactExp(0) != 1 {
		t.Error("exp(0) is not exactly 1")
	}
}

func TestPredictorAllocates(t *testing.T) {
	r := rand.New(rand.NewPCG(34, 1))
	c := predictorConfigs[0]
	n := exactNet(c, 1)
	_, global := predictorInput(c, 0, r)
	s, which := NewPredictor(n, global).Sequences(3), []int{2, 0}
	for range c.ReceptiveField() {
		s.Predict(which) // rings grow to their length
	}
	if allocations := testing.AllocsPerRun(20, func() {
		s.Predict(which)
		s.Append(0, 1)
		s.Bits(0, 1)
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// BenchmarkPredictor predicts with nets of the sizes of priors, of one and of several sequences.
func BenchmarkPredictor(b *testing.B) {
	for _, c := range []Config{
		{Classes: 512, Residual: 64, Skip: 128, Layers: 10, Cycles: 2},
		{Classes: 512, Residual: 128, Skip: 256, Layers: 9, Cycles: 2},
	} {
		p := NewPredictor(testNet(c, rand.New(rand.NewPCG(35, 1))), nil)
		for _, n := range []int{1, 2, 4, 8, 16} {
			b.Run(fmt.Sprintf("%dx%d/%d", c.Residual, c.Layers*c.Cycles, n), func(b *testing.B) {
				s := p.Sequences(n)
				var which []int
				for i := range n {
					which = append(which, i)
				}
				for b.Loop() {
					s.Predict(which)
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "steps/s")
			})
		}
	}
}
