// Command conv writes the float32 convolution tiles of package kernel and their weight-gradient twins for AVX-512 and
// AVX2+FMA.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set as the tiles see it: vectors of lanes floats, panels of vecs vectors.
type isa struct {
	name  string
	lanes int
	vec   func() reg.VecVirtual
}

const vecs = 2 // vectors in a panel: two per row of a tile hide the latency of broadcasts

var (
	avx512 = isa{"AVX512", 16, ZMM}
	avx2   = isa{"AVX2", 8, YMM}
)

func (s isa) bytes() int { return vecs * s.lanes * 4 } // of a panel's row

// Offsets of the fields of kernel.tileArgs and kernel.gradientArgs.
const (
	argX, argXAt, argXStride                 = 0, 8, 16
	argTaps, argTapCount, argIn              = 24, 32, 40
	argW, argWAt, argPanelBytes, argTapBytes = 48, 56, 64, 72
	argBias, argBiasAt, argBiasStep          = 80, 88, 96
	argY, argYAt, argYStride                 = 104, 112, 120
	argCols, argAccumulate                   = 128, 136
	argXAhead, argXAheadStep                 = 144, 152
	argYAhead, argYAheadStep                 = 160, 168
	argTapsLeft                              = 176

	gradRows, gradX, gradXStride, gradDY, gradDYStride = 0, 8, 16, 24, 32
	gradPacked, gradDW, gradDWStride, gradCols         = 40, 48, 56, 64
	gradXAhead, gradXAheadStep                         = 72, 80
	gradDYAhead, gradDYAheadStep                       = 88, 96
)

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

func field(args reg.Register, offset int) reg.GPVirtual {
	r := GP64()
	MOVQ(at(args, offset), r)
	return r
}

// columns makes the masks of a panel of which cols columns are there (all of them from lanes*vecs on).
type columns struct {
	s    isa
	k    [vecs]reg.OpmaskVirtual
	mask [vecs]func() reg.VecVirtual
}

func columnMasks(s isa, cols reg.GPVirtual) columns {
	m := columns{s: s}
	if s.lanes == 16 {
		n, ones := GP64(), GP64()
		MOVQ(cols, n)
		MOVQ(operand.U32(32), ones)
		CMPQ(n, ones)
		CMOVQGT(ones, n)
		MOVQ(operand.I32(-1), ones)
		BZHIQ(n, ones, ones)
		for j := range m.k {
			m.k[j] = K()
			KMOVW(ones.As32(), m.k[j])
			SHRQ(operand.U8(16), ones)
		}
		return m
	}
	// A window into 16 words of ones and 16 of zeros, cols words before their border.
	n, limit, table := GP64(), GP64(), GP64()
	MOVQ(cols, n)
	MOVQ(operand.U32(16), limit)
	CMPQ(n, limit)
	CMOVQGT(limit, n)
	LEAQ(maskTable(), table)
	SHLQ(operand.U8(2), n)
	SUBQ(n, table)
	for j := range m.mask {
		m.mask[j] = func() reg.VecVirtual {
			v := YMM()
			VMOVDQU(at(table, 64+j*32), v)
			return v
		}
	}
	return m
}

var table operand.Mem

func maskTable() operand.Mem {
	if table.Symbol.Name == "" {
		table = GLOBL("columnMask", RODATA|NOPTR)
		for i := range 32 {
			v := operand.U32(0)
			if i < 16 {
				v = 0xffffffff
			}
			DATA(4*i, v)
		}
	}
	return table
}

func (m columns) load(j int, src operand.Mem, dst reg.VecVirtual) {
	if m.s.lanes == 16 {
		VMOVUPS_Z(src, m.k[j], dst)
	} else {
		VMASKMOVPS(src, m.mask[j](), dst)
	}
}

func (m columns) store(j int, src reg.VecVirtual, dst operand.Mem) {
	if m.s.lanes == 16 {
		VMOVUPS(src, m.k[j], dst)
	} else {
		VMASKMOVPS(src, m.mask[j](), dst)
	}
}

