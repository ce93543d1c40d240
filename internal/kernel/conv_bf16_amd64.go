//go:build !noasm

package kernel

import "unsafe"

//go:generate go run -C generate ./conv -bf16 -out ../conv_bf16_amd64.s

//go:noescape
func convTileBF16AVX512_14(a *byte)

//go:noescape
func convTileBF16AVX512_8(a *byte)

//go:noescape
func convTileBF16AVX512_4(a *byte)

//go:noescape
func convTileBF16AVX512_2(a *byte)

//go:noescape
func convTileBF16AVX512_1(a *byte)

//go:noescape
func convTileExpandAVX512_12(a *byte)

//go:noescape
func convTileExpandAVX512_4(a *byte)

//go:noescape
func convTileExpandAVX512_1(a *byte)

//go:noescape
func convTileExpandAVX2_4(a *byte)

//go:noescape
func convTileExpandAVX2_1(a *byte)

//go:noescape
func convTileAMX_2x2(a *byte)

//go:noescape
func convTileAMX_2x1(a *byte)

//go:noescape
func convTileAMX_1x2(a *byte)

//go:noescape
func convTileAMX_1x1(a *byte)

//go:noescape
func pairRowsAVX512(dst *uint16, panel int, src *uint16, stride int, count int, cols int)

//go:noescape
func transposePairsAVX512(dst *uint16, pitch int, src *uint16, stride int, cols int)

// amxArgs is what a stack of AMX tiles reads: the generator knows its layout. Distances are in bytes.
type amxArgs struct {
	config         unsafe.Pointer
	tiles          int // tiles of rows left
	x              unsafe.Pointer
	xAt            int // advanced by xStep
	xStride, xStep int
	taps           unsafe.Pointer
	tapCount       int
	steps          int // of 32 channels
	w              unsafe.Pointer
	wAt, tapBytes  int
	bias           unsafe.Pointer // of the panel
	y              unsafe.Pointer
	yAt            int // advanced by yStep
	yStride, yStep int
	accumulate     int
	burst          int // rows of the next tile's y to prefetch at once
}

// tileConfig is the memory operand of LDTILECFG: rows and bytes in a row of each tile register.
type tileConfig struct {
	palette  uint8
	startRow uint8
	_        [14]uint8
	rowBytes [16]uint16
	rows     [16]uint8
}

// newTileConfig describes tiles of a block of rows x cols sums, 1 to 32 each: sums in the registers 0 to 3, x in 4 and 5,
// weights in 6 and 7. Registers of an empty half stay unconfigured.
func newTileConfig(rows, cols int) tileConfig {
	c := tileConfig{palette: 1}
	set := func(tile, rows, bytes int) {
		if rows > 0 && bytes > 0 {
			c.rows[tile], c.rowBytes[tile] = uint8(min(rows, 16)), uint16(min(bytes, 64))
		}
	}
	for i := range 2 {
		for j := range 2 {
			set(2*i+j, rows-16*i, 4*(cols-16*j))
		}
		set(4+i, rows-16*i, 64)
		set(6+i, 16, 4*(cols-16*i))
	}
	return c
}

func convForwardBF16(c *ConvBF16) {
	switch {
	case active.Tier == Generic:
		convForwardBF16Generic(c)
	case active.Ext.AMX:
		convForwardAMX(c)
	default:
		convForwardVector(c)
	}
}

// amxCallWork is callWork for AMX, which is some four times as fast at the least.
const amxCallWork = 4 * callWork

