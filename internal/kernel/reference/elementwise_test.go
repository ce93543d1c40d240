package reference

import (
	"math"
	"testing"
)

// slope is the derivative of f at x by a central difference.
func slope(f func(x float64) float64, x float64) float64 {
	const h = 1e-5
	return (f(x+h) - f(x-h)) / (2 * h)
}

func TestElementwiseGradients(t *testing.T) {
	check := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= 1e-8) {
			t.Errorf("%s: gradient %v, by differences %v", what, got, want)
		}
	}
	points := []float64{-6, -1.5, -0.2, 0, 0.3, 2, 7}
	for _, a := range points {
		for _, b := range points {
			da, db := GateBackward(a, b, 0.7)
			check("gate a", da, 0.7*slope(func(x float64) float64 { return GateForward(x, b) }, a))
			check("gate b", db, 0.7*slope(func(x float64) float64 { return GateForward(a, x) }, b))
		}
		if a != 0 {
			check("ReLU", ReLUBackward(0.7, ReLU(a)), 0.7*slope(ReLU, a))
		}
	}
	for target := range points {
		_, grad := SoftmaxCrossEntropy(points, target)
		for j, g := range grad {
			check("cross entropy", g, slope(func(x float64) float64 {
				row := append([]float64{}, points...)
				row[j] = x
				nll, _ := SoftmaxCrossEntropy(row, target)
				return nll
			}, points[j]))
		}
	}
	// The gradient of log-sum-exp is the softmax, whose logarithm is the log-softmax.
	for j, p := range Softmax(points) {
		check("log-sum-exp", p, slope(func(x float64) float64 {
			row := append([]float64{}, points...)
			row[j] = x
			return LogSumExp(row)
		}, points[j]))
		check("log-softmax", math.Exp(LogSoftmax(points)[j]), p)
	}
}

// TestAdam follows Adam by hand: with a constant gradient every step has the size of the learning rate.
func TestAdam(t *testing.T) {
	w, m, v := 1.0, 0.0, 0.0
	for step := 1; step <= 5; step++ {
		w, m, v = Adam(w, -3, m, v, 0.1, 0.9, 0.999, 0, 0, step)
		if want := 1 + 0.1*float64(step); math.Abs(w-want) > 1e-12 {
			t.Fatalf("step %d: weight %v, want %v", step, w, want)
		}
	}
	if decayed, _, _ := Adam(2, 0, 0, 0, 0.1, 0.9, 0.999, 1e-8, 0.5, 1); math.Abs(decayed-1.9) > 1e-12 {
		t.Fatalf("weight decay alone leaves %v of 2, want 1.9", decayed)
	}
}

func TestBF16(t *testing.T) {
	for _, c := range []struct {
		x    float32
		want uint16
	}{
		{0, 0}, {1, 0x3f80}, {-1, 0xbf80}, {1.00390625, 0x3f80}, {1.01171875, 0x3f82}, {1.004, 0x3f81},
		{math.MaxFloat32, 0x7f80}, {math.SmallestNonzeroFloat32, 0},
	} {
		if got := BF16(c.x); got != c.want {
			t.Errorf("BF16(%v) = %#x, want %#x", c.x, got, c.want)
		}
	}
}
