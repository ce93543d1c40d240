package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/vector"
)

// Chart is curves over one axis, in panels one below the other.
type Chart struct {
	XName  string
	Panels []Panel // at least one
}

// Panel is curves over an axis of their own.
type Panel struct {
	Name   string // of its axis
	Zero   bool   // the axis has 0 on it, whatever the curves
	Curves []Curve
}

// Curve joins points. Those with a coordinate that is NaN or infinite are left out.
type Curve struct {
	Name   string
	X, Y   []float64 // of the points, as many
	Colour int       // a number from 0: curves of one number look alike, those of the first few well apart
	Dashed bool
}

// curveHues are the hues of the colours of curves, in degrees: blue, red, green, violet, yellow.
var curveHues = []float64{255, 35, 150, 320, 90}

// curveColour returns the colour of a number.
func curveColour(i int) color.RGBA { return oklch(0.55, 0.16, curveHues[i%len(curveHues)]) }

// The looks of curves, in pixels.
const (
	strokeWidth = 2
	dotRadius   = 2.5
	dashLength  = 7
	gapLength   = 5
	legendWidth = 190
	panelGap    = 22
)

// Draw returns the picture. The error is that of [Options.Check].
func (c *Chart) Draw(o Options) (*image.RGBA, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if len(c.Panels) == 0 {
		panic("picture: a chart without panels")
	}
	canvas := newCanvas(o.Width, o.Height)
	all := image.Rect(84, 36, o.Width-legendWidth-20, o.Height-52)
	canvas.text(canvas.shorten(o.Title, o.Width-104), all.Min.X, 18, 0, ink)

	var xs []float64
	for _, p := range c.Panels {
		for _, curve := range p.Curves {
			if len(curve.X) != len(curve.Y) {
				panic(fmt.Sprintf("picture: curve %q with %d and %d coordinates", curve.Name, len(curve.X), len(curve.Y)))
			}
			xs = append(xs, curve.X...)
		}
	}
	left, right := span(xs, 0.01)
	steps := ticks(left, right, max(all.Dx()/90, 1))
	height := (all.Dy() - (len(c.Panels)-1)*panelGap) / len(c.Panels)
	for i, p := range c.Panels {
		r := image.Rect(all.Min.X, all.Min.Y+i*(height+panelGap), all.Max.X, all.Min.Y+i*(height+panelGap)+height)
		var ys []float64
		for _, curve := range p.Curves {
			ys = append(ys, curve.Y...)
		}
		if p.Zero {
			ys = append(ys, 0)
		}
		low, high := span(ys, 0.05)
		at := func(x, y float64) (px, py float64) {
			return float64(r.Min.X) + (x-left)/(right-left)*float64(r.Dx()), float64(r.Max.Y) - (y-low)/(high-low)*float64(r.Dy())
		}
		for _, t := range steps {
			x, _ := at(t.at, low)
			canvas.fill(image.Rect(int(x), r.Min.Y, int(x)+1, r.Max.Y), grid)
			canvas.fill(image.Rect(int(x), r.Max.Y, int(x)+1, r.Max.Y+5), ink)
		}
		for _, t := range ticks(low, high, max(r.Dy()/30, 1)) {
			_, y := at(left, t.at)
			canvas.fill(image.Rect(r.Min.X, int(y), r.Max.X, int(y)+1), grid)
			canvas.fill(image.Rect(r.Min.X-6, int(y), r.Min.X-1, int(y)+1), ink)
			canvas.text(t.label, r.Min.X-9, int(y), 1, ink)
		}
		canvas.upward(p.Name, 18, (r.Min.Y+r.Max.Y)/2, ink)
		canvas.frame(r, ink)
		for j, curve := range p.Curves {
			pen := newPen(canvas.Bounds(), curve)
			for k, x := range curve.X {
				if y := curve.Y[k]; finite(x) && finite(y) {
					pen.to(at(x, y))
				}
			}
			pen.draw(canvas)
			y := r.Min.Y + 12 + j*(canvas.cap+10)
			sample := newPen(canvas.Bounds(), curve)
			sample.to(float64(r.Max.X+14), float64(y))
			sample.to(float64(r.Max.X+44), float64(y))
			sample.draw(canvas)
			canvas.text(canvas.shorten(curve.Name, legendWidth-44), r.Max.X+52, y, 0, ink)
		}
	}
	for _, t := range steps {
		canvas.text(t.label, all.Min.X+int((t.at-left)/(right-left)*float64(all.Dx())), all.Max.Y+16, 0.5, ink)
	}
	canvas.text(c.XName, (all.Min.X+all.Max.X)/2, all.Max.Y+36, 0.5, ink)
	return canvas.RGBA, nil
}

func finite(v float64) bool { return v-v == 0 }

// span returns the interval of the finite ones among values, widened on both sides by a share of it; some interval if they are
// all alike, or none.
func span(values []float64, margin float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if finite(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high {
		return 0, 1
	}
	if d := high - low; d > 1e-9*max(math.Abs(low), math.Abs(high)) {
		return low - margin*d, high + margin*d
	}
	d := max(0.5, math.Abs(low)/2)
	return low - d, high + d
}

// pen draws a curve, from point to point.
type pen struct {
	curve  Curve
	raster *vector.Rasterizer
	begun  bool
	x, y   float64 // where it is
	gap    bool    // whether it is within a gap between dashes
	left   float64 // of the dash or the gap
}

func newPen(bounds image.Rectangle, c Curve) *pen {
	return &pen{curve: c, left: dashLength, raster: vector.NewRasterizer(bounds.Dx(), bounds.Dy())}
}

// to goes on to a point, and marks it.
func (p *pen) to(x, y float64) {
	if p.begun {
		length := math.Hypot(x-p.x, y-p.y)
		for at := 0.0; at < length; {
			n := length - at
			if p.curve.Dashed {
				n = min(n, p.left)
			}
			if !p.gap {
				p.stroke(x, y, at/length, (at+n)/length)
			}
			at += n
			if p.left -= n; p.curve.Dashed && p.left <= 0 {
				p.gap = !p.gap
				p.left = dashLength
				if p.gap {
					p.left = gapLength
				}
			}
		}
	}
	p.begun, p.x, p.y = true, x, y
	const corners = 12
	for i := range corners { // the same way round as strokes, or else the two would cancel
		sin, cos := math.Sincos(-2 * math.Pi * float64(i) / corners)
		px, py := float32(x+dotRadius*cos), float32(y+dotRadius*sin)
		if i == 0 {
			p.raster.MoveTo(px, py)
		} else {
			p.raster.LineTo(px, py)
		}
	}
	p.raster.ClosePath()
}

// stroke draws a part of the line to another point, from one share of it to another.
func (p *pen) stroke(x, y, from, to float64) {
	dx, dy := x-p.x, y-p.y
	length := math.Hypot(dx, dy)
	nx, ny := -dy/length*strokeWidth/2, dx/length*strokeWidth/2
	ax, ay, bx, by := p.x+from*dx, p.y+from*dy, p.x+to*dx, p.y+to*dy
	p.raster.MoveTo(float32(ax+nx), float32(ay+ny))
	p.raster.LineTo(float32(bx+nx), float32(by+ny))
	p.raster.LineTo(float32(bx-nx), float32(by-ny))
	p.raster.LineTo(float32(ax-nx), float32(ay-ny))
	p.raster.ClosePath()
}

func (p *pen) draw(c *canvas) {
	p.raster.DrawOp = draw.Over
	p.raster.Draw(c, c.Bounds(), image.NewUniform(curveColour(p.curve.Colour)), image.Point{})
}
