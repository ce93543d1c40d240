package evaluate

import (
	"math"
	"testing"
)

func TestDivergence(t *testing.T) {
	counts := func(n ...float64) map[uint64]float64 {
		m := map[uint64]float64{}
		for i, v := range n {
			if v > 0 {
				m[uint64(i)] = v
			}
		}
		return m
	}
	for _, c := range []struct {
		p, q map[uint64]float64
		want float64
	}{
		{counts(1, 2, 3), counts(2, 4, 6), 0},
		{counts(1, 1, 0, 0), counts(0, 0, 5, 5), 1},
		{counts(1, 0), counts(1, 1), 1.5 - 0.75*math.Log2(3)}, // H(3/4, 1/4) - 1/2
	} {
		if got := divergence(c.p, c.q); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("divergence of %v and %v is %v, want %v", c.p, c.q, got, c.want)
		}
	}
}

func TestDescribeUnits(t *testing.T) {
	s := describeUnits([][]int32{{3, 3, 1, 1, 1, 3}, {}, {2}})
	if len(s.units) != 3 || s.units[3] != 3 || s.units[1] != 3 || s.units[2] != 1 {
		t.Errorf("units %v", s.units)
	}
	if len(s.runs) != 3 || s.runs[1] != 2 || s.runs[2] != 1 || s.runs[3] != 1 {
		t.Errorf("runs %v", s.runs)
	}
	if len(s.pairs) != 4 || s.pairs[3<<32|3] != 1 || s.pairs[3<<32|1] != 1 || s.pairs[1<<32|1] != 2 || s.pairs[1<<32|3] != 1 {
		t.Errorf("pairs %v", s.pairs)
	}
	if d := s.against(s); d.Run != 7.0/4 || d.Units != 0 || d.Runs != 0 || d.Bigrams != 0 {
		t.Errorf("against itself %+v", d)
	}
}

func TestDescribeSound(t *testing.T) {
	const rate = 8000
	samples := make([]float32, 2*rate) // a voiced second, then silence
	for i := range rate {
		samples[i] = float32(0.1 * (math.Sin(2*math.Pi*150*float64(i)/rate) + 0.5*math.Sin(2*math.Pi*300*float64(i)/rate)))
	}
	s, err := describeSound(samples, rate, -23)
	if err != nil || s.frames != 200 || s.quiet != 100 || math.Abs(float64(s.voiced)/float64(s.tracked)-0.5) > 0.05 {
		t.Errorf("%+v, error %v", s, err)
	}
}
