package picture

import (
	"image"
	"image/color"
	"math"
)

var (
	peakColour = color.RGBA{120, 165, 215, 255}
	rmsColour  = color.RGBA{25, 75, 140, 255}
)

// waveform keeps the peaks and the energy of a sound of any length in a bounded number of columns: when there are most of
// them, they are merged two by two, and each then holds twice as many samples.
type waveform struct {
	columns []extremes
	most    int   // columns; even
	span    int64 // samples in a column
	room    int64 // samples that the last column lacks
}

// extremes are what is known of a stretch of samples.
type extremes struct{ low, high, energy float64 }

func newWaveform(most int) *waveform { return &waveform{most: most, span: 1} }

func (w *waveform) add(x []float64) {
	for len(x) > 0 {
		if w.room == 0 {
			w.begin()
		}
		part := x[:min(int64(len(x)), w.room)]
		c := &w.columns[len(w.columns)-1]
		low, high, energy := c.low, c.high, c.energy
		for _, v := range part {
			if v < low {
				low = v
			}
			if v > high {
				high = v
			}
			energy += v * v
		}
		*c = extremes{low, high, energy}
		w.room -= int64(len(part))
		x = x[len(part):]
	}
}

// begin adds an empty column.
func (w *waveform) begin() {
	if len(w.columns) == w.most {
		for i := range w.most / 2 {
			a, b := w.columns[2*i], w.columns[2*i+1]
			w.columns[i] = extremes{min(a.low, b.low), max(a.high, b.high), a.energy + b.energy}
		}
		w.columns = w.columns[:w.most/2]
		w.span *= 2
	}
	w.columns = append(w.columns, extremes{math.Inf(1), math.Inf(-1), 0})
	w.room = w.span
}

// peak is the largest magnitude.
func (w *waveform) peak() float64 {
	peak := 0.0
	for _, c := range w.columns {
		peak = max(peak, -c.low, c.high)
	}
	return peak
}

// at returns the extremes at a place between the middles of two columns, in columns.
func (w *waveform) at(place float64) extremes {
	place = min(max(place-0.5, 0), float64(len(w.columns)-1))
	i := int(place)
	a, b := w.columns[i], w.columns[min(i+1, len(w.columns)-1)]
	f := place - float64(i)
	return extremes{low: a.low + f*(b.low-a.low), high: a.high + f*(b.high-a.high)}
}

// draw fills r with samples samples, scaled so that limit is the upper edge. Where a pixel holds many samples, the range of
// their values is light, and that up to their root mean square dark.
func (w *waveform) draw(c *canvas, r image.Rectangle, samples int64, limit float64) {
	middle, scale := float64(r.Min.Y+r.Max.Y)/2, float64(r.Dy())/2/limit
	perPixel := float64(samples) / float64(r.Dx()) / float64(w.span) // columns
	dense := perPixel*float64(w.span) >= 16
	for x := range r.Dx() {
		from, to := float64(x)*perPixel, float64(x+1)*perPixel
		a, b := w.at(from), w.at(to)
		low, high := min(a.low, b.low), max(a.high, b.high)
		energy, n := 0.0, 0
		for i := int(math.Ceil(from - 0.5)); i < len(w.columns) && float64(i)+0.5 < to; i++ {
			low, high = min(low, w.columns[i].low), max(high, w.columns[i].high)
			energy += w.columns[i].energy
			n++
		}
		colour := rmsColour
		if dense {
			colour = peakColour
		}
		c.bar(r, r.Min.X+x, middle-high*scale, middle-low*scale, colour)
		if dense && n > 0 {
			rms := math.Sqrt(energy / (float64(n) * float64(w.span)))
			c.bar(r, r.Min.X+x, middle-min(rms, high)*scale, middle-max(-rms, low)*scale, rmsColour)
		}
	}
}

// bar draws a line of one pixel's width down column x from top to bottom, at least one pixel long, inside r.
func (c *canvas) bar(r image.Rectangle, x int, top, bottom float64, colour color.RGBA) {
	if short := 1 - (bottom - top); short > 0 {
		top, bottom = top-short/2, bottom+short/2
	}
	top, bottom = max(top, float64(r.Min.Y)), min(bottom, float64(r.Max.Y))
	for y := int(top); float64(y) < bottom; y++ {
		c.blend(x, y, colour, min(bottom, float64(y+1))-max(top, float64(y)))
	}
}
