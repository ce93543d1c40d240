package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
)

// mvBuffer is a slice of n elements at a start that is aligned to no more than an element, between guard words.
type mvBuffer[T float32 | int32 | uint8] struct {
	all, part []T
	at        int
}

const mvGuard = 77

func mvNew[T float32 | int32 | uint8](r *rand.Rand, n int) mvBuffer[T] {
	at := 16 + r.IntN(33)
	b := mvBuffer[T]{all: make([]T, at+n+64), at: at}
	for i := range b.all {
		b.all[i] = mvGuard
	}
	b.part = b.all[at : at+n : at+n]
	return b
}

func mvRandom(r *rand.Rand, n int) mvBuffer[float32] {
	b := mvNew[float32](r, n)
	for i := range b.part {
		b.part[i] = 2*r.Float32() - 1
	}
	return b
}

func (b mvBuffer[T]) check(t *testing.T, what string) {
	t.Helper()
	for i, v := range b.all {
		if (i < b.at || i >= b.at+len(b.part)) && v != mvGuard {
			t.Fatalf("%s: guard word at %d overwritten with %v", what, i-b.at, v)
		}
	}
}

// mvShapes has every width up to past two panels, every tail of the row loops, and the shapes of the sampler.
func mvShapes() [][2]int {
	var shapes [][2]int
	for n := range 150 {
		shapes = append(shapes, [2]int{n % 13, n}, [2]int{31 + n%9, n})
	}
	for k := range 40 {
		shapes = append(shapes, [2]int{k, 112}, [2]int{k, 121})
	}
	return append(shapes, [2]int{0, 0}, [2]int{5, 0}, [2]int{0, 70}, [2]int{128, 256}, [2]int{512, 512}, [2]int{1000, 33},
		[2]int{9000, 130}) // more than one call of assembly
}

// mvCheck compares y with start + x w in float64, within the rounding errors of float32 sums of in terms.
func mvCheck(t *testing.T, what string, y, start, x []float32, w []float64, in, out int) {
	t.Helper()
	want, size := make([]float64, out), make([]float64, out)
	absolute := func(v []float64) []float64 {
		a := make([]float64, len(v))
		for i := range a {
			a[i] = math.Abs(v[i])
		}
		return a
	}
	if start != nil {
		copy(want, widen(start))
		copy(size, absolute(want))
	}
	reference.MatVec(in, out, want, widen(x), w)
	reference.MatVec(in, out, size, absolute(widen(x)), absolute(w))
	for n := range want {
		// Every one of the in+3 roundings loses at most half a unit of a partial sum no larger than size.
		if d := math.Abs(float64(y[n]) - want[n]); !(d <= float64(in+3)*0x1p-24*size[n]) {
			t.Fatalf("%s: y[%d] = %v, want %v (sum of magnitudes %v)", what, n, y[n], want[n], size[n])
		}
	}
}

func TestMatVec(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, shape := range mvShapes() {
			in, out := shape[0], shape[1]
			w := mvRandom(r, in*out).part
			m, half := PackMatVec(w, in, out), PackMatVecBF16(w, in, out)
			w64, half64 := widen(w), widen(half.Weights())
			for i, v := range half64 {
				if math.Abs(v-w64[i]) > 0x1p-8*math.Abs(w64[i])+0x1p-133 {
					t.Fatalf("%d x %d: weight %d is %v as bfloat16 %v", in, out, i, w[i], v)
				}
			}
			for mode, name := range []string{"nil", "start", "accumulate"} {
				for format, mul := range []func(y, x, start []float32){m.Mul, half.Mul} {
					what := fmt.Sprintf("format %d, %d x %d, %s", format, in, out, name)
					x, y, start := mvRandom(r, in), mvRandom(r, out), mvRandom(r, out)
					s := start.part
					switch mode {
					case 0:
						s = nil
					case 2:
						copy(y.part, s)
						s = y.part
					}
					before := append([]float32(nil), s...)
					if s == nil {
						before = nil
					}
					xBefore := append([]float32(nil), x.part...)
					mul(y.part, x.part, s)
					mvCheck(t, what, y.part, before, x.part, [][]float64{w64, half64}[format], in, out)
					x.check(t, what)
					y.check(t, what)
					start.check(t, what)
					mvEqual(t, what+": x", x.part, xBefore)
				}
			}
		}
	})
}

