package main

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel/generate/neon"
)

// Registers of the three products. V0 to V15 are the sums of a panel; the general ones are loaded from the arguments.
const (
	rK, rN, rX, rW, rY, rStart      = 0, 1, 2, 3, 4, 5
	rXK, rCount                     = 6, 7 // along a panel's rows
	rScales, rRest, rLast, rScratch = 8, 9, 10, 11
	vX, vX1, vW, vT, vMask, vScale  = 16, 17, 20, 24, 30, 31
)

// products writes NEON kernels: as for AVX2 there is one sum for each column.
type products struct{ *neon.Program }

func (p products) arguments(names []string, offsets, registers []int) {
	for i, name := range names {
		p.Argument(name, offsets[i], registers[i])
	}
}

// panels writes the walk over panels of 64 columns, then 32, then 16.
func (p products) panels(body func(label string, vectors int)) {
	p.Label("panels64")
	p.Go("CMP $64, R%d", rN)
	p.Go("BLT panel32")
	body("64", 16)
	p.Go("SUB $64, R%d", rN)
	p.Go("B panels64")
	p.Label("panel32")
	p.Go("CMP $32, R%d", rN)
	p.Go("BLT panel16")
	body("32", 8)
	p.Go("SUB $32, R%d", rN)
	p.Label("panel16")
	p.Go("CMP $16, R%d", rN)
	p.Go("BLT done")
	body("16", 4)
	p.Label("done")
	p.Go("RET")
}

// start sets count registers from V(first) on to the next of start, or to zeros if it is nil.
func (p products) start(label string, first, count int) {
	p.Go("CBZ R%d, nil%s", rStart, label)
	p.Load(rStart, first, count)
	p.Go("B started%s", label)
	p.Label("nil" + label)
	p.Zero(first, count)
	p.Label("started" + label)
}

// rows writes the loop over count groups of rows.
func (p products) rows(label string, body func()) {
	p.Label("row" + label)
	p.Go("CBZ R%d, summed%s", rCount, label)
	body()
	p.Go("SUB $1, R%d", rCount)
	p.Go("B row%s", label)
	p.Label("summed" + label)
}

func (p products) matVec() {
	p.floats("matVec", func(sum, w, x int) { p.Three("fmla", sum, w, x) })
}

// matVecExact rounds products and sums, each.
func (p products) matVecExact() {
	p.floats("matVecExact", func(sum, w, x int) {
		p.Three("fmul", w, w, x)
		p.Three("fadd", sum, sum, w)
	})
}

// floats writes a product with float32 weights: add adds that of w, which it may change, and x to sum.
func (p products) floats(name string, add func(sum, w, x int)) {
	p.Func(name+"NEON(k, n int, x, w, y, start *float32)", 48)
	p.arguments([]string{"k", "n", "x", "w", "y", "start"}, []int{0, 8, 16, 24, 32, 40}, []int{rK, rN, rX, rW, rY, rStart})
	p.panels(func(label string, vectors int) {
		p.start(label, 0, vectors)
		p.Go("MOVD R%d, R%d", rX, rXK)
		p.Go("MOVD R%d, R%d", rK, rCount)
		p.rows(label, func() {
			p.Splat(rXK, vX)
			for v := 0; v < vectors; v += 4 {
				p.Load(rW, vW+v/4%2*4, 4)
				for i := range 4 {
					add(v+i, vW+v/4%2*4+i, vX)
				}
			}
		})
		p.Store(rY, 0, vectors)
	})
}

func (p products) matVecBF16() {
	p.Func("matVecBF16NEON(k, n int, x *float32, w *uint16, y, start *float32)", 48)
	p.arguments([]string{"k", "n", "x", "w", "y", "start"}, []int{0, 8, 16, 24, 32, 40}, []int{rK, rN, rX, rW, rY, rStart})
	p.panels(func(label string, vectors int) {
		p.start(label, 0, vectors)
		p.Go("MOVD R%d, R%d", rX, rXK)
		p.Go("LSR $1, R%d, R%d", rK, rCount)
		p.rows(label, func() {
			p.Splat(rXK, vX)
			p.Splat(rXK, vX1)
			for v := 0; v < vectors; v += 4 {
				p.Load(rW, vW, 4)
				for i := range 4 {
					p.Go("VSHL $16, V%d.S4, V%d.S4", vW+i, vT+i)
					p.Three("fmla", v+i, vT+i, vX)
					p.Three("fmla", v+i, vW+i, vX1)
				}
			}
		})
		p.Go("TBZ $0, R%d, even%s", rK, label)
		p.Splat(rXK, vX)
		for v := 0; v < vectors; v += 4 {
			p.Load(rW, vW, 4)
			for i := range 4 {
				p.Go("VSHL $16, V%d.S4, V%d.S4", vW+i, vT+i)
				p.Three("fmla", v+i, vT+i, vX)
			}
		}
		p.Label("even" + label)
		p.Store(rY, 0, vectors)
	})
}

