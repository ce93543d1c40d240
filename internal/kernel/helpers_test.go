package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// forEachSetting runs f as a subtest under every setting of this machine and restores the one in use.
func forEachSetting(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for _, s := range Available() {
		t.Run(s.String(), func(t *testing.T) {
			defer Use(Use(s))
			f(t)
		})
	}
}

// forEachTier runs f as a sub-benchmark under the best setting of every tier of this machine.
func forEachTier(b *testing.B, f func(b *testing.B)) {
	b.Helper()
	all := Available()
	for i, s := range all {
		if i+1 < len(all) && all[i+1].Tier == s.Tier {
			continue
		}
		b.Run(s.String(), func(b *testing.B) {
			defer Use(Use(s))
			f(b)
		})
	}
}

// nsPerElement reports the time per element of a benchmark that handled n elements per iteration.
func nsPerElement(b *testing.B, n int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
}

// fenced is a slice between sentinel words.
type fenced[T float32 | uint16] struct {
	all   []T
	start int
	n     int
}

const fence = 24 // sentinel words on either side: more than the longest vector

// sentinelOf is a value that no kernel computes.
func sentinelOf[T float32 | uint16]() T {
	var v T
	switch p := any(&v).(type) {
	case *float32:
		*p = math.Float32frombits(0xdeadbeef)
	case *uint16:
		*p = 0xdead
	}
	return v
}

// newFenced returns a zeroed slice of n elements that starts offset elements off the usual alignment.
func newFenced[T float32 | uint16](n, offset int) (slice []T, f fenced[T]) {
	f = fenced[T]{make([]T, n+offset+2*fence), fence + offset, n}
	for i := range f.all {
		f.all[i] = sentinelOf[T]()
	}
	slice = f.all[f.start : f.start+n : f.start+n]
	clear(slice)
	return slice, f
}

// check fails if a sentinel word has changed.
func (f fenced[T]) check(t testing.TB, what string) {
	t.Helper()
	for i, v := range f.all {
		if (i < f.start || i >= f.start+f.n) && v != sentinelOf[T]() {
			t.Fatalf("%s: wrote %v at %d, outside [0, %d)", what, v, i-f.start, f.n)
		}
	}
}

// A float32 sample: mostly of the given size, sometimes one of the values at which arithmetic changes.
func sample(r *rand.Rand, size float64) float32 {
	if r.IntN(16) == 0 {
		return edges[r.IntN(len(edges))]
	}
	return float32(r.NormFloat64() * size)
}

var edges = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, posInf, negInf, float32(math.NaN()), math.Float32frombits(0xffc12345),
	math.MaxFloat32, -math.MaxFloat32, 1e30, -1e30, 1e-30, 1e-40, -1e-40, math.SmallestNonzeroFloat32,
	88.7, 88.8, -87.3, -87.4, -103.9, -104.1, 20.1, -20.1, 40.1, -40.1,
}

func samples(r *rand.Rand, x []float32, size float64) []float32 {
	for i := range x {
		x[i] = sample(r, size)
	}
	return x
}

func normals(r *rand.Rand, x []float32, size float64) []float32 {
	for i := range x {
		x[i] = float32(r.NormFloat64() * size)
	}
	return x
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// widen returns x in float64.
func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
