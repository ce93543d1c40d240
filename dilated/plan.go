package dilated

import (
	"slices"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// A convolution relates two sides: x, which is padded and strided over, and y. With the row of channels at each position
// as the unit, and one term for each tap k of the kernel,
//
//	convolution:             y[r]        += x_k[r+shift_k] W_k       "down": from x to y
//	transposed convolution:  x_k[r]      += y[r-shift_k] W_k         "up": from y to x
//	weight gradient:         dW_k        += x_k[r+shift_k]' dy[r]    along down, or along up
//
// where x_k is one phase of x: of the positions stride apart, those that tap k reads. The input gradient of each is the
// other with W_k transposed. A plan is the list of these terms for one shape, cut into runs of rows that have the same
// terms, since edges leave some out: each run is one kernel.Conv.
//
// Rows of sequences are taken where they lie. In images an edge would cut every line into runs of a few pixels, so images
// are copied into frames: phase by phase, lines with as many zeros behind as a tap reads before or after a line. The
// zeros behind a line are also those in front of the next. Terms are then left out at the upper and lower edge only, and
// one run covers many lines; what comes out in the columns of the zeros is not used.
//
// For weight gradients, which want long runs, even those of small images are short. Their frames have lines of zeros
// below as well, also shared with the next image, so that one run covers a phase of all images: joined.
type plan struct {
	planKey
	x, y     side
	joined   bool
	down, up sweep
}

// joinedRows is the number of rows of an image from which on weight gradients do without joining: adding a line would
// cost more than it gains.
const joinedRows = 384

// planKey is what a plan depends on besides the layer: the shape of the input, and how long the rows of operands are.
type planKey struct {
	batch, height, width int
	precision            Precision
}

// side is one side of a convolution, and how its rows lie in operands.
type side struct {
	batch, height, width, channels int
	strideHeight, strideWidth      int // phases: the strides on the side of x, 1 on that of y
	row                            int // elements in a row of an operand

	framed bool
	line   int // rows of a line of a frame
	lines  int // of a frame
	guard  int // rows of zeros before the first and behind the last frame
}

// phaseHeight and phaseWidth are the lengths of phase p.
func (s *side) phaseHeight(p int) int { return phaseLength(s.height, s.strideHeight, p) }
func (s *side) phaseWidth(p int) int  { return phaseLength(s.width, s.strideWidth, p) }

func phaseLength(n, stride, phase int) int { return max(0, (n-phase+stride-1)/stride) }

// rows is the number of rows in which the side lies.
func (s *side) rows() int {
	if !s.framed {
		return s.batch * s.height * s.width
	}
	return 2*s.guard + s.strideHeight*s.strideWidth*s.batch*s.lines*s.line
}

// start is the first row of phase (h, w) of image b.
func (s *side) start(b, h, w int) int {
	if !s.framed {
		return b*s.width + w
	}
	return s.guard + ((h*s.strideWidth+w)*s.batch+b)*s.lines*s.line
}

// step is the number of rows from one row of a phase to the next.
func (s *side) step() int {
	if s.framed {
		return 1
	}
	return s.strideWidth
}

// term is one tap of a sweep: destination[r] of one phase takes source[r+shift] of another.
type term struct {
	weight                         int
	sourceHeight, sourceWidth      int // phase
	targetHeight, targetWidth      int // phase
	shiftHeight, shiftWidth        int
	firstLine, endLine, first, end int // target lines and columns for which there is a source
}

// sweep is the whole of one direction of a convolution.
type sweep struct {
	phases []phase // of the target
	blocks []block // work items of one image, of about blockRows rows
}

type phase struct {
	height, width int // which phase
	runs          []run
	taps          []kernel.Tap // of all terms, for joined images
}

// block is a stretch [first, end) of the rows of a phase, in frames whole lines.
type block struct {
	height, width int
	first, end    int
	runs          []run
}

// run is a stretch of rows that have the same terms. Offsets are relative to the source row of the same number in the
// first phase.
type run struct {
	first, end int
	taps       []kernel.Tap
}

// blockRows is the number of rows of a work item: a whole number of tiles of 14 rows (AVX-512) and of 6 (AVX2, NEON), and
// few enough for a block of activations to stay in a level 2 cache.
const blockRows = 252

// newPlan lays out the convolution of layer c for key.
func newPlan(c *Conv, key planKey) *plan {
	p := &plan{planKey: key}
	height, width := c.config.Height.checked(), c.config.Width.checked()
	outHeight, outWidth := c.outputSize(key.height, key.width)
	in := side{batch: key.batch, height: key.height, width: key.width, channels: c.config.In, strideHeight: 1, strideWidth: 1}
	out := side{batch: key.batch, height: outHeight, width: outWidth, channels: c.config.Out, strideHeight: 1, strideWidth: 1}
	p.x, p.y = in, out
	if c.config.Transposed {
		p.x, p.y = out, in
	}
	x, y := &p.x, &p.y
	x.strideHeight, x.strideWidth = height.Stride, width.Stride
	x.row, y.row = x.channels, y.channels
	if key.precision == BFloat16 {
		x.row, y.row = kernel.PaddedBF16(x.channels), kernel.PaddedBF16(y.channels)
	}

	var down, up []term
	beforeHeight, _ := height.PaddingFor(x.height)
	beforeWidth, _ := width.PaddingFor(x.width)
	left, right, above, below := 0, 0, 0, 0 // how far shifts reach
	for i, tap := range c.taps {
		t := term{weight: i}
		t.shiftHeight, t.sourceHeight = floorDivide(tap.height*height.Dilation-beforeHeight, height.Stride)
		t.shiftWidth, t.sourceWidth = floorDivide(tap.width*width.Dilation-beforeWidth, width.Stride)
		if !t.limit(x, y) {
			continue
		}
		down = append(down, t)
		left, right = max(left, -t.shiftWidth), max(right, t.shiftWidth)
		above, below = max(above, -t.shiftHeight), max(below, t.shiftHeight)
		t.shiftHeight, t.shiftWidth = -t.shiftHeight, -t.shiftWidth
		t.sourceHeight, t.targetHeight = 0, t.sourceHeight
		t.sourceWidth, t.targetWidth = 0, t.sourceWidth
		t.limit(y, x)
		up = append(up, t)
	}
	if x.height != 1 || y.height != 1 {
		line := max(1, x.phaseWidth(0)+left, y.width+right)
		p.joined = y.height*line < joinedRows
		for _, s := range []*side{x, y} {
			s.framed, s.line, s.lines, s.guard = true, line, s.phaseHeight(0), max(left, right)
			if p.joined {
				s.lines = max(x.phaseHeight(0)+above, y.height+below)
				s.guard += max(above, below) * line
			}
		}
	}
	p.down = newSweep(x, y, down)
	p.up = newSweep(y, x, up)
	return p
}

// limit sets the range of lines and columns, and reports whether it is not empty.
func (t *term) limit(source, target *side) bool {
	limit := func(shift, source, target int) (first, end int) {
		first = max(0, -shift)
		return first, max(first, min(target, source-shift))
	}
	t.firstLine, t.endLine = limit(t.shiftHeight, source.phaseHeight(t.sourceHeight), target.phaseHeight(t.targetHeight))
	t.first, t.end = limit(t.shiftWidth, source.phaseWidth(t.sourceWidth), target.phaseWidth(t.targetWidth))
	return t.firstLine < t.endLine && t.first < t.end
}

// newSweep cuts the rows of target into runs and blocks.
func newSweep(source, target *side, terms []term) sweep {
	var s sweep
	for h := range target.strideHeight {
		for w := range target.strideWidth {
			lines, columns := target.phaseHeight(h), target.phaseWidth(w)
			if lines == 0 || columns == 0 {
				continue
			}
			p := phase{height: h, width: w}
			rows, size := columns, blockRows
			if target.framed {
				rows, size = lines*target.line, max(1, blockRows/target.line)*target.line
			}
			borders := []int{0, rows}
			for i := range terms {
				if t := &terms[i]; t.targetHeight == h && t.targetWidth == w {
					first, end := t.rows(target)
					borders = append(borders, first, end)
					p.taps = append(p.taps, t.tap(source))
				}
			}
			slices.Sort(borders)
			borders = slices.Compact(borders)
			for i := range len(borders) - 1 {
				r := run{first: borders[i], end: borders[i+1]}
				for j := range terms {
					t := &terms[j]
					if t.targetHeight != h || t.targetWidth != w {
						continue
					}
					if first, end := t.rows(target); first <= r.first && r.end <= end {
						r.taps = append(r.taps, t.tap(source))
					}
				}
				p.runs = append(p.runs, r)
			}
			s.phases = append(s.phases, p)
			for first := 0; first < rows; first += size {
				b := block{height: h, width: w, first: first, end: min(first+size, rows)}
				for _, r := range p.runs {
					r.first, r.end = max(r.first, b.first), min(r.end, b.end)
					if r.first < r.end {
						b.runs = append(b.runs, r)
					}
				}
				s.blocks = append(s.blocks, b)
			}
		}
	}
	return s
}

// rows is the range of target rows that have the term.
func (t *term) rows(target *side) (first, end int) {
	if target.framed {
		return t.firstLine * target.line, t.endLine * target.line
	}
	return t.first, t.end
}

// tap is the term as the kernels read it.
func (t *term) tap(source *side) kernel.Tap {
	rows := source.start(0, t.sourceHeight, t.sourceWidth) - source.start(0, 0, 0) +
		(t.shiftHeight*source.line+t.shiftWidth)*source.step()
	return kernel.Tap{Offset: rows * source.row, Weight: t.weight}
}

// floorDivide returns the quotient of a and b > 0 rounded down, and the remainder in [0, b).
func floorDivide(a, b int) (quotient, remainder int) {
	quotient, remainder = a/b, a%b
	if remainder < 0 {
		return quotient - 1, remainder + b
	}
	return quotient, remainder
}
