// Package enrol gives a model a new voice from a short recording: it fits a vector of the embedding of speakers, and nothing else.
//
// The model stays as it is. The recording is encoded once; with its codes fixed, Adam looks for the vector with which the decoder
// predicts it best, and starts at the voice of the model that does so best already. About a fifth of the speech is held out, and
// says whether the new vector serves the voice better than those that the model has.
package enrol

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/vqvae"
)

// The most and the least speech that a voice is fitted on, and tried on, in seconds. A vector has too few elements to learn
// from more; from less, nothing that is said of it could be relied on.
const (
	MostSeconds  = 300
	LeastSeconds = 2
)

// Options say how a voice is fitted. The zero value is right for most.
type Options struct {
	Steps    int                   // of Adam, each on half a second of speech; 0 takes 200
	Seed     uint64                // of the choice of what is held out, and of the order in which Adam goes through the rest
	Progress func(done, total int) // called again and again with the share of the work that is done; may be nil
}

const (
	steps        = 200 // five times as many gain less than a thousandth of a nat
	learningRate = 0.1 // at first; it falls to zero along half a cosine
)

// Report says what a fitted voice is worth. Likelihoods are negative log-likelihoods in nats per sample, the mean over the
// speech held out, of which the fit has seen nothing.
type Report struct {
	Fitted  float64 `json:"fitted_seconds"` // of speech that the vector was fitted on
	HeldOut float64 `json:"held_out_seconds"`

	Mean     float64 `json:"mean"`     // with the mean of all voices of the model
	Nearest  string  `json:"nearest"`  // the speaker of the model whose voice predicts the fitted speech best
	Existing float64 `json:"existing"` // with the voice of that one
	Enrolled float64 `json:"enrolled"` // with the new voice
	Gain     float64 `json:"gain"`     // of the new voice over the better one of the two: if it is not above 0, there is none
}

// Fit returns the vector of a voice, [DecoderConfig.Speaker] of the model's configuration, for clips of it: samples from -1 to 1 at
// the model's rate, at the level that it was trained at. The same clips, options and model give the same vector on any number of
// threads.
//
// Whole clips are held out, as many as make up a fifth of the speech, and at most half of it; where they do not come to that, so is
// the last part of one.
//
// It returns an error if ctx is cancelled, if the model knows no speakers, or if there are not [LeastSeconds] to [MostSeconds] of
// speech.
func Fit(ctx context.Context, m *vqvae.Model, clips [][]float32, o Options) ([]float32, Report, error) {
	if m.Voices == nil {
		return nil, Report{}, errors.New("the model knows no speakers: it has one voice for all")
	}
	if o.Steps == 0 {
		o.Steps = steps
	}
	all, err := encode(ctx, m, clips)
	if err != nil {
		return nil, Report{}, err
	}
	rate, hop := float64(m.Config.Rate), m.Config.Hop()
	if s := float64(all.samples()) / rate; !(s >= LeastSeconds && s <= MostSeconds) || all.samples() < heldOut*hop {
		return nil, Report{}, fmt.Errorf("%.1f s of speech: want %d to %d", s, LeastSeconds, MostSeconds)
	}
	src := rand.New(rand.NewPCG(o.Seed, 0))
	shuffle(src, all)
	fitted, out := all.divide(hop)
	r := Report{Fitted: float64(fitted.samples()) / rate, HeldOut: float64(out.samples()) / rate}

	short, pieces, tests := fitted.pieces(hop, shortSamples), fitted.pieces(hop, pieceSamples), out.pieces(hop, pieceSamples)
	shuffle(src, short)
	shuffle(src, pieces)
	w := newWorker(ctx, m, o.Progress)
	w.total = nearestCost(m.Speakers.Len(), len(short)) + o.Steps*gradientCost + 3*len(tests)*pieceCost
	nearest, err := w.nearest(short)
	if err != nil {
		return nil, Report{}, err
	}
	r.Nearest = m.Speakers.Name(nearest)
	existing, mean := m.Voices.Table.Value.Row(int(nearest)), meanVoice(m)
	vector, err := w.fit(pieces, existing, o.Steps, src)
	if err != nil {
		return nil, Report{}, err
	}
	for _, v := range []struct {
		nll   *float64
		voice []float32
	}{{&r.Mean, mean}, {&r.Existing, existing}, {&r.Enrolled, vector}} {
		if *v.nll, err = w.nll(tests, v.voice, pieceCost); err != nil {
			return nil, Report{}, err
		}
		if math.IsNaN(*v.nll) || math.IsInf(*v.nll, 0) {
			return nil, Report{}, errors.New("the decoder of the model gives likelihoods that are not finite")
		}
	}
	r.Gain = min(r.Mean, r.Existing) - r.Enrolled
	return vector, r, nil
}

func shuffle(src *rand.Rand, pieces []piece) {
	src.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
}

// meanVoice returns the mean of all voices.
func meanVoice(m *vqvae.Model) []float32 {
	table := m.Voices.Table.Value
	mean := make([]float32, table.Channels())
	for i := range mean {
		sum := 0.0
		for id := range table.Dim(0) {
			sum += float64(table.Row(id)[i])
		}
		mean[i] = float32(sum / float64(table.Dim(0)))
	}
	return mean
}

// fit returns what Adam makes of start, a piece a step. It goes through the pieces in their order, then in others.
func (w *worker) fit(pieces []piece, start []float32, steps int, src *rand.Rand) ([]float32, error) {
	voice := nn.NewParameter("voice", 1, len(start))
	copy(voice.Value.Data, start)
	adam := nn.NewAdam(nn.Parameters{voice})
	for step := range steps {
		i := step % len(pieces)
		if i == 0 && step > 0 {
			shuffle(src, pieces)
		}
		if err := w.gradient(pieces[i], voice); err != nil {
			return nil, err
		}
		adam.Step(learningRate * (1 + math.Cos(math.Pi*float64(step)/float64(steps))) / 2)
	}
	return voice.Value.Data, nil
}
