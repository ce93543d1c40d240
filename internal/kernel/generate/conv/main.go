// Command conv writes the convolution tiles of package kernel for amd64: by default the float32 tiles and their
// weight-gradient twins, with -bf16 the tiles of mixed precision. With -neon FILE it writes the float32 tiles for arm64.
package main

import (
	"flag"
	"log"
	"os"

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

func (m columns) load(j int, src operand.Mem, dst reg.Register) {
	if m.s.lanes == 16 {
		VMOVUPS_Z(src, m.k[j], dst)
	} else {
		VMASKMOVPS(src, m.mask[j](), dst)
	}
}

func (m columns) store(j int, src reg.Register, dst operand.Mem) {
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

func newTile(s isa, mr int) [][vecs]reg.Register {
	acc := make([][vecs]reg.Register, mr)
	for i := range acc {
		for j := range acc[i] {
			acc[i][j] = s.vec()
		}
	}
	return acc
}

func main() {
	bf16 := flag.Bool("bf16", false, "the tiles of mixed precision")
	neonFile := flag.String("neon", "", "write the tiles for NEON to this `file`, and nothing else")
	flag.Parse()
	if *neonFile != "" {
		if err := os.WriteFile(*neonFile, neonText(), 0o644); err != nil {
			log.Fatal(err)
		}
		return
	}
	ConstraintExpr("!noasm")
	if *bf16 {
		for _, mr := range []int{14, 8, 4, 2, 1} {
			conv(avx512, mr, dotBF16)
		}
		for _, mr := range []int{12, 4, 1} {
			conv(avx512, mr, expandBF16)
		}
		for _, mr := range []int{4, 1} {
			conv(avx2, mr, expandBF16)
		}
		for _, rows := range []int{2, 1} {
			for _, cols := range []int{2, 1} {
				amx(rows, cols)
			}
		}
		pairRows()
		transposePairs()
	} else {
		for _, tier := range []struct {
			isa
			heights []int
		}{{avx512, []int{14, 8, 4, 2, 1}}, {avx2, []int{6, 4, 2, 1}}} {
			for _, mr := range tier.heights {
				conv(tier.isa, mr, float32s)
				gradient(tier.isa, mr, true)
				gradient(tier.isa, mr, false)
			}
		}
	}
	Generate()
}
