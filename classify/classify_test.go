package classify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

var vectors = Config{Classes: 3, Width: 5, Channels: 6, Kernels: []int{5, 3, 2}, Dilations: []int{1, 2, 1}, Hidden: 7}

var codes = Config{Classes: 4, Width: 2, Entries: 9, Embedding: 3, Channels: 6, Kernels: []int{3, 3}, Dilations: []int{1, 3}, Hidden: 5}

// randomBatch returns sequences of the given lengths, padded with what must not matter.
func randomBatch(c Config, r *rand.Rand, lengths ...int) Batch {
	t := slices.Max(lengths) + 2
	b := Batch{Lengths: lengths}
	if c.Entries > 0 {
		b.Codes = make([]int32, len(lengths)*t*c.Width)
		for i := range b.Codes {
			b.Codes[i] = r.Int32N(int32(c.Entries))
		}
		return b
	}
	b.Vectors = tensor.New(len(lengths), t, c.Width)
	for i := range b.Vectors.Data {
		b.Vectors.Data[i] = float32(2 + 3*r.NormFloat64())
	}
	return b
}

// randomNet returns a net without zeros among its weights, for vectors with a mean and a deviation.
func randomNet(c Config, r *rand.Rand) *Net {
	n := New(c, r)
	for _, p := range n.Parameters() {
		for i := range p.Value.Data {
			p.Value.Data[i] += float32(0.1 * r.NormFloat64())
		}
	}
	for i := range n.Mean.Data {
		n.Mean.Data[i], n.Deviation.Data[i] = float32(1+r.NormFloat64()), float32(3+r.Float64())
	}
	return n
}

// plain is the net in plain float64 loops: the mean cross entropy of a batch, given all elements of the parameters by their names.
func plain(n *Net, p map[string][]float64, b Batch, classes []int32) (loss float64) {
	c := n.Config
	relu := func(x []float64) {
		for i := range x {
			x[i] = max(x[i], 0)
		}
	}
	linear := func(x []float64, name string) []float64 { // [len(x), out]
		y := slices.Clone(p[name+".bias"])
		for i, v := range x {
			for k := range y {
				y[k] += v * p[name+".weight"][i*len(y)+k]
			}
		}
		return y
	}
	padded := n.steps(b)
	for s, length := range b.Lengths {
		var x []float64 // [length, in]
		in := c.input()
		for i := s * padded * c.Width; i < (s*padded+length)*c.Width; i++ {
			if c.Entries > 0 {
				x = append(x, p["embedding.weight"][int(b.Codes[i])*c.Embedding:][:c.Embedding]...)
			} else {
				k := i % c.Width
				x = append(x, (float64(b.Vectors.Data[i])-float64(n.Mean.Data[k]))/float64(n.Deviation.Data[k]))
			}
		}
		for l, taps := range c.Kernels {
			weight, bias := p[fmt.Sprintf("layers.%d.weight", l)], p[fmt.Sprintf("layers.%d.bias", l)]
			before := (taps - 1) * c.Dilations[l] / 2
			y := slices.Repeat(bias, length)
			for t := range length {
				for k := range taps {
					if from := t - before + k*c.Dilations[l]; from >= 0 && from < length {
						for i := range in {
							for o := range c.Channels {
								y[t*c.Channels+o] += x[from*in+i] * weight[(k*in+i)*c.Channels+o]
							}
						}
					}
				}
			}
			relu(y)
			x, in = y, c.Channels
		}
		hidden := linear(plainPool(x, in), "hidden")
		relu(hidden)
		sum, logits := 0.0, linear(hidden, "out")
		for _, v := range logits {
			sum += math.Exp(v)
		}
		loss += (math.Log(sum) - logits[classes[s]]) / float64(len(classes))
	}
	return loss
}

