package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// coder turns sound into the codes of a model, and back. It may be used by several goroutines at once.
type coder struct {
	model *vqvae.Model
	front *frontend.Frontend
	voice *Reconstruction
}

func newCoder(m *vqvae.Model) (*coder, error) {
	if m.Quantiser == nil {
		return nil, fmt.Errorf("the model has no codes: its bottleneck is %q", m.Config.Bottleneck.Kind)
	}
	front, err := frontend.New(m.Config)
	if err != nil {
		return nil, err
	}
	return &coder{m, front, NewReconstruction(m)}, nil
}

// adapted returns a coder that hears the timbre from as the timbre to.
func (c *coder) adapted(from, to vqvae.Timbre) *coder {
	return &coder{c.model.Adapted(from, to), c.front, c.voice}
}

// hop is the number of samples of a frame.
func (c *coder) hop() int { return c.model.Config.Hop() }

// entries is the number of different codes.
func (c *coder) entries() int { return c.model.Config.Bottleneck.Codes() }

// codes returns the codes of sound, one for each hop that has begun.
func (c *coder) codes(samples []float32) []int32 {
	const block = 1 << 15
	encoder, codes := frontend.NewEncoder(c.front, c.model), []int32(nil)
	for len(samples) > 0 {
		n := min(block, len(samples))
		codes = append(codes, encoder.Write(widen(samples[:n])).Codes...)
		samples = samples[n:]
	}
	return append(codes, encoder.Close().Codes...)
}

// speak returns the sound that the model makes of codes in a voice, len(codes)*hop samples.
func (c *coder) speak(ctx context.Context, codes []int32, speaker int32, temperature float64, src rand.Source) ([]float32, error) {
	levels, err := c.voice.Draw(ctx, c.model.Quantiser.Embed(new(tensor.Arena), codes), speaker, temperature, src)
	if err != nil {
		return nil, err
	}
	samples := make([]float32, len(levels))
	c.front.Samples(samples, levels)
	return samples, nil
}
