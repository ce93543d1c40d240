package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// x86 writes programs as AVX-512 or AVX2+FMA assembly with avo.
//
// Tails: AVX-512 masks the last vector of a row. AVX2 masks it too, but goes element by element in kernels with a
// []uint16, for which it has no masked load and store.
type x86 struct {
	*build.Context
	*program
	lanes   int
	table   map[string]operand.Mem // 32-byte constants of the file
	bases   map[*stream]reg.Register
	kept    map[string]reg.Register // slices of opKeep: next element
	n       reg.Register
	index   reg.Register               // of the current element in its row
	mask    reg.Register               // AVX-512: opmask of the tail; AVX2: vector mask, loaded in each tail
	tailAt  reg.Register               // AVX2: address of the mask of the tail
	fixed   map[*node]reg.VecVirtual   // values that outlive a block
	pending map[*node][]reg.VecVirtual // accumulators of the loop being written
	masks   map[*node]reg.Register     // AVX-512: results of comparisons
	labels  int
}

// extent says which part of a row a piece of code handles.
type extent int

const (
	wholeVector extent = iota
	maskedTail
	oneElement
)

// writeX86 returns the assembly file of all kernels for the AVX-512 and AVX2 tiers.
func writeX86(kernels []*kernel) ([]byte, error) {
	ctx := build.NewContext()
	ctx.ConstraintExpr("!noasm")
	table := map[string]operand.Mem{}
	for _, k := range kernels {
		for _, t := range []tier{avx512, avx2} {
			x := &x86{
				Context: ctx, program: newProgram(k, t), table: table, lanes: 16,
				bases: map[*stream]reg.Register{}, kept: map[string]reg.Register{},
				fixed: map[*node]reg.VecVirtual{}, pending: map[*node][]reg.VecVirtual{}, masks: map[*node]reg.Register{},
			}
			if t == avx2 {
				x.lanes = 8
			}
			x.function()
		}
	}
	file, err := ctx.Result()
	if err != nil {
		return nil, err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return nil, err
	}
	out, err := printer.NewGoAsm(printer.Config{Name: "generate/elementwise", Pkg: "kernel"}).Print(file)
	if strings.Contains(string(out), "R14") || strings.Contains(string(out), "R15") {
		return nil, fmt.Errorf("R14 or R15 in use: they belong to Go")
	}
	return out, err
}

func (x *x86) label(what string) string {
	x.labels++
	return fmt.Sprintf("%s%d", what, x.labels)
}

func (x *x86) vec() reg.VecVirtual {
	if x.lanes == 16 {
		return x.ZMM()
	}
	return x.YMM()
}

// constant is the address of 32 bytes of RODATA.
func (x *x86) constant(name string, words ...uint32) operand.Mem {
	m, ok := x.table[name]
	if !ok {
		m = x.StaticGlobal(name)
		x.DataAttributes(8 | 16) // RODATA | NOPTR
		for i, w := range words {
			x.AddDatum(4*i, operand.U32(w))
		}
		x.table[name] = m
	}
	return m
}

func (x *x86) broadcast(bits uint32) operand.Mem {
	w := make([]uint32, 8)
	for i := range w {
		w[i] = bits
	}
	return x.constant(fmt.Sprintf("elementwise%08x", bits), w...)
}

