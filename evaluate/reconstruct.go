package evaluate

import (
	"context"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Reconstruction draws what a model makes of vectors, in float32. It may be used by several goroutines at once.
type Reconstruction struct {
	model   *vqvae.Model
	weights *wavenet.Sampler // which those of all sequences share
}

// NewReconstruction returns one with the weights as they are now.
func NewReconstruction(m *vqvae.Model) *Reconstruction {
	return &Reconstruction{m, wavenet.NewSampler(m.Decoder, wavenet.Float32)}
}

// Draw draws the levels of sound [frames*hop] from vectors [frames, D], those that the model's bottleneck makes of a recording
// ([vqvae.Latent]) or its codes stand for, in the voice of a speaker: the recording's own, or another for a conversion. The speaker is not looked at by
// a model without speakers. The temperature is that of [wavenet.Drawing]. It returns an error if ctx is cancelled.
func (r *Reconstruction) Draw(ctx context.Context, vectors tensor.Tensor, speaker int32, temperature float64, src rand.Source) ([]int32, error) {
	voice := wavenet.Voice{Drawing: wavenet.Drawing{Temperature: temperature}, Uniform: rand.New(src).Float64}
	if r.model.Voices != nil {
		voice.Global = r.model.Voices.Table.Value.Row(int(speaker))
	}
	levels := make([]int32, 0, vectors.Rows()*r.model.Config.Hop())
	g := r.weights.Another().NewGenerator(voice, func(steps []int32) error {
		levels = append(levels, steps...)
		return ctx.Err()
	})
	if err := g.Write(vectors.Data); err != nil {
		return nil, err
	}
	if err := g.Close(); err != nil {
		return nil, err
	}
	return levels, nil
}
