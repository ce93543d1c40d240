package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// product is how a step of a tile multiplies. A step reads four bytes of each row of x.
type product struct {
	name  string
	bytes uint8         // in an element of x
	pitch func(isa) int // bytes between the weights of successive steps
	tile  func(s isa, mr int) (acc [][vecs]reg.Register, step stepFunc)
}

// stepFunc emits acc[i] += rows[i][u] * w[u], u counting the steps from where the pointers are.
type stepFunc func(w reg.Register, rows rowPointers, u int)

var float32s = product{"", 4, isa.bytes, func(s isa, mr int) ([][vecs]reg.Register, stepFunc) {
	acc := newTile(s, mr)
	b := [vecs]reg.VecVirtual{s.vec(), s.vec()}
	return acc, func(w reg.Register, rows rowPointers, u int) {
		for j := range b {
			VMOVUPS(at(w, u*s.bytes()+j*s.lanes*4), b[j])
		}
		for i := range acc {
			x := s.vec()
			VBROADCASTSS(rows.row(i, u*4), x)
			for j := range b {
				VFMADD231PS(x, b[j], acc[i][j])
			}
		}
	}
}}

// conv writes a tile of mr output rows, all panels of columns:
//
//	for panel: y[0..mr)[panel] = (bias | y) + sum over taps, k of x[row + tap][k] * w[panel][tap][k]
//
// The accumulators stay in registers for the whole sum of a panel; each step of k loads one row of the panel and
// broadcasts one float of each x row. Meanwhile lines of the x and y rows of the next tile are prefetched.
//
// p says what a step is: one channel in float32, a pair of channels in bfloat16.
func conv(s isa, mr int, p product) {
	const unroll = 4
	width := s.bytes()
	name := fmt.Sprintf("convTile%s%s_%d", p.name, s.name, mr)
	TEXT(name, NOSPLIT, "func(a *byte)")
	args := Load(Param("a"), GP64())
	acc, step := p.tile(s, mr)
	rows := newRowPointers(mr, field(args, argXStride))
	xAhead, yAhead := GP64(), GP64()

	Label("panel")
	cols := field(args, argCols)
	mask := columnMasks(s, cols)
	{
		y := outputRows(args, mr)
		flag := field(args, argAccumulate)
		TESTQ(flag, flag)
		JZ(operand.LabelRef("bias"))
		for i := range acc {
			for j := range acc[i] {
				mask.load(j, y.row(i, j*s.lanes*4), acc[i][j])
			}
		}
		JMP(operand.LabelRef("start"))
	}
	Label("bias")
	{
		bias := field(args, argBias)
		ADDQ(at(args, argBiasAt), bias)
		for j := range vecs {
			mask.load(j, at(bias, j*s.lanes*4), acc[0][j])
			for i := 1; i < mr; i++ {
				VMOVAPS(acc[0][j], acc[i][j])
			}
		}
	}
	Label("start")
	tap, taps := field(args, argTaps), field(args, argTapCount)
	TESTQ(taps, taps)
	JZ(operand.LabelRef("store"))
	MOVQ(taps, at(args, argTapsLeft))
	MOVQ(at(args, argXAhead), xAhead)
	MOVQ(at(args, argYAhead), yAhead)
	w := GP64()
	k := GP64()
	Label("tap")
	MOVQ(at(tap, 0), k) // offset in x, in elements
	MOVQ(at(args, argX), rows.bases[0])
	ADDQ(at(args, argXAt), rows.bases[0])
	LEAQ(operand.Mem{Base: rows.bases[0], Index: k, Scale: p.bytes}, rows.bases[0])
	rows.spread()
	MOVQ(at(tap, 8), w)
	IMULQ(at(args, argTapBytes), w)
	ADDQ(at(args, argW), w)
	ADDQ(at(args, argWAt), w)
	MOVQ(at(args, argIn), k)
	SUBQ(operand.U32(unroll), k)
	JL(operand.LabelRef("tail"))
	Label("loop")
	for u := range unroll {
		step(w, rows, u)
		switch u {
		case 0:
			PREFETCHT0(at(xAhead, 0))
			ADDQ(at(args, argXAheadStep), xAhead)
		case 1:
			PREFETCHT0(at(yAhead, 0))
		case 2:
			PREFETCHT0(at(yAhead, 64))
			ADDQ(at(args, argYAheadStep), yAhead)
		}
	}
	rows.advance(unroll * 4)
	ADDQ(operand.U32(unroll*p.pitch(s)), w)
	SUBQ(operand.U32(unroll), k)
	JGE(operand.LabelRef("loop"))
	Label("tail")
	ADDQ(operand.U32(unroll), k)
	JZ(operand.LabelRef("next"))
	Label("single")
	step(w, rows, 0)
	rows.advance(4)
	ADDQ(operand.U32(p.pitch(s)), w)
	DECQ(k)
	JNZ(operand.LabelRef("single"))
	Label("next")
	ADDQ(operand.U32(16), tap)
	DECQ(at(args, argTapsLeft))
	JNZ(operand.LabelRef("tap"))
	MOVQ(xAhead, at(args, argXAhead))
	MOVQ(yAhead, at(args, argYAhead))

	Label("store")
	y := outputRows(args, mr)
	for i := range acc {
		for j := range acc[i] {
			mask.store(j, acc[i][j], y.row(i, j*s.lanes*4))
		}
	}
	ADDQ(operand.U32(width), at(args, argYAt))
	biasStep, panel := field(args, argBiasStep), field(args, argPanelBytes)
	ADDQ(biasStep, at(args, argBiasAt))
	ADDQ(panel, at(args, argWAt))
	SUBQ(operand.U32(width/4), at(args, argCols))
	JG(operand.LabelRef("panel"))
	VZEROUPPER()
	RET()
}

