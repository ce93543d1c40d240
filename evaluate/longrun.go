package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// LongRunOptions say what [LongRun] generates.
type LongRunOptions struct {
	Seconds   float64
	Speaker   int32             // of the model; not looked at if it has one voice for all
	Known     int32             // the same of the prior, or its Nobody
	Drawing   wavenet.Drawing   // of units; sound is drawn at a temperature of 1
	Precision wavenet.Precision // of the decoder's weights
	Seed      uint64
	Progress  Progress // may be nil; it is told seconds
}

// LongRunReport says what speech that is generated in one piece is like over time: if it drifts into silence, noise or for ever the same, parts of it
// show that.
type LongRunReport struct {
	Seconds float64       `json:"seconds"`
	Parts   []LongRunPart `json:"parts"` // of equal length
}

// LongRunPart is a part of it.
type LongRunPart struct {
	Until    float64 `json:"until"`               // seconds from the start
	Level    float64 `json:"level"`               // RMS in dBFS
	Pauses   float64 `json:"pauses"`              // as in SpeechStatistics
	Entropy  float64 `json:"entropy"`             // of its units, in bits: -sum p log2 p
	Pairwise float64 `json:"conditional_entropy"` // of a unit given the one before, in bits: low for so few, but to be compared with other parts
	Memory   float64 `json:"memory"`              // in MB that the program had got from the system at its end
}

// longRunParts is the number of parts: a minute each of an hour.
const longRunParts = 60

// silence is the power that nothing is softer than: -200 dBFS.
const silence = 1e-20

// Mean returns the mean of parts, their Level as that of their energy; Until and Memory are the last one's.
func (LongRunReport) Mean(parts []LongRunPart) LongRunPart {
	mean, n := parts[len(parts)-1], float64(len(parts))
	mean.Level, mean.Pauses, mean.Entropy, mean.Pairwise = 0, 0, 0, 0
	for _, p := range parts {
		mean.Level += math.Pow(10, p.Level/10) / n
		mean.Pauses += p.Pauses / n
		mean.Entropy += p.Entropy / n
		mean.Pairwise += p.Pairwise / n
	}
	mean.Level = 10 * math.Log10(mean.Level)
	return mean
}

// LongRun generates speech in one piece, as generate does, and drops it. Units and sound are drawn on a core each. What it holds in memory does not
// grow with its length. It returns an error if ctx is cancelled, or if Seconds are too few for a unit a part.
func LongRun(ctx context.Context, m *vqvae.Model, p *prior.Prior, o LongRunOptions) (LongRunReport, error) {
	c, err := newCoder(m)
	if err != nil {
		return LongRunReport{}, err
	}
	rate := m.Config.Rate
	frames := int(o.Seconds * float64(rate) / float64(c.hop()) / longRunParts) // of a part
	if frames < 1 {
		return LongRunReport{}, fmt.Errorf("%v s in %d parts: want a code in each", o.Seconds, longRunParts)
	}
	r := LongRunReport{Seconds: float64(longRunParts*frames*c.hop()) / float64(rate)}

	// Units come one part after the other, and sound some frames behind.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	units := make(chan []int32, 1)
	go func() {
		defer close(units)
		g := p.NewGenerator(o.Known, o.Drawing, rand.New(rand.NewPCG(o.Seed, 5)).Float64)
		for range longRunParts {
			part := make([]int32, frames)
			for i := range part {
				if part[i] = g.Next(); ctx.Err() != nil {
					return
				}
			}
			select {
			case units <- part:
			case <-ctx.Done():
				return
			}
		}
	}()
	voice := wavenet.Voice{Drawing: wavenet.Drawing{Temperature: 1}, Uniform: rand.New(rand.NewPCG(o.Seed, 6)).Float64}
	if m.Voices != nil {
		voice.Global = m.Voices.Table.Value.Row(int(o.Speaker))
	}
	var entropies [][2]float64 // of the parts whose units are drawn
	samples, squares, left, second := make([]float32, c.hop()), 0.0, frames*c.hop(), 0
	activity := audio.NewActivity(rate)
	g := wavenet.NewSampler(m.Decoder, o.Precision).NewGenerator(voice, func(levels []int32) error {
		c.front.Samples(samples, levels)
		for _, x := range samples {
			squares += float64(x) * float64(x)
		}
		activity.Add(widen(samples))
		if left -= len(levels); left == 0 {
			n := len(r.Parts)
			part := LongRunPart{Until: float64((n+1)*frames*c.hop()) / float64(rate), Entropy: entropies[n][0], Pairwise: entropies[n][1]}
			part.Level = 10 * math.Log10(max(silence, squares/float64(frames*c.hop())))
			quiet, all := activity.Quiet(quietLevel(m.Config.Level))
			part.Pauses = float64(quiet) / float64(max(1, all))
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			part.Memory = float64(memory.Sys-memory.HeapReleased) / 1e6
			r.Parts = append(r.Parts, part)
			squares, left, activity = 0, frames*c.hop(), audio.NewActivity(rate)
		}
		if now := int(r.Seconds * (float64(len(r.Parts)) + 1 - float64(left)/float64(frames*c.hop())) / longRunParts); now > second {
			second = now
			o.Progress.tell("generating", "s", second, int(math.Ceil(r.Seconds)))
		}
		return ctx.Err()
	})
	a := new(tensor.Arena)
	for part := range units {
		counts := prior.Count(c.entries(), []prior.Utterance{{Codes: part}})
		entropies = append(entropies, [2]float64{counts.Entropy(), counts.ConditionalEntropy()})
		for block := range slices.Chunk(part, 256) {
			if err := g.Write(m.Quantiser.Embed(a, block).Data); err != nil {
				return LongRunReport{}, err
			}
			a.Reset()
		}
	}
	if err := ctx.Err(); err != nil {
		return LongRunReport{}, err
	}
	return r, g.Close()
}
