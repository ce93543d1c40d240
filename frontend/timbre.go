package frontend

import (
	"slices"

	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Timbre returns the timbre of a voice by clips of it, samples from -1 to 1 at the rate of a model whose front end f is: see
// [vqvae.Model.MeasureTimbre].
func (f *Frontend) Timbre(m *vqvae.Model, clips ...[]float32) vqvae.Timbre {
	inputs, s, samples := make([]tensor.Tensor, 0, len(clips)), f.NewStream(), []float64(nil)
	for _, clip := range clips {
		if len(clip) == 0 {
			continue
		}
		samples = samples[:0]
		for _, x := range clip {
			samples = append(samples, float64(x))
		}
		features := slices.Clone(s.Write(samples))
		features = append(features, s.Close()...)
		channels := f.config.Encoder.InputChannels()
		inputs = append(inputs, tensor.From(features, 1, len(features)/channels, channels))
	}
	return m.MeasureTimbre(inputs)
}
