// Package picture draws sound: its waveform above its spectrogram above the units that it was turned into, over one axis of
// time.
//
// A [Picture] is fed with blocks of samples and keeps what its pixels need: a sound of ten hours takes no more memory than
// one of ten seconds, and its length need not be known beforehand.
//
// Axes and text are drawn here, over the standard library's image and the font of golang.org/x/image. Gonum.org/v1/plot was
// measured beside it: it makes a program 9 MB larger; a picture of 1200 x 600 pixels takes it 50 ms with the spectrogram as an
// image, and 600 ms as its heat map of 1000 x 257 cells, where this takes 20 ms; and panels that share an axis and a scale of
// colours would have to be drawn beside it anyway.
package picture

import (
	"fmt"
	"image"
)

// The least and the most that a picture may measure in pixels.
const (
	MinWidth, MinHeight = 400, 360
	MaxWidth, MaxHeight = 10000, 4000
)

// Options say how a picture looks.
type Options struct {
	Width, Height int     // pixels, within the limits above
	Title         string  // above the panels
	Start         float64 // seconds: where on the axis of time the first sample stands, 0 to 1e8
}

// Check returns a *[SizeError] unless the size is within the limits.
func (o Options) Check() error {
	if o.Width < MinWidth || o.Height < MinHeight || o.Width > MaxWidth || o.Height > MaxHeight {
		return &SizeError{o.Width, o.Height}
	}
	return nil
}

// SizeError says that a picture would be too small to read or too large.
type SizeError struct{ Width, Height int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("a picture of %d x %d pixels: want %d x %d to %d x %d", e.Width, e.Height, MinWidth, MinHeight, MaxWidth, MaxHeight)
}

// Picture is a picture of a sound. It is not for several goroutines.
type Picture struct {
	options     Options
	rate        int
	samples     int64
	waveform    *waveform
	spectrogram *spectrogram
	clean       []float64
}

