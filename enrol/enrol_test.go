package enrol

import (
	"context"
	"errors"
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
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

var testConfig = vqvae.Config{
	Rate: 8000, Levels: 64,
	Encoder:    vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{6, 8}, Strides: []int{4, 8}},
	Bottleneck: vqvae.BottleneckConfig{Kind: vqvae.VQ, Entries: 16, Dim: 5, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99},
	Decoder:    vqvae.DecoderConfig{Residual: 8, Skip: 12, Layers: 4, Cycles: 1, Speaker: 3},
}

// testModel returns a model with random weights, whose voices differ.
func testModel(t testing.TB, c vqvae.Config) *vqvae.Model {
	t.Helper()
	src := rand.NewPCG(1, 2)
	m, err := vqvae.New(c, []string{"ann", "bob", "kim", "zoe", "joe", "eve"}, dilated.Float32, src)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(src)
	for _, p := range m.Decoder.Parameters() {
		for i := range p.Value.Data {
			p.Value.Data[i] += 0.2 * float32(r.NormFloat64())
		}
	}
	return m
}

// saySomething returns pieces of speech that the model itself draws in a voice.
func saySomething(t testing.TB, m *vqvae.Model, voice []float32, seconds float64, src rand.Source) speech {
	t.Helper()
	r := rand.New(src)
	frames, dim, hop := int(seconds*float64(m.Config.Rate))/m.Config.Hop(), m.Config.Bottleneck.Dim, m.Config.Hop()
	p := piece{local: tensor.New(1, frames, dim)}
	for i := range p.local.Data {
		p.local.Data[i] = float32(r.NormFloat64())
	}
	g := wavenet.NewSampler(m.Decoder, wavenet.Float32).NewGenerator(wavenet.Voice{Global: voice, Drawing: wavenet.Drawing{Temperature: 1}, Uniform: r.Float64}, func(steps []int32) error {
		p.levels = append(p.levels, steps...)
		return nil
	})
	if err := errors.Join(g.Write(p.local.Data), g.Close()); err != nil || len(p.levels) != frames*hop {
		t.Fatalf("%d levels, %v", len(p.levels), err)
	}
	return speech{p}
}

func TestGradient(t *testing.T) {
	m := testModel(t, testConfig)
	src := rand.NewPCG(5, 6)
	p := saySomething(t, m, []float32{1, -2, 0.5}, 0.5, src)[0]
	for _, voice := range [][]float32{{0, 0, 0.1}, {-1, 1, 2}, {3, -4, 0}} {
		w := newWorker(t.Context(), m, nil)
		v := &nn.Parameter{Value: tensor.From(voice, 1, 3), Grad: tensor.From([]float32{7, 7, 7}, 1, 3)} // which is overwritten
		if err := w.gradient(p, v); err != nil {
			t.Fatal(err)
		}
		nll := func() float64 {
			nll, err := w.nll([]piece{p}, voice, pieceCost)
			if err != nil {
				t.Fatal(err)
			}
			return nll
		}
		if err := gradcheck.Directional(nll, src, gradcheck.Part{Name: "voice", X: voice, Grad: v.Grad.Data}); err != nil {
			t.Errorf("at %v: %v", voice, err)
		}
	}
	for _, p := range m.Parameters() {
		if slices.ContainsFunc(p.Grad.Data, func(g float32) bool { return g != 0 }) {
			t.Errorf("%s has a gradient", p.Name)
		}
	}
}

