package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
)

// vectorSizes are all sizes up to several vectors of every tier, and some that need more than one assembly call.
func vectorSizes() []int {
	var sizes []int
	for n := range 71 {
		sizes = append(sizes, n)
	}
	return append(sizes, 127, 1023, 1025, 2500, chunk-1, chunk+1, 2*chunk+37)
}

// near fails unless got is within relative*|want| + absolute of want. NaN must be NaN. The last bit of a subnormal number
// is always forgiven, and a result beyond the range of float32 must be infinite.
func near(t testing.TB, what string, i int, got float32, want, relative, absolute float64) {
	t.Helper()
	tolerance := relative*math.Abs(want) + absolute + math.SmallestNonzeroFloat32
	ok := math.Abs(float64(got)-want) <= tolerance || float64(got) == want
	switch {
	case math.IsNaN(want):
		ok = got != got
	case math.Abs(want)+tolerance > math.MaxFloat32:
		ok = ok || got == float32(math.Inf(int(math.Copysign(1, want))))
	}
	if !ok {
		t.Fatalf("%s: element %d is %v, want %v +- %.3g", what, i, got, want, tolerance)
	}
}

const (
	epsilon = 1.0 / (1 << 24) // half a unit in the last place of float32, relative
	rounded = 1.01 * epsilon  // one correctly rounded operation
)

// same fails unless the two slices agree bit for bit.
func same(t testing.TB, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestVectorKernels runs the kernels over vectors at all sizes and alignments between guard words.
func TestVectorKernels(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(1)
		for i, n := range vectorSizes() {
			x, fx := newFenced[float32](n, i%5)
			y, fy := newFenced[float32](n, i%7)
			z, fz := newFenced[float32](n, i%3)
			xs, ys := make([]float32, n), make([]float32, n)
			start := func(size float64) {
				copy(x, samples(r, xs, size))
				copy(y, samples(r, ys, size))
			}
			check := func(kernel string) string {
				what := fmt.Sprintf("%s n=%d", kernel, n)
				fx.check(t, what)
				fy.check(t, what)
				fz.check(t, what)
				same(t, what+": source", x, xs)
				return what
			}

			start(1)
			Add(y, x)
			what := check("Add")
			for i, v := range y {
				near(t, what, i, v, float64(ys[i])+float64(xs[i]), rounded, 0)
			}

			start(1)
			AddScaled(y, 0.3, x)
			what = check("AddScaled")
			for i, v := range y {
				p := float64(float32(0.3)) * float64(xs[i])
				near(t, what, i, v, float64(ys[i])+p, rounded, rounded*finite(p))
			}

			start(1)
			Scale(y, -0.3)
			what = check("Scale")
			for i, v := range y {
				near(t, what, i, v, float64(float32(-0.3))*float64(ys[i]), rounded, 0)
			}

			start(1)
			for i := range xs { // x-y is to stay in range
				xs[i], ys[i] = xs[i]/4, ys[i]/4
				x[i], y[i] = xs[i], ys[i]
			}
			Lerp(y, x, 0.3)
			what = check("Lerp")
			for i, v := range y {
				d := float64(float32(0.3)) * (float64(xs[i]) - float64(ys[i]))
				near(t, what, i, v, float64(ys[i])+d, rounded, 2*rounded*finite(d))
			}

			start(1)
			ReLU(y, x)
			what = check("ReLU")
			for i, v := range y {
				near(t, what, i, v, reference.ReLU(float64(xs[i])), 0, 0)
			}

			start(1)
			ReLUBackward(z, x, y)
			what = check("ReLUBackward")
			for i, v := range z {
				near(t, what, i, v, reference.ReLUBackward(float64(xs[i]), float64(ys[i])), 0, 0)
			}

			start(40)
			Exp(y, x)
			what = check("Exp")
			for i, v := range y {
				near(t, what, i, v, math.Exp(float64(xs[i])), 2*epsilon, 0)
			}
		}
	})
}

// finite replaces infinite and NaN bounds of an error by 0.
func finite(x float64) float64 {
	if x = math.Abs(x); x < math.MaxFloat64 {
		return x
	}
	return 0
}

