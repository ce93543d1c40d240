package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/classify"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Accuracy is how often a classifier is right about utterances that it was not trained on.
type Accuracy struct {
	Classes    int     `json:"classes"`
	Utterances int     `json:"utterances"`
	Accuracy   float64 `json:"accuracy"` // share of the utterances
	Top5       float64 `json:"top5"`     // share where the true class is among the five likeliest

	Seconds      float64 `json:"crop_seconds"`
	Crops        int     `json:"crops"`         // of that length: an utterance is cut from its start on, a shorter one is a crop
	CropAccuracy float64 `json:"crop_accuracy"` // share of the crops

	Chance   float64 `json:"chance"`   // 1/Classes
	Majority float64 `json:"majority"` // share of the utterances in the class that most of them are in
}

// cropSeconds is the length of the crops of an [Accuracy].
const cropSeconds = 1.5

// mostSeconds is what is taken at most of an utterance that is classified as a whole.
const mostSeconds = 20

// scored is what a classifier made of an utterance.
type scored struct {
	class        int32
	rank         int
	crops, right int
}

// summarise returns the accuracy over utterances.
func summarise(all []scored, classes int) Accuracy {
	r := Accuracy{Classes: classes, Utterances: len(all), Seconds: cropSeconds, Chance: 1 / float64(classes)}
	of, right, top5, crops := make([]int, classes), 0, 0, 0
	for _, s := range all {
		of[s.class]++
		if s.rank == 0 {
			right++
		}
		if s.rank < 5 {
			top5++
		}
		r.Crops += s.crops
		crops += s.right
	}
	n := float64(max(1, len(all)))
	r.Accuracy, r.Top5, r.Majority = float64(right)/n, float64(top5)/n, float64(slices.Max(of))/n
	r.CropAccuracy = float64(crops) / float64(max(1, r.Crops))
	return r
}

// score classifies an utterance of frames, a slice of width numbers each, as a whole and by its crops of so many frames.
func score[T any](frames []T, width, crop int, class int32, logits func([]T) []float32) scored {
	s := scored{class: class, rank: classify.Rank(logits(frames), class)}
	for rest := frames; len(rest) > 0 && (s.crops == 0 || len(rest) >= crop*width); {
		part := rest[:min(len(rest), crop*width)]
		rest = rest[len(part):]
		s.crops++
		if classify.Best(logits(part)) == class {
			s.right++
		}
	}
	return s
}