// convForwardAMX multiplies blocks of 32 rows and 32 columns, panel by panel for a block of rows that stays in L2.
func convForwardAMX(c *ConvBF16) {
	const block = 256
	depth := PaddedBF16(c.W.In)
	a := amxArgs{
		x: unsafe.Pointer(unsafe.SliceData(c.X)), xStride: c.XStride * 2,
		taps: unsafe.Pointer(unsafe.SliceData(c.Taps)), tapCount: len(c.Taps), steps: depth / BF16Depth,
		w: unsafe.Pointer(unsafe.SliceData(c.W.data)), tapBytes: depth * bf16Panel * 2,
		y: unsafe.Pointer(unsafe.SliceData(c.Y)), yStride: c.YStride * 4,
	}
	if depth == 0 {
		a.tapCount = 0
	}
	if c.Accumulate {
		a.accumulate = 1
	}
	var config tileConfig
	a.config = unsafe.Pointer(&config)
	p := (*byte)(unsafe.Pointer(&a))
	for t0 := 0; t0 < c.Rows; t0 += block {
		rows := min(block, c.Rows-t0)
		for n := 0; n < c.W.Out; n += bf16Panel {
			cols := min(bf16Panel, c.W.Out-n)
			a.wAt = n / bf16Panel * c.W.Taps * a.tapBytes
			a.bias = unsafe.Pointer(&zeros)
			if c.Bias != nil && !c.Accumulate {
				a.bias = unsafe.Pointer(&c.Bias[n])
			}
			for t := 0; t < rows; {
				height := min(32, rows-t)
				if height > 16 && height < 32 {
					height = 16
				}
				a.tiles = min((rows-t)/height, max(1, amxCallWork/max(1, height*bf16Panel*depth*a.tapCount)))
				a.xAt, a.yAt = (c.XBase+(t0+t)*c.XStride)*2, (c.YBase+(t0+t)*c.YStride+n)*4
				a.xStep, a.yStep = height*a.xStride, height*a.yStride
				a.burst = max(0, height-4*a.tapCount*a.steps)
				t += a.tiles * height
				config = newTileConfig(height, cols)
				switch {
				case height == 32 && cols > 16:
					convTileAMX_2x2(p)
				case height == 32:
					convTileAMX_2x1(p)
				case cols > 16:
					convTileAMX_1x2(p)
				default:
					convTileAMX_1x1(p)
				}
			}
		}
	}
}

// convForwardVector multiplies in the tiles of the vector tiers. A step of those is a pair of channels.
func convForwardVector(c *ConvBF16) {
	depth := PaddedBF16(c.W.In)
	a := tileArgs{
		x: unsafe.Pointer(unsafe.SliceData(c.X)), xStride: c.XStride * 2,
		taps: unsafe.Pointer(unsafe.SliceData(c.Taps)), tapCount: len(c.Taps), in: depth / 2,
		w: unsafe.Pointer(unsafe.SliceData(c.W.data)), tapBytes: depth * bf16Panel * 2,
		bias: unsafe.Pointer(&zeros),
		y:    unsafe.Pointer(unsafe.SliceData(c.Y)), yStride: c.YStride * 4,
	}
	a.panelBytes = c.W.Taps * a.tapBytes
	if depth == 0 {
		a.tapCount = 0
	}
	if c.Accumulate {
		a.accumulate = 1
	} else if c.Bias != nil {
		a.bias, a.biasStep = unsafe.Pointer(unsafe.SliceData(c.Bias)), bf16Panel*4
	}
	tall := 14
	if steps := len(c.Taps) * (depth / 8) * ((c.W.Out + bf16Panel - 1) / bf16Panel); steps > 0 {
		a.xAheadStep = (tall*a.xStride + steps - 1) / steps
		a.yAheadStep = (tall*a.yStride + steps - 1) / steps
	}
	columns := columnsPerCall(tall, len(c.Taps)*depth, bf16Panel)
	if active.Tier == AVX2 {
		columns = bf16Panel / 2 // its tiles are half a panel wide
	}
	for t := 0; t < c.Rows; {
		a.xAt = (c.XBase + t*c.XStride) * 2
		y := (c.YBase + t*c.YStride) * 4
		a.xAhead = uintptr(a.x) + uintptr(a.xAt+tall*a.xStride)
		a.yAhead = uintptr(a.y) + uintptr(y+tall*a.yStride)
		height := 0
		for n := 0; n < c.W.Out; n += columns {
			a.yAt, a.cols = y+n*4, min(columns, c.W.Out-n)
			a.wAt = n/bf16Panel*a.panelBytes + n%bf16Panel*4
			a.biasAt = n * a.biasStep / bf16Panel
			height = convTileBF16(&a, c.Rows-t)
		}
		t += height
	}
}

