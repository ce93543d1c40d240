// Package evaluate measures models: how well a decoder predicts sound, whether it uses its codes and its speaker, what the codes are
// like, and what becomes of sound that is converted to another voice.
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Options say what [NLL] goes over. The zero value is the measure that this project's figures are given in: every whole crop
// of 8192 samples of all utterances, in batches of 4.
type Options struct {
	Split string // of the corpus: [corpora.Train], Valid or Test; "" is all of it
	Crop  int    // samples of a crop, a multiple of the model's hop; 0 is 8192, or the next multiple
	Batch int    // crops of a batch, at least 2; 0 is 4
	Crops int    // take at most so many crops, evenly spread over the split; 0 takes all

	Noise rand.Source // draws the samples of a variational autoencoder for Report.Sampled; nil leaves that out

	Arena    *tensor.Arena         // for buffers, reset after each batch; nil takes a new one
	Progress func(done, total int) // called after every batch with the number of crops; may be nil
}

// Report is what [NLL] has found. Likelihoods are negative log-likelihoods in nats per sample, the mean over all samples.
//
// A decoder that uses its codes is worse off with those of other speech: if Shuffled and Constant are not above True, the
// codes have collapsed. The same holds for the speaker. Of a model without codes the vectors are taken that its decoder is
// told; those of a variational autoencoder are its means.
type Report struct {
	Split string `json:"split"`
	Crop  int    `json:"crop"`  // samples
	Batch int    `json:"batch"` // crops
	Crops int    `json:"crops"` // that were measured

	True     float64 `json:"true"`     // with the codes of the crop
	Shuffled float64 `json:"shuffled"` // with the codes of the crop before it in the batch, of the last one for the first
	Constant float64 `json:"constant"` // with the first code of the first crop of the batch everywhere
	// WrongSpeaker is with the codes of the crop, and the speaker after the true one in the model's table, the first for the
	// last; 0 if the model has not got two speakers.
	WrongSpeaker float64 `json:"wrong_speaker,omitempty"`

	// KL is the divergence from the prior of what a variational autoencoder knows of a frame, in bits; 0 for other models. Sampled is
	// the likelihood with samples in the place of its means, as in training: with KL it makes the evidence lower bound. 0 for
	// other models, and without Options.Noise.
	KL      float64 `json:"kl_bits_per_frame,omitempty"`
	Sampled float64 `json:"sampled,omitempty"`

	Codes // empty for a model without codes

	Bits *BitsPerDim `json:"bits_per_dim,omitempty"` // of pictures; else nil
}

// Bound is the negative evidence lower bound of a variational autoencoder, in nats per sample, where a frame is so many samples:
// Sampled, and the divergence. The sound itself has at least this likelihood.
func (r Report) Bound(hop int) float64 { return r.Sampled + r.KL*math.Ln2/float64(hop) }

// Codes describes the codes of a set of recordings. H is the entropy of their distribution over the whole set.
type Codes struct {
	Entries    int     `json:"entries"`      // different codes that there are: K of the codebook, or the product of several
	Used       int     `json:"used"`         // that occur
	Perplexity float64 `json:"perplexity"`   // exp(H), from 1 to Entries
	Rate       float64 `json:"code_rate"`    // codes in a second
	RawBitRate float64 `json:"raw_bit_rate"` // bits in a second: Rate * log2(Entries)
	BitRate    float64 `json:"bit_rate"`     // Rate * H in bits (ZeroSpeech)

	Perplexities []float64 `json:"perplexities,omitempty"` // of the entries of each codebook, if there are several
}

// DescribeCodes returns the description of codes, of which there are so many different ones, and which occur counts[k] times each, in a
// recording of so many seconds, all together.
func DescribeCodes(counts map[int32]int64, entries int, seconds float64) Codes {
	c := Codes{Entries: entries}
	total, entropy := 0.0, 0.0 // in nats
	for _, n := range counts {
		total += float64(n)
	}
	for _, k := range slices.Sorted(maps.Keys(counts)) { // sums in one order
		c.Used++
		p := float64(counts[k]) / total
		entropy -= p * math.Log(p)
	}
	c.Perplexity = math.Exp(entropy)
	if seconds > 0 {
		c.Rate = total / seconds
	}
	c.RawBitRate = c.Rate * math.Log2(float64(max(c.Entries, 1)))
	c.BitRate = c.Rate * entropy / math.Ln2
	return c
}

