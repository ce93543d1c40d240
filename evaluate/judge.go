package evaluate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/classify"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/tensor"
)

// Judges are the classifiers that say what is heard in sound. They are trained on recordings, and know nothing of the model that
// they judge.
type Judges struct {
	Speakers *Judge // whose voice it is
	Words    *Judge // what is said; nil where the corpus has no words to learn, see [TrainJudges]
}

// Judge is a classifier of sound by its log-mel spectrogram.
type Judge struct {
	Labels   []string // of the classes, sorted
	Settings JudgeSettings

	net *classify.Net
	ids map[string]int32
}

// JudgeSettings are what a [Judge] was trained with.
type JudgeSettings struct {
	Rate     int               `json:"rate"`     // of the sound, Hz
	Mels     int               `json:"mels"`     // bands of the spectrogram, a frame every 10 ms
	Seconds  [2]float64        `json:"seconds"`  // shortest and longest crop
	Examples int               `json:"examples"` // utterances that it has heard
	Heard    float64           `json:"heard"`    // seconds of them
	Training classify.Training `json:"training"`
}

// newJudge returns a judge over a net.
func newJudge(labels []string, net *classify.Net, s JudgeSettings) *Judge {
	j := &Judge{Labels: labels, Settings: s, net: net, ids: map[string]int32{}}
	for i, l := range labels {
		j.ids[l] = int32(i)
	}
	return j
}

// Progress is told how far a long piece of work is: what is done ("learning voices"), in which unit ("steps"), how much of how
// much. It is called by one goroutine at a time; it may be nil.
type Progress func(what, unit string, done, total int)

func (p Progress) tell(what, unit string, done, total int) {
	if p != nil {
		p(what, unit, done, total)
	}
}

// Learning says how long the classifiers of this package are trained.
type Learning struct {
	Steps    int // of each; 0 takes what this project's figures are given for: 2500 for voices, 800 for words, 1500 for a probe
	Seed     uint64
	Progress Progress // may be nil
}

// steps returns how many there are where the usual number is the one given.
func (l Learning) steps(usual int) int {
	if l.Steps > 0 {
		return l.Steps
	}
	return usual
}

// How judges are trained. Three convolutions see 170 ms; crops are long enough to hold a few syllables.
const (
	judgeChannels = 128
	judgeBatch    = 32
	judgeRate     = 1e-3
	judgeDecay    = 0.01
	voiceSteps    = 2500
	wordSteps     = 800
)

// A text is a word to be learnt if it is that of so many utterances of the training split, by two speakers or more; words are
// learnt if those texts are at least half of the utterances of the test split.
const leastWords = 20

// TrainJudges trains judges on the training split of a corpus: on every speaker there, and, in a corpus whose utterances are
// mostly the same few texts, such as digits, on every text that 20 utterances or more have. Case is of no account.
//
// Sound is taken in random crops, with level, microphone and noise changed at random, so that these do not decide who is heard.
func TrainJudges(ctx context.Context, cache *corpora.Cache, l Learning) (*Judges, error) {
	names, err := speakersOf(cache)
	if err != nil {
		return nil, err
	}
	j, err := trainJudge(ctx, cache, names, speakerOf, JudgeSettings{Seconds: [2]float64{1, 2},
		Training: classify.Training{Steps: l.steps(voiceSteps), Seed: l.Seed}}, "learning voices", l.Progress)
	if err != nil {
		return nil, err
	}
	judges := &Judges{Speakers: j}
	if words := wordsOf(cache); len(words) > 1 {
		judges.Words, err = trainJudge(ctx, cache, words, wordOf, JudgeSettings{Seconds: [2]float64{3, 3},
			Training: classify.Training{Steps: l.steps(wordSteps), Seed: l.Seed}}, "learning words", l.Progress)
	}
	return judges, err
}

