package frontend_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/vqvae"
)

// config is a model of MFCC, too small for speech: 50 codes a second.
var config = vqvae.Config{
	Rate: 16000, Levels: 256,
	Encoder: vqvae.EncoderConfig{Input: vqvae.MFCC, Channels: []int{16, 16}, Strides: []int{1, 2}},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 16, Entries: 8, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
	},
	Decoder: vqvae.DecoderConfig{Residual: 16, Skip: 16, Layers: 3, Cycles: 1},
}

// A batch of two segments of a second.
func ExampleFrontend_Fill() {
	front, err := frontend.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	samples := make([]float32, 2*16000)
	batch := front.NewBatch(2, 16000)
	front.Fill(&batch, samples)
	fmt.Println(len(batch.Levels), "levels, input of shape", batch.Input)
	// Output: 32000 levels, input of shape [2 100 39]
}

// Sound of any length is encoded piece by piece.
func ExampleEncoder() {
	front, err := frontend.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	model, err := vqvae.New(config, nil, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	encoder, codes := frontend.NewEncoder(front, model), 0
	for range 10 {
		codes += len(encoder.Write(make([]float64, 1601)).Codes)
	}
	codes += len(encoder.Close().Codes)
	fmt.Println(codes, "codes")
	// Output: 51 codes
}
