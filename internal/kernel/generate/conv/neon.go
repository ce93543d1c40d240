package main

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel/generate/neon"
)

// Tiles of NEON are heights of rows by a panel of 16 columns: four vectors, V(4*i) on for row i.
const (
	neonVectors = 4
	vWeights    = 24 // a panel's row
	vX          = 28
)

// neonText writes the float32 tiles for NEON: one tap at a time, all columns there.
func neonText() []byte {
	p := neon.New("conv -neon")
	for _, height := range []int{6, 1} {
		neonConv(p, height)
		neonGradient(p, height)
	}
	return p.Bytes()
}

// neonArguments loads the arguments, all of 8 bytes, into the registers from R0 on.
func neonArguments(p *neon.Program, names ...string) {
	for i, name := range names {
		p.Argument(name, 8*i, i)
	}
}

// neonRows emits f for each row of the tile with R(pointer) at its start.
func neonRows(p *neon.Program, height, start, stride, pointer int, f func(first int)) {
	p.Go("MOVD R%d, R%d", start, pointer)
	for i := range height {
		f(neonVectors * i)
		p.Go("ADD R%d, R%d", stride, pointer)
	}
}

// neonPlace names V(first) to V(first+3) as an operand of VLD1 and VST1.
func neonPlace(first int) string {
	return fmt.Sprintf("[V%d.S4, V%d.S4, V%d.S4, V%d.S4]", first, first+1, first+2, first+3)
}

// neonConv writes y[0..height)[panel] += sum over k of x[row][k] * w[k][panel], k in [0, in), in at least 1.
func neonConv(p *neon.Program, height int) {
	const rY, rYStride, rX, rXStride, rIn, rW, rRow = 0, 1, 2, 3, 4, 5, 6
	const rows = 7 // R7 to R12 walk along the rows of x
	p.Func(fmt.Sprintf("convTileNEON_%d(y *float32, yStride int, x *float32, xStride, in int, w *float32)", height), 48)
	neonArguments(p, "y", "yStride", "x", "xStride", "in", "w")
	neonRows(p, height, rY, rYStride, rRow, func(first int) { p.Go("VLD1 (R%d), %s", rRow, neonPlace(first)) })
	p.Go("MOVD R%d, R%d", rX, rows)
	for i := 1; i < height; i++ {
		p.Go("ADD R%d, R%d, R%d", rXStride, rows+i-1, rows+i)
	}
	p.Label("loop")
	p.Load(rW, vWeights, neonVectors)
	for i := range height {
		p.Splat(rows+i, vX+i%4)
		for j := range neonVectors {
			p.Three("fmla", neonVectors*i+j, vWeights+j, vX+i%4)
		}
	}
	p.Go("SUBS $1, R%d", rIn)
	p.Go("BNE loop")
	neonRows(p, height, rY, rYStride, rRow, func(first int) { p.Go("VST1 %s, (R%d)", neonPlace(first), rRow) })
	p.Go("RET")
}

// neonGradient writes dw[0..height)[panel] += sum over t of x[t][0..height) * dy[t][panel], t in [0, rows), rows at least 1.
func neonGradient(p *neon.Program, height int) {
	const rDW, rDWStride, rX, rXStride, rRows, rDY, rDYStride, rRow = 0, 1, 2, 3, 4, 5, 6, 7
	p.Func(fmt.Sprintf("gradientTileNEON_%d(dw *float32, dwStride int, x *float32, xStride, rows int, dy *float32, dyStride int)", height), 56)
	neonArguments(p, "dw", "dwStride", "x", "xStride", "rows", "dy", "dyStride")
	p.Zero(0, neonVectors*height)
	p.Label("loop")
	p.Go("VLD1 (R%d), %s", rDY, neonPlace(vWeights))
	p.Go("ADD R%d, R%d", rDYStride, rDY)
	p.Go("MOVD R%d, R%d", rX, rRow)
	p.Go("ADD R%d, R%d", rXStride, rX)
	for i := range height {
		p.Splat(rRow, vX+i%4)
		for j := range neonVectors {
			p.Three("fmla", neonVectors*i+j, vWeights+j, vX+i%4)
		}
	}
	p.Go("SUBS $1, R%d", rRows)
	p.Go("BNE loop")
	neonRows(p, height, rDW, rDWStride, rRow, func(first int) {
		p.Go("VLD1 (R%d), %s", rRow, neonPlace(vWeights))
		for j := range neonVectors {
			p.Three("fadd", first+j, vWeights+j, first+j)
		}
		p.Go("VST1 %s, (R%d)", neonPlace(first), rRow)
	})
	p.Go("RET")
}
