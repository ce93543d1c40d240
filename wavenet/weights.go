package wavenet

import (
	"fmt"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
)

// Precision says in what numbers a [Sampler] keeps the weights of a net. As it reads them all at every step, fewer bytes are
// more steps a second.
type Precision int

// The precisions. Sums, gates, the residual stream and the logits are float32 in each.
const (
	Float32  Precision = iota // the steps are those that the net predicts, bit for bit
	BFloat16                  // weights rounded to 8 bits of mantissa
	Int8                      // weights of 8 bits with a scale for each column, and the vectors they take with a scale for each step
)

var precisionNames = []string{"float32", "bfloat16", "int8"}

// String returns "float32", "bfloat16" or "int8".
func (p Precision) String() string {
	if p < 0 || int(p) >= len(precisionNames) {
		return fmt.Sprintf("Precision(%d)", int(p))
	}
	return precisionNames[p]
}

// ParsePrecision returns the precision of a name. "auto" is bfloat16, or float32 on processors that this project has no vector
// kernels for.
func ParsePrecision(name string) (Precision, error) {
	if name == "auto" && kernel.Active().Tier == kernel.Generic {
		return Float32, nil
	} else if name == "auto" {
		return BFloat16, nil
	}
	for p, n := range precisionNames {
		if n == name {
			return Precision(p), nil
		}
	}
	return 0, fmt.Errorf("precision %q: want float32, bfloat16, int8 or auto", name)
}

// samplerWeights is a net as a Sampler reads it.
type samplerWeights struct {
	net          *Net
	precision    Precision
	input        kernel.MatVec // with a mixture
	layerWeights []layerWeights
	out1, out2   matrix
	rows         *rowWeights // nil in Int8, where they would not be faster, and without a Group
}

// rowWeights are the same for several sequences at once.
type rowWeights struct {
	layers     []struct{ newer, sums kernel.Weights }
	out1, out2 kernel.Weights
}

// layerWeights are those of a layer, with the matrices of residual and skip side by side.
type layerWeights struct {
	older     matrix         // Dilated[0], of a layer of dilation 1 or 2, where one row at a time is as fast, and in Int8;
	olderRows kernel.Weights // or for several rows at once
	newer     matrix         // Dilated[1]
	sums      matrix         // [R, R+S]; of the last layer, [R, S]
}

// vector is what a product with a matrix takes.
type vector struct {
	float32s []float32
	int8s    []uint8 // for Int8: 128 + float32s/scale
	scale    float32
}

// quantised returns x as products take it; int8s is room for it in Int8, else nil.
func quantised(x []float32, int8s []uint8) vector {
	v := vector{float32s: x}
	if int8s != nil {
		v.int8s, v.scale = int8s[:len(x)], kernel.QuantiseScale(x)
		kernel.QuantiseInt8(v.int8s, x, v.scale)
	}
	return v
}

// matrix is one [in, out] that vectors are multiplied with, in one of the precisions.
type matrix struct {
	float32s  kernel.MatVec
	bfloat16s kernel.MatVecBF16
	int8s     kernel.MatVecInt8
}

func (p Precision) pack(w []float32, in, out int) matrix {
	switch p {
	case BFloat16:
		return matrix{bfloat16s: kernel.PackMatVecBF16(w, in, out)}
	case Int8:
		return matrix{int8s: kernel.PackMatVecInt8(w, in, out)}
	}
	return matrix{float32s: kernel.PackMatVec(w, in, out)}
}

// packRows packs a matrix for products with several rows at once: the same sums, bit for bit. There is none in Int8.
func (p Precision) packRows(w []float32, in, out int) kernel.Weights {
	if p == BFloat16 {
		m := kernel.PackMatVecBF16(w, in, out)
		w = m.Weights()
	}
	return kernel.PackWeights(make([]float32, kernel.PackedLen(1, in, out)), w, 1, in, out)
}

// mul computes y = start + v m.
func (w *samplerWeights) mul(m *matrix, y []float32, v vector, start []float32) {
	switch w.precision {
	case BFloat16:
		m.bfloat16s.Mul(y, v.float32s, start)
	case Int8:
		m.int8s.Mul(y, v.int8s, v.scale, start)
	default:
		m.float32s.Mul(y, v.float32s, start)
	}
}

