package audio

import "math"

// Pauses finds pauses of speech while it comes: places where it can be cut without harm. A pause is pauseSeconds in a row without
// a frame of 10 ms that is louder than [TrimBelow] decibels under the level of the speech; it is found as soon as it has
// lasted that long, and only if there has been speech since the last one.
type Pauses struct {
	activity Activity // for its frames
	least    float32  // the level of sound
	samples  int64    // before the frame begun
	quiet    int      // frames in a row
	loud     int      // frames since the last pause
}

// pauseSeconds is how long a pause lasts when it is found: longer than the closure of a plosive, shorter than a breath.
const pauseSeconds = 0.4

// phraseSeconds is how much sound there has to be between two pauses.
const phraseSeconds = 1

// NewPauses returns a Pauses for speech of the level (RMS in dBFS) at a sampling rate in Hz, which has to be at least 1.
func NewPauses(rate int, level float64) *Pauses {
	return &Pauses{activity: *NewActivity(rate), least: float32(math.Pow(10, (level-TrimBelow)/20))}
}

// Add takes the next samples of one channel, and returns the places, in samples from the start, at which pauses were found in them.
func (p *Pauses) Add(mono []float64) (places []int64) {
	p.activity.Add(mono)
	frame := p.activity.frame
	seconds := func(frames int) float64 { return float64(frames*frame) / float64(p.activity.rate) }
	for _, level := range p.activity.levels {
		p.samples += int64(frame)
		if level >= p.least {
			p.loud++
			p.quiet = 0
			continue
		}
		p.quiet++
		if seconds(p.quiet) >= pauseSeconds && seconds(p.loud) >= phraseSeconds {
			places = append(places, p.samples)
			p.loud = 0
		}
	}
	p.activity.levels = p.activity.levels[:0]
	return places
}