// New begins the picture of a sound with rate samples a second, at least 1. The error is that of [Options.Check].
func New(rate int, o Options) (*Picture, error) {
	if rate < 1 || !(o.Start >= 0 && o.Start <= 1e8) {
		panic(fmt.Sprintf("picture: rate of %d Hz, start at %v s", rate, o.Start))
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	return &Picture{
		options:     o,
		rate:        rate,
		waveform:    newWaveform(8 * o.Width),
		spectrogram: newSpectrogram(rate, 2*o.Width),
		clean:       make([]float64, 4096),
	}, nil
}

// Add adds samples of one channel. What is not a number counts as 0, and what is beyond a million as a million.
func (p *Picture) Add(block []float64) {
	for len(block) > 0 {
		n := min(len(block), len(p.clean))
		for i, v := range block[:n] {
			if !(v >= -1e6 && v <= 1e6) {
				if v != v {
					v = 0
				}
				v = min(max(v, -1e6), 1e6)
			}
			p.clean[i] = v
		}
		p.waveform.add(p.clean[:n])
		p.spectrogram.add(p.clean[:n])
		p.samples += int64(n)
		block = block[n:]
	}
}

// Draw returns the picture, with codes or, where they are nil, without. Nothing may be added afterwards, and it cannot be
// drawn again.
func (p *Picture) Draw(codes *Codes) *image.RGBA {
	p.spectrogram.end(p.samples)
	c := newCanvas(p.options.Width, p.options.Height)
	seconds := float64(p.samples) / float64(p.rate)
	from, to := p.options.Start, p.options.Start+seconds
	if p.samples == 0 {
		to = from + 1
	}
	l := p.layout(codes != nil)

	// titles
	said := fmt.Sprintf("%d Hz, %.6g s", p.rate, seconds)
	right := l.scale.Max.X
	c.text(said, right, 18, 1, faint)
	c.text(c.shorten(p.options.Title, right-c.width(said)-20-l.wave.Min.X), l.wave.Min.X, 18, 0, ink)

	// axis of time
	times, name := timeTicks(from, to, l.wave.Dx()/90)
	bottom := l.spectrum
	if codes != nil {
		bottom = l.codes
	}
	for _, t := range times {
		x := l.wave.Min.X + min(int((t.at-from)/(to-from)*float64(l.wave.Dx())), l.wave.Dx()-1)
		c.fill(image.Rect(x, l.wave.Min.Y, x+1, l.wave.Max.Y), grid)
		c.fill(image.Rect(x, bottom.Max.Y, x+1, bottom.Max.Y+6), ink)
		c.text(t.label, x, bottom.Max.Y+16, 0.5, ink)
	}
	c.text(name, (bottom.Min.X+bottom.Max.X)/2, bottom.Max.Y+36, 0.5, ink)

	// waveform
	limit := max(1.1*p.waveform.peak(), 0.05)
	p.axis(c, l.wave, "amplitude", -limit, limit, 24)
	y := (l.wave.Min.Y + l.wave.Max.Y) / 2
	c.fill(image.Rect(l.wave.Min.X, y, l.wave.Max.X, y+1), grid)
	if p.samples > 0 {
		p.waveform.draw(c, l.wave, p.samples, limit)
	}
	c.frame(l.wave, ink)

	// spectrogram
	p.axis(c, l.spectrum, "frequency (kHz)", 0, float64(p.rate)/2000, 30)
	if p.samples > 0 {
		top := p.spectrogram.draw(c, l.spectrum, p.samples)
		p.colours(c, l.scale, top)
	} else {
		c.text("no sound", (l.spectrum.Min.X+l.spectrum.Max.X)/2, (l.spectrum.Min.Y+l.spectrum.Max.Y)/2, 0.5, faint)
	}
	c.frame(l.spectrum, ink)

	if codes != nil {
		codes.draw(c, l.codes, from, to)
		c.text("units", l.codes.Min.X-8, (l.codes.Min.Y+l.codes.Max.Y)/2, 1, ink)
		c.frame(l.codes, ink)
	}
	return c.RGBA
}

// layout says where things are.
type layout struct{ wave, spectrum, scale, codes image.Rectangle }

func (p *Picture) layout(codes bool) (l layout) {
	const gap = 16
	left, right := 84, p.options.Width-92
	top, bottom := 36, p.options.Height-52
	if codes {
		l.codes = image.Rect(left, bottom-46, right, bottom)
		bottom = l.codes.Min.Y - gap
	}
	middle := top + (bottom-top)/4
	l.wave = image.Rect(left, top, right, middle)
	l.spectrum = image.Rect(left, middle+gap, right, bottom)
	l.scale = image.Rect(right+14, middle+gap, right+28, bottom)
	return l
}

// axis writes ticks, at least spacing pixels apart, and a name to the left of r, whose lower edge is at low, its upper at
// high.
func (p *Picture) axis(c *canvas, r image.Rectangle, name string, low, high float64, spacing int) {
	for _, t := range ticks(low, high, max(r.Dy()/spacing, 1)) {
		y := r.Max.Y - 1 - int((t.at-low)/(high-low)*float64(r.Dy()-1)+0.5)
		c.fill(image.Rect(r.Min.X-6, y, r.Min.X-1, y+1), ink)
		c.text(t.label, r.Min.X-9, y, 1, ink)
	}
	c.upward(name, 18, (r.Min.Y+r.Max.Y)/2, ink)
}

// colours draws the scale of levels into r.
func (p *Picture) colours(c *canvas, r image.Rectangle, top float64) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		level := top - dBRange*(float64(y-r.Min.Y)+0.5)/float64(r.Dy())
		c.fill(image.Rect(r.Min.X, y, r.Max.X, y+1), heat[heatIndex(level, top)])
	}
	c.frame(r, ink)
	for _, t := range ticks(top-dBRange, top, 7) {
		y := r.Min.Y + int((top-t.at)/dBRange*float64(r.Dy()-1)+0.5)
		c.fill(image.Rect(r.Max.X+1, y, r.Max.X+5, y+1), ink)
		c.text(t.label, r.Max.X+8, y, 0, ink)
	}
	c.upward("dB (full-scale sine = 0)", c.Bounds().Max.X-12, (r.Min.Y+r.Max.Y)/2, ink)
}

// shorten cuts the end of s so that it is at most that many pixels long.
func (c *canvas) shorten(s string, most int) string {
	if c.width(s) <= most {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && c.width(string(r)+"…") > most {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}
