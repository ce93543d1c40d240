package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

var testConfig = vqvae.Config{
	Rate: 8000, Levels: 64,
	Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{6, 8}, Strides: []int{4, 4}},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 5, Entries: 16, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
	},
	Decoder: vqvae.DecoderConfig{Residual: 8, Skip: 12, Layers: 3, Cycles: 1, Speaker: 3},
}

// testModel returns a model with random weights, whose speakers are in another order than the corpus's.
func testModel(t testing.TB, c vqvae.Config) *vqvae.Model {
	t.Helper()
	src := rand.NewPCG(1, 2)
	m, err := vqvae.New(c, []string{"zoe", "kim", "ann", "nobody"}, dilated.Float32, src)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(src)
	for _, p := range m.Parameters() { // codes and speakers that matter
		for i := range p.Value.Data {
			p.Value.Data[i] += 0.1 * float32(r.NormFloat64())
		}
	}
	front, err := frontend.New(c)
	if err != nil {
		t.Fatal(err)
	}
	samples, b := make([]float32, 4000), front.NewBatch(1, 4000)
	for i := range samples {
		samples[i] = 2*r.Float32() - 1
	}
	front.Fill(&b, samples)
	if err := m.InitialiseCodebooks(new(tensor.Arena), []vqvae.Batch{b}, src); err != nil {
		t.Fatal(err)
	}
	return m
}

// testCorpus has utterances of several crops of 160, shorter ones, and other splits between them.
func testCorpus() *corpora.Cache {
	r := rand.New(rand.NewPCG(3, 4))
	var utterances []corpora.Utterance
	var samples [][]int16
	for i, u := range []struct {
		speaker, split string
		length         int
	}{
		{"ann", corpora.Valid, 500}, {"kim", corpora.Train, 1000}, {"kim", corpora.Valid, 159}, {"zoe", corpora.Valid, 160},
		{"kim", corpora.Valid, 799}, {"stranger", corpora.Test, 700}, {"ann", corpora.Valid, 330},
	} {
		utterances = append(utterances, corpora.Utterance{Path: fmt.Sprintf("%d.wav", i), Speaker: u.speaker, Split: u.split})
		x, v := make([]int16, u.length), 0.0
		for j := range x {
			v = 0.9*v + r.NormFloat64()
			x[j] = int16(3000 * v * math.Sin(float64(j)/50))
		}
		samples = append(samples, x)
	}
	return corpora.NewCache(8000, utterances, samples)
}

