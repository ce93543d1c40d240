package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Panels of bfloat16 weights are 32 columns wide on every tier: a step's weights, pairs of channels, are 128 bytes.
func pitchBF16(isa) int { return 128 }

// encode emits an instruction that neither avo nor the Go assembler knows.
func encode(mnemonic string, code ...byte) {
	Comment(mnemonic)
	for _, b := range code {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(b)}})
	}
}

// vdpbf16ps emits acc += pairs of products of a and b, ZMM registers by number:
// EVEX.512.F3.0F38.W0 52 /r (Intel SDM volume 2).
func vdpbf16ps(b, a, acc byte) {
	p0 := byte(0xf2) &^ (acc >> 3 & 1 << 7) &^ (b >> 4 << 6) &^ (b >> 3 & 1 << 5) &^ (acc >> 4 << 4)
	p1 := 0x7e &^ (a & 15 << 3)
	p2 := byte(0x48) &^ (a >> 4 << 3)
	encode(fmt.Sprintf("VDPBF16PS Z%d, Z%d, Z%d", b, a, acc), 0x62, p0, p1, p2, 0x52, 0xc0|acc&7<<3|b&7)
}

var zmm = []reg.Register{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12,
	reg.Z13, reg.Z14, reg.Z15, reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25,
	reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}

// dotBF16 multiplies pairs with VDPBF16PS. Its registers are physical ones: avo cannot name them in bytes.
var dotBF16 = product{"BF16", 2, pitchBF16, func(s isa, mr int) ([][vecs]reg.Register, stepFunc) {
	acc := make([][vecs]reg.Register, mr)
	for i := range acc {
		acc[i] = [vecs]reg.Register{zmm[2*i], zmm[2*i+1]}
	}
	return acc, func(w reg.Register, rows rowPointers, u int) {
		VMOVUPS(at(w, u*128), zmm[28])
		VMOVUPS(at(w, u*128+64), zmm[29])
		for i := range acc {
			x := 30 + i%2
			VBROADCASTSS(rows.row(i, u*4), zmm[x])
			vdpbf16ps(byte(x), 28, byte(2*i))
			vdpbf16ps(byte(x), 29, byte(2*i+1))
		}
	}
}}

// expandBF16 turns pairs into two float32 vectors by a shift and a mask, and multiplies those.
var expandBF16 = product{"Expand", 2, pitchBF16, func(s isa, mr int) ([][vecs]reg.Register, stepFunc) {
	acc := newTile(s, mr)
	high := s.vec()
	if s.lanes == 16 {
		VPTERNLOGD(operand.U8(0xff), high, high, high)
	} else {
		VPCMPEQD(high, high, high)
	}
	VPSLLD(operand.U8(16), high, high)
	and := func(x reg.VecVirtual) {
		if s.lanes == 16 {
			VPANDD(high, x, x)
		} else {
			VPAND(high, x, x)
		}
	}
	odd, even := [vecs]reg.VecVirtual{s.vec(), s.vec()}, [vecs]reg.VecVirtual{s.vec(), s.vec()}
	xOdd, xEven := s.vec(), s.vec()
	return acc, func(w reg.Register, rows rowPointers, u int) {
		for j := range odd {
			VMOVUPS(at(w, u*128+j*s.lanes*4), odd[j])
			VPSLLD(operand.U8(16), odd[j], even[j])
			and(odd[j])
		}
		for i := range acc {
			VBROADCASTSS(rows.row(i, u*4), xOdd)
			VPSLLD(operand.U8(16), xOdd, xEven)
			and(xOdd)
			for j := range odd {
				VFMADD231PS(xEven, even[j], acc[i][j])
			}
			for j := range odd {
				VFMADD231PS(xOdd, odd[j], acc[i][j])
			}
		}
	}
}}

// Offsets of the fields of kernel.amxArgs.
const (
	amxConfig, amxTiles                = 0, 8
	amxX, amxXAt, amxXStride, amxXStep = 16, 24, 32, 40
	amxTaps, amxTapCount, amxSteps     = 48, 56, 64
	amxW, amxWAt, amxTapBytes          = 72, 80, 88
	amxBias                            = 96
	amxY, amxYAt, amxYStride, amxYStep = 104, 112, 120, 128
	amxAccumulate, amxBurst            = 136, 144
)

