package kernel

import "fmt"

// Tap is one term of the sum that a convolution is: which rows of x it reads and which matrix it multiplies them with.
// Dilation, padding, 2-D kernels and masks are all nothing but lists of taps.
type Tap struct {
	Offset int // added to the index of x, in floats: rows (dilation, image lines) times the length of a row
	Weight int // index of the tap's [in, out] matrix in the weights
}

// Weights are convolution weights [taps, in, out] packed for the active tier: column panels one after the other, each
// [taps, in, width] with the last panel padded with zeros. They are read-only and may be shared by goroutines.
type Weights struct {
	Taps, In, Out int
	width         int
	data          []float32
}

// PackedLen is the number of floats that PackWeights and PackWeightsTransposed need for [taps, in, out].
func PackedLen(taps, in, out int) int { return taps * in * roundUp(out, panelWidth()) }

// PackWeights packs w [taps, in, out] into dst, which has PackedLen(taps, in, out) floats.
func PackWeights(dst, w []float32, taps, in, out int) Weights {
	width := panelWidth()
	checkLen("PackWeights: w", len(w), taps*in*out)
	checkLen("PackWeights: dst", len(dst), PackedLen(taps, in, out))
	at := 0
	for n := 0; n < out; n += width {
		cols := min(width, out-n)
		for row := range taps * in {
			d := dst[at : at+width]
			copy(d, w[row*out+n:row*out+n+cols])
			clear(d[cols:])
			at += width
		}
	}
	return Weights{Taps: taps, In: in, Out: out, width: width, data: dst}
}

// PackWeightsTransposed packs the transposes of w's matrices: w is [taps, in, out], the result convolves out channels
// to in channels, as the input gradient does. dst has PackedLen(taps, out, in) floats.
func PackWeightsTransposed(dst, w []float32, taps, in, out int) Weights {
	width := panelWidth()
	checkLen("PackWeightsTransposed: w", len(w), taps*in*out)
	checkLen("PackWeightsTransposed: dst", len(dst), PackedLen(taps, out, in))
	at := 0
	for n := 0; n < in; n += width {
		cols := min(width, in-n)
		for tap := range taps {
			m := w[tap*in*out : (tap+1)*in*out]
			panel := dst[at : at+out*width]
			if cols < width {
				clear(panel)
			}
			for j := range cols {
				for o, v := range m[(n+j)*out : (n+j+1)*out] {
					panel[o*width+j] = v
				}
			}
			at += out * width
		}
	}
	return Weights{Taps: taps, In: out, Out: in, width: width, data: dst}
}

// Conv is one stretch of a convolution in which every output row has the same taps:
//
//	for t in [0, Rows), n in [0, W.Out):
//	    y[YBase + t*YStride + n] (= Bias[n] | +=) sum over taps p, k in [0, W.In) of
//	        x[XBase + t*XStride + Taps[p].Offset + k] * W[Taps[p].Weight][k][n]
//
// XStride is the distance in floats between the inputs of successive outputs: the row length times the stride of the
// convolution. With transposed weights and negated offsets the same sum is the input gradient, and a strided input
// gradient (or a transposed convolution) is one Conv for each phase, with YStride the row length times the stride.
// XStride may be smaller than a row (overlapping rows) or zero; y rows must not overlap, nor x and y.
//
// Each output is summed over taps, then channels, in order, by fused multiply-adds in the assembly tiers: it does not
// depend on how a convolution is cut into Convs of rows.
type Conv struct {
	Rows           int
	X              []float32
	XBase, XStride int
	Taps           []Tap
	W              Weights
	Bias           []float32 // nil: zeros. Ignored if Accumulate
	Y              []float32
	YBase, YStride int
	Accumulate     bool // y += instead of y =
}

// check panics unless every index of the convolution lies inside its slice.
func (c *Conv) check() {
	w := &c.W
	if w.width != panelWidth() && len(w.data) > 0 {
		panic(fmt.Sprintf("kernel.ConvForward: weights packed in panels of %d, the active tier %v has %d", w.width, active, panelWidth()))
	}
	if c.Bias != nil && !c.Accumulate {
		checkLen("ConvForward: bias", len(c.Bias), w.Out)
	}
	for _, p := range c.Taps {
		checkIndex("ConvForward: tap weight", p.Weight, 0, w.Taps)
		checkRows("ConvForward: x", len(c.X), c.XBase+p.Offset, c.XStride, c.Rows, w.In)
	}
	checkRows("ConvForward: y", len(c.Y), c.YBase, c.YStride, c.Rows, w.Out)
}

// ConvForward computes c on the calling goroutine. It allocates nothing.
func ConvForward(c *Conv) {
	c.check()
	if c.Rows == 0 || c.W.Out == 0 {
		return
	}
	convForward(c)
}

