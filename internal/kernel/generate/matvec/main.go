// Command matvec writes the matrix-vector kernels of package kernel: AVX-512 and AVX2 with avo, NEON as text.
package main

import (
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set: vectors of lanes 32-bit numbers, and partial sums of bfloat16 and int8 kernels: row k of a matrix is added to the sum
// k % sums as long as there are sums rows left and then to the first, and the sums are added at the end. It is the same
// in panels of all widths, so that a result does not depend on the column's place. With 4 sums a panel of 2 vectors has the 8 independent
// sums that fused multiply-adds at full rate need; 16 registers leave room for one.
type isa struct {
	name  string
	lanes int
	sums  int
	vec   func() reg.VecVirtual
}

var (
	avx512 = isa{"AVX512", 16, 4, ZMM}
	avx2   = isa{"AVX2", 8, 1, YMM}
)

func (s isa) bytes() int { return 4 * s.lanes }

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

func zero(sums ...[]reg.VecVirtual) {
	for _, acc := range sums {
		for _, r := range acc {
			VXORPS(r, r, r)
		}
	}
}

// splat returns a vector with the 32-bit pattern in every lane.
func (s isa) splat(bits uint32) reg.VecVirtual {
	r, v := GP32(), s.vec()
	MOVL(operand.U32(bits), r)
	x := XMM()
	VMOVD(r, x)
	VPBROADCASTD(x, v)
	return v
}

// accumulators returns sums x vectors registers.
func (s isa) accumulators(vectors int) [][]reg.VecVirtual {
	acc := make([][]reg.VecVirtual, s.sums)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], s.vec())
		}
	}
	return acc
}

// panels emits the walk over panels of 64 columns, then 32, then 16; n is consumed. body computes as many panels of the given
// number of vectors as it is told, side by side, and advances its pointers. It is told up to most, 1 or 3.
func (s isa) panels(n reg.GPVirtual, most int, body func(label string, vectors, panels int)) {
	if most == 3 {
		Label("panels192") // of 192, or more than 256, three first
		CMPQ(n, operand.U32(192))
		JL(operand.LabelRef("panels128"))
		CMPQ(n, operand.U32(256))
		JE(operand.LabelRef("panels128"))
		body("192", 64/s.lanes, 3)
		SUBQ(operand.U32(192), n)
		JMP(operand.LabelRef("panels192"))
		Label("panels128")
		CMPQ(n, operand.U32(128))
		JL(operand.LabelRef("panels64"))
		body("128", 64/s.lanes, 2)
		SUBQ(operand.U32(128), n)
		JMP(operand.LabelRef("panels128"))
	}
	Label("panels64")
	CMPQ(n, operand.U8(64))
	JL(operand.LabelRef("panel32"))
	body("64", 64/s.lanes, 1)
	SUBQ(operand.U8(64), n)
	JMP(operand.LabelRef("panels64"))
	Label("panel32")
	CMPQ(n, operand.U8(32))
	JL(operand.LabelRef("panel16"))
	body("32", 32/s.lanes, 1)
	SUBQ(operand.U8(32), n)
	Label("panel16")
	CMPQ(n, operand.U8(16))
	JL(operand.LabelRef("done"))
	body("16", 16/s.lanes, 1)
	Label("done")
	VZEROUPPER()
	RET()
}

// sideBySide returns pointers to the first rows of panels that follow w, each of so many bytes; w is the first of them.
func sideBySide(w, bytes reg.GPVirtual, panels int) []reg.GPVirtual {
	p := []reg.GPVirtual{w}
	for i := 1; i < panels; i++ {
		next := GP64()
		LEAQ(operand.Mem{Base: p[i-1], Index: bytes, Scale: 1}, next)
		p = append(p, next)
	}
	return p
}

