package main

// kernels are the elementwise kernels and row reductions of package kernel. The plain loop that each one stands for is
// NAMEGeneric in that package.
var kernels = []*kernel{
	{"addRows", "(y []float32, yStride int, x []float32, xStride, rows, n int)", func(p *program) {
		y, x := p.matrix("y", "yStride"), p.matrix("x", "xStride")
		p.loop(func() { p.store(y, p.add(p.load(y), p.load(x))) })
	}},
	{"addScaled", "(y, x []float32, a float32)", func(p *program) {
		y, x := p.vector("y"), p.vector("x")
		p.loop(func() { p.store(y, p.fma(p.scalar("a"), p.load(x), p.load(y))) })
	}},
	{"scale", "(y []float32, a float32)", func(p *program) {
		y := p.vector("y")
		p.loop(func() { p.store(y, p.mul(p.scalar("a"), p.load(y))) })
	}},
	{"lerp", "(y, x []float32, t float32)", func(p *program) {
		y, x := p.vector("y"), p.vector("x")
		p.loop(func() {
			v := p.load(y)
			p.store(y, p.fma(p.scalar("t"), p.sub(p.load(x), v), v))
		})
	}},
	{"relu", "(y, x []float32)", func(p *program) {
		y, x := p.vector("y"), p.vector("x")
		p.loop(func() { p.store(y, p.max(p.float(0), p.load(x))) })
	}},
	{"reluBackward", "(dx, dy, y []float32)", func(p *program) {
		dx, dy, y := p.vector("dx"), p.vector("dy"), p.vector("y")
		p.loop(func() { p.store(dx, p.choose(p.greater(p.load(y), p.float(0)), p.load(dy), p.float(0))) })
	}},
	{"dot", "(a, b []float32) float32", func(p *program) {
		a, b := p.vector("a"), p.vector("b")
		var sum *node
		p.loop(func() { sum = p.sumProduct(p.load(a), p.load(b)) })
		p.giveBack(sum)
	}},
	{"sumSquares", "(x []float32) float32", func(p *program) {
		x := p.vector("x")
		var sum *node
		p.loop(func() {
			v := p.load(x)
			sum = p.sumProduct(v, v)
		})
		p.giveBack(sum)
	}},
	{"maximum", "(x []float32) float32", func(p *program) {
		x := p.vector("x")
		var m, nan *node
		p.loop(func() {
			v := p.load(x)
			m = p.largest(v)
			nan = p.sum(p.choose(p.isNaN(v), v, p.float(0)))
		})
		p.giveBack(p.add(m, nan))
	}},
	{"exp", "(y, x []float32)", func(p *program) {
		y, x := p.vector("y"), p.vector("x")
		p.loop(func() { p.store(y, p.exp(p.min(p.float(expHigh), p.load(x)))) })
	}},
	{"sumExp", "(x []float32, shift float32) float32", func(p *program) {
		x := p.vector("x")
		var sum *node
		p.loop(func() { sum = p.sum(p.exp(p.min(p.float(expHigh), p.sub(p.load(x), p.scalar("shift"))))) })
		p.giveBack(sum)
	}},
	{"subtractBoth", "(y, x []float32, a, b float32)", func(p *program) {
		y, x := p.vector("y"), p.vector("x")
		p.loop(func() { p.store(y, p.sub(p.sub(p.load(x), p.scalar("a")), p.scalar("b"))) })
	}},
	{"softmaxStats", "(maxima, sums, x []float32, stride, rows, n int)", func(p *program) {
		x := p.matrix("x", "stride")
		var m, sum *node
		p.loop(func() { m = p.largest(p.load(x)) })
		p.loop(func() { sum = p.sum(p.exp(p.sub(p.load(x), m))) })
		p.keep("maxima", m)
		p.keep("sums", sum)
	}},
	{"softmax", "(y, x []float32, stride, rows, n int, scale float32, maxima, sums []float32)", func(p *program) {
		y, x := p.matrix("y", "stride"), p.matrix("x", "stride")
		var m, sum *node
		p.loop(func() { m = p.largest(p.load(x)) })
		p.loop(func() {
			e := p.exp(p.sub(p.load(x), m))
			p.store(y, e)
			sum = p.sum(e)
		})
		p.keep("maxima", m)
		p.keep("sums", sum)
		factor := p.div(p.scalar("scale"), sum)
		p.loop(func() { p.store(y, p.mul(factor, p.load(y))) })
	}},
	{"logOfSums", "(x []float32)", func(p *program) {
		x := p.vector("x")
		p.loop(func() {
			v := p.load(x)
			p.store(x, p.choose(p.isNaN(v), v, p.log(v)))
		})
	}},
	{"gateForward", "(y []float32, yStride int, ab []float32, abStride, rows, n int)", func(p *program) {
		y, a := p.matrix("y", "yStride"), p.matrix("ab", "abStride")
		b := p.secondHalf(a)
		p.loop(func() {
			g := p.gate(p.load(a), p.load(b))
			p.store(y, p.div(g.w, p.mul(g.u1, g.v1))) // (1-u)/(1+u) / (1+v)
		})
	}},
	{"gateExact", "(y []float32, yStride int, ab []float32, abStride, rows, n int)", func(p *program) {
		y, a := p.matrix("y", "yStride"), p.matrix("ab", "abStride")
		b := p.secondHalf(a)
		p.loop(func() {
			one := p.float(1)
			odd, power := p.powerExact(p.mul(p.clamp(p.load(a), 20), p.float(-2*1.4426950408889634)))
			w := p.sub(p.sub(one, power), p.mul(odd, power))
			odd, power = p.powerExact(p.mul(p.clamp(p.load(b), 40), p.float(-1.4426950408889634)))
			v1 := p.add(one, p.add(power, p.mul(odd, power)))
			p.store(y, p.div(w, p.mul(p.sub(p.float(2), w), v1)))
		})
	}},
	{"gateBackward", "(dab []float32, dabStride int, ab []float32, abStride int, dy []float32, dyStride, rows, n int)", func(p *program) {
		da, a, dy := p.matrix("dab", "dabStride"), p.matrix("ab", "abStride"), p.matrix("dy", "dyStride")
		db, b := p.secondHalf(da), p.secondHalf(a)
		p.loop(func() {
			g := p.gate(p.load(a), p.load(b))
			q := p.div(p.float(1), p.mul(g.u1, g.v1))
			sigmoid := p.mul(q, g.u1)
			h := p.mul(q, g.v1) // 1/(1+u)
			d := p.mul(p.load(dy), sigmoid)
			slope := p.mul(p.mul(p.mul(g.u, p.float(4)), h), h)              // of tanh: 4u/(1+u)^2
			p.store(da, p.mul(d, slope))                                     // the factors of d are at most 1: no
			p.store(db, p.mul(d, p.mul(p.mul(g.w, h), p.mul(g.v, sigmoid)))) // product of a small d loses digits
		})
	}},
	{"adam", "(w, g, m, v []float32, beta1, gain1, beta2, gain2, correction1, correction2, epsilon, rate, decay float32)", func(p *program) {
		w, g, m, v := p.vector("w"), p.vector("g"), p.vector("m"), p.vector("v")
		p.loop(func() {
			d := p.load(g)
			m1 := p.fma(p.scalar("beta1"), p.load(m), p.mul(p.scalar("gain1"), d))
			v1 := p.fma(p.scalar("beta2"), p.load(v), p.mul(p.mul(p.scalar("gain2"), d), d))
			p.store(m, m1)
			p.store(v, v1)
			root := p.sqrt(p.mul(p.scalar("correction2"), v1))
			ratio := p.div(p.mul(p.scalar("correction1"), m1), p.add(p.scalar("epsilon"), root))
			w0 := p.load(w)
			p.store(w, p.fnma(p.scalar("rate"), p.fma(p.scalar("decay"), w0, ratio), w0))
		})
	}},
	{"toBF16", "(dst []uint16, dstStride int, src []float32, srcStride, rows, n int)", func(p *program) {
		dst, src := p.matrix("dst", "dstStride"), p.matrix("src", "srcStride")
		p.loop(func() {
			x := p.load(src)
			high := p.shiftRight(x, 16)
			odd := p.and(p.bits(1), high)
			rounded := p.shiftRight(p.addInt(p.addInt(p.bits(0x7fff), x), odd), 16)
			p.store(dst, p.choose(p.isNaN(x), p.or(p.bits(0x40), high), rounded))
		})
	}},
	{"fromBF16", "(dst []float32, src []uint16)", func(p *program) {
		dst, src := p.vector("dst"), p.vector("src")
		p.loop(func() { p.store(dst, p.shiftLeft(p.load(src), 16)) })
	}},
}

