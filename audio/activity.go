package audio

import (
	"io"
	"math"
	"slices"
)

// Activity finds where the sound of a recording begins and ends, by the level of frames of 10 ms, each without its mean,
// so that neither DC nor rumble hides silence. It keeps one number for each frame: 14 MB for ten hours.
//
//	err := audio.Copy(audio.Mono(src), func(block []float64) error {
//		activity.Add(block)
//		return nil
//	})
//	...
//	start, end := activity.Bounds(audio.TrimBelow, audio.TrimMargin)
//	trimmed := audio.Section(again, start, end)
type Activity struct {
	rate, frame int       // Hz; samples
	levels      []float32 // RMS of the full frames, without their means
	part        []float64 // the frame begun
}

// What [Activity.Bounds] takes as a rule. Against the alignments of 1465 utterances, read close to a microphone or into a phone,
// this cuts more than 20 ms off a phone in 0.7 % of them, and leaves 0.26 s of silence before the first and 0.18 s after the
// last. A lower level loses less and leaves more: with 40 it is 0.2 %, and 0.34 and 0.23 s.
const (
	TrimBelow  = 35   // dB
	TrimMargin = 0.15 // seconds
)

// soundFrames is how many frames in a row have to be loud to be sound, not a click.
const soundFrames = 3

// NewActivity returns an Activity for a sampling rate in Hz, which has to be at least 1.
func NewActivity(rate int) *Activity {
	frame := max(8, (rate+50)/100) // with fewer samples there is hardly a mean to take off
	return &Activity{rate: rate, frame: frame, part: make([]float64, 0, frame)}
}

// Add takes the next samples of one channel.
func (a *Activity) Add(mono []float64) {
	for len(mono) > 0 {
		n := min(len(mono), a.frame-len(a.part))
		a.part = append(a.part, mono[:n]...)
		mono = mono[n:]
		if len(a.part) == a.frame {
			a.levels = append(a.levels, frameLevel(a.part))
			a.part = a.part[:0]
		}
	}
}

// frameLevel returns the RMS of the samples without their mean; of samples that are not numbers 0.
func frameLevel(frame []float64) float32 {
	sum := 0.0
	for _, x := range frame {
		sum += x
	}
	mean, squares := sum/float64(len(frame)), 0.0
	for _, x := range frame {
		squares += float64((x - mean) * (x - mean))
	}
	if math.IsNaN(squares) {
		return 0
	}
	return float32(math.Sqrt(squares / float64(len(frame))))
}

// Quiet returns how many of the full frames, of 10 ms, have a level below least, an RMS without their mean, and how many there are.
func (a *Activity) Quiet(least float64) (quiet, frames int) {
	for _, level := range a.levels {
		if float64(level) < least {
			quiet++
		}
	}
	return quiet, len(a.levels)
}

// Bounds returns the first sample of the sound and the one after its last. A frame is loud if its level is at most below
// (decibels) under that of the recording, and sound is three loud frames in a row; of a shorter recording, all frames. A
// margin (seconds, not negative) is left at both ends, as far as there is something. Without any sound the answer is 0, 0.
//
// The level of the recording is the one at which the louder frames make up half of the sum of all levels: a recording
// that is silence for the most part has that of its speech, and a few clicks do not raise it.
func (a *Activity) Bounds(below, margin float64) (start, end int64) {
	levels := a.levels
	if len(a.part) > 0 {
		levels = append(slices.Clone(levels), frameLevel(a.part))
	}
	least := loudLevel(levels) * math.Pow(10, -below/20)
	if !(least > 0) {
		return 0, 0
	}
	need := min(soundFrames, len(levels))
	first, last, run := -1, -1, 0
	for i, level := range levels {
		if float64(level) >= least {
			run++
		} else {
			run = 0
		}
		if run >= need {
			if first < 0 {
				first = i + 1 - run
			}
			last = i
		}
	}
	if first < 0 {
		return 0, 0
	}
	samples := int64(len(a.levels)*a.frame + len(a.part))
	pad := int64(min(math.Round(margin*float64(a.rate)), float64(samples)))
	return max(0, int64(first*a.frame)-pad), min(samples, int64((last+1)*a.frame)+pad)
}

// loudLevel returns the level at which the louder frames make up half of the sum of all levels.
func loudLevel(levels []float32) float64 {
	sorted, sum := slices.Sorted(slices.Values(levels)), 0.0
	for _, level := range sorted {
		sum += float64(level)
	}
	louder := 0.0
	for _, level := range slices.Backward(sorted) {
		louder += float64(level)
		if louder >= sum/2 {
			return float64(level)
		}
	}
	return 0
}

// Section is the part of src from frame start to before frame end, or to where src ends.
func Section(src Source, start, end int64) Source {
	return &section{src: src, skip: start, left: end - start}
}

type section struct {
	src        Source
	skip, left int64 // frames
}

func (s *section) Format() Format { return s.src.Format() }

func (s *section) Read(block []float64) (int, error) {
	channels := int64(s.src.Format().NumChannels)
	for s.skip > 0 && s.left > 0 {
		n, err := s.src.Read(block[:min(int64(len(block)), s.skip*channels)])
		if err != nil {
			return 0, err
		}
		s.skip -= int64(n) / channels
	}
	if s.left <= 0 {
		return 0, io.EOF
	}
	n, err := s.src.Read(block[:min(int64(len(block)), s.left*channels)])
	s.left -= int64(n) / channels
	return n, err
}