// rowLoop emits a loop over count groups of rows, sums of them at a time and then one by one: add adds the group that is
// u groups further on to sum. advance moves the pointers by groups.
func (s isa) rowLoop(label string, count reg.GPVirtual, add func(u, sum int), advance func(groups int)) {
	unroll := 4
	Label("unrolled" + label)
	CMPQ(count, operand.U8(uint8(unroll)))
	JL(operand.LabelRef("single" + label))
	for u := range unroll {
		add(u, u%s.sums)
	}
	advance(unroll)
	SUBQ(operand.U8(uint8(unroll)), count)
	JMP(operand.LabelRef("unrolled" + label))
	Label("single" + label)
	TESTQ(count, count)
	JZ(operand.LabelRef("summed" + label))
	add(0, 0)
	advance(1)
	DECQ(count)
	JMP(operand.LabelRef("single" + label))
	Label("summed" + label)
}

// loadStart sets acc to start, or to zeros if the parameter start is nil.
func (s isa) loadStart(label string, start reg.GPVirtual, acc []reg.VecVirtual) {
	p, err := Param("start").Resolve()
	if err != nil {
		panic(err)
	}
	CMPQ(p.Addr, operand.U8(0))
	JE(operand.LabelRef("nil" + label))
	for i, a := range acc {
		VMOVUPS(at(start, i*s.bytes()), a)
	}
	JMP(operand.LabelRef("started" + label))
	Label("nil" + label)
	zero(acc)
	Label("started" + label)
}

// total adds the sums into the first, pairwise.
func total(sums [][]reg.VecVirtual, add func(a, b, dst reg.VecVirtual)) {
	for n := len(sums); n > 1; n /= 2 {
		for q := range n / 2 {
			for i := range sums[q] {
				add(sums[q+n/2][i], sums[q][i], sums[q][i])
			}
		}
	}
}

func addIntegers(a, b, dst reg.VecVirtual) { VPADDD(a, b, dst) }

func (s isa) store(y, start reg.GPVirtual, acc []reg.VecVirtual) {
	for i, a := range acc {
		VMOVUPS(a, at(y, i*s.bytes()))
	}
	ADDQ(operand.U32(uint32(len(acc)*s.bytes())), y)
	ADDQ(operand.U32(uint32(len(acc)*s.bytes())), start)
}

func pointers(names ...string) []reg.GPVirtual {
	var r []reg.GPVirtual
	for _, n := range names {
		g := GP64()
		Load(Param(n), g)
		r = append(r, g)
	}
	return r
}

// float32 weights. There is one sum for each column, so that it is that of a convolution, bit for bit. The sums of several
// panels side by side keep multiply-adds busy.
func (s isa) matVec() {
	s.floats("matVec", func(w operand.Mem, x, sum reg.VecVirtual) { VFMADD231PS(w, x, sum) })
}

// float32 weights, with products and sums each rounded: one sum for each column, in the order of the rows, as in the plain loop.
func (s isa) matVecExact() {
	s.floats("matVecExact", func(w operand.Mem, x, sum reg.VecVirtual) {
		product := s.vec()
		VMULPS(w, x, product)
		VADDPS(product, sum, sum)
	})
}

// floats emits a product with float32 weights: add adds that of w and x to sum.
func (s isa) floats(name string, add func(w operand.Mem, x, sum reg.VecVirtual)) {
	TEXT(name+s.name, NOSPLIT, "func(k, n int, x, w, y, start *float32)")
	p := pointers("k", "n", "x", "w", "y", "start")
	k, n, x, w, y, start := p[0], p[1], p[2], p[3], p[4], p[5]
	s.sums = 1
	s.panels(n, s.most(), func(label string, vectors, panels int) {
		sums := s.accumulators(vectors * panels)[0]
		s.loadStart(label, start, sums)
		xk, count := GP64(), GP64()
		MOVQ(x, xk)
		MOVQ(k, count)
		row := vectors * s.bytes()
		bytes := GP64()
		IMUL3Q(operand.U32(uint32(row)), k, bytes)
		ws := sideBySide(w, bytes, panels)
		s.rowLoop(label, count, func(u, _ int) {
			b := s.vec()
			VBROADCASTSS(at(xk, 4*u), b)
			for i, a := range sums {
				add(at(ws[i/vectors], u*row+i%vectors*s.bytes()), b, a)
			}
		}, func(groups int) {
			ADDQ(operand.U32(uint32(4*groups)), xk)
			for _, w := range ws {
				ADDQ(operand.U32(uint32(row*groups)), w)
			}
		})
		if panels > 1 {
			MOVQ(ws[panels-1], w)
		}
		s.store(y, start, sums)
	})
}

