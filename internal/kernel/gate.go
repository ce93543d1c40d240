package kernel

import "math"

// GateForward computes the gated activation of WaveNet (van den Oord et al., arXiv 1609.03499, eq. 2): ab holds rows of
// 2n elements, a first, then b, at stride abStride; y [rows, n] = tanh(a) * sigmoid(b). The absolute error is at most
// 1e-6. NaN stays NaN. y may not overlap ab.
func GateForward(y []float32, yStride int, ab []float32, abStride, rows, n int) {
	checkMatrix("GateForward: y", len(y), yStride, rows, n)
	checkMatrix("GateForward: ab", len(ab), abStride, rows, 2*n)
	if n == 0 {
		return
	}
	for step := rowsPerCall(n); rows > 0; rows -= step {
		k := min(step, rows)
		gateForward(y, yStride, ab, abStride, k, n)
		if k < rows {
			y, ab = y[k*yStride:], ab[k*abStride:]
		}
	}
}

func gateForwardGeneric(y []float32, yStride int, ab []float32, abStride, rows, n int) {
	for r := range rows {
		a, b, out := ab[r*abStride:][:n], ab[r*abStride+n:][:n], y[r*yStride:][:n]
		for j := range out {
			t, s, _, _ := gateParts(a[j], b[j])
			out[j] = float32(t * s)
		}
	}
}

// gateParts returns tanh(a), sigmoid(b), the derivative of tanh at a and 1-sigmoid(b). Nothing cancels: the derivative is
// 4u/(1+u)^2 with u = exp(-2a), and 1-sigmoid(b) is exp(-b) sigmoid(b).
func gateParts(a, b float32) (tanh, sigmoid, dtanh, unsigmoid float64) {
	p, s := expm1Parts(-2 * float64(a))
	w := p*s + (s - 1) // exp(-2a) - 1
	q := 1 / (2 + w)
	p, s = expm1Parts(-float64(b))
	v := p*s + s // exp(-b)
	sigmoid = 1 / (1 + v)
	return -w * q, sigmoid, 4 * (1 + w) * q * q, v * sigmoid
}

// GateExact is GateForward in operations that are always the same, each of them rounded, so that every tier, on every processor, gives the
// same, bit for bit (but for NaN). The absolute error is at most 2e-6.
func GateExact(y []float32, yStride int, ab []float32, abStride, rows, n int) {
	checkMatrix("GateExact: y", len(y), yStride, rows, n)
	checkMatrix("GateExact: ab", len(ab), abStride, rows, 2*n)
	if n == 0 {
		return
	}
	for step := rowsPerCall(n); rows > 0; rows -= step {
		k := min(step, rows)
		gateExact(y, yStride, ab, abStride, k, n)
		if k < rows {
			y, ab = y[k*yStride:], ab[k*abStride:]
		}
	}
}

// With u = exp(-2a) and v = exp(-b) it is (1-u) / ((1+u) (1+v)).
func gateExactGeneric(y []float32, yStride int, ab []float32, abStride, rows, n int) {
	for r := range rows {
		a, b, out := ab[r*abStride:][:n], ab[r*abStride+n:][:n], y[r*yStride:][:n]
		for j := range out {
			odd, power := powerExact(float32(limit(a[j], 20) * (-2 * math.Log2E)))
			w := 1 - power - float32(odd*power) // 1-u
			odd, power = powerExact(float32(limit(b[j], 40) * -math.Log2E))
			v1 := 1 + (power + float32(odd*power))
			out[j] = w / float32((2-w)*v1)
		}
	}
}

// limit returns x limited to [-most, most]; NaN stays.
func limit(x, most float32) float32 {
	if x > most {
		return most
	}
	if x < -most {
		return -most
	}
	return x
}

// powerExact splits 2^x, |x| <= 126, into 2^n and 2^(x-n) - 1, n the whole number nearest to x. Conversions of products forbid fused
// multiply-adds. The polynomial is minimax on |x-n| <= 1/2, with relative error 4.3e-7.
func powerExact(x float32) (odd, power float32) {
	const magic = 3 << 22 // leaves the nearest whole number in the low bits of a sum
	t := x + magic
	f := t - magic - x
	q := float32(f*-0.0013333538688761785) + 0.009666303158608456
	q = float32(f*q) - 0.05550500428014364
	q = float32(f*q) + 0.24022350625847969
	q = float32(f*q) - 0.6931471433727939
	return float32(f * q), math.Float32frombits(math.Float32bits(1) + math.Float32bits(t)<<23)
}

// GateBackward writes the gradient of GateForward to dab, laid out like ab, from ab and the gradient dy [rows, n] of the
// output: da = dy*sigmoid(b)*(1-tanh(a)^2), db = dy*tanh(a)*sigmoid(b)*(1-sigmoid(b)). dab may be ab itself (at the same
// stride).
func GateBackward(dab []float32, dabStride int, ab []float32, abStride int, dy []float32, dyStride, rows, n int) {
	checkMatrix("GateBackward: dab", len(dab), dabStride, rows, 2*n)
	checkMatrix("GateBackward: ab", len(ab), abStride, rows, 2*n)
	checkMatrix("GateBackward: dy", len(dy), dyStride, rows, n)
	if n == 0 {
		return
	}
	for step := rowsPerCall(n); rows > 0; rows -= step {
		k := min(step, rows)
		gateBackward(dab, dabStride, ab, abStride, dy, dyStride, k, n)
		if k < rows {
			dab, ab, dy = dab[k*dabStride:], ab[k*abStride:], dy[k*dyStride:]
		}
	}
}

func gateBackwardGeneric(dab []float32, dabStride int, ab []float32, abStride int, dy []float32, dyStride, rows, n int) {
	for r := range rows {
		a, b, d := ab[r*abStride:][:n], ab[r*abStride+n:][:n], dy[r*dyStride:][:n]
		da, db := dab[r*dabStride:][:n], dab[r*dabStride+n:][:n]
		for j, g := range d {
			t, s, dt, us := gateParts(a[j], b[j])
			da[j] = float32(float64(g) * s * dt)
			db[j] = float32(float64(g) * t * s * us)
		}
	}
}
