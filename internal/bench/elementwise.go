package bench

import (
	"fmt"
	"time"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// hot is a job over blocks that stay in the second-level cache, as the layers use these kernels: right after the
// convolution that made the block. Each thread has a block of its own, prepared by block, and runs the function that it
// returns again and again, for about a millisecond; work is that of one run.
func hot(work int, block func() func()) maker {
	return func(threads int) job {
		run := make([]func(), threads)
		for i := range run {
			run[i] = block()
		}
		run[0]()
		start := now()
		run[0]()
		runs := 1 + int(time.Millisecond/(now().Sub(start)+1))
		items := make(functions, threads)
		for i, f := range run {
			items[i] = func() {
				for range runs {
					f()
				}
			}
		}
		return job{Task: items, items: threads, work: float64(work) * float64(runs) * float64(threads)}
	}
}

// functions is a task whose items are functions.
type functions []func()

func (f functions) Run(item int) { f[item]() }

// elementwise: shapes are channels x time steps of a block; an element is one of the output (of ReLU, the gate), of the
// logits, or of the parameters.
func elementwise() []Benchmark {
	var all []Benchmark
	add := func(name, shape string, job, bound maker, boundName string) {
		all = append(all, Benchmark{
			Name: name, Shape: shape, DType: "f32", ISA: vectorISA(), unit: nsPerNumber,
			job: job, bound: bound, boundName: boundName,
		})
	}
	const rows = 252
	for _, channels := range []int{64, 256} {
		n, shape := rows*channels, fmt.Sprintf("%dx%d", channels, rows)
		// Each output takes two exponentials.
		bound, boundName := hot(n, sumExp(2*n)), "2 x exp-sum"
		add("gate-forward", shape, hot(n, func() func() {
			ab, y := scaled(floats(2*n), 4), make([]float32, n)
			return func() { kernel.GateForward(y, channels, ab, 2*channels, rows, channels) }
		}), bound, boundName)
		add("gate-exact", shape, hot(n, func() func() {
			ab, y := scaled(floats(2*n), 4), make([]float32, n)
			return func() { kernel.GateExact(y, channels, ab, 2*channels, rows, channels) }
		}), bound, boundName)
		add("gate-backward", shape, hot(n, func() func() {
			ab, dy, dab := scaled(floats(2*n), 4), floats(n), make([]float32, 2*n)
			return func() {
				kernel.GateBackward(dab, 2*channels, ab, 2*channels, dy, channels, rows, channels)
			}
		}), bound, boundName)
	}
	const n = 256 * rows
	shape := fmt.Sprintf("256x%d", rows)
	add("relu", shape, hot(n, func() func() {
		x, y := floats(n), make([]float32, n)
		return func() { kernel.ReLU(y, x) }
	}), hot(n, copying(n)), "copy")
	add("exp-sum", shape, hot(n, sumExp(n)), nil, "")
	add("softmax-xent", shape, hot(n, func() func() {
		logits, dlogits := scaled(floats(n), 4), make([]float32, n)
		nll, targets := make([]float32, rows), make([]int32, rows)
		for r := range targets {
			targets[r] = int32(r)
		}
		return func() {
			kernel.SoftmaxCrossEntropy(nll, dlogits, logits, 256, targets, rows, 256, 1./rows)
		}
	}), hot(n, sumExp(2*n)), "2 x exp-sum")
	// The weights, gradients and moments of a model of a million parameters: beyond the second-level cache. An update
	// reads four numbers and writes three of them; it cannot be faster than reading them.
	const parameters = 1 << 20
	add("adam", fmt.Sprint(parameters), func(threads int) job {
		n := parameters / threads
		return hot(n, func() func() {
			w, g, m, v := floats(n), floats(n), make([]float32, n), make([]float32, n)
			step := kernel.AdamStep{
				LearningRate: 1e-9, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Correction1: 10, Correction2: 1000,
			}
			return func() { kernel.AdamUpdate(w, g, m, v, step) }
		})(threads)
	}, func(threads int) job {
		return hot(parameters/threads, reading(4*4*(parameters/threads)))(threads)
	}, "read bandwidth")
	return all
}

// sumExp sums n exponentials.
func sumExp(n int) func() func() {
	return func() func() {
		x := scaled(floats(n), 4)
		return func() { kernel.SumExp(x, 1) }
	}
}

// copying copies n numbers.
func copying(n int) func() func() {
	return func() func() {
		from, to := floats(n), make([]float32, n)
		return func() { copy(to, from) }
	}
}

// scaled multiplies x by a, and returns it.
func scaled(x []float32, a float32) []float32 {
	for i := range x {
		x[i] *= a
	}
	return x
}
