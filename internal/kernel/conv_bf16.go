package kernel

import "fmt"

// Mixed precision: x and the weights are bfloat16, sums are float32. A row of x is padded with zeros to a multiple of
// BF16Depth, the depth in which the hardware multiplies; ToBF16Rows makes such rows from float32.

// BF16Depth is the multiple of channels to which rows of bfloat16 are padded.
const BF16Depth = 32

// bf16Panel is the panel width of bfloat16 weights on every tier.
const bf16Panel = 32

// PaddedBF16 is n rounded up to a multiple of BF16Depth.
func PaddedBF16(n int) int { return roundUp(n, BF16Depth) }

// WeightsBF16 are convolution weights in bfloat16, packed in column panels, each [taps, PaddedBF16(in)/2, 32, 2]: pairs
// of input channels side by side, zeros where in and out are padded. The form is the same on every tier.
type WeightsBF16 struct {
	Taps, In, Out int
	data          []uint16
}

// PackedLenBF16 is the number of elements that the PackWeightsBF16 functions need for [taps, in, out].
func PackedLenBF16(taps, in, out int) int { return taps * PaddedBF16(in) * roundUp(out, bf16Panel) }

// PackWeightsBF16 rounds w [taps, in, out] to bfloat16 and packs it into dst.
func PackWeightsBF16(dst []uint16, w []float32, taps, in, out int) WeightsBF16 {
	checkLen("PackWeightsBF16: w", len(w), taps*in*out)
	packed := newWeightsBF16(dst, taps, in, out)
	var even, odd [packChunk]uint16 // parts of two rows of w
	for tap := range taps {
		for k := 0; k < in; k += 2 {
			for first := 0; first < out; first += packChunk {
				row := w[(tap*in+k)*out+first:]
				even, odd := even[:min(packChunk, out-first)], odd[:min(packChunk, out-first)]
				ToBF16(even, row[:len(even)])
				if clear(odd); k+1 < in {
					ToBF16(odd, row[out:][:len(odd)])
				}
				for n := 0; n < len(even); n += bf16Panel {
					pairs := packed.pairs(first+n, tap, k)
					for j, v := range even[n:min(n+bf16Panel, len(even))] {
						pairs[2*j], pairs[2*j+1] = v, odd[n+j]
					}
				}
			}
		}
	}
	return packed
}

// PackWeightsTransposedBF16 rounds and packs the transposes of w's matrices, as PackWeightsTransposed does.
func PackWeightsTransposedBF16(dst []uint16, w []float32, taps, in, out int) WeightsBF16 {
	checkLen("PackWeightsTransposedBF16: w", len(w), taps*in*out)
	packed := newWeightsBF16(dst, taps, out, in)
	var row [packChunk + 1]uint16 // part of a row of w, and a zero after an odd last one
	for tap := range taps {
		for n := range in {
			for first := 0; first < out; first += packChunk {
				cols := min(packChunk, out-first)
				ToBF16(row[:cols], w[(tap*in+n)*out+first:][:cols])
				row[cols] = 0
				pairs := packed.pairs(n, tap, first)[n%bf16Panel*2:]
				for k := 0; k < cols; k += 2 {
					pairs[k*bf16Panel], pairs[k*bf16Panel+1] = row[k], row[k+1]
				}
			}
		}
	}
	return packed
}

// packChunk is the number of columns that are rounded at a time. It is even.
const packChunk = 256

// newWeightsBF16 returns weights over dst, with zeros where they are padded.
func newWeightsBF16(dst []uint16, taps, in, out int) WeightsBF16 {
	checkLen("PackWeightsBF16: dst", len(dst), PackedLenBF16(taps, in, out))
	if PaddedBF16(in) != in || out%bf16Panel != 0 {
		clear(dst)
	}
	return WeightsBF16{Taps: taps, In: in, Out: out, data: dst}
}

// pairs is where the panel of output channel n begins that has the weights of a tap for input channel k, which is even, and
// the next one.
func (w *WeightsBF16) pairs(n, tap, k int) []uint16 {
	return w.data[((n/bf16Panel*w.Taps+tap)*PaddedBF16(w.In)+k)*bf16Panel:]
}

// ConvBF16 is Conv with bfloat16 x and weights and float32 sums, bias and y:
//
//	y[YBase + t*YStride + n] (= Bias[n] | +=) sum over taps p, k in [0, PaddedBF16(W.In)) of
//	    x[XBase + t*XStride + Taps[p].Offset + k] * W[Taps[p].Weight][k][n]
//
// x rows hold PaddedBF16(W.In) elements, those past W.In finite (zeros, as ToBF16Rows leaves them). Products are exact
// in float32; pairs of them are added in an order of the hardware's own, and VDPBF16PS and TDPBF16PS take subnormal
// inputs and sums as zero, so tiers agree within float32 rounding of the sum, not in every bit.
type ConvBF16 struct {
	Rows           int
	X              []uint16
	XBase, XStride int
	Taps           []Tap
	W              WeightsBF16
	Bias           []float32 // nil: zeros. Ignored if Accumulate
	Y              []float32
	YBase, YStride int
	Accumulate     bool
}