// DescribeModelCodes is [DescribeCodes] for those of a model, and of each of its codebooks. If it has none, the description is empty.
func DescribeModelCodes(counts map[int32]int64, c vqvae.BottleneckConfig, seconds float64) Codes {
	if c.Books() == 0 {
		return Codes{}
	}
	all := DescribeCodes(counts, c.Codes(), seconds)
	if c.Books() == 1 {
		return all
	}
	books, entries := make([]map[int32]int64, c.Books()), make([]int32, c.Books())
	for m := range books {
		books[m] = map[int32]int64{}
	}
	for code, n := range counts {
		c.Split(entries, code)
		for m, k := range entries {
			books[m][k] += n
		}
	}
	for _, of := range books {
		all.Perplexities = append(all.Perplexities, DescribeCodes(of, c.Entries, seconds).Perplexity)
	}
	return all
}

// NLL measures the model on crops of the corpus. Crops do not overlap and start at 0 in each utterance, in the order of the
// corpus; what is left over at the end of an utterance is left out, and so is an incomplete last batch. Features
// are those of each crop alone, as of the segments of training.
//
// It returns an error if ctx is cancelled, if the rates of model and corpus differ, if the model does not know a speaker, or
// if there is not a single batch.
func NLL(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, o Options) (Report, error) {
	crops, speakers, err := o.plan(m, cache)
	if err != nil {
		return Report{}, err
	}
	if o.Arena == nil {
		o.Arena = new(tensor.Arena)
	}
	r := Report{Split: o.Split, Crop: o.Crop, Batch: o.Batch, Crops: len(crops)}
	b, err := newBatch(m, o.Batch, o.Crop)
	if err != nil {
		return Report{}, err
	}
	counts := map[int32]int64{}
	for from := 0; from < len(crops); from += o.Batch {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		b.read(cache, crops[from:from+o.Batch], speakers)
		measure(m, b.Batch, b.wrong, o.Arena, o.Noise, &r, counts)
		o.Arena.Reset()
		if o.Progress != nil {
			o.Progress(from+o.Batch, len(crops))
		}
	}
	batches := float64(len(crops) / o.Batch)
	for _, v := range []*float64{&r.True, &r.Shuffled, &r.Constant, &r.WrongSpeaker, &r.KL, &r.Sampled} {
		*v /= batches
	}
	r.Codes = DescribeModelCodes(counts, m.Config.Bottleneck, float64(len(crops))*float64(o.Crop)/float64(m.Config.Rate))
	return r, nil
}

// Check returns the error that [NLL] would begin with, and measures nothing: for whoever is to measure a model after hours of
// training.
func Check(m *vqvae.Model, cache *corpora.Cache, o Options) error {
	_, _, err := o.plan(m, cache)
	return err
}

// plan puts what zeros stand for in their place, and returns the crops, and the model's ids of the corpus's speakers.
func (o *Options) plan(m *vqvae.Model, cache *corpora.Cache) (crops []crop, speakers []int32, err error) {
	if m.Config.Image != nil {
		return nil, nil, errors.New("the model is one of pictures, the corpus one of sound")
	}
	hop := m.Config.Hop()
	if o.Crop == 0 {
		o.Crop = (8192 + hop - 1) / hop * hop
	}
	if o.Batch == 0 {
		o.Batch = 4
	}
	switch {
	case o.Crop < 1 || o.Crop%hop != 0:
		return nil, nil, fmt.Errorf("crops of %d samples: want a multiple of the model's hop of %d", o.Crop, hop)
	case o.Batch < 2:
		return nil, nil, fmt.Errorf("batches of %d: want 2 crops or more, so that codes can be shuffled", o.Batch)
	case cache.Rate() != m.Config.Rate:
		return nil, nil, fmt.Errorf("the corpus is at %d Hz, the model at %d Hz", cache.Rate(), m.Config.Rate)
	}
	if speakers, err = speakerIDs(m, cache, o.Split); err != nil {
		return nil, nil, err
	}
	if crops = chooseCrops(cache, *o); len(crops) == 0 {
		return nil, nil, fmt.Errorf("no batch of %d crops of %d samples in the split %q of the corpus", o.Batch, o.Crop, o.Split)
	}
	return crops, speakers, nil
}

// crop is a stretch of an utterance.
type crop struct {
	utterance int
	start     int64
}