func (x *x86) scalarAddress(name string) operand.Mem {
	b, err := x.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func (x *x86) narrow() bool {
	for _, s := range x.streams {
		if s.bytes == 2 {
			return true
		}
	}
	return false
}

func (x *x86) function() {
	x.Function(x.name + string(x.tier))
	x.Attributes(4) // NOSPLIT
	x.SignatureExpr("func" + x.signature)
	x.Doc(fmt.Sprintf("%s%s is %sGeneric.", x.name, x.tier, x.name))

	var rows reg.Register
	if x.hasRows() {
		rows = x.Load(x.Param("rows"), x.GP64())
		x.TESTQ(rows, rows)
		x.JZ(operand.LabelRef("end"))
		x.n = x.Load(x.Param("n"), x.GP64())
	} else {
		x.n = x.Load(x.Param(x.params[0].name).Len(), x.GP64())
	}
	for _, s := range x.streams {
		base := x.Load(x.Param(s.slice).Base(), x.GP64())
		if s.second {
			x.LEAQ(operand.Mem{Base: base, Index: x.n, Scale: uint8(s.bytes)}, base)
		}
		x.bases[s] = base
	}
	for _, b := range x.blocks {
		for _, k := range b.nodes {
			if k.op == opKeep {
				x.kept[k.name] = x.Load(x.Param(k.name).Base(), x.GP64())
			}
		}
	}
	x.index = x.GP64()
	x.prepareTail()
	if x.tier == avx512 {
		for _, h := range x.hoisted {
			v := x.vec()
			if h.op == opConst {
				x.VBROADCASTSS(x.broadcast(h.bits), v)
			} else {
				x.VBROADCASTSS(x.scalarAddress(h.name), v)
			}
			x.fixed[h] = v
		}
	}

	if x.hasRows() {
		x.Label("row")
	}
	for _, b := range x.blocks {
		if b.loop {
			x.loopOver(b)
		} else {
			for _, k := range b.nodes {
				x.emit(k, nil, wholeVector, 0, x.fixed)
			}
		}
	}
	if x.hasRows() {
		for _, s := range x.streams {
			stride := x.Load(x.Param(s.stride), x.GP64())
			x.LEAQ(operand.Mem{Base: x.bases[s], Index: stride, Scale: uint8(s.bytes)}, x.bases[s])
		}
		x.DECQ(rows)
		x.JNZ(operand.LabelRef("row"))
		x.Label("end")
	}
	x.VZEROUPPER()
	x.RET()
}

func (x *x86) prepareTail() {
	if x.tier == avx512 {
		x.MOVQ(x.n, reg.RCX)
		x.ANDL(operand.U8(15), reg.ECX)
		bits := x.GP32()
		x.MOVL(operand.U32(1), bits)
		x.SHLL(reg.CL, bits)
		x.DECL(bits)
		k := x.K()
		x.KMOVW(bits, k)
		x.mask = k
		return
	}
	if x.narrow() {
		return
	}
	// The mask of r elements is found r words before the zeros of the table.
	m := x.constant("elementwiseTail", ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0),
		^uint32(0), 0, 0, 0, 0, 0, 0, 0, 0)
	at, r := x.GP64(), x.GP64()
	x.LEAQ(m.Offset(32), at)
	x.MOVQ(x.n, r)
	x.ANDQ(operand.U8(7), r)
	x.NEGQ(r)
	x.LEAQ(operand.Mem{Base: at, Index: r, Scale: 4}, at)
	x.tailAt = at
}

// unroll says how many vectors of a block to handle in one pass: short bodies are bound by the loop, and reductions by the
// latency of their one addition.
func (x *x86) unroll(b *block) int {
	switch {
	case len(b.nodes) <= 8:
		return 4
	case len(b.reduced) > 0:
		return 2
	}
	return 1
}

func (x *x86) loopOver(b *block) {
	unroll := x.unroll(b)
	for _, r := range b.reduced {
		acc := make([]reg.VecVirtual, unroll)
		for u := range acc {
			acc[u] = x.vec()
			if id := r.reduce.identity(); id == 0 {
				x.VXORPS(acc[u], acc[u], acc[u])
			} else {
				x.VBROADCASTSS(x.broadcast(id), acc[u])
			}
		}
		x.pending[r] = acc
	}
	limit := x.GP64()
	x.XORQ(x.index, x.index)
	single, tail, done := x.label("single"), x.label("tail"), x.label("done")
	pass := func(vectors int, next string) {
		again := x.label("loop")
		x.MOVQ(x.n, limit)
		x.ANDQ(operand.I32(-vectors*x.lanes), limit)
		x.CMPQ(x.index, limit)
		x.JGE(operand.LabelRef(next))
		x.Label(again)
		for u := range vectors {
			x.body(b, wholeVector, u)
		}
		x.ADDQ(operand.I32(vectors*x.lanes), x.index)
		x.CMPQ(x.index, limit)
		x.JL(operand.LabelRef(again))
	}
	if unroll > 1 {
		pass(unroll, single)
		x.Label(single)
	}
	pass(1, tail)
	x.Label(tail)
	x.CMPQ(x.index, x.n)
	x.JGE(operand.LabelRef(done))
	if x.tier == avx2 && x.narrow() {
		x.body(b, oneElement, 0)
		x.INCQ(x.index)
		x.JMP(operand.LabelRef(tail))
	} else {
		if x.tier == avx2 {
			m := x.vec()
			x.VMOVUPS(operand.Mem{Base: x.tailAt}, m)
			x.mask = m
		}
		x.body(b, maskedTail, 0)
	}
	x.Label(done)
	for _, r := range b.reduced {
		x.fixed[r] = x.reduceLanes(r)
	}
}

