package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// tiny is a small model with odd sizes.
func tiny() Config {
	return Config{
		Rate: 16000, Levels: 32,
		Encoder: EncoderConfig{Input: Wave, Channels: []int{17, 18, 20}, Strides: []int{2, 3, 2}},
		Bottleneck: BottleneckConfig{
			Kind: VQ, Dim: 16, Entries: 11, Distance: Euclidean, Groups: 1, Stages: 1, Codebook: ByAverage, Beta: 0.25, Decay: 0.9, Dead: 0.1,
			KL: 0.5, KLWarmUp: 3,
		},
		Decoder: DecoderConfig{Residual: 16, Skip: 19, Layers: 3, Cycles: 2, Upsample: []int{2}, Speaker: 5},
	}
}

// bottlenecks returns tiny with every kind of bottleneck.
func bottlenecks() map[string]Config {
	all := map[string]Config{}
	for name, change := range map[string]func(c *BottleneckConfig){
		"average": func(c *BottleneckConfig) {},
		"loss":    func(c *BottleneckConfig) { c.Codebook = ByLoss },
		"cosine":  func(c *BottleneckConfig) { c.Distance = Cosine },
		"groups":  func(c *BottleneckConfig) { c.Groups, c.Distance, c.Codebook = 2, Cosine, ByLoss },
		"stages":  func(c *BottleneckConfig) { c.Stages, c.Groups = 3, 2 },
		"vae":     func(c *BottleneckConfig) { c.Kind = VAE },
		"none":    func(c *BottleneckConfig) { c.Kind = None },
	} {
		c := tiny()
		change(&c.Bottleneck)
		all[name] = c
	}
	return all
}

