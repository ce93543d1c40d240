package enrol_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/enrol"
	"github.com/vqaudio/vqaudio/vqvae"
)

func ExampleFit() {
	model, err := vqvae.New(vqvae.Config{
		Rate: 8000, Levels: 256,
		Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{8, 8}, Strides: []int{4, 8}},
		Bottleneck: vqvae.BottleneckConfig{Kind: vqvae.VQ, Entries: 16, Dim: 4, Distance: vqvae.Euclidean, Groups: 1, Stages: 1,
			Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99},
		Decoder: vqvae.DecoderConfig{Residual: 8, Skip: 8, Layers: 4, Cycles: 1, Speaker: 4},
	}, []string{"ann", "bob"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	clip := make([]float32, 4*8000) // in the place of a recording
	for i := range clip {
		clip[i] = float32(0.1 * math.Sin(float64(i)/5))
	}

	vector, report, err := enrol.Fit(context.Background(), model, [][]float32{clip}, enrol.Options{Steps: 50})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("fitted on %.1f s, %.1f s held out; a gain: %v\n", report.Fitted, report.HeldOut, report.Gain > 0)

	more, err := model.WithVoice("zoe", vector, vqvae.Timbre{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(more.Speakers.Names(), model.Speakers.Names())
	// Output:
	// fitted on 3.2 s, 0.8 s held out; a gain: true
	// [ann bob zoe] [ann bob]
}
