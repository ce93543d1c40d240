package wavenet

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
)

// Sampler draws a sequence step by step. Each layer keeps its last inputs in a ring, as many as its dilation, so that a step
// costs each weight once, however wide the receptive field is (fast generation: Le Paine et al., arXiv 1611.09482). It
// allocates nothing.
//
// The older tap of a layer of dilation d sees inputs that are known d steps before they are needed. So its products are made
// for several steps at once, which reads its weights once for all of them: what a step costs is, for nets of the usual size,
// the reading of weights.
//
// In exact arithmetic its logits are those of [Net.Logits]; sums are rounded otherwise, so they differ in the last bits.
//
// Step and Draw are one step of a sequence; a [Generator] goes through all of it. A Sampler is for one goroutine.
type Sampler struct {
	*samplerWeights
	layers []samplerLayer
	gates  []float32  // [2R]
	z      []float32  // [R]
	sums   []float32  // the residual stream, then the sum of skips: [R+S]
	hidden []float32  // ReLU(Out1(ReLU(skips))): [S]
	value  [1]float32 // of the step before, with a mixture
	logits []float32  // [Outputs]
	odds   []float32  // [Classes], for Draw from a softmax
}

// samplerWeights is a net as a Sampler reads it.
type samplerWeights struct {
	net          *Net
	input        kernel.MatVec // with a mixture
	layerWeights []layerWeights
	out1, out2   kernel.MatVec
}

// layerWeights are those of a layer, with the matrices of residual and skip side by side.
type layerWeights struct {
	older kernel.Weights // Dilated[0]
	newer kernel.MatVec  // Dilated[1]
	sums  kernel.MatVec  // [R, R+S]; of the last layer, [R, S]
}

// samplerLayer is where a layer stands.
type samplerLayer struct {
	ring  []float32 // [dilation, R]: x[t] is row t mod dilation
	row   int       // t mod dilation
	ahead []float32 // [n, 2R]: x[t-dilation] Dilated[0] is row t mod n
}

// aheadSteps is the number of steps for which the products of older taps are made at once; fewer where the dilation is
// less. Dilations are powers of 2, as it is.
const aheadSteps = 16

// NewSampler returns a sampler at the start of a sequence. It copies the weights of the stack as they are: after training
// went on, make a new one.
func NewSampler(n *Net) *Sampler {
	w := &samplerWeights{net: n.With(dilated.Float32)}
	r, s, layers := n.Config.Residual, n.Config.Skip, len(n.Stack.Dilated)
	if n.Input != nil {
		w.input = kernel.PackMatVec(n.Input.Weight.Value.Data, 1, r)
	}
	for l, d := range n.Stack.Dilated {
		skip := n.Stack.Skip.Value.Data[l*r*s : (l+1)*r*s]
		older, newer := d.Value.Data[:r*2*r], d.Value.Data[r*2*r:]
		layer := layerWeights{older: kernel.PackWeights(make([]float32, kernel.PackedLen(1, r, 2*r)), older, 1, r, 2*r),
			newer: kernel.PackMatVec(newer, r, 2*r)}
		if l < layers-1 {
			residual := n.Stack.Residual[l].Value.Data
			beside := make([]float32, 0, r*(r+s))
			for i := range r {
				beside = append(append(beside, residual[i*r:(i+1)*r]...), skip[i*s:(i+1)*s]...)
			}
			layer.sums = kernel.PackMatVec(beside, r, r+s)
		} else {
			layer.sums = kernel.PackMatVec(skip, r, s)
		}
		w.layerWeights = append(w.layerWeights, layer)
	}
	w.out1 = kernel.PackMatVec(n.Out1.Weight.Value.Data, s, s)
	w.out2 = kernel.PackMatVec(n.Out2.Weight.Value.Data, s, n.Config.Outputs())
	return w.sampler()
}

// Another returns a sampler at the start of a sequence, with the weights of s, which both share: for another goroutine.
func (s *Sampler) Another() *Sampler { return s.sampler() }

func (w *samplerWeights) sampler() *Sampler {
	c := w.net.Config
	s := &Sampler{samplerWeights: w, gates: make([]float32, 2*c.Residual), z: make([]float32, c.Residual),
		sums: make([]float32, c.Residual+c.Skip), hidden: make([]float32, c.Skip),
		logits: make([]float32, c.Outputs())}
	if c.Mixture == 0 {
		s.odds = make([]float32, c.Classes)
	}
	for _, d := range c.Dilations() {
		s.layers = append(s.layers, samplerLayer{ring: make([]float32, d*c.Residual), ahead: make([]float32, min(d, aheadSteps)*2*c.Residual)})
	}
	return s
}

