package evaluate

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// countsOf returns counts of frames [codes][phones].
func countsOf(frames [][]int64) *PhoneCounts {
	c := new(PhoneCounts)
	for z, row := range frames {
		for y, n := range row {
			c.Add(int32(z), int32(y), n)
		}
	}
	return c
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 }

func TestPhoneFigures(t *testing.T) {
	ln := math.Log
	for _, c := range []struct {
		name        string
		fit, scored [][]int64
		want        PhoneFigures
	}{
		{
			// 10 frames. The most frequent phones have 3, 2 and 2 of them, the most frequent codes 3 and 2. H(y) = ln 2, and I(y; z) =
			// 0.3 ln(0.3 / 0.4 / 0.5) + 0.1 ln(0.1 / 0.4 / 0.5) + 0.2 ln(0.2 / 0.4 / 0.5) twice + 0.2 ln(0.2 / 0.2 / 0.5).
			// The map takes 0 to phone 1 (1 frame right), 1 to 0 (2), and 2, which it does not know, to 1 (2).
			"by hand", [][]int64{{0, 5}, {1, 0}, {0, 0}, {0, 1}}, [][]int64{{3, 1}, {2, 2}, {0, 2}},
			PhoneFigures{0.5, 0.7, 0.5, (0.3*ln(1.5) + 0.1*ln(0.5) + 0.2*ln(2)) / ln(2)},
		},
		{"one to one", [][]int64{{0, 3, 0}, {2, 0, 0}, {0, 0, 2}}, [][]int64{{0, 1, 0}, {5, 0, 0}, {0, 0, 2}}, PhoneFigures{1, 1, 1, 1}},
		{"two codes for each phone", [][]int64{{1, 0}, {0, 1}, {1, 0}, {0, 1}}, [][]int64{{1, 0}, {0, 1}, {3, 0}, {0, 3}}, PhoneFigures{1, 1, 0.75, 1}},
		{"permuted", [][]int64{{0, 1}, {1, 0}}, [][]int64{{2, 0}, {0, 3}}, PhoneFigures{0, 1, 1, 1}},
		{"nothing known", [][]int64{{4, 2}, {2, 1}}, [][]int64{{4, 2}, {2, 1}}, PhoneFigures{6.0 / 9, 6.0 / 9, 6.0 / 9, 0}},
		{"equally frequent", [][]int64{{1, 1}}, [][]int64{{1, 3}}, PhoneFigures{0.25, 0.75, 1, 0}},
		{"one phone", [][]int64{{1}, {1}}, [][]int64{{1}, {1}}, PhoneFigures{1, 1, 0.5, 0}},
		{"nothing to score", [][]int64{{1, 1}}, nil, PhoneFigures{}},
		{"nothing fitted", nil, [][]int64{{1, 1}}, PhoneFigures{0, 0.5, 1, 0}},
	} {
		got := countsOf(c.scored).figures(countsOf(c.fit).fit())
		if !near(got.Accuracy, c.want.Accuracy) || !near(got.PhonePurity, c.want.PhonePurity) || !near(got.ClusterPurity, c.want.ClusterPurity) || !near(got.PNMI, c.want.PNMI) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestScorePhones(t *testing.T) {
	fit := countsOf([][]int64{{3000, 0, 0}, {0, 2000, 0}, {0, 0, 1000}})
	scored := countsOf([][]int64{{30000, 0, 0}, {0, 20000, 0}, {0, 0, 10000}})
	got := ScorePhones(fit, scored, rand.NewPCG(1, 2))
	if got.Classes != 3 || got.Frames != 60000 || got.Fitted != 6000 || got.PhoneFigures != (PhoneFigures{1, 1, 1, 1}) {
		t.Errorf("%+v", got)
	}
	// Random codes: the most frequent phone is half of the frames, and the most frequent code of each is half of its own.
	if r := got.Random; math.Abs(r.Accuracy-0.5) > 1e-9 || math.Abs(r.PhonePurity-0.5) > 1e-9 || math.Abs(r.ClusterPurity-0.5) > 0.01 || r.PNMI > 0.001 {
		t.Errorf("random: %+v", r)
	}
	if again := ScorePhones(fit, scored, rand.NewPCG(1, 2)); again != got {
		t.Errorf("the same seed: %+v, then %+v", got, again)
	}
}

// TestRandomCodes checks that random codes are as frequent as those that they stand for, and that phones stay as they are.
func TestRandomCodes(t *testing.T) {
	c := countsOf([][]int64{{100000, 20000}, {0, 50000}, {30000, 0}})
	r := c.random(rand.NewPCG(1, 2))
	if got, want := r.totals(phoneOf), c.totals(phoneOf); !reflect.DeepEqual(got, want) {
		t.Errorf("phones %v, want %v", got, want)
	}
	for _, p := range r.sorted() {
		z, y := []float64{120, 50, 30}[p.code], []float64{130, 70}[p.phone]
		want := 1000 * z * y / 200
		if math.Abs(float64(p.n)-want) > 5*math.Sqrt(want) {
			t.Errorf("code %d with phone %d: %d frames, want about %.0f", p.code, p.phone, p.n, want)
		}
	}
	if got := new(PhoneCounts).random(rand.NewPCG(1, 2)).sorted(); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestPhoneMatrix(t *testing.T) {
	c := countsOf([][]int64{{1, 0, 3}, {0, 0, 0}, {0, 2, 2}, {0, 4, 0}, {0, 1, 5}})
	got := c.Matrix()
	want := PhoneMatrix{
		Phones: []int32{2, 1, 0}, // 10, 7 and 1 frames
		Codes:  []int32{4, 0, 3, 2},
		Of:     []int32{0, 0, 1, 1}, // of code 2's equally frequent phones the first
		P:      [][]float64{{5.0 / 6, 0.75, 0, 0.5}, {1.0 / 6, 0, 1, 0.5}, {0, 0.25, 0, 0}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