// rowPointers address mr rows, stride apart, with one register for every four of them.
type rowPointers struct {
	bases           []reg.GPVirtual
	stride, stride3 reg.GPVirtual
}

func newRowPointers(mr int, stride reg.GPVirtual) rowPointers {
	p := rowPointers{stride: stride, stride3: GP64()}
	LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, p.stride3)
	for range (mr + 3) / 4 {
		p.bases = append(p.bases, GP64())
	}
	return p
}

// spread sets the pointers, the first of which is set already.
func (p rowPointers) spread() {
	for i := 1; i < len(p.bases); i++ {
		LEAQ(operand.Mem{Base: p.bases[i-1], Index: p.stride, Scale: 4}, p.bases[i])
	}
}

func (p rowPointers) row(i, disp int) operand.Mem {
	m := at(p.bases[i/4], disp)
	switch i % 4 {
	case 1:
		m.Index, m.Scale = p.stride, 1
	case 2:
		m.Index, m.Scale = p.stride, 2
	case 3:
		m.Index, m.Scale = p.stride3, 1
	}
	return m
}

func (p rowPointers) advance(bytes int) {
	for _, b := range p.bases {
		ADDQ(operand.U32(bytes), b)
	}
}

func newTile(s isa, mr int) [][vecs]reg.VecVirtual {
	acc := make([][vecs]reg.VecVirtual, mr)
	for i := range acc {
		for j := range acc[i] {
			acc[i][j] = s.vec()
		}
	}
	return acc
}

// conv writes a tile of mr output rows, all panels of columns:
//
//	for panel: y[0..mr)[panel] = (bias | y) + sum over taps, k of x[row + tap][k] * w[panel][tap][k]
//
// The accumulators stay in registers for the whole sum of a panel; each step of k loads one row of the panel and
// broadcasts one float of each x row. Meanwhile lines of the x and y rows of the next tile are prefetched.
func conv(s isa, mr int) {
	const unroll = 4
	width := s.bytes()
	name := fmt.Sprintf("convTile%s_%d", s.name, mr)
	TEXT(name, NOSPLIT, "func(a *byte)")
	args := Load(Param("a"), GP64())
	acc := newTile(s, mr)
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
	b := [vecs]reg.VecVirtual{}
	for j := range b {
		b[j] = s.vec()
	}
	w := GP64()
	step := func(u int) {
		for j := range b {
			VMOVUPS(at(w, u*width+j*s.lanes*4), b[j])
		}
		for i := range mr {
			x := s.vec()
			VBROADCASTSS(rows.row(i, u*4), x)
			for j := range b {
				VFMADD231PS(x, b[j], acc[i][j])
			}
		}
	}
	k := GP64()
	Label("tap")
	MOVQ(at(tap, 0), k) // x offset in floats
	MOVQ(at(args, argX), rows.bases[0])
	ADDQ(at(args, argXAt), rows.bases[0])
	LEAQ(operand.Mem{Base: rows.bases[0], Index: k, Scale: 4}, rows.bases[0])
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
		step(u)
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
	ADDQ(operand.U32(unroll*width), w)
	SUBQ(operand.U32(unroll), k)
	JGE(operand.LabelRef("loop"))
	Label("tail")
	ADDQ(operand.U32(unroll), k)
	JZ(operand.LabelRef("next"))
	Label("single")
	step(0)
	rows.advance(4)
	ADDQ(operand.U32(width), w)
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
	PREFETCHT1(at(xAhead, 0))
	PREFETCHT1(at(xAhead, 64))
	PREFETCHT1(at(dyAhead, 0))
	PREFETCHT1(at(dyAhead, 64))
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

func main() {
	ConstraintExpr("!noasm")
	for _, tier := range []struct {
		isa
		heights []int
	}{{avx512, []int{14, 8, 4, 2, 1}}, {avx2, []int{6, 4, 2, 1}}} {
		for _, mr := range tier.heights {
			conv(tier.isa, mr)
			gradient(tier.isa, mr, true)
			gradient(tier.isa, mr, false)
		}
	}
	Generate()
}
