// Package evaluate measures models: how well a decoder predicts sound, whether it uses its codes and its speaker, and what
// the codes are like.
package evaluate

import (
	"context"
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Options say what [NLL] goes over. The zero value is the measure that this project's figures are given in: every whole crop
// of 8192 samples of all utterances, in batches of 4.
type Options struct {
	Split string // of the corpus: [corpora.Train], Valid or Test; "" is all of it
	Crop  int    // samples of a crop, a multiple of the model's hop; 0 is 8192
	Batch int    // crops of a batch, at least 2; 0 is 4
	Crops int    // take at most so many crops, evenly spread over the split; 0 takes all

	Arena    *tensor.Arena         // for buffers, reset after each batch; nil takes a new one
	Progress func(done, total int) // called after every batch with the number of crops; may be nil
}

// Report is what [NLL] has found. Likelihoods are negative log-likelihoods in nats per sample, the mean over all samples.
//
// A decoder that uses its codes is worse off with those of other speech: if Shuffled and Constant are not above True, the
// codes have collapsed. The same holds for the speaker.
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

	Codes
}

// Codes describes the codes of a set of recordings. H is the entropy of their distribution over the whole set.
type Codes struct {
	Entries    int     `json:"entries"`      // K of the codebook
	Used       int     `json:"used"`         // entries that occur
	Perplexity float64 `json:"perplexity"`   // exp(H), from 1 to K
	Rate       float64 `json:"code_rate"`    // codes in a second
	RawBitRate float64 `json:"raw_bit_rate"` // bits in a second: Rate * log2(K)
	BitRate    float64 `json:"bit_rate"`     // Rate * H in bits (ZeroSpeech)
}

// DescribeCodes returns the description of codes that occur counts[k] times each, in a recording of so many seconds, all
// together.
func DescribeCodes(counts []int64, seconds float64) Codes {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	c := Codes{Entries: len(counts)}
	entropy := 0.0 // in nats
	for _, n := range counts {
		if n > 0 {
			c.Used++
			p := float64(n) / total
			entropy -= p * math.Log(p)
		}
	}
	c.Perplexity = math.Exp(entropy)
	if seconds > 0 {
		c.Rate = total / seconds
	}
	c.RawBitRate = c.Rate * math.Log2(float64(max(c.Entries, 1)))
	c.BitRate = c.Rate * entropy / math.Ln2
	return c
}

// NLL measures the model on crops of the corpus. Crops do not overlap and start at 0 in each utterance, in the order of the
// corpus; what is left over at the end of an utterance is left out, and so is an incomplete last batch.
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
	b := newBatch(m, o.Batch, o.Crop)
	counts := make([]int64, m.Config.Quantiser.Entries)
	for from := 0; from < len(crops); from += o.Batch {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		b.read(cache, crops[from:from+o.Batch], speakers)
		b.measure(m, o.Arena, &r, counts)
		o.Arena.Reset()
		if o.Progress != nil {
			o.Progress(from+o.Batch, len(crops))
		}
	}
	batches := float64(len(crops) / o.Batch)
	for _, v := range []*float64{&r.True, &r.Shuffled, &r.Constant, &r.WrongSpeaker} {
		*v /= batches
	}
	r.Codes = DescribeCodes(counts, float64(len(crops))*float64(o.Crop)/float64(m.Config.Rate))
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
	if o.Crop == 0 {
		o.Crop = 8192
	}
	if o.Batch == 0 {
		o.Batch = 4
	}
	hop := m.Config.Encoder.Hop()
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
	law      *audio.MuLaw
	samples  []float32 // of one crop
	levels   []int32   // [B*T]
	speakers []int32   // [B]; nil if the model knows none
	wrong    []int32   // [B]; nil if there are not two
	other    []int32   // [B*F]: codes to be put in the place of the true ones
	size     int       // B
}

func newBatch(m *vqvae.Model, size, crop int) *batch {
	b := &batch{law: audio.NewMuLaw(m.Config.Levels), samples: make([]float32, crop), levels: make([]int32, size*crop),
		other: make([]int32, size*(crop/m.Config.Encoder.Hop())), size: size}
	if m.Voices != nil {
		b.speakers = make([]int32, size)
		if m.Speakers.Len() > 1 {
			b.wrong = make([]int32, size)
		}
	}
	return b
}

// read fills the batch with crops. Element i of ids is the model's number of the corpus's speaker i.
func (b *batch) read(cache *corpora.Cache, crops []crop, ids []int32) {
	n := len(b.samples)
	for i, c := range crops {
		cache.Read(b.samples, c.utterance, c.start)
		b.law.EncodeAll(b.levels[i*n:(i+1)*n], b.samples)
		if b.speakers != nil {
			b.speakers[i] = ids[cache.Utterances()[c.utterance].SpeakerID]
		}
	}
}

// measure adds the likelihoods of the batch to those in r, and its codes to counts.
func (b *batch) measure(m *vqvae.Model, a *tensor.Arena, r *Report, counts []int64) {
	codes := m.Codes(a, b.levels, b.size)
	for _, k := range codes {
		counts[k]++
	}
	nll := func(codes, speakers []int32) float64 {
		scratch := a.Mark()
		defer a.Release(scratch)
		return m.NLL(a, b.levels, b.size, m.Embed(a, codes, b.size), speakers)
	}
	r.True += nll(codes, b.speakers)

	frames := len(codes) / b.size
	copy(b.other, codes[len(codes)-frames:])
	copy(b.other[frames:], codes)
	r.Shuffled += nll(b.other, b.speakers)

	for i := range b.other {
		b.other[i] = codes[0]
	}
	r.Constant += nll(b.other, b.speakers)

	if b.wrong != nil {
		for i, s := range b.speakers {
			b.wrong[i] = (s + 1) % int32(m.Speakers.Len())
		}
		r.WrongSpeaker += nll(codes, b.wrong)
	}
}
