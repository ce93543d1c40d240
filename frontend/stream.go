package frontend

import (
	"slices"

	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Stream makes the input of an encoder from sound that comes in pieces. The pieces may be of any size; all input together is
// that which [Frontend.Fill] makes of the whole, bit for bit. What a stream holds in memory does not grow with the sound.
type Stream struct {
	*Frontend
	analysis *analysis // nil for a waveform
	margin   int       // frames on either side of one that it depends on
	samples  []float64 // the margin before, and what is to be analysed
	done     int       // frames of samples that have been analysed: the margin before
	begun    int       // samples of the last code
	input    []float32 // for the caller
	levels   []int32   // of samples
	slab     []float32 // features of all samples
}

// blockFrames is the number of frames that are analysed at a time.
const blockFrames = 64

// NewStream returns a stream, for one goroutine at a time.
func (f *Frontend) NewStream() *Stream {
	s := &Stream{Frontend: f}
	if f.config.Encoder.Input != vqvae.Wave {
		s.analysis, s.margin = f.analysis(), f.features.margin()
	}
	return s
}

// Write takes the next samples, from -1 to 1, and returns the input that they complete, whole steps, flat, until the next call.
func (s *Stream) Write(samples []float64) (input []float32) {
	s.input = s.input[:0]
	s.write(samples)
	return s.input
}

// Close returns the last input. If the sound does not end with a whole code, silence follows. The stream is then ready for other
// sound.
func (s *Stream) Close() (input []float32) {
	s.input = s.input[:0]
	hop, silence := s.config.Hop(), [1]float64{}
	for s.begun > 0 && s.begun < hop {
		s.write(silence[:])
	}
	if s.analysis != nil {
		s.analyse(len(s.samples)/s.features.spectrum.Hop - s.done)
		s.samples, s.done = s.samples[:0], 0
	}
	s.begun = 0
	return s.input
}

func (s *Stream) write(samples []float64) {
	hop := s.config.Hop()
	if len(samples) > 0 {
		s.begun = (s.begun+len(samples)-1)%hop + 1
	}
	if s.analysis == nil {
		s.levels = s.levels[:0]
		for _, x := range samples {
			s.levels = append(s.levels, s.law.Encode(x))
		}
		at := len(s.input)
		s.input = slices.Grow(s.input, len(samples))[:at+len(samples)]
		s.numbers(s.input[at:], s.levels)
		return
	}
	for len(samples) > 0 {
		full := (s.done + blockFrames + s.margin) * s.features.spectrum.Hop
		n := min(len(samples), full-len(s.samples))
		s.samples = append(s.samples, samples[:n]...)
		samples = samples[n:]
		if len(s.samples) == full {
			s.analyse(blockFrames)
		}
	}
}

// analyse analyses the next n frames, and drops what those behind them do not depend on.
func (s *Stream) analyse(n int) {
	hop, channels := s.features.spectrum.Hop, s.config.Encoder.InputChannels()
	if size := len(s.samples) / hop * channels; cap(s.slab) < size {
		s.slab = make([]float32, size)
	} else {
		s.slab = s.slab[:size]
	}
	s.analysis.compute(s.slab, s.samples)
	s.input = append(s.input, s.slab[s.done*channels:(s.done+n)*channels]...)
	s.done += n
	gone := max(0, s.done-s.margin)
	s.samples = s.samples[:copy(s.samples, s.samples[gone*hop:])]
	s.done -= gone
}

// Encoder encodes sound that comes in pieces, as [vqvae.Stream] encodes the input of a model.
type Encoder struct {
	sound *Stream
	input *vqvae.Stream
}

// NewEncoder returns an encoder for the model as it is now, whose front end f is. Several may be made of one model, each for one
// goroutine at a time.
func NewEncoder(f *Frontend, m *vqvae.Model) *Encoder {
	return &Encoder{sound: f.NewStream(), input: vqvae.NewStream(m)}
}

// Write takes the next samples, from -1 to 1, and returns the frames that they complete, until the next call: none before there
// is a whole block.
func (e *Encoder) Write(samples []float64) vqvae.Frames { return e.input.Write(e.sound.Write(samples)) }

// Close returns the last frames. If the sound does not end with a whole code, silence follows. The encoder is then ready for
// other sound.
func (e *Encoder) Close() vqvae.Frames {
	f := e.input.Write(e.sound.Close())
	codes, vectors := slices.Clone(f.Codes), slices.Clone(f.Vectors.Data)
	last := e.input.Close()
	return vqvae.Frames{
		Codes:   append(codes, last.Codes...),
		Vectors: tensor.From(append(vectors, last.Vectors.Data...), f.Vectors.Dim(0)+last.Vectors.Dim(0), last.Vectors.Dim(1)),
	}
}
