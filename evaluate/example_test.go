package evaluate_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/vqvae"
)

func ExampleNLL() {
	config := vqvae.Config{
		Rate: 8000, Levels: 256,
		Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{8}, Strides: []int{10}},
		Bottleneck: vqvae.BottleneckConfig{
			Kind: vqvae.VQ, Dim: 4, Entries: 16, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
		},
		Decoder: vqvae.DecoderConfig{Residual: 4, Skip: 8, Layers: 3, Cycles: 1, Speaker: 2},
	}
	model, err := vqvae.New(config, []string{"ann", "bob"}, dilated.Float32, rand.NewPCG(1, 1))
	if err != nil {
		fmt.Println(err)
		return
	}
	utterances := []corpora.Utterance{{Path: "a.wav", Speaker: "ann", Split: corpora.Valid}, {Path: "b.wav", Speaker: "bob", Split: corpora.Valid}}
	cache := corpora.NewCache(8000, utterances, [][]int16{make([]int16, 1200), make([]int16, 900)})

	report, err := evaluate.NLL(context.Background(), model, cache, evaluate.Options{Split: corpora.Valid, Crop: 400, Batch: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d crops of %d samples\n", report.Crops, report.Crop)
	fmt.Printf("%d of %d codes used, %.0f codes a second\n", report.Used, report.Entries, report.Rate)
	fmt.Println("codes of other silence are as good:", report.True == report.Shuffled)
	// Output:
	// 4 crops of 400 samples
	// 1 of 16 codes used, 800 codes a second
	// codes of other silence are as good: true
}
