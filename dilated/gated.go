package dilated

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// GatedConfig describes a GatedResidual.
type GatedConfig struct {
	Channels, Skip int // of the residual stream, and of the sum of skips
	Kernel         int // taps; 0 stands for 2
	Dilation       int // 0 stands for 1
	Precision      Precision
}

// GatedResidual is the unit of WaveNet (van den Oord et al., arXiv 1609.03499, sections 2.3 to 2.5), over sequences:
//
//	gates = Dilated(x) + condition                                    [B, T, 2 Channels]
//	z     = tanh(first half of gates) * sigmoid(second half)          [B, T, Channels]
//	y     = x + Residual(z)
//	skip += Skip(z)
//
// with a causal convolution Dilated and 1x1 convolutions Residual and Skip. Skip has no bias: all units of a stack would
// add theirs to the same sum, which may as well begin with one.
type GatedResidual struct {
	Dilated, Residual, Skip *Conv
}

// GatedSaved is what GatedResidual.Forward leaves for Backward.
type GatedSaved struct {
	X      tensor.Tensor // the input itself
	Gates  tensor.Tensor // before tanh and sigmoid
	Z      tensor.Tensor
	frames int // of the condition; 0 if there was none
}

// NewGatedResidual returns a unit with weights initialised by nn.XavierUniform, made for tanh and sigmoid, and biases of
// zero.
func NewGatedResidual(config GatedConfig, src rand.Source) *GatedResidual {
	if config.Kernel == 0 {
		config.Kernel = 2
	}
	n, p := config.Channels, config.Precision
	causal := Axis{Kernel: config.Kernel, Dilation: config.Dilation, Padding: Causal}
	g := &GatedResidual{
		Dilated:  NewConv(Config{In: n, Out: 2 * n, Width: causal, Precision: p}, src),
		Residual: NewConv(Config{In: n, Out: n, Precision: p}, src),
		Skip:     NewConv(Config{In: n, Out: config.Skip, NoBias: true, Precision: p}, src),
	}
	nn.XavierUniform(g.Dilated.Weight.Value, config.Kernel*n, 2*n, src)
	nn.XavierUniform(g.Residual.Weight.Value, n, n, src)
	nn.XavierUniform(g.Skip.Weight.Value, n, config.Skip, src)
	return g
}

// Parameters returns those of "dilated", "residual" and "skip".
func (g *GatedResidual) Parameters() nn.Parameters {
	ps := append(g.Dilated.Parameters().Named("dilated"), g.Residual.Parameters().Named("residual")...)
	return append(ps, g.Skip.Parameters().Named("skip")...)
}

// Forward returns y for x [B, T, Channels] and adds to skip [B, T, Skip]. The condition [B, F, 2 Channels] holds for T/F
// steps each, which must be a whole number: it is projected once for each of its frames, not for each sample. The zero
// Tensor is no condition.
func (g *GatedResidual) Forward(a *tensor.Arena, x, condition, skip tensor.Tensor) (tensor.Tensor, GatedSaved) {
	p := g.Dilated.plan(x)
	batch, steps, n := x.Dim(0), x.Dim(1), x.Channels()
	s := GatedSaved{X: x, Gates: a.Tensor(batch, steps, 2*n), Z: a.Like(x)}
	y := a.Like(x)
	if skip.Rank() != 3 || skip.Dim(0) != batch || skip.Dim(1) != steps || skip.Channels() != g.Skip.config.Out {
		panic(fmt.Sprintf("dilated.GatedResidual: input of shape %v, skips of shape %v, weight of shape %v", x, skip, g.Skip.Weight.Value))
	}
	if condition.Data != nil {
		if s.frames = 0; condition.Rank() == 3 {
			s.frames = condition.Dim(1)
		}
		if s.frames == 0 || condition.Dim(0) != batch || steps%s.frames != 0 || condition.Channels() != 2*n {
			panic(fmt.Sprintf("dilated.GatedResidual: input of shape %v, condition of shape %v", x, condition))
		}
	}
	scratch := a.Mark()
	f := gatedForward{
		dilated: product{sweep: &p.down, source: &p.x, target: &p.y, x: p.x.operand(a, x.Data, p.precision),
			w: g.Dilated.pack(a, p.precision), bias: g.Dilated.bias(), y: s.Gates.Data},
		residual: g.Residual.matrix(a), skip: g.Skip.matrix(a),
		x: x.Data, condition: condition.Data, z: s.Z.Data, y: y.Data, skips: skip.Data,
		steps: steps, hop: steps / max(1, s.frames),
	}
	parallel.RunCopy(&gatedForwards, f.dilated.items(), f)
	a.Release(scratch)
	return y, s
}

// gatedForward computes a unit block by block: what one line of it writes, the next one reads while it is in the cache.
type gatedForward struct {
	dilated                   product
	residual, skip            matrix
	x, condition, z, y, skips []float32
	steps, hop                int
}

var gatedForwards parallel.Pool[gatedForward]

func (f *gatedForward) Run(item int) {
	blocks := f.dilated.sweep.blocks
	image, b := item/len(blocks), &blocks[item%len(blocks)]
	n, m, rows := f.residual.out, f.skip.out, b.end-b.first
	at := image*f.steps + b.first
	x, gates := f.x[at*n:(at+rows)*n], f.dilated.y[at*2*n:(at+rows)*2*n]
	z, y := f.z[at*n:(at+rows)*n], f.y[at*n:(at+rows)*n]

	f.dilated.Run(item)
	if f.condition != nil {
		for t := at; t < at+rows; { // frame by frame
			frame := t / f.hop
			end := min((frame+1)*f.hop, at+rows)
			kernel.AddRow(gates[(t-at)*2*n:(end-at)*2*n], 2*n, end-t, 2*n, f.condition[frame*2*n:(frame+1)*2*n])
			t = end
		}
	}
	kernel.GateForward(z, n, gates, 2*n, rows, n)
	s := scratches.Get()
	f.residual.multiply(s, y, z, rows, false)
	kernel.Add(y, x)
	f.skip.multiply(s, f.skips[at*m:(at+rows)*m], z, rows, true)
	scratches.Put(s)
}

