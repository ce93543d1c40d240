package codes_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/codes"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/vqvae"
)

// A corpus is encoded once; the second time its codes come from the file.
func ExampleOf() {
	samples := make([]int16, 8000)
	for t := range samples {
		samples[t] = int16(8000 * math.Sin(0.05*float64(t)))
	}
	cache := corpora.NewCache(16000, []corpora.Utterance{{Path: "1.wav", Speaker: "ann", Split: corpora.Train}}, [][]int16{samples})
	model, err := vqvae.New(vqvae.Config{
		Rate: 16000, Levels: 256,
		Encoder:    vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{8, 8}, Strides: []int{8, 8}},
		Bottleneck: vqvae.BottleneckConfig{Kind: vqvae.VQ, Dim: 4, Entries: 16, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Decay: 0.99},
		Decoder:    vqvae.DecoderConfig{Residual: 8, Skip: 8, Layers: 2, Cycles: 1},
	}, nil, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "codes")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for range 2 {
		all, err := codes.Of(context.Background(), filepath.Join(dir, "codes.safetensors"), model, "0123456789abcdef", cache, nil, func(done, total int) {
			fmt.Println("encoded", done, "of", total)
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(all), "utterance of", len(all[0]), "codes")
	}
	// Output:
	// encoded 1 of 1
	// 1 utterance of 125 codes
	// 1 utterance of 125 codes
}
