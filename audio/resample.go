package audio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// maxResampleRatio is how many times a rate may be raised or lowered.
const maxResampleRatio = 1024

// RateError says that [Resample] does not go from one rate to the other.
type RateError struct {
	From, To int // Hz
}

// Error names the rates and the limits.
func (e *RateError) Error() string {
	return fmt.Sprintf("resampling from %d to %d Hz: rates must be from 1 to 2^32 Hz, and one at most %d times the other",
		e.From, e.To, maxResampleRatio)
}

// Resample returns src at another rate, in Hz, with the same channels; src itself if that is its rate already. Rates may
// be up to 2^32 Hz and 1024 times each other, otherwise the error is a [*RateError].
//
// Output frame n is the sound at the time n/rate of the input, where there is silence before its first frame and after its
// last one: F frames become F * rate / (rate of src), rounded up, and nothing is delayed. Up to 0.9 of the lower of both
// Nyquist frequencies, sound comes through with a gain of 0 dB, within 0.001, and in phase. What lies above the new Nyquist
// frequency when a rate is lowered, or would appear as an image above the old one when it is raised, is at least 95 dB
// down. Constants and silence stay what they are. Sums are in float32: rounding is 130 dB or more below the loudest samples
// that an output sample depends on, and its last bits are not the same on every processor.
//
// The result does not depend on the sizes of blocks. Memory is constant, a few times the length of the filter, which is 128
// frames of the lower rate.
//
// # Method
//
// The filter is a sinc under a Kaiser window (J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window
// function", 1974), tabulated for every phase that output frames have between input frames, so that an output sample is
// one inner product. Where that would be more than a megabyte (from 44100 to 44101 Hz there are 44101 phases), it is
// interpolated between two products with neighbours in a coarser table, whose images are at least 115 dB down.
//
// Of the libraries in Go alone that could be had, none passes the tests of this function. go-audio-resampler 1.4.0, from low
// to very high quality, lets aliases through at 0 dB from 44.1 to 16 kHz and from 16 to 11.025, leaves images at -26 dB
// from 16 to 44.1 kHz, and is some frames too long. The resampler of beep 2.1.1 interpolates by polynomials: aliases at
// 0 dB, images at -6 dB, and at its quality 6 a gain of -3 dB at 0.9 of the Nyquist frequency.
func Resample(src Source, rate int) (Source, error) {
	format := src.Format()
	in, out := int64(format.SampleRate), int64(rate)
	const maxRate = 1 << 32
	if min(in, out) < 1 || max(in, out) > maxRate || max(in, out) > maxResampleRatio*min(in, out) {
		return nil, &RateError{format.SampleRate, rate}
	}
	if in == out {
		return src, nil
	}
	format.SampleRate = rate
	divisor := gcd(in, out)
	in, out = in/divisor, out/divisor
	return &resampler{
		src:      src,
		format:   format,
		filter:   resampleFilters.get(resampleFilterFor(in, out)),
		parts:    out,
		step:     in / out,
		stepPart: in % out,
		window:   make([][]float32, format.NumChannels),
		block:    make([]float64, max(1, resampleBlock/format.NumChannels)*format.NumChannels),
	}, nil
}

// resampleBlock is the number of samples that are read from the source at a time, unless a frame is more.
const resampleBlock = 8192

// resampler is the source that Resample returns. Its time is counted in input frames and parts of them.
type resampler struct {
	src    Source
	format Format // of the output
	filter *resampleFilter

	// The next output frame lies at input frame at + part/parts, the one after that step + stepPart/parts later.
	at, part       int64
	parts          int64
	step, stepPart int64

	window [][]float32 // of each channel, the input from frame first on, as far as it has been read
	first  int64
	block  []float64 // as src hands it out
	err    error     // of src: io.EOF when all has been read
}

func (r *resampler) Format() Format { return r.format }