// convForwardGeneric is the plain loop, on panels as wide as the generic tier packs them.
func convForwardGeneric(c *Conv) {
	const width = genericPanel
	in, panel := c.W.In, c.W.Taps*c.W.In*width
	for t := range c.Rows {
		x0, y0 := c.XBase+t*c.XStride, c.YBase+t*c.YStride
		for n := 0; n < c.W.Out; n += width {
			y := c.Y[y0+n : y0+min(n+width, c.W.Out)]
			var sum [width]float32
			if c.Accumulate {
				copy(sum[:], y)
			} else if c.Bias != nil {
				copy(sum[:], c.Bias[n:n+len(y)])
			}
			w := c.W.data[n/width*panel:]
			for _, p := range c.Taps {
				x := c.X[x0+p.Offset : x0+p.Offset+in]
				m := w[p.Weight*in*width:]
				for k, xv := range x {
					row := (*[width]float32)(m[k*width:])
					for j := range sum {
						sum[j] += xv * row[j]
					}
				}
			}
			copy(y, sum[:])
		}
	}
}

// ConvGradient is the weight gradient of one stretch of a convolution:
//
//	for taps p, k in [0, In), n in [0, Out):
//	    dw[DWBase + Taps[p].Weight*DWTap + k*DWStride + n] += sum over t in [0, Rows) of
//	        x[XBase + t*XStride + Taps[p].Offset + k] * dy[DYBase + t*DYStride + n]
//
// for weights [taps, in, out] held whole: DWStride = out, DWTap = in*out. A part of the taps, of the input channels
// (XBase, DWBase and In) or of the output channels (DYBase, DWBase and Out) can be computed by itself, which is how
// the work is split over cores; the result does not depend on the split. Sums run over t in blocks of a fixed size.
type ConvGradient struct {
	Rows, In, Out           int
	X                       []float32
	XBase, XStride          int
	Taps                    []Tap
	DY                      []float32
	DYBase, DYStride        int
	DW                      []float32
	DWBase, DWTap, DWStride int
}

func (g *ConvGradient) check() {
	for _, p := range g.Taps {
		checkRows("ConvWeightGradient: x", len(g.X), g.XBase+p.Offset, g.XStride, g.Rows, g.In)
		checkRows("ConvWeightGradient: dw", len(g.DW), g.DWBase+p.Weight*g.DWTap, g.DWStride, g.In, g.Out)
	}
	checkRows("ConvWeightGradient: dy", len(g.DY), g.DYBase, g.DYStride, g.Rows, g.Out)
}

// gradientBlock is the number of rows whose products are summed before they are added to dw.
const gradientBlock = 128

// ConvWeightGradient computes g on the calling goroutine. It allocates nothing.
func ConvWeightGradient(g *ConvGradient) {
	g.check()
	if g.Rows == 0 || g.In == 0 || g.Out == 0 {
		return
	}
	convWeightGradient(g)
}

// convWeightGradientGeneric is the plain loop.
func convWeightGradientGeneric(g *ConvGradient) {
	const width = genericPanel
	for t0 := 0; t0 < g.Rows; t0 += gradientBlock {
		t1 := min(t0+gradientBlock, g.Rows)
		for _, p := range g.Taps {
			for k := range g.In {
				dw := g.DW[g.DWBase+p.Weight*g.DWTap+k*g.DWStride:][:g.Out]
				x0 := g.XBase + p.Offset + k
				for n := 0; n < g.Out; n += width {
					var sum [width]float32
					cols := min(width, g.Out-n)
					for t := t0; t < t1; t++ {
						xv := g.X[x0+t*g.XStride]
						for j, dy := range g.DY[g.DYBase+t*g.DYStride+n:][:cols] {
							sum[j] += xv * dy
						}
					}
					for j := range cols {
						dw[n+j] += sum[j]
					}
				}
			}
		}
	}
}

// genericPanel is the panel width of the generic tier.
const genericPanel = 8

func roundUp(n, m int) int { return (n + m - 1) / m * m }

// checkLen panics unless found is wanted.
func checkLen(what string, found, wanted int) {
	if found != wanted {
		panic(fmt.Sprintf("kernel.%s: length %d, want %d", what, found, wanted))
	}
}

// checkIndex panics unless from <= i < to.
func checkIndex(what string, i, from, to int) {
	if i < from || i >= to {
		panic(fmt.Sprintf("kernel.%s: index %d, want [%d, %d)", what, i, from, to))
	}
}

// checkRows panics unless rows of cols elements, stride apart from base on, lie inside a slice of n.
func checkRows(what string, n, base, stride, rows, cols int) {
	if rows == 0 || cols == 0 {
		return
	}
	first, last := base, base+(rows-1)*stride
	if last < first {
		first, last = last, first
	}
	if rows < 0 || cols < 0 || first < 0 || last+cols > n {
		panic(fmt.Sprintf("kernel.%s: %d rows of %d, %d apart from %d on, reach over [%d, %d), the slice has %d",
			what, rows, cols, stride, base, first, last+cols, n))
	}
}
