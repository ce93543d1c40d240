package evaluate

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/classify"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// ConversionOptions say what [Conversion] converts.
type ConversionOptions struct {
	Split       string  // of the corpus: [corpora.Train], Valid or Test; "" is all of it
	Conversions int     // how many, at least 1
	Seconds     float64 // at most so much of an utterance, from its start on
	Temperature float64 // that of wavenet.Sampler.Draw
	Adapt       Adaptation
	Seed        uint64
	Progress    Progress // may be nil
}

// Adaptation says from what timbre speech is adapted to that of the target before it is converted ([vqvae.Model.Adapted]).
type Adaptation string

const (
	AdaptSpeaker   Adaptation = "speaker"   // from that of the source, as the model knows it
	AdaptRecording Adaptation = "recording" // from that of what is converted, as [frontend.Frontend.Timbre] measures it
	AdaptNot       Adaptation = "none"
)

// ConversionReport is what [Conversion] has found. Shares are from 0 to 1.
//
// Three kinds of sound are judged in the same way: recordings as they are, what the model makes of their codes in their own voice, and
// conversions to another voice. What the judges do not recognise in the first two, no conversion can be blamed for.
type ConversionReport struct {
	Split       string     `json:"split"`
	Conversions int        `json:"conversions"`
	Seconds     float64    `json:"seconds"` // of sound converted, all together
	Temperature float64    `json:"temperature"`
	Adapted     Adaptation `json:"adapted"` // AdaptNot if the model has no timbres
	Seed        uint64     `json:"seed"`

	Judge Accuracy `json:"judge"` // of the classifier of speakers, on all recordings of the split
	Voice struct {
		Recorded      Heard `json:"recorded"`      // the speaker wanted is the one who speaks
		Reconstructed Heard `json:"reconstructed"` // the same
		Converted     Heard `json:"converted"`     // the speaker wanted is the target
	} `json:"voice"`
	Units *Units    `json:"units"` // nil if the model has no codes
	Pitch Pitch     `json:"pitch"`
	Words *Words    `json:"words"`           // nil without a classifier of words
	Probe *Accuracy `json:"probe,omitempty"` // see [ProbeVoice], which Conversion does not call

	Utterances []Converted `json:"utterances"`
}

// Heard says whose voice the classifier hears in utterances.
type Heard struct {
	Wanted float64 `json:"wanted"` // share that is taken for the speaker wanted
	Source float64 `json:"source"` // of conversions: share that is taken for who spoke
	Other  float64 `json:"other"`  // the rest
	Top5   float64 `json:"top5"`   // share where the speaker wanted is among the five likeliest
	Rank   float64 `json:"rank"`   // median place of the speaker wanted among all, from 1
}

// Units say whether what is said is still there: sound is encoded again, and its units are compared with those it was made of.
type Units struct {
	Reconstructed UnitErrors `json:"reconstructed"`
	Converted     UnitErrors `json:"converted"`
	OtherSpeech   UnitErrors `json:"other_speech"` // the units of another utterance in the place of the conversion's: what nothing in common gives
}

// Words say whether words are recognised: shares of those utterances whose text is one of the classifier's.
type Words struct {
	Judge         Accuracy `json:"judge"`      // on all recordings of the split
	Utterances    int      `json:"utterances"` // conversions of such an utterance
	Recorded      float64  `json:"recorded"`   // share of them that is recognised, as recorded
	Reconstructed float64  `json:"reconstructed"`
	Converted     float64  `json:"converted"`

	Probe *Accuracy `json:"probe,omitempty"` // see [ProbeWords], which Conversion does not call
}