// chooseCrops returns the crops of whole batches: all of the split, or o.Crops of them, evenly spread.
func chooseCrops(cache *corpora.Cache, o Options) []crop {
	var all []crop
	for i, u := range cache.Utterances() {
		if o.Split != "" && u.Split != o.Split {
			continue
		}
		for start := int64(0); start+int64(o.Crop) <= u.Samples; start += int64(o.Crop) {
			all = append(all, crop{i, start})
		}
	}
	n := len(all)
	if o.Crops > 0 {
		n = min(n, o.Crops)
	}
	n -= n % o.Batch
	if o.Crops <= 0 || n == 0 || o.Crops >= len(all) {
		return all[:n]
	}
	chosen := make([]crop, n)
	for i := range chosen {
		chosen[i] = all[i*len(all)/n]
	}
	return chosen
}

// speakerIDs returns the model's id of each of the corpus's speakers in the split; nil if the model knows no speakers.
func speakerIDs(m *vqvae.Model, cache *corpora.Cache, split string) ([]int32, error) {
	if m.Voices == nil {
		return nil, nil
	}
	names := cache.Speakers()
	ids := make([]int32, len(names))
	for i := range ids {
		ids[i] = -1
	}
	for _, u := range cache.Utterances() {
		if split != "" && u.Split != split || ids[u.SpeakerID] >= 0 {
			continue
		}
		id, err := m.Speakers.ID(names[u.SpeakerID])
		if err != nil {
			return nil, fmt.Errorf("%s of the corpus: %w", u.Path, err)
		}
		ids[u.SpeakerID] = id
	}
	return ids, nil
}

// batch is crops as the model takes them.
type batch struct {
	vqvae.Batch
	front   *frontend.Frontend
	samples []float32 // [B*T]
	wrong   []int32   // [B], speakers; nil if there are not two
}

func newBatch(m *vqvae.Model, size, crop int) (*batch, error) {
	front, err := frontend.New(m.Config)
	if err != nil {
		return nil, err
	}
	b := &batch{Batch: front.NewBatch(size, crop), front: front, samples: make([]float32, size*crop)}
	if m.Voices != nil && m.Speakers.Len() > 1 {
		b.wrong = make([]int32, size)
	}
	return b, nil
}

// read fills the batch with crops. Element i of ids is the model's number of the corpus's speaker i; nil if the model knows none.
func (b *batch) read(cache *corpora.Cache, crops []crop, ids []int32) {
	n := len(b.samples) / b.Size
	for i, c := range crops {
		cache.Read(b.samples[i*n:(i+1)*n], c.utterance, c.start)
		if ids != nil {
			b.Speakers[i] = ids[cache.Utterances()[c.utterance].SpeakerID]
		}
	}
	b.front.Fill(&b.Batch, b.samples)
}

// measure adds the likelihoods of a batch to those in r, and its codes to counts. Wrong is room for speakers, nil if there are not two;
// noise is nil if Sampled is not asked for.
func measure(m *vqvae.Model, b vqvae.Batch, wrong []int32, a *tensor.Arena, noise rand.Source, r *Report, counts map[int32]int64) {
	z := m.Encode(a, b.Input)
	v := m.Bottleneck.Forward(a, z, nil)
	for _, k := range v.Codes {
		counts[k]++
	}
	r.KL += v.KLPerFrame / math.Ln2
	nll := func(vectors tensor.Tensor, speakers []int32) float64 {
		scratch := a.Mark()
		defer a.Release(scratch)
		return m.NLL(a, b.Levels, b.Size, vectors, speakers)
	}
	r.True += nll(v.Vectors, b.Speakers)
	if m.Config.Bottleneck.Kind == vqvae.VAE && noise != nil {
		r.Sampled += nll(m.Bottleneck.Forward(a, z, noise).Vectors, b.Speakers)
	}

	other := a.Like(v.Vectors)
	n := len(other.Data) / b.Size
	copy(other.Data, v.Vectors.Data[len(other.Data)-n:])
	copy(other.Data[n:], v.Vectors.Data)
	r.Shuffled += nll(other, b.Speakers)

	for i := range other.Rows() {
		copy(other.Row(i), v.Vectors.Row(0))
	}
	r.Constant += nll(other, b.Speakers)

	if wrong != nil {
		for i, s := range b.Speakers {
			wrong[i] = (s + 1) % int32(m.Speakers.Len())
		}
		r.WrongSpeaker += nll(v.Vectors, wrong)
	}
}
