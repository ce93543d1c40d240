package frontend

import (
	"slices"

	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Timbre returns the timbre of a voice by clips of it, samples from -1 to 1 at the rate of a model whose front end f is: see
// [vqvae.Model.MeasureTimbre].
func (f *Frontend) Timbre(m *vqvae.Model, clips ...[]float64) vqvae.Timbre {
	inputs, s := make([]tensor.Tensor, 0, len(clips)), f.NewStream()
	for _, samples := range clips {
		if len(samples) == 0 {
			continue
		}
		features := slices.Clone(s.Write(samples))
		features = append(features, s.Close()...)
		channels := f.config.Encoder.InputChannels()
		inputs = append(inputs, tensor.From(features, 1, len(features)/channels, channels))
	}
	return m.MeasureTimbre(inputs)
}
