package kernel

import (
	"fmt"
	"testing"
)

// The benchmarks work on data that stays in the first-level cache, as the blocks of the layers above do in the second.

func BenchmarkGate(b *testing.B) {
	for _, n := range []int{32, 64, 256} {
		rows := 2048 / n
		r := newRand(1)
		ab, dab := normals(r, make([]float32, rows*2*n), 3), make([]float32, rows*2*n)
		y, dy := make([]float32, rows*n), normals(r, make([]float32, rows*n), 1)
		b.Run(fmt.Sprintf("forward/n=%d", n), func(b *testing.B) {
			forEachTier(b, func(b *testing.B) {
				for b.Loop() {
					GateForward(y, n, ab, 2*n, rows, n)
				}
				nsPerElement(b, rows*n)
			})
		})
		b.Run(fmt.Sprintf("backward/n=%d", n), func(b *testing.B) {
			forEachTier(b, func(b *testing.B) {
				for b.Loop() {
					GateBackward(dab, 2*n, ab, 2*n, dy, n, rows, n)
				}
				nsPerElement(b, rows*n)
			})
		})
	}
}

// BenchmarkSoftmaxCrossEntropy includes the bare loop of exponentials and sum with which the others compare.
func BenchmarkSoftmaxCrossEntropy(b *testing.B) {
	const rows, n = 16, 256
	r := newRand(1)
	logits, dlogits := normals(r, make([]float32, rows*n), 3), make([]float32, rows*n)
	nll, targets := make([]float32, rows), make([]int32, rows)
	for i := range targets {
		targets[i] = int32(r.IntN(n))
	}
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			forEachTier(b, func(b *testing.B) {
				for b.Loop() {
					f()
				}
				nsPerElement(b, rows*n)
			})
		})
	}
	run("exp+sum", func() {
		for i := range rows {
			nll[i] = SumExp(logits[i*n:(i+1)*n], 1)
		}
	})
	run("loss", func() { SoftmaxCrossEntropy(nll, nil, logits, n, targets, rows, n, 1) })
	run("gradient", func() { SoftmaxCrossEntropy(nll, dlogits, logits, n, targets, rows, n, 1) })
	run("softmax", func() { Softmax(dlogits, logits, n, rows, n) })
	run("log-softmax", func() { LogSoftmax(dlogits, logits, n, rows, n) })
}

func BenchmarkElementwise(b *testing.B) {
	const n = 2048
	r := newRand(1)
	x, y, m, v := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	normals(r, x, 1)
	half := make([]uint16, n)
	step := AdamStep{1e-3, 0.9, 0.999, 1e-8, 0.01, 2, 3}
	for _, k := range []struct {
		name string
		f    func()
	}{
		{"Add", func() { Add(y, x) }},
		{"AddScaled", func() { AddScaled(y, 1e-3, x) }},
		{"AddRow/n=64", func() { AddRow(y, 64, n/64, 64, x[:64]) }},
		{"ColumnSums/n=64", func() { ColumnSums(y[:64], x, 64, n/64, 64) }},
		{"ColumnSums/n=256", func() { ColumnSums(y[:256], x, 256, n/256, 256) }},
		{"ReLU", func() { ReLU(y, x) }},
		{"ReLUBackward", func() { ReLUBackward(y, x, x) }},
		{"Exp", func() { Exp(y, x) }},
		{"Max", func() { Max(x) }},
		{"Dot", func() { Dot(x, y) }},
		{"SumSquares", func() { SumSquares(x) }},
		{"ToBF16", func() { ToBF16(half, x) }},
		{"FromBF16", func() { FromBF16(y, half) }},
		{"Adam", func() { AdamUpdate(y, x, m, v, step) }},
	} {
		clear(y)
		b.Run(k.name, func(b *testing.B) {
			forEachTier(b, func(b *testing.B) {
				for b.Loop() {
					k.f()
				}
				nsPerElement(b, n)
			})
		})
	}
}