func TestInPlace(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(2)
		for _, n := range []int{1, 7, 16, 33, 70} {
			x, dy := samples(r, make([]float32, n), 3), samples(r, make([]float32, n), 1)
			y, want := make([]float32, n), make([]float32, n)

			ReLU(want, x)
			copy(y, x)
			ReLU(y, y)
			same(t, "ReLU", y, want)

			ReLUBackward(want, dy, x)
			copy(y, dy)
			ReLUBackward(y, y, x)
			same(t, "ReLUBackward over dy", y, want)
			copy(y, x)
			ReLUBackward(y, dy, y)
			same(t, "ReLUBackward over y", y, want)

			Exp(want, x)
			copy(y, x)
			Exp(y, y)
			same(t, "Exp", y, want)

			Softmax(want, x, n, 1, n)
			copy(y, x)
			Softmax(y, y, n, 1, n)
			same(t, "Softmax", y, want)

			LogSoftmax(want, x, n, 1, n)
			copy(y, x)
			LogSoftmax(y, y, n, 1, n)
			same(t, "LogSoftmax", y, want)

			nll, nllWant := make([]float32, 1), make([]float32, 1)
			SoftmaxCrossEntropy(nllWant, want, x, n, []int32{int32(n / 2)}, 1, n, 0.5)
			copy(y, x)
			SoftmaxCrossEntropy(nll, y, y, n, []int32{int32(n / 2)}, 1, n, 0.5)
			same(t, "SoftmaxCrossEntropy", y, want)
			same(t, "SoftmaxCrossEntropy nll", nll, nllWant)

			rows := 3
			ab, d := samples(r, make([]float32, rows*2*n), 3), samples(r, make([]float32, rows*n), 1)
			dab := make([]float32, len(ab))
			GateBackward(dab, 2*n, ab, 2*n, d, n, rows, n)
			GateBackward(ab, 2*n, ab, 2*n, d, n, rows, n)
			same(t, "GateBackward", ab, dab)
		}
	})
}

// TestPosition: what becomes of an element does not depend on where in a vector it lies.
func TestPosition(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(3)
		const n = 75
		x, y := samples(r, make([]float32, n), 3), make([]float32, n)
		ab, dab, one := samples(r, make([]float32, 2*n), 3), make([]float32, 2*n), make([]float32, 2)
		w, g, m, v := normals(r, make([]float32, n), 1), normals(r, make([]float32, n), 1), make([]float32, n), make([]float32, n)
		w1, m1, v1 := append([]float32{}, w...), append([]float32{}, m...), append([]float32{}, v...)
		step := AdamStep{0.01, 0.9, 0.99, 1e-8, 0.1, 10, 100}
		AdamUpdate(w, g, m, v, step)
		Exp(y, x)
		for i := range n {
			Exp(one[:1], x[i:i+1])
			same(t, fmt.Sprintf("Exp(%v)", x[i]), one[:1], y[i:i+1])
			AdamUpdate(w1[i:i+1], g[i:i+1], m1[i:i+1], v1[i:i+1], step)
		}
		same(t, "AdamUpdate", w1, w)
		exact := make([]float32, n)
		GateForward(y, n, ab, 2*n, 1, n)
		GateExact(exact, n, ab, 2*n, 1, n)
		GateBackward(dab, 2*n, ab, 2*n, x, n, 1, n)
		for i := range n {
			pair := []float32{ab[i], ab[n+i]}
			GateExact(one[:1], 1, pair, 2, 1, 1)
			same(t, fmt.Sprint("GateExact", pair), one[:1], exact[i:i+1])
			GateForward(one[:1], 1, pair, 2, 1, 1)
			same(t, fmt.Sprint("GateForward", pair), one[:1], y[i:i+1])
			GateBackward(one, 2, pair, 2, x[i:i+1], 1, 1, 1)
			same(t, fmt.Sprint("GateBackward", pair), one, []float32{dab[i], dab[n+i]})
		}
	})
}