// Rounding to whole numbers: adding magic leaves the nearest one in the low bits of the sum, in two's complement.
const magic = 3 << 22

// Beyond these exp is 0 and +Inf in float32.
const expLow, expHigh = -104.5, 89

// exp is e^x for x <= expHigh. With n the whole number nearest to x/ln2 and r = x - n ln2, ln2 in two parts, it is e^r 2^n;
// e^r = 1 + r + r^2 q(r) by a minimax polynomial, |r| <= ln2/2, relative error 3.1e-9.
func (p *program) exp(x *node) *node {
	x = p.max(p.float(expLow), x)
	t := p.fma(x, p.float(1.4426950408889634), p.float(magic))
	n := p.sub(t, p.float(magic))
	r := p.fnma(n, p.float(0.693359375), x)
	r = p.fnma(n, p.float(-2.12194440054690583e-4), r)
	q := p.polynomial(r, 1.0, 1.0, 0.49999993426219147, 0.16666520310575147, 0.04166839181994086, 0.008368755858365742,
		0.0013814518133983193)
	return p.scale(q, t, n)
}

// polynomial is c[0] + x c[1] + x^2 c[2] + ... by Horner's rule.
func (p *program) polynomial(x *node, c ...float64) *node {
	q := p.float(c[len(c)-1])
	for i := len(c) - 2; i >= 0; i-- {
		q = p.fma(x, q, p.float(c[i]))
	}
	return q
}

