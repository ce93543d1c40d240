package dilated

import (
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/sums"
	"github.com/vqaudio/vqaudio/tensor"
)

// gradient sums what the rows of a sweep say of the weight and of the bias. The rows are divided into segments with
// partial sums of their own and, where those are few, the output channels into blocks: an item reads its part of x and
// dy once.
type gradient struct {
	sweep          *sweep
	source, target *side
	joined         bool
	x, dy          operand
	taps, in, out  int
	division       sums.Division // of the rows of all runs, counted in their order
	dw             []float32     // [taps, in, out]: the gradient itself, to which the first segment is added directly
	parts          []float32     // [segments-1, taps, in, out]: partial sums of the others

	rows        []float32 // dy, rows one after the other
	segmentRows int       // of these in a segment
	db          []float32 // [segments, out]; nil without a bias
}

var gradients parallel.Pool[gradient]

// addGradients adds to the gradients of the weight and the bias.
func (c *Conv) addGradients(a *tensor.Arena, p *plan, x, dy operand, rows tensor.Tensor) {
	source, target, s := p.forward(c)
	g := gradient{sweep: s, source: source, target: target, joined: p.joined, x: x, dy: dy,
		taps: len(c.taps), in: c.config.In, out: c.config.Out, dw: c.Weight.Grad.Data, rows: rows.Data}
	g.division = sums.Divide(g.total(), g.out)
	segments := g.division.Segments
	g.segmentRows = parallel.Blocks(rows.Rows(), segments)
	scratch := a.Mark()
	g.parts = a.Floats((segments - 1) * len(g.dw))
	if c.Bias != nil {
		g.db = a.Floats(segments * g.out)
	}
	parallel.RunCopy(&gradients, g.division.Items(), g)
	sums.Add(g.dw, g.parts)
	if c.Bias != nil {
		sums.Add(c.Bias.Grad.Data, g.db)
	}
	a.Release(scratch)
	c.clearBlocked(c.Weight.Grad.Data)
}

// total is the number of rows of all runs.
func (g *gradient) total() int {
	total := 0
	for i := range g.sweep.phases {
		if g.joined {
			total += g.joinedRun(i).end
			continue
		}
		for _, r := range g.sweep.phases[i].runs {
			total += g.source.batch * (r.end - r.first)
		}
	}
	return total
}

// joinedRun is the one run of phase i of all images together.
func (g *gradient) joinedRun(i int) run {
	return run{first: 0, end: g.source.batch * g.source.lines * g.source.line, taps: g.sweep.phases[i].taps}
}

// Run computes a segment for a block of output channels.
func (g *gradient) Run(item int) {
	segment, first, end, n0, n1 := g.division.Item(item)
	dw := g.division.Part(g.dw, g.parts, segment, n0, n1)
	at := 0
	part := func(image int, p *phase, r run) {
		length := r.end - r.first
		from, to := max(first-at, 0), min(end-at, length)
		at += length
		if from < to && len(r.taps) > 0 {
			r.first, r.end = r.first+from, r.first+to
			g.multiply(dw, image, p, r, n0, n1)
		}
	}
	for i := range g.sweep.phases {
		p := &g.sweep.phases[i]
		if g.joined {
			part(0, p, g.joinedRun(i))
			continue
		}
		for image := range g.source.batch {
			for _, r := range p.runs {
				part(image, p, r)
			}
		}
	}
	if g.db != nil {
		from, to := parallel.Block(segment, len(g.rows)/g.out, g.segmentRows)
		sums.Columns(g.db[segment*g.out+n0:segment*g.out+n1], g.rows[min(from*g.out+n0, len(g.rows)):], g.out, max(0, to-from))
	}
}

// multiply adds what run r, from an image on, says of the weights of its taps for outputs [n0, n1).
func (g *gradient) multiply(dw []float32, image int, p *phase, r run, n0, n1 int) {
	s, t := g.source, g.target
	x := (s.start(image, 0, 0) + r.first*s.step()) * s.row
	dy := (t.start(image, p.height, p.width)+r.first*t.step())*t.row + n0
	if g.x.bfloat16s != nil {
		scratch := scratches.Get()
		kernel.ConvWeightGradientBF16(&kernel.ConvGradientBF16{Rows: r.end - r.first, In: g.in, Out: n1 - n0, Taps: r.taps,
			X: g.x.bfloat16s, XBase: x, XStride: s.step() * s.row, DY: g.dy.bfloat16s, DYBase: dy, DYStride: t.step() * t.row,
			DW: dw, DWBase: n0, DWTap: g.in * g.out, DWStride: g.out,
			Scratch: scratch.uint16s(kernel.GradientScratchBF16(g.in, n1-n0))})
		scratches.Put(scratch)
		return
	}
	kernel.ConvWeightGradient(&kernel.ConvGradient{Rows: r.end - r.first, In: g.in, Out: n1 - n0, Taps: r.taps,
		X: g.x.float32s, XBase: x, XStride: s.step() * s.row, DY: g.dy.float32s, DYBase: dy, DYStride: t.step() * t.row,
		DW: dw, DWBase: n0, DWTap: g.in * g.out, DWStride: g.out})
}
