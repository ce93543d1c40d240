package frontend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// kinds are the inputs.
var kinds = []string{vqvae.Wave, vqvae.LogMel, vqvae.MFCC}

// tiny is a small model, of three steps of the input for a code.
func tiny(input string) vqvae.Config {
	return vqvae.Config{
		Rate: 16000, Levels: 64,
		Encoder: vqvae.EncoderConfig{Input: input, Channels: []int{6, 8}, Strides: []int{1, 3}},
		Bottleneck: vqvae.BottleneckConfig{
			Kind: vqvae.VQ, Dim: 8, Entries: 32, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
		},
		Decoder: vqvae.DecoderConfig{Residual: 4, Skip: 4, Layers: 2, Cycles: 1},
	}
}

func mustNew(t testing.TB, c vqvae.Config) *Frontend {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// noise returns n samples of a swelling noise.
func noise(n int, seed uint64) []float32 {
	r, x := rand.New(rand.NewPCG(seed, 1)), make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)/3000) * (2*r.Float64() - 1))
	}
	return x
}

func widen(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// TestInput compares inputs with what they are made of.
func TestInput(t *testing.T) {
	for _, rate := range []int{16000, 12300} {
		for _, n := range []int{0, 1, 9600, 13231} {
			for _, kind := range kinds {
				c := tiny(kind)
				c.Rate = rate
				f := mustNew(t, c)
				x := noise(n, uint64(n))
				b := f.NewBatch(1, n)
				f.Fill(&b, x)

				padded := widen(x)
				for len(padded)%c.Hop() != 0 {
					padded = append(padded, 0)
				}
				law := audio.NewMuLaw(c.Levels)
				var want []float32
				if len(b.Levels) != len(padded) {
					t.Fatalf("%d levels, want %d", len(b.Levels), len(padded))
				}
				for i, v := range padded {
					if b.Levels[i] != law.Encode(v) {
						t.Fatalf("level %d is %d", i, b.Levels[i])
					}
					want = append(want, float32(b.Levels[i])*float32(2./63)-1)
				}
				if kind == vqvae.LogMel {
					a, _ := spectrum.New(spectrum.LogMel(rate, 80))
					want = a.LogMel(nil, padded)
				}
				if kind == vqvae.MFCC {
					a, _ := spectrum.New(spectrum.MFCC(rate))
					want = spectrum.WithDeltas(nil, a.MFCC(nil, padded), 13, 2)
				}
				if !slices.Equal(b.Input.Shape(), []int{1, len(padded) / c.InputHop(), c.Encoder.InputChannels()}) {
					t.Fatalf("%s of %d samples: shape %v", kind, n, b.Input)
				}
				for i, v := range b.Input.Data {
					if math.Abs(float64(v-want[i])) > 1e-6*math.Abs(float64(want[i])) {
						t.Fatalf("%s of %d samples at %d Hz: element %d is %v, want %v", kind, n, rate, i, v, want[i])
					}
				}
			}
		}
	}
}

// TestFill: sequences of a batch do not depend on each other, nor on the number of threads.
func TestFill(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for _, kind := range kinds {
		f := mustNew(t, tiny(kind))
		const size, n = 5, 2005
		x := noise(size*n, 3)
		var want vqvae.Batch
		for _, threads := range []int{1, 2, 5} {
			parallel.SetThreads(threads)
			b := f.NewBatch(size, n)
			for range 2 { // what was there before is of no account
				f.Fill(&b, x)
			}
			if threads == 1 {
				want = b
			} else if !slices.Equal(b.Levels, want.Levels) || !same(b.Input.Data, want.Input.Data) {
				t.Errorf("%s: another batch on %d threads", kind, threads)
			}
		}
		for i := range size {
			one := f.NewBatch(1, n)
			f.Fill(&one, x[i*n:(i+1)*n])
			if levels, input := len(one.Levels), one.Input.Len(); !slices.Equal(want.Levels[i*levels:(i+1)*levels], one.Levels) ||
				!same(want.Input.Data[i*input:(i+1)*input], one.Input.Data) {
				t.Errorf("%s: sequence %d is another in a batch", kind, i)
			}
		}
		b := f.NewBatch(2, n)
		parallel.SetThreads(1) // as several would each, once
		if allocations := testing.AllocsPerRun(20, func() { f.Fill(&b, x[:2*n]) }); allocations > 0 {
			t.Errorf("%s: %g allocations", kind, allocations)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic for too many samples", kind)
				}
			}()
			f.Fill(&b, x)
		}()
	}
}