// most is the number of panels of which the registers hold the sums.
func (s isa) most() int {
	if s.lanes == 16 {
		return 3
	}
	return 1
}

// bfloat16 weights: a 32-bit lane holds a column's values of two rows. The whole of it, as a float32, is the weight of the
// second row, a shift makes it that of the first. Sums are those of the float32 kernel with the same weights.
func (s isa) matVecBF16() {
	TEXT("matVecBF16"+s.name, NOSPLIT, "func(k, n int, x *float32, w *uint16, y, start *float32)")
	p := pointers("k", "n", "x", "w", "y", "start")
	k, n, x, w, y, start := p[0], p[1], p[2], p[3], p[4], p[5]
	pairs := GP64()
	MOVQ(k, pairs)
	SHRQ(operand.U8(1), pairs)
	s.sums = 1
	s.panels(n, s.most(), func(label string, vectors, panels int) {
		sums := s.accumulators(vectors * panels)[0]
		s.loadStart(label, start, sums)
		xk, count := GP64(), GP64()
		MOVQ(x, xk)
		MOVQ(pairs, count)
		row := vectors * s.bytes()
		bytes := GP64()
		LEAQ(operand.Mem{Base: k, Disp: 1}, bytes)
		SHRQ(operand.U8(1), bytes)
		IMUL3Q(operand.U32(uint32(row)), bytes, bytes)
		ws := sideBySide(w, bytes, panels)
		first := func(b reg.VecVirtual, u, i int) {
			t, from := s.vec(), at(ws[i/vectors], u*row+i%vectors*s.bytes())
			if s.lanes == 16 {
				VPSLLD(operand.U8(16), from, t)
			} else {
				VMOVUPS(from, t)
				VPSLLD(operand.U8(16), t, t)
			}
			VFMADD231PS(t, b, sums[i])
		}
		advance := func(groups int) {
			for _, w := range ws {
				ADDQ(operand.U32(uint32(row*groups)), w)
			}
		}
		s.rowLoop(label, count, func(u, _ int) {
			b0, b1 := s.vec(), s.vec()
			VBROADCASTSS(at(xk, 8*u), b0)
			VBROADCASTSS(at(xk, 8*u+4), b1)
			for i := range sums {
				first(b0, u, i)
			}
			for i, a := range sums {
				VFMADD231PS(at(ws[i/vectors], u*row+i%vectors*s.bytes()), b1, a)
			}
		}, func(groups int) {
			ADDQ(operand.U32(uint32(8*groups)), xk)
			advance(groups)
		})
		BTQ(operand.U8(0), k)
		JCC(operand.LabelRef("even" + label))
		b := s.vec()
		VBROADCASTSS(at(xk, 0), b)
		for i := range sums {
			first(b, 0, i)
		}
		advance(1)
		Label("even" + label)
		if panels > 1 {
			MOVQ(ws[panels-1], w)
		}
		s.store(y, start, sums)
	})
}

