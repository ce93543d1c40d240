package spectrum

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/dsp/fourier"
)

// F0Config says how an [F0] looks for the fundamental frequency. [Speech] is the usual one.
type F0Config struct {
	Rate      int     // of the samples, Hz: 4*High to 2^20
	Hop       int     // samples from a frame to the next
	Low, High float64 // range of the fundamental frequency, Hz: 10 <= Low < High <= 1000
}

// Speech looks for voices: 60 to 500 Hz, every 10 ms.
func Speech(rate int) F0Config {
	return F0Config{Rate: rate, Hop: seconds(0.01, rate), Low: 60, High: 500}
}

// F0 tracks the fundamental frequency of a voice.
//
// For each frame, the difference function of YIN (de Cheveigne and Kawahara 2002) is taken over a window of two of the
// longest periods, in the form of McLeod and Wyvill (2005): x[j] - x[j+lag] is squared and summed wherever both lie in the
// window, so that the middle of what is compared stays in the middle of the frame, and divided by their energy. One minus that
// is the periodicity
//
//	n(lag) = 2 sum x[j] x[j+lag] / sum (x[j]^2 + x[j+lag]^2)
//
// which is 1 for what repeats after lag; the sum of the products comes from a Fourier transform. Its best peaks, refined by
// parabolas, are a frame's candidates; being unvoiced is one more. Which of them it is in each frame is decided for the
// recording as a whole, by dynamic programming with the costs of Boersma (1993): low candidates, jumps of frequency, and
// changes of voicing cost something. A frame that is wrong by an octave on its own is so put right by its neighbours.
//
// Above 1 kHz a voice is less periodic: sound is low-pass filtered first, and taken at a rate of 8 to 16 kHz.
//
// On 22 minutes of speech of 106 speakers, on which the constants below were also chosen, it agrees with Praat 6.3 (method
// "ac", same range) on voicing in 97.2 % of the frames; where Praat's "ac" and "cc" agree on a frequency, it is off by more
// than 20 % in 0.4 % of the frames (they differ from each other in 1.3 %), and by 3 cents in the median.
type F0 struct {
	config   F0Config
	decimate int       // samples to one of low
	lowpass  []float64 // impulse response of the filter, odd, symmetric
	rate     float64   // of low, Hz
	window   int       // samples of low in a frame
	minLag   int       // steps of 1/f0Fine sample of low, like all lags
	maxLag   int

	low       []float64 // the recording, filtered
	forward   *fourier.FFT
	inverse   *fourier.FFT // f0Fine times as long
	frame     []float64
	transform []complex128
	products  []float64   // sums of x[j] x[j+lag]
	period    []float64   // n(lag), lags from 0 to maxLag+1
	level     []float64   // RMS of each frame
	states    []candidate // [frames, candidates]
	used      []int       // of them, in each frame
}

const (
	f0Rate       = 8000. // Hz, the least after decimation
	f0Pass       = 1000. // Hz, up to which sound is kept
	f0Stop       = 4000. // Hz, from which none is left
	f0Periods    = 2     // of the lowest frequency in a window
	f0Fine       = 2     // lags tried to a sample
	candidates   = 8     // of a frame, being unvoiced included
	leastPeak    = 0.2   // periodicity of a candidate
	voicing      = 0.5   // periodicity of a frame that may as well be unvoiced
	silence      = 0.06  // level of a frame, relative to the loudest, that is hardly ever voiced
	octaveCost   = 0.01  // of an octave lower, in periodicity
	jumpCost     = 0.35  // of a jump by an octave in 10 ms
	voicingCost  = 0.14  // of a change of voicing in 10 ms
	costInterval = 0.01  // s
)

// candidate is what a frame may be.
type candidate struct {
	octave float64 // binary logarithm of its frequency in Hz; -Inf if it is unvoiced
	score  float64 // of the frame being so; then of the best way through all frames up to it
	from   int     // the candidate of the frame before on that way
}

func (c F0Config) check() error {
	switch {
	case c.Hop < 1:
		return fmt.Errorf("spectrum: hop of %d samples: want at least 1", c.Hop)
	case !(c.Low >= 10 && c.Low < c.High && c.High <= f0Pass):
		return fmt.Errorf("spectrum: fundamental frequency from %v to %v Hz: want some range of 10 to %v", c.Low, c.High, f0Pass)
	case float64(c.Rate) < 4*c.High || c.Rate > maxRate:
		return fmt.Errorf("spectrum: rate of %d Hz: want %v to %d for a fundamental frequency up to %v", c.Rate, 4*c.High, maxRate, c.High)
	}
	return nil
}

