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
		Encoder:   EncoderConfig{Input: Wave, Channels: []int{17, 18, 20}, Strides: []int{2, 3, 2}},
		Quantiser: QuantiserConfig{Entries: 11, Dim: 16, Codebook: ByAverage, Beta: 0.25, Decay: 0.9, Dead: 0.1},
		Decoder:   DecoderConfig{Residual: 16, Skip: 19, Layers: 3, Cycles: 2, Upsample: []int{2}, Speaker: 5},
	}
}

// newModel returns a model of three speakers, its codebook initialised.
func newModel(t *testing.T, c Config, p dilated.Precision) *Model {
	t.Helper()
	m, err := New(c, []string{"a", "b", "c"}, p, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.InitialiseCodebook(new(tensor.Arena), []Batch{noise(c, 2, 16, 3), noise(c, 3, 8, 4)}, rand.NewPCG(3, 4)); err != nil {
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
	for _, codebook := range []string{ByAverage, ByLoss} {
		for _, upsample := range [][]int{nil, {2, 3}} {
			for _, speaker := range []int{0, 5} {
				for _, mixture := range []int{0, 3} {
					c := tiny()
					c.Quantiser.Codebook, c.Decoder.Upsample, c.Decoder.Speaker = codebook, upsample, speaker
					if c.Decoder.Mixture = mixture; mixture > 0 {
						c.Levels = mixtureLevels
					}
					m := newModel(t, c, dilated.Float32)
					if got, want := c.Elements(3), int64(m.Parameters().Count()+m.State().Count()); got != want {
						t.Errorf("%+v: %d elements, the model has %d", c, got, want)
					}
				}
			}
		}
	}
}

func TestNames(t *testing.T) {
	c := tiny()
	for codebook, want := range map[string][2][]string{
		ByAverage: {nil, {"quantiser.codebook", "quantiser.sums", "quantiser.counts", "quantiser.initialised"}},
		ByLoss:    {{"quantiser.codebook"}, {"quantiser.counts", "quantiser.initialised"}},
	} {
		c.Quantiser.Codebook = codebook
		m := newModel(t, c, dilated.Float32)
		if err := slices.Concat(m.Parameters(), m.State()).CheckNames(); err != nil {
			t.Error(err)
		}
		trained := slices.Concat([]string{"encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias", "encoder.2.weight",
			"encoder.2.bias", "encoder.3.weight", "encoder.3.bias"}, want[0], []string{"speakers.weight", "decoder.embed.weight"})
		for i, p := range m.Parameters()[:len(trained)] {
			if p.Name != trained[i] {
				t.Errorf("codebook by %s: parameter %d is %q, want %q", codebook, i, p.Name, trained[i])
			}
		}
		var state []string
		for _, p := range m.State() {
			state = append(state, p.Name)
		}
		if !slices.Equal(state, want[1]) {
			t.Errorf("codebook by %s: state %q, want %q", codebook, state, want[1])
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
		for _, jitter := range []float64{0, 0.6} {
			t.Run(fmt.Sprintf("%s/jitter%g", codebook, jitter), func(t *testing.T) {
				c := tiny()
				c.Quantiser.Codebook, c.Quantiser.Jitter, c.Quantiser.Beta = codebook, jitter, 0.7
				m := newModel(t, c, dilated.Float32)
				nn.Normal(m.Decoder.Out2.Weight.Value, 0.2, rand.NewPCG(9, 9)) // far from the first predictions, whose gradients are small
				b := noise(c, 2, 12, 8)
				a := new(tensor.Arena)
				leaveKinks(m.Encoder, b.Input)
				if err := m.InitialiseCodebook(a, []Batch{noise(c, 4, 12, 10)}, rand.NewPCG(3, 4)); err != nil {
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
				sources := m.Quantiser.Jitter(a, 12, b.Size, rand.NewPCG(5, 6))
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
						sum += c.Quantiser.Beta * toEntry * toEntry
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
		for _, codebook := range []string{ByAverage, ByLoss} {
			var want [][]float32
			for _, threads := range []int{1, 2, 5} {
				parallel.SetThreads(threads)
				c := tiny()
				c.Quantiser.Codebook, c.Quantiser.Jitter, c.Quantiser.Dead = codebook, 0.3, 0.9
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
					t.Errorf("precision %d, codebook by %s: other weights or state on %d threads", precision, codebook, threads)
				}
			}
		}
	}
}

// TestStepKeepsState checks that a step changes gradients only, so that it can be left out of the training.
func TestStepKeepsState(t *testing.T) {
	for _, codebook := range []string{ByAverage, ByLoss} {
		c := tiny()
		c.Quantiser.Codebook = codebook
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
			t.Errorf("codebook by %s: a step has changed parameters or state", codebook)
		}
		// The update after the next step is that of this step alone.
		m.Step(new(tensor.Arena), noise(c, 2, 9, 2), rand.NewPCG(1, 1))
		m.Update(rand.NewPCG(1, 1))
		fresh := newModel(t, c, dilated.Float32)
		fresh.Step(new(tensor.Arena), noise(c, 2, 9, 2), rand.NewPCG(1, 1))
		fresh.Update(rand.NewPCG(1, 1))
		if !equal(snapshot(m.State()), snapshot(fresh.State())) {
			t.Errorf("codebook by %s: a step without update shows in the next update", codebook)
		}
		m.Update(rand.NewPCG(1, 1)) // without a step
		if !equal(snapshot(m.State()), snapshot(fresh.State())) {
			t.Errorf("codebook by %s: an update without a step changes something", codebook)
		}
	}
}

// TestPrecisions compares bfloat16 with float32, in models that share parameters and state.
func TestPrecisions(t *testing.T) {
	c := tiny()
	c.Quantiser.Beta = 0.5
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
	for _, codebook := range []string{ByAverage, ByLoss} {
		c := tiny()
		c.Quantiser.Codebook, c.Quantiser.Dead = codebook, 0.9
		m := newModel(t, c, dilated.Float32)
		state := func() [][]float32 { return append(snapshot(m.Parameters()), snapshot(m.State())...) }
		a := new(tensor.Arena)
		m.Parameters().ZeroGrad()

		m.Step(a, noise(c, 1, 9, 1), rand.NewPCG(1, 1)) // left out
		m.Parameters().ZeroGrad()
		before := state()
		if l := m.Step(a, Batch{Size: 2}, rand.NewPCG(1, 1)); l.NLL != 0 || l.Total() != 0 || len(l.Codes) != 0 {
			t.Errorf("losses %+v of an empty batch", l)
		}
		if r := m.Update(rand.NewPCG(1, 1)); len(r.Replaced) != 0 || !equal(state(), before) {
			t.Errorf("codebook by %s: an empty batch has changed something", codebook)
		}
		if err := m.InitialiseCodebook(a, []Batch{{}, {Size: 1}}, rand.NewPCG(1, 1)); err == nil || !equal(state(), before) {
			t.Errorf("codebook initialised from nothing: error %v", err)
		}
		if codes := m.Codes(a, tensor.New(3, 0, 1)); len(codes) != 0 {
			t.Errorf("codes %v of nothing", codes)
		}

		// An encoder that has gone astray.
		before = snapshot(m.State())
		m.Encoder.Layers[3].Bias.Value.Data[2] = float32(math.NaN())
		l := m.Step(a, noise(c, 2, 9, 1), rand.NewPCG(1, 1))
		if l.Lost != 18 || !math.IsInf(l.Total(), 1) || slices.ContainsFunc(l.Codes, func(k int32) bool { return k != 0 }) {
			t.Errorf("losses %+v of vectors that hold NaN", l)
		}
		if r := m.Update(rand.NewPCG(1, 1)); len(r.Replaced) != 0 || !equal(snapshot(m.State()), before) {
			t.Errorf("codebook by %s: vectors that hold NaN have changed the state", codebook)
		}
		if err := m.InitialiseCodebook(a, []Batch{noise(c, 2, 9, 1)}, rand.NewPCG(1, 1)); err == nil || !equal(snapshot(m.State()), before) {
			t.Errorf("codebook initialised from NaN: error %v", err)
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
