package audio_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
)

func ExampleMuLaw() {
	m := audio.NewMuLaw(256)
	for _, x := range []float64{-1, -0.1, 0, 0.001, 0.1, 1} {
		level := m.Encode(x)
		fmt.Printf("%6.3f is level %3d, which is %8.5f\n", x, level, m.Decode(level))
	}
	// Output:
	// -1.000 is level   0, which is -1.00000
	// -0.100 is level  52, which is -0.10067
	//  0.000 is level 128, which is  0.00009
	//  0.001 is level 133, which is  0.00106
	//  0.100 is level 203, which is  0.10067
	//  1.000 is level 255, which is  1.00000
}

// plainMuLaw is the formula of the paper, rounded to the nearest level.
func plainMuLaw(levels int, x float64) int32 {
	mu := float64(levels - 1)
	x = min(max(x, -1), 1)
	f := math.Log(1+mu*math.Abs(x)) / math.Log(1+mu)
	if x < 0 {
		f = -f
	}
	return int32(math.Floor((f+1)/2*mu + 0.5))
}

// TestMuLawFormula compares the levels of all 16-bit samples, and of the float32 numbers beside them, with the formula.
func TestMuLawFormula(t *testing.T) {
	for bits := 1; bits <= 16; bits++ {
		m := audio.NewMuLaw(1 << bits)
		for i := -1 << 15; i <= 1<<15; i++ {
			exact := float32(i) / (1 << 15)
			near := []float32{exact, math.Nextafter32(exact, -2), math.Nextafter32(exact, 2)}
			if i == 0 {
				near = near[:1] // smaller than what is lost when the formula adds 1
			}
			for _, x := range near {
				if got, want := m.Encode(float64(x)), plainMuLaw(1<<bits, float64(x)); got != want {
					t.Fatalf("%d levels: %v is level %d, want %d", 1<<bits, x, got, want)
				}
			}
		}
	}
}

// TestMuLawKnown holds levels that were computed from the formula by hand.
func TestMuLawKnown(t *testing.T) {
	m := audio.NewMuLaw(256)
	for _, c := range []struct {
		x     float64
		level int32
	}{
		{0.5, 239},  // ln(128.5) / ln(256) = 0.87570; 1.87570 * 127.5 = 239.15
		{-0.5, 16},  // 15.85
		{0.01, 157}, // ln(3.55) / ln(256) = 0.22848; 156.63
		{1.0 / 32768, 128},
		{-1.0 / 32768, 127},
		{0, 128}, {math.Copysign(0, -1), 128}, {1e-300, 128}, {-1e-300, 127},
		{-1, 0}, {1, 255}, {1.5, 255}, {-1.5, 0}, {math.MaxFloat64, 255}, {math.Inf(1), 255}, {math.Inf(-1), 0},
		{math.NaN(), 128},
	} {
		if got := m.Encode(c.x); got != c.level {
			t.Errorf("%v is level %d, want %d", c.x, got, c.level)
		}
	}
	if got := m.Compress(0.5); math.Abs(got-0.875703) > 5e-7 {
		t.Errorf("0.5 is compressed to %v, want 0.875703", got)
	}
	if got := m.Expand(-0.875703); math.Abs(got+0.5) > 2e-6 {
		t.Errorf("-0.875703 is expanded to %v, want -0.5", got)
	}
}

// TestMuLawLevels checks every level: it rises, mirrors, and comes back from its sample, in 64 bits and in 32.
func TestMuLawLevels(t *testing.T) {
	for bits := 1; bits <= 16; bits++ {
		levels := int32(1) << bits
		m := audio.NewMuLaw(int(levels))
		last := math.Inf(-1)
		for i := range levels {
			x := m.Decode(i)
			if got := m.Encode(x); got != i {
				t.Fatalf("%d levels: level %d is %v, which is level %d", levels, i, x, got)
			}
			if got := m.Encode(float64(float32(x))); got != i {
				t.Fatalf("%d levels: level %d is %v, which in float32 is level %d", levels, i, x, got)
			}
			if !(x > last) || x < -1 || x > 1 {
				t.Fatalf("%d levels: level %d is %v, and the one below %v", levels, i, x, last)
			}
			last = x
			if mirror := m.Decode(levels - 1 - i); mirror != -x {
				t.Fatalf("%d levels: level %d is %v, but level %d %v", levels, i, x, levels-1-i, mirror)
			}
			if f, want := m.Compress(x), 2*float64(i)/float64(levels-1)-1; math.Abs(f-want) > 1e-15 {
				t.Fatalf("%d levels: level %d is compressed to %v, want %v", levels, i, f, want)
			}
		}
		if m.Levels() != int(levels) || m.Decode(0) != -1 || m.Decode(levels-1) != 1 {
			t.Errorf("%d levels: from %v to %v", m.Levels(), m.Decode(0), m.Decode(levels-1))
		}
	}
}

