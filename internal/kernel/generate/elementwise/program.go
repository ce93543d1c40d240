package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"math"
	"slices"
)

// op is an operation on vectors of 32-bit lanes. A node names one result of it.
type op int

const (
	opConst      op = iota // bits in every lane
	opScalar               // the float32 parameter name in every lane
	opReduced              // the reduction of a loop, in every lane
	opLoad                 // the next elements of a stream
	opStore                // args[0] becomes the next elements of a stream
	opKeep                 // lane 0 of args[0] becomes the next element of the slice parameter name
	opReturn               // lane 0 of args[0] is the result of the function
	opAdd                  // float32: a + b
	opSub                  // a - b
	opMul                  // a * b
	opDiv                  // a / b
	opFMA                  // a*b + c, rounded once
	opFNMA                 // c - a*b, rounded once
	opMax                  // the larger; b if b is NaN (a is never NaN)
	opMin                  // the smaller; b if b is NaN (a is never NaN)
	opSqrt                 // square root
	opScale                // a * 2^b for whole b, over the whole range (AVX-512 only)
	opAddInt               // int32: a + b
	opSubInt               // a - b
	opShiftLeft            // a << bits
	opShiftRight           // a >> bits, zeros shifted in
	opHalve                // a >> 1, the sign shifted in
	opAnd                  // bitwise
	opOr                   // bitwise
	opGreater              // mask: a > b
	opIsNaN                // mask: a is NaN
	opSelect               // where mask a then b else c
)

// reduction is what a loop does with a value of each element, besides storing it.
type reduction int

const (
	noReduction   reduction = iota
	sumOf                   // sum of args[0]
	sumOfProducts           // sum of args[0]*args[1]
	maxOf                   // largest args[0]
)

// identity is the float32 that a reduction starts with.
func (r reduction) identity() uint32 {
	if r == maxOf {
		return math.Float32bits(float32(math.Inf(-1)))
	}
	return 0
}

type node struct {
	op     op
	args   []*node
	bits   uint32 // opConst: the lanes; shifts: the count
	name   string // opScalar, opKeep: the parameter
	stream *stream
	reduce reduction // opReduced
	block  *block    // where it is computed; nil: before everything else
}

// stream is a matrix that a loop walks through, one row at a time.
type stream struct {
	slice  string // parameter of type []float32 or []uint16
	stride string // int parameter: elements from row to row; "" in kernels over vectors
	second bool   // the stream begins n elements into each row
	bytes  int    // of an element: 4, or 2 for []uint16, which is widened to 32 bits without change of value
}

// block is a straight line of nodes: either the body of a loop over the elements of a row, or what a row needs once.
type block struct {
	loop    bool
	nodes   []*node
	reduced []*node // loop: the opReduced nodes that it feeds
}

type param struct{ name, typ string }

// program is a kernel for one tier: blocks that are run for every row, in order.
type program struct {
	*kernel
	tier     tier
	params   []param
	result   bool // returns a float32
	streams  []*stream
	hoisted  []*node // constants and scalars, in order of first use
	blocks   []*block
	inLoop   bool
	constant map[uint32]*node
	scalars  map[string]*node
}

// kernel is the description of a kernel: what it is called, its Go parameters and result, and the program. A kernel with
// parameters rows and n works on matrices; all others work on slices of one length and have the length of the first.
type kernel struct {
	name      string
	signature string
	build     func(p *program)
}

type tier string

const (
	avx512 tier = "AVX512"
	avx2   tier = "AVX2"
	neon   tier = "NEON"
)

func newProgram(k *kernel, t tier) *program {
	p := &program{kernel: k, tier: t, constant: map[uint32]*node{}, scalars: map[string]*node{}}
	expr, err := parser.ParseExpr("func" + k.signature)
	if err != nil {
		panic(err)
	}
	f := expr.(*ast.FuncType)
	for _, field := range f.Params.List {
		for _, id := range field.Names {
			p.params = append(p.params, param{id.Name, typeName(field.Type)})
		}
	}
	p.result = f.Results != nil
	k.build(p)
	p.prune()
	return p
}

// prune removes the nodes that nothing uses.
func (p *program) prune() {
	used := map[*node]bool{}
	for i := len(p.blocks) - 1; i >= 0; i-- {
		b := p.blocks[i]
		mark := func(n *node) {
			for _, a := range n.args {
				used[a] = true
			}
		}
		for _, n := range b.reduced {
			mark(n)
		}
		var kept []*node
		for j := len(b.nodes) - 1; j >= 0; j-- {
			n := b.nodes[j]
			if used[n] || n.op == opStore || n.op == opKeep || n.op == opReturn {
				mark(n)
				kept = append(kept, n)
			}
		}
		slices.Reverse(kept)
		b.nodes = kept
	}
	p.hoisted = slices.DeleteFunc(p.hoisted, func(n *node) bool { return !used[n] })
}

func typeName(e ast.Expr) string {
	if a, ok := e.(*ast.ArrayType); ok {
		return "[]" + typeName(a.Elt)
	}
	return e.(*ast.Ident).Name
}

func (p *program) typeOf(name string) string {
	for _, q := range p.params {
		if q.name == name {
			return q.typ
		}
	}
	return ""
}

func (p *program) hasRows() bool { return p.typeOf("rows") != "" }