// TestNLL computes the same crop by crop, from the logits.
func TestNLL(t *testing.T) {
	m, cache := testModel(t, testConfig), testCorpus()
	const crop, batch, hop = 160, 3, 16
	got, err := NLL(t.Context(), m, cache, Options{Split: corpora.Valid, Crop: crop, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}

	// Utterances 0, 3, 4 and 6 have 3, 1, 4 and 2 crops: 9 in 3 batches, and one that is left out.
	type where struct{ utterance, start, speaker int }
	crops := []where{{0, 0, 2}, {0, 160, 2}, {0, 320, 2}, {3, 0, 0}, {4, 0, 1}, {4, 160, 1}, {4, 320, 1}, {4, 480, 1}, {6, 0, 2}}
	front, err := frontend.New(testConfig)
	if err != nil {
		t.Fatal(err)
	}
	a := new(tensor.Arena)
	var levels, codes [][]int32
	for _, c := range crops {
		x, b := make([]float32, crop), front.NewBatch(1, crop)
		cache.Read(x, c.utterance, int64(c.start))
		front.Fill(&b, x)
		levels = append(levels, b.Levels)
		codes = append(codes, slices.Clone(m.Codes(a, b.Input)))
	}
	nll := func(i int, codes []int32, speaker int) float64 {
		local := tensor.New(1, crop/hop, testConfig.Bottleneck.Dim)
		for f, k := range codes {
			copy(local.Row(f), m.Embed(a, []int32{k}, 1).Data)
		}
		return m.NLL(a, levels[i], 1, local, []int32{int32(speaker)})
	}
	want := Report{Split: corpora.Valid, Crop: crop, Batch: batch, Crops: len(crops)}
	counts := map[int32]float64{}
	for i, c := range crops {
		first := i / batch * batch
		before := i - 1
		if i == first {
			before = first + batch - 1
		}
		n := float64(len(crops))
		want.True += nll(i, codes[i], c.speaker) / n
		want.Shuffled += nll(i, codes[before], c.speaker) / n
		want.Constant += nll(i, slices.Repeat(codes[first][:1], crop/hop), c.speaker) / n
		want.WrongSpeaker += nll(i, codes[i], (c.speaker+1)%4) / n
		for _, k := range codes[i] {
			counts[k]++
		}
	}
	bits, total := 0.0, float64(len(crops)*crop/hop)
	for _, n := range counts {
		bits -= n / total * math.Log2(n/total)
	}
	want.Codes = Codes{Entries: 16, Used: len(counts), Perplexity: math.Exp2(bits), Rate: 500, RawBitRate: 2000, BitRate: 500 * bits}

	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"true", got.True, want.True}, {"shuffled", got.Shuffled, want.Shuffled}, {"constant", got.Constant, want.Constant},
		{"wrong speaker", got.WrongSpeaker, want.WrongSpeaker}, {"perplexity", got.Perplexity, want.Perplexity},
		{"code rate", got.Rate, want.Rate}, {"raw bit rate", got.RawBitRate, want.RawBitRate}, {"bit rate", got.BitRate, want.BitRate},
		{"used", float64(got.Used), float64(want.Used)}, {"crops", float64(got.Crops), float64(want.Crops)},
	} {
		if math.Abs(v.got-v.want) > 1e-5*v.want {
			t.Errorf("%s is %v, want %v", v.name, v.got, v.want)
		}
	}
	if v := []float64{got.True, got.Shuffled, got.Constant, got.WrongSpeaker}; slices.Max(v)-slices.Min(v) < 1e-3 || got.Used < 3 {
		t.Errorf("%+v: the model is too simple for the test", got)
	}
	if data, err := json.Marshal(got); err != nil || !strings.Contains(string(data), `"wrong_speaker":`) || !strings.Contains(string(data), `"perplexity":`) {
		t.Errorf("as JSON: %s, %v", data, err)
	}

	// Any number of threads and any arena give the same bits.
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(3)
	calls := 0
	again, err := NLL(t.Context(), m, cache, Options{Split: corpora.Valid, Crop: crop, Batch: batch, Arena: &tensor.Arena{Poison: true},
		Progress: func(done, total int) {
			if calls++; done != 3*calls || total != 9 {
				t.Errorf("progress %d of %d at call %d", done, total, calls)
			}
		}})
	if err != nil || !reflect.DeepEqual(again, got) || calls != 3 {
		t.Errorf("on other threads: %+v after %d calls, %v; want %+v", again, calls, err, got)
	}
}

func TestNLLOfSomeCrops(t *testing.T) {
	cache := testCorpus()
	for _, c := range []struct {
		crops int
		want  []crop
	}{
		{4, []crop{{0, 0}, {0, 320}, {4, 160}, {4, 480}}},
		{5, []crop{{0, 0}, {0, 320}, {4, 160}, {4, 480}}}, // an incomplete batch is left out
		{1, nil},
	} {
		got := chooseCrops(cache, Options{Split: corpora.Valid, Crop: 160, Batch: 2, Crops: c.crops})
		if !slices.Equal(got, c.want) {
			t.Errorf("of %d crops: %v, want %v", c.crops, got, c.want)
		}
	}
	for _, all := range []int{0, 10, 11, 1000} {
		if got := chooseCrops(cache, Options{Split: corpora.Valid, Crop: 160, Batch: 2, Crops: all}); len(got) != 10 || got[1] != (crop{0, 160}) {
			t.Errorf("at most %d: %v", all, got)
		}
	}
	if got := chooseCrops(cache, Options{Crop: 160, Batch: 2}); len(got) != 20 { // 6 of train, 4 of test
		t.Errorf("of all splits: %v", got)
	}
}