func (c *ConvBF16) check() {
	if c.Bias != nil && !c.Accumulate {
		checkLen("ConvForwardBF16: bias", len(c.Bias), c.W.Out)
	}
	for _, p := range c.Taps {
		checkIndex("ConvForwardBF16: tap weight", p.Weight, 0, c.W.Taps)
		checkRows("ConvForwardBF16: x", len(c.X), c.XBase+p.Offset, c.XStride, c.Rows, PaddedBF16(c.W.In))
	}
	checkRows("ConvForwardBF16: y", len(c.Y), c.YBase, c.YStride, c.Rows, c.W.Out)
}

// ConvForwardBF16 computes c on the calling goroutine. It allocates nothing.
func ConvForwardBF16(c *ConvBF16) {
	c.check()
	if c.Rows == 0 || c.W.Out == 0 {
		return
	}
	convForwardBF16(c)
}

// convForwardBF16Generic is the plain loop.
func convForwardBF16Generic(c *ConvBF16) {
	depth := PaddedBF16(c.W.In)
	for t := range c.Rows {
		x0, y0 := c.XBase+t*c.XStride, c.YBase+t*c.YStride
		for n0 := 0; n0 < c.W.Out; n0 += bf16Panel {
			y := c.Y[y0+n0 : y0+min(n0+bf16Panel, c.W.Out)]
			var sum [bf16Panel]float32
			if c.Accumulate {
				copy(sum[:], y)
			} else if c.Bias != nil {
				copy(sum[:], c.Bias[n0:n0+len(y)])
			}
			for _, p := range c.Taps {
				x := c.X[x0+p.Offset : x0+p.Offset+depth]
				w := c.W.data[(n0/bf16Panel*c.W.Taps+p.Weight)*depth*bf16Panel:][:depth*bf16Panel]
				for k := 0; k < depth; k += 2 {
					x0, x1 := bf16Float(x[k]), bf16Float(x[k+1])
					pairs := w[k*bf16Panel:][:2*bf16Panel]
					for j := range sum {
						sum[j] += x0*bf16Float(pairs[2*j]) + x1*bf16Float(pairs[2*j+1])
					}
				}
			}
			copy(y, sum[:])
		}
	}
}

// ConvGradientBF16 is ConvGradient with bfloat16 x and dy and float32 sums and dw. It needs no padded rows: x rows hold
// at least In and dy rows at least Out elements. Scratch holds GradientScratchBF16(In, Out) elements.
type ConvGradientBF16 struct {
	Rows, In, Out           int
	X                       []uint16
	XBase, XStride          int
	Taps                    []Tap
	DY                      []uint16
	DYBase, DYStride        int
	DW                      []float32
	DWBase, DWTap, DWStride int
	Scratch                 []uint16
}

// GradientScratchBF16 is the number of elements of scratch that ConvWeightGradientBF16 needs: a block of x transposed,
// and a block of dy in pairs of rows.
func GradientScratchBF16(in, out int) int {
	return gradientPitchBF16*roundUp(in, 16) + gradientBlockBF16*roundUp(out, bf16Panel)
}

// gradientBlockBF16 is the number of rows that are transposed and summed at a time, gradientPitchBF16 the distance of
// transposed rows: not a power of two, since those would share few sets of the cache.
const (
	gradientBlockBF16 = 512
	gradientPitchBF16 = gradientBlockBF16 + 32
)

func (g *ConvGradientBF16) check() {
	for _, p := range g.Taps {
		checkRows("ConvWeightGradientBF16: x", len(g.X), g.XBase+p.Offset, g.XStride, g.Rows, g.In)
		checkRows("ConvWeightGradientBF16: dw", len(g.DW), g.DWBase+p.Weight*g.DWTap, g.DWStride, g.In, g.Out)
	}
	checkRows("ConvWeightGradientBF16: dy", len(g.DY), g.DYBase, g.DYStride, g.Rows, g.Out)
	if want := GradientScratchBF16(g.In, g.Out); len(g.Scratch) < want {
		panic(fmt.Sprintf("kernel.ConvWeightGradientBF16: scratch of %d, want %d for [%d, %d]", len(g.Scratch), want, g.In, g.Out))
	}
}

// ConvWeightGradientBF16 computes g on the calling goroutine. It allocates nothing.
func ConvWeightGradientBF16(g *ConvGradientBF16) {
	g.check()
	if g.Rows == 0 || g.In == 0 || g.Out == 0 {
		return
	}
	convWeightGradientBF16(g)
}

// convWeightGradientBF16Generic is the plain loop.
func convWeightGradientBF16Generic(g *ConvGradientBF16) {
	for t0 := 0; t0 < g.Rows; t0 += gradientBlockBF16 {
		t1 := min(t0+gradientBlockBF16, g.Rows)
		for _, p := range g.Taps {
			for k := range g.In {
				dw := g.DW[g.DWBase+p.Weight*g.DWTap+k*g.DWStride:][:g.Out]
				for n := range dw {
					var sum float32
					for t := t0; t < t1; t++ {
						sum += bf16Float(g.X[g.XBase+t*g.XStride+p.Offset+k]) * bf16Float(g.DY[g.DYBase+t*g.DYStride+n])
					}
					dw[n] += sum
				}
			}
		}
	}
}
