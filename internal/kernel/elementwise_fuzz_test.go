package kernel

import (
	"encoding/binary"
	"math"
	"testing"
)

// FuzzElementwise compares every tier with the generic one on the same bits.
func FuzzElementwise(f *testing.F) {
	r := newRand(11)
	for _, n := range []int{0, 1, 5, 16, 33, 100} {
		data := make([]byte, 0, 8*n)
		for range 2 * n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(sample(r, 3)))
		}
		f.Add(data, uint8(n))
	}
	f.Fuzz(func(t *testing.T, data []byte, columns uint8) {
		all := make([]float32, len(data)/4)
		for i := range all {
			all[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		defer Use(Use(Setting{}))
		want := runAll(all, int(columns))
		for _, s := range Available()[1:] {
			Use(s)
			got := runAll(all, int(columns))
			for name, w := range want {
				for i, v := range got[name].values {
					near(t, s.String()+" "+name, i, v, float64(w.values[i]), w.relative, w.absolute(i))
				}
			}
		}
	})
}

// outcome is what a kernel computes and how far the tiers may be apart.
type outcome struct {
	values   []float32
	relative float64
	absolute func(i int) float64
}

// runAll runs the kernels on the two halves x and y of data, and on as many rows of the given number of columns as fit.
func runAll(data []float32, columns int) map[string]outcome {
	n := len(data) / 2
	x, y := data[:n], data[n:2*n]
	all := map[string]outcome{}
	fixed := func(v float64) func(int) float64 { return func(int) float64 { return v } }
	add := func(name string, values []float32, relative float64, absolute func(i int) float64) {
		all[name] = outcome{values, relative, absolute}
	}
	of := func(v []float32) []float32 { return append([]float32{}, v...) }

	v := of(y)
	Add(v, x)
	add("Add", v, 0, fixed(0))
	v = of(y)
	AddScaled(v, 0.5, x)
	add("AddScaled", v, 2*epsilon, fixed(0)) // halving a subnormal number can shift a tie
	v = of(y)
	ReLU(v, x)
	add("ReLU", v, 0, fixed(0))
	v = of(y)
	ReLUBackward(v, x, y)
	add("ReLUBackward", v, 0, fixed(0))
	v = of(y)
	Exp(v, x)
	add("Exp", v, 3*epsilon, fixed(0))
	add("Max", []float32{Max(x)}, 0, fixed(0))
	add("LogSumExp", []float32{LogSumExp(x)}, 2e-6, fixed(2e-6))

	codes := make([]uint16, n)
	ToBF16(codes, x)
	v = of(y)
	FromBF16(v, codes)
	add("BF16", v, 0, fixed(0))

	if columns == 0 {
		return all
	}
	c := columns
	if rows := len(data) / (2 * c); rows > 0 {
		v = make([]float32, rows*c)
		GateForward(v, c, data, 2*c, rows, c)
		add("GateForward", v, 0, fixed(1e-6))
		dy := of(v)
		v = make([]float32, rows*c)
		GateExact(v, c, data, 2*c, rows, c)
		add("GateExact", v, 0, fixed(0))
		for i := range dy {
			dy[i] = 1
		}
		v = make([]float32, 2*rows*c)
		GateBackward(v, 2*c, data, 2*c, dy, c, rows, c)
		add("GateBackward", v, 0, fixed(1e-6))
	}
	if rows := len(data) / c; rows > 0 {
		v = make([]float32, rows*c)
		Softmax(v, data, c, rows, c)
		add("Softmax", v, 0, fixed(1e-6))
		nll, targets := make([]float32, rows), make([]int32, rows)
		for r := range targets {
			targets[r] = int32(r % c)
		}
		SoftmaxCrossEntropy(nll, nil, data, c, targets, rows, c, 1)
		add("SoftmaxCrossEntropy", nll, 1e-6, fixed(2e-6))
	}
	return all
}