// TestExpSweep goes through float32 in even steps of the bit pattern.
func TestExpSweep(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		const n = 4096
		x, y := make([]float32, n), make([]float32, n)
		for bits := uint64(0); bits < 1<<32; {
			for i := range x {
				x[i] = math.Float32frombits(uint32(bits))
				bits += 10007
			}
			Exp(y, x)
			for i, v := range y {
				near(t, fmt.Sprintf("Exp(%v)", x[i]), i, v, math.Exp(float64(x[i])), 2*epsilon, 0)
			}
		}
	})
}

func TestReductions(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(4)
		for i, n := range vectorSizes() {
			x, _ := newFenced[float32](n, i%5)
			y, _ := newFenced[float32](n, i%7)
			normals(r, x, 2)
			normals(r, y, 2)
			wx, wy := widen(x), widen(y)
			size := 0.0
			for i := range wx {
				size += math.Abs(wx[i] * wy[i])
			}
			what := fmt.Sprintf("n=%d", n)
			near(t, "Dot "+what, 0, Dot(x, y), reference.Dot(wx, wy), rounded, 1e-6*size)
			squares := reference.Dot(wx, wx)
			if got := SumSquares(x); !(math.Abs(got-squares) <= 1e-6*squares) {
				t.Fatalf("SumSquares %s is %v, want %v", what, got, squares)
			}
			near(t, "Max "+what, 0, Max(x), reference.Max(wx), 0, 0)
			near(t, "SumExp "+what, 0, SumExp(x, 0.5), reference.SumExp(wx, 0.5), 1e-6, 0)
			near(t, "LogSumExp "+what, 0, LogSumExp(x), reference.LogSumExp(wx), 1e-6, 1e-6)
			if n == 0 {
				continue
			}
			// Wherever a NaN or an infinity lies, it decides.
			at := r.IntN(n)
			keep := x[at]
			for _, special := range []float32{float32(math.NaN()), posInf} {
				x[at] = special
				near(t, "Max of special "+what, 0, Max(x), float64(special), 0, 0)
				near(t, "LogSumExp of special "+what, 0, LogSumExp(x), float64(special), 0, 0)
				near(t, "SumSquares of special "+what, 0, float32(SumSquares(x)), float64(special), 0, 0)
				near(t, "SumExp of special "+what, 0, SumExp(x, 1), float64(special), 0, 0)
				y[at] = 1
				near(t, "Dot of special "+what, 0, Dot(x, y), float64(special), 0, 0)
			}
			x[at] = negInf
			near(t, "LogSumExp with -Inf "+what, 0, LogSumExp(x), reference.LogSumExp(widen(x)), 1e-6, 1e-6)
			x[at] = keep + 1e4
			near(t, "LogSumExp far out "+what, 0, LogSumExp(x), reference.LogSumExp(widen(x)), 1e-6, 1e-6)
		}
		same(t, "LogSumExp of nothing", []float32{LogSumExp(nil)}, []float32{negInf})
		same(t, "LogSumExp of zeros", []float32{LogSumExp([]float32{negInf, negInf})}, []float32{negInf})
	})
}

// matrix is a [rows, n] matrix at a stride between guard words; the gaps between rows are guarded as well.
type matrix struct {
	fenced[float32]
	data            []float32
	stride, rows, n int
}

func newMatrix(rows, n, gap, offset int) matrix {
	m := matrix{stride: n + gap, rows: rows, n: n}
	m.data, m.fenced = newFenced[float32](rows*m.stride, offset)
	for i := range m.data {
		m.data[i] = sentinelOf[float32]()
	}
	return m
}

func (m matrix) row(r int) []float32 { return m.data[r*m.stride:][:m.n] }

func (m matrix) fill(r *rand.Rand, size float64) matrix {
	for i := range m.rows {
		samples(r, m.row(i), size)
	}
	return m
}

func (m matrix) copy(from matrix) matrix {
	for i := range m.rows {
		copy(m.row(i), from.row(i))
	}
	return m
}

func (m matrix) check(t testing.TB, what string) {
	t.Helper()
	m.fenced.check(t, what)
	for r := range m.rows {
		for j, v := range m.data[r*m.stride+m.n : (r+1)*m.stride] {
			if math.Float32bits(v) != math.Float32bits(sentinelOf[float32]()) {
				t.Fatalf("%s: wrote %v behind column %d of row %d", what, v, m.n+j, r)
			}
		}
	}
}