// Backward adds to the gradients of the parameters and turns dstream, the gradient with respect to y, into that with
// respect to x: the residual stream accumulates. dskip is the gradient with respect to the sum of skips, which it has
// with respect to every term. The result is the gradient with respect to the condition, [B, F, 2 Channels], or the zero
// Tensor if there was none.
func (g *GatedResidual) Backward(a *tensor.Arena, s GatedSaved, dstream, dskip tensor.Tensor) (dcondition tensor.Tensor) {
	x := s.X
	batch, steps, n := x.Dim(0), x.Dim(1), x.Channels()
	if !dstream.SameShape(x) || dskip.Rank() != 3 || dskip.Rows() != x.Rows() || dskip.Channels() != g.Skip.config.Out {
		panic(fmt.Sprintf("dilated.GatedResidual: input of shape %v, gradients of shapes %v and %v, weight of shape %v",
			x, dstream, dskip, g.Skip.Weight.Value))
	}
	if s.frames > 0 {
		dcondition = a.Tensor(batch, s.frames, 2*n)
	}
	scratch := a.Mark()
	dgates := a.Like(s.Gates)

	// y = x + Residual(z), skip += Skip(z): dz = dy Residual' + dskip Skip'. z = tanh * sigmoid: dgates from dz.
	b := gatedBackward{residual: g.Residual.transposedMatrix(a), skip: g.Skip.transposedMatrix(a),
		gates: s.Gates.Data, dgates: dgates.Data, dstream: dstream.Data, dskip: dskip.Data}
	parallel.RunCopy(&gatedBackwards, parallel.Blocks(x.Rows(), blockRows), b)
	g.Residual.BackwardParameters(a, s.Z, dstream)
	g.Skip.BackwardParameters(a, s.Z, dskip)

	// gates = Dilated(x) + condition, y = x + ...: dx = dy + dgates Dilated'.
	g.Dilated.backward(a, x, dgates, dstream.Data, true)
	if s.frames > 0 {
		frames := frameSummation{dgates.Data, dcondition.Data, steps / s.frames, 2 * n}
		parallel.RunCopy(&frameSummations, parallel.Blocks(batch*s.frames, frames.block()), frames)
	}
	a.Release(scratch)
	return dcondition
}

type gatedBackward struct {
	residual, skip                matrix
	gates, dgates, dstream, dskip []float32
}

var gatedBackwards parallel.Pool[gatedBackward]

func (t *gatedBackward) Run(item int) {
	n, m := t.residual.out, t.skip.in
	from, to := parallel.Block(item, len(t.dstream)/n, blockRows)
	rows := to - from
	s := scratches.Get()
	dz := s.floats(rows * n)
	t.residual.multiply(s, dz, t.dstream[from*n:to*n], rows, false)
	t.skip.multiply(s, dz, t.dskip[from*m:to*m], rows, true)
	kernel.GateBackward(t.dgates[from*2*n:], 2*n, t.gates[from*2*n:], 2*n, dz, n, rows, n)
	scratches.Put(s)
}

// frameSummation sums the gradients of the steps for which a frame of the condition held.
type frameSummation struct {
	dgates, dcondition []float32
	hop, channels      int
}

var frameSummations parallel.Pool[frameSummation]

// block is the number of frames in an item.
func (t *frameSummation) block() int { return max(1, blockRows/t.hop) }

func (t *frameSummation) Run(item int) {
	n := t.channels
	from, to := parallel.Block(item, len(t.dcondition)/n, t.block())
	for f := from; f < to; f++ {
		sums := t.dcondition[f*n : (f+1)*n]
		clear(sums)
		kernel.ColumnSums(sums, t.dgates[f*t.hop*n:(f+1)*t.hop*n], n, t.hop, n)
	}
}

// matrix is the weight and bias of a 1x1 convolution, or the transposed weight, for products over blocks of rows.
type matrix struct {
	w         weights
	bias      []float32
	in, out   int
	precision Precision
}

func (c *Conv) matrix(a *tensor.Arena) matrix {
	return matrix{c.pack(a, c.precision()), c.bias(), c.config.In, c.config.Out, c.precision()}
}

func (c *Conv) transposedMatrix(a *tensor.Arena) matrix {
	return matrix{c.packTransposed(a, c.precision()), nil, c.config.Out, c.config.In, c.precision()}
}

// multiply writes x [rows, in] times the matrix, plus the bias, to y [rows, out], or adds the product without the bias.
func (m *matrix) multiply(s *scratch, y, x []float32, rows int, accumulate bool) {
	if m.precision == BFloat16 {
		row := kernel.PaddedBF16(m.in)
		h := s.uint16s(rows * row)
		kernel.ToBF16Rows(h, row, x, m.in, rows, m.in)
		kernel.ConvForwardBF16(&kernel.ConvBF16{Rows: rows, X: h, XStride: row, Taps: ownStep, W: m.w.bfloat16s, Bias: m.bias,
			Y: y, YStride: m.out, Accumulate: accumulate})
		return
	}
	kernel.ConvForward(&kernel.Conv{Rows: rows, X: x, XStride: m.in, Taps: ownStep, W: m.w.float32s, Bias: m.bias,
		Y: y, YStride: m.out, Accumulate: accumulate})
}

// ownStep is the tap of a 1x1 convolution.
var ownStep = []kernel.Tap{{}}
