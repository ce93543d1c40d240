package dilated

import (
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// This file carries plans out: operands and weights in the precision of a layer, the products over the blocks of a sweep,
// and weight gradients.

// operand is activations as products read them: rows of one of the two element types, laid out as a side says.
type operand struct {
	float32s  []float32
	bfloat16s []uint16
}

// weights are the packed weights of one of the two element types.
type weights struct {
	float32s  kernel.Weights
	bfloat16s kernel.WeightsBF16
}

// operand returns x, which holds the rows of side s one after the other, as an operand: x itself, if it is a sequence of
// float32, and otherwise a copy in the arena.
func (s *side) operand(a *tensor.Arena, x []float32, p Precision) operand {
	if !s.framed && p == Float32 {
		return operand{float32s: x}
	}
	var to operand
	if n := s.rows() * s.row; p == BFloat16 {
		to.bfloat16s = a.Uint16s(n)
		clear(to.bfloat16s[:s.guard*s.row])
		clear(to.bfloat16s[n-s.guard*s.row:])
	} else {
		to.float32s = a.Floats(n)
		clear(to.float32s[:s.guard*s.row])
		clear(to.float32s[n-s.guard*s.row:])
	}
	if f := (framing{s, x, to}); s.framed {
		parallel.RunCopy(&framings, s.batch*s.strideHeight*s.strideWidth*parallel.Blocks(s.lines, s.linesPerItem()), f)
	} else {
		parallel.RunCopy(&framings, parallel.Blocks(s.rows(), blockRows), f)
	}
	return to
}

// linesPerItem is the number of lines of a frame that are copied by one item.
func (s *side) linesPerItem() int { return max(1, blockRows/s.line) }

// framing copies rows into an operand.
type framing struct {
	side *side
	x    []float32
	to   operand
}

var framings parallel.Pool[framing]

func (f *framing) Run(item int) {
	s := f.side
	if !s.framed {
		from, to := parallel.Block(item, s.rows(), blockRows)
		f.copyRows(from, from*s.channels, s.channels, to-from)
		return
	}
	blocks := parallel.Blocks(s.lines, s.linesPerItem())
	from, to := parallel.Block(item%blocks, s.lines, s.linesPerItem())
	item /= blocks
	w, item := item%s.strideWidth, item/s.strideWidth
	h, image := item%s.strideHeight, item/s.strideHeight
	for l := from; l < to; l++ {
		at, columns := s.start(image, h, w)+l*s.line, 0
		if l < s.phaseHeight(h) {
			columns = s.phaseWidth(w)
			first := (image*s.height+l*s.strideHeight+h)*s.width + w
			f.copyRows(at, first*s.channels, s.strideWidth*s.channels, columns)
		}
		if f.to.bfloat16s != nil {
			clear(f.to.bfloat16s[(at+columns)*s.row : (at+s.line)*s.row])
		} else {
			clear(f.to.float32s[(at+columns)*s.row : (at+s.line)*s.row])
		}
	}
}

// copyRows copies rows of x, which begin at element first and are stride apart, to the rows of the operand from row at on.
func (f *framing) copyRows(at, first, stride, rows int) {
	n := f.side.channels
	switch to := f.to.float32s; {
	case rows == 0:
	case f.to.bfloat16s != nil:
		row := f.side.row
		kernel.ToBF16Rows(f.to.bfloat16s[at*row:(at+rows)*row], row, f.x[first:], stride, rows, n)
	case stride == n:
		copy(to[at*n:(at+rows)*n], f.x[first:])
	default:
		for r := range rows {
			copy(to[(at+r)*n:(at+r+1)*n], f.x[first+r*stride:])
		}
	}
}

// pack packs the weights for the forward pass.
func (c *Conv) pack(a *tensor.Arena, p Precision) weights {
	taps, in, out := len(c.taps), c.config.In, c.config.Out
	w := c.maskedWeight(a)
	if p == BFloat16 {
		return weights{bfloat16s: kernel.PackWeightsBF16(a.Uint16s(kernel.PackedLenBF16(taps, in, out)), w, taps, in, out)}
	}
	return weights{float32s: kernel.PackWeights(a.Floats(kernel.PackedLen(taps, in, out)), w, taps, in, out)}
}

// packTransposed packs the weights for the input gradient.
func (c *Conv) packTransposed(a *tensor.Arena, p Precision) weights {
	taps, in, out := len(c.taps), c.config.In, c.config.Out
	w := c.maskedWeight(a)
	if p == BFloat16 {
		return weights{bfloat16s: kernel.PackWeightsTransposedBF16(a.Uint16s(kernel.PackedLenBF16(taps, out, in)), w, taps, in, out)}
	}
	return weights{float32s: kernel.PackWeightsTransposed(a.Floats(kernel.PackedLen(taps, out, in)), w, taps, in, out)}
}

// maskedWeight returns the weights with zeros where channel groups block them.
func (c *Conv) maskedWeight(a *tensor.Arena) []float32 {
	if c.blocked == nil {
		return c.Weight.Value.Data
	}
	w := a.Floats(c.Weight.Value.Len())
	copy(w, c.Weight.Value.Data)
	c.clearBlocked(w)
	return w
}

// product is a sweep over the operand x to y, which holds the rows of the target one after the other: y = x W + bias, or
// y += x W, for which the target must not be framed.
type product struct {
	sweep          *sweep
	source, target *side
	x              operand
	w              weights
	bias           []float32
	y              []float32
	accumulate     bool
}

var products parallel.Pool[product]

// items is the number of items: every block of every image.
func (p *product) items() int { return p.target.batch * len(p.sweep.blocks) }

// Run computes one block. Those of a frame come out in scratch memory, and the columns that belong to the image go from
// there to y.
func (p *product) Run(item int) {
	image, b := item/len(p.sweep.blocks), &p.sweep.blocks[item%len(p.sweep.blocks)]
	t := p.target
	if !t.framed {
		p.multiply(image, b.runs, p.y, t.start(image, b.height, b.width), t.step())
		return
	}
	s := scratches.Get()
	rows := s.floats((b.end - b.first) * t.channels)
	p.multiply(image, b.runs, rows, -b.first, 1)
	columns, n := t.phaseWidth(b.width), t.channels
	for l := b.first / t.line; l < b.end/t.line; l++ {
		from := rows[(l*t.line-b.first)*n:]
		to := p.y[((image*t.height+l*t.strideHeight+b.height)*t.width+b.width)*n:]
		if t.strideWidth == 1 {
			copy(to[:columns*n], from)
			continue
		}
		for j := range columns {
			copy(to[j*t.strideWidth*n:][:n], from[j*n:])
		}
	}
	scratches.Put(s)
}

// multiply computes runs of one image. Row r goes to row start + r*step of y.
func (p *product) multiply(image int, runs []run, y []float32, start, step int) {
	row, n := p.source.row, p.target.channels
	for _, r := range runs {
		x := (p.source.start(image, 0, 0) + r.first*p.source.step()) * row
		if p.x.bfloat16s != nil {
			kernel.ConvForwardBF16(&kernel.ConvBF16{Rows: r.end - r.first, X: p.x.bfloat16s, XBase: x, XStride: p.source.step() * row,
				Taps: r.taps, W: p.w.bfloat16s, Bias: p.bias, Y: y, YBase: (start + r.first*step) * n, YStride: step * n, Accumulate: p.accumulate})
		} else {
			kernel.ConvForward(&kernel.Conv{Rows: r.end - r.first, X: p.x.float32s, XBase: x, XStride: p.source.step() * row,
				Taps: r.taps, W: p.w.float32s, Bias: p.bias, Y: y, YBase: (start + r.first*step) * n, YStride: step * n, Accumulate: p.accumulate})
		}
	}
}

// scratch is memory that an item needs while it runs.
type scratch struct {
	float32s  []float32
	bfloat16s []uint16
}

var scratches parallel.Pool[scratch]

func (s *scratch) floats(n int) []float32 {
	if len(s.float32s) < n {
		s.float32s = make([]float32, n)
	}
	return s.float32s[:n]
}

func (s *scratch) uint16s(n int) []uint16 {
	if len(s.bfloat16s) < n {
		s.bfloat16s = make([]uint16, n)
	}
	return s.bfloat16s[:n]
}

// gradient adds the weight gradient along a sweep to dw, and the sums of the rows of dy to db, which may be nil. It is
// divided into taps, or all of them at once, and blocks of inputs and of outputs: each item goes through all rows in order,
// so that there is nothing to add up afterwards, and the sums are the same however the work is divided.
type gradient struct {
	sweep          *sweep
	source, target *side
	joined         bool
	x, dy          operand
	dw             []float32 // [taps, in, out]
	taps, in, out  int

	tapBlocks         int // taps or 1
	inBlock, outBlock int // channels

	rows   []float32 // dy, rows one after the other
	db     []float32
	biases int // items that sum up rows
}

var gradients parallel.Pool[gradient]

// biasOut is the number of channels of an item that sums rows up.
const biasOut = 32

// addGradients adds to the gradients of the weight and the bias.
func (c *Conv) addGradients(p *plan, x, dy operand, rows tensor.Tensor) {
	source, target, s := p.forward(c)
	g := gradient{sweep: s, source: source, target: target, joined: p.joined, x: x, dy: dy, dw: c.Weight.Grad.Data,
		taps: len(c.taps), in: c.config.In, out: c.config.Out}
	g.divide(parallel.Threads())
	if c.Bias != nil {
		g.rows, g.db, g.biases = rows.Data, c.Bias.Grad.Data, parallel.Blocks(g.out, biasOut)
	}
	parallel.RunCopy(&gradients, g.items()+g.biases, g)
	c.clearBlocked(c.Weight.Grad.Data)
}

// divide chooses the division: the coarsest that keeps threads busy for five sixths of the time, as each item reads all
// of x and dy.
func (g *gradient) divide(threads int) {
	g.tapBlocks, g.inBlock, g.outBlock = 1, g.in, g.out
	for {
		n := g.items()
		switch rounds := parallel.Blocks(n, threads); {
		case 5*rounds*threads <= 6*n:
			return
		case g.tapBlocks < g.taps:
			g.tapBlocks = g.taps
		case g.inBlock > 16 && g.inBlock >= g.outBlock:
			g.inBlock = half(g.inBlock, 16)
		case g.outBlock > 32:
			g.outBlock = half(g.outBlock, 32)
		case g.inBlock > 16:
			g.inBlock = half(g.inBlock, 16)
		default:
			return
		}
	}
}

// half is n/2 rounded up to a multiple of unit.
func half(n, unit int) int { return (n/2 + unit - 1) / unit * unit }

// items is the number of items that the weights are divided into.
func (g *gradient) items() int {
	return g.tapBlocks * parallel.Blocks(g.in, g.inBlock) * parallel.Blocks(g.out, g.outBlock)
}

func (g *gradient) Run(item int) {
	if weights := g.items(); item >= weights {
		from, to := parallel.Block(item-weights, g.out, biasOut)
		g.sumRows(from, to)
		return
	}
	tap, item := item%g.tapBlocks, item/g.tapBlocks
	inBlocks := parallel.Blocks(g.in, g.inBlock)
	k0, k1 := parallel.Block(item%inBlocks, g.in, g.inBlock)
	n0, n1 := parallel.Block(item/inBlocks, g.out, g.outBlock)
	part := func(taps []kernel.Tap) []kernel.Tap {
		if g.tapBlocks > 1 {
			return only(taps, tap)
		}
		return taps
	}
	for i := range g.sweep.phases {
		p := &g.sweep.phases[i]
		if g.joined {
			all := run{first: 0, end: g.source.batch * g.source.lines * g.source.line, taps: part(p.taps)}
			g.multiply(0, p, all, k0, k1, n0, n1)
			continue
		}
		for image := range g.source.batch {
			for _, r := range p.runs {
				r.taps = part(r.taps)
				g.multiply(image, p, r, k0, k1, n0, n1)
			}
		}
	}
}

// only returns the taps with that weight, of which there is one or none.
func only(taps []kernel.Tap, weight int) []kernel.Tap {
	for i, t := range taps {
		if t.Weight == weight {
			return taps[i : i+1]
		}
	}
	return nil
}

// multiply adds what run r, from an image on, says of the weights of its taps, for inputs [k0, k1) and outputs [n0, n1).
func (g *gradient) multiply(image int, p *phase, r run, k0, k1, n0, n1 int) {
	if len(r.taps) == 0 {
		return
	}
	s, t := g.source, g.target
	x := (s.start(image, 0, 0)+r.first*s.step())*s.row + k0
	dy := (t.start(image, p.height, p.width)+r.first*t.step())*t.row + n0
	if g.x.bfloat16s != nil {
		scratch := scratches.Get()
		kernel.ConvWeightGradientBF16(&kernel.ConvGradientBF16{Rows: r.end - r.first, In: k1 - k0, Out: n1 - n0, Taps: r.taps,
			X: g.x.bfloat16s, XBase: x, XStride: s.step() * s.row, DY: g.dy.bfloat16s, DYBase: dy, DYStride: t.step() * t.row,
			DW: g.dw, DWBase: k0*g.out + n0, DWTap: g.in * g.out, DWStride: g.out,
			Scratch: scratch.uint16s(kernel.GradientScratchBF16(k1-k0, n1-n0))})
		scratches.Put(scratch)
		return
	}
	kernel.ConvWeightGradient(&kernel.ConvGradient{Rows: r.end - r.first, In: k1 - k0, Out: n1 - n0, Taps: r.taps,
		X: g.x.float32s, XBase: x, XStride: s.step() * s.row, DY: g.dy.float32s, DYBase: dy, DYStride: t.step() * t.row,
		DW: g.dw, DWBase: k0*g.out + n0, DWTap: g.in * g.out, DWStride: g.out})
}

// sumRows adds the sums of channels [from, to) of dy's rows to db. A block of rows is summed before it is added: sums over
// a long recording in one go would lose digits.
func (g *gradient) sumRows(from, to int) {
	const block = 256
	rows := len(g.rows) / g.out
	for b := range parallel.Blocks(rows, block) {
		first, end := parallel.Block(b, rows, block)
		var sums [biasOut]float32
		kernel.ColumnSums(sums[:to-from], g.rows[first*g.out+from:], g.out, end-first, to-from)
		kernel.Add(g.db[from:to], sums[:to-from])
	}
}
