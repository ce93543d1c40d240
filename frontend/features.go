package frontend

import (
	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/vqvae"
)

// features say how an encoder's input is computed, if it is none of [vqvae.Wave].
type features struct {
	spectrum spectrum.Config
	deltas   int // orders of differences
}

// deltaOrders is the number of differences that MFCC are given with: of the coefficients, and of their differences.
const deltaOrders = 2

// deltaReach is the number of frames on either side of one that its difference of an order depends on, for each order.
const deltaReach = 2

func featuresOf(c vqvae.Config) features {
	if c.Encoder.Input == vqvae.MFCC {
		return features{spectrum.MFCC(c.Rate), deltaOrders}
	}
	return features{spectrum.LogMel(c.Rate, c.Encoder.InputChannels()), 0}
}

// reach returns how many samples before the first one of a frame, and from that one on, the frame depends on.
func (f features) reach() (before, after int) {
	s := f.spectrum
	before = s.Window/2 - s.Hop/2 // the middle of the window lies on the middle of the frame
	after = s.Window - before
	if s.Preemphasis > 0 {
		before++
	}
	reach := f.deltas * deltaReach * s.Hop
	return reach + before, reach + after
}

// margin returns the number of frames on either side of one that samples which it depends on belong to.
func (f features) margin() int {
	before, after := f.reach()
	hop := f.spectrum.Hop
	return (max(before, after-hop) + hop - 1) / hop
}

// analysis computes features, for one goroutine at a time.
type analysis struct {
	features
	analyser     *spectrum.Analyser
	samples      []float64
	coefficients []float32 // without differences
}

// analysis returns one that is idle, for the caller to put back.
func (f *Frontend) analysis() *analysis {
	a := f.idle.Get()
	if a.analyser == nil {
		a.features = f.features
		a.analyser, _ = spectrum.New(f.features.spectrum) // New has tried it
	}
	return a
}

// compute fills dst with the features of samples, whole frames.
func (a *analysis) compute(dst []float32, samples []float64) {
	if a.deltas == 0 {
		a.analyser.LogMel(dst, samples)
		return
	}
	a.coefficients = a.analyser.MFCC(a.coefficients, samples)
	spectrum.WithDeltas(dst, a.coefficients, a.spectrum.Cepstra, a.deltas)
}