// NewF0 returns a tracker, or an error that says what of the configuration does not fit.
func NewF0(c F0Config) (*F0, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	f := &F0{config: c, decimate: max(1, int(float64(c.Rate)/f0Rate))}
	f.rate = float64(c.Rate) / float64(f.decimate)
	f.lowpass = lowpass((f0Pass+f0Stop)/2/float64(c.Rate), (f0Stop-f0Pass)/float64(c.Rate))
	f.window = int(math.Ceil(f0Periods * f.rate / c.Low))
	longest := int(math.Ceil(f.rate / c.Low))
	f.minLag, f.maxLag = int(math.Round(f0Fine*f.rate/c.High)), f0Fine*longest
	n := fastLength(f.window + longest + 1)
	f.forward, f.inverse = fourier.NewFFT(n), fourier.NewFFT(f0Fine*n)
	f.frame, f.products = make([]float64, n), make([]float64, f0Fine*n)
	f.transform = make([]complex128, f0Fine*n/2+1)
	f.period = make([]float64, f.maxLag+2)
	return f, nil
}

// lowpass returns a low-pass filter (a sinc under a Hamming window) that halves the amplitude at cutoff and falls within
// width, both in cycles a sample; gain 1 at 0 Hz.
func lowpass(cutoff, width float64) []float64 {
	if cutoff >= 0.5 {
		return []float64{1}
	}
	reach := int(math.Ceil(3.3 / width / 2))
	h := make([]float64, 2*reach+1)
	sum := 0.
	for i := range h {
		h[i] = 2 * cutoff
		if k := float64(i - reach); k != 0 {
			h[i] = math.Sin(2*math.Pi*cutoff*k) / (math.Pi * k)
		}
		h[i] *= 0.54 - 0.46*math.Cos(2*math.Pi*float64(i+1)/float64(len(h)+1))
		sum += h[i]
	}
	for i := range h {
		h[i] /= sum
	}
	return h
}

// fastLength returns the first even number from n on that has no factors but 2, 3 and 5.
func fastLength(n int) int {
	for n += n % 2; ; n += 2 {
		rest := n
		for _, p := range []int{2, 3, 5} {
			for rest%p == 0 {
				rest /= p
			}
		}
		if rest == 1 {
			return n
		}
	}
}

// Frames returns how many frames that many samples have: ceil(samples/Hop).
func (c F0Config) Frames(samples int) int { return frames(samples, c.Hop) }

// Track returns the fundamental frequency [frames] of x in Hz; 0 where it is unvoiced. All of x counts for each frame: x is an
// utterance, not a block of one.
func (f *F0) Track(dst, x []float64) []float64 {
	n := f.config.Frames(len(x))
	dst = sized(dst, n)
	if n == 0 {
		return dst
	}
	f.filter(x)
	f.level, f.used, f.states = sized(f.level, n), sized(f.used, n), sized(f.states, n*candidates)
	loudest := 0.
	for t := range n {
		f.level[t] = f.periodicity(t)
		f.used[t] = f.peaks(f.states[t*candidates:][:candidates])
		if f.level[t] > loudest { // not if it is NaN
			loudest = f.level[t]
		}
	}
	for t := range n {
		quiet := 2.
		if loudest > 0 && f.level[t] == f.level[t] {
			quiet = max(0, 2-f.level[t]/loudest*(1+voicing)/silence)
		}
		f.states[t*candidates].score = voicing + quiet
	}
	f.best(dst)
	return dst
}

// filter fills low.
func (f *F0) filter(x []float64) {
	f.low = sized(f.low, frames(len(x), f.decimate))
	reach := len(f.lowpass) / 2
	for i := range f.low {
		at := i*f.decimate - reach
		from, to := max(at, 0), min(at+len(f.lowpass), len(x))
		sum := 0.
		h := f.lowpass[from-at : to-at]
		for k, v := range x[from:to] {
			sum += h[k] * v
		}
		f.low[i] = sum
	}
}