// Tile registers: a 2 x 2 block of sums, two tiles of x rows, two of weights.
func sum(i, j int) byte { return byte(2*i + j) }
func xTile(i int) byte  { return byte(4 + i) }
func wTile(j int) byte  { return byte(6 + j) }

// The tile instructions, VEX.128.*.0F38.W0 (Intel SDM volume 2). Registers are numbers: 0 AX, 1 CX, 2 DX, 3 BX, 6 SI, 7 DI, 8 R8...
const (
	ax, cx, dx, bx, si, di, r8, r9, r10, r11, r12 = 0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12
)

// tileMemory encodes a tile load (F2) or store (F3) at base + index + disp, index being the distance of rows.
func tileMemory(mnemonic string, pp, tile, base, index byte, disp byte) {
	p1 := byte(0xe2) &^ (index >> 3 << 6) &^ (base >> 3 << 5)
	encode(fmt.Sprintf("%s tile %d, [r%d+r%d+%d]", mnemonic, tile, base, index, disp),
		0xc4, p1, 0x78|pp, 0x4b, 0x44|tile<<3, index&7<<3|base&7, disp)
}

func tileLoad(tile, base, index, disp byte)  { tileMemory("TILELOADD", 3, tile, base, index, disp) }
func tileStore(tile, base, index, disp byte) { tileMemory("TILESTORED", 2, tile, base, index, disp) }

func tdpbf16ps(acc, a, b byte) {
	encode(fmt.Sprintf("TDPBF16PS tile %d, tile %d, tile %d", acc, a, b), 0xc4, 0xe2, 0x02|(15&^b)<<3, 0x5c, 0xc0|acc<<3|a)
}

