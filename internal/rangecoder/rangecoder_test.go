package rangecoder

import (
	"math"
	"math/rand/v2"
	"testing"
)

// table returns frequencies of so many classes: some all but certain, some all alike, most in between.
func table(r *rand.Rand, classes int) []uint32 {
	weights, sum := make([]float64, classes), 0.0
	size := 30 * r.Float64()
	for i := range weights {
		weights[i] = math.Exp(-size * r.ExpFloat64())
		sum += weights[i]
	}
	frequencies, left := make([]uint32, classes), uint64(1)<<FrequencyBits
	share := float64(left - uint64(classes) - 1)
	for i, w := range weights {
		frequencies[i] = 1 + uint32(w/sum*share*(1-1e-9))
		left -= uint64(frequencies[i])
	}
	frequencies[r.IntN(classes)] += uint32(left)
	return frequencies
}

// draw returns a class by its probability.
func draw(r *rand.Rand, frequencies []uint32) int32 {
	at := uint64(r.Uint32())
	for i, f := range frequencies {
		if at < uint64(f) {
			return int32(i)
		}
		at -= uint64(f)
	}
	panic("frequencies that add up to less")
}

// roundTrip codes classes, each drawn or, now and then, any, and decodes them. It returns the bytes, and the information of the classes.
func roundTrip(t *testing.T, seed uint64, n int, wild float64) (bytes int, bits float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	var tables [][]uint32
	var classes []int32
	e := NewEncoder([]byte("before"))
	for range n {
		f := table(r, 2+r.IntN(300))
		class := draw(r, f)
		if r.Float64() < wild {
			class = r.Int32N(int32(len(f)))
		}
		tables, classes = append(tables, f), append(classes, class)
		bits += FrequencyBits - math.Log2(float64(f[class]))
		e.Encode(f, class)
	}
	out := e.Close()
	if string(out[:6]) != "before" {
		t.Fatalf("seed %d: %q in front", seed, out[:6])
	}
	d := NewDecoder(out[6:])
	for i, f := range tables {
		if class := d.Decode(f); class != classes[i] {
			t.Fatalf("seed %d: class %d of %d is %d, want %d", seed, i, n, class, classes[i])
		}
	}
	return len(out) - 6, bits
}

// TestRoundTrip wants all classes back, from no more than a byte or two above their information.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		n := int(seed % 40)
		if seed > 280 {
			n = 2000
		}
		bytes, bits := roundTrip(t, seed, n, []float64{0, 0.1, 1}[seed%3])
		if most := bits/8*(1+1e-7) + 1.01; float64(bytes) > most {
			t.Errorf("seed %d: %d bytes for %d classes of %.1f bits, want at most %.1f", seed, bytes, n, bits, most)
		}
	}
}

// TestCarry codes what lies just below and just above the middle of the range: carries through long rows of 255.
func TestCarry(t *testing.T) {
	half, odd := []uint32{1 << 31, 1 << 31}, []uint32{1<<32 - 2, 1, 1}
	for first := range int32(2) {
		for n := range 40 {
			e, most := NewEncoder(nil), int32(2*(1-first)) // the last after the first class, the first after the last
			e.Encode(half, first)
			for range n {
				e.Encode(odd, most)
			}
			e.Encode(odd, 1)
			d := NewDecoder(e.Close())
			if got := d.Decode(half); got != first {
				t.Fatalf("first class is %d", got)
			}
			for i := range n {
				if got := d.Decode(odd); got != most {
					t.Fatalf("class %d of %d is %d, want %d", i, n, got, most)
				}
			}
			if got := d.Decode(odd); got != 1 {
				t.Fatalf("last class is %d", got)
			}
		}
	}
}

// TestCertain: classes that are all but certain take no room.
func TestCertain(t *testing.T) {
	e, f := NewEncoder(nil), []uint32{1, 1<<32 - 2, 1}
	for range 1 << 16 {
		e.Encode(f, 1)
	}
	if out := e.Close(); len(out) > 1 {
		t.Errorf("%d bytes", len(out))
	}
}

// FuzzRoundTrip codes classes of the fuzzer's choice; its bytes, decoded, give classes that are coded and decoded to the same.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), 10, []byte("any"))
	f.Add(uint64(2), 0, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, seed uint64, n int, code []byte) {
		roundTrip(t, seed, int(uint(n)%100), 0.2)
		r := rand.New(rand.NewPCG(seed, 2))
		frequencies := table(r, 2+r.IntN(40))
		d, e := NewDecoder(code), NewEncoder(nil)
		var classes []int32
		for range uint(n) % 100 {
			class := d.Decode(frequencies)
			classes = append(classes, class)
			e.Encode(frequencies, class)
		}
		d = NewDecoder(e.Close())
		for i, want := range classes {
			if class := d.Decode(frequencies); class != want {
				t.Fatalf("class %d is %d, want %d", i, class, want)
			}
		}
	})
}

func TestZeroFrequency(t *testing.T) {
	for _, f := range []func(){
		func() { NewEncoder(nil).Encode([]uint32{1<<32 - 1, 0}, 1) },
		func() { NewDecoder([]byte{255, 255, 255, 255, 255}).Decode([]uint32{1 << 31, 0}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a frequency of 0 did not panic")
				}
			}()
			f()
		}()
	}
}