// Pitch compares the fundamental frequency of the source, the target and the conversion; that of the target is the median of up to
// 20 seconds of its training speech. What is not there, as no frame is voiced, is left out, and all is 0 if nothing is left.
type Pitch struct {
	Utterances int `json:"utterances"` // conversions where all three voices are voiced

	Source    float64 `json:"source_hz"` // medians over these of the utterances' medians
	Target    float64 `json:"target_hz"`
	Converted float64 `json:"converted_hz"`

	FromTarget float64 `json:"converted_from_target"` // mean |ln(converted/target)| of the medians of each
	FromSource float64 `json:"converted_from_source"` // mean |ln(converted/source)|
	Apart      float64 `json:"source_from_target"`    // mean |ln(source/target)|: FromTarget would be this if pitch stayed as it is
	// Moved is the part of the way from source to target that the pitch has gone: the slope of ln(converted/source) over
	// ln(target/source), a straight line through 0. 1 is all of the way, 0 is nothing.
	Moved float64 `json:"moved"`

	// RMSE is the root mean square of the difference of ln F0, over frames voiced in both, of all utterances together:
	// reconstructions against recordings, and conversions against recordings with the mean difference of each utterance taken
	// off, which is how far the melody stays.
	RMSE       float64 `json:"log_f0_rmse_reconstructed"`
	MelodyRMSE float64 `json:"log_f0_rmse_converted_centred"`
}

// Converted is a conversion.
type Converted struct {
	Path     string  `json:"path"`
	Source   string  `json:"source"`
	Target   string  `json:"target"`
	Heard    string  `json:"heard"` // the speaker that the conversion is taken for
	Rank     int     `json:"rank"`  // of the target, from 1
	UnitRate float64 `json:"unit_error_rate"`
	SourceHz float64 `json:"source_hz"` // medians; 0 where nothing is voiced
	TargetHz float64 `json:"target_hz"`
	Hz       float64 `json:"converted_hz"`
}

// pair is an utterance, a target, and what was found.
type pair struct {
	utterance      int
	samples        int64
	source, target int32    // ids of the judge
	speakers       [2]int32 // of source and target, ids of the model

	codes, adapted         []int32    // of the recording as it is, and adapted to the target
	units, reunits         unitCount  // of the conversion, and of the reconstruction
	own, recon, conversion []float32  // logits of speakers
	words                  [3]bool    // recognised: recorded, reconstructed, converted
	word                   bool       // it has a text that the judge of words knows
	f0                     [3]float64 // medians of source, target, conversion; 0 if unvoiced
	again, melody          residuals  // of the reconstruction, and of the conversion with the mean taken off
}

// track is F0 in Hz, frame by frame, 0 where it is unvoiced.
type track []float64

// Conversion converts utterances of the corpus, each to the voice of another speaker, and has judges say what has become of them.
//
// The utterances of the split are taken in random order, again from the first once all have been; the target of each is drawn from
// all other speakers that model and judge know, each as likely as any other. The same seed gives the same pairs and the same sound,
// on any number of threads.
//
// It returns an error if ctx is cancelled, if rates differ, if the model knows no speakers or not those of the split, or if there is
// nothing to convert.
func Conversion(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, judges *Judges, o ConversionOptions) (ConversionReport, error) {
	if !m.HasTimbres() {
		o.Adapt = AdaptNot
	}
	r := ConversionReport{Split: o.Split, Conversions: o.Conversions, Temperature: o.Temperature, Adapted: o.Adapt, Seed: o.Seed}
	if err := CheckConversion(m, cache, o.Split); err != nil {
		return r, err
	}
	if o.Conversions < 1 || !(o.Seconds > 0) {
		return r, fmt.Errorf("%d conversions of %v seconds: want one or more, of more than 0", o.Conversions, o.Seconds)
	}
	pairs, err := choosePairs(m, cache, judges.Speakers, o)
	if err != nil {
		return r, err
	}
	if r.Judge, err = judges.Speakers.check(ctx, cache, o.Split, speakerOf); err != nil {
		return r, err
	}
	targets, err := targetPitch(ctx, cache, judges.Speakers, pairs)
	if err != nil {
		return r, err
	}
	coder, err := newCoder(m)
	if err != nil {
		return r, err
	}
	count := newCounter(len(pairs), "converting", "utterances", o.Progress)
	err = each(ctx, len(pairs), func(i int) error {
		defer count.add()
		pairs[i].f0[1] = targets[pairs[i].target]
		return pairs[i].convert(ctx, coder, cache, judges, o, i)
	})
	if err != nil {
		return r, err
	}
	for _, p := range pairs {
		r.Seconds += float64(p.samples) / float64(cache.Rate())
	}
	r.Voice.Recorded = heard(pairs, func(p *pair) ([]float32, int32) { return p.own, p.source })
	r.Voice.Reconstructed = heard(pairs, func(p *pair) ([]float32, int32) { return p.recon, p.source })
	r.Voice.Converted = heard(pairs, func(p *pair) ([]float32, int32) { return p.conversion, p.target })
	r.Units = unitsOf(pairs)
	r.Pitch = pitchOf(pairs)
	if judges.Words != nil {
		if r.Words, err = wordsHeard(ctx, cache, judges.Words, o.Split, pairs); err != nil {
			return r, err
		}
	}
	for i := range pairs {
		p := &pairs[i]
		labels := judges.Speakers.Labels
		r.Utterances = append(r.Utterances, Converted{
			Path: cache.Utterances()[p.utterance].Path, Source: labels[p.source], Target: labels[p.target],
			Heard: labels[classify.Best(p.conversion)], Rank: classify.Rank(p.conversion, p.target) + 1,
			UnitRate: p.units.errors().Rate, SourceHz: p.f0[0], TargetHz: p.f0[1], Hz: p.f0[2],
		})
	}
	return r, nil
}

