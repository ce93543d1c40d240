package evaluate

import (
	"context"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Reconstruct draws the levels of sound [frames*hop] from vectors [frames, D], those that a model's bottleneck makes of a recording
// ([vqvae.Latent]) or its codes stand for, in the voice of a speaker: the recording's own, or another for a conversion. The speaker is not looked at by a model without speakers. The temperature is
// that of [wavenet.Sampler.Draw]. It returns an error if ctx is cancelled.
func Reconstruct(ctx context.Context, m *vqvae.Model, vectors tensor.Tensor, speaker int32, temperature float64, src rand.Source) ([]int32, error) {
	voice := wavenet.Voice{Drawing: wavenet.Drawing{Temperature: temperature}, Uniform: rand.New(src).Float64}
	if m.Voices != nil {
		voice.Global = m.Voices.Table.Value.Row(int(speaker))
	}
	levels := make([]int32, 0, vectors.Rows()*m.Config.Hop())
	g := wavenet.NewSampler(m.Decoder, wavenet.Float32).NewGenerator(voice, func(steps []int32) error {
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
