package evaluate

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// GenerationOptions say what [Generation] compares.
type GenerationOptions struct {
	Split   string  // of the corpus, whose speech is the real one
	Clips   int     // at most so many clips are made into sound
	Seconds float64 // of each: of utterances that are at least as long, from their start
	Drawing wavenet.Drawing
	Seed    uint64

	Progress Progress // may be nil
}

// GenerationReport says how far generated speech is from real speech, and what that is worth: by the same measure, how far other real
// speech is, and speech of units that are drawn each by itself.
type GenerationReport struct {
	Split      string  `json:"split"`
	Utterances int     `json:"utterances"` // whose units are compared, with as many units for each of the others
	Units      int     `json:"units"`
	Clips      int     `json:"clips"` // that are made into sound
	Seconds    float64 `json:"seconds"`

	Recorded      SpeechStatistics `json:"recorded"`      // clips of the split, their units
	Reconstructed SpeechStatistics `json:"reconstructed"` // the same units, as the model speaks them
	Other         SpeechStatistics `json:"other"`         // units of recordings that are in neither this split nor train, or else in train: no sound
	Generated     SpeechStatistics `json:"generated"`     // units drawn from the prior, told the same speakers
	Unigram       SpeechStatistics `json:"unigram"`       // units drawn by their frequency in the train split
}

// SpeechStatistics is what speech is like. Divergences are those of Jensen and Shannon from the units of Recorded, in bits, from 0 to 1.
type SpeechStatistics struct {
	Pauses float64 `json:"pauses"` // share of frames of 10 ms that are 35 dB or more under the level of the model's speech
	Voiced float64 `json:"voiced"` // share of frames of 10 ms with a fundamental frequency

	Run     float64 `json:"run"`               // mean number of equal units in a row
	Units   float64 `json:"unit_divergence"`   // of units,
	Runs    float64 `json:"run_divergence"`    // of the lengths of such runs,
	Bigrams float64 `json:"bigram_divergence"` // and of pairs of units one after the other
}

// Clip is a clip of real speech and one that was generated in its place. Samples are those of sound, from -1 to 1.
type Clip struct {
	Name                               string // of the recording
	Recorded, Reconstructed, Generated []float32
}

// unitSets are what clips and statistics are of.
const (
	ofRecorded = iota
	ofReconstructed
	ofGenerated
	ofUnigram
	sets
)

