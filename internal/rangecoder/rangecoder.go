// Package rangecoder turns classes into bytes, each class at the cost of its probability: an arithmetic coder that divides a range by
// whole numbers (Martin, Range encoding, 1979), the same on every machine.
//
// Probabilities are frequencies, whole numbers from 1 that add up to 1 << [FrequencyBits]. The caller brings them anew for each class, and
// the decoder must be given those of the encoder. As the range is never shorter than 2^56, rounding takes less than 2^-24 from
// the share of a class.
//
// No library fits: the coders of archivers in Go (kanzi, xz, FSE in klauspost/compress) take bytes, of which they make models
// of their own, or binary decisions; those of Opus keep to its bit stream.
package rangecoder

import (
	"fmt"
	"math"
)

// FrequencyBits is the logarithm of what the frequencies of all classes add up to.
const FrequencyBits = 32

// bottom is the shortest range: a byte leaves whenever the range gets shorter.
const bottom = 1 << 56

// Encoder codes classes.
type Encoder struct {
	out []byte // what is below low
	low uint64 // where the range begins
	n   uint64 // its length
}

// NewEncoder returns an encoder that appends to out.
func NewEncoder(out []byte) *Encoder { return &Encoder{out: out, n: math.MaxUint64} }

// Encode codes a class.
func (e *Encoder) Encode(frequencies []uint32, class int32) {
	start := uint64(0)
	for _, f := range frequencies[:class] {
		start += uint64(f)
	}
	part := e.n >> FrequencyBits
	e.n = part * uint64(frequencies[class])
	if e.n == 0 {
		panic(fmt.Sprintf("rangecoder: class %d has a frequency of 0", class))
	}
	e.add(part * start)
	for e.n < bottom {
		e.out = append(e.out, byte(e.low>>56))
		e.low <<= 8
		e.n <<= 8
	}
}

// add adds to low, and carries into the bytes that have left it. They are not all 255: the range is within [0, 1).
func (e *Encoder) add(v uint64) {
	e.low += v
	if e.low >= v {
		return
	}
	i := len(e.out) - 1
	for ; e.out[i] == math.MaxUint8; i-- {
		e.out[i] = 0
	}
	e.out[i]++
}

// Close returns the code. Zeros, which stand behind every code, are left out: if none of what leads into the range has zeros alone left, one
// byte does, as the range is no shorter than what that stands for.
func (e *Encoder) Close() []byte {
	if up := -e.low; up < e.n { // to the next number that has left
		e.add(up)
		return e.out
	}
	e.add(-e.low & (bottom - 1))
	return append(e.out, byte(e.low>>56))
}

// Decoder decodes what an [Encoder] has coded. Of other bytes, it makes some classes.
type Decoder struct {
	in  []byte // what is to come
	low uint64 // where the code lies, from the beginning of the range
	n   uint64 // length of the range
}

// NewDecoder returns a decoder of a whole code.
func NewDecoder(code []byte) *Decoder {
	d := &Decoder{in: code, n: math.MaxUint64}
	for range 8 {
		d.shift()
	}
	return d
}

// shift takes another byte.
func (d *Decoder) shift() {
	d.low <<= 8
	if len(d.in) > 0 {
		d.low |= uint64(d.in[0])
		d.in = d.in[1:]
	}
}

// Decode returns the next class.
func (d *Decoder) Decode(frequencies []uint32) int32 {
	part := d.n >> FrequencyBits
	at, start, class := d.low/part, uint64(0), 0
	for class < len(frequencies)-1 && start+uint64(frequencies[class]) <= at {
		start += uint64(frequencies[class])
		class++
	}
	d.low -= part * start
	d.n = part * uint64(frequencies[class])
	if d.n == 0 {
		panic(fmt.Sprintf("rangecoder: class %d has a frequency of 0", class))
	}
	for d.n < bottom {
		d.shift()
		d.n <<= 8
	}
	return int32(class)
}
