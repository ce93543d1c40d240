package prior

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

const someModel = "0123456789abcdef"

// small is the shape of a prior for tests.
func small(codes, speaker int) Config {
	return Config{Model: someModel, Rate: 16000, Hop: 64, Codes: codes, Residual: 8, Skip: 12, Layers: 3, Cycles: 1, Speaker: speaker}
}

func newPrior(t testing.TB, c Config, speakers ...string) *Prior {
	t.Helper()
	p, err := New(c, speakers, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// randomCodes returns n codes below k.
func randomCodes(n, k int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 0))
	codes := make([]int32, n)
	for i := range codes {
		codes[i] = int32(r.IntN(k))
	}
	return codes
}

func TestNew(t *testing.T) {
	p := newPrior(t, small(8, 3), "a", "b")
	if p.Nobody() != 2 || p.Voices.Table.Value.Dim(0) != 3 {
		t.Errorf("nobody is %d of %v", p.Nobody(), p.Voices.Table.Value)
	}
	if n := int64(p.Parameters().Count()); n != p.Config.Elements(2) {
		t.Errorf("%d elements, Elements says %d", n, p.Config.Elements(2))
	}
	if p := newPrior(t, small(8, 0), "a", "b"); p.Voices != nil || p.Speakers.Len() != 0 || p.Parameters().Count() != int(p.Config.Elements(0)) {
		t.Error("a prior without channels for the speaker knows some")
	}
	bad := small(8, 3)
	bad.Model = "x"
	for _, c := range []Config{{}, bad, small(1, 0), small(MaxCodes+1, 0)} {
		if _, err := New(c, nil, dilated.Float32, rand.NewPCG(0, 0)); err == nil {
			t.Errorf("%+v is not refused", c)
		}
	}
	if _, err := New(small(8, 3), []string{"a", "a"}, dilated.Float32, rand.NewPCG(0, 0)); err == nil {
		t.Error("a name twice is not refused")
	}
}