func mvEqual(t *testing.T, what string, found, want []float32) {
	t.Helper()
	if len(found) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(found), len(want))
	}
	for i := range want {
		f, w := found[i], want[i]
		if math.Float32bits(f) != math.Float32bits(w) && !(f != f && w != w) {
			t.Fatalf("%s: [%d] = %v (%#x), want %v (%#x)", what, i, f, math.Float32bits(f), w, math.Float32bits(w))
		}
	}
}

// A column's result does not depend on its place in the matrix.
func TestMatVecPlace(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, in := range []int{1, 7, 64, 101} {
			column, x := mvRandom(r, in).part, mvRandom(r, in).part
			q := make([]uint8, in)
			scale := QuantiseScale(x)
			QuantiseInt8(q, x, scale)
			var first [3]float32
			for out := 1; out < 140; out += 3 {
				w := mvRandom(r, in*out).part
				at := r.IntN(out)
				for k, v := range column {
					w[k*out+at] = v
				}
				m, half, int8s := PackMatVec(w, in, out), PackMatVecBF16(w, in, out), PackMatVecInt8(w, in, out)
				var found [3]float32
				y := make([]float32, out)
				m.Mul(y, x, nil)
				found[0] = y[at]
				half.Mul(y, x, nil)
				found[1] = y[at]
				int8s.Mul(y, q, scale, nil)
				found[2] = y[at]
				if out == 1 {
					first = found
				}
				if found != first {
					t.Fatalf("in %d: column %d of %d gives %v, alone %v", in, at, out, found, first)
				}
			}
		}
	})
}

// mvExact is MulExact of a row in float64, in which products and sums of two float32 are exact or, rounded to float32, rounded once.
func mvExact(start, x, w []float32, out int) []float32 {
	y := make([]float32, out)
	copy(y, start)
	for k, xv := range x {
		for n := range y {
			product := float32(float64(xv) * float64(w[k*out+n]))
			y[n] = float32(float64(y[n]) + float64(product))
		}
	}
	return y
}

// Exact products are the same on every tier, bit for bit: of every shape, of numbers of all sizes.
func TestMatVecExact(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 16))
		for i, shape := range mvShapes() {
			in, out, rows := shape[0], shape[1], []int{1, 3, 0, 2}[i%4]
			w, x, start, y := mvRandom(r, in*out).part, mvRandom(r, rows*in), mvRandom(r, rows*out), mvRandom(r, rows*out)
			if i%2 == 1 {
				samples(r, w, 1)
				samples(r, x.part, 1e-3)
			}
			m := PackMatVec(w, in, out)
			for mode, name := range []string{"nil", "start", "accumulate"} {
				what := fmt.Sprintf("%d x %d, %d rows, %s", in, out, rows, name)
				s := start.part
				switch mode {
				case 0:
					s = nil
				case 2:
					s = y.part
				}
				var want []float32
				for row := range rows {
					want = append(want, mvExact(s[min(row*out, len(s)):], x.part[row*in:][:in], w, out)...)
				}
				m.MulExact(rows, y.part, x.part, s)
				mvEqual(t, what, y.part, want)
				x.check(t, what)
				y.check(t, what)
				start.check(t, what)
			}
		}
	})
}

// NaN and Inf in x, weights and start come out where they should and nowhere else.
func TestMatVecNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, shape := range [][2]int{{1, 1}, {6, 70}, {13, 16}, {64, 128}, {35, 100}} {
			in, out := shape[0], shape[1]
			for _, bad := range []float32{inf, -inf, nan} {
				w, x, start := mvRandom(r, in*out).part, mvRandom(r, in).part, mvRandom(r, out).part
				k, n := r.IntN(in), r.IntN(out)
				check := func(what string, y []float32, everywhere bool, at int) {
					t.Helper()
					for j, v := range y {
						finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
						if finite == (everywhere || j == at) {
							t.Fatalf("%d x %d, %v in %s (row %d, column %d): y[%d] = %v", in, out, bad, what, k, n, j, v)
						}
					}
				}
				y, q := make([]float32, out), make([]uint8, in)
				all := func(what string, everywhere bool) {
					t.Helper()
					m, half, int8s := PackMatVec(w, in, out), PackMatVecBF16(w, in, out), PackMatVecInt8(w, in, out)
					m.Mul(y, x, start)
					check(what, y, everywhere, n)
					half.Mul(y, x, start)
					check(what+" (bfloat16)", y, everywhere, n)
					scale := QuantiseScale(x)
					QuantiseInt8(q, x, scale)
					int8s.Mul(y, q, scale, start)
					check(what+" (int8)", y, everywhere, n)
				}
				old := w[k*out+n]
				w[k*out+n] = bad
				all("w", false)
				w[k*out+n] = old
				old, start[n] = start[n], bad
				all("start", false)
				start[n] = old
				x[k] = bad
				all("x", true)
			}
		}
	})
}

