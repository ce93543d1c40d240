package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// eachTier runs f once with every tier of this machine.
func eachTier(t *testing.T, f func(t *testing.T)) {
	for _, s := range kernel.Available() {
		t.Run(s.String(), func(t *testing.T) {
			defer kernel.Use(kernel.Use(s))
			f(t)
		})
	}
}

// sameForAnyThreads checks that what run returns is the same bit for bit on 1, 2 and 5 threads.
func sameForAnyThreads(t *testing.T, what string, run func() [][]float32) {
	t.Helper()
	defer parallel.SetThreads(parallel.Threads())
	var want [][]float32
	for _, threads := range []int{1, 2, 5} {
		parallel.SetThreads(threads)
		got := run()
		if want == nil {
			want = got
			continue
		}
		for i := range want {
			if at := firstDifference(got[i], want[i]); at >= 0 {
				t.Errorf("%s: result %d differs at %d: %v on %d threads, %v on 1", what, i, at, got[i][at], threads, want[i][at])
			}
		}
	}
}

// firstDifference returns the first index at which the bits differ, or -1.
func firstDifference(a, b []float32) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// near checks got against a float64 result: errors relative to the element, or to the root mean square of all if that is
// larger.
func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	squares := 0.0
	for _, w := range want {
		squares += w * w
	}
	scale := math.Sqrt(squares / float64(max(1, len(want))))
	for i, w := range want {
		if e := math.Abs(float64(got[i]) - w); !(e <= tolerance*max(scale, math.Abs(w))) {
			t.Errorf("%s: element %d of %d is %g, want %g; root mean square %g", what, i, len(want), got[i], w, scale)
			return
		}
	}
}

func directional(t *testing.T, f func() float64, parts ...gradcheck.Part) {
	t.Helper()
	if err := gradcheck.Directional(f, rand.NewPCG(8, 9), parts...); err != nil {
		t.Error(err)
	}
}

func wantPanic(t *testing.T, f func(), parts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if v == nil {
			t.Errorf("no panic, want one with %q", parts)
			return
		}
		for _, p := range parts {
			if text := fmt.Sprint(v); !strings.Contains(text, p) {
				t.Errorf("panic %q lacks %q", text, p)
			}
		}
	}()
	f()
}

// random returns a tensor of normal values.
func random(r *rand.Rand, deviation float64, shape ...int) tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(deviation * r.NormFloat64())
	}
	return x
}

func doubles(x []float32) []float64 {
	d := make([]float64, len(x))
	for i, v := range x {
		d[i] = float64(v)
	}
	return d
}

func clone(x []float32) []float32 { return append([]float32{}, x...) }

// inner is the inner product in float64.
func inner(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func ids(r *rand.Rand, n, size int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(r.IntN(size))
	}
	return x
}
