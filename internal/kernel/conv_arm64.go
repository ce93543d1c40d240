//go:build !noasm

package kernel

//go:generate go run -C generate ./conv -neon ../conv_arm64.s

// The tiles take one tap at a time, with all columns of the panel there, strides in bytes, and at least one step.

//go:noescape
func convTileNEON_6(y *float32, yStride int, x *float32, xStride, in int, w *float32)

//go:noescape
func convTileNEON_1(y *float32, yStride int, x *float32, xStride, in int, w *float32)

//go:noescape
func gradientTileNEON_6(dw *float32, dwStride int, x *float32, xStride, rows int, dy *float32, dyStride int)

//go:noescape
func gradientTileNEON_1(dw *float32, dwStride int, x *float32, xStride, rows int, dy *float32, dyStride int)

const (
	neonPanel  = 16
	neonHeight = 6
)

// panelWidth is the width of packed float32 panels.
func panelWidth() int {
	if active.Tier == NEON {
		return neonPanel
	}
	return genericPanel
}

func convForward(c *Conv) {
	if active.Tier == Generic {
		convForwardGeneric(c)
		return
	}
	in, panel := c.W.In, c.W.Taps*c.W.In*neonPanel
	var edge [neonHeight * neonPanel]float32 // a tile of the last panel, where columns are missing
	for t := 0; t < c.Rows; {
		height := 1
		if c.Rows-t >= neonHeight {
			height = neonHeight
		}
		x := c.XBase + t*c.XStride
		for n := 0; n < c.W.Out; n += neonPanel {
			y, stride := c.Y[c.YBase+t*c.YStride+n:], c.YStride
			cols := min(neonPanel, c.W.Out-n)
			if cols < neonPanel {
				y, stride = edge[:], neonPanel
			}
			for i := range height {
				row := y[i*stride:][:cols]
				switch {
				case c.Accumulate:
					copy(row, c.Y[c.YBase+(t+i)*c.YStride+n:])
				case c.Bias != nil:
					copy(row, c.Bias[n:])
				default:
					clear(row)
				}
			}
			for _, p := range c.Taps {
				if in == 0 {
					break
				}
				w := &c.W.data[n/neonPanel*panel+p.Weight*in*neonPanel]
				if height == 1 {
					convTileNEON_1(&y[0], stride*4, &c.X[x+p.Offset], c.XStride*4, in, w)
				} else {
					convTileNEON_6(&y[0], stride*4, &c.X[x+p.Offset], c.XStride*4, in, w)
				}
			}
			if cols < neonPanel {
				for i := range height {
					copy(c.Y[c.YBase+(t+i)*c.YStride+n:][:cols], edge[i*neonPanel:])
				}
			}
		}
		t += height
	}
}

func convWeightGradient(g *ConvGradient) {
	if active.Tier == Generic {
		convWeightGradientGeneric(g)
		return
	}
	var edgeDY [gradientBlock * neonPanel]float32 // the last panel of dy and a tile of dw, where columns are missing
	var edgeDW [neonHeight * neonPanel]float32
	for t := 0; t < g.Rows; t += gradientBlock {
		rows := min(gradientBlock, g.Rows-t)
		for n := 0; n < g.Out; n += neonPanel {
			cols := min(neonPanel, g.Out-n)
			dy, dyStride := g.DY[g.DYBase+t*g.DYStride+n:], g.DYStride
			if cols < neonPanel {
				for i := range rows {
					copy(edgeDY[i*neonPanel:][:cols], dy[i*dyStride:])
				}
				dy, dyStride = edgeDY[:], neonPanel
			}
			for _, p := range g.Taps {
				for k := 0; k < g.In; {
					height := 1
					if g.In-k >= neonHeight {
						height = neonHeight
					}
					x := &g.X[g.XBase+t*g.XStride+p.Offset+k]
					whole := g.DW[g.DWBase+p.Weight*g.DWTap+k*g.DWStride+n:]
					dw, dwStride := whole, g.DWStride
					if cols < neonPanel {
						dw, dwStride = edgeDW[:], neonPanel
						for i := range height {
							copy(dw[i*neonPanel:][:cols], whole[i*g.DWStride:])
						}
					}
					if height == 1 {
						gradientTileNEON_1(&dw[0], dwStride*4, x, g.XStride*4, rows, &dy[0], dyStride*4)
					} else {
						gradientTileNEON_6(&dw[0], dwStride*4, x, g.XStride*4, rows, &dy[0], dyStride*4)
					}
					if cols < neonPanel {
						for i := range height {
							copy(whole[i*g.DWStride:][:cols], edgeDW[i*neonPanel:])
						}
					}
					k += height
				}
			}
		}
	}
}

// Mixed precision has no NEON tiles: it is right, not fast, there.

func convForwardBF16(c *ConvBF16) { convForwardBF16Generic(c) }

func convWeightGradientBF16(g *ConvGradientBF16) { convWeightGradientBF16Generic(g) }
