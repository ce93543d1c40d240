package wavenet

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Sampler draws a sequence step by step. Each layer keeps its last inputs in a ring, as many as its dilation, so that a step
// costs each weight once, however wide the receptive field is (fast generation: Le Paine et al., arXiv 1611.09482). It
// allocates nothing.
//
// The older tap of a layer of dilation d sees inputs that are known d steps before they are needed. So its products are made
// for several steps at once, which reads its weights once for all of them: what a step costs is, for nets of the usual size,
// the reading of weights.
//
// In [Float32] its logits are those of [Net.Logits], bit for bit: each sum has the same terms in the same order.
//
// Frame begins a frame of the condition, Step is one step, Draw draws what comes next; a [Generator] goes through a whole
// sequence, and a [Group] through several at once. A Sampler is for one goroutine.
type Sampler struct {
	engine
	one [1]*stream
	was [1]int32
}

// NewSampler returns a sampler at the start of a sequence. It copies the weights of the stack as they are: after training
// went on, make a new one.
func NewSampler(n *Net, p Precision) *Sampler {
	return newSampler(newSamplerWeights(n, p, n.Config.all()))
}

// Another returns a sampler at the start of a sequence, with the weights of s, which both share: for another goroutine.
func (s *Sampler) Another() *Sampler { return newSampler(s.samplerWeights) }

func newSampler(w *samplerWeights) *Sampler {
	return &Sampler{engine: newEngine(w, 1), one: [1]*stream{newStream(w, 2*w.net.Config.Residual)}}
}

// Net returns the net that the sampler draws from.
func (s *Sampler) Net() *Net { return s.net }

// Reset goes back to the start of a sequence.
func (s *Sampler) Reset() { s.one[0].reset() }

// Frame begins a frame: the next [Config.Hold] steps, or, of a net without a local condition, all that follow, have the condition
// [L*2R], a row of [Net.Project]'s result, which must not change until they are done.
func (s *Sampler) Frame(condition []float32) { s.one[0].frame(&s.net.Config, condition) }

// Step takes the step before, [Net.First] at the start, and returns the logits [Outputs] of the next one, valid until the
// next call.
func (s *Sampler) Step(previous int32) (logits []float32) {
	s.was[0] = previous
	return s.steps(s.one[:], s.was[:])
}

// Draw draws the class of a step: see [Drawer.Draw].
func (s *Sampler) Draw(logits []float32, d Drawing, uniform float64) int32 {
	return s.drawer.Draw(logits, d, uniform)
}

// draw draws the steps of a stretch.
func (s *Sampler) draw(t *stretch) {
	for t.left() > 0 {
		t.begin(&s.net.Config)
		t.take(s.Draw(s.Step(t.previous), t.voice.Drawing, t.voice.Uniform()))
	}
}

// NLL is the mean negative log-likelihood in nats of a sequence of steps under the condition [1, F, L*2R], a result of
// [Net.Project], as the sampler predicts each from those before it: [Net.Loss] by another way, and with the weights' precision.
// The sampler is reset before.
func (s *Sampler) NLL(a *tensor.Arena, steps []int32, condition tensor.Tensor) float64 {
	defer a.Release(a.Mark())
	all, previous := a.Tensor(1, len(steps), s.net.Config.Outputs()), s.net.First()
	hold := len(steps) / condition.Dim(1)
	s.Reset()
	for t, step := range steps {
		if t%hold == 0 {
			s.Frame(condition.Row(t / hold))
		}
		copy(all.Row(t), s.Step(previous))
		previous = step
	}
	loss, _ := s.net.loss(a, all, steps)
	return loss
}

// stream is where a sequence stands.
type stream struct {
	layers    []samplerLayer
	condition []float32 // of the frame: [L*2R]
	left      int       // steps of it to come
}

// samplerLayer is where a layer stands.
type samplerLayer struct {
	dilation int
	row      int // t mod dilation
	// Rows t mod dilation are the inputs x[t] of the last steps: [dilation, R], in the numbers that products take.
	float32s []float32
	int8s    []uint8
	scales   []float32

	ahead      []float32 // condition + x[t-dilation] Dilated[0] of the next steps: [n, 2R]
	next, made int       // of its rows: used, made
}

