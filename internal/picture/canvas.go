package picture

import (
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

var (
	paper = color.RGBA{255, 255, 255, 255}
	ink   = color.RGBA{25, 25, 30, 255}
	faint = color.RGBA{95, 95, 105, 255}   // what is said in passing
	grid  = color.RGBA{225, 225, 230, 255} // lines behind the waveform
)

// fontSize is the height of the text's em square in pixels.
const fontSize = 14

// canvas is a picture with text in Go Regular (Bigelow & Holmes, BSD licence; part of golang.org/x/image).
type canvas struct {
	*image.RGBA
	face font.Face
	cap  int // height of capitals and digits in pixels
}

func newCanvas(width, height int) *canvas {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		panic(err) // it is compiled in
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: fontSize, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err)
	}
	c := &canvas{image.NewRGBA(image.Rect(0, 0, width, height)), face, face.Metrics().CapHeight.Round()}
	c.fill(c.Bounds(), paper)
	return c
}

func (c *canvas) fill(r image.Rectangle, colour color.RGBA) {
	draw.Draw(c, r, image.NewUniform(colour), image.Point{}, draw.Src)
}

// blend lays colour over the pixel at x, y, which must be inside, with that much coverage from 0 to 1.
func (c *canvas) blend(x, y int, colour color.RGBA, coverage float64) {
	p := c.Pix[c.PixOffset(x, y):][:4]
	a := uint32(coverage*256 + 0.5)
	for i, v := range [3]uint8{colour.R, colour.G, colour.B} {
		p[i] = uint8((uint32(p[i])*(256-a) + uint32(v)*a) >> 8)
	}
}

// frame draws a line of one pixel round r.
func (c *canvas) frame(r image.Rectangle, colour color.RGBA) {
	o := r.Inset(-1)
	for _, line := range []image.Rectangle{
		image.Rect(o.Min.X, o.Min.Y, o.Max.X, r.Min.Y), image.Rect(o.Min.X, r.Max.Y, o.Max.X, o.Max.Y),
		image.Rect(o.Min.X, o.Min.Y, r.Min.X, o.Max.Y), image.Rect(r.Max.X, o.Min.Y, o.Max.X, o.Max.Y),
	} {
		c.fill(line, colour)
	}
}

// width returns the length of a text in pixels.
func (c *canvas) width(s string) int { return font.MeasureString(c.face, s).Ceil() }

// text writes s in one line. What share of it is left of x says align: 0 begins there, 0.5 is centred, 1 ends there. The
// middle of its capitals is at y.
func (c *canvas) text(s string, x, y int, align float64, colour color.RGBA) {
	mask := c.mask(s)
	at := image.Pt(x-int(align*float64(mask.Rect.Dx())+0.5), y-mask.Rect.Dy()/2)
	draw.DrawMask(c, mask.Rect.Add(at), image.NewUniform(colour), image.Point{}, mask, image.Point{}, draw.Over)
}

// upward writes s from below upwards, centred at x, y.
func (c *canvas) upward(s string, x, y int, colour color.RGBA) {
	flat := c.mask(s)
	w, h := flat.Rect.Dx(), flat.Rect.Dy()
	mask := image.NewAlpha(image.Rect(0, 0, h, w))
	for i := range w {
		for j := range h {
			mask.SetAlpha(j, w-1-i, flat.AlphaAt(i, j))
		}
	}
	at := image.Pt(x-h/2, y-w/2)
	draw.DrawMask(c, mask.Rect.Add(at), image.NewUniform(colour), image.Point{}, mask, image.Point{}, draw.Over)
}

// mask returns s drawn flat, with its capitals in the middle of the height.
func (c *canvas) mask(s string) *image.Alpha {
	below := c.face.Metrics().Descent.Ceil()
	above := max(below, c.face.Metrics().Ascent.Ceil()-c.cap)
	mask := image.NewAlpha(image.Rect(0, 0, c.width(s), above+c.cap+above))
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: c.face, Dot: fixed.P(0, above+c.cap)}
	d.DrawString(s)
	return mask
}
