package frontend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Perturbation is how what a model sees in training differs from the speech that its decoder is to predict. The zero value is not
// at all.
//
// The encoder sees speech that sounds like that of others: so it pays for codes to say what is said, and to leave the voice to
// the speaker's embedding. (Warping is vocal tract length perturbation: Jaitly & Hinton 2013; hiding the speaker from an encoder
// so: Choi et al., arXiv 2110.14513.)
//
// The decoder sees its past in noise: so it leans on codes and speaker, and learns to find back to them from what it has drawn
// itself. (Noise in the past: Jin et al., FFTNet, ICASSP 2018.)
type Perturbation struct {
	// Warp: what is at the frequency f comes from f*exp(w), w drawn evenly from -Warp to Warp for each sequence: another length of the
	// vocal tract, another pitch.
	Warp float64

	// Colour: the level, in dB, follows a smooth curve over the bands, the same for a whole sequence: a sum of eight cosines, of 0 to
	// 7 half periods over all bands, each drawn evenly from -Colour to Colour. Another microphone, another distance.
	Colour float64

	// Hiss: noise that the encoder hears, white or falling by up to 20 dB over the bands: as Noise for how loud it is.
	Hiss float64

	// Noise: white noise in the decoder's past, whose deviation is Noise times the root mean square of the sequence, or up to 45 dB less, drawn evenly in
	// dB for each sequence.
	Noise float64
}

// noiseRange is how far below the loudest noise the softest is, in dB.
const noiseRange = 45

// The largest perturbations there are: two octaves, 60 dB, and 40 dB above the sound.
const (
	maxWarp   = 1.4
	maxColour = 60
	maxNoise  = 100
)

// colours is the number of cosines of a curve.
const colours = 8

// Check returns what is wrong with the perturbation, for models of the configuration: of what an encoder sees, only log-mel spectra
// can be perturbed.
func (p Perturbation) Check(c vqvae.Config) error {
	if !(p.Warp >= 0 && p.Warp <= maxWarp) {
		return fmt.Errorf("warp %g: want 0 to %g", p.Warp, maxWarp)
	}
	if !(p.Colour >= 0 && p.Colour <= maxColour) {
		return fmt.Errorf("colour %g: want 0 to %d dB", p.Colour, maxColour)
	}
	if !(p.Hiss >= 0 && p.Hiss <= maxNoise) {
		return fmt.Errorf("hiss %g: want 0 to %d", p.Hiss, maxNoise)
	}
	if !(p.Noise >= 0 && p.Noise <= maxNoise) {
		return fmt.Errorf("noise %g: want 0 to %d", p.Noise, maxNoise)
	}
	if p != (Perturbation{}) && c.Image != nil {
		return fmt.Errorf("warp %g, colour %g, hiss %g and noise %g for a model of pictures: want 0", p.Warp, p.Colour, p.Hiss, p.Noise)
	}
	if p.disguises() && c.Encoder.Input != vqvae.LogMel {
		return fmt.Errorf("warp %g, colour %g and hiss %g with the encoder input %q: want 0, or %q", p.Warp, p.Colour, p.Hiss, c.Encoder.Input, vqvae.LogMel)
	}
	return nil
}

// disguises reports whether the encoder sees something else than the speech.
func (p Perturbation) disguises() bool { return p.Warp > 0 || p.Colour > 0 || p.Hiss > 0 }

// Perturb changes the input of b, which Fill has made, and makes its past, with numbers from src. The levels stay as they are. The
// perturbation has passed its Check.
func (f *Frontend) Perturb(b *vqvae.Batch, p Perturbation, src rand.Source) {
	random := rand.New(src)
	if p.disguises() {
		f.disguise(b, p, random)
	}
	if p.Noise > 0 {
		f.blur(b, p.Noise, random)
	}
}

// disguise puts the input of b in noise, warps and colours it.
func (f *Frontend) disguise(b *vqvae.Batch, p Perturbation, random *rand.Rand) {
	bands := b.Input.Channels()
	places, row := make([]float64, bands), make([]float32, bands)
	frames := b.Input.Dim(1)
	for s := range b.Size {
		if p.Hiss > 0 {
			hiss(b.Input.Data[s*frames*bands:(s+1)*frames*bands], bands, p.Hiss, random)
		}
		f.warp(places, p.Warp*(2*random.Float64()-1))
		curve := spectrum.Colour(bands, 0, colours-1, p.Colour, random)
		for r := s * frames; r < (s+1)*frames; r++ {
			x := b.Input.Row(r)
			copy(row, x)
			for m, place := range places {
				i := min(int(place), bands-2)
				share := float32(place - float64(i))
				x[m] = float32(row[i]*(1-share)) + float32(row[i+1]*share) + float32(curve[m])
			}
		}
	}
}

// hiss adds noise to a log-mel spectrum.
func hiss(x []float32, bands int, loudest float64, random *rand.Rand) {
	level := 20*math.Log10(loudest) - noiseRange*random.Float64()
	noise, power := spectrum.Hiss(bands, level, random), spectrum.MeanPower(x)
	for i, v := range x {
		x[i] = float32(math.Log(math.Exp(float64(v)) + power*noise[i%bands]))
	}
}

// warp fills places with where among the bands, in numbers of bands from 0 to the last, the band of each number is taken from: that
// of its middle times exp(w). Beyond the first and the last band those take their place.
func (f *Frontend) warp(places []float64, w float64) {
	c := f.features.spectrum
	low, high, n := c.Scale.Mel(c.Low), c.Scale.Mel(c.High), float64(len(places)+1)
	middles := c.Scale.Frequencies(len(places)+2, c.Low, c.High)[1:]
	for m := range places {
		at := (c.Scale.Mel(middles[m]*math.Exp(w)) - low) / (high - low) * n
		places[m] = min(max(at-1, 0), float64(len(places)-1))
	}
}

// blur makes the past of b: its levels in noise.
func (f *Frontend) blur(b *vqvae.Batch, noise float64, random *rand.Rand) {
	if len(b.Past) != len(b.Levels) {
		b.Past = make([]int32, len(b.Levels))
	}
	n := len(b.Levels) / b.Size
	scratch := f.scratch.Get()
	defer f.scratch.Put(scratch)
	*scratch = slices.Grow((*scratch)[:0], n)[:n]
	samples := *scratch
	for from := 0; from < len(b.Levels); from += n {
		f.law.DecodeAll(samples, b.Levels[from:from+n])
		squares := 0.0
		for _, x := range samples {
			squares += float64(x) * float64(x)
		}
		deviation := noise * math.Sqrt(squares/float64(n)) * math.Pow(10, -noiseRange*random.Float64()/20)
		for i, x := range samples {
			samples[i] = float32(max(-1, min(1, float64(x)+float64(deviation*random.NormFloat64()))))
		}
		f.law.EncodeAll(b.Past[from:from+n], samples)
	}
}