// shapes yields rows, columns and the gap between rows.
func shapes(f func(what string, rows, n, gap, offset int)) {
	for n := range 71 {
		rows, gap := n%4, n%3
		f(fmt.Sprintf("%d x %d gap %d", rows, n, gap), rows, n, gap, n%5)
	}
	for _, s := range [][3]int{{1, 255, 1}, {5, 256, 0}, {3, 257, 16}, {200, 9, 0}, {71, 513, 3}, {0, 5, 0}, {9, 4097, 7}, {1, chunk + 5, 0}} {
		f(fmt.Sprintf("%d x %d gap %d", s[0], s[1], s[2]), s[0], s[1], s[2], 1)
	}
}

func TestGate(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(5)
		shapes(func(what string, rows, n, gap, offset int) {
			ab := newMatrix(rows, 2*n, gap, offset).fill(r, 4)
			y := newMatrix(rows, n, 2*gap, offset+1)
			dy := newMatrix(rows, n, gap+1, offset+2).fill(r, 1)
			dab := newMatrix(rows, 2*n, gap+2, offset+3)
			GateForward(y.data, y.stride, ab.data, ab.stride, rows, n)
			GateBackward(dab.data, dab.stride, ab.data, ab.stride, dy.data, dy.stride, rows, n)
			exact := newMatrix(rows, n, gap, offset+1)
			GateExact(exact.data, exact.stride, ab.data, ab.stride, rows, n)
			plain := make([]float32, n)
			for _, m := range []matrix{ab, y, dy, dab, exact} {
				m.check(t, what)
			}
			for i := range rows {
				gateExactGeneric(plain, n, ab.row(i), 2*n, 1, n)
				same(t, "exact "+what, exact.row(i), plain)
				for j, v := range y.row(i) {
					a, b, d := float64(ab.row(i)[j]), float64(ab.row(i)[n+j]), float64(dy.row(i)[j])
					what := fmt.Sprintf("%s a=%v b=%v dy=%v", what, a, b, d)
					near(t, "forward "+what, j, v, reference.GateForward(a, b), 0, 5e-7)
					near(t, "exact "+what, j, exact.row(i)[j], reference.GateForward(a, b), 0, 2e-6)
					if math.IsInf(d, 0) {
						continue // nothing times infinity: a matter of rounding
					}
					da, db := reference.GateBackward(a, b, d)
					// A subnormal gradient is rounded to its last bit twice.
					tolerance := 1e-6*finite(d) + math.SmallestNonzeroFloat32
					near(t, "da "+what, j, dab.row(i)[j], da, 0, tolerance)
					near(t, "db "+what, j, dab.row(i)[n+j], db, 0, tolerance)
				}
			}
		})
	})
}

// TestGateDigits: near zero tanh(a), and with it the gate, keeps its digits, and so do the derivatives, which do not cancel.
func TestGateDigits(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(6)
		const n = 4001
		ab, y, dy, dab := make([]float32, 2*n), make([]float32, n), make([]float32, n), make([]float32, 2*n)
		for i := range n {
			ab[i] = float32(math.Exp(-20*r.Float64()) * math.Copysign(8, r.Float64()-0.5))
			ab[n+i] = float32(math.Exp(-20*r.Float64()) * math.Copysign(20, r.Float64()-0.5))
			dy[i] = 1
		}
		GateForward(y, n, ab, 2*n, 1, n)
		GateBackward(dab, 2*n, ab, 2*n, dy, n, 1, n)
		for i := range n {
			a, b := float64(ab[i]), float64(ab[n+i])
			what := fmt.Sprintf("a=%v b=%v", a, b)
			near(t, "forward "+what, i, y[i], reference.GateForward(a, b), 1e-6, 0)
			da, db := reference.GateBackward(a, b, 1)
			near(t, "da "+what, i, dab[i], da, 2e-6, 0)
			near(t, "db "+what, i, dab[n+i], db, 2e-6, 0)
		}
	})
}

