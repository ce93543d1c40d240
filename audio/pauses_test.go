package audio

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPauses wants pauses where they are, however the sound comes.
func TestPauses(t *testing.T) {
	const rate = 8000
	r := rand.New(rand.NewPCG(1, 2))
	var sound []float64
	add := func(seconds, amplitude float64) {
		for range int(seconds * rate) {
			sound = append(sound, amplitude*r.NormFloat64())
		}
	}
	const loud, quiet = 0.1, 0.0005 // -20 and -66 dBFS
	add(2, quiet)                   // before speech there is no pause
	add(1.5, loud)
	add(0.35, quiet) // too short
	add(1, loud)
	add(3, quiet) // one
	add(0.5, loud)
	add(1, quiet) // too soon
	add(0.6, loud)
	add(0.5, quiet) // another
	want := []int64{(2 + 1.5 + 0.35 + 1 + 0.4) * rate, (2 + 1.5 + 0.35 + 1 + 3 + 0.5 + 1 + 0.6 + 0.4) * rate}
	for _, piece := range []int{1, 37, 80, 1000, len(sound)} {
		p := NewPauses(rate, -20)
		var got []int64
		for block := range slices.Chunk(sound, piece) {
			got = append(got, p.Add(block)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: pauses at %v, want %v", piece, got, want)
		}
	}
	if got := NewPauses(1, -20).Add(make([]float64, 100)); got != nil {
		t.Errorf("in silence: %v", got)
	}
}
