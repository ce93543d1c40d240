package wavenet

import (
	"fmt"
	"slices"

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
//	g := sampler.NewGenerator(voice, func(steps []int32) error { ... })
//	for ... {
//		err := g.Write(frames)
//	}
//	err := g.Close()
type Generator struct {
	net     *Net
	drawer  interface{ draw(*stretch) }
	leave   func() // of a group; nil without, and once done
	stretch stretch
	emit    func(steps []int32) error
	arena   tensor.Arena
	steps   []int32   // room for those of a block, or with a sampler of a frame
	pending []float32 // frames [n, Local]: those before the next one, for the margin, and those to be drawn
	drawn   int       // of the pending frames, those that have been drawn
}

// stretch is steps of a sequence that are to be drawn.
type stretch struct {
	voice     *Voice
	stream    *stream
	condition tensor.Tensor // [1, F, L*2R], from the frame of the first step on
	frame     int           // that comes next
	lead      int           // steps to come before the first one
	previous  int32
	steps     []int32
	at        int  // of the steps, those that are drawn
	done      bool // all of them, and no round of a group goes on
}

// begin begins a frame, if there are no steps left of the last one.
func (t *stretch) begin(c *Config) {
	if t.stream.left == 0 {
		t.stream.frame(c, t.next())
	}
}

// next returns the condition of the frame that comes next.
func (t *stretch) next() []float32 {
	row := t.condition.Row(t.frame)
	if t.lead == 0 {
		t.frame++
	}
	return row
}

// left is the number of steps to come.
func (t *stretch) left() int { return t.lead + len(t.steps) - t.at }

// take takes the next step.
func (t *stretch) take(step int32) {
	t.previous = step
	if t.lead > 0 {
		t.lead--
		return
	}
	t.steps[t.at] = step
	t.at++
}

// leadSteps is the number of steps, about, that a sequence begins with before its first one, under the condition of its first frame,
// and that nobody gets. A net that has seen nothing begins with anything, often a click; by then it is where the condition
// wants it. (Of 112 recordings converted by a model base, the first 10 ms are more than 6 dB louder than the 40 ms after them in 13
// without, in 1 with this lead; more than 10 dB louder than in the recording in 18, and 6.) Tests change it.
var leadSteps = 1024

// generatorMargin is the number of frames on either side of one that its upsampled condition depends on. A transposed
// convolution of kernel 2u and stride u sees the frame before and the frame after; those that come behind the first one see
// frames half as long or less: together, less than one frame more.
const generatorMargin = 2

// generatorFrames is the number of frames of the upsampled condition that are projected at a time, about.
const generatorFrames = 32

// NewGenerator begins a sequence with the sampler, which it resets and uses until Close. It gives the steps of each frame to emit, as
// soon as they are drawn, which must not keep them. It panics if the net has no local condition, or if the voice does not fit the net.
func (s *Sampler) NewGenerator(v Voice, emit func(steps []int32) error) *Generator {
	g := newGenerator(s.net, v, emit)
	s.Reset()
	g.drawer, g.stretch.stream, g.steps = s, s.one[0], make([]int32, s.net.Config.Hop)
	return g
}

// NewGenerator begins a sequence of the group, as that of a [Sampler]. Whoever does not Close it, as after an error, calls
// Leave: the other sequences wait for this one until then. Several frames are drawn before emit is called.
func (g *Group) NewGenerator(v Voice, emit func(steps []int32) error) *Generator {
	own := newGenerator(g.net, v, emit)
	m := g.join()
	own.drawer, own.leave, own.stretch.stream, own.steps = m, m.leave, m.stream, make([]int32, own.block()*g.net.Config.Hop)
	return own
}

func newGenerator(n *Net, v Voice, emit func(steps []int32) error) *Generator {
	c := n.Config
	if err := v.Drawing.Check(c); c.Local == 0 || len(v.Global) != c.Global || err != nil {
		panic(fmt.Sprintf("wavenet.Generator: a global condition of %d channels for %+v; %v", len(v.Global), c, err))
	}
	lead := (leadSteps + c.Hold() - 1) / c.Hold() * c.Hold()
	return &Generator{net: n, emit: emit, stretch: stretch{voice: &v, previous: n.First(), lead: lead}}
}

// Write takes the next frames [n, Local], which it copies. It draws the steps of those whose condition is complete, and
// returns emit's error, after which the generator is of no more use.
func (g *Generator) Write(frames []float32) error {
	local := g.net.Config.Local
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

// Close draws the steps of the last frames, and leaves the group.
func (g *Generator) Close() error {
	defer g.Leave()
	return g.draw(len(g.pending)/g.net.Config.Local - g.drawn)
}

// Leave gives the sequence up, so that the others of its group need not wait for it any longer. After Close it does nothing.
func (g *Generator) Leave() {
	if g.leave != nil {
		g.leave()
		g.leave = nil
	}
}

// block is the number of frames that are projected at a time.
func (g *Generator) block() int {
	c := g.net.Config
	return max(1, generatorFrames*c.Hold()/c.Hop)
}

// draw draws the steps of the next n frames.
func (g *Generator) draw(n int) error {
	if n == 0 {
		return nil
	}
	defer g.arena.Reset()
	c := g.net.Config
	var global tensor.Tensor
	if c.Global > 0 {
		global = tensor.From(g.stretch.voice.Global, 1, c.Global)
	}
	t := &g.stretch
	t.condition = g.net.Project(&g.arena, tensor.From(g.pending, 1, len(g.pending)/c.Local, c.Local), global, 1)
	t.frame = g.drawn * c.Hop / c.Hold()
	for frames := len(g.steps) / c.Hop; n > 0; {
		now := min(n, frames)
		t.steps, t.at = g.steps[:now*c.Hop], 0
		g.drawer.draw(t)
		for frame := range slices.Chunk(t.steps, c.Hop) {
			if err := g.emit(frame); err != nil {
				return err
			}
		}
		g.drawn += now
		n -= now
	}
	gone := max(0, g.drawn-generatorMargin) // the frames that the next ones do not depend on
	g.pending = g.pending[:copy(g.pending, g.pending[gone*c.Local:])]
	g.drawn -= gone
	return nil
}