func TestSoftmax(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(7)
		shapes(func(what string, rows, n, gap, offset int) {
			if n == 0 {
				rows = 0 // no target is in range
			}
			x := newMatrix(rows, n, gap, offset)
			for i := range rows {
				normals(r, x.row(i), []float64{1, 10, 1e4}[i%3])
				if i%5 == 4 {
					samples(r, x.row(i), 1)
				} else if i%5 == 3 {
					x.row(i)[r.IntN(n)] = negInf
				}
			}
			before := newMatrix(rows, n, gap, 0).copy(x)
			y, logY, dx := newMatrix(rows, n, gap, 1), newMatrix(rows, n, gap, 2), newMatrix(rows, n, gap, 3)
			nll, fNLL := newFenced[float32](rows, offset)
			lossOnly, fLoss := newFenced[float32](rows, offset+1)
			targets := make([]int32, rows)
			for i := range targets {
				targets[i] = int32(r.IntN(n))
			}
			const scale = 0.25
			Softmax(y.data, x.data, x.stride, rows, n)
			LogSoftmax(logY.data, x.data, x.stride, rows, n)
			SoftmaxCrossEntropy(nll, dx.data, x.data, x.stride, targets, rows, n, scale)
			SoftmaxCrossEntropy(lossOnly, nil, x.data, x.stride, targets, rows, n, scale)
			for _, m := range []matrix{x, y, logY, dx} {
				m.check(t, what)
			}
			fNLL.check(t, what)
			fLoss.check(t, what)
			for i := range rows {
				row := widen(before.row(i))
				same(t, what+": source", x.row(i), before.row(i))
				wantY, wantLog := reference.Softmax(row), reference.LogSoftmax(row)
				wantNLL, grad := reference.SoftmaxCrossEntropy(row, int(targets[i]))
				near(t, "nll "+what, i, nll[i], wantNLL, 1e-6, 2e-6)
				near(t, "nll alone "+what, i, lossOnly[i], wantNLL, 1e-6, 2e-6)
				for j := range row {
					near(t, "Softmax "+what, j, y.row(i)[j], wantY[j], 0, 1e-6)
					near(t, "LogSoftmax "+what, j, logY.row(i)[j], wantLog[j], 1e-6, 2e-6)
					near(t, "gradient "+what, j, dx.row(i)[j], scale*grad[j], 0, scale*1e-6)
				}
			}
		})
	})
}

func TestLogOfSums(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		x, before := make([]float32, 5003), make([]float32, 5003)
		for i := range x {
			x[i] = float32(math.Pow(2, 24*float64(i)/5002))
		}
		x[1], x[2], x[3] = 1+2*epsilon, float32(math.Sqrt2), float32(math.NaN())
		copy(before, x)
		logOfSums(x)
		for i, v := range x {
			near(t, fmt.Sprint("log ", before[i]), i, v, math.Log(float64(before[i])), 3*epsilon, 0)
		}
	})
}

func TestRowSums(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(8)
		shapes(func(what string, rows, n, gap, offset int) {
			x := newMatrix(rows, n, gap, offset)
			for i := range rows {
				normals(r, x.row(i), 1)
			}
			before := newMatrix(rows, n, gap, 0).copy(x)
			row, fRow := newFenced[float32](n, offset+1)
			normals(r, row, 1)
			sums := append([]float32{}, row...)

			ColumnSums(sums, x.data, x.stride, rows, n)
			for j, v := range sums {
				want, size := float64(row[j]), math.Abs(float64(row[j]))
				for i := range rows {
					want += float64(before.row(i)[j])
					size += math.Abs(float64(before.row(i)[j]))
				}
				near(t, "ColumnSums "+what, j, v, want, rounded, 1e-6*size)
			}

			AddRow(x.data, x.stride, rows, n, row)
			x.check(t, what)
			fRow.check(t, what)
			for i := range rows {
				for j, v := range x.row(i) {
					near(t, "AddRow "+what, j, v, float64(before.row(i)[j])+float64(row[j]), rounded, 0)
				}
			}
		})
	})
}