// Int8 products are the same on every tier, bit for bit, and the sums exact: largest values, any length.
func TestMatVecInt8(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for i, shape := range mvShapes() {
			in, out := shape[0], shape[1]
			w := mvRandom(r, in*out).part
			q := mvNew[uint8](r, in)
			for k := range q.part {
				q.part[k] = uint8(r.IntN(256))
				if i%4 == 1 {
					q.part[k] = uint8(r.IntN(2) * 255)
				}
			}
			if i%4 == 1 {
				for j := range w {
					w[j] = float32(math.Copysign(1, float64(w[j])))
				}
			}
			m := PackMatVecInt8(w, in, out)
			start, y := mvRandom(r, out), mvRandom(r, out)
			for mode, s := range [][]float32{nil, start.part, y.part} {
				what := fmt.Sprintf("%d x %d, start %d", in, out, mode)
				scale := r.Float32()
				want := make([]float32, out)
				for n := range want {
					// The column's scale and values anew, from the definition in the doc comment.
					var largest float32
					for k := range in {
						largest = max(largest, float32(math.Abs(float64(w[k*out+n]))))
					}
					columnScale := largest / 127
					sum := int32(0)
					for k := range in {
						v := int32(math.RoundToEven(float64(w[k*out+n] * (1 / columnScale))))
						sum += (int32(q.part[k]) - 128) * v
					}
					var from float32
					if s != nil {
						from = s[n]
					}
					product := float32(float32(sum) * columnScale)
					want[n] = from + float32(product*scale)
				}
				m.Mul(y.part, q.part, scale, s)
				mvEqual(t, what, y.part, want)
				q.check(t, what)
				y.check(t, what)
				start.check(t, what)
			}
		}
	})
}

// Quantised weights and vectors stay within the error that 8 bits allow.
func TestMatVecInt8Accuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const in, out = 128, 96
	w, x := mvRandom(r, in*out).part, mvRandom(r, in).part
	m := PackMatVecInt8(w, in, out)
	q, y, want := make([]uint8, in), make([]float32, out), make([]float64, out)
	scale := QuantiseScale(x)
	QuantiseInt8(q, x, scale)
	m.Mul(y, q, scale, nil)
	reference.MatVec(in, out, want, widen(x), widen(w))
	for n := range y {
		// Each factor is off by at most half a step of 1/127, the other one at most 1.
		if d := math.Abs(float64(y[n]) - want[n]); d > in*1.01/127 {
			t.Errorf("y[%d] = %v, want %v", n, y[n], want[n])
		}
	}
}

func TestQuantiseInt8(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for n := range 100 {
			x, q := mvRandom(r, n), mvNew[uint8](r, n)
			var largest float64
			for i := range x.part {
				x.part[i] *= 5
				largest = max(largest, math.Abs(float64(x.part[i])))
			}
			scale := QuantiseScale(x.part)
			if want := float32(largest) / 127; scale != want {
				t.Fatalf("%d elements: scale %v, want %v", n, scale, want)
			}
			QuantiseInt8(q.part, x.part, scale)
			for i, v := range x.part {
				f := float64(v * (1 / scale))
				if want := 128 + math.RoundToEven(f); float64(q.part[i]) != want {
					t.Fatalf("%d elements: q[%d] = %d, want %v", n, i, q.part[i], want)
				}
			}
			// A scale that is too small, and everything that is no number.
			for i := range x.part {
				x.part[i] = []float32{1000, -1000, inf, -inf, nan, 0.5, 1.5, -0.5, 127.4, -127.6}[(i+n)%10]
			}
			QuantiseInt8(q.part, x.part, 1)
			for i := range x.part {
				if want := []uint8{255, 1, 255, 1, 1, 128, 130, 128, 255, 1}[(i+n)%10]; q.part[i] != want {
					t.Fatalf("%d elements: %v became %d, want %d", n, x.part[i], q.part[i], want)
				}
			}
			for _, bad := range []float32{nan, inf, -inf} {
				if n == 0 {
					break
				}
				x := mvRandom(r, n)
				x.part[r.IntN(n)] = bad
				if s := QuantiseScale(x.part); s == s {
					t.Fatalf("%d elements with %v: scale %v, want NaN", n, bad, s)
				}
			}
			QuantiseInt8(q.part, mvRandom(r, n).part, 0)
			for i, v := range q.part {
				if v != 128 {
					t.Fatalf("%d elements, scale 0: q[%d] = %d, want 128", n, i, v)
				}
			}
			x.check(t, "x")
			q.check(t, "q")
		}
	})
}

