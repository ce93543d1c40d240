package bench

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/sums"
)

// layer is the shape of a convolution: taps rows of in channels, dilation rows apart, make a row of out channels, steps
// times.
type layer struct{ out, in, steps, taps, dilation int }

func (l layer) String() string {
	s := fmt.Sprintf("%dx%dx%d", l.out, l.in, l.steps)
	if l.taps > 1 {
		s += fmt.Sprintf(" k=%d d=%d", l.taps, l.dilation)
	}
	return s
}

// rows is the number of input rows.
func (l layer) rows() int { return l.steps + (l.taps-1)*l.dilation }

// operations counts a multiplication and an addition as two.
func (l layer) operations() float64 {
	return 2 * float64(l.out) * float64(l.in) * float64(l.steps) * float64(l.taps)
}

// tapList reads rows of the given length; reversed is the order of the input gradient.
func (l layer) tapList(row int, reversed bool) []kernel.Tap {
	taps := make([]kernel.Tap, l.taps)
	for i := range taps {
		taps[i] = kernel.Tap{Offset: i * l.dilation * row, Weight: i}
		if reversed {
			taps[i].Weight = l.taps - 1 - i
		}
	}
	return taps
}

// rowBlock is the number of rows that one item computes, as in package dilated.
const rowBlock = 252

func convolutions() []Benchmark {
	layers := []layer{
		{out: 128, in: 64, steps: 8192, taps: 1},
		{out: 128, in: 128, steps: 8192, taps: 1},
		{out: 256, in: 256, steps: 8192, taps: 1},
		{out: 256, in: 256, steps: 32768, taps: 1},
	}
	var all []Benchmark
	all = appendFloat32(all, "conv", layers)
	return appendBF16(all, "conv", layers)
}

func dilatedConvolutions() []Benchmark {
	var layers []layer
	for _, channels := range []int{64, 128, 256} {
		layers = append(layers, layer{out: channels, in: channels, steps: 8192, taps: 2, dilation: 64})
	}
	var all []Benchmark
	all = appendFloat32(all, "dilated", layers)
	return appendBF16(all, "dilated", layers)
}

func appendFloat32(all []Benchmark, prefix string, layers []layer) []Benchmark {
	bound, boundName := peakOf("f32", vectorISA())
	for _, direction := range []struct {
		name string
		job  func(l layer, threads int) job
	}{
		{"-forward", layer.forward},
		{"-input-gradient", layer.inputGradient},
		{"-weight-gradient", layer.weightGradient},
	} {
		for _, l := range layers {
			all = append(all, Benchmark{
				Name: prefix + direction.name, Shape: l.String(), DType: "f32", ISA: vectorISA(), unit: gigaflops,
				job:   func(threads int) job { return direction.job(l, threads) },
				bound: bound, boundName: boundName,
			})
		}
	}
	return all
}

func appendBF16(all []Benchmark, prefix string, layers []layer) []Benchmark {
	bound, boundName := peakOf("bf16", bf16ISA())
	if bound == nil { // no such instruction: float32 does the work
		bound, boundName = peakOf("f32", vectorISA())
	}
	for _, direction := range []struct {
		name         string
		job, float32 func(l layer, threads int) job
	}{
		{"-bf16", layer.forwardBF16, layer.forward},
		{"-bf16-weight-gradient", layer.weightGradientBF16, layer.weightGradient},
	} {
		for _, l := range layers {
			all = append(all, Benchmark{
				Name: prefix + direction.name, Shape: l.String(), DType: "bf16", ISA: bf16ISA(), unit: gigaflops,
				job:     func(threads int) job { return direction.job(l, threads) },
				float32: func(threads int) job { return direction.float32(l, threads) },
				bound:   bound, boundName: boundName,
			})
		}
	}
	return all
}

// bf16ISA names the instructions with which the active setting multiplies bfloat16.
func bf16ISA() string {
	switch s := kernel.Active(); {
	case s.Ext.AMX:
		return "amx-bf16"
	case s.Ext.BF16:
		return "avx512-bf16"
	}
	return vectorISA()
}

// forward: blocks of rows. Weights are packed beforehand: a layer packs them once a step.
func (l layer) forward(int) job {
	w := kernel.PackWeights(make([]float32, kernel.PackedLen(l.taps, l.in, l.out)), floats(l.taps*l.in*l.out), l.taps, l.in, l.out)
	return l.job(&convTask{l.steps, kernel.Conv{
		X: floats(l.rows() * l.in), XStride: l.in, Taps: l.tapList(l.in, false), W: w, Bias: floats(l.out),
		Y: make([]float32, l.steps*l.out), YStride: l.out,
	}})
}

