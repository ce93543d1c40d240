package vqvae

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// paper is the encoder and the codebook of the paper, as in package train's presets.
func paper() Config {
	c := tiny()
	c.Levels = 256
	c.Encoder = EncoderConfig{Input: Wave, Channels: []int{128, 128, 128, 256, 256, 256}, Strides: []int{2, 2, 2, 2, 2, 2}}
	c.Bottleneck.Entries, c.Bottleneck.Dim = 512, 64
	return c
}

// BenchmarkEncoder is the part of encoder and quantiser in a training step of 4 times 8192 samples.
func BenchmarkEncoder(b *testing.B) {
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(1)
	for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
		b.Run(fmt.Sprintf("precision%d", precision), func(b *testing.B) {
			m, err := New(paper(), []string{"a"}, precision, rand.NewPCG(1, 2))
			if err != nil {
				b.Fatal(err)
			}
			batch := noise(m.Config, 4, 128, 1)
			a := new(tensor.Arena)
			for b.Loop() {
				a.Reset()
				z, saved := m.Encoder.Forward(a, batch.Input)
				v := m.Bottleneck.Forward(a, z, nil)
				dz := m.Bottleneck.Backward(a, z, v, a.Zeros(z.Shape()...))
				nn.Normal(dz, 1, rand.NewPCG(1, 2))
				m.Encoder.Backward(a, saved, dz)
				m.Bottleneck.Keep(v)
				m.Update(rand.NewPCG(1, 2))
			}
		})
	}
}

// BenchmarkStream reports how many times faster than real time, at 16 kHz, a stream encodes on one core.
func BenchmarkStream(b *testing.B) {
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(1)
	for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
		b.Run(fmt.Sprintf("precision%d", precision), func(b *testing.B) {
			m, err := New(paper(), []string{"a"}, precision, rand.NewPCG(1, 2))
			if err != nil {
				b.Fatal(err)
			}
			piece := noise(m.Config, 1, 64, 1).Input.Data
			s := NewStream(m)
			n := 0
			for b.Loop() {
				s.Write(piece)
				n += len(piece)
			}
			b.ReportMetric(float64(n)/16000/b.Elapsed().Seconds(), "real-time")
		})
	}
}