// TestStream compares streams in pieces of many sizes, several at a time, with the whole.
func TestStream(t *testing.T) {
	for _, rate := range []int{16000, 12300} {
		for _, kind := range kinds {
			c := tiny(kind)
			c.Rate = rate
			f := mustNew(t, c)
			block := blockFrames * c.InputHop()
			var wait sync.WaitGroup
			for _, n := range []int{0, 1, c.Hop() - 1, c.Hop(), c.Hop() + 1, block - 1, block, block + 1, block + 5*c.InputHop(), 3*block + 77} {
				wait.Go(func() {
					x := noise(n, uint64(n))
					b := f.NewBatch(1, n)
					f.Fill(&b, x)
					r, s := rand.New(rand.NewPCG(uint64(n), 9)), f.NewStream()
					for _, largest := range []int{1, 130, 5000, n + 1} { // one sound after the other
						var input []float32
						for rest := widen(x); len(rest) > 0; {
							k := min(len(rest), r.IntN(largest+1))
							input = append(input, s.Write(rest[:k])...)
							rest = rest[k:]
						}
						if input = append(input, s.Close()...); !same(input, b.Input.Data) {
							t.Errorf("%s, %d samples at %d Hz in pieces of up to %d: another input", kind, n, rate, largest)
						}
					}
				})
			}
			wait.Wait()
		}
	}
}

// TestEncoder compares the codes and vectors of sound in pieces with those of the whole.
func TestEncoder(t *testing.T) {
	for _, kind := range kinds {
		c := tiny(kind)
		c.Encoder.Strides = []int{2, 3}
		f := mustNew(t, c)
		m, err := vqvae.New(c, nil, dilated.Float32, rand.NewPCG(1, 2))
		if err != nil {
			t.Fatal(err)
		}
		const n = 40001
		b := f.NewBatch(1, n)
		f.Fill(&b, noise(n, 2))
		m.Encoder.Standardise([]tensor.Tensor{b.Input})
		a := new(tensor.Arena)
		if err := m.InitialiseCodebooks(a, []vqvae.Batch{b}, rand.NewPCG(3, 4)); err != nil {
			t.Fatal(err)
		}
		whole := m.Latent(a, b.Input)
		if distinct := len(slices.Compact(slices.Sorted(slices.Values(whole.Codes)))); distinct < 8 {
			t.Fatalf("%s: %d codes occur", kind, distinct)
		}
		e := NewEncoder(f, m)
		for _, piece := range []int{n, 777} {
			var got []int32
			var vectors []float32
			for part := range slices.Chunk(widen(noise(n, 2)), piece) {
				frames := e.Write(part)
				got, vectors = append(got, frames.Codes...), append(vectors, frames.Vectors.Data...)
			}
			frames := e.Close()
			got, vectors = append(got, frames.Codes...), append(vectors, frames.Vectors.Data...)
			if !slices.Equal(got, whole.Codes) || !same(vectors, whole.Vectors.Data) {
				t.Errorf("%s in pieces of %d: other codes or vectors", kind, piece)
			}
		}
	}
}

// TestStreamMemory: a stream holds no more after a hundred blocks than after two.
func TestStreamMemory(t *testing.T) {
	for _, kind := range kinds {
		f := mustNew(t, tiny(kind))
		s, piece := f.NewStream(), widen(noise(4000, 1))
		held := func() int {
			n := 8*cap(s.samples) + 4*(cap(s.input)+cap(s.levels)+cap(s.slab))
			if s.analysis != nil {
				n += 8*cap(s.analysis.samples) + 4*cap(s.analysis.coefficients)
			}
			return n
		}
		early := 0
		for i := range 200 {
			s.Write(piece)
			if i == 7 {
				early = held()
			}
		}
		if late := held(); late > early {
			t.Errorf("%s: %d bytes after 200 pieces, %d after 8", kind, late, early)
		}
		if allocations := testing.AllocsPerRun(20, func() { s.Write(piece) }); allocations > 0 {
			t.Errorf("%s: %g allocations for a piece", kind, allocations)
		}
	}
}