// body writes the nodes of a block once, for the vector that is u vectors on from index.
func (x *x86) body(b *block, e extent, u int) {
	left := b.uses()
	local := map[*node]reg.VecVirtual{}
	for _, k := range b.nodes {
		x.emit(k, left, e, u, local)
		for _, a := range k.args {
			left[a]--
		}
	}
	for _, r := range b.reduced {
		acc := x.pending[r][u]
		next := acc
		if e == maskedTail && x.tier == avx2 {
			next = x.vec()
			x.VMOVAPS(acc, next)
		}
		var ops []operand.Op
		if e == maskedTail && x.tier == avx512 {
			ops = []operand.Op{x.mask}
		}
		a := x.register(r.args[0], local)
		switch r.reduce {
		case sumOf:
			x.VADDPS(append([]operand.Op{a, next}, append(ops, next)...)...)
		case maxOf:
			x.VMAXPS(append([]operand.Op{next, a}, append(ops, next)...)...) // keeps next where a is NaN
		case sumOfProducts:
			x.VFMADD231PS(append([]operand.Op{a, x.register(r.args[1], local)}, append(ops, next)...)...)
		}
		if e == maskedTail && x.tier == avx2 {
			x.VBLENDVPS(x.mask, next, acc, acc)
		}
	}
}

// reduceLanes combines the accumulators and their lanes, always in the same order; every lane of the result is the total.
func (x *x86) reduceLanes(r *node) reg.VecVirtual {
	combine := func(from, to operand.Op) {
		if r.reduce == maxOf {
			x.VMAXPS(from, to, to)
		} else {
			x.VADDPS(from, to, to)
		}
	}
	acc := x.pending[r]
	for n := len(acc) / 2; n > 0; n /= 2 {
		for i := range n {
			combine(acc[i+n], acc[i])
		}
	}
	total := acc[0]
	t := x.vec()
	if x.lanes == 16 {
		x.VSHUFF32X4(operand.U8(0x4e), total, total, t)
		combine(t, total)
		x.VSHUFF32X4(operand.U8(0xb1), total, total, t)
	} else {
		x.VPERM2F128(operand.U8(0x01), total, total, t)
	}
	combine(t, total)
	x.VPERMILPS(operand.U8(0x4e), total, t)
	combine(t, total)
	x.VPERMILPS(operand.U8(0xb1), total, t)
	combine(t, total)
	return total
}

// register returns the register of a value, loading it if it is a constant or scalar that AVX2 leaves in memory.
func (x *x86) register(n *node, local map[*node]reg.VecVirtual) reg.VecVirtual {
	if v, ok := local[n]; ok {
		return v
	}
	if v, ok := x.fixed[n]; ok {
		return v
	}
	v := x.vec()
	switch n.op {
	case opConst:
		x.VMOVUPS(x.broadcast(n.bits), v)
	case opScalar:
		x.VBROADCASTSS(x.scalarAddress(n.name), v)
	default:
		panic(fmt.Sprintf("%s: value of op %d is not there", x.name, n.op))
	}
	return v
}

// source is register, or the address of a constant that AVX2 leaves in memory.
func (x *x86) source(n *node, local map[*node]reg.VecVirtual) operand.Op {
	if n.op == opConst && x.tier == avx2 {
		return x.broadcast(n.bits)
	}
	return x.register(n, local)
}

// emit writes one node. Values go into local; left counts the uses still to come (nil: never reuse a register).
func (x *x86) emit(k *node, left map[*node]int, e extent, u int, local map[*node]reg.VecVirtual) {
	get := func(i int) reg.VecVirtual { return x.register(k.args[i], local) }
	src := func(i int) operand.Op { return x.source(k.args[i], local) }
	switch k.op {
	case opLoad:
		local[k] = x.loadElements(k.stream, e, u)
		return
	case opStore:
		x.storeElements(k.stream, get(0), e, u)
		return
	case opKeep:
		at := x.kept[k.name]
		x.VMOVSS(get(0).AsX(), operand.Mem{Base: at})
		x.ADDQ(operand.U8(4), at)
		return
	case opReturn:
		x.Store(get(0).AsX(), x.ReturnIndex(0))
		return
	case opFMA, opFNMA:
		local[k] = x.fused(k, left, local)
		return
	case opGreater, opIsNaN:
		x.compare(k, local)
		return
	}
	v := x.vec()
	local[k] = v
	switch k.op {
	case opAdd, opMul, opAddInt, opAnd, opOr: // commutative: a constant goes where memory may be
		a, b := 0, 1
		if k.args[0].op == opConst {
			a, b = 1, 0
		}
		from, with := src(b), get(a)
		switch k.op {
		case opAdd:
			x.VADDPS(from, with, v)
		case opMul:
			x.VMULPS(from, with, v)
		case opAddInt:
			x.VPADDD(from, with, v)
		case opAnd:
			x.VANDPS(from, with, v)
		case opOr:
			x.VORPS(from, with, v)
		}
	case opSub:
		x.VSUBPS(src(1), get(0), v)
	case opDiv:
		x.VDIVPS(src(1), get(0), v)
	case opMax:
		x.VMAXPS(src(1), get(0), v)
	case opMin:
		x.VMINPS(src(1), get(0), v)
	case opSubInt:
		x.VPSUBD(src(1), get(0), v)
	case opSqrt:
		x.VSQRTPS(src(0), v)
	case opScale:
		x.VSCALEFPS(src(1), get(0), v)
	case opShiftLeft:
		x.VPSLLD(operand.U8(k.bits), get(0), v)
	case opShiftRight:
		x.VPSRLD(operand.U8(k.bits), get(0), v)
	case opHalve:
		x.VPSRAD(operand.U8(1), get(0), v)
	case opSelect:
		switch zero := k.args[2].op == opConst && k.args[2].bits == 0; {
		case x.tier == avx512:
			x.VBLENDMPS(get(1), get(2), x.masks[k.args[0]], v)
		case zero:
			x.VANDPS(get(0), get(1), v)
		default:
			x.VBLENDVPS(get(0), get(1), get(2), v)
		}
	default:
		panic(fmt.Sprintf("%s: op %d", x.name, k.op))
	}
}