// speakersOf returns the speakers of the training split, sorted; an error if there are not two.
func speakersOf(cache *corpora.Cache) ([]string, error) {
	var names []string
	for _, u := range cache.Utterances() {
		if u.Split == corpora.Train {
			names = append(names, u.Speaker)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) < 2 {
		return nil, fmt.Errorf("the training split of the corpus has %d speakers: want two or more, to tell them apart", len(names))
	}
	return names, nil
}

// speakerOf and wordOf are the labels of an utterance.
func speakerOf(u *corpora.CachedUtterance) string { return u.Speaker }

func wordOf(u *corpora.CachedUtterance) string { return strings.ToLower(u.Text) }

// wordsOf returns the texts that are words to be learnt, sorted.
func wordsOf(cache *corpora.Cache) []string {
	counts, speakers := map[string]int{}, map[string]map[string]bool{}
	for i := range cache.Utterances() {
		if u := &cache.Utterances()[i]; u.Split == corpora.Train && u.Text != "" {
			w := wordOf(u)
			if speakers[w] == nil {
				speakers[w] = map[string]bool{}
			}
			counts[w]++
			speakers[w][u.Speaker] = true
		}
	}
	var words []string
	for w, n := range counts {
		if n >= leastWords && len(speakers[w]) > 1 {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	tested, known := 0, 0
	for i := range cache.Utterances() {
		if u := &cache.Utterances()[i]; u.Split == corpora.Test {
			tested++
			if _, ok := slices.BinarySearch(words, wordOf(u)); ok {
				known++
			}
		}
	}
	if 2*known < tested || known == 0 {
		return nil
	}
	return words
}

// trainJudge trains a judge to tell labels, one of which label gives for an utterance, from each other.
func trainJudge(ctx context.Context, cache *corpora.Cache, labels []string, label func(*corpora.CachedUtterance) string,
	s JudgeSettings, what string, progress Progress) (*Judge, error) {
	s.Rate, s.Mels = cache.Rate(), mels
	s.Training.Batch, s.Training.Rate, s.Training.Decay = judgeBatch, judgeRate, judgeDecay
	net := classify.New(classify.Config{
		Classes: len(labels), Width: mels, Channels: judgeChannels, Kernels: []int{5, 3, 3}, Dilations: []int{1, 2, 4}, Hidden: judgeChannels,
	}, rand.NewPCG(s.Training.Seed, 2))
	j := newJudge(labels, net, s)
	progress.tell(what, "steps", 0, s.Training.Steps)
	hop := s.Rate / 100
	heard := drawStretches(cache, corpora.Train, j.class(label), mostNumbers/mels*int64(hop), s.Training.Seed)
	examples, err := spectrograms(ctx, cache, heard)
	if err != nil {
		return nil, err
	}
	t := s.Training
	t.Shortest, t.Longest = int(s.Seconds[0]*100), int(s.Seconds[1]*100)
	t.Augment = disturb
	t.Progress = func(step int, _, _ float64) { progress.tell(what, "steps", step, t.Steps) }
	if err := net.Train(ctx, examples, t); err != nil {
		return nil, err
	}
	j.Settings.Examples = len(examples)
	for _, h := range heard {
		j.Settings.Heard += float64(h.samples) / float64(s.Rate)
	}
	return j, nil
}

// class returns the class of an utterance by its label; false if it is none of the judge's.
func (j *Judge) class(label func(*corpora.CachedUtterance) string) func(*corpora.CachedUtterance) (int32, bool) {
	return func(u *corpora.CachedUtterance) (int32, bool) {
		id, ok := j.ids[label(u)]
		return id, ok
	}
}

// listen returns the logits of what is heard in a log-mel spectrogram, [len(j.Labels)].
func (j *Judge) listen(a *tensor.Arena, logMel []float32) []float32 {
	frames := len(logMel) / mels
	defer a.Reset()
	return slices.Clone(j.net.Logits(a, classify.Batch{Vectors: tensor.From(logMel, 1, frames, mels), Lengths: []int{frames}}).Data)
}

// Save writes the judges to a file, which Python reads too: see [classify.Save].
func (j *Judges) Save(name string) error {
	var list []classify.Classifier
	for _, c := range []struct {
		name string
		j    *Judge
	}{{"speakers", j.Speakers}, {"words", j.Words}} {
		if c.j == nil {
			continue
		}
		settings, err := json.Marshal(c.j.Settings)
		if err != nil {
			return err
		}
		list = append(list, classify.Classifier{Name: c.name, Config: c.j.net.Config, Labels: c.j.Labels, Settings: settings, Net: c.j.net})
	}
	return classify.Save(name, list)
}

// LoadJudges reads what Save has written. A file that is damaged or something else is a [*files.FormatError].
func LoadJudges(name string) (*Judges, error) {
	list, err := classify.Load(name)
	if err != nil {
		return nil, err
	}
	wrong := func(found, expected string) error {
		return &files.FormatError{File: name, Offset: 8, Found: found, Expected: expected}
	}
	j := new(Judges)
	for _, c := range list {
		var s JudgeSettings
		d := json.NewDecoder(bytes.NewReader(c.Settings))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			return nil, wrong(fmt.Sprintf("settings of classifier %.40q: %.100v", c.Name, err), "those of this version")
		}
		if c.Config.Width != mels || c.Config.Entries != 0 || s.Mels != mels || s.Rate < 1 {
			return nil, wrong(fmt.Sprintf("classifier %.40q of frames of %d, %d bands at %d Hz", c.Name, c.Config.Width, s.Mels, s.Rate), fmt.Sprintf("one of log-mel spectrograms of %d bands", mels))
		}
		switch c.Name {
		case "speakers":
			j.Speakers = newJudge(c.Labels, c.Net, s)
		case "words":
			j.Words = newJudge(c.Labels, c.Net, s)
		default:
			return nil, wrong(fmt.Sprintf("classifier %.40q", c.Name), `"speakers" or "words"`)
		}
	}
	if j.Speakers == nil {
		return nil, wrong("no classifier of speakers", "one")
	}
	return j, nil
}

// JudgesOf reads judges from a file, or, if there is none of that name, trains them and writes it. Without a name it trains them and
// writes nothing.
func JudgesOf(ctx context.Context, name string, cache *corpora.Cache, l Learning) (*Judges, error) {
	if name != "" {
		if j, err := LoadJudges(name); !errors.Is(err, fs.ErrNotExist) {
			return j, err
		}
	}
	j, err := TrainJudges(ctx, cache, l)
	if err == nil && name != "" {
		err = j.Save(name)
	}
	return j, err
}
