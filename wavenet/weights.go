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

// ParsePrecision returns the precision of a name.
func ParsePrecision(name string) (Precision, error) {
	for p, n := range precisionNames {
		if n == name {
			return Precision(p), nil
		}
	}
	return 0, fmt.Errorf("precision %q: want float32, bfloat16 or int8", name)
}

// samplerWeights is a net as a Sampler reads it.
type samplerWeights struct {
	net          *Net
	precision    Precision
	input        kernel.MatVec // with a mixture
	layerWeights []layerWeights
	out1, out2   matrix
}

// layerWeights are those of a layer, with the matrices of residual and skip side by side.
type layerWeights struct {
	older     matrix         // Dilated[0], of a layer of dilation 1, and in Int8;
	olderRows kernel.Weights // or for several rows at once
	newer     matrix         // Dilated[1]
	sums      matrix         // [R, R+S]; of the last layer, [R, S]
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

func newSamplerWeights(n *Net, p Precision) *samplerWeights {
	w := &samplerWeights{net: n.With(dilated.Float32), precision: p}
	r, s, layers := n.Config.Residual, n.Config.Skip, len(n.Stack.Dilated)
	if n.Input != nil {
		w.input = kernel.PackMatVec(n.Input.Weight.Value.Data, 1, r)
	}
	for l, d := range n.Stack.Dilated {
		skip := n.Stack.Skip.Value.Data[l*r*s : (l+1)*r*s]
		older, newer := d.Value.Data[:r*2*r], d.Value.Data[r*2*r:]
		layer := layerWeights{newer: p.pack(newer, r, 2*r)}
		if p == Int8 || n.Stack.Config().Dilations[l] == 1 {
			layer.older = p.pack(older, r, 2*r)
		} else {
			layer.olderRows = p.packRows(older, r, 2*r)
		}
		if l < layers-1 {
			residual := n.Stack.Residual[l].Value.Data
			beside := make([]float32, 0, r*(r+s))
			for i := range r {
				beside = append(append(beside, residual[i*r:(i+1)*r]...), skip[i*s:(i+1)*s]...)
			}
			layer.sums = p.pack(beside, r, r+s)
		} else {
			layer.sums = p.pack(skip, r, s)
		}
		w.layerWeights = append(w.layerWeights, layer)
	}
	w.out1 = p.pack(n.Out1.Weight.Value.Data, s, s)
	w.out2 = p.pack(n.Out2.Weight.Value.Data, s, n.Config.Outputs())
	return w
}
