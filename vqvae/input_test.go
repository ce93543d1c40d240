package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// features is a small model of an input, with a hop of 16 if that is features.
func features(input string) Config {
	c := tiny()
	c.Rate = 800
	c.Encoder = EncoderConfig{Input: input, Channels: []int{17, 18, 20}, Strides: []int{1, 2, 1}}
	return c
}

// spectra returns a batch whose input is far from standardised, each channel in its own way.
func spectra(c Config, size, frames int, seed uint64) Batch {
	b := noise(c, size, frames, seed)
	for r := range b.Input.Rows() {
		for i := range b.Input.Row(r) {
			b.Input.Row(r)[i] = -20 + float32(i) + b.Input.Row(r)[i]*float32(1+i%7)
		}
	}
	return b
}

func TestInputConfig(t *testing.T) {
	for _, test := range []struct {
		input               string
		channels, hop, code int
	}{{Wave, 1, 1, 2}, {LogMel, 80, 160, 320}, {MFCC, 39, 160, 320}} {
		c := features(test.input)
		c.Rate = 16000
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if c.Encoder.InputChannels() != test.channels || c.InputHop() != test.hop || c.Hop() != test.code || c.WaveNet().Hop != test.code {
			t.Errorf("%s: %d channels, hop %d, of codes %d", test.input, c.Encoder.InputChannels(), c.InputHop(), c.Hop())
		}
		c.Rate = 22050 // 220.5 samples in 10 ms
		if err := c.Check(); (err == nil) != (test.input == Wave) || err != nil && !strings.Contains(err.Error(), "multiple of 100") {
			t.Errorf("%s at 22050 Hz: %v", test.input, err)
		}
		c.Rate = 1 << 20 / 100 * 100
		c.Encoder.Strides[0] = 8
		if err := c.Check(); (err == nil) != (test.input == Wave) {
			t.Errorf("%s at %d Hz, 16 steps a code: %v", test.input, c.Rate, err)
		}
	}
	c := features("")
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), `input ""`) {
		t.Errorf("no input: %v", err)
	}
	if axis := features(Wave).Encoder.Stack()[0]; axis.Extent() != 3 || axis.Output(7) != 7 {
		t.Errorf("stride 1: %+v", axis)
	}
}

// TestStandardise compares mean and deviation with those of numbers that are known.
func TestStandardise(t *testing.T) {
	c := features(MFCC)
	e := NewEncoder(c.Encoder, 4, dilated.Float32, rand.NewPCG(1, 2))
	const rows = 4
	x, y := tensor.New(1, rows, 39), tensor.New(2, 1, 39)
	nan := float32(math.NaN())
	for i := range 39 {
		for r, v := range []float32{-3, -1, 1, 3} { // mean 0, variance 5
			x.Row(r)[i] = float32(100*i) + v*float32(i)
		}
		x.Row(0)[1], x.Row(1)[1], x.Row(2)[1], x.Row(3)[1] = 0.1, 0.1, 0.1, 0.1
		y.Row(0)[i] = nan
	}
	copy(y.Row(1), x.Row(1))
	y.Row(1)[38] = float32(math.Inf(1))
	e.Standardise([]tensor.Tensor{y}) // nothing
	if e.Mean.Data[5] != 0 || e.Deviation.Data[5] != 1 {
		t.Errorf("mean %v, deviation %v of nothing", e.Mean.Data[5], e.Deviation.Data[5])
	}
	e.Standardise([]tensor.Tensor{x, y})
	for i := range 39 {
		mean, deviation := float32(100*i), float32(float64(i)*math.Sqrt(5))
		switch i {
		case 0:
			deviation = 1 // it is 0 everywhere
		case 1:
			mean, deviation = 0.1, 1 // the same everywhere
		}
		if m, d := e.Mean.Data[i], e.Deviation.Data[i]; m != mean || math.Abs(float64(d-deviation)) > 1e-6*float64(deviation) {
			t.Errorf("channel %d: mean %v, deviation %v, want %v and %v", i, m, d, mean, deviation)
		}
	}
	wave := NewEncoder(features(Wave).Encoder, 4, dilated.Float32, rand.NewPCG(1, 2))
	wave.Standardise([]tensor.Tensor{tensor.New(1, 5, 1)})
	if len(wave.State()) != 0 {
		t.Errorf("a waveform is standardised: %v", wave.State())
	}
}

// TestStandardised compares an encoder of features with one that is given what they are when standardised.
func TestStandardised(t *testing.T) {
	for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
		c := features(LogMel)
		m := newModel(t, c, dilated.Float32)
		b := spectra(c, 3, 5, 1)
		plain := *m.Encoder.With(precision)
		plain.Mean, plain.Deviation = tensor.Tensor{}, tensor.Tensor{}
		m.Encoder.Standardise([]tensor.Tensor{b.Input})

		x := tensor.New(b.Input.Shape()...)
		for r := range x.Rows() {
			for i, v := range b.Input.Row(r) {
				x.Row(r)[i] = (v - m.Encoder.Mean.Data[i]) / m.Encoder.Deviation.Data[i]
			}
		}
		a := &tensor.Arena{Poison: true}
		want, _ := plain.Forward(a, x)
		for name, e := range map[string]*Encoder{"With": m.Encoder.With(precision), "frozen": m.Encoder.With(precision).frozen()} {
			if z, _ := e.Forward(a, b.Input); !equal([][]float32{z.Data}, [][]float32{want.Data}) {
				t.Errorf("precision %d, %s: other outputs than those of the standardised features", precision, name)
			}
		}
	}
}