// vector declares the slice parameter of that name as a stream; matrix one with a stride.
func (p *program) vector(slice string) *stream { return p.matrix(slice, "") }

func (p *program) matrix(slice, stride string) *stream {
	s := &stream{slice: slice, stride: stride, bytes: 4}
	switch p.typeOf(slice) {
	case "[]float32":
	case "[]uint16":
		s.bytes = 2
	default:
		panic(fmt.Sprintf("%s: %s is not a slice", p.name, slice))
	}
	p.streams = append(p.streams, s)
	return s
}

// secondHalf is the stream that follows s by n elements in each row.
func (p *program) secondHalf(s *stream) *stream {
	t := *s
	t.second = true
	p.streams = append(p.streams, &t)
	return &t
}

// loop records body as the body of a loop over the elements of a row.
func (p *program) loop(body func()) {
	p.blocks = append(p.blocks, &block{loop: true})
	p.inLoop = true
	body()
	p.inLoop = false
	p.blocks = append(p.blocks, &block{})
}

func (p *program) current() *block { return p.blocks[len(p.blocks)-1] }

func (p *program) add2(n *node) *node {
	n.block = p.current()
	n.block.nodes = append(n.block.nodes, n)
	return n
}

func (p *program) do(o op, args ...*node) *node { return p.add2(&node{op: o, args: args}) }

func (p *program) bits(b uint32) *node {
	n := p.constant[b]
	if n == nil {
		n = &node{op: opConst, bits: b}
		p.constant[b] = n
		p.hoisted = append(p.hoisted, n)
	}
	return n
}

func (p *program) float(v float64) *node { return p.bits(math.Float32bits(float32(v))) }

func (p *program) scalar(name string) *node {
	n := p.scalars[name]
	if n == nil {
		if p.typeOf(name) != "float32" {
			panic(fmt.Sprintf("%s: %s is not a float32", p.name, name))
		}
		n = &node{op: opScalar, name: name}
		p.scalars[name] = n
		p.hoisted = append(p.hoisted, n)
	}
	return n
}

func (p *program) load(s *stream) *node     { return p.add2(&node{op: opLoad, stream: s}) }
func (p *program) store(s *stream, v *node) { p.add2(&node{op: opStore, stream: s, args: []*node{v}}) }
func (p *program) keep(slice string, v *node) {
	p.add2(&node{op: opKeep, name: slice, args: []*node{v}})
}
func (p *program) giveBack(v *node)              { p.do(opReturn, v) }
func (p *program) add(a, b *node) *node          { return p.do(opAdd, a, b) }
func (p *program) sub(a, b *node) *node          { return p.do(opSub, a, b) }
func (p *program) mul(a, b *node) *node          { return p.do(opMul, a, b) }
func (p *program) div(a, b *node) *node          { return p.do(opDiv, a, b) }
func (p *program) fma(a, b, c *node) *node       { return p.do(opFMA, a, b, c) }
func (p *program) fnma(a, b, c *node) *node      { return p.do(opFNMA, a, b, c) }
func (p *program) max(a, b *node) *node          { return p.do(opMax, a, b) }
func (p *program) min(a, b *node) *node          { return p.do(opMin, a, b) }
func (p *program) sqrt(a *node) *node            { return p.do(opSqrt, a) }
func (p *program) addInt(a, b *node) *node       { return p.do(opAddInt, a, b) }
func (p *program) subInt(a, b *node) *node       { return p.do(opSubInt, a, b) }
func (p *program) halve(a *node) *node           { return p.do(opHalve, a) }
func (p *program) and(a, b *node) *node          { return p.do(opAnd, a, b) }
func (p *program) or(a, b *node) *node           { return p.do(opOr, a, b) }
func (p *program) greater(a, b *node) *node      { return p.do(opGreater, a, b) }
func (p *program) isNaN(a *node) *node           { return p.do(opIsNaN, a) }
func (p *program) choose(mask, a, b *node) *node { return p.do(opSelect, mask, a, b) }

func (p *program) shiftLeft(a *node, count uint32) *node {
	return p.add2(&node{op: opShiftLeft, args: []*node{a}, bits: count})
}

func (p *program) shiftRight(a *node, count uint32) *node {
	return p.add2(&node{op: opShiftRight, args: []*node{a}, bits: count})
}

// sum, sumProduct and largest reduce a value of the loop being recorded; the result can be used after the loop.
func (p *program) sum(v *node) *node           { return p.reduction(sumOf, v) }
func (p *program) sumProduct(a, b *node) *node { return p.reduction(sumOfProducts, a, b) }
func (p *program) largest(v *node) *node       { return p.reduction(maxOf, v) }

func (p *program) reduction(r reduction, args ...*node) *node {
	if !p.inLoop {
		panic(p.name + ": reduction outside a loop")
	}
	b := p.current()
	n := &node{op: opReduced, reduce: r, args: args, block: b}
	b.reduced = append(b.reduced, n)
	return n
}

// uses counts how often each value of a block is used within it.
func (b *block) uses() map[*node]int {
	count := map[*node]int{}
	for _, list := range [][]*node{b.nodes, b.reduced} {
		for _, n := range list {
			for _, a := range n.args {
				count[a]++
			}
		}
	}
	return count
}
