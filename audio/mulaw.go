package audio

import (
	"fmt"
	"math"
	"math/bits"
)

// MuLaw is the companding of WaveNet (van den Oord et al. 2016, section 2.2): it turns a sample x from -1 to 1 into one of
// a number of levels that lie closer where sound is softer,
//
//	f(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu),  mu = levels - 1,
//
// rounded to the nearest of levels steps that reach from f = -1 (level 0) to f = 1 (level mu). Level and sample change
// sides together: level i and level mu-i are the same sample but for the sign. Silence, the sample 0, lies between the two
// levels in the middle, and is the upper one: 128 of 256.
//
// This is not the mu-law of telephones (ITU-T G.711, which WAV files hold), which follows the same curve with straight
// lines, and numbers its bytes otherwise.
type MuLaw struct {
	levels int
	half   int32     // levels / 2: the level of silence
	sample []float64 // of every level

	// The level of x is looked up by the leading bits of u = 1 + mu |x|, whose logarithm is what counts: in a cell, which all u
	// with the same bits share, the level changes once at most.
	cells []muLawCell
	shift int // right, from the bits of u to the number of its cell
}

// muLawCell is a range of |x| in which the level changes once at most. Levels are counted from the middle.
type muLawCell struct {
	change float64 // the smallest |x| of the upper level, or infinity
	level  int32   // below that
}

// NewMuLaw returns the companding with a number of levels, a power of two from 2 to 65,536. It panics for others.
func NewMuLaw(levels int) *MuLaw {
	if levels < 2 || levels > 1<<16 || bits.OnesCount(uint(levels)) != 1 {
		panic(fmt.Sprintf("audio: mu-law with %d levels: want a power of two from 2 to 65536", levels))
	}
	m := &MuLaw{levels: levels, half: int32(levels / 2), sample: make([]float64, levels)}
	for i := range m.half {
		x := m.Expand(float64(2*i+1) / float64(levels-1))
		m.sample[m.half+i], m.sample[m.half-1-i] = x, -x
	}
	m.sample[0], m.sample[levels-1] = -1, 1 // without rounding errors
	changes := m.changes()
	for m.shift = 51; !m.fill(changes); m.shift-- { // half an octave a cell, then less
	}
	return m
}

// changes returns, for each level above the middle but the first, the smallest |x| that has it by the formula.
func (m *MuLaw) changes() []float64 {
	changes := make([]float64, m.half-1)
	for i := range changes {
		// The inverse of the formula, and then as many steps as rounding has led it astray.
		x := m.Expand(float64(2*(i+1)) / float64(m.levels-1))
		for m.formula(x) > int32(i) {
			x = math.Nextafter(x, 0)
		}
		for m.formula(x) <= int32(i) {
			x = math.Nextafter(x, 1)
		}
		changes[i] = x
	}
	return changes
}

// formula returns the level of |x|, counted from the middle.
func (m *MuLaw) formula(x float64) int32 {
	return int32(m.Compress(x) * float64(m.levels-1) / 2)
}

// fill makes the cells. It returns false if the level changes twice in one.
func (m *MuLaw) fill(changes []float64) bool {
	m.cells = make([]muLawCell, m.cell(1)+1)
	next := 0
	for i := range m.cells {
		m.cells[i] = muLawCell{math.Inf(1), int32(next)}
		if next < len(changes) && m.cell(changes[next]) == i {
			m.cells[i].change = changes[next]
			next++
		}
		if next < len(changes) && m.cell(changes[next]) == i {
			return false
		}
	}
	return true
}

// cell returns the number of the cell of |x|, at most 1.
func (m *MuLaw) cell(x float64) int {
	const one = 1023 << 52 // the bits of 1.0
	u := 1 + float64(float64(m.levels-1)*x)
	return int((math.Float64bits(u) - one) >> m.shift)
}

// Levels returns the number of levels.
func (m *MuLaw) Levels() int { return m.levels }

// Compress returns f(x), from -1 to 1 for x from -1 to 1: the sample as the ear hears it, without rounding to a level.
func (m *MuLaw) Compress(x float64) float64 {
	mu := float64(m.levels - 1)
	return math.Copysign(math.Log1p(mu*math.Abs(x))/math.Log1p(mu), x)
}

// Expand returns the x whose f(x) is y.
func (m *MuLaw) Expand(y float64) float64 {
	mu := float64(m.levels - 1)
	return math.Copysign(math.Expm1(math.Abs(y)*math.Log1p(mu))/mu, y)
}

// Encode returns the level of x, from 0 to levels-1. Beyond -1 and 1 it is the last one; NaN is silence.
func (m *MuLaw) Encode(x float64) int32 {
	a := math.Abs(x)
	if !(a < 1) {
		switch {
		case x >= 1:
			return int32(m.levels) - 1
		case x <= -1:
			return 0
		}
		return m.half
	}
	c := &m.cells[m.cell(a)]
	level := c.level
	if a >= c.change {
		level++
	}
	if x < 0 {
		level = ^level // -1 - level
	}
	return m.half + level
}

// EncodeAll stores the levels of the samples x in levels, which has the same length.
func (m *MuLaw) EncodeAll(levels []int32, x []float32) {
	levels = levels[:len(x)]
	for i, x := range x {
		levels[i] = m.Encode(float64(x))
	}
}

// Decode returns the sample of a level, which has to be from 0 to levels-1. Its level is the same again.
func (m *MuLaw) Decode(level int32) float64 { return m.sample[level] }

// DecodeAll stores the samples of levels in x, which has the same length.
func (m *MuLaw) DecodeAll(x []float32, levels []int32) {
	x = x[:len(levels)]
	for i, level := range levels {
		x[i] = float32(m.sample[level])
	}
}