func TestNLLWithoutSpeakers(t *testing.T) {
	c := testConfig
	c.Decoder.Speaker = 0
	r, err := NLL(t.Context(), testModel(t, c), testCorpus(), Options{Crop: 160})
	if err != nil || r.WrongSpeaker != 0 || !(r.True > 0) {
		t.Errorf("%+v, %v", r, err)
	}
	if data, _ := json.Marshal(r); strings.Contains(string(data), "wrong_speaker") {
		t.Errorf("as JSON: %s", data)
	}
}

func TestNLLErrors(t *testing.T) {
	m, cache := testModel(t, testConfig), testCorpus()
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Crop: 100}, "multiple"}, {Options{Crop: -16}, "multiple"}, {Options{Crop: 160, Batch: 1}, "shuffled"},
		{Options{Crop: 160, Batch: -1}, "shuffled"}, {Options{Crop: 160, Split: "nosuch"}, "nosuch"}, {Options{Split: corpora.Valid}, "8192"},
		{Options{Crop: 160, Crops: 3}, "no batch"},
	} {
		if c.options.Split == "" {
			c.options.Split = corpora.Valid
		}
		if _, err := NLL(t.Context(), m, cache, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.options, err, c.want)
		} else if checked := Check(m, cache, c.options); checked == nil || checked.Error() != err.Error() {
			t.Errorf("%+v: Check says %v, NLL %v", c.options, checked, err)
		}
	}
	var unknown *speaker.UnknownError
	if _, err := NLL(t.Context(), m, cache, Options{Split: corpora.Test, Crop: 160}); !errors.As(err, &unknown) || unknown.Name != "stranger" {
		t.Errorf("a speaker that the model does not know: %v", err)
	}
	other := testConfig
	other.Rate = 16000
	if _, err := NLL(t.Context(), testModel(t, other), cache, Options{Crop: 160}); err == nil || !strings.Contains(err.Error(), "16000 Hz") {
		t.Errorf("another rate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := NLL(ctx, m, cache, Options{Split: corpora.Valid, Crop: 160, Batch: 2, Progress: func(int, int) { calls++; cancel() }})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled: %v after %d batches", err, calls)
	}
}

func TestDescribeCodes(t *testing.T) {
	c := DescribeCodes(map[int32]int64{0: 4, 2: 2, 3: 2}, 4, 2)
	if c.Entries != 4 || c.Used != 3 || math.Abs(c.Perplexity-math.Exp2(1.5)) > 1e-12 || c.Rate != 4 || c.RawBitRate != 8 || math.Abs(c.BitRate-6) > 1e-12 {
		t.Errorf("%+v", c)
	}
	if c := DescribeCodes(nil, 2, 0); !reflect.DeepEqual(c, Codes{Entries: 2, Perplexity: 1}) {
		t.Errorf("of nothing: %+v", c)
	}
	// Two codebooks of 40000 entries: 5 is 0 and 5, the other two are 1 and 7, and 1 and 5.
	b := vqvae.BottleneckConfig{Kind: vqvae.VQ, Entries: 40000, Groups: 2, Stages: 1}
	c = DescribeModelCodes(map[int32]int64{5: 4, 40007: 2, 40005: 2}, b, 2)
	if c.Entries != 1600000000 || c.Used != 3 || math.Abs(c.Perplexity-math.Exp2(1.5)) > 1e-12 || math.Abs(c.RawBitRate-4*math.Log2(1.6e9)) > 1e-9 || c.BitRate != 6 {
		t.Errorf("of two codebooks: %+v", c)
	}
	if want := []float64{2, math.Exp2(2 - 0.75*math.Log2(3))}; len(c.Perplexities) != 2 || math.Abs(c.Perplexities[0]-want[0]) > 1e-12 || math.Abs(c.Perplexities[1]-want[1]) > 1e-12 {
		t.Errorf("perplexities %v of two codebooks, want %v", c.Perplexities, want)
	}
	if c := DescribeModelCodes(nil, vqvae.BottleneckConfig{Kind: vqvae.None}, 3); !reflect.DeepEqual(c, Codes{}) {
		t.Errorf("without codes: %+v", c)
	}
}

