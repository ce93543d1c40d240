package spectrum

import (
	"fmt"
	"math"
)

// cosines returns the matrix [Cepstra, Mels] that makes cepstral coefficients of a logarithmic mel spectrum: the orthonormal
// DCT-II, its row n scaled by the lifter.
func (c Config) cosines() []float64 {
	matrix := make([]float64, 0, c.Cepstra*c.Mels)
	for n := range c.Cepstra {
		scale := math.Sqrt(2 / float64(c.Mels))
		if n == 0 {
			scale = math.Sqrt(1 / float64(c.Mels))
		}
		if c.Lifter > 0 {
			scale *= 1 + c.Lifter/2*math.Sin(math.Pi*float64(n)/c.Lifter)
		}
		for m := range c.Mels {
			matrix = append(matrix, scale*math.Cos(math.Pi*float64(n)*(float64(m)+0.5)/float64(c.Mels)))
		}
	}
	return matrix
}

// MFCC returns the mel-frequency cepstral coefficients [frames, Cepstra] of x: the first Cepstra numbers of the orthonormal
// discrete cosine transform (DCT-II) of its logarithmic mel spectrum, liftered. Number 0 is the square root of Mels times the
// mean of that spectrum: the level. Without a lifter, 10/ln 10 times the Euclidean distance of all Mels coefficients of two
// frames, divided by the square root of Mels, is the RMS distance of their spectra in dB.
func (a *Analyser) MFCC(dst []float32, x []float64) []float32 {
	if a.config.Cepstra == 0 {
		panic("spectrum: MFCC from an analyser whose configuration has no Cepstra")
	}
	frames, mels := a.config.Frames(len(x)), a.config.Mels
	dst = sized(dst, frames*a.config.Cepstra)
	for t := range frames {
		a.logMelSpectrum(x, t)
		row := dst[t*a.config.Cepstra:][:a.config.Cepstra]
		for n := range row {
			sum := 0.
			for m, c := range a.cosines[n*mels : (n+1)*mels] {
				sum += c * a.mel[m]
			}
			row[n] = float32(sum)
		}
	}
	return dst
}

// deltaReach is how many frames before and after a frame its difference is taken over.
const deltaReach = 2

// WithDeltas returns features [frames, bins] followed, in each frame, by their differences, the differences of those, and so
// on: [frames, bins*(1+orders)]. A difference is the slope of the straight line through the five frames around its own, per
// frame (HTK Book, equation 5.16, window 2):
//
//	d[t] = (c[t+1] - c[t-1] + 2 (c[t+2] - c[t-2])) / 10
//
// where the first frame stands for those before it, and the last for those after. Dst must not overlap the features.
func WithDeltas(dst, features []float32, bins, orders int) []float32 {
	if bins < 1 || orders < 0 || len(features)%bins != 0 {
		panic(fmt.Sprintf("spectrum: %d orders of differences of %d numbers in frames of %d", orders, len(features), bins))
	}
	frames, row := len(features)/bins, bins*(1+orders)
	dst = sized(dst, frames*row)
	for t := range frames {
		copy(dst[t*row:][:bins], features[t*bins:])
	}
	norm := 0
	for k := 1; k <= deltaReach; k++ {
		norm += 2 * k * k
	}
	for at := bins; at < row; at += bins { // the differences there are of the numbers before
		for t := range frames {
			d := dst[t*row+at:][:bins]
			clear(d)
			for k := 1; k <= deltaReach; k++ {
				before := dst[max(t-k, 0)*row+at-bins:][:bins]
				after := dst[min(t+k, frames-1)*row+at-bins:][:bins]
				weight := float32(k) / float32(norm)
				for i := range d {
					d[i] += weight * (after[i] - before[i])
				}
			}
		}
	}
	return dst
}
