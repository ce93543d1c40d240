package main

import (
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/compress"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// savePriors makes priors over the units of a model, under the names prior and other.
func savePriors(t *testing.T, m *vqvae.Model) {
	t.Helper()
	before := compressionPrior
	t.Cleanup(func() { compressionPrior = before })
	compressionPrior = func(name string) (compress.Prior, string, error) {
		if name != "prior" && name != "other" {
			return before(name)
		}
		n := wavenet.New(wavenet.Config{Classes: 16, Residual: 8, Skip: 8, Layers: 3, Cycles: 1}, dilated.Float32, rand.NewPCG(uint64(len(name)), 1))
		for _, p := range n.Parameters() {
			for i := range p.Value.Data {
				p.Value.Data[i] *= 3
			}
		}
		return compress.Prior{Net: n, Fingerprint: map[string]string{"prior": "0000000000000001", "other": "0000000000000002"}[name],
			Info: units.Info{Rate: 8000, Hop: 16, K: 16, Model: checkpoint.Fingerprint(m)}}, name, nil
	}
}
