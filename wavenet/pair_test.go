package wavenet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
)

// TestPair wants the steps of a sampler, on one core and on two.
func TestPair(t *testing.T) {
	for i, c := range samplerConfigs {
		if c.Local == 0 {
			continue
		}
		for _, p := range []Precision{Float32, BFloat16, Int8} {
			t.Run(fmt.Sprint(i, " ", p), func(t *testing.T) {
				inShortOnOneTier(t, func(t *testing.T) {
					shortLead(t)
					r := rand.New(rand.NewPCG(12, uint64(i)))
					n := testNet(c, r)
					local, voice := randomTensor(r, max(2, 300/c.Hop), c.Local), Voice{Drawing: Drawing{Temperature: 0.9}}
					if c.Global > 0 {
						voice.Global = randomTensor(r, c.Global).Data
					}
					sampler, pair := NewSampler(n, p), NewPair(n, p)
					draw := func(begin func(v Voice, emit func([]int32) error) *Generator) (steps []int32) {
						voice.Uniform = rand.New(rand.NewPCG(13, 0)).Float64
						g := begin(voice, func(s []int32) error { steps = append(steps, s...); return nil })
						if err := errors.Join(g.Write(local.Data), g.Close()); err != nil {
							t.Fatal(err)
						}
						return steps
					}
					want := draw(sampler.NewGenerator)
					for _, cores := range []int{0, 1, 2} { // 0 lets it try both
						pair.cores, pair.drawn = cores, 0
						if cores > 0 {
							pair.drawn = 2 * trialStretches
						}
						if got := draw(pair.NewGenerator); !slices.Equal(got, want) {
							t.Errorf("on %d cores the steps are others", cores)
						}
					}
				})
			})
		}
	}
}

// BenchmarkPair draws with the presets on two cores, or on one with the work of two.
func BenchmarkPair(b *testing.B) {
	for _, size := range benchmarkSizes {
		for _, p := range []Precision{Float32, BFloat16, Int8} {
			for _, cores := range []int{0, 1, 2} {
				b.Run(fmt.Sprint(size.name, "/", p, "/", cores), func(b *testing.B) {
					n := New(size.c, dilated.Float32, rand.NewPCG(7, 0))
					pair, r := NewPair(n, p), rand.New(rand.NewPCG(7, 1))
					voice := Voice{Global: make([]float32, 64), Drawing: Drawing{Temperature: 1}, Uniform: r.Float64}
					local := randomTensor(r, 16, 64)
					g := pair.NewGenerator(voice, func([]int32) error { return nil })
					for b.Loop() {
						if cores > 0 {
							pair.cores, pair.drawn = cores, 2*trialStretches
						}
						if err := g.Write(local.Data); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(16*64*b.N)/b.Elapsed().Seconds(), "samples/s")
				})
			}
		}
	}
}
