package evaluate

import (
	"maps"
	"math"
	"testing"
)

func TestDivergence(t *testing.T) {
	counts := func(n ...int64) map[int64]int64 {
		m := map[int64]int64{}
		for i, v := range n {
			if v > 0 {
				m[int64(i)] = v
			}
		}
		return m
	}
	for _, c := range []struct {
		p, q map[int64]int64
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
	s := describeUnits(4, [][]int32{{3, 3, 1, 1, 1, 3}, {}, {2}})
	if got, want := ones(s.counts), map[int64]int64{0: 0, 1: 3, 2: 1, 3: 3}; !maps.Equal(got, want) {
		t.Errorf("units %v, want %v", got, want)
	}
	if want := map[int64]int64{1: 2, 2: 1, 3: 1}; !maps.Equal(s.runs, want) {
		t.Errorf("runs %v, want %v", s.runs, want)
	}
	if got, want := pairs(s.counts), map[int64]int64{3*4 + 3: 1, 3*4 + 1: 1, 1*4 + 1: 2, 1*4 + 3: 1}; !maps.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
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