// Columns of zeros and of subnormal numbers give zeros, not NaN.
func TestMatVecInt8Tiny(t *testing.T) {
	w := []float32{0, 0x1p-149, 0x1p-130, 1, 0, -0x1p-149, 0x1p-140, 0.5}
	m := PackMatVecInt8(w, 2, 4)
	y := make([]float32, 4)
	m.Mul(y, []uint8{255, 255}, 1, nil)
	for n, want := range []float32{0, 0, 0, 190} {
		if y[n] < 0 || math.Abs(float64(y[n]-want)) > 1 {
			t.Errorf("y[%d] = %v, want %v", n, y[n], want)
		}
	}
}

func TestMatVecPanics(t *testing.T) {
	m, half, int8s := PackMatVec(make([]float32, 6), 2, 3), PackMatVecBF16(make([]float32, 6), 2, 3),
		PackMatVecInt8(make([]float32, 6), 2, 3)
	for name, f := range map[string]func(){
		"kernel.PackMatVec: w: length 5, want 6":     func() { PackMatVec(make([]float32, 5), 2, 3) },
		"kernel.PackMatVecBF16: w: length 5, want 6": func() { PackMatVecBF16(make([]float32, 5), 2, 3) },
		"kernel.PackMatVecInt8: w: length 5, want 6": func() { PackMatVecInt8(make([]float32, 5), 2, 3) },
		"kernel.QuantiseInt8: q: length 5, want 6":   func() { QuantiseInt8(make([]uint8, 5), make([]float32, 6), 1) },
		"kernel.MatVec.Mul: matrix is [2, 3], but x has 3 elements, y 3, start 0": func() {
			m.Mul(make([]float32, 3), make([]float32, 3), nil)
		},
		"kernel.MatVec.MulExact: matrix is [2, 3], but x has 2 elements for 1 rows, y 2, start 0": func() {
			m.MulExact(1, make([]float32, 2), make([]float32, 2), nil)
		},
		"kernel.MatVecBF16.Mul: matrix is [2, 3], but x has 2 elements, y 2, start 0": func() {
			half.Mul(make([]float32, 2), make([]float32, 2), nil)
		},
		"kernel.MatVecInt8.Mul: matrix is [2, 3], but x has 2 elements, y 3, start 4": func() {
			int8s.Mul(make([]float32, 3), make([]uint8, 2), 1, make([]float32, 4))
		},
	} {
		mvPanics(t, name, f)
	}
}

func mvPanics(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if found := recover(); found != want {
			t.Errorf("panic %q, want %q", found, want)
		}
	}()
	f()
}

