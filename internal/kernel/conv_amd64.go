//go:build !noasm

package kernel

import "unsafe"

//go:generate go run -C generate ./conv -out ../conv_amd64.s

// tileArgs is what a convolution tile reads: the generator knows its layout. Pointers stay at the start of their slices,
// which are kept alive and may be anywhere; the assembly adds and advances the byte offsets beside them.
type tileArgs struct {
	x                unsafe.Pointer
	xAt, xStride     int // bytes
	taps             unsafe.Pointer
	tapCount, in     int
	w                unsafe.Pointer
	wAt              int // bytes; advanced by panelBytes
	panelBytes       int
	tapBytes         int
	bias             unsafe.Pointer
	biasAt, biasStep int // bytes
	y                unsafe.Pointer
	yAt, yStride     int     // bytes
	cols, accumulate int     // columns left; 0 or 1
	xAhead           uintptr // address of the next line of x to prefetch
	xAheadStep       int
	yAhead           uintptr
	yAheadStep       int
	tapsLeft         int // the tile's own
}

// gradientArgs is what a weight-gradient tile reads. Strides in bytes.
type gradientArgs struct {
	rows        int
	x           unsafe.Pointer
	xStride     int
	dy          unsafe.Pointer
	dyStride    int
	packed      unsafe.Pointer // dy's panel: written by the first tile, read by the others
	dw          unsafe.Pointer
	dwStride    int
	cols        int
	xAhead      uintptr // address of the next line of x to prefetch
	xAheadStep  int
	dyAhead     uintptr
	dyAheadStep int
}

//go:noescape
func convTileAVX512_14(a *byte)

//go:noescape
func convTileAVX512_8(a *byte)

//go:noescape
func convTileAVX512_4(a *byte)

//go:noescape
func convTileAVX512_2(a *byte)

//go:noescape
func convTileAVX512_1(a *byte)

//go:noescape
func convTileAVX2_6(a *byte)

//go:noescape
func convTileAVX2_4(a *byte)

//go:noescape
func convTileAVX2_2(a *byte)

//go:noescape
func convTileAVX2_1(a *byte)

//go:noescape
func gradientTileAVX512_14(a *byte)

//go:noescape
func gradientTileAVX512_14first(a *byte)

//go:noescape
func gradientTileAVX512_8(a *byte)

//go:noescape
func gradientTileAVX512_8first(a *byte)

//go:noescape
func gradientTileAVX512_4(a *byte)

//go:noescape
func gradientTileAVX512_4first(a *byte)

//go:noescape
func gradientTileAVX512_2(a *byte)

//go:noescape
func gradientTileAVX512_2first(a *byte)

//go:noescape
func gradientTileAVX512_1(a *byte)

//go:noescape
func gradientTileAVX512_1first(a *byte)

//go:noescape
func gradientTileAVX2_6(a *byte)

//go:noescape
func gradientTileAVX2_6first(a *byte)

//go:noescape
func gradientTileAVX2_4(a *byte)

//go:noescape
func gradientTileAVX2_4first(a *byte)

//go:noescape
func gradientTileAVX2_2(a *byte)

//go:noescape
func gradientTileAVX2_2first(a *byte)

//go:noescape
func gradientTileAVX2_1(a *byte)

//go:noescape
func gradientTileAVX2_1first(a *byte)

// panelWidth is the width of packed float32 panels: two vectors.
func panelWidth() int {
	switch active.Tier {
	case AVX512:
		return 32
	case AVX2:
		return 16
	}
	return genericPanel
}

// tallestTile is the height of the tallest float32 tile.
func tallestTile() int {
	if active.Tier == AVX2 {
		return 6
	}
	return 14
}

// callWork bounds the multiply-adds of one call of assembly, which cannot be preempted: some 100 microseconds of vector
// code at the most. A single panel of a single tile is always one call.
const callWork = 1 << 22

