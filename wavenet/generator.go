package wavenet

import (
	"fmt"

	"github.com/vqaudio/vqaudio/tensor"
)

// Voice says how a [Generator] draws.
type Voice struct {
	Global  []float32      // the global condition [Global]; nil if the net has none
	Drawing Drawing        // how steps are drawn
	Uniform func() float64 // from [0, 1): called once for each step
}

// Generator draws a sequence under a local condition, whose frames may come in pieces of any number: the steps do not depend
// on that. What it holds in memory does not grow with the sequence.
//
//	g := wavenet.NewGenerator(sampler, voice, func(steps []int32) error { ... })
//	for ... {
//		err := g.Write(frames)
//	}
//	err := g.Close()
type Generator struct {
	sampler  *Sampler
	voice    Voice
	emit     func(steps []int32) error
	arena    tensor.Arena
	previous int32
	steps    []int32   // of a frame: [Hop]
	pending  []float32 // frames [n, Local]: those before the next one, for the margin, and those to be drawn
	drawn    int       // of the pending frames, those that have been drawn
}

// generatorMargin is the number of frames on either side of one that its upsampled condition depends on. A transposed
// convolution of kernel 2u and stride u sees the frame before and the frame after; those that come behind the first one see
// frames half as long or less: together, less than one frame more.
const generatorMargin = 2

// generatorFrames is the number of frames of the upsampled condition that are projected at a time, about.
const generatorFrames = 32

// NewGenerator begins a sequence with s, which it resets and uses until Close. It gives the steps of each frame to emit,
// which must not keep them. It panics if the net has no local condition, or if the voice does not fit the net.
func NewGenerator(s *Sampler, v Voice, emit func(steps []int32) error) *Generator {
	c := s.net.Config
	if err := v.Drawing.Check(c); c.Local == 0 || len(v.Global) != c.Global || err != nil {
		panic(fmt.Sprintf("wavenet.NewGenerator: a global condition of %d channels for %+v; %v", len(v.Global), c, err))
	}
	s.Reset()
	return &Generator{sampler: s, voice: v, emit: emit, previous: s.net.First(), steps: make([]int32, c.Hop)}
}

// Write takes the next frames [n, Local], which it copies. It draws the steps of those whose condition is complete, and
// returns emit's error, after which the generator is of no more use.
func (g *Generator) Write(frames []float32) error {
	local := g.sampler.net.Config.Local
	if len(frames)%local != 0 {
		panic(fmt.Sprintf("wavenet.Generator: %d elements, want frames of %d", len(frames), local))
	}
	block := g.block()
	for len(frames) > 0 {
		n := min(len(frames), (g.drawn+block+generatorMargin)*local-len(g.pending))
		g.pending = append(g.pending, frames[:n]...)
		frames = frames[n:]
		if len(g.pending) == (g.drawn+block+generatorMargin)*local {
			if err := g.draw(block); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close draws the steps of the last frames.
func (g *Generator) Close() error {
	return g.draw(len(g.pending)/g.sampler.net.Config.Local - g.drawn)
}

// block is the number of frames that are projected at a time.
func (g *Generator) block() int {
	c := g.sampler.net.Config
	return max(1, generatorFrames*c.Hold()/c.Hop)
}

// draw draws the steps of the next n frames.
func (g *Generator) draw(n int) error {
	if n == 0 {
		return nil
	}
	defer g.arena.Reset()
	net := g.sampler.net
	c := net.Config
	var global tensor.Tensor
	if c.Global > 0 {
		global = tensor.From(g.voice.Global, 1, c.Global)
	}
	condition := net.Project(&g.arena, tensor.From(g.pending, 1, len(g.pending)/c.Local, c.Local), global, 1)
	upsampled, hold := c.Hop/c.Hold(), c.Hold()
	for frame := g.drawn; frame < g.drawn+n; frame++ {
		for i := range g.steps {
			if i%hold == 0 {
				g.sampler.Frame(condition.Row(frame*upsampled + i/hold))
			}
			logits := g.sampler.Step(g.previous)
			g.previous = g.sampler.Draw(logits, g.voice.Drawing, g.voice.Uniform())
			g.steps[i] = g.previous
		}
		if err := g.emit(g.steps); err != nil {
			return err
		}
	}
	g.drawn += n
	gone := max(0, g.drawn-generatorMargin) // the frames that the next ones do not depend on
	g.pending = g.pending[:copy(g.pending, g.pending[gone*c.Local:])]
	g.drawn -= gone
	return nil
}
