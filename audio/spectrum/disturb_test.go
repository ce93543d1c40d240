package spectrum

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestColour(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	largest := 0.0
	for range 200 {
		flat := Colour(40, 0, 0, 3, random)
		for _, v := range flat {
			if v != flat[0] || math.Abs(v) > 3*math.Ln10/10 {
				t.Fatalf("a level of %v", flat)
			}
		}
		largest = max(largest, math.Abs(flat[0]))
		sum := 0.0
		for _, v := range Colour(40, 1, 5, 3, random) {
			sum += v
			if math.Abs(v) > 5*3*math.Ln10/10 {
				t.Errorf("five cosines of 3 dB come to %v", v)
			}
		}
		if math.Abs(sum) > 1e-9 {
			t.Errorf("cosines sum up to %v", sum)
		}
	}
	if largest < 2.8*math.Ln10/10 {
		t.Errorf("the largest of 200 amplitudes is %v", largest)
	}
}

func TestHiss(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	steepest := 0.0
	for range 200 {
		powers, product := Hiss(40, -12, random), 0.0
		for m, p := range powers {
			if m > 0 && p > powers[m-1] {
				t.Fatalf("noise rises: %v", powers)
			}
			product += math.Log10(p)
		}
		if db := 10 * product / 40; math.Abs(db+12) > 0.3 { // the mean in dB is that at the middle
			t.Errorf("%.2f dB, want -12", db)
		}
		steepest = max(steepest, 10*math.Log10(powers[0]/powers[39]))
	}
	if steepest < 18 || steepest > 20 {
		t.Errorf("falls by up to %.1f dB", steepest)
	}
}

func TestMeanPower(t *testing.T) {
	if got := MeanPower([]float32{0, float32(math.Log(3))}); math.Abs(got-2) > 1e-6 {
		t.Errorf("mean power %v, want 2", got)
	}
}