// Read fills block as far as the input that has been read allows, and reads input only where that is not at all.
func (r *resampler) Read(block []float64) (int, error) {
	end := r.end()
	for ; r.at >= end; end = r.end() {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n, channels := 0, r.format.NumChannels
	for ; n+channels <= len(block) && r.at < end; n += channels {
		r.frame(block[n : n+channels])
		r.at += r.step
		if r.part += r.stepPart; r.part >= r.parts {
			r.part -= r.parts
			r.at++
		}
	}
	return n, nil
}

// end is the input frame from which on output frames cannot be computed yet, for want of the input that their filter
// spans, or at the end of the input do not exist.
func (r *resampler) end() int64 {
	read := r.first + int64(len(r.window[0]))
	if errors.Is(r.err, io.EOF) {
		return read
	}
	return read - int64(r.filter.half)
}

// frame computes the output frame at r.at + r.part/r.parts. The sums leave out what lies before the start and after the
// end: which terms there are does not depend on the blocks that were read.
func (r *resampler) frame(out []float64) {
	start := r.at - int64(r.filter.half) + 1
	skip := max(0, -start)
	from := int(start + skip - r.first)
	to := min(from+2*r.filter.half-int(skip), len(r.window[0]))
	row, next, weight := r.filter.rows(r.part, r.parts)
	row, next = row[skip:][:to-from], next[skip:][:to-from]
	for c, window := range r.window {
		x := window[from:to]
		y := float64(kernel.Dot(x, row))
		if weight != 0 {
			y += weight * (float64(kernel.Dot(x, next)) - y)
		}
		out[c] = y
	}
}

// fill reads a block, after dropping what no output frame needs any more. The window is moved when half of it can be
// dropped: a sample moves once on average.
func (r *resampler) fill() {
	drop := int(max(0, r.at-int64(r.filter.half)+1-r.first))
	if drop < len(r.window[0])/2 {
		drop = 0
	}
	n, err := r.src.Read(r.block)
	r.err = err
	channels := r.format.NumChannels
	for c, window := range r.window {
		if drop > 0 {
			window = window[:copy(window, window[drop:])]
		}
		old := len(window)
		window = slices.Grow(window, n/channels)[:old+n/channels]
		for i := range window[old:] {
			window[old+i] = float32(r.block[i*channels+c])
		}
		r.window[c] = window
	}
	r.first += int64(drop)
}

// Up to resamplePass of the lower Nyquist frequency sound passes, from 1 on it is stopped. The filter reaches over
// resampleLobes periods of the lower rate to each side; more of them would make the stop deeper.
const (
	resamplePass  = 0.9
	resampleLobes = 64
)

// resampleFilter is a low-pass filter over input samples, for output samples at phases + 1 places from an input sample to
// the next, both included.
type resampleFilter struct {
	half   int // taps to each side
	phases int
	table  []float32 // [phases + 1, 2*half]
}

// resampleFilterKey is what a filter depends on.
type resampleFilterKey struct {
	in, out int64 // the ratio of rates in lowest terms, if it is lowered; otherwise 1, 1
	phases  int
}

// half is the number of taps to each side.
func (k resampleFilterKey) half() int { return int((resampleLobes*k.in + k.out - 1) / k.out) }

// resampleFilterFor returns the filter for rates in lowest terms. Up to 2^18 numbers are tabulated for all phases.
// Beyond that, interpolating with 512 phases to a period of the lower rate leaves images at (0.5/512)^2, -120 dB.
func resampleFilterFor(in, out int64) resampleFilterKey {
	k := resampleFilterKey{in, out, int(out)}
	if in < out {
		k.in, k.out = 1, 1
	}
	if out*2*int64(k.half()) > 1<<18 {
		k.phases = int((512*k.out + k.in - 1) / k.in)
	}
	return k
}

// newResampleFilter computes a table. The taps of each phase sum to 1, so that a constant stays constant.
func newResampleFilter(k resampleFilterKey) *resampleFilter {
	const (
		transition  = math.Pi * (1 - resamplePass)            // of the lower rate, in radians a sample
		attenuation = 7.95 + 2.285*transition*2*resampleLobes // dB, by Kaiser's formula
		beta        = 0.1102 * (attenuation - 8.7)            // for attenuations above 50 dB
	)
	half := k.half()
	f := &resampleFilter{half: half, phases: k.phases, table: make([]float32, (k.phases+1)*2*half)}
	cutoff := (1 + resamplePass) / 2 * float64(k.out) / float64(k.in) // of the Nyquist frequency of the input
	taps := make([]float64, 2*half)
	for phase := range k.phases + 1 {
		sum := 0.0
		for i := range taps {
			t := float64(i-half+1) - float64(phase)/float64(k.phases)
			u := t / float64(half)
			taps[i] = sinc(cutoff*t) * besselI0(beta*math.Sqrt(max(0, 1-u*u)))
			sum += taps[i]
		}
		for i, v := range taps {
			f.table[phase*2*half+i] = float32(v / sum)
		}
	}
	return f
}

// rows returns the taps for an output sample at part/parts of the way from an input sample to the next, as a mix of
// neighbours in the table: 1-weight of row and weight of next. They begin with the tap of half-1 samples before.
func (f *resampleFilter) rows(part, parts int64) (row, next []float32, weight float64) {
	phase := int(part) // in a complete table
	if int64(f.phases) != parts {
		x := float64(part) * float64(f.phases) / float64(parts)
		phase = int(x)
		weight = x - float64(phase)
	}
	pair := f.table[phase*2*f.half:][:4*f.half]
	return pair[:2*f.half], pair[2*f.half:], weight
}

// sinc is sin(pi x)/(pi x).
func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// besselI0 is the modified Bessel function of the first kind and order 0, by its power series.
func besselI0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-17; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// resampleFilters keeps filters: the files of a corpus have few rates, and computing a filter takes
// longer than resampling a short file.
var resampleFilters resampleFilterCache

// maxResampleFilters bounds the filters that are kept, each of about a megabyte at most.
const maxResampleFilters = 16

// resampleFilterCache holds filters until there are too many, and begins anew then.
type resampleFilterCache struct {
	mu      sync.Mutex
	filters map[resampleFilterKey]*resampleFilter
}

func (c *resampleFilterCache) get(k resampleFilterKey) *resampleFilter {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.filters[k]
	if f == nil {
		if len(c.filters) >= maxResampleFilters || c.filters == nil {
			c.filters = map[resampleFilterKey]*resampleFilter{}
		}
		f = newResampleFilter(k)
		c.filters[k] = f
	}
	return f
}