// span is a range of columns.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// share is a part of the channels of a net: columns of its matrices. Gates has those of tanh, to which those of sigmoid belong. The
// residual stream is never shared out.
type share struct{ gates, skip, outputs span }

// all is the share of one who does everything.
func (c Config) all() share {
	return share{span{0, c.Residual}, span{0, c.Skip}, span{0, c.Outputs()}}
}

// columns returns columns of w [in, out] side by side, and how many there are.
func columns(w []float32, in, out int, spans ...span) (part []float32, width int) {
	for _, s := range spans {
		width += s.len()
	}
	if width == out { // all of them, in order
		return w, width
	}
	part = make([]float32, 0, in*width)
	for i := range in {
		for _, s := range spans {
			part = append(part, w[i*out+s.from:i*out+s.to]...)
		}
	}
	return part, width
}

// gates returns the columns of the gates of a share in a matrix [R, 2R] of a layer: tanh, then sigmoid.
func (c Config) gates(w []float32, of share) (part []float32, width int) {
	r := c.Residual
	return columns(w, r, 2*r, of.gates, span{r + of.gates.from, r + of.gates.to})
}

// sums returns the matrices of residual and skip of a layer side by side, of the latter the columns of a share; the last layer has no
// residual.
func (n *Net) sums(layer int, of share) (part []float32, width int) {
	r, s := n.Config.Residual, n.Config.Skip
	skip, width := columns(n.Stack.Skip.Value.Data[layer*r*s:(layer+1)*r*s], r, s, of.skip)
	if layer == len(n.Stack.Residual) {
		return skip, width
	}
	residual := n.Stack.Residual[layer].Value.Data
	part = make([]float32, 0, r*(r+width))
	for i := range r {
		part = append(append(part, residual[i*r:(i+1)*r]...), skip[i*width:(i+1)*width]...)
	}
	return part, r + width
}

// newSamplerWeights packs a share of the weights.
func newSamplerWeights(n *Net, p Precision, of share) *samplerWeights {
	w := &samplerWeights{net: n.With(dilated.Float32), precision: p}
	c := &n.Config
	r, s := c.Residual, c.Skip
	if n.Input != nil {
		w.input = kernel.PackMatVec(n.Input.Weight.Value.Data, 1, r)
	}
	for l, d := range n.Stack.Dilated {
		newer, width := c.gates(d.Value.Data[r*2*r:], of)
		layer := layerWeights{newer: p.pack(newer, r, width)}
		older, width := c.gates(d.Value.Data[:r*2*r], of)
		if p == Int8 || n.Stack.Config().Dilations[l] <= 2 {
			layer.older = p.pack(older, r, width)
		} else {
			layer.olderRows = p.packRows(older, r, width)
		}
		sums, width := n.sums(l, of)
		layer.sums = p.pack(sums, r, width)
		w.layerWeights = append(w.layerWeights, layer)
	}
	out1, width := columns(n.Out1.Weight.Value.Data, s, s, of.skip)
	w.out1 = p.pack(out1, s, width)
	out2, width := columns(n.Out2.Weight.Value.Data, s, c.Outputs(), of.outputs)
	w.out2 = p.pack(out2, s, width)
	return w
}

// forRows returns the same weights with those for several sequences at once. They are those of all channels.
func (w *samplerWeights) forRows() *samplerWeights {
	if w.precision == Int8 || w.rows != nil {
		return w
	}
	same, r, s := *w, w.net.Config.Residual, w.net.Config.Skip
	same.rows = &rowWeights{layers: make([]struct{ newer, sums kernel.Weights }, len(w.layerWeights)),
		out1: w.precision.packRows(w.net.Out1.Weight.Value.Data, s, s),
		out2: w.precision.packRows(w.net.Out2.Weight.Value.Data, s, w.net.Config.Outputs())}
	for l, d := range w.net.Stack.Dilated {
		sums, width := w.net.sums(l, w.net.Config.all())
		same.rows.layers[l].newer = w.precision.packRows(d.Value.Data[r*2*r:], r, 2*r)
		same.rows.layers[l].sums = w.precision.packRows(sums, r, width)
	}
	return &same
}