// int8: products of q-128 and w fit 16 bits, and so do sums of two, since |q-128| <= 128 and |w| <= 127.
func (p products) matVecInt8() {
	p.Func("matVecInt8NEON(quads, rest int, last uint32, n int, q *uint8, scale float32, w *int8, scales *float32, "+
		"offsets *int32, y, start *float32)", 88)
	p.arguments([]string{"quads", "rest", "n", "q", "w", "scales", "y", "start"},
		[]int{0, 8, 24, 32, 48, 56, 72, 80}, []int{rK, rRest, rN, rX, rW, rScales, rY, rStart})
	p.Go("MOVWU last+16(FP), R%d", rLast)
	p.Go("MOVWU scale+40(FP), R%d", rScratch)
	p.Go("VDUP R%d, V%d.S4", rScratch, vScale)
	p.SplatBits(0x80808080, vMask, rScratch)
	p.panels(func(label string, vectors int) {
		p.Zero(0, vectors)
		p.Go("MOVD R%d, R%d", rX, rXK)
		p.Go("MOVD R%d, R%d", rK, rCount)
		quad := func() {
			p.Go("VEOR V%d.B16, V%d.B16, V%d.B16", vMask, vX, vX)
			for v := 0; v < vectors; v += 4 {
				p.Load(rW, vW, 4)
				for i := range 4 {
					p.Three("smull", vT, vW+i, vX)
					p.Three("smull2", vT+1, vW+i, vX)
					p.Three("addp", vT, vT, vT+1)
					p.Two("sadalp", v+i, vT)
				}
			}
		}
		p.rows(label, func() {
			p.Splat(rXK, vX)
			quad()
		})
		p.Go("CBZ R%d, whole%s", rRest, label)
		p.Go("VDUP R%d, V%d.S4", rLast, vX)
		quad()
		p.Label("whole" + label)
		for v := 0; v < vectors; v += 4 {
			p.Load(rScales, vW, 4)
			p.start(fmt.Sprintf("%s_%d", label, v), vT, 4)
			for i := range 4 {
				p.Two("scvtf", v+i, v+i)
				p.Three("fmul", v+i, v+i, vW+i)
				p.Three("fmul", v+i, v+i, vScale)
				p.Three("fadd", v+i, vT+i, v+i)
			}
		}
		p.Store(rY, 0, vectors)
	})
}

func (p products) largestBits() {
	p.Func("largestBitsNEON(n int, x *float32) uint32", 20)
	p.arguments([]string{"n", "x"}, []int{0, 8}, []int{rN, rX})
	p.Zero(0, 1)
	p.Label("loop")
	p.Load(rX, vW, 4)
	for i := range 4 {
		p.Go("VSHL $1, V%d.S4, V%d.S4", vW+i, vW+i)
		p.Three("umax", 0, 0, vW+i)
	}
	p.Go("SUBS $16, R%d", rN)
	p.Go("BNE loop")
	p.Two("umaxv", 0, 0)
	p.Go("VMOV V0.S[0], R%d", rScratch)
	p.Go("LSRW $1, R%d, R%d", rScratch, rScratch)
	p.Go("MOVW R%d, ret+16(FP)", rScratch)
	p.Go("RET")
}

// quantise: FMAXNM and FMINNM take the limit for NaN, which the product has made quiet.
func (p products) quantise() {
	p.Func("quantiseInt8NEON(n int, q *uint8, x *float32, inverse float32)", 28)
	p.arguments([]string{"n", "q", "x"}, []int{0, 8, 16}, []int{rN, rY, rX})
	p.Go("MOVWU inverse+24(FP), R%d", rScratch)
	p.Go("VDUP R%d, V%d.S4", rScratch, vScale)
	const low, high, zeroPoint = 16, 17, 18
	p.SplatBits(0xc2fe0000, low, rScratch)
	p.SplatBits(0x42fe0000, high, rScratch)
	p.SplatBits(128, zeroPoint, rScratch)
	p.Label("loop")
	p.Go("CBZ R%d, done", rN)
	p.Load(rX, 0, 4)
	for v := range 4 {
		p.Three("fmul", v, v, vScale)
		p.Three("fmaxnm", v, v, low)
		p.Three("fminnm", v, v, high)
		p.Two("fcvtns", v, v)
		p.Go("VADD V%d.S4, V%d.S4, V%d.S4", zeroPoint, v, v)
	}
	p.Two("xtn", 4, 0)
	p.Two("xtn2", 4, 1)
	p.Two("xtn", 5, 2)
	p.Two("xtn2", 5, 3)
	p.Two("xtnb", 6, 4)
	p.Two("xtnb2", 6, 5)
	p.Go("VST1.P [V6.B16], 16(R%d)", rY)
	p.Go("SUB $16, R%d", rN)
	p.Go("B loop")
	p.Label("done")
	p.Go("RET")
}

func neonText() []byte {
	p := products{neon.New("matvec")}
	p.matVec()
	p.matVecExact()
	p.matVecBF16()
	p.matVecInt8()
	p.largestBits()
	p.quantise()
	return p.Bytes()
}
