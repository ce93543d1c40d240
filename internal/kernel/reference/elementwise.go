package reference

import "math"

// Sigmoid returns 1/(1+exp(-x)).
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// GateForward returns tanh(a) * sigmoid(b).
func GateForward(a, b float64) float64 { return math.Tanh(a) * Sigmoid(b) }

// GateBackward returns the gradients of GateForward with respect to a and b, given that of the output.
func GateBackward(a, b, dy float64) (da, db float64) {
	c := math.Cosh(a)
	da = dy * Sigmoid(b) / (c * c) // 1 - tanh(a)^2 = 1/cosh(a)^2
	db = dy * math.Tanh(a) * Sigmoid(b) * Sigmoid(-b)
	return da, db
}

// ReLU returns max(x, 0).
func ReLU(x float64) float64 { return max(x, 0) }

// ReLUBackward returns dy where the output y is greater than 0, else 0.
func ReLUBackward(dy, y float64) float64 {
	if y > 0 {
		return dy
	}
	return 0
}

// Max returns the largest element of x, -Inf if there is none, NaN if any is NaN.
func Max(x []float64) float64 {
	m := math.Inf(-1)
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

// SumExp returns the sum of exp(x - shift).
func SumExp(x []float64, shift float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - shift)
	}
	return sum
}

// LogSumExp returns log(sum(exp(x))).
func LogSumExp(x []float64) float64 {
	m := Max(x)
	if math.IsInf(m, 0) {
		return m
	}
	return m + math.Log(SumExp(x, m))
}

// Softmax returns exp(x) / sum(exp(x)).
func Softmax(x []float64) []float64 {
	m := Max(x)
	sum := SumExp(x, m)
	y := make([]float64, len(x))
	for j, v := range x {
		y[j] = math.Exp(v-m) / sum
	}
	return y
}

// LogSoftmax returns x - log(sum(exp(x))).
func LogSoftmax(x []float64) []float64 {
	m := Max(x)
	logSum := math.Log(SumExp(x, m))
	y := make([]float64, len(x))
	for j, v := range x {
		y[j] = v - m - logSum
	}
	return y
}

// SoftmaxCrossEntropy returns -log(softmax(row)[target]) and its gradient with respect to row.
func SoftmaxCrossEntropy(row []float64, target int) (nll float64, grad []float64) {
	grad = Softmax(row)
	grad[target]--
	return -LogSoftmax(row)[target], grad
}

// Adam applies one step of Adam with decoupled weight decay to the weight w with gradient g and moments m, v; t = 1, 2, ...
// is the number of the step.
func Adam(w, g, m, v, rate, beta1, beta2, epsilon, decay float64, t int) (w1, m1, v1 float64) {
	m1 = beta1*m + (1-beta1)*g
	v1 = beta2*v + (1-beta2)*g*g
	mHat := m1 / (1 - math.Pow(beta1, float64(t)))
	vHat := v1 / (1 - math.Pow(beta2, float64(t)))
	return w - rate*(mHat/(math.Sqrt(vHat)+epsilon)+decay*w), m1, v1
}

// BF16 returns the bfloat16 nearest to x, the even one if two are equally near. A NaN becomes quiet.
func BF16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40
	}
	towardsZero := uint16(bits >> 16)
	if math.IsInf(float64(x), 0) {
		return towardsZero
	}
	size := math.Abs(float64(x))
	down, up := size-sizeOfBF16(towardsZero), sizeOfBF16(towardsZero+1)-size
	if up < down || up == down && towardsZero%2 == 1 {
		return towardsZero + 1
	}
	return towardsZero
}

// sizeOfBF16 is |b|, and for infinity the number that would follow the largest one.
func sizeOfBF16(b uint16) float64 {
	if b &= 0x7fff; b == 0x7f80 {
		return math.Ldexp(1, 128)
	}
	return float64(math.Float32frombits(uint32(b) << 16))
}

// Dot returns the inner product of a and b.
func Dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
