package wavenet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/wavenet"
)

// A net learns to predict each step of a sequence from the steps before it.
func ExampleNet() {
	src := rand.NewPCG(1, 2)
	net := wavenet.New(wavenet.Config{Classes: 8, Residual: 16, Skip: 16, Layers: 3, Cycles: 1}, dilated.Float32, src)
	fmt.Println(net.Parameters().Count(), "parameters, a receptive field of", net.Config.ReceptiveField(), "steps")

	in := wavenet.Input{Batch: 1}
	for range 10 {
		in.Steps = append(in.Steps, 3, 1, 4, 1, 5, 2) // what follows 1 depends on what stood before it
	}
	adam, a := nn.NewAdam(net.Parameters()), new(tensor.Arena)
	for range 50 {
		net.Parameters().ZeroGrad()
		net.LossGradient(a, in)
		adam.Step(0.01)
		a.Reset()
	}
	fmt.Println("learnt:", net.Loss(a, in) < 0.1)
	logits := net.Logits(a, in)
	for step := 30; step < 36; step++ { // the likeliest class
		row := logits.Row(step)
		fmt.Print(slices.Index(row, slices.Max(row)), " ")
	}
	// Output:
	// 5000 parameters, a receptive field of 8 steps
	// learnt: true
	// 3 1 4 1 5 2
}

// A generator draws a sequence under a condition that comes piece by piece.
func ExampleGenerator() {
	net := wavenet.New(wavenet.Config{Classes: 256, Residual: 16, Skip: 16, Layers: 5, Cycles: 1, Local: 4, Hop: 64}, dilated.Float32, rand.NewPCG(1, 2))

	draw := func(seed uint64) (steps []int32) {
		voice := wavenet.Voice{Drawing: wavenet.Drawing{Temperature: 0.9}, Uniform: rand.New(rand.NewPCG(seed, 0)).Float64}
		g := wavenet.NewSampler(net, wavenet.Float32).NewGenerator(voice, func(frame []int32) error {
			steps = append(steps, frame...)
			return nil
		})
		for range 10 {
			if err := g.Write([]float32{0.5, -1, 0, 2}); err != nil { // a frame of the condition, for 64 steps
				fmt.Println(err)
			}
		}
		if err := g.Close(); err != nil {
			fmt.Println(err)
		}
		return steps
	}
	a, b := draw(1), draw(1)
	fmt.Println(len(a), "steps")
	fmt.Println("the same from the same random numbers:", fmt.Sprint(a) == fmt.Sprint(b))
	// Output:
	// 640 steps
	// the same from the same random numbers: true
}

// A sampler draws step by step, here without any condition.
func ExampleSampler() {
	net := wavenet.New(wavenet.Config{Classes: 8, Residual: 4, Skip: 4, Layers: 3, Cycles: 1}, dilated.Float32, rand.NewPCG(1, 2))
	sampler, r := wavenet.NewSampler(net, wavenet.Float32), rand.New(rand.NewPCG(3, 4))
	step, drawn := net.First(), 0
	sampler.Frame(net.Bias.Value.Data)
	for range 100 {
		logits := sampler.Step(step)
		step = sampler.Draw(logits, wavenet.Drawing{Temperature: 1}, r.Float64())
		drawn++
	}
	fmt.Println(drawn, "steps")
	// Output:
	// 100 steps
}
