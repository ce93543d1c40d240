package evaluate

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/audio"
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
	Pauses float64 `json:"pauses"` // share of frames of 10 ms that are more than [audio.TrimBelow] under the level of the model's speech
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
		}
	}
	if len(other) == 0 {
		other = trained
	}
	k := c.entries()
	fitted := describeUnits(k, trained)
	if len(long) == 0 || fitted.counts.Total == 0 {
		return GenerationReport{}, nil, fmt.Errorf("the corpus has %d utterances of %v s or more in the split %s, and %d units in the split train: want some of each",
			len(long), o.Seconds, o.Split, fitted.counts.Total)
	}
	unigram := make([]float32, k) // as logits
	for i, n := range fitted.counts.One {
		unigram[i] = float32(math.Log(float64(n)))
	}
	speakers, err := speakerIDs(m, cache, o.Split)
	if err != nil {
		return GenerationReport{}, nil, err
	}
	weights := p.NewGenerator(p.Nobody(), o.Drawing, nil)
	draw := func(i, set int, codes []int32) { // of utterance i, in the place of its own
		random := o.random(i, set)
		if set == ofUnigram {
			w := wavenet.NewDrawer(wavenet.Config{Classes: k})
			for j := range codes {
				codes[j] = w.Draw(unigram, wavenet.Drawing{Temperature: 1}, random.Float64())
			}
			return
		}
		id, name := p.Nobody(), cache.Speakers()[cache.Utterances()[i].SpeakerID]
		if p.Speakers.Has(name) {
			id, _ = p.Speakers.ID(name)
		}
		g := weights.Another(id, random.Float64)
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
	want := describeUnits(k, units[ofRecorded])
	r.Units = int(want.counts.Total)
	r.Recorded = want.against(want)
	r.Reconstructed = r.Recorded
	r.Other, r.Generated, r.Unigram = describeUnits(k, other).against(want), describeUnits(k, units[ofGenerated]).against(want), describeUnits(k, units[ofUnigram]).against(want)

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

// quietLevel is the level below which a frame is in a pause, where speech has the level given in dBFS.
func quietLevel(level float64) float64 { return math.Pow(10, (level-audio.TrimBelow)/20) }

func describeSound(samples []float32, rate int, level float64) (s soundStatistics, err error) {
	wide, activity := widen(samples), audio.NewActivity(rate)
	activity.Add(wide)
	s.quiet, s.frames = activity.Quiet(quietLevel(level))
	f0, err := spectrum.NewF0(spectrum.Speech(rate))
	if err != nil {
		return s, err
	}
	for _, f := range f0.Track(nil, wide) {
		s.tracked++
		if f > 0 {
			s.voiced++
		}
	}
	return s, nil
}

// unitStatistics counts units and pairs of them, and how many runs of equal units are how long.
type unitStatistics struct {
	counts *prior.Counts
	runs   map[int64]int64
}

func describeUnits(k int, utterances [][]int32) unitStatistics {
	s, all := unitStatistics{runs: map[int64]int64{}}, make([]prior.Utterance, len(utterances))
	for u, codes := range utterances {
		all[u].Codes = codes
		run := int64(0)
		for i, unit := range codes {
			if run++; i+1 == len(codes) || codes[i+1] != unit {
				s.runs[run]++
				run = 0
			}
		}
	}
	s.counts = prior.Count(k, all)
	return s
}

// against returns the divergences of s from want.
func (s unitStatistics) against(want unitStatistics) SpeechStatistics {
	runs, units := 0.0, 0.0
	for length, n := range s.runs {
		runs += float64(n)
		units += float64(n * length)
	}
	return SpeechStatistics{Run: units / max(1, runs), Units: divergence(ones(s.counts), ones(want.counts)), Runs: divergence(s.runs, want.runs),
		Bigrams: divergence(pairs(s.counts), pairs(want.counts))}
}

// ones returns the counts of codes.
func ones(c *prior.Counts) map[int64]int64 {
	m := map[int64]int64{}
	for k, n := range c.One {
		m[int64(k)] = n
	}
	return m
}

// pairs returns the counts of pairs of codes, without what an utterance begins with.
func pairs(c *prior.Counts) map[int64]int64 {
	m := maps.Clone(c.Pairs)
	maps.DeleteFunc(m, func(pair, _ int64) bool { return pair >= int64(c.K)*int64(c.K) })
	return m
}

// divergence is that of Jensen and Shannon between two distributions, given as counts, in bits: H((p+q)/2) - H(p)/2 - H(q)/2.
func divergence(p, q map[int64]int64) float64 {
	sum := func(counts map[int64]int64) float64 {
		total := int64(0)
		for _, n := range counts {
			total += n
		}
		return float64(total)
	}
	ps, qs := sum(p), sum(q)
	keys := slices.Collect(maps.Keys(p))
	for k := range q {
		if p[k] == 0 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys) // sums in one order
	keys = slices.Compact(keys)
	d := 0.0
	for _, k := range keys {
		a, b := float64(p[k])/ps, float64(q[k])/qs
		if a > 0 {
			d += a / 2 * math.Log2(2*a/(a+b))
		}
		if b > 0 {
			d += b / 2 * math.Log2(2*b/(a+b))
		}
	}
	return max(0, d)
}