// quads emits the loop over the quads of q and the incomplete one behind them: add is given four bytes of q in every
// lane.
func (s isa) quads(label string, quads, q, w reg.GPVirtual, row int, add func(x reg.VecVirtual, u, sum int)) {
	qk, count := GP64(), GP64()
	MOVQ(q, qk)
	MOVQ(quads, count)
	s.rowLoop(label, count, func(u, sum int) {
		b := s.vec()
		VPBROADCASTD(at(qk, 4*u), b)
		add(b, u, sum)
	}, func(groups int) {
		ADDQ(operand.U32(uint32(4*groups)), qk)
		ADDQ(operand.U32(uint32(row*groups)), w)
	})
	rest, err := Param("rest").Resolve()
	if err != nil {
		panic(err)
	}
	CMPQ(rest.Addr, operand.U8(0))
	JE(operand.LabelRef("whole" + label))
	last, err := Param("last").Resolve()
	if err != nil {
		panic(err)
	}
	b := s.vec()
	VBROADCASTSS(last.Addr, b)
	add(b, 0, 0)
	ADDQ(operand.U32(uint32(row)), w)
	Label("whole" + label)
}

// scaled emits y = start + float32(sum) * scales * scale, rounding each, and advances the pointers.
func (s isa) scaled(label string, acc []reg.VecVirtual, scale reg.VecVirtual, y, start, scales reg.GPVirtual) {
	begin := make([]reg.VecVirtual, len(acc))
	for i := range begin {
		begin[i] = s.vec()
	}
	s.loadStart(label, start, begin)
	for i, a := range acc {
		VCVTDQ2PS(a, a)
		VMULPS(at(scales, i*s.bytes()), a, a)
		VMULPS(scale, a, a)
		VADDPS(a, begin[i], a)
	}
	ADDQ(operand.U32(uint32(len(acc)*s.bytes())), scales)
	s.store(y, start, acc)
}

const int8Signature = "func(quads, rest int, last uint32, n int, q *uint8, scale float32, w *int8, scales *float32, " +
	"offsets *int32, y, start *float32)"

func (s isa) scale() reg.VecVirtual {
	p, err := Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	v := s.vec()
	VBROADCASTSS(p.Addr, v)
	return v
}

// int8 weights with VPDPBUSD: a 32-bit lane holds a column's values of four rows, which are multiplied with four bytes
// of q. Sums begin at the offsets, which take away what the zero point of q adds.
func matVecInt8VNNI() {
	s := avx512
	TEXT("matVecInt8VNNI", NOSPLIT, int8Signature)
	p := pointers("quads", "n", "q", "w", "scales", "offsets", "y", "start")
	quads, n, q, w, scales, offsets, y, start := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
	scale := s.scale()
	s.panels(n, 1, func(label string, vectors, _ int) {
		sums := s.accumulators(vectors)
		for i, a := range sums[0] {
			VMOVUPS(at(offsets, i*s.bytes()), a)
		}
		ADDQ(operand.U32(uint32(vectors*s.bytes())), offsets)
		zero(sums[1:]...)
		row := vectors * s.bytes()
		s.quads(label, quads, q, w, row, func(x reg.VecVirtual, u, sum int) {
			for i, a := range sums[sum] {
				VPDPBUSD(at(w, u*row+i*s.bytes()), x, a)
			}
		})
		total(sums, addIntegers)
		s.scaled(label, sums[0], scale, y, start, scales)
	})
}

// int8 weights without VNNI, exactly: VPMADDUBSW adds two products to 16 bits, which |q-128| <= 128 and |w| <= 127 do not
// overflow. The sign of q-128 goes to the weights, so that there is no zero point to correct for.
func matVecInt8AVX2() {
	s := avx2
	TEXT("matVecInt8AVX2", NOSPLIT, int8Signature)
	p := pointers("quads", "n", "q", "w", "scales", "y", "start")
	quads, n, q, w, scales, y, start := p[0], p[1], p[2], p[3], p[4], p[5], p[6]
	zeroPoint, ones := s.splat(0x80808080), s.splat(0x00010001)
	s.panels(n, 1, func(label string, vectors, _ int) {
		sums := s.accumulators(vectors)
		zero(sums...)
		row := vectors * s.bytes()
		s.quads(label, quads, q, w, row, func(x reg.VecVirtual, u, sum int) {
			magnitude := s.vec()
			VPXOR(zeroPoint, x, x)
			VPABSB(x, magnitude)
			for i, a := range sums[sum] {
				t := s.vec()
				VMOVUPS(at(w, u*row+i*s.bytes()), t)
				VPSIGNB(x, t, t)
				VPMADDUBSW(t, magnitude, t)
				VPMADDWD(ones, t, t)
				VPADDD(t, a, a)
			}
		})
		for i := 0; i < vectors; i += 4 { // 16 registers do not hold all sums and starts
			part := sums[0][i:min(i+4, vectors)]
			s.scaled(fmt.Sprintf("%s_%d", label, i), part, s.scale(), y, start, scales)
		}
	})
}