// amx writes stacks of tiles of rows x cols 16 x 16 blocks of one panel:
//
//	y[tile][panel] = (bias | y) + sum over taps, steps of x[tile + tap][32 channels] * w[panel][tap][32 channels]
//
// All registers are physical ones, since avo cannot name them in bytes.
func amx(rows, cols int) {
	TEXT(fmt.Sprintf("convTileAMX_%dx%d", rows, cols), NOSPLIT, "func(a *byte)")
	args := reg.RAX
	Load(Param("a"), args)
	get := func(field int, r reg.Register) { MOVQ(at(args, field), r) }
	get(amxConfig, reg.RCX)
	encode("LDTILECFG [rcx]", 0xc4, 0xe2, 0x78, 0x49, 0x01)
	get(amxXStride, reg.R8)
	get(amxYStride, reg.R9)
	MOVQ(operand.U32(128), reg.R10)

	Label("tile")
	each := func(f func(i, j int)) {
		for i := range rows {
			for j := range cols {
				f(i, j)
			}
		}
	}
	output := func() { // DX, SI: rows of the two tiles of y
		get(amxY, reg.RDX)
		ADDQ(at(args, amxYAt), reg.RDX)
		if rows == 2 {
			MOVQ(reg.R9, reg.RSI)
			SHLQ(operand.U8(4), reg.RSI)
			ADDQ(reg.RDX, reg.RSI)
		}
	}
	yRow := []byte{dx, si}
	get(amxAccumulate, reg.RCX)
	TESTQ(reg.RCX, reg.RCX)
	JZ(operand.LabelRef("bias"))
	output()
	each(func(i, j int) { tileLoad(sum(i, j), yRow[i], r9, byte(64*j)) })
	JMP(operand.LabelRef("start"))
	Label("bias")
	get(amxBias, reg.RDX)
	XORQ(reg.RCX, reg.RCX)
	each(func(i, j int) { tileLoad(sum(i, j), dx, cx, byte(64*j)) }) // the same row sixteen times
	Label("start")
	// The lines of y that the next tile writes are fetched meanwhile, four rows a step, what is too much for the steps now.
	get(amxY, reg.R13)
	ADDQ(at(args, amxYAt), reg.R13)
	ADDQ(at(args, amxYStep), reg.R13)
	fetch := func() {
		for j := range cols {
			PREFETCHT0(at(reg.R13, 64*j))
		}
		ADDQ(reg.R9, reg.R13)
	}
	get(amxBurst, reg.RCX)
	Label("burst")
	DECQ(reg.RCX)
	JL(operand.LabelRef("fetched"))
	fetch()
	JMP(operand.LabelRef("burst"))
	Label("fetched")
	get(amxTaps, reg.R11)
	get(amxTapCount, reg.R12)
	TESTQ(reg.R12, reg.R12)
	JZ(operand.LabelRef("store"))
	Label("tap")
	MOVQ(at(reg.R11, 0), reg.RCX)
	get(amxX, reg.RDX)
	ADDQ(at(args, amxXAt), reg.RDX)
	LEAQ(operand.Mem{Base: reg.RDX, Index: reg.RCX, Scale: 2}, reg.RDX)
	MOVQ(reg.R8, reg.RSI)
	SHLQ(operand.U8(4), reg.RSI)
	ADDQ(reg.RDX, reg.RSI)
	MOVQ(at(reg.R11, 8), reg.RDI)
	IMULQ(at(args, amxTapBytes), reg.RDI)
	ADDQ(at(args, amxW), reg.RDI)
	ADDQ(at(args, amxWAt), reg.RDI)
	get(amxSteps, reg.RBX)
	Label("step")
	for j := range cols {
		tileLoad(wTile(j), di, r10, byte(64*j))
	}
	xRow := []byte{dx, si}
	for range 4 {
		fetch()
	}
	for i := range rows {
		tileLoad(xTile(i), xRow[i], r8, 0)
		for j := range cols {
			tdpbf16ps(sum(i, j), xTile(i), wTile(j))
		}
	}
	ADDQ(operand.U32(64), reg.RDX)
	ADDQ(operand.U32(64), reg.RSI)
	ADDQ(operand.U32(16*128), reg.RDI)
	DECQ(reg.RBX)
	JNZ(operand.LabelRef("step"))
	ADDQ(operand.U32(16), reg.R11)
	DECQ(reg.R12)
	JNZ(operand.LabelRef("tap"))
	Label("store")
	output()
	each(func(i, j int) { tileStore(sum(i, j), yRow[i], r9, byte(64*j)) })
	get(amxXStep, reg.RCX)
	ADDQ(reg.RCX, at(args, amxXAt))
	get(amxYStep, reg.RCX)
	ADDQ(reg.RCX, at(args, amxYAt))
	DECQ(at(args, amxTiles))
	JNZ(operand.LabelRef("tile"))
	encode("TILERELEASE", 0xc4, 0xe2, 0x78, 0x49, 0xc0)
	RET()
}

// pairs loads 16 words of the rows at a and b as 16 doublewords, a's in the low halves; mask says which are there.
func pairs(a, b operand.Mem, mask reg.OpmaskVirtual) reg.VecVirtual {
	low, high := ZMM(), ZMM()
	VPMOVZXWD_Z(a, mask, low)
	VPMOVZXWD_Z(b, mask, high)
	VPSLLD(operand.U8(16), high, high)
	VPORD(high, low, low)
	return low
}

// lowWords makes a mask of the first n of 16.
func lowWords(n reg.GPVirtual) reg.OpmaskVirtual {
	ones, m := GP64(), K()
	MOVQ(operand.I32(-1), ones)
	BZHIQ(n, ones, ones)
	KMOVW(ones.As32(), m)
	return m
}

// pairRows interleaves the words of rows two by two, for count pairs: as 16 doublewords a time, zeros from cols on, those of
// columns 32p to 32p+31 at dst + p*panel; successive pairs go 128 bytes apart. Distances are in bytes.
func pairRows() {
	TEXT("pairRowsAVX512", NOSPLIT, "func(dst *uint16, panel int, src *uint16, stride int, count int, cols int)")
	dst, panel := Load(Param("dst"), GP64()), Load(Param("panel"), GP64())
	src, stride := Load(Param("src"), GP64()), Load(Param("stride"), GP64())
	count := Load(Param("count"), GP64())
	cols, limit := GP64(), GP64()
	from, to, n := GP64(), GP64(), GP64()
	MOVQ(operand.U32(16), limit)
	Label("pair")
	MOVQ(src, from)
	MOVQ(dst, to)
	Load(Param("cols"), cols)
	Label("panel")
	for half := range 2 {
		MOVQ(cols, n)
		CMPQ(n, limit)
		CMOVQGT(limit, n)
		VMOVDQU64(pairs(at(from, 32*half), operand.Mem{Base: from, Index: stride, Scale: 1, Disp: 32 * half}, lowWords(n)), at(to, 64*half))
		if half == 0 {
			SUBQ(operand.U32(16), cols)
			CMOVQLT(zeroRegister(), cols)
		}
	}
	ADDQ(operand.U32(64), from)
	ADDQ(panel, to)
	SUBQ(operand.U32(16), cols)
	JG(operand.LabelRef("panel"))
	LEAQ(operand.Mem{Base: src, Index: stride, Scale: 2}, src)
	ADDQ(operand.U32(128), dst)
	DECQ(count)
	JNZ(operand.LabelRef("pair"))
	VZEROUPPER()
	RET()
}

