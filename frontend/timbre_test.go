package frontend

import (
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// TestTimbre compares with the timbre of the input that Fill makes.
func TestTimbre(t *testing.T) {
	for _, input := range []string{vqvae.LogMel, vqvae.MFCC} {
		c := tiny(input)
		c.Decoder.Speaker = 2
		f := mustNew(t, c)
		m, err := vqvae.New(c, []string{"ann", "bob"}, dilated.Float32, rand.NewPCG(1, 2))
		if err != nil {
			t.Fatal(err)
		}
		var clips [][]float32
		var inputs []tensor.Tensor
		for i, n := range []int{4321, 0, 12, 30 * c.Hop()} {
			samples := noise(n, uint64(i))
			clips = append(clips, samples)
			if n > 0 {
				b := f.NewBatch(1, n)
				f.Fill(&b, samples)
				inputs = append(inputs, b.Input)
			}
		}
		got, want := f.Timbre(m, clips...), m.MeasureTimbre(inputs)
		if !same(got.Mean, want.Mean) || !same(got.Deviation, want.Deviation) || len(got.Mean) != c.Encoder.InputChannels() {
			t.Errorf("%s: %v, want %v", input, got, want)
		}
	}
}
