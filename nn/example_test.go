package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// A network that learns the exclusive or, with everything that a training loop does.
func Example() {
	src := rand.NewPCG(1, 2)
	hidden, output := nn.NewLinear(2, 16, src), nn.NewLinear(16, 2, src)
	ps := append(hidden.Parameters().Named("hidden"), output.Parameters().Named("output")...)
	adam := nn.NewAdam(ps)
	rate := nn.WarmUp(10, nn.Cosine(0.05, 0, 200))

	x := tensor.From([]float32{0, 0, 0, 1, 1, 0, 1, 1}, 4, 2)
	classes := []int32{0, 1, 1, 0}
	a := new(tensor.Arena)
	for step := range 200 {
		ps.ZeroGrad()
		h := nn.ReLU(a, hidden.Forward(a, x))
		logits := output.Forward(a, h)
		loss, dlogits := nn.CrossEntropy(a, logits, classes)

		dh := output.Backward(a, h, dlogits)
		hidden.Backward(a, x, nn.ReLUBackward(a, h, dh))
		if norm := nn.ClipGlobalNorm(ps, 1); math.IsNaN(norm) || math.IsInf(norm, 0) {
			continue
		}
		adam.Step(rate(step))
		a.Reset()
		if step == 199 {
			fmt.Println("learnt:", loss < 0.05)
		}
	}
	// Output: learnt: true
}

func ExampleParameters() {
	encoder := nn.NewLinear(3, 4, rand.NewPCG(1, 2))
	speakers := nn.NewEmbedding(10, 4, rand.NewPCG(3, 4))
	ps := append(encoder.Parameters().Named("encoder.0"), speakers.Parameters().Named("speakers")...)
	for _, p := range ps {
		fmt.Println(p.Name, p.Value)
	}
	fmt.Println(ps.Count(), "elements; names in order:", ps.CheckNames() == nil)
	// Output:
	// encoder.0.weight [3 4]
	// encoder.0.bias [4]
	// speakers.weight [10 4]
	// 56 elements; names in order: true
}

func ExampleLinear() {
	l := nn.NewLinear(2, 1, rand.NewPCG(1, 2))
	copy(l.Weight.Value.Data, []float32{10, 100})
	copy(l.Bias.Value.Data, []float32{5})
	a := new(tensor.Arena)
	x := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	fmt.Println(l.Forward(a, x).Data)

	dx := l.Backward(a, x, tensor.From([]float32{1, 1}, 2, 1))
	fmt.Println(dx.Data, l.Weight.Grad.Data, l.Bias.Grad.Data)
	// Output:
	// [215 435]
	// [10 100 10 100] [4 6] [2]
}

func ExampleEmbedding() {
	e := nn.NewEmbedding(3, 2, rand.NewPCG(1, 2))
	copy(e.Table.Value.Data, []float32{0, 1, 10, 11, 20, 21})
	y := e.Forward(new(tensor.Arena), []int32{2, 0})
	fmt.Println(y, y.Data)
	// Output: [2 2] [20 21 0 1]
}

func ExampleLogisticMixture() {
	sound := nn.LogisticMixture{Channels: 1, Levels: 65536, Mixtures: 1}
	// Logit 0, mean 0, log scale -5: a sample of 0.001 is likely, one of 0.5 is not.
	params := tensor.From([]float32{0, 0, -5}, 1, sound.Width())
	for _, x := range []float64{0.001, 0.5} {
		level := int32(math.Round((x + 1) / 2 * 65535))
		loss, _ := sound.Loss(new(tensor.Arena), params, []int32{level})
		fmt.Printf("%.1f bits\n", loss/math.Ln2)
	}
	// Output:
	// 9.8 bits
	// 114.8 bits
}

// Samples drawn from a mixture of two logistics: a fine one around -0.5, a broad one around 0.5.
func ExampleLogisticMixture_Draw() {
	sound := nn.LogisticMixture{Channels: 1, Levels: 65536, Mixtures: 2}
	params := []float32{0, 0, -0.5, 0.5, -6, -3}
	for _, uniform := range []float64{0.1, 0.25, 0.4, 0.6, 0.75, 0.9} {
		level := sound.Draw(params, 1, uniform)
		fmt.Printf("%.3f ", 2*float64(level)/65535-1)
	}
	// Output: -0.503 -0.500 -0.497 0.431 0.500 0.569
}

func ExampleSchedule() {
	rate := nn.WarmUp(2, nn.Cosine(0.001, 0, 4))
	for step := range 7 {
		fmt.Printf("%d %.6f\n", step, rate(step))
	}
	// Output:
	// 0 0.000500
	// 1 0.001000
	// 2 0.001000
	// 3 0.000854
	// 4 0.000500
	// 5 0.000146
	// 6 0.000000
}

func ExampleAverage() {
	w := nn.NewParameter("w", 1)
	average := nn.NewAverage(nn.Parameters{w}, 0.5)
	for range 3 {
		w.Value.Data[0]++
		average.Update() // with decays 1/10, 2/11, 3/12
	}
	average.SwapIn()
	fmt.Printf("evaluate with %.4f\n", w.Value.Data[0])
	average.SwapOut()
	fmt.Println("train on with", w.Value.Data[0])
	// Output:
	// evaluate with 2.7000
	// train on with 3
}
