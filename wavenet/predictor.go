package wavenet

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// FrequencyBits is the logarithm of what the frequencies of a [Predictor] add up to.
const FrequencyBits = 32

// Predictor predicts steps as whole numbers, frequencies that an entropy coder takes: for the same net and the same steps they are
// the same on every processor, with any instructions and on any number of threads. What one machine has coded, another decodes.
//
// So every operation has one result and they have one order. All is addition, multiplication, division and comparison of float32 or
// float64, which IEEE 754 rounds in one way; conversions after products forbid the compiler to fuse them with sums; products with
// matrices are [kernel.MatVec.MulExact], gates [kernel.GateExact], exponentials a polynomial. Nothing else is called.
//
// The logits are those of [Net.Logits] but for rounding. A Predictor is a copy of the net's weights under one global condition. It is
// read-only: goroutines share it, each with [Predictor.Sequences] of its own.
type Predictor struct {
	config     Config
	embed      []float32 // [Classes, R]
	layers     []exactLayer
	skipBias   []float32     // [S]
	out1, out2 kernel.MatVec // [S, S], [S, Classes]
	bias1      []float32     // [S]
	bias2      []float32     // [Classes]
}

// exactLayer is a layer of a Predictor.
type exactLayer struct {
	dilation     int
	condition    []float32     // [2R]: biases of the gates, and the condition
	older, newer kernel.MatVec // taps of the dilated convolution: [R, 2R]
	residual     kernel.MatVec // [R, R]; not of the last layer
	skip         kernel.MatVec // [R, S]
}

// NewPredictor returns a predictor of a net with a softmax and no local condition under a global one [Global], nil if it has none. It
// panics if the net is another.
func NewPredictor(n *Net, global []float32) *Predictor {
	c := n.Config
	if c.Local > 0 || c.Mixture > 0 || len(global) != c.Global {
		panic(fmt.Sprintf("wavenet.NewPredictor: a global condition of %d channels for %+v", len(global), c))
	}
	r, s, dilations := c.Residual, c.Skip, c.Dilations()
	pack := func(w []float32, in, out int) kernel.MatVec { return kernel.PackMatVec(w[:in*out], in, out) }
	clone := func(v []float32) []float32 { return append([]float32(nil), v...) }
	p := &Predictor{config: c, embed: clone(n.Embed.Table.Value.Data), skipBias: clone(n.Stack.SkipBias.Value.Data),
		out1: pack(n.Out1.Weight.Value.Data, s, s), bias1: clone(n.Out1.Bias.Value.Data),
		out2: pack(n.Out2.Weight.Value.Data, s, c.Classes), bias2: clone(n.Out2.Bias.Value.Data)}
	var conditions []float32 // [L*2R]
	if n.Global == nil {
		conditions = clone(n.Bias.Value.Data)
	} else {
		gates := len(dilations) * 2 * r
		conditions = make([]float32, gates)
		project := pack(n.Global.Weight.Value.Data, c.Global, gates)
		project.MulExact(1, conditions, global, n.Global.Bias.Value.Data)
	}
	for l, d := range n.Stack.Dilated {
		layer := exactLayer{dilation: dilations[l], condition: conditions[l*2*r : (l+1)*2*r],
			older: pack(d.Value.Data, r, 2*r), newer: pack(d.Value.Data[r*2*r:], r, 2*r),
			skip: pack(n.Stack.Skip.Value.Data[l*r*s:], r, s)}
		if l < len(dilations)-1 {
			layer.residual = pack(n.Stack.Residual[l].Value.Data, r, r)
		}
		p.layers = append(p.layers, layer)
	}
	return p
}

// Classes is the number of classes of a step.
func (p *Predictor) Classes() int { return p.config.Classes }

// Sequences are a number of sequences that a [Predictor] predicts side by side, so that weights are read once for all of them. What is
// predicted of one does not depend on the others.
type Sequences struct {
	p      *Predictor
	states []sequenceState

	// Of a step, a row for each sequence that takes it:
	x, older, gates, z    []float32 // [n, R], [n, R], [n, 2R], [n, R]
	skips, hidden, logits []float32 // [n, S], [n, S], [n, Classes]
	frequencies           []uint32  // [n, Classes]
	sums                  []float64 // [n], of exp(logit - largest)
}

// sequenceState is where a sequence stands.
type sequenceState struct {
	previous int32
	rings    [][]float32 // of each layer, [dilation, R]: its input of step t is row t mod dilation; shorter in the first round
	step     int
}

// Sequences returns n sequences, at their start.
func (p *Predictor) Sequences(n int) *Sequences {
	c := p.config
	rows := func(channels int) []float32 { return make([]float32, n*channels) }
	s := &Sequences{p: p, states: make([]sequenceState, n), x: rows(c.Residual), older: rows(c.Residual), gates: rows(2 * c.Residual),
		z: rows(c.Residual), skips: rows(c.Skip), hidden: rows(c.Skip), logits: rows(c.Classes), frequencies: make([]uint32, n*c.Classes),
		sums: make([]float64, n)}
	for i := range s.states {
		s.states[i].rings = make([][]float32, len(p.layers))
		s.Reset(i)
	}
	return s
}

// Len is the number of sequences.
func (s *Sequences) Len() int { return len(s.states) }

// Reset goes back to the start of sequence i.
func (s *Sequences) Reset(i int) {
	state := &s.states[i]
	for l := range state.rings {
		state.rings[l] = state.rings[l][:0]
	}
	state.step, state.previous = 0, int32(s.p.config.Classes/2) // as Net.First
}