func (x *x86) compare(k *node, local map[*node]reg.VecVirtual) {
	a, b, predicate := x.register(k.args[0], local), operand.Op(nil), operand.U8(3) // unordered
	b = a
	if k.op == opGreater {
		b, predicate = x.source(k.args[1], local), operand.U8(0x1e) // greater, ordered, quiet
	}
	if x.tier == avx512 {
		m := x.K()
		x.VCMPPS(predicate, b, a, m)
		x.masks[k] = m
		return
	}
	v := x.vec()
	x.VCMPPS(predicate, b, a, v)
	local[k] = v
}

// fused writes opFMA and opFNMA in that one of the three forms whose overwritten operand is not needed any more.
func (x *x86) fused(k *node, left map[*node]int, local map[*node]reg.VecVirtual) reg.VecVirtual {
	a, b, c := k.args[0], k.args[1], k.args[2]
	dies := func(n *node) bool { return left != nil && n.block != nil && local[n] != nil && left[n] == 1 }
	f231, f213 := x.VFMADD231PS, x.VFMADD213PS
	if k.op == opFNMA {
		f231, f213 = x.VFNMADD231PS, x.VFNMADD213PS
	}
	switch {
	case dies(c):
		v := local[c]
		if a.op == opConst {
			a, b = b, a
		}
		f231(x.source(b, local), x.register(a, local), v)
		return v
	case dies(a):
		v := local[a]
		f213(x.source(c, local), x.register(b, local), v)
		return v
	case dies(b):
		v := local[b]
		f213(x.source(c, local), x.register(a, local), v)
		return v
	}
	// Copy a factor, preferably a constant: that is a load where it is in memory.
	if b.op == opConst {
		a, b = b, a
	}
	v := x.vec()
	if from := x.source(a, local); a.op == opConst && x.tier == avx2 {
		x.VMOVUPS(from, v)
	} else {
		x.VMOVAPS(from, v)
	}
	f213(x.source(c, local), x.register(b, local), v)
	return v
}

func (x *x86) at(s *stream, u int) operand.Mem {
	return operand.Mem{Base: x.bases[s], Index: x.index, Scale: uint8(s.bytes), Disp: u * x.lanes * s.bytes}
}

func (x *x86) loadElements(s *stream, e extent, u int) reg.VecVirtual {
	v, at := x.vec(), x.at(s, u)
	switch {
	case e == oneElement && s.bytes == 2:
		word := x.GP32()
		x.MOVWLZX(at, word)
		x.VMOVD(word, v.AsX())
	case e == oneElement:
		x.VMOVSS(at, v.AsX())
	case e == maskedTail && s.bytes == 2:
		x.VPMOVZXWD_Z(at, x.mask, v)
	case s.bytes == 2:
		x.VPMOVZXWD(at, v)
	case e == maskedTail && x.tier == avx512:
		x.VMOVUPS_Z(at, x.mask, v)
	case e == maskedTail:
		x.VMASKMOVPS(at, x.mask, v)
	default:
		x.VMOVUPS(at, v)
	}
	return v
}

func (x *x86) storeElements(s *stream, v reg.VecVirtual, e extent, u int) {
	at := x.at(s, u)
	switch {
	case e == oneElement && s.bytes == 2:
		x.VPEXTRW(operand.U8(0), v.AsX(), at)
	case e == oneElement:
		x.VMOVSS(v.AsX(), at)
	case e == maskedTail && s.bytes == 2:
		x.VPMOVDW(v, x.mask, at)
	case s.bytes == 2 && x.tier == avx512:
		x.VPMOVDW(v, at)
	case s.bytes == 2:
		high := x.XMM()
		x.VEXTRACTI128(operand.U8(1), v, high)
		x.VPACKUSDW(high, v.AsX(), high)
		x.VMOVDQU(high, at)
	case e == maskedTail && x.tier == avx512:
		x.VMOVUPS(v, x.mask, at)
	case e == maskedTail:
		x.VMASKMOVPS(v, x.mask, at)
	default:
		x.VMOVUPS(v, at)
	}
}
