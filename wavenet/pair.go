package wavenet

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// Pair draws one sequence on two cores: each of them has half of the channels, but for those of the residual stream, which both
// compute, and so not much more than half of the weights to read. They wait for each other once a layer, which takes some tenths of a
// microsecond where both cores are really there, and so pays where a step takes much longer: in nets whose weights are more
// than the cache of one core. The steps are those of a [Sampler], bit for bit.
//
// From time to time a Pair measures whether two cores are faster than one, and goes on with what is.
type Pair struct {
	net     *Net
	halves  [2]half
	arrived [2]counter // how often each half has
	drawer  *Drawer

	// What each half writes its part of, and both read.
	previous int32
	z        [2][]float32 // of layers with even and odd numbers: [R]
	skips    []float32    // ReLU of their sum: [S]
	hidden   []float32    // [S]
	logits   []float32    // [Outputs]

	cores  int // on which the next stretch is drawn: 1 or 2
	trials [2]time.Duration
	drawn  int // stretches since the trials began
}

// counter has cache lines of its own.
type counter struct {
	atomic.Uint64
	_ [120]byte
}

// half is the share of one core, and what it alone writes.
type half struct {
	*samplerWeights
	share     share
	stream    *stream
	condition []float32 // its part of that of the frame, layer after layer
	gates     []float32 // of its channels: tanh, sigmoid
	sums      []float32 // the residual stream [R], and its channels of the sum of skips
	int8s     []uint8   // a vector of R or S, for Int8
	value     [1]float32
}

// NewPair returns a pair at the start of a sequence. It copies the weights, as [NewSampler] does.
func NewPair(n *Net, p Precision) *Pair {
	c := n.Config
	pair := &Pair{net: n, z: [2][]float32{make([]float32, c.Residual), make([]float32, c.Residual)}, skips: make([]float32, c.Skip),
		hidden: make([]float32, c.Skip), logits: make([]float32, c.Outputs()), cores: 2}
	pair.drawer = NewDrawer(c)
	all := c.all()
	first := share{firstHalf(all.gates), firstHalf(all.skip), firstHalf(all.outputs)}
	rest := share{span{first.gates.to, c.Residual}, span{first.skip.to, c.Skip}, span{first.outputs.to, c.Outputs()}}
	for k, s := range []share{first, rest} {
		w := newSamplerWeights(n, p, s)
		h := half{samplerWeights: w, share: s, stream: newStream(w, 2*s.gates.len()),
			condition: make([]float32, len(w.layerWeights)*2*s.gates.len()), gates: make([]float32, 2*s.gates.len()),
			sums: make([]float32, c.Residual+s.skip.len())}
		if p == Int8 {
			h.int8s = make([]uint8, max(c.Residual, c.Skip))
		}
		pair.halves[k] = h
	}
	return pair
}

// firstHalf returns half of a span, in whole vectors if each half has some.
func firstHalf(s span) span {
	const vector = 16
	n := (s.len() + 1) / 2
	if s.len() >= 2*vector {
		n = (n + vector - 1) / vector * vector
	}
	return span{s.from, s.from + n}
}

// NewGenerator begins a sequence with the pair, as that of a [Sampler].
func (p *Pair) NewGenerator(v Voice, emit func(steps []int32) error) *Generator {
	g := newGenerator(p.net, v, emit)
	for k := range p.halves {
		p.halves[k].stream.reset()
	}
	hop := p.net.Config.Hop
	g.drawer, g.stretch.stream, g.steps = p, p.halves[0].stream, make([]int32, max(1, pairSteps/hop)*hop)
	return g
}

// pairSteps is the number of steps, about, for which the second core is called.
const pairSteps = 512

// A trial is of trialStretches on each number of cores; it is repeated after trialEvery stretches.
const (
	trialStretches = 4
	trialEvery     = 1000
)

// draw draws the steps of a stretch.
func (p *Pair) draw(t *stretch) {
	trial := p.drawn < 2*trialStretches
	if trial {
		p.cores = 1 + p.drawn%2
	}
	if runtime.GOMAXPROCS(0) < 2 {
		p.cores = 1
	}
	began, steps := time.Now(), t.left()
	if p.cores == 1 {
		p.drawAlone(t)
	} else {
		p.drawTogether(t)
	}
	if trial {
		p.trials[p.cores-1] += time.Since(began) / time.Duration(steps)
	}
	switch p.drawn++; p.drawn {
	case 2 * trialStretches:
		p.cores = 1
		if p.trials[1] < p.trials[0] {
			p.cores = 2
		}
	case trialEvery:
		p.drawn, p.trials = 0, [2]time.Duration{}
	}
}

// drawAlone draws on one core, which does the work of both.
func (p *Pair) drawAlone(t *stretch) {
	for t.left() > 0 {
		p.begin(t)
		p.step(func(do func(p *Pair, h *half, layer int), layer int) {
			do(p, &p.halves[0], layer)
			do(p, &p.halves[1], layer)
		})
		p.end(t)
	}
}