// periodicity fills period for frame t, and returns the RMS level of the frame.
func (f *F0) periodicity(t int) float64 {
	middle := t*f.config.Hop + f.config.Hop/2
	start := (middle+f.decimate/2)/f.decimate - f.window/2
	from, to := min(max(start, 0), len(f.low)), min(max(start+f.window, 0), len(f.low))
	clear(f.frame)
	if from == to {
		clear(f.period)
		return 0
	}
	x := f.frame[:f.window]
	sum := 0.
	for _, v := range f.low[from:to] {
		sum += v
	}
	mean := sum / float64(to-from)
	for i, v := range f.low[from:to] {
		x[from-start+i] = v - mean
	}

	// The autocorrelation is the inverse transform of the squared magnitude; with zeros above it, at fractions of a sample too.
	bins := f.transform[:len(f.frame)/2+1]
	f.forward.Coefficients(bins, f.frame)
	for k, c := range bins {
		bins[k] = complex(real(c)*real(c)+imag(c)*imag(c), 0)
	}
	bins[len(bins)-1] /= 2 // it stands for both its signs, which the longer transform tells apart
	f.inverse.Sequence(f.products, f.transform)
	energy := f.products[0] / float64(len(f.frame))
	both := 2 * energy
	least := 1e-6 * both // what is less is rounding, or an edge
	f.period[0] = 1
	for lag := 1; lag < len(f.period); lag++ {
		whole := (lag - 1) / f0Fine // the energy falls in a straight line from there to the next
		before, after := x[whole], x[f.window-1-whole]
		both -= (before*before + after*after) / f0Fine
		f.period[lag] = 0
		if both > least {
			f.period[lag] = 2 * f.products[lag] / float64(len(f.frame)) / both
		}
	}
	return math.Sqrt(energy / float64(f.window))
}

// peaks makes the best peaks of period the candidates of a frame, after that of being unvoiced, and returns how many they are
// together.
func (f *F0) peaks(c []candidate) int {
	c[0] = candidate{octave: math.Inf(-1)}
	n := 1
	lowest, highest := math.Log2(f.config.Low), math.Log2(f.config.High)
	for lag := f.minLag; lag <= f.maxLag; lag++ {
		before, at, after := f.period[lag-1], f.period[lag], f.period[lag+1]
		if !(at > leastPeak && at >= before && at > after) {
			continue
		}
		shift := (before - after) / (before - 2*at + after) / 2
		// Between lags the peak may lie a little outside the range.
		octave := min(max(math.Log2(f0Fine*f.rate/(float64(lag)+shift)), lowest), highest)
		score := min(1, at-(before-after)*shift/4) - octaveCost*(lowest-octave)
		i := n // insert it in order, the best first; the last may drop out
		if n < len(c) {
			n++
		} else if i--; c[i].score >= score {
			continue
		}
		for ; i > 1 && c[i-1].score < score; i-- {
			c[i] = c[i-1]
		}
		c[i] = candidate{octave: octave, score: score}
	}
	return n
}

// best writes the frequencies of the best way through the candidates of all frames.
func (f *F0) best(dst []float64) {
	steps := costInterval * float64(f.config.Rate) / float64(f.config.Hop)
	jump, change := jumpCost*steps, voicingCost*steps
	at := func(t int) []candidate { return f.states[t*candidates:][:f.used[t]] }
	for t := 1; t < len(dst); t++ {
		before := at(t - 1)
		for i := range at(t) {
			c := &f.states[t*candidates+i]
			best := math.Inf(-1)
			for k := range before {
				b := &before[k]
				score := b.score
				switch voiced := i > 0; {
				case voiced != (k > 0):
					score -= change
				case voiced:
					score -= jump * math.Abs(c.octave-b.octave)
				}
				if score > best {
					best, c.from = score, k
				}
			}
			c.score += best
		}
	}
	last := len(dst) - 1
	i := 0
	for k, c := range at(last) {
		if c.score > at(last)[i].score {
			i = k
		}
	}
	for t := last; t >= 0; t-- {
		c := f.states[t*candidates+i]
		dst[t] = math.Exp2(c.octave)
		i = c.from
	}
}

// MedianF0 returns the median of the voiced frames of a track, in Hz; NaN if there are none.
func MedianF0(track []float64) float64 {
	var voiced []float64
	for _, hz := range track {
		if hz > 0 {
			voiced = append(voiced, hz)
		}
	}
	if len(voiced) == 0 {
		return math.NaN()
	}
	slices.Sort(voiced)
	n := len(voiced)
	return (voiced[(n-1)/2] + voiced[n/2]) / 2
}