// aheadSteps is the number of steps for which the products of older taps are made at once; fewer where the dilation is
// less, or the frame ends.
const aheadSteps = 16

// newStream returns the start of a sequence, with room for so many of the gates.
func newStream(w *samplerWeights, gates int) *stream {
	s, r := new(stream), w.net.Config.Residual
	for _, d := range w.net.Config.Dilations() {
		l := samplerLayer{dilation: d, ahead: make([]float32, min(d, aheadSteps)*gates)}
		if w.precision == Int8 {
			l.int8s, l.scales = make([]uint8, d*r), make([]float32, d)
		} else {
			l.float32s = make([]float32, d*r)
		}
		s.layers = append(s.layers, l)
	}
	return s
}

func (s *stream) reset() {
	for i := range s.layers {
		l := &s.layers[i]
		clear(l.float32s)
		clear(l.scales) // by which all that is in int8s is nothing
		l.row, l.next, l.made = 0, 0, 0
	}
	s.condition, s.left = nil, 0
}

func (s *stream) frame(c *Config, condition []float32) {
	if want := len(s.layers) * 2 * c.Residual; len(condition) != want || s.left > 0 {
		panic(fmt.Sprintf("wavenet.Sampler: a condition of %d, want %d, with %d steps of the last frame to come", len(condition), want, s.left))
	}
	s.condition, s.left = condition, math.MaxInt
	if c.Local > 0 {
		s.left = c.Hold()
	}
}

// older returns condition + x[t-dilation] Dilated[0], as long as the condition. Of the frame there are left steps to come.
func (l *samplerLayer) older(w *samplerWeights, weights *layerWeights, condition []float32, left int) []float32 {
	width := len(condition)
	if l.next == l.made {
		n, r := min(len(l.ahead)/width, left, l.dilation-l.row), w.net.Config.Residual
		l.next, l.made = 0, n
		if weights.olderRows.Out > 0 {
			kernel.ConvForward(&kernel.Conv{Rows: n, X: l.float32s, XBase: l.row * r, XStride: r, Taps: ownRow,
				W: weights.olderRows, Bias: condition, Y: l.ahead, YStride: width})
		} else {
			for i := range n {
				w.mul(&weights.older, l.ahead[i*width:(i+1)*width], l.input(l.row+i, r), condition)
			}
		}
	}
	l.next++
	return l.ahead[(l.next-1)*width:][:width]
}

// ownRow is the tap of a convolution that sees the row of its output.
var ownRow = []kernel.Tap{{}}

// input returns a row of the ring.
func (l *samplerLayer) input(row, r int) vector {
	if l.int8s != nil {
		return vector{int8s: l.int8s[row*r:][:r], scale: l.scales[row]}
	}
	return vector{float32s: l.float32s[row*r:][:r]}
}

// push puts x[t] in the place of x[t-dilation].
func (l *samplerLayer) push(x vector) {
	if l.int8s != nil {
		copy(l.int8s[l.row*len(x.int8s):], x.int8s)
		l.scales[l.row] = x.scale
	} else {
		copy(l.float32s[l.row*len(x.float32s):], x.float32s)
	}
	if l.row++; l.row == l.dilation {
		l.row = 0
	}
}

// engine makes steps of up to n sequences at once. What one gives does not depend on the others.
type engine struct {
	*samplerWeights
	most   int       // n
	gates  []float32 // [n, 2R]
	z      []float32 // [n, R]
	sums   []float32 // the residual stream, and the sum of skips: [n, R+S]
	skips  []float32 // ReLU of it: [n, S]
	hidden []float32 // ReLU(Out1(ReLU(skips))): [n, S]
	logits []float32 // [n, Outputs]
	int8s  []uint8   // a vector of R or S, for Int8
	drawer *Drawer
	value  [1]float32
}

func newEngine(w *samplerWeights, n int) engine {
	c := w.net.Config
	e := engine{samplerWeights: w, most: n, gates: make([]float32, n*2*c.Residual), z: make([]float32, n*c.Residual),
		sums: make([]float32, n*(c.Residual+c.Skip)), skips: make([]float32, n*c.Skip), hidden: make([]float32, n*c.Skip),
		logits: make([]float32, n*c.Outputs())}
	e.drawer = NewDrawer(c)
	if w.precision == Int8 {
		e.int8s = make([]uint8, max(c.Residual, c.Skip))
	}
	return e
}