func outputRows(args reg.Register, mr int) rowPointers {
	p := newRowPointers(mr, field(args, argYStride))
	MOVQ(at(args, argY), p.bases[0])
	ADDQ(at(args, argYAt), p.bases[0])
	p.spread()
	return p
}

// gradient writes a tile of mr input channels by one panel of output channels:
//
//	dw[0..mr)[panel] += sum over rows t of x[t][0..mr) * dy[t][panel]
//
// The first tile of a panel reads the strided rows of dy and stores them packed, zero where columns are missing; the
// tiles after it read them packed, from L1. Meanwhile lines of the x and dy rows of the next block are prefetched.
func gradient(s isa, mr int, first bool) {
	const unroll = 4
	name := fmt.Sprintf("gradientTile%s_%d", s.name, mr)
	if first {
		name += "first"
	}
	TEXT(name, NOSPLIT, "func(a *byte)")
	args := Load(Param("a"), GP64())
	rows := field(args, gradRows)
	x, xs := field(args, gradX), field(args, gradXStride)
	packed := field(args, gradPacked)
	dy, dys := GP64(), GP64()
	var mask columns
	if first {
		mask = columnMasks(s, field(args, gradCols))
		MOVQ(at(args, gradDY), dy)
		MOVQ(at(args, gradDYStride), dys)
	}
	xs3 := GP64()
	LEAQ(operand.Mem{Base: xs, Index: xs, Scale: 2}, xs3)
	dw, dws := field(args, gradDW), field(args, gradDWStride)
	for range mr {
		for d := 0; d < s.bytes(); d += 64 {
			PREFETCHT0(at(dw, d))
		}
		ADDQ(dws, dw)
	}
	xRows := rowPointers{bases: []reg.GPVirtual{x}, stride: xs, stride3: xs3}
	xAhead, dyAhead := field(args, gradXAhead), field(args, gradDYAhead)
	acc := newTile(s, mr)
	for i := range acc {
		for j := range acc[i] {
			VXORPS(acc[i][j], acc[i][j], acc[i][j])
		}
	}
	b := [vecs]reg.VecVirtual{}
	for j := range b {
		b[j] = s.vec()
	}
	step := func(u int) {
		for j := range b {
			if first {
				mask.load(j, at(dy, j*s.lanes*4), b[j])
				VMOVUPS(b[j], at(packed, u*s.bytes()+j*s.lanes*4))
			} else {
				VMOVUPS(at(packed, u*s.bytes()+j*s.lanes*4), b[j])
			}
		}
		for i := range mr {
			v := s.vec()
			VBROADCASTSS(xRows.row(u, i*4), v)
			for j := range b {
				VFMADD231PS(v, b[j], acc[i][j])
			}
		}
		if first {
			ADDQ(dys, dy)
		}
	}
	SUBQ(operand.U32(unroll), rows)
	JL(operand.LabelRef("tail"))
	Label("loop")
	for u := range unroll {
		step(u)
	}
	for d := 0; d < s.bytes(); d += 64 { // the tiles of AVX2 are small, and many: one line each does
		PREFETCHT1(at(xAhead, d))
		PREFETCHT1(at(dyAhead, d))
	}
	ADDQ(at(args, gradXAheadStep), xAhead)
	ADDQ(at(args, gradDYAheadStep), dyAhead)
	LEAQ(operand.Mem{Base: x, Index: xs, Scale: 4}, x)
	ADDQ(operand.U32(unroll*s.bytes()), packed)
	SUBQ(operand.U32(unroll), rows)
	JGE(operand.LabelRef("loop"))
	Label("tail")
	ADDQ(operand.U32(unroll), rows)
	JZ(operand.LabelRef("store"))
	Label("single")
	step(0)
	ADDQ(xs, x)
	ADDQ(operand.U32(s.bytes()), packed)
	DECQ(rows)
	JNZ(operand.LabelRef("single"))
	Label("store")
	MOVQ(xAhead, at(args, gradXAhead))
	MOVQ(dyAhead, at(args, gradDYAhead))
	mask = columnMasks(s, field(args, gradCols))
	MOVQ(at(args, gradDW), dw)
	MOVQ(at(args, gradDWStride), dws)
	for i := range acc {
		for j := range acc[i] {
			dst := at(dw, j*s.lanes*4)
			mask.load(j, dst, b[j])
			VADDPS(b[j], acc[i][j], acc[i][j])
			mask.store(j, acc[i][j], dst)
		}
		ADDQ(dws, dw)
	}
	VZEROUPPER()
	RET()
}
