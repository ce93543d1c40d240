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
	ahead            uintptr // address of the next line to prefetch
}

// gradientArgs is what a weight-gradient tile reads. Strides in bytes.
type gradientArgs struct {
	rows     int
	x        unsafe.Pointer
	xStride  int
	dy       unsafe.Pointer
	dyStride int
	dw       unsafe.Pointer
	dwStride int
	cols     int
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
func gradientTileAVX512_14masked(a *byte)

//go:noescape
func gradientTileAVX512_8(a *byte)

//go:noescape
func gradientTileAVX512_8masked(a *byte)

//go:noescape
func gradientTileAVX512_4(a *byte)

//go:noescape
func gradientTileAVX512_4masked(a *byte)

//go:noescape
func gradientTileAVX512_2(a *byte)

//go:noescape
func gradientTileAVX512_2masked(a *byte)

//go:noescape
func gradientTileAVX512_1(a *byte)

//go:noescape
func gradientTileAVX512_1masked(a *byte)

//go:noescape
func gradientTileAVX2_6(a *byte)

//go:noescape
func gradientTileAVX2_6masked(a *byte)

//go:noescape
func gradientTileAVX2_4(a *byte)

//go:noescape
func gradientTileAVX2_4masked(a *byte)

//go:noescape
func gradientTileAVX2_2(a *byte)

//go:noescape
func gradientTileAVX2_2masked(a *byte)

//go:noescape
func gradientTileAVX2_1(a *byte)

//go:noescape
func gradientTileAVX2_1masked(a *byte)

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
	if c.Accumulate {
		a.accumulate = 1
	} else if c.Bias != nil {
		a.bias, a.biasStep = unsafe.Pointer(unsafe.SliceData(c.Bias)), width*4
	}
	for t := 0; t < c.Rows; {
		left := c.Rows - t
		a.xAt, a.yAt = (c.XBase+t*c.XStride)*4, (c.YBase+t*c.YStride)*4
		a.wAt, a.biasAt, a.cols = 0, 0, c.W.Out
		t += convTile(&a, left)
	}
}

// convTile runs the tallest tile that left rows allow and returns its height.
func convTile(a *tileArgs, left int) int {
	p := (*byte)(unsafe.Pointer(a))
	if active.Tier == AVX512 {
		a.ahead = uintptr(a.x) + uintptr(a.xAt+14*a.xStride)
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
	a.ahead = uintptr(a.x) + uintptr(a.xAt+6*a.xStride)
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
	a := gradientArgs{xStride: g.XStride * 4, dyStride: g.DYStride * 4, dwStride: g.DWStride * 4}
	for t := 0; t < g.Rows; t += gradientBlock {
		a.rows = min(gradientBlock, g.Rows-t)
		for n := 0; n < g.Out; n += width {
			a.cols = min(width, g.Out-n)
			a.dy = unsafe.Pointer(&g.DY[g.DYBase+t*g.DYStride+n])
			for _, p := range g.Taps {
				for k := 0; k < g.In; {
					a.x = unsafe.Pointer(&g.X[g.XBase+t*g.XStride+p.Offset+k])
					a.dw = unsafe.Pointer(&g.DW[g.DWBase+p.Weight*g.DWTap+k*g.DWStride+n])
					k += gradientTile(&a, g.In-k, a.cols < width)
				}
			}
		}
	}
}

// gradientTile runs the tallest tile that left input channels allow and returns its height.
func gradientTile(a *gradientArgs, left int, masked bool) int {
	p := (*byte)(unsafe.Pointer(a))
	tall := 14
	if active.Tier == AVX2 {
		tall = 6
	}
	switch {
	case left >= tall:
		switch {
		case active.Tier == AVX2 && masked:
			gradientTileAVX2_6masked(p)
		case active.Tier == AVX2:
			gradientTileAVX2_6(p)
		case masked:
			gradientTileAVX512_14masked(p)
		default:
			gradientTileAVX512_14(p)
		}
		return tall
	case left >= 8:
		if masked {
			gradientTileAVX512_8masked(p)
		} else {
			gradientTileAVX512_8(p)
		}
		return 8
	case left >= 4:
		switch {
		case active.Tier == AVX2 && masked:
			gradientTileAVX2_4masked(p)
		case active.Tier == AVX2:
			gradientTileAVX2_4(p)
		case masked:
			gradientTileAVX512_4masked(p)
		default:
			gradientTileAVX512_4(p)
		}
		return 4
	case left >= 2:
		switch {
		case active.Tier == AVX2 && masked:
			gradientTileAVX2_2masked(p)
		case active.Tier == AVX2:
			gradientTileAVX2_2(p)
		case masked:
			gradientTileAVX512_2masked(p)
		default:
			gradientTileAVX512_2(p)
		}
		return 2
	}
	switch {
	case active.Tier == AVX2 && masked:
		gradientTileAVX2_1masked(p)
	case active.Tier == AVX2:
		gradientTileAVX2_1(p)
	case masked:
		gradientTileAVX512_1masked(p)
	default:
		gradientTileAVX512_1(p)
	}
	return 1
}

func convForwardBF16(c *ConvBF16) { convForwardBF16Generic(c) }

func convWeightGradientBF16(g *ConvGradientBF16) { convWeightGradientBF16Generic(g) }
