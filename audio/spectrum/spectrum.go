// Package spectrum analyses sound: short-time Fourier transform, mel spectrogram, mel-frequency cepstral coefficients
// (MFCC) with their differences, energy, and fundamental frequency.
//
// An [Analyser] is made once from a [Config] and then used for any number of recordings, each a slice of mono samples from
// -1 to 1:
//
//	analyser, err := spectrum.New(spectrum.MFCC(16000)) // 13 coefficients, windows of 25 ms, every 10 ms
//	mfcc := analyser.MFCC(nil, samples)                 // [frames, 13]
//	features := spectrum.WithDeltas(nil, mfcc, 13, 2)   // [frames, 39]
//
// # Frames
//
// Frame t stands for the samples from t*Hop to (t+1)*Hop, as a code of a model that reduces time by Hop does: the middle of
// its window lies on sample t*Hop + Hop/2, whatever the length of the window. N samples have ceil(N/Hop) frames, so none
// have none, and one sample has a frame. What a window reads before the first sample and after the last is silence. All
// analyses here, [F0] too, place their frames so.
//
// Matrices are time-major and flat, [frames, bins]. Sums are in float64; features are handed out in float32, because
// models take them so. A frame whose window reads a NaN or an infinity is NaN in every number (its F0 is 0, unvoiced); it
// does no harm to frames that do not read it.
//
// A method that takes a dst overwrites it, makes a new one if it is too small (nil is), and returns it. With a dst that is
// large enough nothing is allocated.
//
// # Fast Fourier transform
//
// Transforms are those of gonum (gonum.org/v1/gonum/dsp/fourier), not of github.com/mjibson/go-dsp/fft, which the project's
// user named as the other choice. Both were measured on one core (Xeon, Go 1.26) with real input: time and
// allocated bytes of a transform, and the root-mean-square error relative to sums in 120 bits.
//
//	length              gonum                    go-dsp
//	   256    4.3 us    0 B  3.0e-16     21 us   15 kB  3.5e-16
//	   400    4.8 us    0 B  6.5e-16    194 us  200 kB  3.7e-14
//	   512    7.1 us    0 B  3.4e-16     34 us   30 kB  3.7e-16
//	  1024   13.0 us    0 B  3.4e-16     66 us   59 kB  3.7e-16
//	  2048   33.3 us    0 B  3.4e-16    136 us  117 kB  4.0e-16
package spectrum

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
)

// Config says what an [Analyser] does. [STFT], [LogMel] and [MFCC] are the usual ones, to be used as they are or changed.
type Config struct {
	Rate   int   // of the samples, Hz: at most 2^20
	Window int   // samples that a frame reads, at least 2
	Shape  Shape // weights of those samples
	Hop    int   // samples from a frame to the next
	// FFT is the length of the transform, Window to 2^20: what Window leaves of it is zeros. It is fast if it has no factors
	// but 2, 3 and 5.
	FFT int
	// Preemphasis takes that much of each sample from the one after it, which raises what is high: 0.97 in most MFCC, 0 for
	// nothing.
	Preemphasis float64

	Mels      int     // triangular filters, at most FFT/2; 0 for none, and then no Mel, LogMel and MFCC
	Scale     Scale   // on which they are evenly spaced
	Low, High float64 // Hz, where the first begins and the last ends: 0 <= Low < High <= Rate/2
	Floor     float64 // the least power of which a logarithm is taken, more than 0: 1e-10 is 100 dB below a full-scale sine

	Cepstra int // coefficients of the MFCC, the first included, at most Mels; 0 for none
	// Lifter L scales coefficient n by 1 + L/2 sin(pi n/L), so that all have about the same variance (HTK Book, equation
	// 5.12): 22 in most MFCC. 0 for none, as a distance between cepstra in dB needs it.
	Lifter float64
}

// Rates come out of files: what follows from them is bounded.
const maxRate, maxFFT = 1 << 20, 1 << 20

// Shape is the shape of a window. All are periodic: the largest weight is that of sample Window/2, and the weight that would
// follow the last is the first again.
type Shape int

const (
	Hann        Shape = iota // 0.5 - 0.5 cos: side lobes fall fast
	Hamming                  // 0.54 - 0.46 cos: the first side lobes are lower
	Rectangular              // all weights 1
)

// STFT is for spectrograms: Hann windows of 25 ms every 10 ms, a transform of at least twice their length.
func STFT(rate int) Config {
	c := Config{Rate: rate, Window: seconds(0.025, rate), Hop: seconds(0.01, rate), Floor: 1e-10}
	c.FFT = 2 * powerOfTwo(c.Window)
	return c
}