// plainPool returns mean and deviation of each of c channels of x.
func plainPool(x []float64, c int) []float64 {
	y, n := make([]float64, 2*c), float64(len(x)/c)
	for i, v := range x {
		y[i%c] += v / n
	}
	for i, v := range x {
		y[c+i%c] += (v - y[i%c]) * (v - y[i%c]) / n
	}
	for k := range c {
		y[c+k] = math.Sqrt(y[c+k] + poolFloor)
	}
	return y
}

// TestStep compares loss and gradients with the plain net and its differences.
func TestStep(t *testing.T) {
	for name, c := range map[string]Config{"vectors": vectors, "codes": codes} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			n, b, classes := randomNet(c, r), randomBatch(c, r, 9, 1, 14), []int32{2, 0, 1}
			p := map[string][]float64{}
			for _, q := range n.Parameters() {
				for _, v := range q.Value.Data {
					p[q.Name] = append(p[q.Name], float64(v))
				}
			}
			got, _ := n.Step(&tensor.Arena{Poison: true}, b, classes)
			if want := plain(n, p, b, classes); math.Abs(got-want) > 1e-5 {
				t.Errorf("loss %v, want %v", got, want)
			}
			for _, q := range n.Parameters() {
				x, gradient := p[q.Name], make([]float64, q.Grad.Len())
				for i := range x {
					const h = 1e-5
					at := x[i]
					x[i] = at + h
					gradient[i] = plain(n, p, b, classes)
					x[i] = at - h
					gradient[i] = (gradient[i] - plain(n, p, b, classes)) / (2 * h)
					x[i] = at
				}
				largest := max(slices.Max(gradient), -slices.Min(gradient))
				if largest < 1e-4 {
					t.Errorf("%s: no gradient", q.Name)
				}
				for i, want := range gradient {
					if got := float64(q.Grad.Data[i]); math.Abs(got-want) > 1e-4*max(largest, 1e-2) {
						t.Errorf("%s: gradient %d is %v, want %v", q.Name, i, got, want)
						break
					}
				}
			}
		})
	}
}

// TestPool compares with plain sums, and gradients with differences, in float64.
func TestPool(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, lengths := tensor.New(3, 6, 4), []int{6, 1, 3}
	for i := range x.Data {
		x.Data[i] = float32(1 + r.NormFloat64())
	}
	a := &tensor.Arena{Poison: true}
	y := pool(a, x, lengths)
	dy := a.Like(y)
	for i := range dy.Data {
		dy.Data[i] = float32(r.NormFloat64())
	}
	dx := poolBackward(a, x, y, dy, lengths)
	for s, l := range lengths {
		sequence, gradient := make([]float64, 4*l), make([]float64, 4*l)
		for i := range sequence {
			sequence[i], gradient[i] = float64(x.Data[24*s+i]), float64(dx.Data[24*s+i])
		}
		for i, want := range plainPool(sequence, 4) {
			if got := float64(y.Row(s)[i]); math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
				t.Errorf("sequence %d, element %d: %v, want %v", s, i, got, want)
			}
		}
		for i := range sequence {
			const h = 1e-4
			at := func(d float64) (sum float64) {
				sequence[i] += d
				defer func() { sequence[i] -= d }()
				for k, v := range plainPool(sequence, 4) {
					sum += v * float64(dy.Row(s)[k])
				}
				return sum
			}
			if want := (at(h) - at(-h)) / (2 * h); math.Abs(gradient[i]-want) > 1e-4*max(1, math.Abs(want)) {
				t.Errorf("sequence %d: gradient %d is %v, want %v", s, i, gradient[i], want)
			}
		}
		if padding := dx.Data[24*s+4*l : 24*(s+1)]; slices.ContainsFunc(padding, func(v float32) bool { return v != 0 }) {
			t.Errorf("sequence %d: the padding has a gradient %v", s, padding)
		}
	}
}

