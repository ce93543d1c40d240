package vqvae

import (
	"slices"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Stream encodes sound that comes in pieces. The pieces may be of any size; all frames together are those that [Model.Encode]
// and [Model.Codes] give for the whole sound, bit for bit. What a stream holds in memory does not grow with the sound.
//
//	s := vqvae.NewStream(model)
//	for ... {
//		frames := s.Write(levels)
//	}
//	frames := s.Close()
//
// A frame is encoded from a block with a margin of frames on both sides, those that its receptive field reaches into; the
// margin's own frames are dropped.
type Stream struct {
	model   *Model
	encoder *Encoder        // frozen
	book    kernel.Codebook // packed
	arena   tensor.Arena
	hop     int
	before  int // frames of the margins
	after   int
	block   int       // frames that are encoded at a time
	wave    []float32 // the margin before, and what is to be encoded
	done    int       // frames of wave that have been encoded: the margin before

	codes   []int32 // for the caller
	vectors []float32
}

// Frames are what a [Stream] has encoded: a code for each hop of sound and the encoder's output z_e [frames, D], until the
// next call. The entry e of a code is row code of the codebook ([Quantiser]).
type Frames struct {
	Codes   []int32
	Vectors tensor.Tensor // [frames, D]
}

// blockElements is the number of activations in a block, about: 4 MiB.
const blockElements = 1 << 20

// NewStream returns a stream for the model as it is now: it keeps its weights and its codebook in packed form. Several streams
// may be made of one model, each for one goroutine at a time.
func NewStream(m *Model) *Stream {
	q := m.Config.Quantiser
	s := &Stream{model: m, encoder: m.Encoder.frozen(), book: m.Quantiser.pack(make([]float32, kernel.CodebookLen(q.Entries, q.Dim))), hop: m.Config.Encoder.Hop()}
	s.before, s.after = m.Config.Encoder.margins()
	s.block = max(1, int(blockElements/m.Config.Encoder.activations())-s.before-s.after)
	return s
}

// margins returns the numbers of whole frames before and after a frame that its receptive field reaches into.
func (c EncoderConfig) margins() (before, after int) {
	hop, samples, stride := c.Hop(), 0, 1
	stack := c.Stack()
	for _, a := range stack {
		samples += a.Before * stride
		stride *= a.Stride
	}
	return (samples + hop - 1) / hop, (stack.ReceptiveField() - samples - 1) / hop
}

// activations is the number of elements of all layers' inputs and outputs for a frame.
func (c EncoderConfig) activations() int64 {
	steps := c.Hop()
	n := int64(steps)
	for i, s := range c.Strides {
		steps /= s
		n += product(steps, c.Channels[i])
	}
	return n
}

// Write takes the next levels and returns the frames that they complete: none before there is a whole block.
func (s *Stream) Write(levels []int32) Frames {
	s.begin()
	for len(levels) > 0 {
		full := (s.done + s.block + s.after) * s.hop
		at := len(s.wave)
		n := min(len(levels), full-at)
		s.wave = slices.Grow(s.wave, n)[:at+n]
		s.model.toWave(s.wave[at:], levels[:n])
		levels = levels[n:]
		if at+n == full {
			s.encode(s.block)
		}
	}
	return s.frames()
}

// Close returns the last frames. If the sound does not end with a whole frame, silence follows. The stream is then ready for
// other sound.
func (s *Stream) Close() Frames {
	s.begin()
	for len(s.wave)%s.hop != 0 {
		s.wave = append(s.wave, s.model.silence())
	}
	if n := len(s.wave)/s.hop - s.done; n > 0 {
		s.encode(n)
	}
	s.wave, s.done = nil, 0
	return s.frames()
}

func (s *Stream) begin() { s.codes, s.vectors = s.codes[:0], s.vectors[:0] }

func (s *Stream) frames() Frames {
	return Frames{Codes: s.codes, Vectors: tensor.From(s.vectors, len(s.codes), s.model.Config.Quantiser.Dim)}
}

// encode encodes the next n frames of wave, and drops what those behind them do not depend on.
func (s *Stream) encode(n int) {
	dim := s.model.Config.Quantiser.Dim
	z, _ := s.encoder.Forward(&s.arena, tensor.From(s.wave, 1, len(s.wave), 1))
	z = tensor.From(z.Data[s.done*dim:(s.done+n)*dim], n, dim)
	v := Quantised{Codes: s.arena.Int32s(n), Distances: s.arena.Floats(n)}
	s.model.Quantiser.nearest(v, z, s.book)
	s.codes = append(s.codes, v.Codes...)
	s.vectors = append(s.vectors, z.Data...)
	s.arena.Reset()

	s.done += n
	gone := max(0, s.done-s.before)
	s.wave = s.wave[:copy(s.wave, s.wave[gone*s.hop:])]
	s.done -= gone
}
