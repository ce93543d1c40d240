package wavenet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
)

// inShortOnOneTier is onEveryTier, or in a short test, as under the race detector, f on the usual tier.
func inShortOnOneTier(t *testing.T, f func(t *testing.T)) {
	if testing.Short() {
		f(t)
	} else {
		onEveryTier(t, f)
	}
}

// shortLead makes the lead of sequences short for a test: plain loops are slow.
func shortLead(t *testing.T) {
	before := leadSteps
	leadSteps = 30
	t.Cleanup(func() { leadSteps = before })
}

// TestGroup draws sequences of several lengths one by one, and in groups of several sizes, and wants the same steps.
func TestGroup(t *testing.T) {
	configs := []Config{
		{Classes: 64, Residual: 24, Skip: 40, Layers: 5, Cycles: 2, Local: 6, Hop: 20, Upsample: []int{5}, Global: 4},
		{Classes: 1 << 16, Mixture: 4, Residual: 16, Skip: 16, Layers: 4, Cycles: 1, Local: 3, Hop: 7},
	}
	for i, c := range configs {
		for _, p := range []Precision{Float32, BFloat16, Int8} {
			t.Run(fmt.Sprint(i, " ", p), func(t *testing.T) {
				inShortOnOneTier(t, func(t *testing.T) { testGroup(t, c, p) })
			})
		}
	}
}

func testGroup(t *testing.T, c Config, p Precision) {
	shortLead(t)
	const sequences = 7
	r := rand.New(rand.NewPCG(9, 1))
	n := testNet(c, r)
	var locals [sequences][]float32
	var voices [sequences]Voice
	for i := range locals {
		locals[i] = randomTensor(r, (1+i*i%5)*13, c.Local).Data
		voices[i].Drawing.Temperature = 0.8 + 0.1*float64(i)
		if c.Global > 0 {
			voices[i].Global = randomTensor(r, c.Global).Data
		}
	}
	// speak writes a sequence to a generator in pieces, and closes it.
	speak := func(i int, begin func(v Voice, emit func([]int32) error) *Generator) ([]int32, error) {
		var got []int32
		voice := voices[i]
		voice.Uniform = rand.New(rand.NewPCG(10, uint64(i))).Float64
		g := begin(voice, func(steps []int32) error { got = append(got, steps...); return nil })
		defer g.Leave()
		for piece := range slices.Chunk(locals[i], (1+i)*c.Local) {
			if err := g.Write(piece); err != nil {
				return got, err
			}
		}
		return got, g.Close()
	}
	s := NewSampler(n, p)
	var want [sequences][]int32
	for i := range want {
		var err error
		want[i], err = speak(i, s.NewGenerator)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{1, 3, sequences} {
		group, jobs := NewGroup(s, size).Another(), make(chan int)
		var wait sync.WaitGroup
		for range size {
			wait.Go(func() {
				for i := range jobs {
					got, err := speak(i, group.NewGenerator)
					if err != nil || !slices.Equal(got, want[i]) {
						t.Errorf("group of %d: sequence %d is another, error %v", size, i, err)
					}
				}
			})
		}
		for i := range sequences {
			jobs <- i
		}
		close(jobs)
		wait.Wait()
	}
}

// TestGroupLeave wants the others to go on when one fails, or is given up.
func TestGroupLeave(t *testing.T) {
	n := New(Config{Classes: 16, Residual: 4, Skip: 4, Layers: 3, Cycles: 1, Local: 2, Hop: 4}, dilated.Float32, rand.NewPCG(11, 0))
	group, stop := NewGroup(NewSampler(n, Float32), 3), errors.New("stop")
	voice := Voice{Drawing: Drawing{Temperature: 1}, Uniform: func() float64 { return 0.5 }}
	frames := make([]float32, 500*n.Config.Local)
	given := group.NewGenerator(voice, func([]int32) error { return nil })
	var wait sync.WaitGroup
	wait.Go(func() {
		g := group.NewGenerator(voice, func([]int32) error { return stop })
		defer g.Leave()
		if err := g.Write(frames); !errors.Is(err, stop) {
			t.Errorf("error %v", err)
		}
	})
	wait.Go(func() {
		steps := 0
		g := group.NewGenerator(voice, func(s []int32) error { steps += len(s); return nil })
		if err := errors.Join(g.Write(frames), g.Close()); err != nil || steps != 500*n.Config.Hop {
			t.Errorf("%d steps, error %v", steps, err)
		}
	})
	given.Leave()
	given.Leave()
	wait.Wait()
}

// BenchmarkGroup draws so many sequences at once with the preset base.
func BenchmarkGroup(b *testing.B) {
	c := Config{Classes: 256, Residual: 64, Skip: 128, Layers: 10, Cycles: 2, Local: 64, Hop: 64, Global: 64}
	n := New(c, dilated.Float32, rand.NewPCG(7, 0))
	for _, p := range []Precision{Float32, BFloat16, Int8} {
		for _, size := range []int{1, 2, 4, 8, 14, 28} {
			b.Run(fmt.Sprint(p, "/", size), func(b *testing.B) {
				group, local := NewGroup(NewSampler(n, p), size), randomTensor(rand.New(rand.NewPCG(7, 1)), 32, 64).Data
				var wait sync.WaitGroup
				for i := range size {
					voice := Voice{Global: make([]float32, 64), Drawing: Drawing{Temperature: 1}, Uniform: rand.New(rand.NewPCG(7, uint64(i))).Float64}
					g := group.NewGenerator(voice, func([]int32) error { return nil })
					wait.Go(func() {
						for range b.N {
							g.Write(local)
						}
						g.Close()
					})
				}
				wait.Wait()
				b.ReportMetric(float64(size*32*64*b.N)/b.Elapsed().Seconds(), "samples/s")
			})
		}
	}
}
