package kernel

import "math"

var (
	negInf = float32(math.Inf(-1))
	posInf = float32(math.Inf(1))
)

// expm1Parts splits exp(x) for the generic tier: exp(x) = (1+p)*s and exp(x)-1 = p*s + (s-1), with s a power of two and
// p = exp(r)-1, |r| <= ln(2)/2. In float64 neither the reduction nor the scale needs care, and the Taylor series up to
// r^8/8! leaves a relative error below 1e-9. |x| is limited to 600, where float32 knows only 0 and Inf; NaN stays.
func expm1Parts(x float64) (p, s float64) {
	const limit = 600
	const magic = 3 << 51 // leaves the nearest whole number in the low bits of a sum
	switch {
	case x > limit:
		x = limit
	case x < -limit:
		x = -limit
	}
	t := x*math.Log2E + magic
	r := x - (t-magic)*math.Ln2
	r2 := r * r
	p = r + r2*((1./2+r*(1./6))+r2*((1./24+r*(1./120))+r2*((1./720+r*(1./5040))+r2*(1./40320))))
	return p, math.Float64frombits((math.Float64bits(t) + 1023) << 52)
}

// Exp writes exp(x) to y, to less than 1 unit in the last place; results above the range of float32 are +Inf, those below
// are 0 or subnormal, NaN stays NaN. y may be x.
func Exp(y, x []float32) {
	checkLen("Exp: x", len(x), len(y))
	for len(y) > chunk {
		exp(y[:chunk], x[:chunk])
		y, x = y[chunk:], x[chunk:]
	}
	exp(y, x)
}

func expGeneric(y, x []float32) {
	for i, v := range x {
		p, s := expm1Parts(float64(v))
		y[i] = float32(p*s + s)
	}
}

// SumExp returns the sum of exp(x-shift).
func SumExp(x []float32, shift float32) float32 {
	sum := 0.0
	for len(x) > sumBlock {
		sum += float64(sumExp(x[:sumBlock], shift))
		x = x[sumBlock:]
	}
	return float32(sum + float64(sumExp(x, shift)))
}

func sumExpGeneric(x []float32, shift float32) float32 {
	sum := 0.0
	for _, v := range x {
		p, s := expm1Parts(float64(v - shift))
		sum += p*s + s
	}
	return float32(sum)
}

// LogSumExp returns log(sum(exp(x))), computed without overflow; -Inf if x is empty.
func LogSumExp(x []float32) float32 {
	m := Max(x)
	if m == negInf || m == posInf || m != m {
		return m
	}
	return float32(float64(m) + math.Log(float64(SumExp(x, m))))
}
