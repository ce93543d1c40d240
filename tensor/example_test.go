package tensor_test

import (
	"fmt"

	"github.com/vqaudio/vqaudio/tensor"
)

func ExampleTensor() {
	x := tensor.New(2, 3, 4) // 2 pieces of 3 time steps, 4 channels
	x.Row(4)[1] = 0.5        // piece 1, time 1, channel 1
	fmt.Println(x, x.Rows(), x.Channels(), x.Len())
	fmt.Println(x.Reshape(6, 4).Row(4))
	// Output:
	// [2 3 4] 6 4 24
	// [0 0.5 0 0]
}

func ExampleFrom() {
	samples := []float32{0.1, 0.2, 0.3, 0.4}
	x := tensor.From(samples, 1, 4, 1)
	fmt.Println(x, x.Data)
	// Output: [1 4 1] [0.1 0.2 0.3 0.4]
}

func ExampleArena() {
	a := new(tensor.Arena)
	for step := range 3 {
		y := a.Zeros(100, 64) // lives until Reset
		before := a.Mark()
		scratch := a.Floats(6400) // lives until Release
		copy(scratch, y.Data)
		a.Release(before)
		a.Reset()
		fmt.Println("step", step, "holds", a.Bytes(), "bytes")
	}
	// Output:
	// step 0 holds 65536 bytes
	// step 1 holds 65536 bytes
	// step 2 holds 65536 bytes
}
