package frontend

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/vqvae"
)

// perturbed returns the log-mel spectrum [frames, 80] of samples, perturbed.
func perturbed(t *testing.T, samples []float32, p Perturbation, seed uint64) []float32 {
	t.Helper()
	f := mustNew(t, tiny(vqvae.LogMel))
	b := f.NewBatch(1, len(samples))
	f.Fill(&b, samples)
	levels := slices.Clone(b.Levels)
	f.Perturb(&b, p, rand.NewPCG(seed, 5))
	if !slices.Equal(b.Levels, levels) {
		t.Fatal("the levels changed")
	}
	return b.Input.Data
}

// tone is a second of a tone.
func tone(hz float64) []float32 {
	x := make([]float32, 16000)
	for i := range x {
		x[i] = float32(0.3 * math.Sin(2*math.Pi*hz*float64(i)/16000))
	}
	return x
}

// peak returns where among the bands the tallest of frame 50 is, by a parabola through it and its neighbours.
func peak(x []float32) float64 {
	row := x[50*80 : 51*80]
	m := 1
	for i := 1; i < 79; i++ {
		if row[i] > row[m] {
			m = i
		}
	}
	a, b, c := float64(row[m-1]), float64(row[m]), float64(row[m+1])
	return float64(m) + (a-c)/(2*(a-2*b+c))
}

// TestPerturbWarp: a tone that is warped looks like a tone of another frequency, up to Warp away, both ways.
func TestPerturbWarp(t *testing.T) {
	const warp = 0.3
	f := mustNew(t, tiny(vqvae.LogMel))
	band := func(hz float64) float64 {
		c := f.features.spectrum
		low, high := c.Scale.Mel(c.Low), c.Scale.Mel(c.High)
		return (c.Scale.Mel(hz)-low)/(high-low)*81 - 1
	}
	least, most := math.Inf(1), math.Inf(-1)
	for seed := range uint64(40) {
		var ways []float64
		for _, hz := range []float64{500, 1500, 3500} {
			at := peak(perturbed(t, tone(hz), Perturbation{Warp: warp}, seed))
			// The band that shows the tone is taken from the tone's: its middle times exp(w) is the tone's frequency.
			c := f.features.spectrum
			low, high := c.Scale.Mel(c.Low), c.Scale.Mel(c.High)
			ways = append(ways, math.Log(hz/c.Scale.Hz(low+(at+1)/81*(high-low))))
		}
		for _, w := range ways {
			if math.Abs(w-ways[0]) > 0.03 {
				t.Errorf("seed %d: tones are warped by %.3f", seed, ways)
			}
		}
		least, most = min(least, ways[0]), max(most, ways[0])
	}
	if least < -warp-0.03 || most > warp+0.03 || least > -warp*0.8 || most < warp*0.8 {
		t.Errorf("warped by %.3f to %.3f, want to fill -0.3 to 0.3", least, most)
	}
	if at := peak(perturbed(t, tone(1500), Perturbation{Colour: 1e-9}, 1)); math.Abs(at-band(1500)) > 0.3 {
		t.Errorf("without a warp a tone of 1500 Hz is at band %.2f, want %.2f", at, band(1500))
	}
}

// TestPerturbColour: the level changes by the same smooth curve in every frame, other ones for other sequences and seeds.
func TestPerturbColour(t *testing.T) {
	x := noise(16000, 1)
	plain := perturbed(t, x, Perturbation{}, 1)
	curve := func(seed uint64) []float64 {
		y := perturbed(t, x, Perturbation{Colour: 6}, seed)
		c := make([]float64, 80)
		for i := range y {
			d := float64(y[i]-plain[i]) * 10 / math.Ln10 // dB
			if i < 80 {
				c[i] = d
			} else if math.Abs(d-c[i%80]) > 1e-4 {
				t.Fatalf("frame %d, band %d: %.5f dB, in the first frame %.5f", i/80, i%80, d, c[i%80])
			}
		}
		return c
	}
	first, second := curve(1), curve(2)
	if slices.Equal(first, second) || !slices.Equal(first, curve(1)) {
		t.Error("the curve does not depend on the seed alone")
	}
	largest := 0.0
	for m := range first {
		largest = max(largest, math.Abs(first[m]))
		if m > 0 && math.Abs(first[m]-first[m-1]) > 28*math.Pi*6/80 {
			t.Errorf("%.2f dB, then %.2f", first[m-1], first[m])
		}
	}
	if largest < 1 || largest > 48 {
		t.Errorf("at most %.2f dB", largest)
	}
}

