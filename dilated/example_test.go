package dilated_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
)

// A causal stack of WaveNet: ten layers of doubling dilation, three times over.
func ExampleStack_ReceptiveField() {
	var stack dilated.Stack
	for range 3 {
		for i := range 10 {
			stack = append(stack, dilated.Axis{Kernel: 2, Dilation: 1 << i, Padding: dilated.Causal})
		}
	}
	fmt.Println(stack.ReceptiveField(), "samples,", float64(stack.ReceptiveField())/16000, "seconds at 16 kHz")
	fmt.Println("output of 8000 samples:", stack.Output(8000))
	// Output:
	// 3070 samples, 0.191875 seconds at 16 kHz
	// output of 8000 samples: 8000
}

// The speech encoder of the VQ-VAE: six convolutions with 4 taps and stride 2.
func ExampleStack_Output() {
	var encoder dilated.Stack
	for range 6 {
		encoder = append(encoder, dilated.Axis{Kernel: 4, Stride: 2, Padding: dilated.Same})
	}
	fmt.Println("one code for every", encoder.Stride(), "samples, which sees", encoder.ReceptiveField())
	fmt.Println("2.56 s at 16 kHz:", encoder.Output(40960), "codes")
	// Output:
	// one code for every 64 samples, which sees 190
	// 2.56 s at 16 kHz: 640 codes
}

// A difference of neighbours, which knows nothing of the future.
func ExampleConv() {
	c := dilated.NewConv(dilated.Config{
		In: 1, Out: 1,
		Width: dilated.Axis{Kernel: 2, Dilation: 1, Padding: dilated.Causal},
	}, rand.NewPCG(1, 2))
	copy(c.Weight.Value.Data, []float32{-1, 1}) // [taps, In, Out]

	x := tensor.From([]float32{1, 4, 9, 16, 25}, 1, 5, 1) // [B, T, C]
	fmt.Println(c.Forward(new(tensor.Arena), x).Data)
	// Output: [1 3 5 7 9]
}

// A PixelCNN's first layer sees the lines above and the pixels on the left, and not the pixel that it predicts.
func ExampleMask() {
	same := dilated.Axis{Kernel: 3, Padding: dilated.Same}
	c := dilated.NewConv(dilated.Config{In: 1, Out: 1, Height: same, Width: same, Mask: dilated.MaskA}, rand.NewPCG(1, 2))
	copy(c.Weight.Value.Data, []float32{1, 1, 1, 1}) // 4 of 9 taps are left

	x := tensor.From([]float32{
		1, 2, 3,
		10, 20, 30,
		100, 200, 300,
	}, 1, 3, 3, 1) // [B, H, W, C]
	y := c.Forward(new(tensor.Arena), x)
	for i := range 3 {
		fmt.Println(y.Data[3*i : 3*i+3])
	}
	// Output:
	// [0 1 2]
	// [3 16 25]
	// [30 160 250]
}

// A decoder doubles the length that its encoder halved.
func ExampleConfig_transposed() {
	half := dilated.Axis{Kernel: 4, Stride: 2, Padding: dilated.Same}
	a, src := new(tensor.Arena), rand.NewPCG(1, 2)
	down := dilated.NewConv(dilated.Config{In: 3, Out: 8, Height: half, Width: half}, src)
	up := dilated.NewConv(dilated.Config{In: 8, Out: 3, Height: half, Width: half, Transposed: true}, src)
	codes := down.Forward(a, tensor.New(1, 32, 32, 3))
	fmt.Println(codes, up.Forward(a, codes))
	// Output: [1 16 16 8] [1 32 32 3]
}