// TestPadding: a sequence gets the same alone and in a batch, and parameters get the same gradients.
func TestPadding(t *testing.T) {
	for name, c := range map[string]Config{"vectors": vectors, "codes": codes} {
		r := rand.New(rand.NewPCG(1, 2))
		n, b, classes := randomNet(c, r), randomBatch(c, r, 9, 1, 14), []int32{2, 0, 1}
		gradients := func() []float32 {
			var all []float32
			for _, p := range n.Parameters() {
				all = append(all, p.Grad.Data...)
			}
			return all
		}
		_, together := n.Step(new(tensor.Arena), b, classes)
		want := gradients()
		n.Parameters().ZeroGrad()
		sum := make([]float32, len(want))
		for i, l := range b.Lengths {
			alone := Batch{Lengths: []int{l}}
			if c.Entries > 0 {
				alone.Codes = b.Codes[i*16*c.Width:][:l*c.Width]
			} else {
				alone.Vectors = tensor.From(b.Vectors.Data[i*16*c.Width:][:l*c.Width], 1, l, c.Width)
			}
			n.Parameters().ZeroGrad()
			_, logits := n.Step(new(tensor.Arena), alone, classes[i:i+1])
			for k, v := range logits.Data {
				if math.Abs(float64(v-together.Row(i)[k])) > 1e-5 {
					t.Errorf("%s: sequence %d alone: logits %v, in a batch %v", name, i, logits.Data, together.Row(i))
					break
				}
			}
			for k, v := range gradients() {
				sum[k] += v / 3
			}
		}
		for k, v := range sum {
			if math.Abs(float64(v-want[k])) > 1e-4 {
				t.Fatalf("%s: gradient %d is %v by sequences, %v by the batch", name, k, v, want[k])
			}
		}
	}
}

// examples are sequences of three classes that differ in the direction in which two channels change together, not in their means.
func examples(n int, seed uint64) []Example {
	r := rand.New(rand.NewPCG(seed, 1))
	var all []Example
	for i := range n {
		class := i % 3
		x := make([]float32, (20+r.IntN(30))*2)
		for t := 0; t < len(x); t += 2 {
			v := r.NormFloat64()
			x[t] = float32(100 + v)
			x[t+1] = float32([]float64{v, -v, r.NormFloat64()}[class] + 0.3*r.NormFloat64())
		}
		all = append(all, Example{Vectors: x, Class: int32(class)})
	}
	return all
}

var small = Config{Classes: 3, Width: 2, Channels: 8, Kernels: []int{3}, Dilations: []int{1}, Hidden: 8}

func accuracy(n *Net, examples []Example) float64 {
	right, a := 0, new(tensor.Arena)
	for _, e := range examples {
		w := n.Config.Width
		b := Batch{Codes: e.Codes, Lengths: []int{e.frames(w)}}
		if e.Codes == nil {
			b.Vectors = tensor.From(e.Vectors, 1, e.frames(w), w)
		}
		if Best(n.Logits(a, b).Data) == e.Class {
			right++
		}
		a.Reset()
	}
	return float64(right) / float64(len(examples))
}

