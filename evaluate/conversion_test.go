package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// testVoices are the fundamental frequencies of synthetic speakers, in Hz.
var testVoices = map[string]float64{"ann": 210, "kim": 150, "zoe": 105}

// sing returns half a second at 8 kHz: a buzz of a voice whose formant rises in "up" and falls in "down", with noise.
func sing(f0 float64, word string, r *rand.Rand) []int16 {
	x, phase := make([]int16, 4000), 0.0
	f0 *= 0.95 + 0.1*r.Float64()
	for i := range x {
		phase += 2 * math.Pi * f0 / 8000
		at := float64(i) / float64(len(x))
		if word == "down" {
			at = 1 - at
		}
		formant, v := 500+1500*at, 0.0
		for k := 1; float64(k)*f0 < 3800; k++ {
			f := (float64(k)*f0 - formant) / 300
			v += (0.05 + math.Exp(-f*f)) * math.Sin(float64(k)*phase)
		}
		x[i] = int16(1500*v + 50*r.NormFloat64())
	}
	return x
}

// voices is a corpus of the synthetic speakers with so many utterances each in the training split, and half as many in the test split.
func voices(each int) *corpora.Cache {
	r := rand.New(rand.NewPCG(5, 6))
	var utterances []corpora.Utterance
	var samples [][]int16
	for i := range each * 3 / 2 {
		for _, name := range []string{"kim", "ann", "zoe"} {
			u := corpora.Utterance{Path: fmt.Sprintf("%s%d.wav", name, i), Speaker: name, Split: corpora.Train, Text: []string{"Up", "down"}[i%2]}
			if i >= each {
				u.Split = corpora.Test
			}
			utterances = append(utterances, u)
			samples = append(samples, sing(testVoices[name], strings.ToLower(u.Text), r))
		}
	}
	return corpora.NewCache(8000, utterances, samples)
}