// columnsPerCall is the number of columns, in whole panels of width, that a tile of so many rows may compute in one call when
// each sum has depth terms.
func columnsPerCall(rows, depth, width int) int {
	return width * max(1, callWork/max(1, rows*depth*width))
}

// zeros stands in for an absent bias.
var zeros [32]float32

func convForward(c *Conv) {
	if active.Tier == Generic {
		convForwardGeneric(c)
		return
	}
	taps, in := c.Taps, c.W.In
	merged := [1]Tap{}
	if contiguous(taps, in) {
		merged[0] = taps[0]
		in *= len(taps)
		taps = merged[:]
	}
	width := c.W.width
	a := tileArgs{
		x: unsafe.Pointer(unsafe.SliceData(c.X)), xStride: c.XStride * 4,
		taps: unsafe.Pointer(unsafe.SliceData(taps)), tapCount: len(taps), in: in,
		w: unsafe.Pointer(unsafe.SliceData(c.W.data)), panelBytes: c.W.Taps * c.W.In * width * 4, tapBytes: c.W.In * width * 4,
		bias: unsafe.Pointer(&zeros),
		y:    unsafe.Pointer(unsafe.SliceData(c.Y)), yStride: c.YStride * 4,
	}
	if in == 0 {
		a.tapCount = 0
	}
	tall := tallestTile()
	if loops := len(taps) * (in / 4) * ((c.W.Out + width - 1) / width); loops > 0 {
		a.xAheadStep = (tall*a.xStride + loops - 1) / loops
		a.yAheadStep = (tall*a.yStride + loops - 1) / loops
	}
	if c.Accumulate {
		a.accumulate = 1
	} else if c.Bias != nil {
		a.bias, a.biasStep = unsafe.Pointer(unsafe.SliceData(c.Bias)), width*4
	}
	reach := 0 // rows that no earlier tile has read begin at the tap that is furthest on
	for _, p := range taps {
		reach = max(reach, p.Offset*4)
	}
	columns := columnsPerCall(tall, len(taps)*in, width)
	for t := 0; t < c.Rows; {
		y := (c.YBase + t*c.YStride) * 4
		a.xAt = (c.XBase + t*c.XStride) * 4
		a.xAhead = uintptr(a.x) + uintptr(a.xAt+reach+tall*a.xStride)
		a.yAhead = uintptr(a.y) + uintptr(y+tall*a.yStride)
		height := 0
		for n := 0; n < c.W.Out; n += columns {
			a.yAt, a.cols = y+n*4, min(columns, c.W.Out-n)
			a.wAt, a.biasAt = n/width*a.panelBytes, n/width*a.biasStep
			height = convTile(&a, c.Rows-t)
		}
		t += height
	}
}

// convTile runs the tallest tile that left rows allow and returns its height.
func convTile(a *tileArgs, left int) int {
	p := (*byte)(unsafe.Pointer(a))
	if active.Tier == AVX512 {
		switch {
		case left >= 14:
			convTileAVX512_14(p)
			return 14
		case left >= 8:
			convTileAVX512_8(p)
			return 8
		case left >= 4:
			convTileAVX512_4(p)
			return 4
		case left >= 2:
			convTileAVX512_2(p)
			return 2
		}
		convTileAVX512_1(p)
		return 1
	}
	switch {
	case left >= 6:
		convTileAVX2_6(p)
		return 6
	case left >= 4:
		convTileAVX2_4(p)
		return 4
	case left >= 2:
		convTileAVX2_2(p)
		return 2
	}
	convTileAVX2_1(p)
	return 1
}

// contiguous reports whether the taps read one run of x and of the weights: a kernel without dilation over whole rows,
// or several samples of a waveform with one channel. Such taps are one tap with more channels.
func contiguous(taps []Tap, in int) bool {
	for i := 1; i < len(taps); i++ {
		if taps[i].Offset != taps[i-1].Offset+in || taps[i].Weight != taps[i-1].Weight+1 {
			return false
		}
	}
	return len(taps) > 0
}

