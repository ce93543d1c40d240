package corpora

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// spool holds one utterance between decoding and the samples file: first as float32, then, when its loudest sample and
// its bounds are known, as 16 bits. What is longer than spoolSamples goes through a file, so that a recording of ten hours
// takes no more memory than one of half a minute.
type spool struct {
	name string   // of the file
	file *os.File // nil until it is needed

	samples []float32 // that are not in the file, at most spoolSamples
	filed   int64     // how many are
	peak    float64   // absolute, of all
	exact   bool      // all are samples of 16 bits

	result  []byte // the 16-bit samples, of a short utterance
	written int64  // the length of the result in the file
	block   []byte // for the file
}

const (
	spoolSamples = 1 << 19
	spoolBlock   = 1 << 15 // samples that are converted at a time
)

// spoolError is the error that the spool file cannot be written or read: no fault of the recording.
type spoolError struct{ error }

func (e *spoolError) Unwrap() error { return e.error }

// reset begins an utterance.
func (s *spool) reset() {
	s.samples, s.result = s.samples[:0], s.result[:0]
	s.filed, s.written = 0, 0
	s.peak, s.exact = 0, true
}

// len returns the number of samples.
func (s *spool) len() int64 { return s.filed + int64(len(s.samples)) }

// add takes the next samples.
func (s *spool) add(block []float64) error {
	if s.len()+int64(len(block)) > maxUtteranceSamples {
		return fmt.Errorf("more than %d samples", int64(maxUtteranceSamples))
	}
	if len(s.samples)+len(block) > spoolSamples {
		if err := s.flush(); err != nil {
			return &spoolError{err}
		}
	}
	peak, exact := s.peak, s.exact
	for _, v := range block {
		x := float32(v)
		s.samples = append(s.samples, x)
		a := math.Abs(float64(x))
		if !(a <= math.MaxFloat32) {
			return fmt.Errorf("sample %d is %v", s.len()-1, x)
		}
		peak = max(peak, a)
		steps := float64(x) * (1 << 15)
		exact = exact && steps == math.Trunc(steps) && steps >= -1<<15 && steps < 1<<15
	}
	s.peak, s.exact = peak, exact
	return nil
}

// flush moves the samples to the file.
func (s *spool) flush() error {
	if s.file == nil {
		f, err := os.Create(s.name)
		if err != nil {
			return err
		}
		s.file = f
	}
	for x := s.samples; len(x) > 0; {
		n := min(len(x), spoolBlock)
		s.block = s.block[:0]
		for _, v := range x[:n] {
			s.block = binary.LittleEndian.AppendUint32(s.block, math.Float32bits(v))
		}
		if _, err := s.file.WriteAt(s.block, 4*s.filed); err != nil {
			return err
		}
		s.filed += int64(n)
		x = x[n:]
	}
	s.samples = s.samples[:0]
	return nil
}

// quantise makes the samples from start to before end the result, in steps of unit, and measures it. A recording of 16
// bits or less stays as it is, its unit is 1/32768. Any other is scaled so that its loudest sample just fits: nothing
// clips, and the rounding is as fine as it can be.
func (s *spool) quantise(start, end int64) (measure waveMeasure, err error) {
	measure = waveMeasure{samples: end - start, unit: 1. / (1 << 15), low: math.MaxInt16, high: math.MinInt16}
	if !s.exact {
		measure.unit = s.peak / math.MaxInt16
	}
	var block []float32
	if s.filed > 0 {
		if err := s.flush(); err != nil {
			return measure, &spoolError{err}
		}
		block = make([]float32, spoolBlock)
	}
	for at := start; at < end; at += int64(len(block)) {
		n := int(min(end-at, spoolBlock))
		if s.filed == 0 {
			block = s.samples[at:][:n]
		} else if block, err = s.read(block[:n], at); err != nil {
			return measure, &spoolError{err}
		}
		s.block = s.block[:0]
		for _, x := range block {
			v := int16(math.RoundToEven(float64(x) / measure.unit))
			s.block = binary.LittleEndian.AppendUint16(s.block, uint16(v))
			measure.sum += int64(v)
			measure.squares += int64(v) * int64(v)
			measure.low, measure.high = min(measure.low, v), max(measure.high, v)
		}
		measure.crc32c = crc32.Update(measure.crc32c, castagnoli, s.block)
		if s.filed == 0 {
			s.result = append(s.result, s.block...)
		} else if err := s.put(); err != nil {
			return measure, &spoolError{err}
		}
	}
	return measure, nil
}

// read fills x with the samples of the file from at on.
func (s *spool) read(x []float32, at int64) ([]float32, error) {
	s.block = append(s.block[:0], make([]byte, 4*len(x))...)
	if _, err := s.file.ReadAt(s.block, 4*at); err != nil {
		return x, err
	}
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(s.block[4*i:]))
	}
	return x, nil
}

// put writes the block into the file as the next piece of the result, over samples that have been read: the result is
// half as long.
func (s *spool) put() error {
	_, err := s.file.WriteAt(s.block, s.written)
	s.written += int64(len(s.block))
	return err
}

// writeTo writes the result to w at the byte offset.
func (s *spool) writeTo(w io.WriterAt, offset int64) error {
	if s.filed == 0 {
		_, err := w.WriteAt(s.result, offset)
		return err
	}
	_, err := io.Copy(io.NewOffsetWriter(w, offset), io.NewSectionReader(s.file, 0, s.written))
	return err
}

// remove deletes the file.
func (s *spool) remove() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.name)
	}
}

// waveMeasure is what is known about the 16-bit samples of an utterance. The sums are exact, so that they can be kept and
// added up in any order.
type waveMeasure struct {
	samples      int64
	unit         float64 // a sample s was s*unit in the recording
	sum, squares int64
	low, high    int16
	crc32c       uint32
}

// mean returns the mean sample.
func (m *waveMeasure) mean() float64 { return float64(m.sum) / float64(m.samples) }

// peak returns the largest distance from the mean, in the recording's scale.
func (m *waveMeasure) peak() float64 {
	return max(float64(m.high)-m.mean(), m.mean()-float64(m.low)) * m.unit
}

// energy returns the sum of the squared distances from the mean, in the recording's scale.
func (m *waveMeasure) energy() float64 {
	squares := float64(m.squares) - float64(float64(m.sum)*m.mean())
	return max(0, squares) * m.unit * m.unit
}