// zeroRegister is a register of zero; MOVQ leaves the flags alone.
func zeroRegister() reg.GPVirtual {
	zero := GP64()
	MOVQ(operand.U32(0), zero)
	return zero
}

// transposePairs transposes 32 rows of 16 words (zeros from cols on) to 16 rows of 32 words, pitch bytes apart.
func transposePairs() {
	TEXT("transposePairsAVX512", NOSPLIT, "func(dst *uint16, pitch int, src *uint16, stride int, cols int)")
	dst, pitch := Load(Param("dst"), GP64()), Load(Param("pitch"), GP64())
	src, stride := Load(Param("src"), GP64()), Load(Param("stride"), GP64())
	cols := GP64()
	Load(Param("cols"), cols)
	mask := lowWords(cols)
	var v [16]reg.VecVirtual // v[p]: doublewords of the rows 2p and 2p+1
	for p := range v {
		v[p] = pairs(at(src, 0), operand.Mem{Base: src, Index: stride, Scale: 1}, mask)
		LEAQ(operand.Mem{Base: src, Index: stride, Scale: 2}, src)
	}
	// Four by four doublewords within the 128-bit lanes ...
	for p := 0; p < 16; p += 4 {
		a, b, c, d := ZMM(), ZMM(), ZMM(), ZMM()
		VPUNPCKLDQ(v[p+1], v[p], a)
		VPUNPCKHDQ(v[p+1], v[p], b)
		VPUNPCKLDQ(v[p+3], v[p+2], c)
		VPUNPCKHDQ(v[p+3], v[p+2], d)
		v[p], v[p+1], v[p+2], v[p+3] = ZMM(), ZMM(), ZMM(), ZMM()
		VPUNPCKLQDQ(c, a, v[p])
		VPUNPCKHQDQ(c, a, v[p+1])
		VPUNPCKLQDQ(d, b, v[p+2])
		VPUNPCKHQDQ(d, b, v[p+3])
	}
	// ... then four by four lanes: v[4p+k] holds in lane l the pairs 4p to 4p+3 of column 4l+k.
	for k := range 4 {
		a, b, c, d := ZMM(), ZMM(), ZMM(), ZMM()
		VSHUFI32X4(operand.U8(0x88), v[4+k], v[k], a)    // lanes 0, 2 of v[k], v[4+k]
		VSHUFI32X4(operand.U8(0xdd), v[4+k], v[k], b)    // lanes 1, 3
		VSHUFI32X4(operand.U8(0x88), v[12+k], v[8+k], c) // lanes 0, 2 of v[8+k], v[12+k]
		VSHUFI32X4(operand.U8(0xdd), v[12+k], v[8+k], d)
		v[k], v[4+k], v[8+k], v[12+k] = ZMM(), ZMM(), ZMM(), ZMM()
		VSHUFI32X4(operand.U8(0x88), c, a, v[k]) // column k
		VSHUFI32X4(operand.U8(0x88), d, b, v[4+k])
		VSHUFI32X4(operand.U8(0xdd), c, a, v[8+k])
		VSHUFI32X4(operand.U8(0xdd), d, b, v[12+k])
	}
	for k := range v {
		VMOVDQU64(v[k], at(dst, 0))
		if k < 15 {
			ADDQ(pitch, dst)
		}
	}
	VZEROUPPER()
	RET()
}