// TestReceptiveField changes samples and looks at a code's vector. The outermost samples of a Hann window weigh next to nothing.
func TestReceptiveField(t *testing.T) {
	for _, kind := range kinds {
		c := tiny(kind)
		f := mustNew(t, c)
		m, err := vqvae.New(c, nil, dilated.Float32, rand.NewPCG(1, 2))
		if err != nil {
			t.Fatal(err)
		}
		field := ReceptiveField(c)
		x, r := make([]float32, (field/c.Hop()+4)*c.Hop()), rand.New(rand.NewPCG(5, 6))
		for i := range x {
			x[i] = 0.1 * float32(r.NormFloat64())
		}
		b, a := f.NewBatch(1, len(x)), new(tensor.Arena)
		frames := len(b.Levels) / c.Hop()
		encode := func() []float32 {
			a.Reset()
			f.Fill(&b, x)
			return slices.Clone(m.Encode(a, b.Input).Row(frames / 2))
		}
		z := encode()
		changes := func(i int) bool {
			was := x[i]
			defer func() { x[i] = was }()
			x[i] = 1
			return !slices.Equal(encode(), z)
		}
		middle := frames/2*c.Hop() + c.Hop()/2 // of the code
		first := sort.Search(middle, changes)
		after := middle + sort.Search(len(x)-middle, func(i int) bool { return !changes(middle + i) })
		tolerance := 0
		if kind == vqvae.LogMel {
			tolerance = 4
		}
		if got := after - first; got > field || got < field-tolerance {
			t.Errorf("%s: a code depends on %d samples, ReceptiveField says %d", kind, got, field)
		}
	}
}

func TestLevels(t *testing.T) {
	c := tiny(vqvae.Wave)
	c.Levels, c.Decoder.Mixture = 1<<16, 10
	f := mustNew(t, c)
	b := f.NewBatch(1, 1<<16)
	levels, samples := make([]int32, 1<<16), make([]float32, 1<<16)
	for i := range levels {
		levels[i] = int32(i)
	}
	f.Samples(samples, levels)
	for i, x := range samples {
		if want := float32(i-1<<15) / (1 << 15); x != want {
			t.Fatalf("level %d is %v, want the sample %v", i, x, want)
		}
	}
	f.Fill(&b, samples)
	if !slices.Equal(b.Levels[:1<<16], levels) {
		t.Error("levels of 16-bit samples are others")
	}
	if x := b.Input.Data; x[0] != -1 || x[1<<16-1] != 1 || math.Abs(float64(x[1<<15])) > 2e-5 {
		t.Errorf("the wave goes from %v through %v to %v", x[0], x[1<<15], x[1<<16-1])
	}
	l := linear{1 << 15}
	for x, want := range map[float64]int32{
		0: 1 << 15, -1: 0, 1: 1<<16 - 1, 2: 1<<16 - 1, -3: 0, math.Inf(1): 1<<16 - 1, math.Inf(-1): 0,
		0.49 / 32768: 1 << 15, 0.51 / 32768: 1<<15 + 1, -0.51 / 32768: 1<<15 - 1,
	} {
		if got := l.Encode(x); got != want {
			t.Errorf("%v has level %d, want %d", x, got, want)
		}
	}
	if got := l.Encode(math.NaN()); got != 1<<15 {
		t.Errorf("NaN has level %d", got)
	}
}

// TestNew: there are no filters at rates that are too low for them.
func TestNew(t *testing.T) {
	for _, kind := range kinds {
		c := tiny(kind)
		c.Rate = 100
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if _, err := New(c); (err == nil) != (kind == vqvae.Wave) || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q at 100 Hz", kind)) {
			t.Errorf("%s at 100 Hz: %v", kind, err)
		}
	}
}

// BenchmarkFill is a segment of 0.64 s.
func BenchmarkFill(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			f := mustNew(b, tiny(kind))
			x := noise(10240, 1)
			batch := f.NewBatch(1, len(x))
			for b.Loop() {
				f.Fill(&batch, x)
			}
		})
	}
}
