package spectrum

import (
	"fmt"
	"math"
)

// Scale is a mel scale: a function of frequency on which steps of the same size sound about equal.
type Scale int

const (
	// HTK is 2595 log10(1 + f/700) (HTK Book, equation 5.13). Its filters have height 1: a filter's output is the sum of the
	// power in its band, and a frequency between the middles of two of them counts as 1 in both together.
	HTK Scale = iota
	// Slaney is that of Slaney's Auditory Toolbox (1998) and of librosa: 3 mel are 200 Hz up to 1000 Hz, and from there 27 mel
	// are a factor of 6.4. Its filters have area 1: a filter's output is the mean of the power in its band, so that white
	// noise is flat. (Librosa's are those divided by the distance of two bins in Hz.)
	Slaney
)

const (
	slaneyLinear = 200. / 3 // Hz a mel
	slaneyCorner = 1000.    // Hz, where the scale becomes logarithmic
)

var slaneyLog = math.Log(6.4) / 27 // a mel, above the corner

// Mel returns the place of hz on the scale.
func (s Scale) Mel(hz float64) float64 {
	switch {
	case s == HTK:
		return 2595 * math.Log10(1+hz/700)
	case hz < slaneyCorner:
		return hz / slaneyLinear
	}
	return slaneyCorner/slaneyLinear + math.Log(hz/slaneyCorner)/slaneyLog
}

// Hz returns the frequency at a place of the scale.
func (s Scale) Hz(mel float64) float64 {
	switch corner := slaneyCorner / slaneyLinear; {
	case s == HTK:
		return 700 * (math.Pow(10, mel/2595) - 1)
	case mel < corner:
		return mel * slaneyLinear
	default:
		return slaneyCorner * math.Exp((mel-corner)*slaneyLog)
	}
}

// Frequencies returns n frequencies, at least 2, evenly spaced on the scale, the first low and the last high, in Hz. Filter m
// of an analyser rises from Frequencies(Mels+2, Low, High)[m], has its top at [m+1] and ends at [m+2].
func (s Scale) Frequencies(n int, low, high float64) []float64 {
	f := make([]float64, n)
	from, to := s.Mel(low), s.Mel(high)
	for i := range f {
		f[i] = s.Hz(from + (to-from)*float64(i)/float64(n-1))
	}
	f[0], f[n-1] = low, high // not rounded
	return f
}

// filter is a triangle over the bins of a spectrum.
type filter struct {
	first   int       // bin
	weights []float64 // of that bin and those after it
}

// filters returns the mel filters. Their sides are straight lines over the frequency in Hz.
func (c Config) filters() ([]filter, error) {
	width := float64(c.Rate) / float64(c.FFT) // Hz from bin to bin
	var corners []float64
	if c.Mels > 0 {
		corners = c.Scale.Frequencies(c.Mels+2, c.Low, c.High)
	}
	filters := make([]filter, c.Mels)
	for m := range filters {
		low, top, high := corners[m], corners[m+1], corners[m+2]
		height := 1.
		if c.Scale == Slaney {
			height = 2 * width / (high - low)
		}
		f := &filters[m]
		for k := int(low / width); k < c.Bins() && float64(k)*width < high; k++ {
			hz := float64(k) * width
			w := height * min((hz-low)/(top-low), (high-hz)/(high-top))
			if w <= 0 {
				continue
			}
			if len(f.weights) == 0 {
				f.first = k
			}
			f.weights = append(f.weights, w)
		}
		if len(f.weights) == 0 {
			return nil, fmt.Errorf("spectrum: filter %d of %d, from %.1f to %.1f Hz, lies between two bins, which are %.1f Hz apart: want fewer filters or a longer transform",
				m, c.Mels, low, high, width)
		}
	}
	return filters, nil
}

// Mel returns the mel spectrogram [frames, Mels] of x: the power of [Analyser.Power] as the filters sum it up.
func (a *Analyser) Mel(dst []float32, x []float64) []float32 {
	dst = sized(dst, a.config.Frames(len(x))*a.melBins())
	for t := range a.config.Frames(len(x)) {
		a.melSpectrum(x, t)
		for m, p := range a.mel {
			dst[t*len(a.mel)+m] = float32(p)
		}
	}
	return dst
}

// LogMel returns the natural logarithm of the mel spectrogram [frames, Mels] of x, not less than that of Floor.
func (a *Analyser) LogMel(dst []float32, x []float64) []float32 {
	dst = sized(dst, a.config.Frames(len(x))*a.melBins())
	for t := range a.config.Frames(len(x)) {
		a.logMelSpectrum(x, t)
		for m, p := range a.mel {
			dst[t*len(a.mel)+m] = float32(p)
		}
	}
	return dst
}

// melBins returns Mels, of which there must be some.
func (a *Analyser) melBins() int {
	if a.config.Mels == 0 {
		panic("spectrum: mel spectrum from an analyser whose configuration has no Mels")
	}
	return a.config.Mels
}

// melSpectrum fills mel for frame t of x.
func (a *Analyser) melSpectrum(x []float64, t int) {
	a.spectrum(x, t)
	for m, f := range a.filters {
		power := a.power[f.first:][:len(f.weights)]
		sum := 0.
		for i, w := range f.weights {
			sum += w * power[i]
		}
		a.mel[m] = sum
	}
}

// logMelSpectrum fills mel with logarithms for frame t of x.
func (a *Analyser) logMelSpectrum(x []float64, t int) {
	a.melSpectrum(x, t)
	for m, p := range a.mel {
		a.mel[m] = math.Log(max(p, a.config.Floor))
	}
}
