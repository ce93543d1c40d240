package nn

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Linear is a matrix product over channels with a bias: y = x W + b, for every row of x.
type Linear struct {
	Weight *Parameter // [in, out]
	Bias   *Parameter // [out]
}

// NewLinear returns a layer from in to out channels, its weight initialised by HeUniform, its bias zero.
func NewLinear(in, out int, src rand.Source) *Linear {
	l := &Linear{NewParameter("weight", in, out), NewParameter("bias", out)}
	HeUniform(l.Weight.Value, in, src)
	return l
}

// Parameters returns "weight" and "bias".
func (l *Linear) Parameters() Parameters { return Parameters{l.Weight, l.Bias} }

// Forward returns x W + b. x is [..., in], the result [..., out].
func (l *Linear) Forward(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	in, out := l.Weight.Value.Dim(0), l.Weight.Value.Dim(1)
	if x.Rank() == 0 || x.Channels() != in {
		panic(fmt.Sprintf("nn.Linear: input of shape %v, weight of shape %v", x, l.Weight.Value))
	}
	y := a.LikeRows(x, out)
	scratch := a.Mark()
	w := kernel.PackWeights(a.Floats(kernel.PackedLen(1, in, out)), l.Weight.Value.Data, 1, in, out)
	multiplyRows(y.Data, x.Data, w, l.Bias.Value.Data, x.Rows())
	a.Release(scratch)
	return y
}

// Backward returns the gradient with respect to x, given x and the gradient dy with respect to Forward's result.
func (l *Linear) Backward(a *tensor.Arena, x, dy tensor.Tensor) tensor.Tensor {
	in, out := l.Weight.Value.Dim(0), l.Weight.Value.Dim(1)
	if x.Rank() == 0 || x.Channels() != in || dy.Rank() != x.Rank() || dy.Channels() != out || dy.Rows() != x.Rows() {
		panic(fmt.Sprintf("nn.Linear: input of shape %v, gradient of shape %v, weight of shape %v", x, dy, l.Weight.Value))
	}
	dx := a.Like(x)
	scratch := a.Mark()

	// y = x W + b: dW += x^T dy, db += sum of the rows of dy.
	parts := max(1, parallel.Blocks(in, gradientIn)) * parallel.Blocks(out, gradientOut)
	parallel.RunCopy(&linearGradients, parts, linearGradient{x.Data, dy.Data, l.Weight.Grad.Data, l.Bias.Grad.Data,
		a.Floats(out), x.Rows(), in, out})

	// y = x W: dx = dy W^T.
	w := kernel.PackWeightsTransposed(a.Floats(kernel.PackedLen(1, out, in)), l.Weight.Value.Data, 1, in, out)
	multiplyRows(dx.Data, dy.Data, w, nil, x.Rows())
	a.Release(scratch)
	return dx
}

// oneTap makes a convolution of a matrix product.
var oneTap = []kernel.Tap{{}}

// multiplyRows writes x w + bias to y, in parallel over blocks of rows.
func multiplyRows(y, x []float32, w kernel.Weights, bias []float32, rows int) {
	// A block is about 2 million multiplications, in multiples of the height of a tile (14 or 6 rows).
	const unit = 168
	block := unit * max(1, (1<<21)/max(1, w.In*w.Out*unit))
	parallel.RunCopy(&rowProducts, parallel.Blocks(rows, block), rowProduct{x, y, bias, w, rows, block})
}

type rowProduct struct {
	x, y, bias  []float32
	w           kernel.Weights
	rows, block int
}

var rowProducts parallel.Pool[rowProduct]

func (p *rowProduct) Run(item int) {
	from, to := parallel.Block(item, p.rows, p.block)
	in, out := p.w.In, p.w.Out
	kernel.ConvForward(&kernel.Conv{Rows: to - from, X: p.x, XBase: from * in, XStride: in, Taps: oneTap,
		W: p.w, Bias: p.bias, Y: p.y, YBase: from * out, YStride: out})
}

// The gradient of the weight is computed in parts of this size: 4 tiles of 14 input channels, a panel of 32 outputs.
const gradientIn, gradientOut = 56, 32

type linearGradient struct {
	x, dy, dw, db, sums []float32
	rows, in, out       int
}

var linearGradients parallel.Pool[linearGradient]

func (g *linearGradient) Run(item int) {
	parts := parallel.Blocks(g.out, gradientOut)
	k0, k1 := parallel.Block(item/parts, g.in, gradientIn)
	n0, n1 := parallel.Block(item%parts, g.out, gradientOut)
	kernel.ConvWeightGradient(&kernel.ConvGradient{Rows: g.rows, In: k1 - k0, Out: n1 - n0, Taps: oneTap,
		X: g.x, XBase: k0, XStride: g.in, DY: g.dy, DYBase: n0, DYStride: g.out,
		DW: g.dw, DWBase: k0*g.out + n0, DWStride: g.out})
	if k0 == 0 {
		columnSums(g.db[n0:n1], g.sums[n0:n1], g.dy, n0, g.out, g.rows)
	}
}

// columnSums adds to sums the columns of x [rows, stride] from column first on. It adds up 256 rows at a time in scratch:
// sums over a long recording in one go would lose digits.
func columnSums(sums, scratch, x []float32, first, stride, rows int) {
	const block = 256
	for b := range parallel.Blocks(rows, block) {
		from, to := parallel.Block(b, rows, block)
		clear(scratch)
		kernel.ColumnSums(scratch, x[from*stride+first:], stride, to-from, len(sums))
		kernel.Add(sums, scratch)
	}
}
