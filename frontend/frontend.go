// Package frontend turns sound into what a model takes, and what it predicts into sound.
//
// A model takes two views of the same sound (vqvae.Batch). One is levels, which its decoder predicts: those of mu-law, or, with a
// mixture of logistics, the samples of 16 bits. The other is the input of its encoder, as its configuration wants it:
//
//	wave      the levels as numbers from -1 to 1                            [samples, 1]
//	log-mel   spectrum.LogMel with 80 bands                                 [samples/hop, 80], a hop of 10 ms
//	mfcc      spectrum.MFCC with differences and differences of those       [samples/hop, 39], a hop of 10 ms
//
// Sound is float samples from -1 to 1 at the model's rate. It is followed by silence up to a whole code. Before its first
// sample and after its last there is silence for the windows of spectra; differences take the first frame for those before it,
// and the last for those after. A training segment is analysed alone, without what stands around it in its recording.
package frontend

import (
	"errors"
	"fmt"

	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Frontend is that of a model. It may be used by several goroutines at once.
type Frontend struct {
	config   vqvae.Config
	law      law
	features features
	idle     parallel.Pool[analysis]
	scratch  parallel.Pool[[]float32] // samples of a sequence
}

// New returns the front end of models of the configuration, which has passed its Check. It returns an error if that is of
// pictures, or if there are no such features at the configuration's rate.
func New(c vqvae.Config) (*Frontend, error) {
	if c.Image != nil {
		return nil, errors.New("the model is one of pictures, not of sound")
	}
	f := &Frontend{config: c, law: lawOf(c), features: featuresOf(c)}
	if c.Encoder.Input == vqvae.Wave {
		return f, nil
	}
	if _, err := spectrum.New(f.features.spectrum); err != nil {
		return nil, fmt.Errorf("encoder input %q at %d Hz: %w", c.Encoder.Input, c.Rate, err)
	}
	return f, nil
}

// NewBatch returns room for size sequences of at least so many samples: of the next multiple of the model's hop.
func (f *Frontend) NewBatch(size, samples int) vqvae.Batch {
	hop := f.config.Hop()
	n := (samples + hop - 1) / hop * hop
	return vqvae.Batch{
		Levels: make([]int32, size*n), Size: size, Speakers: make([]int32, size),
		Input: tensor.New(size, n/f.config.InputHop(), f.config.Encoder.InputChannels()),
	}
}

// Fill makes levels and input of b from samples [Size, n], sequence by sequence on all cores. Silence follows each sequence that
// is shorter than those of b. Once each core has done one, it allocates nothing.
func (f *Frontend) Fill(b *vqvae.Batch, samples []float32) {
	if b.Size < 1 || len(samples)%b.Size != 0 || len(samples) > len(b.Levels) {
		panic(fmt.Sprintf("frontend: %d samples for a batch of %d with %d levels", len(samples), b.Size, len(b.Levels)))
	}
	parallel.RunCopy(&fills, b.Size, fill{f, *b, samples})
}

// fill makes the sequence of each item.
type fill struct {
	*Frontend
	b       vqvae.Batch
	samples []float32
}

var fills parallel.Pool[fill]

func (t *fill) Run(item int) {
	n, length := len(t.samples)/t.b.Size, len(t.b.Levels)/t.b.Size
	samples := t.samples[item*n : (item+1)*n]
	levels := t.b.Levels[item*length : (item+1)*length]
	t.law.EncodeAll(levels[:n], samples)
	for i := n; i < length; i++ {
		levels[i] = t.law.Encode(0)
	}
	size := t.b.Input.Len() / t.b.Size
	input := t.b.Input.Data[item*size : (item+1)*size]
	if t.config.Encoder.Input == vqvae.Wave {
		t.numbers(input, levels)
		return
	}
	a := t.analysis()
	a.samples = a.samples[:0]
	for _, x := range samples {
		a.samples = append(a.samples, float64(x))
	}
	for range length - n {
		a.samples = append(a.samples, 0)
	}
	a.compute(input, a.samples)
	t.idle.Put(a)
}

// numbers writes levels as numbers from -1 to 1.
func (f *Frontend) numbers(x []float32, levels []int32) {
	step := float32(2 / float64(f.config.Levels-1))
	for i, l := range levels {
		x[i] = float32(float32(l)*step) - 1
	}
}

// Samples makes sound of levels, as many samples.
func (f *Frontend) Samples(samples []float32, levels []int32) { f.law.DecodeAll(samples, levels) }

// ReceptiveField is the number of samples that a code of the model depends on.
func ReceptiveField(c vqvae.Config) int {
	steps := c.Encoder.Stack().ReceptiveField()
	if c.Encoder.Input == vqvae.Wave {
		return steps
	}
	f := featuresOf(c)
	before, after := f.reach()
	return (steps-1+2*c.Encoder.Centre)*f.spectrum.Hop + before + after
}