// vector returns x as products take it; valid until the next call.
func (e *engine) vector(x []float32) vector { return quantised(x, e.int8s) }

// steps takes the steps before of streams and returns the logits of the next ones [streams, Outputs], valid until the next call.
func (e *engine) steps(streams []*stream, previous []int32) (logits []float32) {
	c := &e.net.Config
	n, r, s := len(streams), c.Residual, c.Skip
	width := r + s
	for i, st := range streams {
		if previous[i] < 0 || int(previous[i]) >= c.Classes || st.left == 0 {
			panic(fmt.Sprintf("wavenet.Sampler: step %d of %d classes, %d steps to come of the frame", previous[i], c.Classes, st.left))
		}
		x := e.sums[i*width:][:r]
		if e.net.Input != nil {
			e.value[0] = c.value(previous[i])
			e.input.Mul(x, e.value[:], e.net.Input.Bias.Value.Data)
		} else {
			copy(x, e.net.Embed.Table.Value.Row(int(previous[i])))
		}
		copy(e.sums[i*width+r:(i+1)*width], e.net.Stack.SkipBias.Value.Data)
	}
	rows := e.rows
	if n < rowsFrom[e.precision] {
		rows = nil
	}
	for layer := range e.layerWeights {
		w := &e.layerWeights[layer]
		for i, st := range streams {
			l, x, gates := &st.layers[layer], e.vector(e.sums[i*width:][:r]), e.gates[i*2*r:(i+1)*2*r]
			older := l.older(e.samplerWeights, w, st.condition[layer*2*r:(layer+1)*2*r], st.left)
			if rows != nil {
				copy(gates, older)
			} else {
				e.mul(&w.newer, gates, x, older)
			}
			l.push(x)
		}
		if rows != nil {
			multiplyRows(&rows.layers[layer].newer, e.gates, 0, 2*r, e.sums, width, n, nil)
		}
		kernel.GateForward(e.z, r, e.gates, 2*r, n, r)
		from := 0
		if layer == len(e.layerWeights)-1 {
			from = r
		}
		if rows != nil {
			multiplyRows(&rows.layers[layer].sums, e.sums, from, width, e.z, r, n, nil)
			continue
		}
		for i := range streams {
			sums := e.sums[i*width+from : (i+1)*width]
			e.mul(&w.sums, sums, e.vector(e.z[i*r:(i+1)*r]), sums)
		}
	}
	for i, st := range streams {
		st.left--
		kernel.ReLU(e.skips[i*s:(i+1)*s], e.sums[i*width+r:(i+1)*width])
	}
	outputs, bias1, bias2 := c.Outputs(), e.net.Out1.Bias.Value.Data, e.net.Out2.Bias.Value.Data
	if rows != nil {
		multiplyRows(&rows.out1, e.hidden, 0, s, e.skips, s, n, bias1)
		kernel.ReLU(e.hidden[:n*s], e.hidden[:n*s])
		multiplyRows(&rows.out2, e.logits, 0, outputs, e.hidden, s, n, bias2)
		return e.logits[:n*outputs]
	}
	for i := range streams {
		hidden := e.hidden[i*s : (i+1)*s]
		e.mul(&e.out1, hidden, e.vector(e.skips[i*s:(i+1)*s]), bias1)
		kernel.ReLU(hidden, hidden)
		e.mul(&e.out2, e.logits[i*outputs:(i+1)*outputs], e.vector(hidden), bias2)
	}
	return e.logits[:n*outputs]
}

// rowsFrom is the number of sequences from which on products with all their vectors at once are faster than with each, reading
// float32 in place of fewer bytes.
var rowsFrom = [...]int{Float32: 2, BFloat16: 6, Int8: math.MaxInt}

// multiplyRows writes bias + x w to n rows of y, from column on; without a bias it adds x w to them.
func multiplyRows(w *kernel.Weights, y []float32, column, yStride int, x []float32, xStride, n int, bias []float32) {
	kernel.ConvForward(&kernel.Conv{Rows: n, X: x, XStride: xStride, Taps: ownRow, W: *w, Bias: bias, Y: y, YBase: column, YStride: yStride,
		Accumulate: bias == nil})
}