func TestTrain(t *testing.T) {
	training := Training{Steps: 150, Batch: 12, Shortest: 10, Longest: 25, Rate: 1e-2, Seed: 1}
	net := New(small, rand.NewPCG(1, 1))
	untrained := accuracy(net, examples(90, 2))
	steps, last := 0, 0.0
	training.Progress = func(step int, loss, accuracy float64) {
		if steps++; step != steps || !(loss >= 0) {
			t.Errorf("step %d, loss %v after %d calls", step, loss, steps)
		}
		last = accuracy
	}
	if err := net.Train(t.Context(), examples(60, 1), training); err != nil {
		t.Fatal(err)
	}
	if got := accuracy(net, examples(90, 2)); got < 0.95 || untrained > 0.7 || steps != 150 || last < 0.6 {
		t.Errorf("accuracy %v, before training %v, of the last of %d steps %v", got, untrained, steps, last)
	}
	if m, d := net.Mean.Data[0], net.Deviation.Data[0]; math.Abs(float64(m)-100) > 0.2 || math.Abs(float64(d)-1) > 0.1 {
		t.Errorf("mean %v, deviation %v", m, d)
	}

	// The same on any number of threads; otherwise with another seed.
	training.Progress, training.Steps = nil, 20
	training.Augment = func(x []float32, r *rand.Rand) { x[0] += float32(r.NormFloat64()) }
	trained := func(threads int, seed uint64) []float32 {
		defer parallel.SetThreads(parallel.Threads())
		parallel.SetThreads(threads)
		n, training := New(small, rand.NewPCG(1, 1)), training
		training.Seed = seed
		if err := n.Train(t.Context(), examples(60, 1), training); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(n.Out.Weight.Value.Data)
	}
	if !slices.Equal(trained(1, 1), trained(3, 1)) {
		t.Error("weights depend on the number of threads")
	}
	if slices.Equal(trained(1, 1), trained(1, 2)) {
		t.Error("another seed changes nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	training.Progress = func(int, float64, float64) { cancel() }
	if err := New(small, rand.NewPCG(1, 1)).Train(ctx, examples(60, 1), training); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	training.Progress, training.Rate, training.Augment = nil, 1e-2, func(x []float32, r *rand.Rand) { x[0] = float32(math.NaN()) }
	if err := New(small, rand.NewPCG(1, 1)).Train(t.Context(), examples(60, 1), training); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("with NaN: %v", err)
	}
}

// TestTrainCodes: classes that differ in which code follows which, each code being as frequent in either.
func TestTrainCodes(t *testing.T) {
	c := Config{Classes: 2, Width: 1, Entries: 4, Embedding: 4, Channels: 8, Kernels: []int{2}, Dilations: []int{1}, Hidden: 8}
	of := func(seed uint64) []Example {
		r := rand.New(rand.NewPCG(seed, 1))
		var all []Example
		for i := range 60 {
			class, at := int32(i%2), r.Int32N(4)
			e := Example{Class: class}
			for range 30 + r.IntN(20) {
				e.Codes = append(e.Codes, at)
				if at = (at + 1 + 2*class) % 4; r.IntN(5) == 0 { // 0 1 2 3 or 3 2 1 0, with leaps
					at = r.Int32N(4)
				}
			}
			all = append(all, e)
		}
		return all
	}
	net := New(c, rand.NewPCG(1, 1))
	if err := net.Train(t.Context(), of(1), Training{Steps: 100, Batch: 8, Shortest: 10, Longest: 20, Rate: 1e-2, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	if got := accuracy(net, of(2)); got < 0.95 {
		t.Errorf("accuracy %v", got)
	}
}

func TestRank(t *testing.T) {
	logits := []float32{1, 3, 2, 3}
	for class, want := range []int{3, 0, 2, 1} {
		if got := Rank(logits, int32(class)); got != want {
			t.Errorf("rank of class %d is %d, want %d", class, got, want)
		}
	}
	if Best(logits) != 1 {
		t.Errorf("the best of %v is %d", logits, Best(logits))
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []Config{vectors, codes, small} {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
		n := New(c, rand.NewPCG(1, 1))
		if got, want := c.Elements(), int64(append(n.Parameters(), n.State()...).Count()); got != want {
			t.Errorf("%d elements, a net has %d", got, want)
		}
	}
	for name, spoil := range map[string]func(*Config){
		"classes": func(c *Config) { c.Classes = 0 }, "width": func(c *Config) { c.Width = 1 << 20 }, "hidden": func(c *Config) { c.Hidden = -1 },
		"kernels": func(c *Config) { c.Kernels = nil }, "entries": func(c *Config) { c.Entries = 5 }, "embeddings": func(c *Config) { c.Embedding = 5 },
		"dilations": func(c *Config) { c.Dilations = c.Dilations[1:] }, "taps": func(c *Config) { c.Kernels = []int{5, 0, 2} },
	} {
		c := vectors
		spoil(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
