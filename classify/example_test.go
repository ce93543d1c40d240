package classify_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/classify"
	"github.com/vqaudio/vqaudio/tensor"
)

// Two classes of code sequences: 0 1 2 0 1 2 ..., and the same backwards.
func Example() {
	examples := []classify.Example{
		{Codes: []int32{0, 1, 2, 0, 1, 2, 0, 1, 2, 0}, Class: 0},
		{Codes: []int32{2, 1, 0, 2, 1, 0, 2, 1, 0, 2}, Class: 1},
	}
	net := classify.New(classify.Config{
		Classes: 2, Width: 1, Entries: 3, Embedding: 4, Channels: 8, Kernels: []int{3}, Dilations: []int{1}, Hidden: 8,
	}, rand.NewPCG(1, 1))
	training := classify.Training{Steps: 60, Batch: 8, Shortest: 4, Longest: 6, Rate: 1e-2, Seed: 1}
	if err := net.Train(context.Background(), examples, training); err != nil {
		fmt.Println(err)
		return
	}
	logits := net.Logits(new(tensor.Arena), classify.Batch{Codes: []int32{1, 0, 2, 1, 0}, Lengths: []int{5}})
	fmt.Println("1 0 2 1 0 is of class", classify.Best(logits.Row(0)))
	// Output:
	// 1 0 2 1 0 is of class 1
}
