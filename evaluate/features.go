package evaluate

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"

	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/classify"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// mels is the number of bands of the log-mel spectrograms that classifiers hear. A frame is 10 ms.
const mels = 80

// hearing computes the spectrograms of one goroutine.
type hearing struct{ analyser *spectrum.Analyser }

func newHearing(rate int) (*hearing, error) {
	a, err := spectrum.New(spectrum.LogMel(rate, mels))
	return &hearing{a}, err
}

// logMel returns the log-mel spectrogram [frames, mels] of samples, in ln of power.
func (h *hearing) logMel(samples []float32) []float32 { return h.analyser.LogMel(nil, widen(samples)) }

func widen(samples []float32) []float64 {
	x := make([]float64, len(samples))
	for i, v := range samples {
		x[i] = float64(v)
	}
	return x
}

// disturb changes a log-mel spectrogram as another recording of the same words in the same voice would: another level, by 20 dB
// either way; another microphone, a smooth curve over the bands of a few dB; half of the time, noise 5 to 55 dB below the mean power;
// and, half of the time, noise that follows the power of each frame, 5 to 45 dB below it, as that of coders does (ITU-T P.810). Both noises
// are white or fall towards high bands.
func disturb(x []float32, random *rand.Rand) {
	gain := spectrum.Colour(mels, 0, 0, 20, random)
	curve := spectrum.Colour(mels, 1, 3, 3, random)
	noise := func(quietest float64) []float64 { // for a power of 1
		powers := spectrum.Hiss(mels, -5-(quietest-5)*random.Float64(), random)
		if random.Uint64()&1 == 0 {
			clear(powers)
		}
		return powers
	}
	steady, following := noise(55), noise(45)
	power := spectrum.MeanPower(x)
	for len(x) > 0 {
		frame := x[:mels]
		x = x[mels:]
		now := spectrum.MeanPower(frame)
		for m, v := range frame {
			p := math.Exp(float64(v)) + power*steady[m] + now*following[m]
			frame[m] = float32(math.Log(p) + gain[m] + curve[m])
		}
	}
}

// mostNumbers is how many numbers the examples of a classifier hold in all: 256 MiB. Of larger corpora a part is taken.
const mostNumbers = 1 << 26

// stretch is the beginning of an utterance.
type stretch struct {
	utterance int
	samples   int64
	class     int32
}

// drawStretches returns utterances of a split with a class, in random order, as many as have the given number of samples in all,
// the last one cut off. Class says which class an utterance has, false for none.
func drawStretches(cache *corpora.Cache, split string, class func(*corpora.CachedUtterance) (int32, bool), samples int64, seed uint64) []stretch {
	var all []stretch
	for i := range cache.Utterances() {
		u := &cache.Utterances()[i]
		if split != "" && u.Split != split {
			continue
		}
		if c, ok := class(u); ok {
			all = append(all, stretch{i, u.Samples, c})
		}
	}
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range all {
		all[i].samples = min(all[i].samples, samples)
		if samples -= all[i].samples; samples <= 0 {
			return all[:i+1]
		}
	}
	return all
}

// each calls f for each of n items on all cores, unless ctx is cancelled, and returns the first error in the order of the items.
func each(ctx context.Context, n int, f func(i int) error) error {
	failed := make([]error, n)
	parallel.For(n, func(i int) {
		if failed[i] = ctx.Err(); failed[i] == nil {
			failed[i] = f(i)
		}
	})
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// spectrograms returns the log-mel spectrograms of stretches.
func spectrograms(ctx context.Context, cache *corpora.Cache, of []stretch) ([]classify.Example, error) {
	examples := make([]classify.Example, len(of))
	err := each(ctx, len(of), func(i int) error {
		h, err := newHearing(cache.Rate())
		if err != nil {
			return err
		}
		samples := make([]float32, of[i].samples)
		cache.Read(samples, of[i].utterance, 0)
		examples[i] = classify.Example{Vectors: h.logMel(samples), Class: of[i].class}
		return nil
	})
	return examples, err
}

// counter counts what several goroutines have done, for a [Progress].
type counter struct {
	what, unit  string
	mu          sync.Mutex
	done, total int
	progress    Progress
}

func newCounter(total int, what, unit string, progress Progress) *counter {
	return &counter{what: what, unit: unit, total: total, progress: progress}
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	c.progress.tell(c.what, c.unit, c.done, c.total)
}