func convWeightGradient(g *ConvGradient) {
	if active.Tier == Generic {
		convWeightGradientGeneric(g)
		return
	}
	width := panelWidth()
	var buffer [gradientBlock*32 + 15]float32
	a := gradientArgs{xStride: g.XStride * 4, dyStride: g.DYStride * 4, dwStride: g.DWStride * 4, packed: align64(&buffer[0])}
	tall := tallestTile()
	if tiles := (g.Out + width - 1) / width * len(g.Taps) * ((g.In + tall - 1) / tall); tiles > 0 { // up to two lines each every four rows
		a.xAheadStep = (4*a.xStride + tiles - 1) / tiles
		a.dyAheadStep = (4*a.dyStride + tiles - 1) / tiles
	}
	reach := 0 // rows that no earlier block has read begin at the tap that is furthest on
	for _, p := range g.Taps {
		reach = max(reach, p.Offset)
	}
	for t := 0; t < g.Rows; t += gradientBlock {
		a.rows = min(gradientBlock, g.Rows-t)
		x, dy := g.XBase+t*g.XStride, g.DYBase+t*g.DYStride
		a.xAhead = uintptr(unsafe.Pointer(unsafe.SliceData(g.X))) + uintptr(x+reach+gradientBlock*g.XStride)*4
		a.dyAhead = uintptr(unsafe.Pointer(unsafe.SliceData(g.DY))) + uintptr(dy+gradientBlock*g.DYStride)*4
		for n := 0; n < g.Out; n += width {
			a.cols = min(width, g.Out-n)
			a.dy = unsafe.Pointer(&g.DY[dy+n])
			first := true
			for _, p := range g.Taps {
				for k := 0; k < g.In; {
					a.x = unsafe.Pointer(&g.X[x+p.Offset+k])
					a.dw = unsafe.Pointer(&g.DW[g.DWBase+p.Weight*g.DWTap+k*g.DWStride+n])
					k += gradientTile(&a, g.In-k, first)
					first = false
				}
			}
		}
	}
}

// align64 is the first multiple of 64 bytes from p on: loads of whole vectors do not straddle lines there.
func align64(p *float32) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(p), -uintptr(unsafe.Pointer(p))&63)
}

// gradientTile runs the tallest tile that left input channels allow and returns its height.
func gradientTile(a *gradientArgs, left int, first bool) int {
	p := (*byte)(unsafe.Pointer(a))
	if active.Tier == AVX512 {
		switch {
		case left >= 14 && first:
			gradientTileAVX512_14first(p)
			return 14
		case left >= 14:
			gradientTileAVX512_14(p)
			return 14
		case left >= 8 && first:
			gradientTileAVX512_8first(p)
			return 8
		case left >= 8:
			gradientTileAVX512_8(p)
			return 8
		case left >= 4 && first:
			gradientTileAVX512_4first(p)
			return 4
		case left >= 4:
			gradientTileAVX512_4(p)
			return 4
		case left >= 2 && first:
			gradientTileAVX512_2first(p)
			return 2
		case left >= 2:
			gradientTileAVX512_2(p)
			return 2
		case first:
			gradientTileAVX512_1first(p)
		default:
			gradientTileAVX512_1(p)
		}
		return 1
	}
	switch {
	case left >= 6 && first:
		gradientTileAVX2_6first(p)
		return 6
	case left >= 6:
		gradientTileAVX2_6(p)
		return 6
	case left >= 4 && first:
		gradientTileAVX2_4first(p)
		return 4
	case left >= 4:
		gradientTileAVX2_4(p)
		return 4
	case left >= 2 && first:
		gradientTileAVX2_2first(p)
		return 2
	case left >= 2:
		gradientTileAVX2_2(p)
		return 2
	case first:
		gradientTileAVX2_1first(p)
	default:
		gradientTileAVX2_1(p)
	}
	return 1
}