// CheckConversion returns the error that [Conversion] would begin with, and converts nothing: for whoever is to train judges
// before.
func CheckConversion(m *vqvae.Model, cache *corpora.Cache, split string) error {
	switch _, err := newCoder(m); {
	case err != nil:
		return err
	case m.Voices == nil:
		return fmt.Errorf("the model knows no speakers: it has one voice for all")
	case cache.Rate() != m.Config.Rate:
		return fmt.Errorf("the corpus is at %d Hz, the model at %d Hz", cache.Rate(), m.Config.Rate)
	}
	_, err := speakerIDs(m, cache, split)
	return err
}

// choosePairs draws what is to be converted.
func choosePairs(m *vqvae.Model, cache *corpora.Cache, j *Judge, o ConversionOptions) ([]pair, error) {
	sources := utterancesOf(cache, o.Split, j.class(speakerOf), int64(math.Ceil(o.Seconds*float64(cache.Rate()))))
	if len(sources) == 0 {
		return nil, fmt.Errorf("the split %q of the corpus has no utterance of a speaker that the classifier knows", o.Split)
	}
	var known []int32 // speakers that both know, ids of the judge
	for i, name := range j.Labels {
		if _, err := m.Speakers.ID(name); err == nil {
			known = append(known, int32(i))
		}
	}
	if len(known) < 2 {
		return nil, fmt.Errorf("model and classifier have %d speakers in common: want two or more", len(known))
	}
	random := rand.New(rand.NewPCG(o.Seed, 4))
	random.Shuffle(len(sources), func(i, k int) { sources[i], sources[k] = sources[k], sources[i] })
	pairs := make([]pair, o.Conversions)
	for i := range pairs {
		s := sources[i%len(sources)]
		target := known[random.IntN(len(known)-1)]
		if target >= s.class { // the speaker of the utterance is one of those known: leave that place out
			target = known[slices.Index(known, target)+1]
		}
		p := pair{utterance: s.utterance, samples: s.samples, source: s.class, target: target}
		for k, id := range []int32{p.source, p.target} {
			p.speakers[k], _ = m.Speakers.ID(j.Labels[id]) // known
		}
		pairs[i] = p
	}
	return pairs, nil
}

