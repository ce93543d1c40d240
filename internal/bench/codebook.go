package bench

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// codebook: shapes are entries x dimension x rows. An operation is a subtraction, multiplication or addition: three to a
// number, done by two instructions, so that the share of the peak of multiply-adds is three quarters at best.
func codebook() []Benchmark {
	const entries, dim, rows = 512, 64, 8192
	bound, boundName := peakOf("f32", vectorISA())
	return []Benchmark{{
		Name: "nearest", Shape: fmt.Sprintf("%dx%dx%d", entries, dim, rows), DType: "f32", ISA: vectorISA(), unit: gigaflops,
		bound: bound, boundName: boundName,
		job: func(int) job {
			book := kernel.PackCodebook(make([]float32, kernel.CodebookLen(entries, dim)), floats(entries*dim), entries, dim)
			t := &nearestTask{z: floats(rows * dim), codes: make([]int32, rows), book: book}
			return job{Task: t, items: parallel.Blocks(rows, rowBlock), work: 3 * entries * dim * rows}
		},
	}}
}

type nearestTask struct {
	z     []float32
	codes []int32
	book  kernel.Codebook
}

func (t *nearestTask) Run(item int) {
	from, to := parallel.Block(item, len(t.codes), rowBlock)
	dim := t.book.Dim
	kernel.Nearest(t.codes[from:to], nil, t.z[from*dim:to*dim], dim, to-from, t.book)
}
