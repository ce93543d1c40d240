package main

import (
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/vqvae"
)

// savePriors saves priors over the units of a model, in the files prior and other.
func savePriors(t *testing.T, m *vqvae.Model) {
	t.Helper()
	for i, name := range []string{"prior", "other"} {
		c, err := prior.Config{Residual: 8, Skip: 8, Layers: 3, Cycles: 1, Speaker: 4 * i}.For(m.Config, checkpoint.Fingerprint(m))
		if err != nil {
			t.Fatal(err)
		}
		var speakers []string
		if i > 0 {
			speakers = []string{"ann", "bob"}
		}
		p, err := prior.New(c, speakers, dilated.Float32, rand.NewPCG(uint64(i), 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range p.Parameters() {
			for i := range p.Value.Data {
				p.Value.Data[i] *= 3
			}
		}
		if err := checkpoint.SavePrior(name, &checkpoint.Prior{Prior: p}); err != nil {
			t.Fatal(err)
		}
	}
}