// convert fills in what is found about a pair, number i.
func (p *pair) convert(ctx context.Context, c *coder, cache *corpora.Cache, judges *Judges, o ConversionOptions, i int) error {
	h, err := newHearing(cache.Rate())
	if err != nil {
		return err
	}
	f0, err := spectrum.NewF0(spectrum.Speech(cache.Rate()))
	if err != nil {
		return err
	}
	samples := make([]float32, p.samples)
	cache.Read(samples, p.utterance, 0)
	p.codes = c.codes(samples)
	p.adapted = p.codes
	louder := [2]float64{1, 1}
	timbre := func(id int32) vqvae.Timbre { return c.model.Timbre(speaker.Mix{{ID: id, Weight: 1}}) }
	if o.Adapt != AdaptNot {
		from, to := timbre(p.speakers[0]), timbre(p.speakers[1])
		if o.Adapt == AdaptRecording {
			from = c.front.Timbre(c.model, samples)
		}
		p.adapted, louder[1] = c.adapted(from, to).codes(samples), to.Louder(from)
	}
	a := new(tensor.Arena)
	hear := func(kind int, samples []float32) (voice []float32, pitch track) {
		logMel := h.logMel(samples)
		if judges.Words != nil {
			if word, ok := judges.Words.ids[wordOf(&cache.Utterances()[p.utterance])]; ok {
				p.word = true
				p.words[kind] = classify.Best(judges.Words.listen(a, logMel)) == word
			}
		}
		return judges.Speakers.listen(a, logMel), f0.Track(nil, widen(samples))
	}
	own, recorded := hear(0, samples)
	p.own, p.f0[0] = own, recorded.median()
	for kind, codes := range [][]int32{p.codes, p.adapted} {
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], o.Seed)
		binary.LittleEndian.PutUint64(key[8:], uint64(i))
		key[16] = byte(kind)
		made, err := c.speak(ctx, codes, p.speakers[kind], o.Temperature, rand.NewChaCha8(key))
		if err != nil {
			return err
		}
		made = made[:min(len(made), len(samples))]
		reunits := c.codes(made)
		for i := range made { // judges hear it at the level at which it came, as from convert
			made[i] /= float32(louder[kind])
		}
		logits, pitch := hear(1+kind, made)
		if kind == 0 {
			p.recon = logits
			p.reunits.add(codes, reunits)
			p.again.add(recorded, pitch, false)
		} else {
			p.conversion, p.f0[2] = logits, pitch.median()
			p.units.add(codes, reunits)
			p.melody.add(recorded, pitch, true)
		}
	}
	return nil
}

// median returns the median of the voiced frames; 0 if there are none.
func (t track) median() float64 {
	if m := spectrum.MedianF0(t); m > 0 {
		return m
	}
	return 0
}