// convTileBF16 runs the tallest tile that left rows allow and returns its height.
func convTileBF16(a *tileArgs, left int) int {
	p := (*byte)(unsafe.Pointer(a))
	switch {
	case active.Tier == AVX2 && left >= 4:
		convTileExpandAVX2_4(p)
		return 4
	case active.Tier == AVX2:
		convTileExpandAVX2_1(p)
		return 1
	case !active.Ext.BF16 && left >= 12:
		convTileExpandAVX512_12(p)
		return 12
	case !active.Ext.BF16 && left >= 4:
		convTileExpandAVX512_4(p)
		return 4
	case !active.Ext.BF16:
		convTileExpandAVX512_1(p)
		return 1
	case left >= 14:
		convTileBF16AVX512_14(p)
		return 14
	case left >= 8:
		convTileBF16AVX512_8(p)
		return 8
	case left >= 4:
		convTileBF16AVX512_4(p)
		return 4
	case left >= 2:
		convTileBF16AVX512_2(p)
		return 2
	}
	convTileBF16AVX512_1(p)
	return 1
}

// convWeightGradientBF16 makes the sum over rows the inner one of a convolution: a block of x, transposed, is its input
// [In, gradientBlockBF16], the block of dy its weights, dw its output.
func convWeightGradientBF16(g *ConvGradientBF16) {
	if active.Tier == Generic {
		convWeightGradientBF16Generic(g)
		return
	}
	xt := g.Scratch[:gradientPitchBF16*roundUp(g.In, 16)]
	pairs := g.Scratch[len(xt):][:gradientBlockBF16*roundUp(g.Out, bf16Panel)]
	tap := [1]Tap{}
	for t := 0; t < g.Rows; t += gradientBlockBF16 {
		rows := min(gradientBlockBF16, g.Rows-t)
		depth := PaddedBF16(rows)
		packPairs(pairs, depth, g.DY[g.DYBase+t*g.DYStride:], g.DYStride, rows, g.Out)
		for _, p := range g.Taps {
			packTransposed(xt, g.X[g.XBase+t*g.XStride+p.Offset:], g.XStride, rows, g.In)
			convForwardBF16(&ConvBF16{Rows: g.In, X: xt, XStride: gradientPitchBF16, Taps: tap[:],
				W: WeightsBF16{Taps: 1, In: rows, Out: g.Out, data: pairs},
				Y: g.DW, YBase: g.DWBase + p.Weight*g.DWTap, YStride: g.DWStride, Accumulate: true})
		}
	}
}

// packPairs packs src [rows, cols] as bfloat16 weights [depth, cols], rows being the input channels.
func packPairs(dst []uint16, depth int, src []uint16, stride, rows, cols int) {
	whole := 0
	if active.Tier == AVX512 {
		if whole = rows / 2; whole > 0 {
			pairRowsAVX512(&dst[0], depth*bf16Panel*2, &src[0], stride*2, whole, cols)
		}
	}
	for n := 0; n < cols; n += bf16Panel {
		panel := dst[n*depth:][2*whole*bf16Panel : depth*bf16Panel]
		if len(panel) > 0 {
			clear(panel)
		}
		for r := 2 * whole; r < rows; r++ {
			for j, v := range src[r*stride+n:][:min(bf16Panel, cols-n)] {
				panel[(r/2-whole)*2*bf16Panel+2*j+r%2] = v
			}
		}
	}
}

// packTransposed writes the transpose of src [rows, cols] to dst, in rows gradientPitchBF16 apart, zero from rows up to a
// multiple of BF16Depth.
func packTransposed(dst []uint16, src []uint16, stride, rows, cols int) {
	whole := 0
	if active.Tier == AVX512 {
		for ; whole+BF16Depth <= rows; whole += BF16Depth {
			for k := 0; k < cols; k += 16 {
				transposePairsAVX512(&dst[k*gradientPitchBF16+whole], gradientPitchBF16*2, &src[whole*stride+k], stride*2, min(16, cols-k))
			}
		}
	}
	for k := range cols {
		d := dst[k*gradientPitchBF16:][whole:PaddedBF16(rows)]
		for i := range d {
			d[i] = 0
			if r := whole + i; r < rows {
				d[i] = src[r*stride+k]
			}
		}
	}
}