func TestJudges(t *testing.T) {
	cache, name := voices(16), filepath.Join(t.TempDir(), "judges.safetensors")
	told := map[string]int{}
	learning := Learning{Steps: 40, Seed: 1, Progress: func(what, unit string, done, total int) {
		if told[what] = done; unit != "steps" || total != 40 {
			t.Errorf("progress of %s: %d of %d %s", what, done, total, unit)
		}
	}}
	j, err := JudgesOf(t.Context(), name, cache, learning)
	if err != nil {
		t.Fatal(err)
	}
	if told["learning voices"] != 40 || told["learning words"] != 40 || len(told) != 2 {
		t.Errorf("progress: %v", told)
	}
	if !slices.Equal(j.Speakers.Labels, []string{"ann", "kim", "zoe"}) || !slices.Equal(j.Words.Labels, []string{"down", "up"}) {
		t.Errorf("labels %v and %v", j.Speakers.Labels, j.Words.Labels)
	}
	if s := j.Speakers.Settings; s.Rate != 8000 || s.Examples != 48 || math.Abs(s.Heard-24) > 1e-9 || s.Training.Steps != 40 {
		t.Errorf("settings %+v", s)
	}
	check := func(j *Judges) (voice, word Accuracy) {
		voice, err := j.Speakers.check(t.Context(), cache, corpora.Test, speakerOf)
		if err != nil {
			t.Fatal(err)
		}
		if word, err = j.Words.check(t.Context(), cache, corpora.Test, wordOf); err != nil {
			t.Fatal(err)
		}
		return voice, word
	}
	voice, word := check(j)
	if voice.Utterances != 24 || voice.Accuracy < 0.95 || voice.CropAccuracy < 0.95 || math.Abs(voice.Chance-1./3) > 1e-9 || math.Abs(voice.Majority-1./3) > 1e-9 {
		t.Errorf("of voices: %+v", voice)
	}
	if word.Utterances != 24 || word.Accuracy < 0.95 || word.Classes != 2 {
		t.Errorf("of words: %+v", word)
	}

	// The same from the file, which is not written again.
	again, err := JudgesOf(t.Context(), name, cache, Learning{Steps: 1, Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	if v, w := check(again); v != voice || w != word || again.Speakers.Settings.Examples != 48 {
		t.Errorf("from the file: %+v and %+v, want %+v and %+v", v, w, voice, word)
	}

	// Whoever sounds like another is taken for that one.
	r, h := rand.New(rand.NewPCG(9, 9)), mustHear(t, 8000)
	for i, want := range j.Speakers.Labels {
		samples := make([]float32, 4000)
		for k, v := range sing(testVoices[want], "up", r) {
			samples[k] = float32(v) / 65536
		}
		if got := j.Speakers.listen(new(tensor.Arena), h.logMel(samples)); slices.Index(got, slices.Max(got)) != i {
			t.Errorf("%s is taken for %v", want, got)
		}
	}
}

func mustHear(t *testing.T, rate int) *hearing {
	t.Helper()
	h, err := newHearing(rate)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestJudgesDoNotDependOnThreads(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	cache, dir := voices(6), t.TempDir()
	for _, threads := range []int{1, 3} {
		parallel.SetThreads(threads)
		if _, err := JudgesOf(t.Context(), filepath.Join(dir, fmt.Sprint(threads)), cache, Learning{Steps: 3, Seed: 1}); err != nil {
			t.Fatal(err)
		}
	}
	one, err := os.ReadFile(filepath.Join(dir, "1"))
	three, err3 := os.ReadFile(filepath.Join(dir, "3"))
	if err != nil || err3 != nil || !slices.Equal(one, three) {
		t.Errorf("files differ: %v, %v", err, err3)
	}
}

func TestJudgesErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "damaged"), []byte("12345678{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	var format *files.FormatError
	if _, err := JudgesOf(t.Context(), filepath.Join(dir, "damaged"), voices(2), Learning{Steps: 1}); !errors.As(err, &format) {
		t.Errorf("a damaged file: %v", err)
	}
	one := corpora.NewCache(8000, []corpora.Utterance{{Path: "a", Speaker: "ann", Split: corpora.Train}}, [][]int16{make([]int16, 100)})
	if _, err := TrainJudges(t.Context(), one, Learning{Steps: 1}); err == nil || !strings.Contains(err.Error(), "1 speakers") {
		t.Errorf("one speaker: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	name := filepath.Join(dir, "new")
	_, err := JudgesOf(ctx, name, voices(2), Learning{Steps: 3, Progress: func(string, string, int, int) { cancel() }})
	if _, e := os.Stat(name); !errors.Is(err, context.Canceled) || !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("cancelled: %v, the file: %v", err, e)
	}
	j, err := TrainJudges(t.Context(), voices(2), Learning{Steps: 1})
	if err != nil || j.Words != nil { // two of each word are too few
		t.Fatalf("%+v, %v", j, err)
	}
	if _, err := j.Speakers.check(t.Context(), voices(2), "nosuch", speakerOf); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("no such split: %v", err)
	}
	other := corpora.NewCache(16000, []corpora.Utterance{{Path: "a", Speaker: "ann", Split: corpora.Test}}, [][]int16{make([]int16, 100)})
	if _, err := j.Speakers.check(t.Context(), other, corpora.Test, speakerOf); err == nil || !strings.Contains(err.Error(), "16000 Hz") {
		t.Errorf("another rate: %v", err)
	}
}

func TestWordsOf(t *testing.T) {
	corpus := func(texts ...string) *corpora.Cache {
		var utterances []corpora.Utterance
		for i := range 24 * len(texts) {
			u := corpora.Utterance{Path: fmt.Sprint(i), Speaker: fmt.Sprint(i / len(texts) % 2), Text: texts[i%len(texts)], Split: corpora.Train}
			utterances = append(utterances, u)
		}
		for i, text := range texts {
			utterances = append(utterances, corpora.Utterance{Path: fmt.Sprint("test", i), Speaker: "0", Text: text, Split: corpora.Test})
		}
		return corpora.NewCache(8000, utterances, slices.Repeat([][]int16{{1}}, len(utterances)))
	}
	if got := wordsOf(corpus("TWO", "one")); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("words %q", got)
	}
	if got := wordsOf(corpus("", "", "")); got != nil {
		t.Errorf("without texts: %q", got)
	}
	mixed := corpus("one")
	for i := range mixed.Utterances() { // a training split without two speakers
		mixed.Utterances()[i].Speaker = "0"
	}
	if got := wordsOf(mixed); got != nil {
		t.Errorf("of one speaker: %q", got)
	}
}

func TestConversion(t *testing.T) {
	m, cache := testModel(t, testConfig), voices(6)
	judges, err := TrainJudges(t.Context(), cache, Learning{Steps: 3, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := ConversionOptions{Split: corpora.Test, Conversions: 12, Seconds: 0.25, Temperature: 1, Seed: 3}
	calls := 0
	o.Progress = func(what, unit string, done, total int) {
		if calls++; what != "converting" || done != calls || total != 12 {
			t.Errorf("progress %s %d of %d %s at call %d", what, done, total, unit, calls)
		}
	}
	r, err := Conversion(t.Context(), m, cache, judges, o)
	if err != nil {
		t.Fatal(err)
	}
	if calls != 12 || len(r.Utterances) != 12 || math.Abs(r.Seconds-3) > 1e-9 || r.Judge.Utterances != 9 || r.Words != nil {
		t.Errorf("%d calls, %+v", calls, r)
	}
	for _, h := range []Heard{r.Voice.Recorded, r.Voice.Reconstructed, r.Voice.Converted} {
		if math.Abs(h.Wanted+h.Source+h.Other-1) > 1e-9 || math.Abs(h.Top5-1) > 1e-9 || h.Rank < 1 || h.Rank > 3 {
			t.Errorf("heard %+v of 3 speakers", h)
		}
	}
	if r.Voice.Recorded.Source != 0 || r.Voice.Reconstructed.Source != 0 {
		t.Errorf("a source where the wanted speaker is the source: %+v", r.Voice)
	}
	targets, sources := map[string]int{}, map[string]int{}
	for _, u := range r.Utterances {
		if u.Source == u.Target || !strings.HasPrefix(u.Path, u.Source) || u.Rank < 1 || u.Rank > 3 || (u.Heard == u.Target) != (u.Rank == 1) {
			t.Errorf("%+v", u)
		}
		targets[u.Target]++
		sources[u.Path]++
	}
	if len(targets) != 3 || len(sources) != 9 { // every utterance before any comes again
		t.Errorf("targets %v, sources %v", targets, sources)
	}
	if r.Units.Converted.Rate == 0 || r.Units.OtherSpeech.Rate == 0 {
		t.Errorf("units %+v", r.Units)
	}

	// The same on other threads, otherwise with another seed.
	defer parallel.SetThreads(parallel.Threads())
	o.Progress = nil
	parallel.SetThreads(3)
	again, err := Conversion(t.Context(), m, cache, judges, o)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("on other threads: %+v, %v; want %+v", again, err, r)
	}
	o.Seed = 4
	if other, err := Conversion(t.Context(), m, cache, judges, o); err != nil || reflect.DeepEqual(other.Utterances, r.Utterances) {
		t.Errorf("another seed changes nothing: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(string, string, int, int) { cancel() }
	if _, err := Conversion(ctx, m, cache, judges, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestConversionAdapted: a model that has timbres converts other units, and says so; reconstructions stay as they are.
func TestConversionAdapted(t *testing.T) {
	c := testConfig
	c.Encoder = vqvae.EncoderConfig{Input: vqvae.LogMel, Channels: []int{8, 8}, Strides: []int{1, 1}}
	c.Decoder.Upsample = nil
	m, cache := testModel(t, c), voices(4)
	judges, err := TrainJudges(t.Context(), cache, Learning{Steps: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := ConversionOptions{Split: corpora.Test, Conversions: 6, Seconds: 0.25, Temperature: 1, Seed: 3, Adapt: AdaptSpeaker}
	front, err := frontend.New(c)
	if err != nil {
		t.Fatal(err)
	}
	run := func(a Adaptation) ConversionReport {
		o.Adapt = a
		r, err := Conversion(t.Context(), m, cache, judges, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run(AdaptSpeaker); r.Adapted != AdaptNot {
		t.Errorf("without timbres: adapted from %q", r.Adapted)
	}
	timbres := make([]vqvae.Timbre, m.Speakers.Len())
	for i, u := range cache.Utterances() {
		samples := make([]float32, u.Samples)
		cache.Read(samples, i, 0)
		id, err := m.Speakers.ID(cache.Speakers()[u.SpeakerID])
		if err != nil {
			t.Fatal(err)
		}
		timbres[id] = front.Timbre(m, samples)
	}
	m.SetTimbres(timbres)
	not := run(AdaptNot)
	for _, a := range []Adaptation{AdaptSpeaker, AdaptRecording} {
		r := run(a)
		if r.Adapted != a || reflect.DeepEqual(r.Utterances, not.Utterances) || !reflect.DeepEqual(r.Units.Reconstructed, not.Units.Reconstructed) {
			t.Errorf("adapted from %q: %+v", r.Adapted, r.Units)
		}
	}
}

func TestConversionErrors(t *testing.T) {
	m, cache := testModel(t, testConfig), voices(4)
	judges, err := TrainJudges(t.Context(), cache, Learning{Steps: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := ConversionOptions{Split: corpora.Test, Conversions: 1, Seconds: 0.1, Temperature: 1}
	mute := testConfig
	mute.Decoder.Speaker = 0
	fast := testConfig
	fast.Rate = 16000
	if _, err := Conversion(t.Context(), testModel(t, mute), cache, judges, o); err == nil || !strings.Contains(err.Error(), "knows no speakers") {
		t.Errorf("without speakers: %v", err)
	}
	if _, err := Conversion(t.Context(), testModel(t, fast), cache, judges, o); err == nil || !strings.Contains(err.Error(), "16000 Hz") {
		t.Errorf("another rate: %v", err)
	}
	for _, c := range []struct {
		spoil func(*ConversionOptions)
		want  string
	}{
		{func(o *ConversionOptions) { o.Conversions = 0 }, "one or more"}, {func(o *ConversionOptions) { o.Seconds = 0 }, "one or more"},
		{func(o *ConversionOptions) { o.Seconds = math.NaN() }, "one or more"}, {func(o *ConversionOptions) { o.Split = "nosuch" }, "nosuch"},
	} {
		spoiled := o
		c.spoil(&spoiled)
		if _, err := Conversion(t.Context(), m, cache, judges, spoiled); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", spoiled, err, c.want)
		}
	}
	judges.Speakers.ids["stranger"] = 0
	strange := corpora.NewCache(8000, []corpora.Utterance{{Path: "s.wav", Speaker: "stranger", Split: corpora.Test}}, [][]int16{make([]int16, 1000)})
	var unknown *speaker.UnknownError
	if _, err := Conversion(t.Context(), m, strange, judges, o); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "s.wav") {
		t.Errorf("a speaker that the model does not know: %v", err)
	}
}

func TestHeard(t *testing.T) {
	pairs := []pair{
		{source: 0, target: 1, conversion: []float32{0, 9, 1, 2, 3, 4, 5}},
		{source: 0, target: 1, conversion: []float32{9, 8, 1, 2, 3, 4, 5}},
		{source: 0, target: 1, conversion: []float32{7, 0, 1, 2, 3, 4, 9}},
		{source: 2, target: 3, conversion: []float32{0, 1, 2, 9, 3, 4, 5}},
	}
	got := heard(pairs, func(p *pair) ([]float32, int32) { return p.conversion, p.target })
	if want := (Heard{Wanted: 0.5, Source: 0.25, Other: 0.25, Top5: 0.75, Rank: 1.5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPitchOf(t *testing.T) {
	pairs := []pair{{f0: [3]float64{100, 200, 150}}, {f0: [3]float64{200, 100, 100}}, {f0: [3]float64{200, 100, 0}}}
	for i, tracks := range [][3]track{ // recorded, reconstructed, converted
		{{100, 0, 100, 100}, {100, 100, 0, 110}, {150, 150, 150, 150}},
		{{200, 220}, {200, 220}, {100, 100}},
	} {
		pairs[i].again.add(tracks[0], tracks[1], false)
		pairs[i].melody.add(tracks[0], tracks[2], true)
	}
	got, ln := pitchOf(pairs), math.Log
	want := Pitch{
		Utterances: 2, Source: 150, Target: 150, Converted: 125,
		FromTarget: ln(200./150) / 2, FromSource: (ln(1.5) + ln(2)) / 2, Apart: ln(2),
		Moved:      (ln(1.5) + ln(2)) / (2 * ln(2)),
		RMSE:       ln(1.1) / 2, // four frames are voiced in both
		MelodyRMSE: math.Sqrt(2 * ln(1.1) * ln(1.1) / 4 / 5),
	}
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if g.Field(i).CanFloat() && math.Abs(g.Field(i).Float()-w.Field(i).Float()) > 1e-12 {
			t.Errorf("%s is %v, want %v", g.Type().Field(i).Name, g.Field(i), w.Field(i))
		}
	}
	if got.Utterances != 2 {
		t.Errorf("of %d utterances", got.Utterances)
	}
	if p := pitchOf(pairs[2:]); p != (Pitch{}) {
		t.Errorf("of silence: %+v", p)
	}
}

func TestUnits(t *testing.T) {
	p := []pair{{utterance: 0, codes: []int32{1, 1, 2, 3, 3}}, {utterance: 0, codes: []int32{1, 1, 2, 3, 3}}, {utterance: 1, codes: []int32{5, 5, 1, 1, 2}}}
	for i := range p {
		p[i].adapted = p[i].codes
	}
	p[0].units.add(p[0].codes, []int32{1, 2, 2, 3, 3})   // one of five changed, none of three runs
	p[1].units.add(p[1].codes, []int32{1, 1, 1, 4, 4})   // two changed, one for a run and one lost
	p[2].reunits.add(p[2].codes, []int32{5, 1, 1, 2, 2}) // one dropped, one added; runs are as they were
	got := *unitsOf(p)
	near := func(name string, got UnitErrors, rate, runs, equal float64) {
		if math.Abs(got.Rate-rate) > 1e-12 || math.Abs(got.Deduplicated-runs) > 1e-12 || math.Abs(got.Equal-equal) > 1e-12 {
			t.Errorf("%s: %+v, want %v %v %v", name, got, rate, runs, equal)
		}
	}
	near("converted", got.Converted, 4./10, 2./6, 6./10)
	near("reconstructed", got.Reconstructed, 2./5, 0, 3./5)
	// 1 1 2 3 3 against 5 5 1 1 2: 4 edits, twice, and back: 4; of runs 1 2 3 against 5 1 2: 2.
	near("other speech", got.OtherSpeech, 12./15, 6./9, 0)
}

func TestEditDistance(t *testing.T) {
	of := func(s string) (u []int32) {
		for _, c := range s {
			u = append(u, c)
		}
		return u
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"kitten", "sitting", 3}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"saturday", "sunday", 3}, {"ab", "ba", 2}, {"", "", 0}} {
		if got := editDistance(of(c.a), of(c.b)); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	var slow func(a, b []int32) int
	slow = func(a, b []int32) int {
		if len(a) == 0 || len(b) == 0 {
			return len(a) + len(b)
		}
		d := slow(a[1:], b[1:])
		if a[0] != b[0] {
			d = 1 + min(d, slow(a[1:], b), slow(a, b[1:]))
		}
		return d
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		a, b := make([]int32, r.IntN(7)), make([]int32, r.IntN(7))
		for _, x := range [][]int32{a, b} {
			for i := range x {
				x[i] = r.Int32N(3)
			}
		}
		if got, want := editDistance(a, b), slow(a, b); got != want {
			t.Errorf("from %v to %v: %d, want %d", a, b, got, want)
		}
	}
	if got := runs([]int32{3, 3, 1, 1, 1, 3}); !slices.Equal(got, []int32{3, 1, 3}) {
		t.Errorf("runs %v", got)
	}
}

// TestProbeVoice: codes of voices that differ tell who speaks; where all speakers sound the same there is nothing to tell.
func TestProbeVoice(t *testing.T) {
	m := testModel(t, testConfig)
	told := map[string]bool{}
	l := Learning{Steps: 50, Seed: 1, Progress: func(what, _ string, done, total int) {
		if told[what] = true; done > total {
			t.Errorf("%s: %d of %d", what, done, total)
		}
	}}
	a, err := ProbeVoice(t.Context(), m, voices(16), corpora.Test, l)
	if err != nil {
		t.Fatal(err)
	}
	if a.Utterances != 24 || a.Classes != 3 || a.Accuracy < 0.8 || len(told) != 2 {
		t.Errorf("%+v, progress of %v", a, told)
	}
	same := voices(6)
	for i := range same.Utterances() {
		copy(same.Samples(i), same.Samples(i-i%3)) // what one says, the other two say, too
	}
	b, err := ProbeVoice(t.Context(), m, same, corpora.Test, Learning{Steps: 5, Seed: 1})
	if err != nil || math.Abs(b.Accuracy-1./3) > 1e-9 { // it says the same of all three, and is right once
		t.Errorf("where all sound the same: %+v, %v", b, err)
	}
	if _, err := ProbeVoice(t.Context(), m, voices(4), "nosuch", l); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("no such split: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ProbeVoice(ctx, m, voices(4), corpora.Test, l); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestProbeWords: codes of words that sound differently tell them; where all words sound the same there is nothing to tell, and
// a corpus of sentences has no words to learn.
func TestProbeWords(t *testing.T) {
	m, differ := testModel(t, testConfig), voices(16)
	for i, u := range differ.Utterances() {
		if u.Text == "down" {
			clear(differ.Samples(i)[:2000]) // the codes of a model that nobody has trained tell rising from falling in two of three
		}
	}
	a, err := ProbeWords(t.Context(), m, differ, corpora.Test, Learning{Steps: 50, Seed: 1})
	if err != nil || a.Utterances != 24 || a.Classes != 2 || a.Accuracy < 0.8 {
		t.Errorf("%+v, %v", a, err)
	}
	same := voices(16)
	for i := range same.Utterances() {
		copy(same.Samples(i), same.Samples(i%3)) // nobody says but the first word
	}
	b, err := ProbeWords(t.Context(), m, same, corpora.Test, Learning{Steps: 5, Seed: 1})
	if err != nil || math.Abs(b.Accuracy-0.5) > 1e-9 { // it says the same of all, and is right about half
		t.Errorf("where all sound the same: %+v, %v", b, err)
	}
	if _, err := ProbeWords(t.Context(), m, voices(2), corpora.Test, Learning{Steps: 5}); err == nil || !strings.Contains(err.Error(), "no words") {
		t.Errorf("two of each word: %v", err)
	}
}

// TestDisturb: a level and a smooth curve, the same in all frames, noise that fills what is soft, and noise that follows the level.
func TestDisturb(t *testing.T) {
	noisy, following := 0, 0
	for seed := range uint64(40) {
		x := make([]float32, 20*mels)
		for i := range x {
			x[i] = -10
			if i >= 10*mels {
				x[i] = -23 // digital silence
			}
		}
		disturb(x, rand.New(rand.NewPCG(seed, 1)))
		for i := mels; i < 10*mels; i++ {
			if x[i] != x[i-mels] {
				t.Fatalf("seed %d: frames that were the same differ", seed)
			}
		}
		for m := range mels {
			if d := math.Abs(float64(x[m]) + 10); d > 25*math.Ln10/10 {
				t.Errorf("seed %d: band %d changes by %v", seed, m, d)
			}
			if m > 0 && math.Abs(float64(x[m]-x[m-1])) > 0.3 {
				t.Errorf("seed %d: bands %d and %d differ by %v", seed, m-1, m, x[m]-x[m-1])
			}
		}
		if x[0]-x[10*mels] < 12.9 {
			noisy++
		}
	}
	if noisy < 10 || noisy > 30 {
		t.Errorf("noise in %d of 40", noisy)
	}
	for seed := range uint64(40) {
		x := make([]float32, 20*mels) // loud frames, then soft ones, both with an empty upper half
		for i := range x {
			x[i] = -5
			if i >= 10*mels {
				x[i] = -15
			}
			if i%mels >= mels/2 {
				x[i] -= 30
			}
		}
		disturb(x, rand.New(rand.NewPCG(seed, 1)))
		if loud, soft := x[mels-1]-x[0], x[11*mels-1]-x[10*mels]; loud > -29 && loud < soft+1 { // as deep below both
			following++
		}
	}
	if following < 10 || following > 30 {
		t.Errorf("noise that follows the level in %d of 40", following)
	}
}

// TestProbeOfCodebooks: a probe of codes that name entries of several codebooks, which are too many for an embedding of each.
func TestProbeOfCodebooks(t *testing.T) {
	c := testConfig
	c.Bottleneck.Dim, c.Bottleneck.Groups, c.Bottleneck.Stages = 6, 3, 2 // 16^6 codes
	a, err := ProbeVoice(t.Context(), testModel(t, c), voices(2), corpora.Test, Learning{Steps: 1})
	if err != nil || a.Utterances != 3 {
		t.Errorf("%+v, %v", a, err)
	}
}
