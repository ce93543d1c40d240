package checkpoint_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/vqvae"
)

// A model is saved, and loaded again.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	config := vqvae.Config{
		Rate: 16000, Levels: 256,
		Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{8, 8}, Strides: []int{8, 8}},
		Bottleneck: vqvae.BottleneckConfig{
			Kind: vqvae.VQ, Dim: 8, Entries: 16, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
		},
		Decoder: vqvae.DecoderConfig{Residual: 8, Skip: 8, Layers: 4, Cycles: 1, Speaker: 4},
	}
	model, err := vqvae.New(config, []string{"p225", "p226"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	name := filepath.Join(dir, "model.safetensors")
	if err := checkpoint.Save(name, &checkpoint.File{Model: model}); err != nil {
		fmt.Println(err)
		return
	}
	file, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(file.Model.Speakers.Names(), checkpoint.Fingerprint(file.Model) == checkpoint.Fingerprint(model))
	// Output: [p225 p226] true
}