// check returns how well the judge does on a split of the corpus, of which it takes the utterances with a label that it knows. Of
// an utterance it takes the first 20 seconds at most.
func (j *Judge) check(ctx context.Context, cache *corpora.Cache, split string, label func(*corpora.CachedUtterance) string) (Accuracy, error) {
	if cache.Rate() != j.Settings.Rate {
		return Accuracy{}, fmt.Errorf("the classifier was trained at %d Hz, the corpus is at %d Hz", j.Settings.Rate, cache.Rate())
	}
	of := utterancesOf(cache, split, j.class(label), int64(mostSeconds*cache.Rate()))
	all := make([]scored, len(of))
	err := each(ctx, len(of), func(i int) error {
		h, err := newHearing(cache.Rate())
		if err != nil {
			return err
		}
		samples, a := make([]float32, of[i].samples), new(tensor.Arena)
		cache.Read(samples, of[i].utterance, 0)
		all[i] = score(h.logMel(samples), mels, cropSeconds*100, of[i].class, func(x []float32) []float32 { return j.listen(a, x) })
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the split %q of the corpus has no utterance that the classifier knows a class of", split)
	}
	return summarise(all, len(j.Labels)), err
}

// utterancesOf returns the utterances of a split with a class, in their order, of each at most so many samples.
func utterancesOf(cache *corpora.Cache, split string, class func(*corpora.CachedUtterance) (int32, bool), most int64) []stretch {
	var of []stretch
	for i := range cache.Utterances() {
		u := &cache.Utterances()[i]
		if split != "" && u.Split != split {
			continue
		}
		if c, ok := class(u); ok {
			of = append(of, stretch{i, min(u.Samples, most), c})
		}
	}
	return of
}

// How the probe is trained.
const (
	probeSteps     = 1500
	probeEmbedding = 64
	probeChannels  = 96
	probeRate      = 2e-3 // at 1e-3 it finds less: 59 instead of 66 %
)

// ProbeVoice says how much of the voice there is in the codes of a model: it trains a classifier, of the kind that judges sound, to
// tell the speakers of the training split from codes alone, and returns how well it does on the split given. What it finds
// is there; what it does not find may be there nevertheless: the accuracy is a lower bound.
func ProbeVoice(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, split string, l Learning) (Accuracy, error) {
	names, err := speakersOf(cache)
	if err != nil {
		return Accuracy{}, err
	}
	return probe(ctx, m, cache, split, names, speakerOf, "learning voices from codes", l)
}

// ProbeWords says in the same way how much of the words there is in the codes: how well a classifier tells those that [TrainJudges]
// would learn from this corpus. What it finds in codes and [Conversion] does not hear, the decoder has lost. It returns an error if the corpus
// has no words to learn.
func ProbeWords(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, split string, l Learning) (Accuracy, error) {
	words := wordsOf(cache)
	if len(words) < 2 {
		return Accuracy{}, errors.New("the corpus has no words to learn: few different texts, each of many utterances")
	}
	return probe(ctx, m, cache, split, words, wordOf, "learning words from codes", l)
}

// probe trains a classifier to tell labels, which are sorted, from codes.
func probe(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, split string, labels []string, label func(*corpora.CachedUtterance) string,
	what string, l Learning) (Accuracy, error) {
	if cache.Rate() != m.Config.Rate {
		return Accuracy{}, fmt.Errorf("the corpus is at %d Hz, the model at %d Hz", cache.Rate(), m.Config.Rate)
	}
	class := func(u *corpora.CachedUtterance) (int32, bool) {
		id, ok := slices.BinarySearch(labels, label(u))
		return int32(id), ok
	}
	coder, err := newCoder(m)
	if err != nil {
		return Accuracy{}, err
	}
	heard := drawStretches(cache, corpora.Train, class, int64(mostNumbers)*int64(coder.hop()), l.Seed)
	test := utterancesOf(cache, split, class, int64(mostSeconds*cache.Rate()))
	if len(test) == 0 {
		return Accuracy{}, fmt.Errorf("the split %q of the corpus has no utterance whose class the training split has", split)
	}
	examples, err := encodeAll(ctx, coder, cache, slices.Concat(heard, test), l.Progress)
	if err != nil {
		return Accuracy{}, err
	}
	books := m.Config.Bottleneck.Books()
	net := classify.New(classify.Config{
		Classes: len(labels), Width: books, Entries: books * m.Config.Bottleneck.Entries, Embedding: probeEmbedding,
		Channels: probeChannels, Kernels: []int{5, 3, 3}, Dilations: []int{1, 2, 4}, Hidden: probeChannels,
	}, rand.NewPCG(l.Seed, 3))
	steps, rate := l.steps(probeSteps), float64(cache.Rate())/float64(coder.hop())
	err = net.Train(ctx, examples[:len(heard)], classify.Training{
		Steps: steps, Batch: judgeBatch, Shortest: max(1, int(rate)), Longest: max(1, int(2*rate)), Rate: probeRate, Decay: judgeDecay, Seed: l.Seed,
		Progress: func(step int, _, _ float64) { l.Progress.tell(what, "steps", step, steps) },
	})
	if err != nil {
		return Accuracy{}, err
	}
	all := make([]scored, len(test))
	err = each(ctx, len(test), func(i int) error {
		e, a := examples[len(heard)+i], new(tensor.Arena)
		all[i] = score(e.Codes, books, max(1, int(cropSeconds*rate)), e.Class, func(codes []int32) []float32 {
			defer a.Reset()
			return slices.Clone(net.Logits(a, classify.Batch{Codes: codes, Lengths: []int{len(codes) / books}}).Data)
		})
		return nil
	})
	return summarise(all, len(labels)), err
}

// encodeAll returns the codes of stretches: for each frame the entries of all codebooks, which are numbered through.
func encodeAll(ctx context.Context, coder *coder, cache *corpora.Cache, of []stretch, progress Progress) ([]classify.Example, error) {
	examples, count := make([]classify.Example, len(of)), newCounter(len(of), "encoding", "utterances", progress)
	err := each(ctx, len(of), func(i int) error {
		samples := make([]float32, of[i].samples)
		cache.Read(samples, of[i].utterance, 0)
		bottleneck, codes := coder.model.Config.Bottleneck, coder.codes(samples)
		books := bottleneck.Books()
		entries := make([]int32, books*len(codes))
		for t, code := range codes {
			frame := entries[t*books : (t+1)*books]
			bottleneck.Split(frame, code)
			for m := range frame {
				frame[m] += int32(m * bottleneck.Entries)
			}
		}
		examples[i] = classify.Example{Codes: entries, Class: of[i].class}
		count.add()
		return nil
	})
	return examples, err
}
