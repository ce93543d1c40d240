// Command nearest writes the search for the nearest codebook entry of package kernel: AVX-512 and AVX2 with avo, NEON as
// text.
//
// A call compares a tile of rows with panels of 32 entries. A lane sums the squared differences of one row and one entry
// and remembers, panel after panel, the least sum it has seen and that entry's number; at the end the lanes of a row are
// compared with each other, the lowest number winning among equals. A comparison with NaN is false, and the least sum
// begins at +Inf, so that neither ever wins.
package main

import (
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const panel = 32 // entries side by side

type isa struct {
	name        string
	lanes, rows int
	vec         func() reg.VecVirtual
}

var (
	avx512 = isa{"AVX512", 16, 4, ZMM}
	avx2   = isa{"AVX2", 8, 2, YMM}
)

const (
	lessThan = 1 // predicates of VCMPPS
	equal    = 0
	notEqual = 4
)

// sequence is 0, 1, 2, ... as 32-bit integers.
func sequence() operand.Mem {
	m := GLOBL("sequence", 8|16) // RODATA, NOPTR
	for i := range panel {
		DATA(4*i, operand.U32(uint32(i)))
	}
	return m
}

func pointer(name string) reg.GPVirtual {
	g := GP64()
	Load(Param(name), g)
	return g
}

func (s isa) nearest(sequence operand.Mem) {
	z := "z0, z1"
	if s.rows == 4 {
		z = "z0, z1, z2, z3"
	}
	TEXT("nearest"+s.name, NOSPLIT, fmt.Sprintf(
		"func(codes *int32, distances *float32, %s, entries *float32, panels, dim int)", z))
	vectors := panel / s.lanes
	entries, panels, dim := pointer("entries"), pointer("panels"), pointer("dim")
	rows := make([]reg.GPVirtual, s.rows)
	least, codes := make([]reg.VecVirtual, s.rows), make([]reg.VecVirtual, s.rows)
	infinity := GP32()
	MOVL(operand.U32(0x7f800000), infinity)
	for r := range rows {
		rows[r], least[r], codes[r] = pointer(fmt.Sprintf("z%d", r)), s.vec(), s.vec()
		x := XMM()
		VMOVD(infinity, x)
		VBROADCASTSS(x, least[r])
		VXORPS(codes[r], codes[r], codes[r])
	}
	base := GP64() // number of the panel's first entry
	XORQ(base, base)

	Label("panel")
	sums := make([][]reg.VecVirtual, s.rows)
	for r := range sums {
		for range vectors {
			v := s.vec()
			VXORPS(v, v, v)
			sums[r] = append(sums[r], v)
		}
	}
	d := GP64()
	XORQ(d, d)
	Label("dim")
	values := make([]reg.VecVirtual, s.rows)
	for r := range values {
		values[r] = s.vec()
		VBROADCASTSS(operand.Mem{Base: rows[r], Index: d, Scale: 4}, values[r])
	}
	for i := range vectors {
		e := s.vec()
		VMOVUPS(operand.Mem{Base: entries, Disp: 4 * s.lanes * i}, e)
		for r := range rows {
			difference := e
			if r < s.rows-1 {
				difference = s.vec()
			}
			VSUBPS(values[r], e, difference)
			VFMADD231PS(difference, difference, sums[r][i])
		}
	}
	ADDQ(operand.U32(4*panel), entries)
	INCQ(d)
	CMPQ(d, dim)
	JB(operand.LabelRef("dim"))

	number := s.vec()
	x := XMM()
	VMOVQ(base, x)
	VPBROADCASTD(x, number)
	VPADDD(sequence, number, number)
	for i := range vectors {
		for r := range rows {
			sum := sums[r][i]
			if s.lanes == 16 {
				k := K()
				VCMPPS(operand.U8(lessThan), least[r], sum, k)
				VMOVAPS(sum, k, least[r])
				VMOVDQA32(number, k, codes[r])
			} else {
				mask := s.vec()
				VCMPPS(operand.U8(lessThan), least[r], sum, mask)
				VBLENDVPS(mask, sum, least[r], least[r])
				VBLENDVPS(mask, number, codes[r], codes[r])
			}
		}
		if i < vectors-1 {
			lanes := s.vec()
			x, g := XMM(), GP32()
			MOVL(operand.U32(uint32(s.lanes)), g)
			VMOVD(g, x)
			VPBROADCASTD(x, lanes)
			VPADDD(lanes, number, number)
		}
	}
	ADDQ(operand.U8(panel), base)
	DECQ(panels)
	JNZ(operand.LabelRef("panel"))

	codesOut, distancesOut := pointer("codes"), pointer("distances")
	for r := range rows {
		distance := s.across(least[r], minFloats)
		VMOVSS(distance, operand.Mem{Base: distancesOut, Disp: 4 * r})
		all := s.vec()
		VBROADCASTSS(distance, all)
		candidates := s.vec() // the number where the sum is the least, the largest integer elsewhere
		if s.lanes == 16 {
			k := K()
			VCMPPS(operand.U8(equal), all, least[r], k)
			VPTERNLOGD(operand.U8(0xff), candidates, candidates, candidates)
			VMOVDQA32(codes[r], k, candidates)
		} else {
			VCMPPS(operand.U8(notEqual), all, least[r], candidates)
			VPOR(codes[r], candidates, candidates)
		}
		VMOVD(s.across(candidates, minIntegers), operand.Mem{Base: codesOut, Disp: 4 * r})
	}
	VZEROUPPER()
	RET()
}

func minFloats(a, b, dst reg.VecVirtual) { VMINPS(a, b, dst) }

func minIntegers(a, b, dst reg.VecVirtual) { VPMINUD(a, b, dst) }

// across returns the least of v's lanes in the lowest.
func (s isa) across(v reg.VecVirtual, least func(a, b, dst reg.VecVirtual)) reg.VecVirtual {
	half := v
	if s.lanes == 16 {
		half = YMM()
		VEXTRACTI64X4(operand.U8(1), v, half)
		least(asY(v), half, half)
	}
	quarter, other := XMM(), XMM()
	VEXTRACTI128(operand.U8(1), half, quarter)
	least(asX(half), quarter, quarter)
	VPSHUFD(operand.U8(0x4e), quarter, other)
	least(other, quarter, quarter)
	VPSHUFD(operand.U8(0xb1), quarter, other)
	least(other, quarter, quarter)
	return quarter
}

func asX(v reg.VecVirtual) reg.VecVirtual { return v.AsX().(reg.VecVirtual) }

func asY(v reg.VecVirtual) reg.VecVirtual { return v.AsY().(reg.VecVirtual) }

func main() {
	if err := os.WriteFile("../nearest_arm64.s", neonText(), 0o666); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ConstraintExpr("!noasm")
	numbers := sequence()
	avx512.nearest(numbers)
	avx2.nearest(numbers)
	Generate()
}
