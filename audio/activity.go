package audio

import (
	"math"
	"slices"
)

// Activity finds where the sound of a recording begins and ends, from the energy of frames of 10 ms, each without its
// mean, so that neither DC nor hum hides silence. It keeps one number for each frame: 14 MB for ten hours.
type Activity struct {
	frame  int       // samples
	levels []float32 // RMS of the full frames, without their means
	part   []float64 // the frame begun
}

// NewActivity returns an Activity for a sampling rate in Hz, which has to be at least 1.
func NewActivity(rate int) *Activity {
	frame := max(8, (rate+50)/100) // with fewer samples there is hardly a mean to take off
	return &Activity{frame: frame, part: make([]float64, 0, frame)}
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

// frameLevel returns the RMS of the samples without their mean.
func frameLevel(frame []float64) float32 {
	sum := 0.0
	for _, x := range frame {
		sum += x
	}
	mean := sum / float64(len(frame))
	squares := 0.0
	for _, x := range frame {
		squares += float64((x - mean) * (x - mean))
	}
	return float32(math.Sqrt(squares / float64(len(frame))))
}

// Bounds returns the first sample of the sound and the one after its last. A frame is sound if its level is less than
// below (decibels) under the loud level of the recording, which is that of the frame at 95 per cent in order of level.
// Margin (seconds) is left at both ends, as far as there is something. Digital silence gives 0, 0.
func (a *Activity) Bounds(below, margin float64) (start, end int64) {
	levels := a.levels
	if len(a.part) > 0 {
		levels = append(slices.Clone(levels), frameLevel(a.part))
	}
	if len(levels) == 0 {
		return 0, 0
	}
	sorted := slices.Clone(levels)
	slices.Sort(sorted)
	loud := sorted[(len(sorted)*95)/100]
	if loud == 0 {
		return 0, 0
	}
	least := loud * float32(math.Pow(10, -below/20))
	first, last := 0, len(levels)-1
	for levels[first] < least {
		first++
	}
	for levels[last] < least {
		last--
	}
	pad := int64(math.Round(margin * 100 * float64(a.frame)))
	samples := int64(len(a.levels)*a.frame + len(a.part))
	return max(0, int64(first*a.frame)-pad), min(samples, int64((last+1)*a.frame)+pad)
}