// newModel returns a model of three speakers, its codebooks initialised.
func newModel(t *testing.T, c Config, p dilated.Precision) *Model {
	t.Helper()
	m, err := New(c, []string{"a", "b", "c"}, p, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.InitialiseCodebooks(new(tensor.Arena), []Batch{noise(c, 2, 16, 3), noise(c, 3, 8, 4)}, rand.NewPCG(3, 4)); err != nil {
		t.Fatal(err)
	}
	return m
}

// noise returns a batch of random levels and a random input.
func noise(c Config, size, frames int, seed uint64) Batch {
	r := rand.New(rand.NewPCG(seed, 0))
	b := Batch{Levels: make([]int32, size*frames*c.Hop()), Size: size, Speakers: make([]int32, size)}
	for i := range b.Levels {
		b.Levels[i] = int32(r.IntN(c.Levels))
	}
	b.Input = tensor.New(size, frames*c.Encoder.Stride(), c.Encoder.InputChannels())
	for i := range b.Input.Data {
		b.Input.Data[i] = 2*r.Float32() - 1
	}
	for i := range b.Speakers {
		b.Speakers[i] = int32(r.IntN(3))
	}
	return b
}

func TestElements(t *testing.T) {
	for name, base := range bottlenecks() {
		for _, upsample := range [][]int{nil, {2, 3}} {
			for _, speaker := range []int{0, 5} {
				for _, mixture := range []int{0, 3} {
					c := base
					c.Decoder.Upsample, c.Decoder.Speaker = upsample, speaker
					if c.Decoder.Mixture = mixture; mixture > 0 {
						c.Levels = mixtureLevels
					}
					m := newModel(t, c, dilated.Float32)
					if got, want := c.Elements(3), int64(m.Parameters().Count()+m.State().Count()); got != want {
						t.Errorf("%s: %+v: %d elements, the model has %d", name, c, got, want)
					}
					if err := slices.Concat(m.Parameters(), m.State()).CheckNames(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string][2][]string{
		"average": {nil, {"codebook", "sums", "counts", "initialised"}},
		"loss":    {{"codebook"}, {"counts", "initialised"}},
		"groups":  {{"0.codebook", "1.codebook"}, {"0.counts", "1.counts", "initialised"}},
		"vae":     {nil, {"steps"}},
		"none":    {nil, nil},
	} {
		m := newModel(t, bottlenecks()[name], dilated.Float32)
		for i := range want {
			for j, p := range want[i] {
				want[i][j] = "bottleneck." + p
			}
		}
		trained := slices.Concat([]string{"encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias", "encoder.2.weight",
			"encoder.2.bias", "encoder.3.weight", "encoder.3.bias"}, want[0], []string{"speakers.weight", "decoder.embed.weight"})
		for i, p := range m.Parameters()[:len(trained)] {
			if p.Name != trained[i] {
				t.Errorf("%s: parameter %d is %q, want %q", name, i, p.Name, trained[i])
			}
		}
		var state []string
		for _, p := range m.State() {
			state = append(state, p.Name)
		}
		if !slices.Equal(state, want[1]) {
			t.Errorf("%s: state %q, want %q", name, state, want[1])
		}
	}
}

// TestGradients compares the gradients of a step with differences of the function whose gradient they are. With z0, e0 and
// the codes those of the step, and i the frame that frame t is taken from,
//
//	-log p(levels | e0[i] + z[i] - z0[i]) + Beta mean (z - e0)^2 (+ mean (z0 - e)^2)
//
// in which the decoder's input moves as z does: straight-through.
func TestGradients(t *testing.T) {
	for _, codebook := range []string{ByAverage, ByLoss} {
		for _, p := range []float64{0, 0.6} {
			t.Run(fmt.Sprintf("%s/jitter%g", codebook, p), func(t *testing.T) {
				c := tiny()
				c.Bottleneck.Codebook, c.Bottleneck.Jitter, c.Bottleneck.Beta = codebook, p, 0.7
				m := newModel(t, c, dilated.Float32)
				nn.Normal(m.Decoder.Out2.Weight.Value, 0.2, rand.NewPCG(9, 9)) // far from the first predictions, whose gradients are small
				b := noise(c, 2, 12, 8)
				a := new(tensor.Arena)
				leaveKinks(m.Encoder, b.Input)
				if err := m.InitialiseCodebooks(a, []Batch{noise(c, 4, 12, 10)}, rand.NewPCG(3, 4)); err != nil {
					t.Fatal(err)
				}
				for _, bias := range []*nn.Parameter{m.Decoder.Stack.SkipBias, m.Decoder.Out1.Bias} {
					for i := range bias.Value.Data {
						bias.Value.Data[i] = float32(8 - 16*(i%2))
					}
				}
				m.Parameters().ZeroGrad()
				losses := m.Step(a, b, rand.NewPCG(5, 6))

				z0 := m.Encode(a, b.Input)
				e0 := m.Embed(a, losses.Codes, b.Size)
				sources := jitter(a, p, 12, b.Size, rand.NewPCG(5, 6))
				loss := func() float64 {
					a := new(tensor.Arena)
					z, e := m.Encode(a, b.Input), m.Embed(a, losses.Codes, b.Size)
					local := a.Like(z)
					n := z.Channels()
					for i := range local.Data {
						j := int(sources[i/n])*n + i%n
						local.Data[i] = e0.Data[j] + z.Data[j] - z0.Data[j]
					}
					sum := 0.0
					for i := range z.Data {
						toEntry := float64(z.Data[i]) - float64(e0.Data[i])
						sum += c.Bottleneck.Beta * toEntry * toEntry
						if codebook == ByLoss {
							toOutput := float64(e.Data[i]) - float64(z0.Data[i])
							sum += toOutput * toOutput
						}
					}
					return m.NLL(a, b.Levels, b.Size, local, b.Speakers) + sum/float64(z.Len())
				}
				if got, want := losses.Total(), loss(); math.Abs(got-want) > 1e-6*want {
					t.Errorf("loss %g, want %g", got, want)
				}
				var parts []gradcheck.Part
				for _, p := range m.Parameters() {
					if !strings.HasPrefix(p.Name, "decoder.") || p.Name == "decoder.condition.weight" { // package wavenet checks the others
						parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: p.Grad.Data})
					}
				}
				if err := gradcheck.Directional(loss, rand.NewPCG(7, 8), parts...); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestGradientsWithoutCodes compares with differences of the loss of the step itself, its noise and jitter being the same.
func TestGradientsWithoutCodes(t *testing.T) {
	for kind, p := range map[string]float64{VAE: 0.6, None: 0} {
		t.Run(kind, func(t *testing.T) {
			c := tiny()
			c.Bottleneck.Kind, c.Bottleneck.Jitter, c.Bottleneck.KL = kind, p, 30
			m := newModel(t, c, dilated.Float32)
			if g, ok := m.Bottleneck.(*Gaussian); ok {
				g.Steps.Data[0] = 2 // of three
			}
			nn.Normal(m.Decoder.Out2.Weight.Value, 0.2, rand.NewPCG(9, 9)) // far from the first predictions, whose gradients are small
			b := noise(c, 2, 12, 8)
			leaveKinks(m.Encoder, b.Input)
			for _, bias := range []*nn.Parameter{m.Decoder.Stack.SkipBias, m.Decoder.Out1.Bias} {
				for i := range bias.Value.Data {
					bias.Value.Data[i] = float32(8 - 16*(i%2))
				}
			}
			m.Parameters().ZeroGrad()
			a := new(tensor.Arena)
			losses := m.Step(a, b, rand.NewPCG(5, 6))
			if want := losses.KLPerFrame * 20 / float64(c.Hop()); math.Abs(losses.KL-want) > 1e-9*want || kind == VAE && !(want > 0.1) {
				t.Errorf("a loss of %g for %g nats per frame", losses.KL, losses.KLPerFrame)
			}
			var parts []gradcheck.Part
			for _, p := range m.Parameters() {
				if !strings.HasPrefix(p.Name, "decoder.") || p.Name == "decoder.condition.weight" { // package wavenet checks the others
					parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: slices.Clone(p.Grad.Data)})
				}
			}
			loss := func() float64 {
				a.Reset()
				return m.Step(a, b, rand.NewPCG(5, 6)).Total()
			}
			if err := gradcheck.Directional(loss, rand.NewPCG(7, 8), parts...); err != nil {
				t.Error(err)
			}
		})
	}
}

// snapshot returns a copy of all elements of ps, and of their gradients if they have any.
func snapshot(ps nn.Parameters) [][]float32 {
	var all [][]float32
	for _, p := range ps {
		all = append(all, slices.Clone(p.Value.Data), slices.Clone(p.Grad.Data))
	}
	return all
}

func equal(a, b [][]float32) bool {
	return slices.EqualFunc(a, b, func(x, y []float32) bool {
		return slices.EqualFunc(x, y, func(u, v float32) bool { return math.Float32bits(u) == math.Float32bits(v) })
	})
}

// TestThreads trains for some steps on several numbers of threads.
func TestThreads(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
		for name, c := range bottlenecks() {
			var want [][]float32
			for _, threads := range []int{1, 2, 5} {
				parallel.SetThreads(threads)
				c.Bottleneck.Jitter, c.Bottleneck.Dead = 0.3, 0.9
				m := newModel(t, c, precision)
				ps := m.Parameters()
				optimiser := nn.NewAdam(ps)
				src := rand.NewPCG(1, 1)
				a := new(tensor.Arena)
				for step := range 3 {
					ps.ZeroGrad()
					m.Step(a, noise(c, 3, 50, uint64(step)), src)
					optimiser.Step(1e-3)
					m.Update(src)
					a.Reset()
				}
				got := append(snapshot(ps), snapshot(m.State())...)
				if want == nil {
					want = got
				} else if !equal(got, want) {
					t.Errorf("precision %d, %s: other weights or state on %d threads", precision, name, threads)
				}
			}
		}
	}
}

// TestStepKeepsState checks that a step changes gradients only, so that it can be left out of the training.
func TestStepKeepsState(t *testing.T) {
	for name, c := range bottlenecks() {
		m := newModel(t, c, dilated.Float32)
		values := func() [][]float32 {
			var all [][]float32
			for _, p := range slices.Concat(m.Parameters(), m.State()) {
				all = append(all, slices.Clone(p.Value.Data))
			}
			return all
		}
		before := values()
		m.Step(new(tensor.Arena), noise(c, 2, 9, 1), rand.NewPCG(1, 1)) // to be left out
		if !equal(values(), before) {
			t.Errorf("%s: a step has changed parameters or state", name)
		}
		// The update after the next step is that of this step alone.
		m.Step(new(tensor.Arena), noise(c, 2, 9, 2), rand.NewPCG(1, 1))
		m.Update(rand.NewPCG(1, 1))
		fresh := newModel(t, c, dilated.Float32)
		fresh.Step(new(tensor.Arena), noise(c, 2, 9, 2), rand.NewPCG(1, 1))
		fresh.Update(rand.NewPCG(1, 1))
		if !equal(snapshot(m.State()), snapshot(fresh.State())) {
			t.Errorf("%s: a step without update shows in the next update", name)
		}
		m.Update(rand.NewPCG(1, 1)) // without a step
		if !equal(snapshot(m.State()), snapshot(fresh.State())) {
			t.Errorf("%s: an update without a step changes something", name)
		}
	}
}

// TestPrecisions compares bfloat16 with float32, in models that share parameters and state.
func TestPrecisions(t *testing.T) {
	c := tiny()
	c.Bottleneck.Beta = 0.5
	m := newModel(t, c, dilated.Float32)
	mixed := m.With(dilated.BFloat16)
	b := noise(c, 3, 20, 2)
	a := new(tensor.Arena)
	gradients := func(m *Model) (Losses, []float32) {
		m.Parameters().ZeroGrad()
		l := m.Step(a, b, rand.NewPCG(1, 1))
		var all []float32
		for _, p := range m.Parameters() {
			all = append(all, p.Grad.Data...)
		}
		return l, all
	}
	want, wantGradients := gradients(m)
	got, gotGradients := gradients(mixed)
	if d := math.Abs(got.NLL - want.NLL); d == 0 || d > 0.01*want.NLL {
		t.Errorf("likelihood %g in bfloat16, %g in float32", got.NLL, want.NLL)
	}
	if d := math.Abs(got.Commitment - want.Commitment); d == 0 || d > 0.02*want.Commitment {
		t.Errorf("commitment %g in bfloat16, %g in float32", got.Commitment, want.Commitment)
	}
	same := 0
	for i, k := range got.Codes {
		if k == want.Codes[i] {
			same++
		}
	}
	if same < len(want.Codes)*9/10 {
		t.Errorf("%d of %d codes are the same in bfloat16", same, len(want.Codes))
	}
	var product, squares, wantSquares float64
	for i, g := range gotGradients {
		product += float64(g) * float64(wantGradients[i])
		squares += float64(g) * float64(g)
		wantSquares += float64(wantGradients[i]) * float64(wantGradients[i])
	}
	if cosine := product / math.Sqrt(squares*wantSquares); !(cosine > 0.99) {
		t.Errorf("gradients in bfloat16 and float32: cosine %g", cosine)
	}
	mixed.Update(rand.NewPCG(1, 1))
	if !equal(snapshot(m.State()), snapshot(mixed.State())) {
		t.Error("models of two precisions have states of their own")
	}
}

func TestWithoutSpeakers(t *testing.T) {
	c := tiny()
	c.Decoder.Speaker = 0
	m, err := New(c, nil, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	b := noise(c, 2, 6, 1)
	b.Speakers = nil
	a := new(tensor.Arena)
	l := m.Step(a, b, rand.NewPCG(1, 1))
	if got := m.NLL(a, b.Levels, b.Size, m.Embed(a, l.Codes, b.Size), nil); got != l.NLL {
		t.Errorf("likelihood %g, that of the step was %g", got, l.NLL)
	}
	if p := m.Parameters().Find("speakers.weight"); p != nil {
		t.Error("a table of speakers")
	}
	c.Decoder.Speaker = 4
	if _, err := New(c, nil, dilated.Float32, rand.NewPCG(1, 2)); err == nil {
		t.Error("no error for a decoder with a speaker and no names")
	}
	if _, err := New(c, []string{"a", "a"}, dilated.Float32, rand.NewPCG(1, 2)); err == nil {
		t.Error("no error for a name that is there twice")
	}
}

// TestEmptyAndLost checks what is promised for batches without frames, and for outputs that are not finite.
func TestEmptyAndLost(t *testing.T) {
	for name, c := range bottlenecks() {
		c.Bottleneck.Dead = 0.9
		m := newModel(t, c, dilated.Float32)
		state := func() [][]float32 { return append(snapshot(m.Parameters()), snapshot(m.State())...) }
		a := new(tensor.Arena)
		m.Parameters().ZeroGrad()

		m.Step(a, noise(c, 1, 9, 1), rand.NewPCG(1, 1)) // left out
		m.Parameters().ZeroGrad()
		before := state()
		if l := m.Step(a, Batch{Size: 2}, rand.NewPCG(1, 1)); l.NLL != 0 || l.Total() != 0 || len(l.Codes) != 0 {
			t.Errorf("%s: a loss of %g, codes %v of an empty batch", name, l.Total(), l.Codes)
		}
		if r := m.Update(rand.NewPCG(1, 1)); r.Count() != 0 || !equal(state(), before) {
			t.Errorf("%s: an empty batch has changed something", name)
		}
		if err := m.InitialiseCodebooks(a, []Batch{{}, {Size: 1}}, rand.NewPCG(1, 1)); (err == nil) != (m.Quantiser == nil) || !equal(state(), before) {
			t.Errorf("%s: codebook initialised from nothing: error %v", name, err)
		}
		if v := m.Latent(a, tensor.New(3, 0, 1)); len(v.Codes) != 0 || v.Vectors.Len() != 0 {
			t.Errorf("%s: codes %v, vectors %v of nothing", name, v.Codes, v.Vectors.Data)
		}

		// An encoder that has gone astray.
		before = snapshot(m.State())
		m.Encoder.Layers[3].Bias.Value.Data[2] = float32(math.NaN())
		l := m.Step(a, noise(c, 2, 9, 1), rand.NewPCG(1, 1))
		if l.Lost != 18 || l.Total()-l.Total() == 0 || c.Bottleneck.Books() == 1 && slices.ContainsFunc(l.Codes, func(k int32) bool { return k != 0 }) {
			t.Errorf("%s: %d of 18 vectors lost, a loss of %g, codes %v", name, l.Lost, l.Total(), l.Codes)
		}
		if r := m.Update(rand.NewPCG(1, 1)); r.Count() != 0 || !equal(snapshot(m.State()), before) {
			t.Errorf("%s: vectors that hold NaN have changed the state", name)
		}
		if err := m.InitialiseCodebooks(a, []Batch{noise(c, 2, 9, 1)}, rand.NewPCG(1, 1)); (err == nil) != (m.Quantiser == nil) || !equal(snapshot(m.State()), before) {
			t.Errorf("%s: codebook initialised from NaN: error %v", name, err)
		}
	}
}

func TestWrongBatches(t *testing.T) {
	m := newModel(t, tiny(), dilated.Float32)
	for name, b := range map[string]Batch{
		"no size":          {Levels: make([]int32, 24), Input: tensor.New(1, 24, 1)},
		"part of a frame":  {Levels: make([]int32, 23), Input: tensor.New(1, 23, 1), Size: 1, Speakers: make([]int32, 1)},
		"too few speakers": {Levels: make([]int32, 24), Input: tensor.New(2, 12, 1), Size: 2, Speakers: make([]int32, 1)},
		"no input":         {Levels: make([]int32, 24), Size: 1, Speakers: make([]int32, 1)},
		"too little input": {Levels: make([]int32, 24), Input: tensor.New(1, 12, 1), Size: 1, Speakers: make([]int32, 1)},
		"other input":      {Levels: make([]int32, 24), Input: tensor.New(1, 24, 2), Size: 1, Speakers: make([]int32, 1)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			m.Step(new(tensor.Arena), b, rand.NewPCG(1, 1))
		}()
	}
}