func TestAdamUpdate(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := newRand(9)
		const step = 3
		s := AdamStep{LearningRate: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.1}
		rate, beta1, beta2 := float64(s.LearningRate), float64(s.Beta1), float64(s.Beta2)
		eps, decay := float64(s.Epsilon), float64(s.WeightDecay)
		s.Correction1 = float32(1 / (1 - math.Pow(beta1, step)))
		s.Correction2 = float32(1 / (1 - math.Pow(beta2, step)))
		for i, n := range vectorSizes() {
			var old, now [4][]float32
			var fences [4]fenced[float32]
			for j := range now {
				now[j], fences[j] = newFenced[float32](n, (i+j)%6)
				normals(r, now[j], math.Exp(3*r.NormFloat64()))
			}
			for i, v := range now[3] {
				now[3][i] = v * v
			}
			for j := range old {
				old[j] = append([]float32{}, now[j]...)
			}
			AdamUpdate(now[0], now[1], now[2], now[3], s)
			for _, f := range fences {
				f.check(t, fmt.Sprintf("n=%d", n))
			}
			same(t, "gradient", now[1], old[1])
			for i := range n {
				w, g, m, v := float64(old[0][i]), float64(old[1][i]), float64(old[2][i]), float64(old[3][i])
				w1, m1, v1 := reference.Adam(w, g, m, v, rate, beta1, beta2, eps, decay, step)
				what := fmt.Sprintf("n=%d w=%v g=%v m=%v v=%v", n, w, g, m, v)
				near(t, "m "+what, i, now[2][i], m1, 0, 2e-7*(math.Abs(m)+math.Abs(g)))
				near(t, "v "+what, i, now[3][i], v1, 3e-7, 0)
				near(t, "w "+what, i, now[0][i], w1, rounded, 2e-6*math.Abs(w1-w)+2e-6*rate*(math.Abs(m)+math.Abs(g))/math.Sqrt(v1))
			}
		}
	})
}

func TestBF16(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		// Every bfloat16 with what may follow it in a float32.
		low := []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff}
		src, dst := make([]float32, 1<<16), make([]uint16, 1<<16)
		back, codes := make([]float32, 1<<16), make([]uint16, 1<<16)
		for _, l := range low {
			for i := range src {
				src[i] = math.Float32frombits(uint32(i)<<16 | l)
			}
			ToBF16(dst, src)
			for i, v := range dst {
				if want := reference.BF16(src[i]); v != want {
					t.Fatalf("ToBF16(%v = %#x) = %#x, want %#x", src[i], math.Float32bits(src[i]), v, want)
				}
			}
		}
		for i := range codes {
			codes[i] = uint16(i)
		}
		FromBF16(back, codes)
		for i, v := range back {
			if math.Float32bits(v) != uint32(i)<<16 {
				t.Fatalf("FromBF16(%#x) = %#x", i, math.Float32bits(v))
			}
		}

		r := newRand(10)
		shapes(func(what string, rows, n, gap, offset int) {
			x := newMatrix(rows, n, gap, offset).fill(r, 1)
			stride := n + 3*gap
			d, fd := newFenced[uint16](rows*stride, offset+1)
			for i := range d {
				d[i] = 0xffff
			}
			ToBF16Rows(d, stride, x.data, x.stride, rows, n)
			fd.check(t, what)
			x.check(t, what)
			for i := range rows {
				for j, v := range d[i*stride : (i+1)*stride] {
					want := uint16(0)
					if j < n {
						want = reference.BF16(x.row(i)[j])
					}
					if v != want {
						t.Fatalf("%s: row %d column %d is %#x, want %#x", what, i, j, v, want)
					}
				}
			}
			if rows == 0 || n == 0 {
				return
			}
			f, ff := newFenced[float32](n, offset+2)
			h, fh := newFenced[uint16](n, offset+3)
			ToBF16(h, x.row(0))
			FromBF16(f, h)
			ff.check(t, what)
			fh.check(t, what)
			for j, v := range h {
				if v != d[j] || math.Float32bits(f[j]) != uint32(v)<<16 {
					t.Fatalf("%s: %v becomes %#x and then %v", what, x.row(0)[j], v, f[j])
				}
			}
		})
	})
}