// drawTogether draws on two cores.
func (p *Pair) drawTogether(t *stretch) {
	steps := t.left()
	p.arrived[0].Store(0)
	p.arrived[1].Store(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		phase := uint64(0)
		for range steps {
			p.await(1, &phase) // for the first half to begin a step
			p.step(func(do func(p *Pair, h *half, layer int), layer int) {
				do(p, &p.halves[1], layer)
				p.await(1, &phase)
			})
		}
	}()
	phase := uint64(0)
	for range steps {
		p.begin(t)
		p.await(0, &phase)
		p.step(func(do func(p *Pair, h *half, layer int), layer int) {
			do(p, &p.halves[0], layer)
			p.await(0, &phase)
		})
		p.end(t)
	}
	<-done
}

// patience is how often a half looks for the other before it lets other goroutines have the core: some 20 microseconds.
const patience = 20000

// await says that half k has come to the end of a phase, and waits for the other.
func (p *Pair) await(k int, phase *uint64) {
	*phase++
	p.arrived[k].Store(*phase)
	other := &p.arrived[1-k]
	for tries := 0; other.Load() < *phase; tries++ {
		if tries >= patience {
			runtime.Gosched()
		}
	}
}

// begin begins a step, and a frame if the last one is over.
func (p *Pair) begin(t *stretch) {
	p.previous = t.previous
	if p.halves[0].stream.left > 0 {
		return
	}
	condition := t.next()
	r := p.net.Config.Residual
	for k := range p.halves {
		h := &p.halves[k]
		h.stream.frame(&p.net.Config, condition)
		own := h.share.gates
		at := 0
		for l := range h.layerWeights {
			row := condition[l*2*r : (l+1)*2*r]
			at += copy(h.condition[at:], row[own.from:own.to])
			at += copy(h.condition[at:], row[r+own.from:r+own.to])
		}
	}
}

// end draws the step.
func (p *Pair) end(t *stretch) {
	t.take(p.drawer.Draw(p.logits, t.voice.Drawing, t.voice.Uniform()))
}

// step makes a step: phases one after the other, each by both halves.
func (p *Pair) step(both func(do func(p *Pair, h *half, layer int), layer int)) {
	for layer := range p.halves[0].layerWeights {
		both((*Pair).doGates, layer)
	}
	both((*Pair).doSkips, len(p.halves[0].layerWeights))
	both((*Pair).doHidden, 0)
	both((*Pair).doLogits, 0)
}

// vector returns x as products take it; valid until the next call.
func (h *half) vector(x []float32) vector { return quantised(x, h.int8s) }

// doGates goes on from the layer before, and computes z of the half's channels.
func (p *Pair) doGates(h *half, layer int) {
	x, own := h.sums[:p.net.Config.Residual], h.share.gates
	if layer > 0 {
		h.addSums(p, layer-1, h.sums)
	} else if p.net.Input != nil {
		h.value[0] = p.net.Config.value(p.previous)
		h.input.Mul(x, h.value[:], p.net.Input.Bias.Value.Data)
	} else {
		copy(x, p.net.Embed.Table.Value.Row(int(p.previous)))
	}
	if layer == 0 {
		copy(h.sums[len(x):], p.net.Stack.SkipBias.Value.Data[h.share.skip.from:h.share.skip.to])
	}
	l, w, v, n := &h.stream.layers[layer], &h.layerWeights[layer], h.vector(x), own.len()
	if n > 0 { // the second half of a single channel is none
		older := l.older(h.samplerWeights, w, h.condition[layer*2*n:(layer+1)*2*n], h.stream.left)
		h.mul(&w.newer, h.gates, v, older)
		kernel.GateForward(p.z[layer%2][own.from:own.to], n, h.gates, 2*n, 1, n)
	}
	l.push(v)
}

// addSums adds to the residual stream and to the half's channels of the sum of skips.
func (h *half) addSums(p *Pair, layer int, sums []float32) {
	h.mul(&h.layerWeights[layer].sums, sums, h.vector(p.z[layer%2]), sums)
}

// doSkips goes on from the last layer.
func (p *Pair) doSkips(h *half, layers int) {
	sums := h.sums[p.net.Config.Residual:]
	h.addSums(p, layers-1, sums)
	kernel.ReLU(p.skips[h.share.skip.from:h.share.skip.to], sums)
	h.stream.left--
}

func (p *Pair) doHidden(h *half, _ int) {
	own := h.share.skip
	hidden := p.hidden[own.from:own.to]
	h.mul(&h.out1, hidden, h.vector(p.skips), p.net.Out1.Bias.Value.Data[own.from:own.to])
	kernel.ReLU(hidden, hidden)
}

func (p *Pair) doLogits(h *half, _ int) {
	own := h.share.outputs
	h.mul(&h.out2, p.logits[own.from:own.to], h.vector(p.hidden), p.net.Out2.Bias.Value.Data[own.from:own.to])
}