// targetPitch returns the median F0 of the targets, by their ids.
func targetPitch(ctx context.Context, cache *corpora.Cache, j *Judge, pairs []pair) (map[int32]float64, error) {
	left, of := map[int32]int64{}, map[int32][]stretch{}
	for _, p := range pairs {
		left[p.target] = int64(mostSeconds * cache.Rate())
	}
	for _, s := range utterancesOf(cache, corpora.Train, j.class(speakerOf), math.MaxInt64) {
		if s.samples = min(s.samples, left[s.class]); s.samples > 0 {
			left[s.class] -= s.samples
			of[s.class] = append(of[s.class], s)
		}
	}
	var ids []int32
	for id := range of {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	medians := make([]float64, len(ids))
	err := each(ctx, len(ids), func(i int) error {
		f0, err := spectrum.NewF0(spectrum.Speech(cache.Rate()))
		if err != nil {
			return err
		}
		var all track
		for _, s := range of[ids[i]] {
			samples := make([]float32, s.samples)
			cache.Read(samples, s.utterance, 0)
			all = append(all, f0.Track(nil, widen(samples))...)
		}
		medians[i] = all.median()
		return nil
	})
	pitch := map[int32]float64{}
	for i, id := range ids {
		pitch[id] = medians[i]
	}
	return pitch, err
}

// heard sums up whose voice was heard. Of returns the logits of an utterance and the speaker wanted.
func heard(pairs []pair, of func(*pair) ([]float32, int32)) Heard {
	var wanted, source, top5 int
	ranks := make([]float64, len(pairs))
	for i := range pairs {
		logits, speaker := of(&pairs[i])
		rank := classify.Rank(logits, speaker)
		ranks[i] = float64(rank + 1)
		switch {
		case rank == 0:
			wanted++
		case classify.Best(logits) == pairs[i].source:
			source++
		}
		if rank < 5 {
			top5++
		}
	}
	n := float64(len(pairs))
	return Heard{
		Wanted: float64(wanted) / n, Source: float64(source) / n, Other: float64(len(pairs)-wanted-source) / n,
		Top5: float64(top5) / n, Rank: median(ranks),
	}
}

// median returns the median of numbers, which it sorts; 0 of none.
func median(x []float64) float64 {
	slices.Sort(x)
	if len(x) == 0 {
		return 0
	}
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// unitsOf sums up the units.
func unitsOf(pairs []pair) *Units {
	var reconstructed, converted, other unitCount
	for i := range pairs {
		p := &pairs[i]
		reconstructed.sum(p.reunits)
		converted.sum(p.units)
		for k := 1; k < len(pairs); k++ { // the next pair of another utterance
			if q := &pairs[(i+k)%len(pairs)]; q.utterance != p.utterance {
				n := min(len(p.adapted), len(q.codes)) // so that a difference in length is no error
				other.add(p.adapted[:n], q.codes[:n])
				break
			}
		}
	}
	return &Units{reconstructed.errors(), converted.errors(), other.errors()}
}

// pitchOf sums up the pitch.
func pitchOf(pairs []pair) Pitch {
	var r Pitch
	var hz [3][]float64
	products, squares := 0.0, 0.0
	var again, melody residuals
	for i := range pairs {
		p := &pairs[i]
		again.sum(p.again)
		melody.sum(p.melody)
		s, t, c := p.f0[0], p.f0[1], p.f0[2]
		if s == 0 || t == 0 || c == 0 {
			continue
		}
		for k, v := range p.f0 {
			hz[k] = append(hz[k], v)
		}
		way, gone := math.Log(t/s), math.Log(c/s)
		r.FromTarget += math.Abs(math.Log(c / t))
		r.FromSource += math.Abs(gone)
		r.Apart += math.Abs(way)
		products += way * gone
		squares += way * way
	}
	r.RMSE, r.MelodyRMSE = again.rms(), melody.rms()
	if r.Utterances = len(hz[0]); r.Utterances == 0 {
		return r
	}
	n := float64(r.Utterances)
	r.FromTarget, r.FromSource, r.Apart = r.FromTarget/n, r.FromSource/n, r.Apart/n
	if squares > 0 {
		r.Moved = products / squares
	}
	r.Source, r.Target, r.Converted = median(hz[0]), median(hz[1]), median(hz[2])
	return r
}

// residuals adds up squares of differences of ln F0.
type residuals struct {
	squares float64
	frames  int
}

// add adds those of the frames that are voiced in both tracks, less their mean if centred.
func (r *residuals) add(a, b track, centred bool) {
	var d []float64
	mean := 0.0
	for i := range min(len(a), len(b)) {
		if a[i] > 0 && b[i] > 0 {
			d = append(d, math.Log(b[i]/a[i]))
			mean += d[len(d)-1]
		}
	}
	mean /= float64(max(1, len(d)))
	if !centred {
		mean = 0
	}
	for _, v := range d {
		r.squares += (v - mean) * (v - mean)
	}
	r.frames += len(d)
}

// sum adds those of q.
func (r *residuals) sum(q residuals) {
	r.squares += q.squares
	r.frames += q.frames
}

func (r *residuals) rms() float64 { return math.Sqrt(r.squares / float64(max(1, r.frames))) }

// wordsHeard sums up the words; nil if no utterance has one.
func wordsHeard(ctx context.Context, cache *corpora.Cache, j *Judge, split string, pairs []pair) (*Words, error) {
	var w Words
	right := [3]int{}
	for i := range pairs {
		if !pairs[i].word {
			continue
		}
		w.Utterances++
		for k, ok := range pairs[i].words {
			if ok {
				right[k]++
			}
		}
	}
	if w.Utterances == 0 {
		return nil, nil
	}
	n := float64(w.Utterances)
	w.Recorded, w.Reconstructed, w.Converted = float64(right[0])/n, float64(right[1])/n, float64(right[2])/n
	var err error
	w.Judge, err = j.check(ctx, cache, split, wordOf)
	return &w, err
}