// TestFit draws speech in a voice that the model has not got, and wants that it is found: that other speech of the voice is
// predicted as with the true one.
func TestFit(t *testing.T) {
	m := testModel(t, testConfig)
	src := rand.NewPCG(7, 8)
	voice := []float32{1.5, -2.5, 1}
	pieces := saySomething(t, m, voice, 5, src).pieces(m.Config.Hop(), pieceSamples)
	tests := saySomething(t, m, voice, 4, src).pieces(m.Config.Hop(), pieceSamples)
	w := newWorker(t.Context(), m, nil)
	nll := func(voice []float32) float64 {
		nll, err := w.nll(tests, voice, pieceCost)
		if err != nil {
			t.Fatal(err)
		}
		return nll
	}
	mean := meanVoice(m)
	found, err := w.fit(pieces, mean, steps, rand.New(rand.NewPCG(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	truth, before, after := nll(voice), nll(mean), nll(found)
	if before-truth < 0.05 {
		t.Fatal("the model is too simple for the test")
	}
	if math.Abs(after-truth) > 0.02*(before-truth) {
		t.Errorf("with %v, %.4f nats per sample, want %.4f as with the true voice", found, after, truth)
	}
}

func TestMeanVoice(t *testing.T) {
	m := testModel(t, testConfig)
	copy(m.Voices.Table.Value.Data, []float32{
		1, 2, 3,
		1, 2, 3,
		1, 2, 3,
		-5, 0, 1,
		1, 1, 1,
		7, 5, 1,
	})
	if got := meanVoice(m); !slices.Equal(got, []float32{1, 2, 2}) {
		t.Errorf("mean %v", got)
	}
}

// TestNearest wants the voice that speech was drawn in, of several.
func TestNearest(t *testing.T) {
	m := testModel(t, testConfig)
	for id := range m.Speakers.Len() {
		s := saySomething(t, m, m.Voices.Table.Value.Row(id), 6, rand.NewPCG(uint64(id), 1))
		total := 0
		w := newWorker(t.Context(), m, func(done, _ int) { total = done })
		pieces := s.pieces(m.Config.Hop(), shortSamples)
		got, err := w.nearest(pieces)
		if err != nil || int(got) != id {
			t.Errorf("speech of %s is nearest to %s, %v", m.Speakers.Name(int32(id)), m.Speakers.Name(got), err)
		}
		if want := nearestCost(m.Speakers.Len(), len(pieces)); total != want {
			t.Errorf("it cost %d, announced were %d", total, want)
		}
	}
}

func TestNearestCost(t *testing.T) {
	for _, c := range []struct{ voices, pieces, want int }{
		{1, 10, 0},
		{2, 1, 2},
		{2, 100, 2 * 4},
		{4, 100, 4 * 4},      // then one is left
		{5, 100, 5*4 + 2*16}, // 5, 2, 1
		{100, 130, 100*4 + 25*16 + 7*64 + 2*130},
		{100, 16, 100*4 + 25*16},
	} {
		if got := nearestCost(c.voices, c.pieces); got != c.want {
			t.Errorf("%d voices on %d pieces: %d, want %d", c.voices, c.pieces, got, c.want)
		}
	}
}

func TestDivide(t *testing.T) {
	const hop = 2
	clip := func(first int32, frames int) piece {
		p := piece{local: tensor.New(1, frames, 1)}
		for i := range frames * hop {
			p.levels = append(p.levels, first+int32(i))
			p.local.Data[i/hop] = float32(first + int32(i/hop*hop))
		}
		return p
	}
	for _, c := range []struct {
		frames  []int // of each clip
		heldOut []int // of what is held out
	}{
		{[]int{100}, []int{20}},
		{[]int{5}, []int{1}},
		{[]int{7}, []int{2}},
		{[]int{10, 10}, []int{10}},
		{[]int{10, 11}, []int{5}},
		{[]int{10, 10, 10, 10, 10, 10}, []int{10, 10}},
		{[]int{50, 30, 20}, []int{20}},
		{[]int{1, 98, 1}, []int{19, 1}},
		{[]int{1, 49, 49, 1}, []int{49, 1}},
		{[]int{1, 2, 1, 1}, []int{1}},
		{[]int{1, 1, 1, 1, 1, 1}, []int{1, 1}},
		{[]int{99, 1}, []int{19, 1}},
	} {
		var s, whole speech
		next := int32(0)
		for _, n := range c.frames {
			s = append(s, clip(next, n))
			whole = append(whole, clip(next, n))
			next += int32(n * hop)
		}
		fitted, out := s.divide(hop)
		var got []int
		for _, p := range out {
			got = append(got, p.local.Dim(1))
		}
		if !slices.Equal(got, c.heldOut) {
			t.Errorf("of clips of %v frames %v are held out, want %v", c.frames, got, c.heldOut)
		}
		// Both together are all speech, in order, once.
		var levels []int32
		var local []float32
		for _, p := range slices.Concat(fitted, out) {
			if len(p.levels) != p.local.Len()*hop {
				t.Errorf("%d levels for %d frames", len(p.levels), p.local.Len())
			}
			levels, local = append(levels, p.levels...), append(local, p.local.Data...)
		}
		for i, l := range levels {
			if l != int32(i) || local[i/hop] != float32(i/hop*hop) {
				t.Errorf("of clips of %v frames: level %d is %d, its vector %v", c.frames, i, l, local[i/hop])
				break
			}
		}
		if len(levels) != int(next) {
			t.Errorf("of clips of %v frames: %d levels, want %d", c.frames, len(levels), next)
		}
		for i := range s {
			if !slices.Equal(s[i].levels, whole[i].levels) {
				t.Errorf("clip %d is changed", i)
			}
		}
	}
}

// noise returns a clip of noise through a resonance, at a level.
func noise(n int, resonance, level float64, seed uint64) []float32 {
	r, x := rand.New(rand.NewPCG(seed, 3)), make([]float32, n)
	var y1, y2 float64
	for i := range x {
		y := 2*0.9*math.Cos(resonance)*y1 - 0.81*y2 + r.NormFloat64()
		y1, y2 = y, y1
		x[i] = float32(max(-1, min(1, level*y)))
	}
	return x
}

// The clips of a voice: half a second each.
func testClips(n int) [][]float32 {
	var clips [][]float32
	for i := range n {
		clips = append(clips, noise(4000, 0.5, 0.05, uint64(i)))
	}
	return clips
}

// TestFitReport works the report out by the model's own likelihoods.
func TestFitReport(t *testing.T) {
	for _, kind := range []string{vqvae.VQ, vqvae.VAE, vqvae.None} {
		t.Run(kind, func(t *testing.T) {
			c := testConfig
			c.Bottleneck.Kind = kind
			m := testModel(t, c)
			clips := testClips(6)
			calls, last, total := 0, 0, 0
			vector, r, err := Fit(t.Context(), m, clips, Options{Steps: 100, Progress: func(done, of int) {
				if calls++; done <= last || total != 0 && of != total {
					t.Errorf("progress %d of %d after %d of %d", done, of, last, total)
				}
				last, total = done, of
			}})
			if err != nil {
				t.Fatal(err)
			}
			if calls == 0 || last != total {
				t.Errorf("%d of %d is done in the end", last, total)
			}
			if r.Fitted != 2 || r.HeldOut != 1 {
				t.Errorf("%v s, %v s held out", r.Fitted, r.HeldOut)
			}
			id, err := m.Speakers.ID(r.Nearest)
			if err != nil {
				t.Fatal(err)
			}
			all, err := encode(t.Context(), m, clips)
			if err != nil {
				t.Fatal(err)
			}
			shuffle(rand.New(rand.NewPCG(0, 0)), all)
			heldOut := all[4:]
			for _, v := range []struct {
				name  string
				got   float64
				voice []float32
			}{{"mean", r.Mean, meanVoice(m)}, {"existing", r.Existing, m.Voices.Table.Value.Row(int(id))}, {"enrolled", r.Enrolled, vector}} {
				more, err := m.WithVoice("new", v.voice, vqvae.Timbre{})
				if err != nil {
					t.Fatal(err)
				}
				want := 0.0
				for _, p := range heldOut {
					want += more.NLL(new(tensor.Arena), p.levels, 1, p.local, []int32{6}) / 2
				}
				if math.Abs(v.got-want) > 1e-9 {
					t.Errorf("%s: %v, want %v", v.name, v.got, want)
				}
			}
			if r.Gain != min(r.Mean, r.Existing)-r.Enrolled || !(r.Gain > 0) {
				t.Errorf("gain %v of %+v", r.Gain, r)
			}
		})
	}
}

// TestNoGain holds out what is nothing like the rest.
func TestNoGain(t *testing.T) {
	clip := append(noise(32000, 0.5, 0.05, 1), make([]float32, 8000)...)
	_, r, err := Fit(t.Context(), testModel(t, testConfig), [][]float32{clip}, Options{})
	if err != nil || r.HeldOut != 1 || !(r.Gain < 0) || r.Gain != min(r.Mean, r.Existing)-r.Enrolled {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestReproducible wants the same bits on any number of threads, and others of another seed.
func TestReproducible(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	m := testModel(t, testConfig)
	var first []float32
	var report Report
	for _, threads := range []int{1, 2, 5} {
		parallel.SetThreads(threads)
		v, r, err := Fit(t.Context(), m, testClips(12), Options{Steps: 10, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first, report = v, r
		}
		if !slices.Equal(v, first) || r != report {
			t.Errorf("on %d threads %v, %+v, want %v, %+v", threads, v, r, first, report)
		}
	}
	if v, _, err := Fit(t.Context(), m, testClips(12), Options{Steps: 10, Seed: 4}); err != nil || slices.Equal(v, first) {
		t.Errorf("another seed gives %v, %v", v, err)
	}
}

// TestFitInputs goes through models with other inputs and outputs.
func TestFitInputs(t *testing.T) {
	mel, logistic := testConfig, testConfig
	mel.Encoder.Input, mel.Encoder.Strides = vqvae.LogMel, []int{1, 2}
	logistic.Decoder.Mixture, logistic.Levels = 2, 1<<16
	for name, c := range map[string]vqvae.Config{"log-mel": mel, "mixture": logistic} {
		if _, r, err := Fit(t.Context(), testModel(t, c), testClips(6), Options{Steps: 60}); err != nil || !(r.Gain > 0) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestFitRefuses(t *testing.T) {
	m := testModel(t, testConfig)
	mute := testConfig
	mute.Decoder.Speaker = 0
	coarse := testConfig
	coarse.Encoder.Strides = []int{64, 64}
	wild := testModel(t, testConfig)
	for i := range wild.Decoder.Out2.Weight.Value.Data {
		wild.Decoder.Out2.Weight.Value.Data[i] *= 1e38
	}
	for _, c := range []struct {
		name  string
		model *vqvae.Model
		clips [][]float32
		want  string
	}{
		{"no speakers", testModel(t, mute), testClips(6), "knows no speakers"},
		{"nothing", m, nil, "0.0 s of speech: want 2 to 300"},
		{"empty clips", m, [][]float32{{}, {}}, "0.0 s of speech"},
		{"too little", m, testClips(3), "1.5 s of speech"},
		{"too much", m, [][]float32{make([]float32, 301*8000)}, "301.0 s of speech"},
		{"too few frames", testModel(t, coarse), [][]float32{make([]float32, 16000)}, "s of speech"},
		{"likelihoods that are not finite", wild, testClips(6), "not finite"},
	} {
		if v, _, err := Fit(t.Context(), c.model, c.clips, Options{Steps: 1}); err == nil || !strings.Contains(err.Error(), c.want) || v != nil {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
	for _, at := range []int{0, 5, 30} {
		ctx, cancel := context.WithCancel(t.Context())
		if at == 0 {
			cancel()
		}
		_, _, err := Fit(ctx, m, testClips(6), Options{Progress: func(done, _ int) {
			if done >= at {
				cancel()
			}
			if done > at+gradientCost {
				t.Errorf("goes on to %d", done)
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at %d: %v", at, err)
		}
		cancel()
	}
}
