package vqvae

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/tensor"
)

// speechlike returns spectra [size, frames, 80] whose frames are loud or soft, with a colour of their own for each sequence.
func speechlike(size, frames int, colour float64, seed uint64) tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	x := tensor.New(size, frames, logMelBands)
	for s := range size {
		for t := range frames {
			level := -12 * r.Float64()
			for i := range x.Row(s*frames + t) {
				x.Row(s*frames + t)[i] = float32(level + 2*r.NormFloat64() + colour*math.Sin(float64(i+s)))
			}
		}
	}
	return x
}

// TestCentred compares with the definition, frame by frame.
func TestCentred(t *testing.T) {
	for _, frames := range []int{1, 2, 7, 40} {
		for _, reach := range []int{1, 3, 100} {
			x := speechlike(2, frames, 3, uint64(frames))
			got := centred(&tensor.Arena{Poison: true}, x, reach)
			power := func(row []float32) float64 {
				sum := 0.0
				for _, v := range row {
					sum += math.Exp(float64(v))
				}
				return sum
			}
			floored := 0
			for s := range 2 {
				for at := range frames {
					var around [][]float32
					for k := max(0, at-reach); k <= min(frames-1, at+reach); k++ {
						around = append(around, x.Row(s*frames+k))
					}
					loudest := power(slices.MaxFunc(around, func(a, b []float32) int { return int(math.Copysign(1, power(a)-power(b))) }))
					around = slices.DeleteFunc(around, func(row []float32) bool { return power(row) < loudest/1000 })
					mean, level := make([]float64, logMelBands), 0.0
					for i := range mean {
						for _, row := range around {
							mean[i] += float64(row[i]) / float64(len(around))
						}
						level += mean[i] / logMelBands
					}
					for i, v := range x.Row(s*frames + at) {
						want := float64(v) - mean[i]
						if want < -3*math.Ln10 {
							want = -3 * math.Ln10
							floored++
						}
						want += level
						if y := float64(got.Row(s*frames + at)[i]); math.Abs(y-want) > 1e-4 {
							t.Fatalf("%d frames, reach %d, frame %d of sequence %d, band %d: %v, want %v", frames, reach, at, s, i, y, want)
						}
					}
				}
			}
			if frames == 40 && (floored == 0 || floored > 2*frames*logMelBands/2) {
				t.Errorf("%d of %d numbers at the floor: the test shows nothing", floored, 2*frames*logMelBands)
			}
		}
	}
}

// TestCentredColour: a microphone is taken off, a level is not.
func TestCentredColour(t *testing.T) {
	x := speechlike(1, 30, 0, 4)
	other := tensor.New(x.Shape()...)
	for i, v := range x.Data { // a slope that leaves the loudness of frames in the same order
		other.Data[i] = v + 5
	}
	a := new(tensor.Arena)
	plain, changed := centred(a, x, 10), centred(a, other, 10)
	for i, v := range plain.Data {
		if math.Abs(float64(changed.Data[i]-v-5)) > 1e-4 {
			t.Fatalf("element %d: %v, 22 dB louder %v", i, v, changed.Data[i])
		}
	}
	for i := range other.Data {
		other.Data[i] = x.Data[i] + 0.05*(float32(i%logMelBands)-39.5)
	}
	changed = centred(a, other, 10)
	moved := 0.0
	for i, v := range plain.Data {
		moved += math.Abs(float64(changed.Data[i]-v)) / float64(len(plain.Data))
	}
	if moved > 0.1 { // of 2 on average: which frames count as silence may differ
		t.Errorf("a slope of 17 dB moves a number by %v on average", moved)
	}
}

// TestCentredSilence: silence stays what it is, and a frame that is not a number harms no other.
func TestCentredSilence(t *testing.T) {
	x := tensor.New(1, 5, logMelBands)
	for i := range x.Data {
		x.Data[i] = -23
	}
	for _, v := range centred(new(tensor.Arena), x, 2).Data {
		if math.Abs(float64(v+23)) > 1e-4 {
			t.Fatalf("%v of silence of -23", v)
		}
	}
	clear(x.Row(2))
	x.Row(2)[7] = float32(math.NaN())
	y := centred(new(tensor.Arena), x, 2)
	for r := range y.Rows() {
		for i, v := range y.Row(r) {
			if (v != v) != (r == 2 && i == 7) {
				t.Fatalf("frame %d, band %d: %v", r, i, v)
			}
		}
	}
}

func TestCentreConfig(t *testing.T) {
	for _, c := range []struct {
		input  string
		centre int
		ok     bool
	}{{LogMel, 0, true}, {LogMel, 150, true}, {LogMel, maxCentre, true}, {LogMel, maxCentre + 1, false}, {LogMel, -1, false}, {MFCC, 1, false}, {Wave, 1, false}} {
		config := features(c.input)
		config.Encoder.Centre = c.centre
		if err := config.Check(); (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "centred") {
			t.Errorf("%s, %d frames: %v", c.input, c.centre, err)
		}
	}
}