// inputGradient: the same sum with transposed weights; it accumulates nothing and has no bias. Its first and last rows,
// of which fewer taps read, are left out.
func (l layer) inputGradient(int) job {
	w := kernel.PackWeightsTransposed(make([]float32, kernel.PackedLen(l.taps, l.out, l.in)), floats(l.taps*l.in*l.out), l.taps, l.in, l.out)
	return l.job(&convTask{l.steps, kernel.Conv{
		X: floats(l.rows() * l.out), XStride: l.out, Taps: l.tapList(l.out, true), W: w,
		Y: make([]float32, l.steps*l.in), YStride: l.in,
	}})
}

func (l layer) forwardBF16(int) job {
	w := kernel.PackWeightsBF16(make([]uint16, kernel.PackedLenBF16(l.taps, l.in, l.out)), floats(l.taps*l.in*l.out), l.taps, l.in, l.out)
	return l.job(&convBF16Task{l.steps, kernel.ConvBF16{
		X: bf16s(l.rows() * l.in), XStride: l.in, Taps: l.tapList(l.in, false), W: w, Bias: floats(l.out),
		Y: make([]float32, l.steps*l.out), YStride: l.out,
	}})
}

func (l layer) job(t parallel.Task) job {
	return job{Task: t, items: parallel.Blocks(l.steps, rowBlock), work: l.operations()}
}

type convTask struct {
	rows int
	conv kernel.Conv
}

func (t *convTask) Run(item int) {
	from, to := parallel.Block(item, t.rows, rowBlock)
	c := t.conv
	c.Rows = to - from
	c.XBase += from * c.XStride
	c.YBase += from * c.YStride
	kernel.ConvForward(&c)
}

type convBF16Task struct {
	rows int
	conv kernel.ConvBF16
}

func (t *convBF16Task) Run(item int) {
	from, to := parallel.Block(item, t.rows, rowBlock)
	c := t.conv
	c.Rows = to - from
	c.XBase += from * c.XStride
	c.YBase += from * c.YStride
	kernel.ConvForwardBF16(&c)
}

// bf16s returns n pseudo-random bfloat16.
func bf16s(n int) []uint16 {
	x := make([]uint16, n)
	kernel.ToBF16(x, floats(n))
	return x
}

// weightGradient: segments of the rows with partial sums, and the sum of those.
func (l layer) weightGradient(int) job {
	t := &gradientTask{l.division(), l.sums(), kernel.ConvGradient{
		In: l.in, X: floats(l.rows() * l.in), XStride: l.in, Taps: l.tapList(l.in, false),
		DY: floats(l.steps * l.out), DYStride: l.out, DWTap: l.in * l.out, DWStride: l.out,
	}}
	return job{Task: t, items: t.Items(), finish: t.add, work: l.operations()}
}

func (l layer) weightGradientBF16(int) job {
	t := &gradientBF16Task{l.division(), l.sums(), nil, kernel.ConvGradientBF16{
		In: l.in, X: bf16s(l.rows() * l.in), XStride: l.in, Taps: l.tapList(l.in, false),
		DY: bf16s(l.steps * l.out), DYStride: l.out, DWTap: l.in * l.out, DWStride: l.out,
	}}
	for range t.Items() {
		t.scratch = append(t.scratch, make([]uint16, kernel.GradientScratchBF16(l.in, l.out)))
	}
	return job{Task: t, items: t.Items(), finish: t.add, work: l.operations()}
}

func (l layer) division() sums.Division { return sums.Divide(l.steps, l.out) }

// partialSums are the weight gradient, to which the first segment is added directly, and those of the other segments.
type partialSums struct{ dw, parts []float32 }

func (l layer) sums() partialSums {
	n := l.taps * l.in * l.out
	return partialSums{make([]float32, n), make([]float32, (l.division().Segments-1)*n)}
}

func (p *partialSums) add() { sums.Add(p.dw, p.parts) }

type gradientTask struct {
	sums.Division
	partialSums
	gradient kernel.ConvGradient
}

func (t *gradientTask) Run(item int) {
	segment, from, to, first, end := t.Item(item)
	g := t.gradient
	g.Rows, g.Out = to-from, end-first
	g.XBase += from * g.XStride
	g.DYBase += from*g.DYStride + first
	g.DW, g.DWBase = t.Part(t.dw, t.parts, segment, first, end), first
	kernel.ConvWeightGradient(&g)
}

type gradientBF16Task struct {
	sums.Division
	partialSums
	scratch  [][]uint16 // one for each item
	gradient kernel.ConvGradientBF16
}

func (t *gradientBF16Task) Run(item int) {
	segment, from, to, first, end := t.Item(item)
	g := t.gradient
	g.Rows, g.Out = to-from, end-first
	g.XBase += from * g.XStride
	g.DYBase += from*g.DYStride + first
	g.DW, g.DWBase, g.Scratch = t.Part(t.dw, t.parts, segment, first, end), first, t.scratch[item]
	kernel.ConvWeightGradientBF16(&g)
}