// scale is q 2^n over the whole range of float32, rounded once; t = n + magic. Without an instruction for it, two factors
// of about 2^(n/2) are needed: 2^n itself can be out of range.
func (p *program) scale(q, t, n *node) *node {
	if p.tier == avx512 {
		return p.do(opScale, q, n)
	}
	whole := p.subInt(t, p.float(magic))
	half := p.halve(whole)
	one := p.float(1)
	q = p.mul(q, p.addInt(one, p.shiftLeft(half, 23)))
	return p.mul(q, p.addInt(one, p.shiftLeft(p.subInt(whole, half), 23)))
}

// log is the natural logarithm of a normal number x >= 1 below +Inf. With x = 2^e f, sqrt(1/2) <= f < sqrt(2), and
// t = f-1 it is e ln2 + t - t^2/2 + t^3 q(t), ln2 in two parts and q the polynomial of logf in Moshier's Cephes.
func (p *program) log(x *node) *node {
	root := p.bits(0x3f3504f3) // sqrt(1/2)
	over := p.subInt(x, root)
	e := p.sub(p.addInt(p.shiftRight(over, 23), p.float(magic)), p.float(magic))
	t := p.sub(p.addInt(p.and(p.bits(0x7fffff), over), root), p.float(1))
	q := p.polynomial(t, 3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
		-1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2)
	t2 := p.mul(t, t)
	small := p.fma(e, p.float(-2.12194440054690583e-4), p.mul(p.mul(t2, t), q))
	small = p.fnma(t2, p.float(0.5), small)
	return p.fma(e, p.float(0.693359375), p.add(t, small))
}

// gateTerms are the building blocks of tanh(a) = (1-u)/(1+u) and sigmoid(b) = 1/(1+v), u = exp(-2a), v = exp(-b).
type gateTerms struct{ u, v, w, u1, v1 *node } // w = 1-u without cancellation, u1 = 1+u, v1 = 1+v

// gate limits a to +-20 and b to +-40, where tanh, sigmoid and their derivatives are within 1e-16 of their limits, so that
// no product of the terms leaves the range of float32. Powers are taken to base 2: with n the whole number nearest to
// -2a/ln2 and f = n + 2a/ln2, u = 2^n 2^-f, and likewise v.
func (p *program) gate(a, b *node) gateTerms {
	g := gateTerms{}
	one := p.float(1)

	f, t, n := p.split(p.clamp(a, 20), -2*1.4426950408889634)
	power := p.powerOfTwo(t, n)
	m := p.mul(f, p.polynomial(f, exp2Odd...)) // 2^-f - 1
	g.w = p.fnma(m, power, p.sub(one, power))
	g.u = p.fma(m, power, power)
	g.u1 = p.sub(p.float(2), g.w)

	f, t, n = p.split(p.clamp(b, 40), -1.4426950408889634)
	g.v = p.scaleInRange(p.polynomial(f, append([]float64{1}, exp2Odd...)...), t, n)
	g.v1 = p.add(one, g.v)
	return g
}

// exp2Odd are the coefficients of (2^-f - 1)/f, |f| <= 1/2: a minimax polynomial with relative error 4.3e-7.
var exp2Odd = []float64{
	-0.6931471433727939, 0.24022350625847969, -0.05550500428014364, 0.009666303158608456, -0.0013333538688761785,
}

// powerExact splits 2^x, |x| <= 126, into 2^n and 2^(x-n) - 1, n the whole number nearest to x, by the same operations on each tier, each
// of them rounded.
func (p *program) powerExact(x *node) (odd, power *node) {
	t := p.add(x, p.float(magic))
	f := p.sub(p.sub(t, p.float(magic)), x)
	q := p.float(exp2Odd[len(exp2Odd)-1])
	for i := len(exp2Odd) - 2; i >= 0; i-- {
		q = p.add(p.mul(f, q), p.float(exp2Odd[i]))
	}
	return p.mul(f, q), p.addInt(p.float(1), p.shiftLeft(t, 23))
}

// clamp limits x to [-limit, limit]; NaN stays.
func (p *program) clamp(x *node, limit float64) *node {
	return p.max(p.float(-limit), p.min(p.float(limit), x))
}

// split returns the whole number n nearest to c x, t = n + magic, and f = n - c x.
func (p *program) split(x *node, c float64) (f, t, n *node) {
	t = p.fma(x, p.float(c), p.float(magic))
	n = p.sub(t, p.float(magic))
	return p.fnma(x, p.float(c), n), t, n
}

// powerOfTwo is 2^n, |n| <= 126; t = n + magic.
func (p *program) powerOfTwo(t, n *node) *node {
	if p.tier == avx512 {
		return p.do(opScale, p.float(1), n)
	}
	return p.addInt(p.float(1), p.shiftLeft(t, 23))
}

// scaleInRange is q 2^n, |n| <= 126; t = n + magic.
func (p *program) scaleInRange(q, t, n *node) *node {
	if p.tier == avx512 {
		return p.do(opScale, q, n)
	}
	return p.mul(q, p.powerOfTwo(t, n))
}