func TestReconstruction(t *testing.T) {
	m := testModel(t, testConfig)
	vectors := m.Quantiser.Embed(new(tensor.Arena), []int32{3, 1, 4, 1, 5, 9, 2, 6})
	r := NewReconstruction(m)
	draw := func(speaker int32, seed uint64) []int32 {
		levels, err := r.Draw(t.Context(), vectors, speaker, 1, rand.NewPCG(seed, 0))
		if err != nil {
			t.Fatal(err)
		}
		return levels
	}
	levels := draw(1, 7)
	if len(levels) != 8*16 || !slices.Equal(levels, draw(1, 7)) {
		t.Errorf("%d levels, or others for the same seed", len(levels))
	}
	if slices.Equal(levels, draw(1, 8)) || slices.Equal(levels, draw(2, 7)) {
		t.Error("another seed or speaker changes nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Draw(ctx, vectors, 0, 1, rand.NewPCG(1, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestSampled: the likelihood with samples of a variational autoencoder, crop by crop, with the noise in order.
func TestSampled(t *testing.T) {
	c := testConfig
	c.Bottleneck = vqvae.BottleneckConfig{Kind: vqvae.VAE, Dim: 5, KL: 1}
	m, cache := testModel(t, c), testCorpus()
	const crop, hop = 160, 16
	o := Options{Split: corpora.Valid, Crop: crop, Batch: 3}
	without, err := NLL(t.Context(), m, cache, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Noise = rand.NewPCG(7, 8)
	with, err := NLL(t.Context(), m, cache, o)
	if err != nil {
		t.Fatal(err)
	}
	front, err := frontend.New(c)
	if err != nil {
		t.Fatal(err)
	}
	a, noise, want := new(tensor.Arena), rand.NewPCG(7, 8), 0.0
	crops := []struct{ utterance, start, speaker int }{{0, 0, 2}, {0, 160, 2}, {0, 320, 2}, {3, 0, 0}, {4, 0, 1}, {4, 160, 1}, {4, 320, 1}, {4, 480, 1}, {6, 0, 2}}
	for _, at := range crops {
		x, b := make([]float32, crop), front.NewBatch(1, crop)
		cache.Read(x, at.utterance, int64(at.start))
		front.Fill(&b, x)
		v := m.Bottleneck.Forward(a, m.Encode(a, b.Input), noise)
		want += m.NLL(a, b.Levels, 1, v.Vectors, []int32{int32(at.speaker)}) / float64(len(crops))
	}
	if math.Abs(with.Sampled-want) > 1e-5*want || math.Abs(with.Sampled-with.True) < 1e-3 {
		t.Errorf("%v with samples, %v with means, want %v", with.Sampled, with.True, want)
	}
	if got, want := with.Bound(hop), with.Sampled+with.KL*math.Ln2/hop; with.KL <= 0 || math.Abs(got-want) > 1e-12 || math.Abs(want-with.Sampled) < 1e-3 {
		t.Errorf("a bound of %v, want %v, %v without the divergence", got, want, with.Sampled)
	}
	with.Sampled = 0
	if !reflect.DeepEqual(with, without) {
		t.Errorf("noise changes what it should not: %+v, without %+v", with, without)
	}
	o.Noise = rand.NewPCG(7, 8)
	if r, err := NLL(t.Context(), testModel(t, testConfig), cache, o); err != nil || r.Sampled != 0 {
		t.Errorf("a model with codes: %v, %v", r.Sampled, err)
	}
}