func TestMatVecAllocates(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		const in, out = 33, 75
		w := make([]float32, in*out)
		m, half, int8s := PackMatVec(w, in, out), PackMatVecBF16(w, in, out), PackMatVecInt8(w, in, out)
		x, y, q := make([]float32, in), make([]float32, out), make([]uint8, in)
		if n := testing.AllocsPerRun(10, func() {
			m.Mul(y, x, y)
			m.MulExact(1, y, x, y)
			half.Mul(y, x, y)
			QuantiseInt8(q, x, QuantiseScale(x))
			int8s.Mul(y, q, 1, y)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzMatVec compares every tier with the plain loops on shapes and numbers of the fuzzer's choice.
func FuzzMatVec(f *testing.F) {
	f.Add(uint16(5), uint16(70), uint64(1), float32(1))
	f.Add(uint16(64), uint16(16), uint64(2), float32(1e-3))
	f.Add(uint16(0), uint16(3), uint64(3), float32(100))
	f.Fuzz(func(t *testing.T, in16, out16 uint16, seed uint64, amplitude float32) {
		in, out := int(in16%300), int(out16%300)
		if a := math.Abs(float64(amplitude)); !(a > 1e-10 && a < 1e10) {
			amplitude = 1
		}
		r := rand.New(rand.NewPCG(seed, 1))
		w, x, start := mvRandom(r, in*out).part, mvRandom(r, in), mvRandom(r, out)
		for i := range w {
			w[i] *= amplitude
		}
		m, half, int8s := PackMatVec(w, in, out), PackMatVecBF16(w, in, out), PackMatVecInt8(w, in, out)
		half64 := widen(half.Weights())
		exact := mvExact(start.part, x.part, w, out)
		var plain []float32
		for _, s := range Available() {
			before := Use(s)
			y, q := mvRandom(r, out), mvNew[uint8](r, in)
			m.Mul(y.part, x.part, start.part)
			mvCheck(t, s.String(), y.part, start.part, x.part, widen(w), in, out)
			m.MulExact(1, y.part, x.part, start.part)
			mvEqual(t, s.String(), y.part, exact)
			half.Mul(y.part, x.part, start.part)
			mvCheck(t, s.String(), y.part, start.part, x.part, half64, in, out)
			scale := QuantiseScale(x.part)
			QuantiseInt8(q.part, x.part, scale)
			int8s.Mul(y.part, q.part, scale, start.part)
			if plain == nil {
				plain = y.part
			}
			mvEqual(t, s.String(), y.part, plain)
			y.check(t, s.String())
			q.check(t, s.String())
			Use(before)
		}
	})
}

func BenchmarkMatVec(b *testing.B) {
	forEachTier(b, func(b *testing.B) {
		for _, shape := range [][2]int{{32, 64}, {64, 128}, {128, 128}, {128, 256}, {256, 512}, {1024, 2048}} {
			in, out := shape[0], shape[1]
			w := make([]float32, in*out)
			m, half, int8s := PackMatVec(w, in, out), PackMatVecBF16(w, in, out), PackMatVecInt8(w, in, out)
			x, y, q := make([]float32, in), make([]float32, out), make([]uint8, in)
			for _, c := range []struct {
				name  string
				bytes int
				mul   func()
			}{
				{"f32", 4, func() { m.Mul(y, x, y) }},
				{"exact", 4, func() { m.MulExact(1, y, x, y) }},
				{"bf16", 2, func() { half.Mul(y, x, y) }},
				{"int8", 1, func() { int8s.Mul(y, q, 1, y) }},
			} {
				b.Run(fmt.Sprintf("%dx%d/%s", in, out, c.name), func(b *testing.B) {
					b.SetBytes(int64(in * out * c.bytes)) // of weights
					for b.Loop() {
						c.mul()
					}
				})
			}
		}
	})
}

func BenchmarkQuantiseInt8(b *testing.B) {
	forEachTier(b, func(b *testing.B) {
		x, q := make([]float32, 256), make([]uint8, 256)
		for i := range x {
			x[i] = float32(i)
		}
		b.SetBytes(int64(4 * len(x)))
		for b.Loop() {
			QuantiseInt8(q, x, QuantiseScale(x))
		}
	})
}

// TestMatVecIsConv wants the sums of a convolution, bit for bit, in float32 and with bfloat16 weights.
func TestMatVecIsConv(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 9))
		for _, shape := range append(mvShapes(), [2]int{64, 192}, [2]int{128, 384}, [2]int{33, 320}, [2]int{33, 256}) {
			in, out := shape[0], shape[1]
			w, x, start := mvRandom(r, in*out).part, mvRandom(r, in).part, mvRandom(r, out).part
			m, half := PackMatVec(w, in, out), PackMatVecBF16(w, in, out)
			y, want := make([]float32, out), make([]float32, out)
			for format, mul := range []func(y, x, start []float32){m.Mul, half.Mul} {
				mul(y, x, start)
				weights := [][]float32{w, half.Weights()}[format]
				packed := PackWeights(make([]float32, PackedLen(1, in, out)), weights, 1, in, out)
				ConvForward(&Conv{Rows: 1, X: x, XStride: in, Taps: []Tap{{}}, W: packed, Bias: start, Y: want, YStride: out})
				mvEqual(t, fmt.Sprintf("format %d, %d x %d", format, in, out), y, want)
			}
		}
	})
}

// TestUpperHalf wants weights at most half a unit of bfloat16 off, whatever the lower half.
func TestUpperHalf(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 11))
	for range 100000 {
		v, lower := math.Float32frombits(r.Uint32()), uint16(r.Uint32())
		w := math.Float32frombits(uint32(upperHalf(v, lower))<<16 | uint32(lower))
		switch finite := v-v == 0; {
		case !finite && w-w == 0, finite && w-w != 0:
			t.Fatalf("%v becomes %v", v, w)
		case finite && math.Abs(float64(v)) < 0x1p127 && math.Abs(float64(w)-float64(v)) > 0x1p-8*math.Abs(float64(v))+0x1p-133:
			t.Fatalf("%v with the lower half %#x becomes %v", v, lower, w)
		}
	}
}
