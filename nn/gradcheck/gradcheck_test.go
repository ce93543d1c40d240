package gradcheck_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/nn/gradcheck"
)

// f is sum_i sin((i+1) x_i) + product of the first two, g its gradient.
func f(x []float64) float64 {
	sum := x[0] * x[1]
	for i, v := range x {
		sum += math.Sin(float64(i+1) * v)
	}
	return sum
}

func g(x []float64) []float64 {
	d := make([]float64, len(x))
	for i, v := range x {
		d[i] = float64(i+1) * math.Cos(float64(i+1)*v)
	}
	d[0] += x[1]
	d[1] += x[0]
	return d
}

func TestCentral(t *testing.T) {
	x := []float64{0.3, -1.2, 2.5, 0, 40}
	before := fmt.Sprint(x)
	value := func() float64 { return f(x) }
	if err := gradcheck.Central(value, x, g(x)); err != nil {
		t.Error("right gradient: ", err)
	}
	if fmt.Sprint(x) != before {
		t.Errorf("x is %v after, %s before", x, before)
	}
	for i := range x {
		for _, wrong := range []func(float64) float64{
			func(v float64) float64 { return v * (1 + 3e-6) },
			func(v float64) float64 { return -v },
			func(float64) float64 { return 0 },
			func(float64) float64 { return math.NaN() },
		} {
			d := g(x)
			d[i] = wrong(d[i])
			err := gradcheck.Central(value, x, d)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("coordinate %d of 5", i)) {
				t.Errorf("coordinate %d wrong (%v for %v): error %v", i, d[i], g(x)[i], err)
			}
		}
	}
}

// A float32 layer y = tanh(w x) for [3] -> [2], with gradients for dy = r.
type layer struct{ x, w, r []float32 }

func (l *layer) value() float64 {
	sum := 0.0
	for j := range 2 {
		a := float32(0)
		for i := range 3 {
			a += l.w[2*i+j] * l.x[i]
		}
		sum += float64(l.r[j]) * float64(float32(math.Tanh(float64(a))))
	}
	return sum
}

func (l *layer) gradients() (dx, dw []float32) {
	dx, dw = make([]float32, 3), make([]float32, 6)
	for j := range 2 {
		a := float32(0)
		for i := range 3 {
			a += l.w[2*i+j] * l.x[i]
		}
		y := float32(math.Tanh(float64(a)))
		da := l.r[j] * (1 - y*y)
		for i := range 3 {
			dx[i] += da * l.w[2*i+j]
			dw[2*i+j] += da * l.x[i]
		}
	}
	return dx, dw
}

func TestDirectional(t *testing.T) {
	l := &layer{
		x: []float32{0.5, -0.25, 1},
		w: []float32{0.3, -0.4, 0.2, 0.6, -0.5, 0.1},
		r: []float32{1.5, -0.75},
	}
	check := func(dx, dw []float32) error {
		return gradcheck.Directional(l.value, rand.NewPCG(1, 2),
			gradcheck.Part{Name: "x", X: l.x, Grad: dx}, gradcheck.Part{Name: "weight", X: l.w, Grad: dw})
	}
	dx, dw := l.gradients()
	before := fmt.Sprint(l)
	if err := check(dx, dw); err != nil {
		t.Error("right gradient: ", err)
	}
	if fmt.Sprint(l) != before {
		t.Errorf("layer %v after, %s before", l, before)
	}
	for name, spoil := range map[string]func(dx, dw []float32){
		"x":      func(dx, dw []float32) { dx[1] *= 1.1 },
		"x ":     func(dx, dw []float32) { clear(dx) },
		"weight": func(dx, dw []float32) { dw[5] = -dw[5] },
		"weight ": func(dx, dw []float32) {
			for i := range dw {
				dw[i] *= 0.97
			}
		},
		"weight  ":  func(dx, dw []float32) { dw[0] = float32(math.NaN()) },
		"weight   ": func(dx, dw []float32) { dw[0], dw[1] = dw[1], dw[0] },
	} {
		dx, dw := l.gradients()
		spoil(dx, dw)
		err := check(dx, dw)
		if part := strings.TrimSpace(name); err == nil || !strings.HasPrefix(err.Error(), part+":") {
			t.Errorf("wrong gradient of %s: error %v", part, err)
		}
	}
	if err := gradcheck.Directional(func() float64 { return 1 }, rand.NewPCG(1, 2),
		gradcheck.Part{Name: "unused", X: make([]float32, 3), Grad: make([]float32, 3)}); err != nil {
		t.Error("a gradient that is zero: ", err)
	}
}
