// Package gradcheck compares gradients worked out by hand with differences of function values.
//
// [Central] is for float64 references: one coordinate at a time, to 1e-6. [Directional] is for float32 layers, whose
// rounding leaves single coordinates unresolved: along random directions, to 1e-2.
package gradcheck

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// CentralTolerance is the largest relative error that Central accepts.
const CentralTolerance = 1e-6

// Central checks that analytic is the gradient of f with respect to x, which f reads. Each coordinate is differentiated by
// the fourth-order central formula
//
//	f' = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h,   h = 2e-4 max(1, |x|)
//
// whose own error is of the order h^4. The error of a coordinate is taken relative to its derivative, or to a thousandth of
// the root mean square of all derivatives where that is larger. x is as before when Central returns. The error returned
// names the worst coordinate.
func Central(f func() float64, x, analytic []float64) error {
	if len(x) != len(analytic) {
		panic(fmt.Sprintf("gradcheck.Central: %d coordinates, a gradient of %d", len(x), len(analytic)))
	}
	numeric := make([]float64, len(x))
	squares := 0.0
	for i, at := range x {
		h := 2e-4 * max(1, math.Abs(at))
		difference := func(h float64) float64 {
			x[i] = at + h
			plus := f()
			x[i] = at - h
			minus := f()
			x[i] = at
			return plus - minus
		}
		numeric[i] = (8*difference(h) - difference(2*h)) / (12 * h)
		squares += numeric[i] * numeric[i]
	}
	floor := 1e-3 * math.Sqrt(squares/float64(max(len(x), 1)))
	worst, worstError := -1, CentralTolerance
	for i := range x {
		if e := relative(numeric[i], analytic[i], floor); !(e <= worstError) {
			worst, worstError = i, e
			if math.IsNaN(e) {
				break
			}
		}
	}
	if worst >= 0 {
		return fmt.Errorf("coordinate %d of %d, at %g: gradient %g, difference %g, relative error %.2g above %g",
			worst, len(x), x[worst], analytic[worst], numeric[worst], worstError, CentralTolerance)
	}
	return nil
}

// relative is |a-b| relative to the larger of |a|, |b| and floor; 0 if all are 0.
func relative(a, b, floor float64) float64 {
	if a == b {
		return 0
	}
	return math.Abs(a-b) / max(math.Abs(a), math.Abs(b), floor)
}

// DirectionalTolerance is the largest relative error that Directional accepts.
const DirectionalTolerance = 1e-2

// Part is an input or a parameter of a layer with its gradient.
type Part struct {
	Name string
	X    []float32 // read by f
	Grad []float32 // the gradient of f with respect to X, to be checked
}

// Directional checks the gradients of f, which reads the X of every part. For random directions d over one part, and over
// all parts together, it compares
//
//	<Grad, d>   with   (f(X + h d) - f(X - h d)) / 2h,   h = 1/512
//
// where an element of d is plus or minus the root mean square of its part (1 for a part that is all zeros). The error is
// taken relative to the root mean square of <Grad, d> over such directions, or to the difference if that is larger. The X
// are as before when Directional returns. The error returned names the part with the largest error, and the element of
// its gradient that is largest.
//
// f is to sum its result in float64: of a float32 layer's output y, say, the inner product with a fixed random tensor r;
// the gradients are then those that the layer's backward gives for dy = r.
func Directional(f func() float64, src rand.Source, parts ...Part) error {
	const directions, h = 8, 1.0 / 512
	r := rand.New(src)
	scales := make([]float64, len(parts))
	for i, p := range parts {
		if len(p.X) != len(p.Grad) {
			panic(fmt.Sprintf("gradcheck.Directional: %s has %d elements, its gradient %d", p.Name, len(p.X), len(p.Grad)))
		}
		scales[i] = rms(p.X)
		if scales[i] == 0 {
			scales[i] = 1
		}
	}
	// along returns the derivative of f by gradients and by differences along a random direction over the chosen parts,
	// and the root mean square of the former.
	along := func(chosen []Part, scales []float64) (analytic, numeric, typical float64) {
		before := make([][]float32, len(chosen))
		signs := make([][]float64, len(chosen))
		for i, p := range chosen {
			before[i] = append([]float32{}, p.X...)
			signs[i] = make([]float64, len(p.X))
			for k := range p.X {
				signs[i][k] = scales[i]
				if r.Uint64()&1 == 0 {
					signs[i][k] = -scales[i]
				}
				g := float64(p.Grad[k])
				analytic += g * signs[i][k]
				typical += g * g * scales[i] * scales[i]
			}
		}
		at := func(h float64) float64 {
			for i, p := range chosen {
				for k := range p.X {
					p.X[k] = float32(float64(before[i][k]) + h*signs[i][k])
				}
			}
			return f()
		}
		numeric = (at(h) - at(-h)) / (2 * h)
		for i, p := range chosen {
			copy(p.X, before[i])
		}
		return analytic, numeric, math.Sqrt(typical)
	}

	var worst error
	worstError := DirectionalTolerance
	check := func(name string, chosen []Part, scales []float64) {
		for range directions {
			analytic, numeric, typical := along(chosen, scales)
			e := math.Abs(analytic-numeric) / max(typical, math.Abs(numeric))
			if analytic == numeric {
				e = 0
			}
			if !(e <= worstError) && !math.IsNaN(worstError) {
				worstError = e
				worst = fmt.Errorf("%s: derivative along a direction %g, difference %g, relative error %.2g above %g%s",
					name, analytic, numeric, e, DirectionalTolerance, largest(chosen))
			}
		}
	}
	for i, p := range parts {
		check(p.Name, parts[i:i+1], scales[i:i+1])
	}
	if worst == nil && len(parts) > 1 {
		check("all parts together", parts, scales)
	}
	return worst
}

// largest describes the largest element of the gradients.
func largest(parts []Part) string {
	name, at, value := "", -1, 0.0
	for _, p := range parts {
		for i, g := range p.Grad {
			if v := float64(g); at < 0 || math.Abs(v) > math.Abs(value) || v != v {
				name, at, value = p.Name, i, v
			}
		}
	}
	if at < 0 {
		return ""
	}
	return fmt.Sprintf(" (largest gradient: %s[%d] = %g)", name, at, value)
}

func rms(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(len(x), 1)))
}
