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
// Frame begins a frame of the condition, Step is one step, [Drawing.Draw] draws what comes next; a [Generator] goes through a
// whole sequence. A Sampler is for one goroutine.
type Sampler struct {
	*samplerWeights
	layers []samplerLayer
	gates  []float32 // [2R]
	x      vector    // the residual stream: [R]
	z      vector    // [R]
	skips  vector    // their sum, then ReLU of it: [S]
	hidden vector    // ReLU(Out1(ReLU(skips))): [S]
	sums   []float32 // what x and skips are parts of: [R+S]
	value  [1]float32
	logits []float32 // [Outputs]
	drawer drawer    // of a softmax

	condition []float32 // of the frame: [L*2R]
	left      int       // steps of it to come
}

// vector is what a product with a matrix takes.
type vector struct {
	float32s []float32
	int8s    []uint8 // for Int8: 128 + float32s/scale
	scale    float32
}

// quantise makes the numbers that products with int8 weights take.
func (v *vector) quantise() {
	v.scale = kernel.QuantiseScale(v.float32s)
	kernel.QuantiseInt8(v.int8s, v.float32s, v.scale)
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

// NewSampler returns a sampler at the start of a sequence. It copies the weights of the stack as they are: after training
// went on, make a new one.
func NewSampler(n *Net, p Precision) *Sampler { return newSamplerWeights(n, p).sampler() }

// Another returns a sampler at the start of a sequence, with the weights of s, which both share: for another goroutine.
func (s *Sampler) Another() *Sampler { return s.sampler() }

func (w *samplerWeights) sampler() *Sampler {
	c := w.net.Config
	r := c.Residual
	s := &Sampler{samplerWeights: w, gates: make([]float32, 2*r), sums: make([]float32, r+c.Skip), logits: make([]float32, c.Outputs())}
	s.x.float32s, s.skips.float32s = s.sums[:r:r], s.sums[r:]
	s.z.float32s, s.hidden.float32s = make([]float32, r), make([]float32, c.Skip)
	if c.Mixture == 0 {
		s.drawer = newDrawer(c.Classes)
	}
	if w.precision == Int8 {
		for _, v := range []*vector{&s.x, &s.z, &s.skips, &s.hidden} {
			v.int8s = make([]uint8, len(v.float32s))
		}
	}
	for _, d := range c.Dilations() {
		l := samplerLayer{dilation: d, ahead: make([]float32, min(d, aheadSteps)*2*r)}
		if w.precision == Int8 {
			l.int8s, l.scales = make([]uint8, d*r), make([]float32, d)
		} else {
			l.float32s = make([]float32, d*r)
		}
		s.layers = append(s.layers, l)
	}
	return s
}

// Reset goes back to the start of a sequence.
func (s *Sampler) Reset() {
	for i := range s.layers {
		l := &s.layers[i]
		clear(l.float32s)
		clear(l.scales) // by which all that is in int8s is nothing
		l.row, l.next, l.made = 0, 0, 0
	}
	s.condition, s.left = nil, 0
}

// Frame begins a frame: the next [Config.Hold] steps, or, of a net without a local condition, all that follow, have the condition
// [L*2R], a row of [Net.Project]'s result, which must not change until they are done.
func (s *Sampler) Frame(condition []float32) {
	if want := len(s.layers) * 2 * s.net.Config.Residual; len(condition) != want || s.left > 0 {
		panic(fmt.Sprintf("wavenet.Sampler: a condition of %d, want %d, with %d steps of the last frame to come", len(condition), want, s.left))
	}
	s.condition, s.left = condition, math.MaxInt
	if s.net.Config.Local > 0 {
		s.left = s.net.Config.Hold()
	}
}

// Step takes the step before, [Net.First] at the start, and returns the logits [Outputs] of the next one, valid until the
// next call.
func (s *Sampler) Step(previous int32) (logits []float32) {
	if previous < 0 || int(previous) >= s.net.Config.Classes || s.left == 0 {
		panic(fmt.Sprintf("wavenet.Sampler: step %d of %d classes, %d steps to come of the frame", previous, s.net.Config.Classes, s.left))
	}
	r := s.net.Config.Residual
	if s.net.Input != nil {
		s.value[0] = s.net.Config.value(previous)
		s.input.Mul(s.x.float32s, s.value[:], s.net.Input.Bias.Value.Data)
	} else {
		copy(s.x.float32s, s.net.Embed.Table.Value.Row(int(previous)))
	}
	copy(s.skips.float32s, s.net.Stack.SkipBias.Value.Data)
	last := len(s.layers) - 1
	for i := range s.layers {
		l, w := &s.layers[i], &s.layerWeights[i]
		if s.precision == Int8 {
			s.x.quantise()
		}
		older := l.older(s.samplerWeights, w, s.condition[i*2*r:(i+1)*2*r], s.left)
		s.mul(&w.newer, s.gates, s.x, older)
		l.push(s.x)
		kernel.GateForward(s.z.float32s, r, s.gates, 2*r, 1, r)
		if s.precision == Int8 {
			s.z.quantise()
		}
		sums := s.sums
		if i == last {
			sums = s.skips.float32s
		}
		s.mul(&w.sums, sums, s.z, sums)
	}
	s.left--
	s.relu(&s.skips)
	s.mul(&s.out1, s.hidden.float32s, s.skips, s.net.Out1.Bias.Value.Data)
	s.relu(&s.hidden)
	s.mul(&s.out2, s.logits, s.hidden, s.net.Out2.Bias.Value.Data)
	return s.logits
}

func (s *Sampler) relu(v *vector) {
	kernel.ReLU(v.float32s, v.float32s)
	if s.precision == Int8 {
		v.quantise()
	}
}

// ownRow is the tap of a convolution that sees the row of its output.
var ownRow = []kernel.Tap{{}}

// older returns condition + x[t-dilation] Dilated[0] [2R]. Of the frame there are left steps to come.
func (l *samplerLayer) older(s *samplerWeights, w *layerWeights, condition []float32, left int) []float32 {
	width := len(condition)
	if l.next == l.made {
		n := min(len(l.ahead)/width, left, l.dilation-l.row)
		l.next, l.made = 0, n
		r := width / 2
		if w.olderRows.Out > 0 {
			kernel.ConvForward(&kernel.Conv{Rows: n, X: l.float32s, XBase: l.row * r, XStride: r, Taps: ownRow,
				W: w.olderRows, Bias: condition, Y: l.ahead, YStride: width})
		} else {
			for i := range n {
				s.mul(&w.older, l.ahead[i*width:(i+1)*width], l.input(l.row+i, r), condition)
			}
		}
	}
	l.next++
	return l.ahead[(l.next-1)*width:][:width]
}

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
