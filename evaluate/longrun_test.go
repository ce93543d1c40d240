package evaluate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/wavenet"
)

func testPrior(t *testing.T) *prior.Prior {
	t.Helper()
	c := prior.Config{Codes: testConfig.Bottleneck.Codes(), Rate: testConfig.Rate, Hop: testConfig.Hop(), Model: "0123456789abcdef",
		Residual: 8, Skip: 8, Layers: 3, Cycles: 1}
	p, err := prior.New(c, nil, dilated.Float32, rand.NewPCG(3, 4))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLongRun compares with what prior and model make one after the other, all at once.
func TestLongRun(t *testing.T) {
	m, p := testModel(t, testConfig), testPrior(t)
	o := LongRunOptions{Seconds: 1.95, Speaker: 1, Known: p.Nobody(), Drawing: wavenet.Drawing{Temperature: 1}, Precision: wavenet.Float32, Seed: 3}
	told := 0
	o.Progress = func(what, unit string, done, total int) { told++ }
	r, err := LongRun(t.Context(), m, p, o)
	if err != nil {
		t.Fatal(err)
	}
	frames := 16 // 1.95 s of 500 codes a second, in 60 parts
	if len(r.Parts) != 60 || math.Abs(r.Seconds-float64(60*frames*16)/8000) > 1e-9 || r.Parts[59].Until != r.Seconds || told != 1 {
		t.Fatalf("%d parts, %v s, told %d times", len(r.Parts), r.Seconds, told)
	}

	g := p.NewGenerator(o.Known, o.Drawing, rand.New(rand.NewPCG(3, 5)).Float64)
	codes := make([]int32, 60*frames)
	for i := range codes {
		codes[i] = g.Next()
	}
	levels, err := NewReconstruction(m).Draw(t.Context(), m.Quantiser.Embed(new(tensor.Arena), codes), 1, 1, rand.NewPCG(3, 6))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCoder(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range r.Parts {
		n := frames * 16
		samples, squares := make([]float32, n), 0.0
		c.front.Samples(samples, levels[i*n:(i+1)*n])
		for _, x := range samples {
			squares += float64(x) * float64(x)
		}
		of := prior.Count(c.entries(), []prior.Utterance{{Codes: codes[i*frames : (i+1)*frames]}})
		if math.Abs(part.Level-10*math.Log10(squares/float64(n))) > 1e-9 || part.Entropy != of.Entropy() || part.Pairwise != of.ConditionalEntropy() || !(part.Memory > 0) {
			t.Errorf("part %d: %+v", i, part)
		}
	}
	mean := r.Mean(r.Parts[:2])
	if want := 10 * math.Log10((math.Pow(10, r.Parts[0].Level/10)+math.Pow(10, r.Parts[1].Level/10))/2); math.Abs(mean.Level-want) > 1e-9 ||
		math.Abs(mean.Entropy-(r.Parts[0].Entropy+r.Parts[1].Entropy)/2) > 1e-12 || mean.Until != r.Parts[1].Until {
		t.Errorf("mean %+v", mean)
	}
	o.Seed = 4
	if other, err := LongRun(t.Context(), m, p, o); err != nil || reflect.DeepEqual(other.Parts[0].Level, r.Parts[0].Level) {
		t.Errorf("another seed changes nothing: %v", err)
	}

	o.Seconds = 0.01
	if _, err := LongRun(t.Context(), m, p, o); err == nil || !strings.Contains(err.Error(), "a code in each") {
		t.Errorf("too short: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Seconds, o.Progress = 3600, func(string, string, int, int) { cancel() }
	if _, err := LongRun(ctx, m, p, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
