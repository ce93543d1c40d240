package nn

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/sums"
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
	division := sums.Divide(x.Rows(), out)
	g := linearGradient{division, x.Data, dy.Data, l.Weight.Grad.Data, a.Floats((division.Segments - 1) * in * out),
		a.Floats(division.Segments * out), in, out}
	parallel.RunCopy(&linearGradients, division.Items(), g)
	sums.Add(g.dw, g.parts)
	sums.Add(l.Bias.Grad.Data, g.db)

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

// linearGradient computes partial sums of the gradients.
type linearGradient struct {
	division sums.Division
	x, dy    []float32
	dw       []float32 // [in, out]: the gradient itself, to which the first segment is added directly
	parts    []float32 // [segments-1, in, out]: partial sums of the others
	db       []float32 // [segments, out]
	in, out  int
}

var linearGradients parallel.Pool[linearGradient]

func (g *linearGradient) Run(item int) {
	segment, from, to, n0, n1 := g.division.Item(item)
	dw := g.division.Part(g.dw, g.parts, segment, n0, n1)
	kernel.ConvWeightGradient(&kernel.ConvGradient{Rows: to - from, In: g.in, Out: n1 - n0, Taps: oneTap,
		X: g.x, XBase: from * g.in, XStride: g.in, DY: g.dy, DYBase: from*g.out + n0, DYStride: g.out,
		DW: dw, DWBase: n0, DWStride: g.out})
	if from < to {
		sums.Columns(g.db[segment*g.out+n0:segment*g.out+n1], g.dy[from*g.out+n0:], g.out, to-from)
	} else {
		clear(g.db[segment*g.out+n0 : segment*g.out+n1])
	}
}
