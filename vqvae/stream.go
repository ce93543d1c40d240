package vqvae

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Stream encodes an input that comes in pieces. The pieces may be of any size; all frames together are those that
// [Model.Latent] gives for the whole, bit for bit. What a stream holds in memory does not grow with the input.
//
//	s := vqvae.NewStream(model)
//	for ... {
//		frames := s.Write(input)
//	}
//	frames := s.Close()
//
// A frame is encoded from a block with a margin of frames on both sides, those that its receptive field reaches into; the
// margin's own frames are dropped.
type Stream struct {
	model    *Model
	encoder  *Encoder          // frozen
	books    []kernel.Codebook // packed; none without a [Quantiser]
	arena    tensor.Arena
	channels int // of the input
	frame    int // elements of the input for a frame
	before   int // frames of the margins
	after    int
	block    int       // frames that are encoded at a time, in the end
	size     int       // and now: few at first, so that somebody who listens need not wait
	input    []float32 // the margin before, and what is to be encoded
	done     int       // frames of input that have been encoded: the margin before

	codes   []int32 // for the caller
	vectors []float32
}

// Frames are what a [Stream] has encoded, one for each hop of sound, until the next call.
type Frames struct {
	Codes   []int32       // [frames]; none if the model has no codes
	Vectors tensor.Tensor // [frames, D]: what the decoder is told
}

// blockElements is the number of activations in a block, about: 4 MiB.
const blockElements = 1 << 20

// NewStream returns a stream for the model as it is now: it keeps its weights and its codebooks in packed form. Several streams
// may be made of one model, each for one goroutine at a time.
func NewStream(m *Model) *Stream {
	s := &Stream{model: m, encoder: m.Encoder.frozen()}
	if m.Quantiser != nil {
		s.books = m.Quantiser.pack()
	}
	s.channels = m.Config.Encoder.InputChannels()
	s.frame = m.Config.Encoder.Stride() * s.channels
	s.before, s.after = m.Config.Encoder.margins()
	margins := s.before + s.after
	s.block = max(1, margins, int(blockElements/m.Config.Encoder.activations())-margins) // no more work for margins than for frames
	s.restart()
	return s
}

// restart begins with blocks that are no longer than their margins.
func (s *Stream) restart() { s.size = min(s.block, max(1, s.before+s.after)) }

// margins returns the numbers of whole frames before and after a frame that its receptive field reaches into, with the surroundings
// of that.
func (c EncoderConfig) margins() (before, after int) {
	steps, stride := 0, 1 // before the first step of a frame
	stack := c.Stack()
	for _, a := range stack {
		steps += a.Before * stride
		stride *= a.Stride
	}
	return (steps + c.Centre + stride - 1) / stride, (stack.ReceptiveField() - steps - 1 + c.Centre) / stride
}

// activations is the number of elements of all layers' inputs and outputs for a frame.
func (c EncoderConfig) activations() int64 {
	steps := c.Stride()
	n := product(steps, c.InputChannels())
	for i, s := range c.Strides {
		steps /= s
		n += product(steps, c.Channels[i])
	}
	return n
}

// Write takes the next of the input, whole steps, flat, and returns the frames that they complete: none before there is a
// whole block.
func (s *Stream) Write(input []float32) Frames {
	if len(input)%s.channels != 0 {
		panic(fmt.Sprintf("vqvae.Stream: %d elements, want steps of %d", len(input), s.channels))
	}
	s.begin()
	for len(input) > 0 {
		full := (s.done + s.size + s.after) * s.frame
		n := min(len(input), full-len(s.input))
		s.input = append(s.input, input[:n]...)
		input = input[n:]
		if len(s.input) == full {
			s.encode(s.size)
			s.size = min(2*s.size, s.block)
		}
	}
	return s.frames()
}

// Close returns the last frames. It panics if the input does not end with a whole frame. The stream is then ready for other
// input.
func (s *Stream) Close() Frames {
	if len(s.input)%s.frame != 0 {
		panic(fmt.Sprintf("vqvae.Stream: the input ends with %d of the %d elements of a frame", len(s.input)%s.frame, s.frame))
	}
	s.begin()
	if n := len(s.input)/s.frame - s.done; n > 0 {
		s.encode(n)
	}
	s.input, s.done = nil, 0
	s.restart()
	return s.frames()
}

func (s *Stream) begin() { s.codes, s.vectors = s.codes[:0], s.vectors[:0] }

func (s *Stream) frames() Frames {
	dim := s.model.Config.Bottleneck.Dim
	return Frames{Codes: s.codes, Vectors: tensor.From(s.vectors, len(s.vectors)/dim, dim)}
}

// encode encodes the next n frames of the input, and drops what those behind them do not depend on.
func (s *Stream) encode(n int) {
	width := s.model.Config.Bottleneck.Width()
	z, _ := s.encoder.Forward(&s.arena, tensor.From(s.input, 1, len(s.input)/s.channels, s.channels))
	z = tensor.From(z.Data[s.done*width:(s.done+n)*width], n, width)
	var v Latent
	if s.books != nil {
		v = s.model.Quantiser.quantise(&s.arena, z, s.books)
	} else {
		v = s.model.Bottleneck.Forward(&s.arena, z, nil)
	}
	s.codes = append(s.codes, v.Codes...)
	s.vectors = append(s.vectors, v.Vectors.Data...)
	s.arena.Reset()

	s.done += n
	gone := max(0, s.done-s.before)
	s.input = s.input[:copy(s.input, s.input[gone*s.frame:])]
	s.done -= gone
}