// TestFeatureGradients: the gradients of an encoder of features, through their standardisation, by differences in float32, and
// those of bfloat16 by those.
func TestFeatureGradients(t *testing.T) {
	centred := features(LogMel)
	centred.Encoder.Centre = 2
	for name, c := range map[string]Config{LogMel: features(LogMel), MFCC: features(MFCC), "centred": centred} {
		t.Run(name, func(t *testing.T) {
			src := rand.NewPCG(1, 2)
			e := NewEncoder(c.Encoder, 7, dilated.Float32, src)
			x := spectra(c, 2, 9, 3).Input
			e.Standardise([]tensor.Tensor{x})
			for _, p := range e.Parameters() {
				nn.Normal(p.Value, 0.2, src)
			}
			a := new(tensor.Arena)
			leaveKinks(e, e.standardised(a, x))
			z, saved := e.Forward(a, x)
			dz := random(src, z.Shape()...)
			e.Backward(a, saved, dz)
			var parts []gradcheck.Part
			var want []float32
			for _, p := range e.Parameters() {
				parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: p.Grad.Data})
				want = append(want, p.Grad.Data...)
			}
			if err := gradcheck.Directional(func() float64 {
				z, _ := e.Forward(new(tensor.Arena), x)
				return inner(z.Data, dz.Data)
			}, src, parts...); err != nil {
				t.Error(err)
			}
			e.Parameters().ZeroGrad()
			mixed := e.With(dilated.BFloat16)
			_, saved = mixed.Forward(a, x)
			mixed.Backward(a, saved, dz)
			var got []float32
			for _, p := range e.Parameters() {
				got = append(got, p.Grad.Data...)
			}
			if cosine := inner(got, want) / math.Sqrt(inner(got, got)*inner(want, want)); !(cosine > 0.99 && cosine < 1-1e-9) {
				t.Errorf("gradients in bfloat16 and float32: cosine %v", cosine)
			}
		})
	}
}

// TestFeatureThreads trains on features for some steps on several numbers of threads.
func TestFeatureThreads(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for _, input := range []string{LogMel, MFCC} {
		for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
			var want [][]float32
			for _, threads := range []int{1, 2, 5} {
				parallel.SetThreads(threads)
				c := features(input)
				c.Bottleneck.Jitter = 0.3
				m := newModel(t, c, precision)
				m.Encoder.Standardise([]tensor.Tensor{spectra(c, 4, 20, 9).Input})
				ps, src, a := m.Parameters(), rand.NewPCG(1, 1), new(tensor.Arena)
				optimiser := nn.NewAdam(ps)
				before := snapshot(m.Encoder.State())
				for step := range 3 {
					ps.ZeroGrad()
					m.Step(a, spectra(c, 3, 50, uint64(step)), src)
					optimiser.Step(1e-3)
					m.Update(src)
					a.Reset()
				}
				if !equal(snapshot(m.Encoder.State()), before) {
					t.Errorf("%s: training moves the standardisation", input)
				}
				got := append(snapshot(ps), snapshot(m.State())...)
				if want == nil {
					want = got
				} else if !equal(got, want) {
					t.Errorf("%s, precision %d: other weights or state on %d threads", input, precision, threads)
				}
			}
		}
	}
}

// TestFeatureState: the standardisation is state, and a part of what a file must hold.
func TestFeatureState(t *testing.T) {
	for input, want := range map[string][]string{Wave: nil, LogMel: {"encoder.mean", "encoder.deviation"}, MFCC: {"encoder.mean", "encoder.deviation"}} {
		c := features(input)
		m := newModel(t, c, dilated.Float32)
		var names []string
		for _, p := range m.State() {
			if strings.HasPrefix(p.Name, "encoder.") {
				names = append(names, p.Name)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: state %q, want %q", input, names, want)
		}
		if got, want := c.Elements(3), int64(m.Parameters().Count()+m.State().Count()); got != want {
			t.Errorf("%s: %d elements, the model has %d", input, got, want)
		}
	}
}

// TestFeatureStream compares streams of features in pieces with the whole.
func TestFeatureStream(t *testing.T) {
	for _, input := range []string{LogMel, MFCC} {
		for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
			m := newModel(t, features(input), precision)
			s := NewStream(m)
			for _, block := range []int{1, 5, s.block} {
				for _, n := range []int{0, 1, 2, 41, 3*min(block, 100) + 2} {
					s.block = block
					t.Run(fmt.Sprintf("%s/precision%d/block%d/%d", input, precision, block, n), func(t *testing.T) { testStream(t, m, s, n) })
				}
			}
		}
	}
}