// Generation compares what a prior generates with real speech: units of all utterances of the split, and the sound of some clips.
// Codes are those of the utterances of the corpus, in its order. It returns an error if ctx is cancelled, or if there is nothing to
// compare with.
func Generation(ctx context.Context, m *vqvae.Model, p *prior.Prior, cache *corpora.Cache, codes [][]int32, o GenerationOptions) (GenerationReport, []Clip, error) {
	c, err := newCoder(m)
	if err != nil {
		return GenerationReport{}, nil, err
	}
	var real, long []int
	var other, trained [][]int32
	frequency := make([]float32, c.entries())
	for i, u := range cache.Utterances() {
		switch {
		case u.Split == o.Split:
			real = append(real, i)
			if float64(u.Samples) >= o.Seconds*float64(cache.Rate()) {
				long = append(long, i)
			}
		case u.Split != corpora.Train:
			other = append(other, codes[i])
		}
		if u.Split == corpora.Train {
			trained = append(trained, codes[i])
			for _, k := range codes[i] {
				frequency[k]++
			}
		}
	}
	if len(other) == 0 {
		other = trained
	}
	if len(long) == 0 || slices.Max(frequency) == 0 {
		return GenerationReport{}, nil, fmt.Errorf("the corpus has %d utterances of %v s or more in the split %s, and %v units in the split train: want some of each",
			len(long), o.Seconds, o.Split, slices.Max(frequency))
	}
	for i, n := range frequency {
		frequency[i] = float32(math.Log(float64(n))) // as logits
	}
	speakers, err := speakerIDs(m, cache, o.Split)
	if err != nil {
		return GenerationReport{}, nil, err
	}
	draw := func(i, set int, codes []int32) { // of utterance i, in the place of its own
		random := o.random(i, set)
		if set == ofUnigram {
			w := wavenet.NewDrawer(wavenet.Config{Classes: len(frequency)})
			for j := range codes {
				codes[j] = w.Draw(frequency, wavenet.Drawing{Temperature: 1}, random.Float64())
			}
			return
		}
		id, name := p.Nobody(), cache.Speakers()[cache.Utterances()[i].SpeakerID]
		if p.Speakers.Has(name) {
			id, _ = p.Speakers.ID(name)
		}
		g := p.NewGenerator(id, o.Drawing, random.Float64)
		for j := range codes {
			codes[j] = g.Next()
		}
	}

	r := GenerationReport{Split: o.Split, Utterances: len(real), Seconds: o.Seconds}
	units := [sets][][]int32{}
	for set := range units {
		units[set] = make([][]int32, len(real))
	}
	drawing := newCounter(len(real), "drawing units", "utterances", o.Progress)
	err = each(ctx, len(real), func(i int) error {
		defer drawing.add()
		own := codes[real[i]]
		units[ofRecorded][i] = own
		for _, set := range []int{ofGenerated, ofUnigram} {
			units[set][i] = make([]int32, len(own))
			draw(real[i], set, units[set][i])
		}
		return nil
	})
	if err != nil {
		return r, nil, err
	}
	want := describeUnits(units[ofRecorded])
	for _, u := range units[ofRecorded] {
		r.Units += len(u)
	}
	r.Recorded = want.against(want)
	r.Reconstructed = r.Recorded
	r.Other, r.Generated, r.Unigram = describeUnits(other).against(want), describeUnits(units[ofGenerated]).against(want), describeUnits(units[ofUnigram]).against(want)

	r.Clips = min(o.Clips, len(long))
	clips, sound := make([]Clip, r.Clips), make([][sets]soundStatistics, r.Clips)
	speaking := newCounter(r.Clips, "speaking", "clips", o.Progress)
	err = each(ctx, r.Clips, func(i int) error {
		defer speaking.add()
		u := long[i*len(long)/r.Clips]
		utterance := cache.Utterances()[u]
		samples := make([]float32, int(o.Seconds*float64(cache.Rate())))
		cache.Read(samples, u, 0)
		own := codes[u][:(len(samples)+c.hop()-1)/c.hop()]
		clips[i] = Clip{Name: utterance.Path, Recorded: samples}
		for set := range sets {
			made := samples
			if set != ofRecorded {
				spoken := slices.Clone(own)
				if set != ofReconstructed {
					draw(u, set, spoken)
				}
				speaker := int32(0)
				if speakers != nil {
					speaker = speakers[utterance.SpeakerID]
				}
				var key [32]byte
				binary.LittleEndian.PutUint64(key[:], o.Seed)
				binary.LittleEndian.PutUint64(key[8:], uint64(u))
				key[16] = byte(set)
				var err error
				if made, err = c.speak(ctx, spoken, speaker, 1, rand.NewChaCha8(key)); err != nil {
					return err
				}
				made = made[:len(samples)]
			}
			switch set {
			case ofReconstructed:
				clips[i].Reconstructed = made
			case ofGenerated:
				clips[i].Generated = made
			}
			var err error
			if sound[i][set], err = describeSound(made, cache.Rate(), m.Config.Level); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return r, nil, err
	}
	for set, to := range []*SpeechStatistics{ofRecorded: &r.Recorded, ofReconstructed: &r.Reconstructed, ofGenerated: &r.Generated, ofUnigram: &r.Unigram} {
		var all soundStatistics
		for _, s := range sound {
			all.frames += s[set].frames
			all.quiet += s[set].quiet
			all.tracked += s[set].tracked
			all.voiced += s[set].voiced
		}
		to.Pauses, to.Voiced = float64(all.quiet)/float64(max(1, all.frames)), float64(all.voiced)/float64(max(1, all.tracked))
	}
	return r, clips, nil
}

// random returns the numbers by which a set's units of an utterance are drawn.
func (o GenerationOptions) random(utterance, set int) *rand.Rand {
	return rand.New(rand.NewPCG(o.Seed, uint64(utterance)<<8|uint64(set)))
}

// soundStatistics counts frames.
type soundStatistics struct{ frames, quiet, tracked, voiced int }

// pauseBelow is how many decibels below the level of speech a frame is at least in a pause.
const pauseBelow = 35

func describeSound(samples []float32, rate int, level float64) (s soundStatistics, err error) {
	limit := math.Pow(10, (level-pauseBelow)/20)
	for frame := range slices.Chunk(samples, max(1, rate/100)) {
		sum, squares := 0.0, 0.0
		for _, x := range frame {
			sum += float64(x)
			squares += float64(x) * float64(x)
		}
		n := float64(len(frame))
		s.frames++
		if math.Sqrt(max(0, squares/n-sum*sum/n/n)) < limit {
			s.quiet++
		}
	}
	f0, err := spectrum.NewF0(spectrum.Speech(rate))
	if err != nil {
		return s, err
	}
	for _, f := range f0.Track(nil, widen(samples)) {
		s.tracked++
		if f > 0 {
			s.voiced++
		}
	}
	return s, nil
}

// unitStatistics counts units, lengths of runs, and pairs.
type unitStatistics struct{ units, runs, pairs map[uint64]float64 }

func describeUnits(utterances [][]int32) unitStatistics {
	s := unitStatistics{map[uint64]float64{}, map[uint64]float64{}, map[uint64]float64{}}
	for _, codes := range utterances {
		run := uint64(0)
		for i, k := range codes {
			s.units[uint64(k)]++
			if i > 0 {
				s.pairs[uint64(codes[i-1])<<32|uint64(k)]++
			}
			if run++; i+1 == len(codes) || codes[i+1] != k {
				s.runs[run]++
				run = 0
			}
		}
	}
	return s
}

// against returns the divergences of s from want.
func (s unitStatistics) against(want unitStatistics) SpeechStatistics {
	runs, units := 0.0, 0.0
	for length, n := range s.runs {
		runs += n
		units += n * float64(length)
	}
	return SpeechStatistics{Run: units / max(1, runs), Units: divergence(s.units, want.units), Runs: divergence(s.runs, want.runs), Bigrams: divergence(s.pairs, want.pairs)}
}

// divergence is that of Jensen and Shannon between two distributions, given as counts, in bits: H((p+q)/2) - H(p)/2 - H(q)/2.
func divergence(p, q map[uint64]float64) float64 {
	sum := func(counts map[uint64]float64) (total float64) {
		for _, n := range counts { // whole numbers, whose sum does not depend on the order
			total += n
		}
		return total
	}
	ps, qs := sum(p), sum(q)
	var keys []uint64
	for k := range p {
		keys = append(keys, k)
	}
	for k := range q {
		if p[k] == 0 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys) // sums in one order
	d := 0.0
	for _, k := range keys {
		a, b := p[k]/ps, q[k]/qs
		if a > 0 {
			d += a / 2 * math.Log2(2*a/(a+b))
		}
		if b > 0 {
			d += b / 2 * math.Log2(2*b/(a+b))
		}
	}
	return max(0, d)
}