// Reset goes back to the start of a sequence.
func (s *Sampler) Reset() {
	for l := range s.layers {
		clear(s.layers[l].ring)
		s.layers[l].row = 0
	}
}

// Step takes the step before, [Net.First] at the start, and returns the logits [Outputs] of the next one, valid until the
// next call. The condition [L*2R] is a row of [Net.Project]'s result.
func (s *Sampler) Step(previous int32, condition []float32) (logits []float32) {
	r, layers := s.net.Config.Residual, len(s.layers)
	if len(condition) != layers*2*r || previous < 0 || int(previous) >= s.net.Config.Classes {
		panic(fmt.Sprintf("wavenet.Sampler: step %d of %d classes, a condition of %d, want %d", previous, s.net.Config.Classes, len(condition), layers*2*r))
	}
	x, skips := s.sums[:r], s.sums[r:]
	if s.net.Input != nil {
		s.value[0] = s.net.Config.value(previous)
		s.input.Mul(x, s.value[:], s.net.Input.Bias.Value.Data)
	} else {
		copy(x, s.net.Embed.Table.Value.Row(int(previous)))
	}
	copy(skips, s.net.Stack.SkipBias.Value.Data)
	for l := range s.layers {
		w, older := &s.layerWeights[l], s.layers[l].push(&s.layerWeights[l], x)
		kernel.Add(older, condition[l*2*r:(l+1)*2*r])
		w.newer.Mul(s.gates, x, older)
		kernel.GateForward(s.z, r, s.gates, 2*r, 1, r)
		sums := s.sums
		if l == layers-1 {
			sums = skips
		}
		w.sums.Mul(sums, s.z, sums)
	}
	kernel.ReLU(skips, skips)
	s.out1.Mul(s.hidden, skips, s.net.Out1.Bias.Value.Data)
	kernel.ReLU(s.hidden, s.hidden)
	s.out2.Mul(s.logits, s.hidden, s.net.Out2.Bias.Value.Data)
	return s.logits
}

// ownRow is the tap of a convolution that sees the row of its output.
var ownRow = []kernel.Tap{{}}

// push takes x[t] and returns x[t-dilation] Dilated[0] [2R], to be used, and changed, until the next call.
func (l *samplerLayer) push(w *layerWeights, x []float32) []float32 {
	r := len(x)
	n := len(l.ahead) / (2 * r)
	if l.row%n == 0 {
		kernel.ConvForward(&kernel.Conv{Rows: n, X: l.ring, XBase: l.row * r, XStride: r, Taps: ownRow, W: w.older, Y: l.ahead, YStride: 2 * r})
	}
	older := l.ahead[l.row%n*2*r:][:2*r]
	copy(l.ring[l.row*r:], x)
	if l.row++; l.row*r == len(l.ring) {
		l.row = 0
	}
	return older
}

// Draw returns the class at which the cumulative distribution softmax(logits/temperature) first exceeds uniform, from [0, 1).
// A temperature of 1 draws as the net predicts, a lower one more often what is likely; 0 takes the class of the largest
// logit, the first of several. If a logit is NaN the result is some class. For a mixture see [nn.LogisticMixture.Draw].
func (s *Sampler) Draw(logits []float32, temperature, uniform float64) int32 {
	if c := s.net.Config; c.Mixture > 0 {
		return c.mixture().Draw(logits, temperature, uniform)
	}
	if len(logits) != len(s.odds) || !(temperature >= 0) {
		panic(fmt.Sprintf("wavenet.Sampler: %d logits of %d classes, temperature %v", len(logits), len(s.odds), temperature))
	}
	largest := 0
	for i, v := range logits {
		if v > logits[largest] {
			largest = i
		}
	}
	if temperature == 0 {
		return int32(largest)
	}
	scale := float32(min(1/temperature, math.MaxFloat32))
	for i, v := range logits {
		s.odds[i] = (v - logits[largest]) * scale
	}
	kernel.Exp(s.odds, s.odds)
	sum := 0.0
	for _, p := range s.odds {
		sum += float64(p)
	}
	threshold := uniform * sum
	sum = 0
	for i, p := range s.odds {
		if sum += float64(p); sum > threshold {
			return int32(i)
		}
	}
	return int32(len(logits) - 1)
}