// TestWrongSizes: a wrong size panics and the message tells both sizes.
func TestWrongSizes(t *testing.T) {
	a, b, h := make([]float32, 5), make([]float32, 7), make([]uint16, 7)
	for name, f := range map[string]func(){
		"Add":                           func() { Add(a, b) },
		"AddScaled":                     func() { AddScaled(a, 1, b) },
		"Lerp":                          func() { Lerp(a, b, 1) },
		"ReLU":                          func() { ReLU(a, b) },
		"ReLUBackward: dy":              func() { ReLUBackward(a, b, a) },
		"ReLUBackward: y":               func() { ReLUBackward(a, a, b) },
		"Exp":                           func() { Exp(a, b) },
		"Dot":                           func() { Dot(a, b) },
		"AdamUpdate: g":                 func() { AdamUpdate(a, b, a, a, AdamStep{}) },
		"AdamUpdate: m":                 func() { AdamUpdate(a, a, b, a, AdamStep{}) },
		"AdamUpdate: v":                 func() { AdamUpdate(a, a, a, b, AdamStep{}) },
		"ToBF16":                        func() { ToBF16(h, a) },
		"FromBF16":                      func() { FromBF16(a, h) },
		"ToBF16Rows":                    func() { ToBF16Rows(h[:5], 7, a, 5, 1, 5) },
		"AddRow":                        func() { AddRow(b, 7, 1, 7, a) },
		"ColumnSums":                    func() { ColumnSums(a, b, 7, 1, 7) },
		"Softmax":                       func() { Softmax(a, b, 7, 1, 7) },
		"LogSoftmax":                    func() { LogSoftmax(a, b, 7, 1, 7) },
		"SoftmaxCrossEntropy":           func() { SoftmaxCrossEntropy(a[:1], a, b, 7, []int32{0}, 1, 7, 1) },
		"SoftmaxCrossEntropy: target":   func() { SoftmaxCrossEntropy(a[:1], nil, b, 7, []int32{7}, 1, 5, 1) },
		"SoftmaxCrossEntropy: negative": func() { SoftmaxCrossEntropy(a[:1], nil, b[:5], 7, []int32{-7}, 1, 5, 1) },
		"GateForward":                   func() { GateForward(a, 7, make([]float32, 14), 14, 1, 7) },
		"GateExact":                     func() { GateExact(a, 7, make([]float32, 14), 14, 1, 7) },
		"GateBackward":                  func() { GateBackward(a, 7, make([]float32, 14), 14, b, 3, 1, 3) },
		"stride":                        func() { Softmax(b, b, 5, 1, 7) },
		"rows":                          func() { AddRow(b, 7, -5, 7, b) },
		"overflow":                      func() { AddRow(b, 7, math.MaxInt/5, 7, b) },
	} {
		func() {
			defer func() {
				got := fmt.Sprint(recover())
				if !strings.HasPrefix(got, "kernel.") || !strings.Contains(got, "5") || !strings.Contains(got, "7") {
					t.Errorf("%s: %q", name, got)
				}
			}()
			f()
		}()
	}
}

func TestNoAllocation(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		const rows, n = 70, 33
		ab, y, dy := make([]float32, rows*2*n), make([]float32, rows*n), make([]float32, rows*n)
		nll, targets, h := make([]float32, rows), make([]int32, rows), make([]uint16, rows*n)
		if got := testing.AllocsPerRun(10, func() {
			GateForward(y, n, ab, 2*n, rows, n)
			GateExact(y, n, ab, 2*n, rows, n)
			GateBackward(ab, 2*n, ab, 2*n, dy, n, rows, n)
			SoftmaxCrossEntropy(nll, dy, y, n, targets, rows, n, 1)
			LogSoftmax(dy, y, n, rows, n)
			LogSumExp(y)
			AdamUpdate(y, dy, y, y, AdamStep{})
			ToBF16(h, y)
			ColumnSums(dy[:n], y, n, rows, n)
		}); got != 0 {
			t.Errorf("%v allocations", got)
		}
	})
}