func TestMuLawSlices(t *testing.T) {
	m := audio.NewMuLaw(1024)
	random := rand.New(rand.NewPCG(1, 2))
	x, levels := make([]float32, 1000), make([]int32, 1000)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	m.EncodeAll(levels, x)
	for i, x := range x {
		if want := m.Encode(float64(x)); levels[i] != want {
			t.Fatalf("%v is level %d, want %d", x, levels[i], want)
		}
	}
	m.DecodeAll(x, levels)
	for i, level := range levels {
		if want := float32(m.Decode(level)); x[i] != want {
			t.Fatalf("level %d is %v, want %v", level, x[i], want)
		}
	}
}

func TestMuLawPanics(t *testing.T) {
	for _, levels := range []int{-256, 0, 1, 3, 255, 1 << 17} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d levels: no panic", levels)
				}
			}()
			audio.NewMuLaw(levels)
		}()
	}
}

// FuzzMuLaw compares fast with plain. Where the plain formula is within its own rounding errors of the middle between two
// levels, either will do.
func FuzzMuLaw(f *testing.F) {
	var all [17]*audio.MuLaw
	for bits := 1; bits <= 16; bits++ {
		all[bits] = audio.NewMuLaw(1 << bits)
	}
	f.Add(0.5, uint8(7))
	f.Add(-1e-9, uint8(15))
	f.Add(-1e-300, uint8(7))
	f.Add(math.Inf(1), uint8(0))
	f.Add(math.NaN(), uint8(9))
	f.Fuzz(func(t *testing.T, x float64, n uint8) {
		const rounding = 1e-11
		bits := int(n)%16 + 1
		m, levels := all[bits], 1<<bits
		low, high := plainMuLaw(levels, x-math.Abs(x)*rounding), plainMuLaw(levels, x+math.Abs(x)*rounding)
		switch {
		case math.IsNaN(x) || x == 0:
			low, high = int32(levels/2), int32(levels/2)
		case math.IsInf(x, 0):
			low, high = plainMuLaw(levels, x), plainMuLaw(levels, x)
		case -1e-15 < x && x < 0: // the formula loses it when it adds 1
			low, high = int32(levels/2-1), int32(levels/2-1)
		}
		if got := m.Encode(x); got < low || got > high {
			t.Fatalf("%d levels: %v is level %d, want %d to %d", levels, x, got, low, high)
		}
	})
}

func BenchmarkMuLawEncode(b *testing.B) {
	for _, levels := range []int{256, 1024, 65536} {
		b.Run(fmt.Sprint(levels), func(b *testing.B) {
			m := audio.NewMuLaw(levels)
			x, level := speechLike(1<<14), make([]int32, 1<<14)
			for b.Loop() {
				m.EncodeAll(level, x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/sample")
		})
	}
}

func BenchmarkMuLawDecode(b *testing.B) {
	m := audio.NewMuLaw(256)
	x, level := speechLike(1<<14), make([]int32, 1<<14)
	m.EncodeAll(level, x)
	for b.Loop() {
		m.DecodeAll(x, level)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/sample")
}

// speechLike returns noise of 16-bit samples through a resonance, times a gain.
func speechLike(n int) []float32 {
	random := rand.New(rand.NewPCG(3, 4))
	x := make([]float32, n)
	for i := 2; i < n; i++ {
		x[i] = 1.8*x[i-1] - 0.9*x[i-2] + float32(random.NormFloat64())
	}
	for i := range x {
		x[i] = float32(math.Round(float64(x[i])*500)) / 32768 * 1.37
	}
	return x
}