func TestFor(t *testing.T) {
	m := vqvae.Config{
		Rate: 16000, Levels: 256, Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{4, 4}, Strides: []int{4, 4}},
		Bottleneck: vqvae.BottleneckConfig{Kind: vqvae.VQ, Dim: 4, Entries: 300, Groups: 1, Stages: 1},
	}
	open := Config{Residual: 8, Skip: 8, Layers: 2, Cycles: 1}
	c, err := open.For(m, someModel)
	if err != nil || c.Codes != 300 || c.Hop != 16 || c.Rate != 16000 || c.Model != someModel || c.Check() != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if again, err := c.For(m, someModel); err != nil || again != c {
		t.Errorf("%+v, %v", again, err)
	}
	several, vae, image, other := m, m, m, m
	several.Bottleneck.Groups = 2
	vae.Bottleneck.Kind = vqvae.VAE
	image.Image = &vqvae.ImageConfig{}
	other.Bottleneck.Entries = 200
	for _, test := range []struct {
		c           Config
		m           vqvae.Config
		fingerprint string
		want        string
	}{
		{open, several, someModel, "90000 different codes, as 2 codebooks of 300 entries"},
		{open, vae, someModel, `no codes: its bottleneck is "vae"`},
		{open, image, someModel, "pictures"},
		{c, m, "fedcba9876543210", "over the codes of model 0123456789abcdef, this is model fedcba9876543210"},
		{c, other, someModel, "a prior over 300 codes"},
	} {
		if _, err := test.c.For(test.m, test.fingerprint); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// TestGradient checks the gradients of the vectors of speakers, and of nobody, with a past in noise. (Those of the net are checked in
// package wavenet.)
func TestGradient(t *testing.T) {
	p := newPrior(t, small(7, 3), "a", "b")
	for i := range p.Net.Out2.Weight.Value.Data { // small at first
		p.Net.Out2.Weight.Value.Data[i] *= 10
	}
	for _, name := range []string{"net.stack.bias", "net.out1.bias"} { // away from the kinks of ReLU, which differences straddle
		for i := range p.Parameters().Find(name).Value.Data {
			p.Parameters().Find(name).Value.Data[i] = 4
		}
	}
	b := Batch{Codes: randomCodes(60, 7, 1), Past: randomCodes(60, 7, 2), Size: 3, Speakers: []int32{2, 0, 2}}
	p.Parameters().ZeroGrad()
	loss := p.LossGradient(new(tensor.Arena), b)
	a := new(tensor.Arena)
	f := func() float64 {
		defer a.Reset()
		return p.Net.Loss(a, p.input(a, b))
	}
	if got := f(); got != loss {
		t.Errorf("loss %v, with the gradient %v", got, loss)
	}
	voices := p.Voices.Table
	if err := gradcheck.Directional(f, rand.NewPCG(3, 4), gradcheck.Part{Name: "speakers", X: voices.Value.Data, Grad: voices.Grad.Data}); err != nil {
		t.Error(err)
	}
	for id, known := range []bool{true, false, true} {
		if got := slices.ContainsFunc(voices.Grad.Row(id), func(v float32) bool { return v != 0 }); got != known {
			t.Errorf("speaker %d has a gradient: %v", id, got)
		}
	}
}

// TestNLL: of an utterance in pieces it is the sum of what the whole gives; it depends on the speaker; in any number of threads it is
// the same.
func TestNLL(t *testing.T) {
	p := newPrior(t, small(8, 3), "a", "b")
	for _, n := range []int{0, 1, 100, piece, 2*piece + 77} {
		codes := randomCodes(n, 8, 5)
		for id := range int32(3) {
			a := new(tensor.Arena)
			want := 0.0
			if n > 0 {
				want = float64(n) * p.Net.Loss(a, p.input(a, Batch{Codes: codes, Speakers: []int32{id}, Size: 1}))
			}
			got := p.NLL(a, codes, id)
			if math.Abs(got-want) > 1e-6*want {
				t.Errorf("%d codes of %d: %v nats, want %v", n, id, got, want)
			}
			if n > 0 && id > 0 && got == p.NLL(a, codes, 0) {
				t.Errorf("%d codes: the speaker makes no difference", n)
			}
		}
	}
	c := small(8, 3)
	c.Residual, c.Skip = 32, 32
	p = newPrior(t, c, "a", "b")
	codes := randomCodes(3000, 8, 6)
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(1)
	one := p.NLL(new(tensor.Arena), codes, 1)
	parallel.SetThreads(3)
	if three := p.NLL(new(tensor.Arena), codes, 1); three != one {
		t.Errorf("on three threads %v, on one %v", three, one)
	}
	if half := p.With(dilated.BFloat16).NLL(new(tensor.Arena), codes, 1); math.Abs(half-one) > 0.01*one || half == one {
		t.Errorf("in bfloat16 %v, in float32 %v", half, one)
	}
}

// TestCondition: a sampler that is told the codes finds them as likely as the whole-sequence pass.
func TestCondition(t *testing.T) {
	for _, channels := range []int{0, 3} {
		p := newPrior(t, small(8, channels), "a", "b")
		codes := randomCodes(200, 8, 9)
		for id := range p.Nobody() + 1 {
			s, before, sum := wavenet.NewSampler(p.Net, wavenet.Float32), p.Net.First(), 0.0
			s.Frame(p.Condition(id))
			for _, code := range codes {
				logits, total := s.Step(before), 0.0
				for _, v := range logits {
					total += math.Exp(float64(v))
				}
				sum += math.Log(total) - float64(logits[code])
				before = code
			}
			if want := p.NLL(new(tensor.Arena), codes, id); math.Abs(sum-want) > 1e-4*want {
				t.Errorf("%d: %v nats, want %v", id, sum, want)
			}
		}
	}
}

// markov draws utterances of a chain of k codes, in which each is followed by the next one, k-1 by 0, with the probability stay, and by any
// other with equal ones. Its codes are all as likely, and its entropy rate, in bits, is the second result.
func markov(k, count, length int, stay float64, seed uint64) (utterances []Utterance, rate float64) {
	r := rand.New(rand.NewPCG(seed, 7))
	for i := range count {
		u := Utterance{Speaker: int32(i % 2)}
		code := r.IntN(k)
		for range length {
			u.Codes = append(u.Codes, int32(code))
			if r.Float64() < stay {
				code = (code + 1) % k
			} else {
				code = (code + 2 + r.IntN(k-1)) % k
			}
		}
		utterances = append(utterances, u)
	}
	return utterances, -stay*math.Log2(stay) - (1-stay)*math.Log2((1-stay)/float64(k-1))
}

// TestLearns: a prior comes near the entropy of a source of which it is known, and so does the bigram model; the unigram one stays at
// log2 K.
func TestLearns(t *testing.T) {
	const k = 8
	train, rate := markov(k, 40, 300, 0.7, 1)
	test, _ := markov(k, 20, 300, 0.7, 2)
	p := newPrior(t, small(k, 2), "a", "b")
	s, err := NewSampler(train, SamplerConfig{Length: 200, Batch: 2, Seed: 1, Nobody: p.Nobody(), Hidden: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	ps, a := p.Parameters(), new(tensor.Arena)
	adam := nn.NewAdam(ps)
	const steps = 400
	schedule := nn.Cosine(0.01, 0, steps)
	for step := range steps {
		ps.ZeroGrad()
		p.LossGradient(a, s.Next())
		adam.Step(schedule(step))
		a.Reset()
	}
	done := int64(0)
	r, err := Measure(context.Background(), p, test, a, func(n int64) { done = n })
	if err != nil {
		t.Fatal(err)
	}
	of := Count(k, test)
	unigram, bigram := Count(k, train).Fit().CrossEntropy(of)
	t.Logf("entropy rate %.3f; prior %.3f, to nobody %.3f; bigram %.3f, unigram %.3f; of the split %.3f, %.3f",
		rate, r.Prior, r.Nobody, bigram, unigram, of.ConditionalEntropy(), of.Entropy())
	if r.Codes != 6000 || done != 6000 || r.Utterances != 20 || r.Rate != 250 || r.Seconds != 24 {
		t.Errorf("%+v", r)
	}
	for name, bits := range map[string]float64{"prior": r.Prior, "nobody": r.Nobody, "bigram": bigram} {
		if math.Abs(bits-rate) > 0.06 {
			t.Errorf("%s: %.3f bits, the entropy rate is %.3f", name, bits, rate)
		}
	}
	if math.Abs(unigram-3) > 0.02 || math.Abs(of.Entropy()-3) > 0.02 || math.Abs(of.ConditionalEntropy()-rate) > 0.06 {
		t.Errorf("unigram %.3f, entropies %.3f and %.3f", unigram, of.Entropy(), of.ConditionalEntropy())
	}
}

func TestMeasureRefuses(t *testing.T) {
	p := newPrior(t, small(8, 0))
	if _, err := Measure(context.Background(), p, []Utterance{{}}, new(tensor.Arena), nil); err == nil {
		t.Error("no codes are measured")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, p, []Utterance{{Codes: []int32{1}}}, new(tensor.Arena), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestCounts counts by hand.
func TestCounts(t *testing.T) {
	c := Count(3, []Utterance{{Codes: []int32{0, 1, 0, 1}}, {Codes: []int32{0, 0}}, {}})
	if c.Total != 6 || !slices.Equal(c.One, []int64{4, 2, 0}) || !slices.Equal(c.Rows, []int64{3, 1, 0, 2}) {
		t.Errorf("%+v", c)
	}
	// Four of six and two of six; the two starts are 0, behind 0 are 1, 1 and 0, behind 1 is 0.
	if e := c.Entropy(); math.Abs(e-0.9182958340544896) > 1e-12 {
		t.Errorf("entropy %v", e)
	}
	if e := c.ConditionalEntropy(); math.Abs(e-3*0.9182958340544896/6) > 1e-12 {
		t.Errorf("conditional entropy %v", e)
	}
	b := &Bigram{c, 2}
	// p(2) = (0 + 1/2) / (6 + 3/2) = 1/15; p(2 | 1) = (0 + 2/15) / (1 + 2).
	unigram, bigram := b.CrossEntropy(Count(3, []Utterance{{Codes: []int32{1, 2}}}))
	first := 2.5 / 7.5
	if want := -(math.Log2(first) + math.Log2(1.0/15)) / 2; math.Abs(unigram-want) > 1e-12 {
		t.Errorf("unigram %v, want %v", unigram, want)
	}
	if want := -(math.Log2(2*first/4) + math.Log2(2.0/15/3)) / 2; math.Abs(bigram-want) > 1e-12 {
		t.Errorf("bigram %v, want %v", bigram, want)
	}
	sum := 0.0
	for code := range int64(3) {
		sum += b.one(code)
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("probabilities sum to %v", sum)
	}
}
