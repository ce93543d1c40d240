package audio

import "math"

// Gain returns the factor that brings sound of the given RMS and peak to an RMS of target dBFS, or as near to it as its
// peak allows: the product of gain and peak is at most 32767/32768, the largest sample of 16 bits, so that nothing clips
// in any encoding. Silence, or what has no finite level, stays as it is: the gain is 1.
//
// For a level per file, rms and peak are those of the file's [Meter]; if its DC goes too, of [Meter.Centred]. For a level
// per speaker, which keeps the soft and the loud utterances of a speaker apart, they are those of one meter into which
// the meters of all files of the speaker are merged; then one gain serves all of these files, and none of them clips.
func Gain(rms, peak, target float64) float64 {
	if rms == 0 {
		return 1
	}
	gain := min(math.Pow(10, target/20)/rms, FullScale/peak)
	if !(gain > 0 && gain <= math.MaxFloat64) {
		return 1
	}
	return gain
}

// Adjust takes dc off every sample of src and multiplies the rest by gain.
//
// DC is removed as speech people do it: as the mean of the recording, from a [Meter] that has seen it all. That leaves
// waveform and phase of the sound as they were, from the first sample on. A high-pass filter would also take a drift
// away, at the price of a transient at the start and of turned phases in the lowest harmonics of low voices.
func Adjust(src Source, dc, gain float64) Source { return &adjusted{src, dc, gain} }

type adjusted struct {
	src      Source
	dc, gain float64
}

func (s *adjusted) Format() Format { return s.src.Format() }

func (s *adjusted) Read(block []float64) (int, error) {
	n, err := s.src.Read(block)
	for i, x := range block[:n] {
		block[i] = (x - s.dc) * s.gain
	}
	return n, err
}
