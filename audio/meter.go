package audio

import "math"

// Meter measures a stream of samples: peak, RMS, mean, clipping. The zero value is ready, for one channel.
//
// The measures are over the samples of all channels together; for those of one channel, meter a [Channel]. They do not
// depend on how the stream is cut into blocks, and are as exact after ten hours as after a second: sums are over blocks
// of 4096 samples, and the sums of blocks are added with their rounding errors carried along (Neumaier 1974), so that
// the relative error of RMS stays below 1e-12.
//
// A sample that is not a number, or is infinite, makes RMS and DC not a number or infinite.
type Meter struct {
	Channels int // interleaved in the blocks; 0 means 1. It matters to Clipped only.

	added, merged int64   // samples measured here and by others
	low, high     float64 // smallest and largest sample, where there are any
	sum, squares  carried // of the full blocks of meterBlock samples
	partSum       float64 // of the block begun
	partSquares   float64
	clipped       int64
	fullScaleRuns []fullScaleRun // per channel; made when the first sample at full scale comes
}

// FullScale is the largest sample of 16 bits: what goes beyond it clips.
const FullScale = 32767.0 / 32768

const (
	meterBlock = 4096

	// clippedRun is how many samples in a row have to be at full scale to be called clipped. A recording that was normalised
	// to its peak, or whose loudest sample just fits, has single ones.
	clippedRun = 3
)

// carried is a sum and the rounding error made so far.
type carried struct{ sum, lost float64 }

func (c *carried) add(x float64) {
	s := c.sum + x
	if math.Abs(c.sum) >= math.Abs(x) {
		c.lost += (c.sum - s) + x
	} else {
		c.lost += (x - s) + c.sum
	}
	c.sum = s
}

// plus returns the sum with x added.
func (c carried) plus(x float64) float64 {
	c.add(x)
	return c.sum + c.lost
}

// merge adds another sum, and x.
func (c *carried) merge(other carried, x float64) {
	c.add(other.sum)
	c.add(other.lost)
	c.add(x)
}

// fullScaleRun is the run of samples of one sign at full scale that a channel saw last.
type fullScaleRun struct {
	last     int64 // index of its last sample
	negative bool
	length   int64
}

// Add takes the next samples: whole frames of the channels, in order.
func (m *Meter) Add(block []float64) {
	if m.Samples() == 0 {
		m.low, m.high = math.Inf(1), math.Inf(-1)
	}
	for len(block) > 0 {
		n := min(len(block), meterBlock-int(m.added%meterBlock))
		m.addPart(block[:n])
		block = block[n:]
		if m.added%meterBlock == 0 {
			m.sum.add(m.partSum)
			m.squares.add(m.partSquares)
			m.partSum, m.partSquares = 0, 0
		}
	}
}

func (m *Meter) addPart(block []float64) {
	sum, squares, low, high := m.partSum, m.partSquares, m.low, m.high
	for i, x := range block {
		sum += x
		squares += float64(x * x) // the conversion forbids a fused multiply-add: the same on every machine
		if x > high {
			high = x
		}
		if x < low {
			low = x
		}
		if math.Abs(x) >= FullScale {
			m.addFullScale(m.added+int64(i), x < 0)
		}
	}
	m.partSum, m.partSquares, m.low, m.high = sum, squares, low, high
	m.added += int64(len(block))
}

// addFullScale takes note of a sample at full scale.
func (m *Meter) addFullScale(index int64, negative bool) {
	channels := int64(max(1, m.Channels))
	if m.fullScaleRuns == nil {
		m.fullScaleRuns = make([]fullScaleRun, channels)
	}
	r := &m.fullScaleRuns[index%channels]
	if r.length == 0 || r.negative != negative || index-r.last != channels {
		*r = fullScaleRun{negative: negative}
	}
	r.last = index
	r.length++
	switch {
	case r.length == clippedRun:
		m.clipped += clippedRun
	case r.length > clippedRun:
		m.clipped++
	}
}

// Merge adds what other has measured, as if its samples had been among those of m: so the level of a speaker is that of all
// his files. Both meters may be used further.
func (m *Meter) Merge(other *Meter) {
	if other.Samples() == 0 {
		return
	}
	if m.Samples() == 0 {
		m.low, m.high = other.low, other.high
	}
	m.low, m.high = min(m.low, other.low), max(m.high, other.high)
	m.merged += other.Samples()
	m.clipped += other.clipped
	m.sum.merge(other.sum, other.partSum)
	m.squares.merge(other.squares, other.partSquares)
}

// Centred returns the meter of the same samples with their mean taken off: the level of the sound without its DC. It has
// to be taken of each file before they are merged, if each loses its own DC.
func (m *Meter) Centred() *Meter {
	n, dc, square := float64(m.Samples()), m.DC(), m.meanSquare()
	c := &Meter{Channels: m.Channels, merged: m.Samples(), clipped: m.clipped}
	// Of two nearly equal numbers only rounding errors are left: a constant has no sound.
	if rest := square - dc*dc; !(rest < 1e-12*square) {
		c.squares.add(rest * n)
		c.low, c.high = m.low-dc, m.high-dc
	}
	return c
}

// Samples returns how many samples were measured, those of all channels counted.
func (m *Meter) Samples() int64 { return m.added + m.merged }

// Peak returns the largest absolute value; 0 without samples.
func (m *Meter) Peak() float64 {
	if m.Samples() == 0 {
		return 0
	}
	return max(0, -m.low, m.high)
}

// RMS returns the root of the mean square; 0 without samples.
func (m *Meter) RMS() float64 { return math.Sqrt(m.meanSquare()) }

func (m *Meter) meanSquare() float64 {
	return m.squares.plus(m.partSquares) / float64(max(1, m.Samples()))
}

// DC returns the mean; 0 without samples.
func (m *Meter) DC() float64 { return m.sum.plus(m.partSum) / float64(max(1, m.Samples())) }

// Clipped returns how many samples were cut off at full scale: those in runs of at least three successive samples of a
// channel, of one sign, at or beyond 32767/32768. Sound that was cut off and made quieter after that is not found.
func (m *Meter) Clipped() int64 { return m.clipped }

// DBFS returns an amplitude in decibels relative to full scale: 20 log10 x. A square wave over the full range has an RMS
// of 0 dBFS, and a sine of -3.01 (AES17 adds these 3.01; SoX and most tools for speech do not). 0 gives minus infinity.
func DBFS(x float64) float64 { return 20 * math.Log10(x) }
