package vqvae_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// config is a model too small for speech.
var config = vqvae.Config{
	Rate: 16000, Levels: 16,
	Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{16, 16}, Strides: []int{2, 2}},
	Bottleneck: vqvae.BottleneckConfig{
		Kind: vqvae.VQ, Dim: 16, Entries: 8, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99, Dead: 0.03,
	},
	Decoder: vqvae.DecoderConfig{Residual: 16, Skip: 16, Layers: 3, Cycles: 1, Speaker: 4},
}

// sawtooth returns size sequences of n levels. (Package frontend makes batches of sound.)
func sawtooth(size, n int) vqvae.Batch {
	b := vqvae.Batch{Levels: make([]int32, size*n), Input: tensor.New(size, n, 1), Size: size, Speakers: make([]int32, size)}
	for i := range b.Levels {
		b.Levels[i] = int32((i * (1 + i/n)) % 16)
		b.Input.Data[i] = float32(b.Levels[i])/7.5 - 1
	}
	return b
}

// A model learns two waveforms.
func Example() {
	src := rand.NewPCG(1, 2) // all that is random
	model, err := vqvae.New(config, []string{"ada", "bob"}, dilated.Float32, src)
	if err != nil {
		fmt.Println(err)
		return
	}
	arena, batch := new(tensor.Arena), sawtooth(2, 64)
	if err := model.InitialiseCodebooks(arena, []vqvae.Batch{batch}, src); err != nil {
		fmt.Println(err)
		return
	}
	parameters := model.Parameters()
	optimiser := nn.NewAdam(parameters)
	var first, last float64
	for step := range 60 {
		arena.Reset()
		parameters.ZeroGrad()
		losses := model.Step(arena, batch, src)
		optimiser.Step(0.01)
		model.Update(src)
		if last = losses.NLL; step == 0 {
			first = last
		}
	}
	fmt.Println(len(model.Codes(arena, batch.Input)), "codes")
	fmt.Println("learnt:", last < first/4)
	// Output:
	// 32 codes
	// learnt: true
}

// An input of any length is encoded piece by piece.
func ExampleStream() {
	model, err := vqvae.New(config, []string{"ada"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	input := sawtooth(1, 1000).Input.Data
	stream := vqvae.NewStream(model)
	codes := append([]int32{}, stream.Write(input[:300]).Codes...)
	codes = append(codes, stream.Write(input[300:]).Codes...)
	codes = append(codes, stream.Close().Codes...)
	fmt.Println(len(codes), "codes, one for every", config.Hop(), "samples")
	// Output: 250 codes, one for every 4 samples
}

// A model of pictures makes a map of codes of each, and pictures of codes.
func Example_pictures() {
	c := vqvae.Config{
		Image:      &vqvae.ImageConfig{Height: 16, Width: 24, Channels: 3, Layers: []int{16, 16}, Blocks: 1, Hidden: 16, Mixture: 2},
		Bottleneck: config.Bottleneck,
	}
	model, err := vqvae.New(c, nil, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	arena, pictures := new(tensor.Arena), tensor.New(2, 16, 24, 3) // from -1 to 1
	codes := model.Codes(arena, pictures)
	height, width := c.Image.Map()
	fmt.Println(len(codes), "codes of two pictures, a map of", height, "x", width, "each")
	levels := model.Picture(arena, model.Embed(arena, codes, 2))
	fmt.Println(len(levels), "levels")
	// Output:
	// 48 codes of two pictures, a map of 4 x 6 each
	// 2304 levels
}