// Append adds a step to sequence i, after it has been predicted.
func (s *Sequences) Append(i int, step int32) {
	if uint(step) >= uint(s.p.config.Classes) {
		panic(fmt.Sprintf("wavenet.Sequences: step %d of %d classes", step, s.p.config.Classes))
	}
	s.states[i].previous = step
}

// Predict predicts the next step of some of the sequences, each of them once, given those before it. Frequencies returns what.
func (s *Sequences) Predict(which []int) {
	c, n := s.p.config, len(which)
	r := c.Residual
	x, older, gates, z := s.x[:n*r], s.older[:n*r], s.gates[:n*2*r], s.z[:n*r]
	skips, hidden, logits := s.skips[:n*c.Skip], s.hidden[:n*c.Skip], s.logits[:n*c.Classes]
	for j, i := range which {
		copy(x[j*r:(j+1)*r], s.p.embed[int(s.states[i].previous)*r:])
		copy(skips[j*c.Skip:], s.p.skipBias)
	}
	for l := range s.p.layers {
		layer := &s.p.layers[l]
		for j, i := range which {
			state := &s.states[i]
			before, now := older[j*r:(j+1)*r], x[j*r:(j+1)*r]
			ring, row := state.rings[l], state.step%layer.dilation*r
			if row == len(ring) {
				clear(before)
				state.rings[l] = append(ring, now...)
			} else {
				copy(before, ring[row:])
				copy(ring[row:], now)
			}
			copy(gates[j*2*r:], layer.condition)
		}
		layer.older.MulExact(n, gates, older, gates)
		layer.newer.MulExact(n, gates, x, gates)
		kernel.GateExact(z, r, gates, 2*r, n, r)
		if l < len(s.p.layers)-1 {
			layer.residual.MulExact(n, x, z, x)
		}
		layer.skip.MulExact(n, skips, z, skips)
	}
	exactReLU(skips)
	for j := range n {
		copy(hidden[j*c.Skip:], s.p.bias1)
		copy(logits[j*c.Classes:], s.p.bias2)
	}
	s.p.out1.MulExact(n, hidden, skips, hidden)
	exactReLU(hidden)
	s.p.out2.MulExact(n, logits, hidden, logits)
	for j, i := range which {
		s.sums[j] = exactFrequencies(s.frequencies[j*c.Classes:(j+1)*c.Classes], logits[j*c.Classes:(j+1)*c.Classes])
		s.states[i].step++
	}
}

// Frequencies returns how often each class is expected, [Classes], for place j of those that were predicted last: at least 1 each, and
// 1 << FrequencyBits in all. They are valid until the next call of Predict.
func (s *Sequences) Frequencies(j int) []uint32 {
	c := s.p.config.Classes
	return s.frequencies[j*c : (j+1)*c]
}

// Bits is the information of a class under the softmax, which the frequencies approximate, in bits, for place j of those that were
// predicted last. It may differ between machines in the last digits.
func (s *Sequences) Bits(j int, class int32) float64 {
	c := s.p.config.Classes
	logits := s.logits[j*c : (j+1)*c]
	return (float64(logits[mostLikely(logits)]) - float64(logits[class]) + math.Log(s.sums[j])) * math.Log2E
}

// mostLikely returns the class with the largest logit, the first of several.
func mostLikely(logits []float32) int {
	class := 0
	for i, v := range logits {
		if v > logits[class] {
			class = i
		}
	}
	return class
}

// weightBits is the logarithm of the weight of the most likely class, of which frequencies are made.
const weightBits = 31

// exactFrequencies makes frequencies of logits. Each class gets 1, and what is left is shared out as exp(logit - largest), in whole
// numbers. What rounding leaves over, less than one for each class, goes to the most likely. The sum of these exponentials is returned.
func exactFrequencies(frequencies []uint32, logits []float32) float64 {
	likely, sum := mostLikely(logits), uint64(0)
	for i, v := range logits {
		weight := uint64(0)
		if d := float64(v) - float64(logits[likely]); d > -(weightBits+1)*math.Ln2 { // which no NaN is
			weight = uint64(exactExp(d) * (1 << weightBits))
		}
		frequencies[i] = uint32(weight)
		sum += weight
	}
	sum = max(sum, 1) // if the largest is NaN or infinite
	share := uint64(1)<<FrequencyBits - uint64(len(logits))
	left := share
	for i, weight := range frequencies {
		f := uint64(weight) * share / sum
		left -= f
		frequencies[i] = uint32(1 + f)
	}
	frequencies[likely] += uint32(left)
	return float64(sum) / (1 << weightBits)
}

// exactReLU replaces what is not above 0 by 0.
func exactReLU(x []float32) {
	for i, v := range x {
		if !(v > 0) {
			x[i] = 0
		}
	}
}

// exactExp returns exp(x) for x from -64 to 64, to about 1 part in 10^9, in operations that are rounded one by one.
//
// x = n ln 2 + r with |r| <= ln(2)/2; a Taylor series has exp(r), and n goes into the exponent.
func exactExp(x float64) float64 {
	const magic = 3 << 51 // leaves the nearest whole number in the low bits of a sum
	t := float64(x*math.Log2E) + magic
	r := x - float64((t-magic)*math.Ln2)
	r2 := float64(r * r)
	r4 := float64(r2 * r2)
	low := 1 + r + float64(r2*(1./2+float64(r*(1./6))))
	high := 1./24 + float64(r*(1./120)) + float64(r2*(1./720+float64(r*(1./5040)))) + float64(r4*(1./40320))
	return float64((low + float64(r4*high)) * math.Float64frombits((math.Float64bits(t)+1023)<<52))
}