// LogMel is for models that take log-mel spectrograms: Hann windows of 25 ms every 10 ms, filters on the Slaney scale from 0
// to half the rate, as those of librosa.
func LogMel(rate, mels int) Config {
	c := STFT(rate)
	c.FFT = powerOfTwo(c.Window)
	c.Mels, c.Scale, c.High = mels, Slaney, float64(rate)/2
	return c
}

// MFCC is for speech recognition, unit discovery and speakers: 13 coefficients with that of the energy, of 26 filters on the
// HTK scale from 20 Hz to half the rate, Hamming windows of 25 ms every 10 ms, pre-emphasis 0.97, lifter 22.
func MFCC(rate int) Config {
	c := LogMel(rate, 26)
	c.Shape, c.Preemphasis = Hamming, 0.97
	c.Scale, c.Low = HTK, 20
	c.Cepstra, c.Lifter = 13, 22
	return c
}

// seconds returns the number of samples in s seconds.
func seconds(s float64, rate int) int { return int(math.Round(s * float64(rate))) }

// powerOfTwo returns the first power of two that is not less than n.
func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// Bins returns the number of frequencies of a spectrum, FFT/2 + 1: bin k is at k*Rate/FFT Hz.
func (c Config) Bins() int { return c.FFT/2 + 1 }

// Frames returns how many frames that many samples have: ceil(samples/Hop).
func (c Config) Frames(samples int) int { return frames(samples, c.Hop) }

func frames(samples, hop int) int {
	n := samples / hop
	if samples%hop > 0 {
		n++
	}
	return n
}

func (c Config) check() error {
	switch nyquist := float64(c.Rate) / 2; {
	case c.Rate < 1 || c.Rate > maxRate:
		return fmt.Errorf("spectrum: rate of %d Hz: want 1 to %d", c.Rate, maxRate)
	case c.Window < 2:
		return fmt.Errorf("spectrum: window of %d samples: want at least 2", c.Window)
	case c.Hop < 1:
		return fmt.Errorf("spectrum: hop of %d samples: want at least 1", c.Hop)
	case c.FFT < c.Window || c.FFT > maxFFT:
		return fmt.Errorf("spectrum: transform of length %d: want the window of %d to %d", c.FFT, c.Window, maxFFT)
	case c.Shape < Hann || c.Shape > Rectangular:
		return fmt.Errorf("spectrum: no window has shape %d", c.Shape)
	case !(c.Preemphasis >= 0 && c.Preemphasis <= 1):
		return fmt.Errorf("spectrum: pre-emphasis %v: want 0 to 1", c.Preemphasis)
	case c.Mels < 0 || c.Mels > c.FFT/2:
		return fmt.Errorf("spectrum: %d filters: want 0 to half of the transform's length of %d", c.Mels, c.FFT)
	case c.Mels > 0 && c.Scale != HTK && c.Scale != Slaney:
		return fmt.Errorf("spectrum: no mel scale has number %d", c.Scale)
	case c.Mels > 0 && !(c.Low >= 0 && c.Low < c.High && c.High <= nyquist):
		return fmt.Errorf("spectrum: filters from %v to %v Hz: want some range of 0 to %v", c.Low, c.High, nyquist)
	case !(c.Floor > 0 && c.Floor <= 1):
		return fmt.Errorf("spectrum: floor %v: want more than 0, at most 1", c.Floor)
	case c.Cepstra < 0 || c.Cepstra > c.Mels:
		return fmt.Errorf("spectrum: %d cepstral coefficients of %d filters: want at most as many", c.Cepstra, c.Mels)
	case !(c.Lifter >= 0 && c.Lifter <= math.MaxFloat64):
		return fmt.Errorf("spectrum: lifter %v: want 0 or more", c.Lifter)
	}
	return nil
}

// Analyser computes what its Config says. It holds the frame that it works on: each goroutine needs its own.
type Analyser struct {
	config  Config
	weights []float64 // of the window
	scale   float64   // of a squared magnitude, to make it a power
	filters []filter  // [Mels]
	cosines []float64 // [Cepstra, Mels]: the DCT, liftered

	fft       *fourier.FFT
	frame     []float64 // [FFT]
	transform []complex128
	power     []float64 // [Bins]
	mel       []float64 // [Mels]
}

