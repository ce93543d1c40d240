package prior

import "github.com/vqaudio/vqaudio/wavenet"

// Generator draws codes from a prior, one after the other, for ever: speech that nobody has spoken, or that goes on from a
// recording. What it holds in memory does not grow. It is for one goroutine.
type Generator struct {
	prior   *Prior
	sampler *wavenet.Sampler
	before  int32
	drawing wavenet.Drawing
	uniform func() float64
}

// NewGenerator returns a generator of the codes of a speaker, or of Nobody, at the start of an utterance. It calls uniform, which
// returns a number from [0, 1), once for each code. The drawing has passed its Check for Net.
func (p *Prior) NewGenerator(id int32, d wavenet.Drawing, uniform func() float64) *Generator {
	g := &Generator{p, wavenet.NewSampler(p.Net, wavenet.Float32), p.Net.First(), d, uniform}
	g.sampler.Frame(p.Condition(id))
	return g
}

// Another is [Prior.NewGenerator] for the prior and the drawing of g, whose weights both share.
func (g *Generator) Another(id int32, uniform func() float64) *Generator {
	other := &Generator{g.prior, g.sampler.Another(), g.prior.Net.First(), g.drawing, uniform}
	other.sampler.Frame(g.prior.Condition(id))
	return other
}

// Feed goes on from codes: those of a recording.
func (g *Generator) Feed(codes []int32) {
	for _, code := range codes {
		g.sampler.Step(g.before)
		g.before = code
	}
}

// Next returns the next code.
func (g *Generator) Next() int32 {
	g.before = g.sampler.Draw(g.sampler.Step(g.before), g.drawing, g.uniform())
	return g.before
}
