package picture

import (
	"errors"
	"image/color"
	"math"
	"testing"
)

// TestChart looks for the curves where their points are.
func TestChart(t *testing.T) {
	nan := math.NaN()
	c := Chart{XName: "steps", Panels: []Panel{
		{Name: "nats", Curves: []Curve{
			{Name: "flat", X: []float64{0, 50, 100}, Y: []float64{2, nan, 2}},
			{Name: "dashed", X: []float64{0, 100}, Y: []float64{1, 1}, Colour: 1, Dashed: true},
		}},
		{Name: "bits", Zero: true, Curves: []Curve{{Name: "rising", X: []float64{0, 100}, Y: []float64{3, 9}, Colour: 2}}},
	}}
	img, err := c.Draw(Options{Width: 84 + 510 + legendWidth + 20, Height: 36 + 200 + panelGap + 200 + 52, Title: "a chart"})
	if err != nil {
		t.Fatal(err)
	}
	// 510 pixels are 0 to 100 and a hundredth more on both sides: 5 pixels a step. 200 are 1 to 2 and a twentieth more.
	x := func(v float64) int { return 84 + int(5*(v+1)) }
	y := func(v float64) int { return 36 + int((2.05-v)/1.1*200) }
	drawn := func(x, y, number int) bool { // there or beside it
		for dy := -1; dy <= 1; dy++ {
			if img.RGBAAt(x, y+dy) == curveColour(number) {
				return true
			}
		}
		return false
	}
	gaps := 0
	for v := 1.0; v < 99; v++ {
		if !drawn(x(v), y(2), 0) {
			t.Errorf("the flat curve is not at %g", v)
		}
		if !drawn(x(v), y(1), 1) {
			gaps++
		}
	}
	if gaps < 20 || gaps > 70 {
		t.Errorf("%d gaps at 98 places of a dashed curve", gaps)
	}
	for _, v := range []float64{0, 25, 50, 100} {
		top := 36 + 200 + panelGap
		if at := top + int((9.45-3-0.06*v)/9.9*200); !drawn(x(v), at, 2) {
			t.Errorf("the rising curve is not at %g", v)
		}
	}
	var size *SizeError
	if _, err := c.Draw(Options{Width: 10, Height: 10}); !errors.As(err, &size) {
		t.Errorf("too small: %v", err)
	}
}

// TestChartOfLittle draws what has no extent, or is no number.
func TestChartOfLittle(t *testing.T) {
	inf := math.Inf(1)
	for _, curves := range [][]Curve{
		nil, {{}}, {{X: []float64{3}, Y: []float64{0}}}, {{X: []float64{3, 3}, Y: []float64{-2, -2}, Dashed: true}},
		{{X: []float64{inf, 1, math.NaN()}, Y: []float64{1, inf, 2}}}, {{X: []float64{0, 1e-300}, Y: []float64{1e300, -1e300}}},
		{{X: []float64{1, 2}, Y: []float64{7, 7 + 1e-14}}},
	} {
		c := Chart{Panels: []Panel{{Curves: curves}}}
		img, err := c.Draw(Options{Width: MinWidth, Height: MinHeight})
		if err != nil || img.RGBAAt(0, 0) != (color.RGBA{255, 255, 255, 255}) {
			t.Errorf("%v: %v", curves, err)
		}
	}
}

func TestSpan(t *testing.T) {
	for _, test := range []struct{ values, want []float64 }{
		{nil, []float64{0, 1}}, {[]float64{math.NaN(), math.Inf(-1)}, []float64{0, 1}}, {[]float64{4}, []float64{2, 6}}, {[]float64{0}, []float64{-0.5, 0.5}},
		{[]float64{1, 3, math.NaN(), 2}, []float64{0.5, 3.5}},
	} {
		if low, high := span(test.values, 0.25); low != test.want[0] || high != test.want[1] {
			t.Errorf("%v: %v, %v, want %v", test.values, low, high, test.want)
		}
	}
}