// New returns an analyser, or an error that says what of the configuration does not fit.
func New(c Config) (*Analyser, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	a := &Analyser{
		config: c, weights: c.Shape.weights(c.Window),
		fft: fourier.NewFFT(c.FFT), frame: make([]float64, c.FFT), transform: make([]complex128, c.Bins()),
		power: make([]float64, c.Bins()), mel: make([]float64, c.Mels),
	}
	sum := 0.
	for _, w := range a.weights {
		sum += w
	}
	a.scale = 4 / (sum * sum)
	var err error
	if a.filters, err = c.filters(); err != nil {
		return nil, err
	}
	a.cosines = c.cosines()
	return a, nil
}

// Config returns what the analyser was made from.
func (a *Analyser) Config() Config { return a.config }

func (s Shape) weights(n int) []float64 {
	base := map[Shape]float64{Hann: 0.5, Hamming: 0.54, Rectangular: 1}[s]
	w := make([]float64, n)
	for i := range w {
		w[i] = base - (1-base)*math.Cos(2*math.Pi*float64(i)/float64(n))
	}
	return w
}

// STFT returns the short-time Fourier transform [frames, Bins] of x: the discrete Fourier transform of each frame, weighted
// by the window, from its first sample on, without any factor. A sine of amplitude A on a bin has there the magnitude A/2
// times the sum of the weights.
func (a *Analyser) STFT(dst []complex128, x []float64) []complex128 {
	frames, bins := a.config.Frames(len(x)), a.config.Bins()
	dst = sized(dst, frames*bins)
	for t := range frames {
		a.load(x, t)
		a.fft.Coefficients(dst[t*bins:(t+1)*bins], a.frame)
	}
	return dst
}

// Power returns the power spectrum [frames, Bins] of x. A sine of amplitude A on a bin, neither the first nor the last, has
// the power A*A there, whatever window and transform: 0 dB is a full-scale sine. It is the squared magnitude of the [STFT],
// divided by that of a sine of amplitude 1.
func (a *Analyser) Power(dst []float32, x []float64) []float32 {
	frames, bins := a.config.Frames(len(x)), a.config.Bins()
	dst = sized(dst, frames*bins)
	for t := range frames {
		a.spectrum(x, t)
		for k, p := range a.power {
			dst[t*bins+k] = float32(p)
		}
	}
	return dst
}

// LogEnergy returns the natural logarithm of the mean square of the samples of each frame [frames], all weighted alike and
// without pre-emphasis, not less than that of Floor. 10/ln 10 times that is the RMS level in dB, where 0 dB is
// a constant 1 and -3 dB a sine of amplitude 1.
func (a *Analyser) LogEnergy(dst []float32, x []float64) []float32 {
	dst = sized(dst, a.config.Frames(len(x)))
	for t := range dst {
		sum := 0.
		_, from, to := a.config.span(t, len(x))
		for _, v := range x[from:to] {
			sum += v * v
		}
		if math.IsInf(sum, 0) {
			sum = math.NaN()
		}
		dst[t] = float32(math.Log(max(sum/float64(a.config.Window), a.config.Floor)))
	}
	return dst
}

// span returns where the window of frame t begins, and which of n samples it reads.
func (c Config) span(t, n int) (start, from, to int) {
	start = t*c.Hop + c.Hop/2 - c.Window/2
	return start, min(max(start, 0), n), min(max(start+c.Window, 0), n)
}

// load fills frame with frame t of x.
func (a *Analyser) load(x []float64, t int) {
	clear(a.frame[:a.config.Window])
	start, from, to := a.config.span(t, len(x))
	if from == to {
		return
	}
	frame, weights := a.frame[from-start:to-start], a.weights[from-start:to-start]
	before, check := 0., 0.
	if from > 0 {
		before = x[from-1]
	}
	for i, v := range x[from:to] {
		y := v - a.config.Preemphasis*before
		frame[i] = weights[i] * y
		check += y - y
		before = v
	}
	if check != 0 { // it is NaN: so was a sample, or infinite
		clear(frame)
		a.frame[0] = check
	}
}

// spectrum fills power for frame t of x.
func (a *Analyser) spectrum(x []float64, t int) {
	a.load(x, t)
	a.fft.Coefficients(a.transform, a.frame)
	for k, c := range a.transform {
		a.power[k] = a.scale * (real(c)*real(c) + imag(c)*imag(c))
	}
}

// sized returns dst with length n, or a new slice if it is too small.
func sized[T any](dst []T, n int) []T {
	if cap(dst) < n {
		return make([]T, n)
	}
	return dst[:n]
}