func TestPerturbationCheck(t *testing.T) {
	for _, c := range []struct {
		input string
		p     Perturbation
		want  string
	}{
		{vqvae.LogMel, Perturbation{Warp: 0.2, Colour: 6}, ""},
		{vqvae.Wave, Perturbation{}, ""},
		{vqvae.Wave, Perturbation{Warp: 0.2}, `encoder input "wave"`},
		{vqvae.MFCC, Perturbation{Colour: 1}, `encoder input "mfcc"`},
		{vqvae.LogMel, Perturbation{Warp: 2}, "warp 2"},
		{vqvae.Wave, Perturbation{Noise: 1}, ""},
		{vqvae.Wave, Perturbation{Noise: -1}, "noise -1"},
		{"", Perturbation{}, ""},
		{"", Perturbation{Noise: 1}, "model of pictures"},
		{vqvae.LogMel, Perturbation{Warp: math.NaN()}, "warp NaN"},
		{vqvae.LogMel, Perturbation{Colour: -1}, "colour -1"},
	} {
		config := tiny(c.input)
		if c.input == "" {
			config = vqvae.Config{Image: &vqvae.ImageConfig{}}
		}
		if err := c.p.Check(config); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v with %s: %v, want %q", c.p, c.input, err, c.want)
		}
	}
}

// TestPerturbNoise: the past is the sound in noise that is between the loudest asked for and 45 dB below it; what is to be predicted, and the
// encoder's input, stay.
func TestPerturbNoise(t *testing.T) {
	for _, mixture := range []int{0, 3} {
		c := tiny(vqvae.Wave)
		c.Levels = 1 << 12
		if c.Decoder.Mixture = mixture; mixture > 0 {
			c.Levels = 1 << 16
		}
		f := mustNew(t, c)
		b := f.NewBatch(8, 16000)
		var x []float32
		for s := range 8 {
			level := float32(math.Pow(0.6, float64(s)))
			for _, v := range tone(440) {
				x = append(x, level*v)
			}
		}
		f.Fill(&b, x)
		input, levels := slices.Clone(b.Input.Data), slices.Clone(b.Levels)
		src := rand.NewPCG(3, 4)
		least, most := math.Inf(1), math.Inf(-1)
		sounds, past, n := make([]float32, len(b.Levels)), make([]float32, len(b.Levels)), len(b.Levels)/8
		f.Samples(sounds, b.Levels)
		for range 20 {
			f.Perturb(&b, Perturbation{Noise: 0.5}, src)
			f.Samples(past, b.Past)
			for s := range 8 {
				noise, sound := 0.0, 0.0
				for i := s * n; i < (s+1)*n; i++ {
					noise += float64(past[i]-sounds[i]) * float64(past[i]-sounds[i])
					sound += float64(sounds[i]) * float64(sounds[i])
				}
				ratio := 10 * math.Log10(noise/sound)
				least, most = min(least, ratio), max(most, ratio)
			}
		}
		if least < -6.1-45-1 || least > -6-40 || most > -6+0.2 || most < -6-3 {
			t.Errorf("mixture of %d: noise %.1f to %.1f dB above the sound, want -51 to -6", mixture, least, most)
		}
		if !slices.Equal(b.Input.Data, input) || !slices.Equal(b.Levels, levels) {
			t.Error("input or levels changed")
		}
	}
}

// TestPerturbHiss: noise fills what is soft, by a level between the loudest asked for and 45 dB below it, and leaves what is loud.
func TestPerturbHiss(t *testing.T) {
	x := tone(1000)
	plain := perturbed(t, x, Perturbation{}, 1)
	least, most := math.Inf(1), math.Inf(-1)
	for seed := range uint64(60) {
		y := perturbed(t, x, Perturbation{Hiss: 0.3}, seed)
		mean := 0.0 // power, of the tone
		for _, v := range plain {
			mean += math.Exp(float64(v)) / float64(len(plain))
		}
		noise := 0.0 // of a frame, in the mean of the bands
		for m := range 80 {
			before, after := math.Exp(float64(plain[50*80+m])), math.Exp(float64(y[50*80+m]))
			if after < before*0.999 {
				t.Fatalf("seed %d: band %d loses power", seed, m)
			}
			noise += max(0, after-before) / 80
		}
		level := 10 * math.Log10(noise/mean) // the tilt makes it differ by up to 3.5 dB
		least, most = min(least, level), max(most, level)
	}
	if loudest := 20 * math.Log10(0.3); least < loudest-45-1 || least > loudest-35 || most > loudest+4 || most < loudest-6 {
		t.Errorf("noise %.1f to %.1f dB above the mean power", least, most)
	}
}