// largestBits: the largest magnitude, compared as integers without the sign; n is a multiple of 16 and not 0.
func (s isa) largestBits() {
	TEXT("largestBits"+s.name, NOSPLIT, "func(n int, x *float32) uint32")
	p := pointers("n", "x")
	n, x := p[0], p[1]
	m := s.vec()
	zero([]reg.VecVirtual{m})
	Label("loop")
	for i := range 16 / s.lanes {
		t := s.vec()
		VMOVUPS(at(x, i*s.bytes()), t)
		VPSLLD(operand.U8(1), t, t)
		VPMAXUD(t, m, m)
	}
	ADDQ(operand.U8(64), x)
	SUBQ(operand.U8(16), n)
	JNZ(operand.LabelRef("loop"))
	half := YMM()
	if s.lanes == 16 {
		VEXTRACTI64X4(operand.U8(1), m, half)
		VPMAXUD(half, m.AsY(), half)
	} else {
		VMOVUPS(m, half)
	}
	quarter, other := XMM(), XMM()
	VEXTRACTI128(operand.U8(1), half, quarter)
	VPMAXUD(quarter, half.AsX(), quarter)
	VPSHUFD(operand.U8(0x4e), quarter, other)
	VPMAXUD(other, quarter, quarter)
	VPSHUFD(operand.U8(0xb1), quarter, other)
	VPMAXUD(other, quarter, quarter)
	r := GP32()
	VMOVD(quarter, r)
	SHRL(operand.U8(1), r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// quantise: n is a multiple of 16. The limits stand second in VMAXPS and VMINPS, which return that for NaN.
func (s isa) quantise() {
	TEXT("quantiseInt8"+s.name, NOSPLIT, "func(n int, q *uint8, x *float32, inverse float32)")
	p := pointers("n", "q", "x")
	n, q, x := p[0], p[1], p[2]
	inverse := s.vec()
	f, err := Param("inverse").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(f.Addr, inverse)
	low, high, zeroPoint := s.splat(0xc2fe0000), s.splat(0x42fe0000), s.splat(128)
	Label("loop")
	TESTQ(n, n)
	JZ(operand.LabelRef("done"))
	for i := range 16 / s.lanes {
		v := s.vec()
		VMULPS(at(x, i*s.bytes()), inverse, v)
		VMAXPS(low, v, v)
		VMINPS(high, v, v)
		VCVTPS2DQ(v, v)
		VPADDD(zeroPoint, v, v)
		if s.lanes == 16 {
			VPMOVDB(v, at(q, 0))
			continue
		}
		VPACKUSDW(v, v, v)
		VPACKUSWB(v, v, v)
		upper := XMM()
		VEXTRACTI128(operand.U8(1), v, upper)
		VPUNPCKLDQ(upper, v.AsX(), upper)
		VMOVQ(upper, at(q, 8*i))
	}
	ADDQ(operand.U8(16), q)
	ADDQ(operand.U8(64), x)
	SUBQ(operand.U8(16), n)
	JMP(operand.LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

func main() {
	if err := os.WriteFile("../matvec_arm64.s", neonText(), 0o666); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ConstraintExpr("!noasm")
	for _, s := range []isa{avx512, avx2} {
		s.matVec()
		s.matVecExact()
		s.matVecBF16()
		s.largestBits()
		s.quantise()
	}
	matVecInt8VNNI()
	matVecInt8AVX2()
	Generate()
}
