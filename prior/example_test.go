package prior_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/wavenet"
)

// A prior learns codes that follow a pattern, and goes on with them. (Package train does all that, with files, for a corpus.)
func Example() {
	config := prior.Config{Model: "0123456789abcdef", Rate: 16000, Hop: 64, Codes: 8, Residual: 16, Skip: 16, Layers: 3, Cycles: 1, Speaker: 4}
	p, err := prior.New(config, []string{"ann", "bob"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		fmt.Println(err)
		return
	}
	ann, bob := prior.Utterance{Speaker: 0}, prior.Utterance{Speaker: 1}
	for i := range int32(200) {
		ann.Codes, bob.Codes = append(ann.Codes, i%8), append(bob.Codes, 7-i%8) // ann counts up, bob down
	}
	sampler, err := prior.NewSampler([]prior.Utterance{ann, bob}, prior.SamplerConfig{Length: 100, Batch: 2, Nobody: p.Nobody()})
	if err != nil {
		fmt.Println(err)
		return
	}
	adam, arena := nn.NewAdam(p.Parameters()), new(tensor.Arena)
	for range 60 {
		p.Parameters().ZeroGrad()
		p.LossGradient(arena, sampler.Next())
		adam.Step(0.01)
		arena.Reset()
	}
	report, err := prior.Measure(context.Background(), p, []prior.Utterance{ann, bob}, arena, nil)
	fmt.Println(report.Codes, "codes, learnt:", report.Prior < 0.2, err)

	draw, code := wavenet.NewSampler(p.Net, wavenet.Float32), p.Net.First()
	draw.Frame(p.Condition(1))              // in the voice of bob
	for _, next := range []int32{3, 2, 1} { // go on from these
		draw.Step(code)
		code = next
	}
	for range 10 {
		code = draw.Draw(draw.Step(code), wavenet.Drawing{}, 0) // the likeliest
		fmt.Print(code, " ")
	}
	// Output:
	// 400 codes, learnt: true <nil>
	// 0 7 6 5 4 3 2 1 0 7
}
