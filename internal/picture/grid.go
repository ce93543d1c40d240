package picture

import (
	"image"
	"image/color"
	"math"
)

// Grid is pictures of one size, each in several versions that stand side by side.
type Grid struct {
	Height, Width, Channels int       // of a picture; 1 channel is grey, 3 are red, green and blue
	Versions                [][]uint8 // of all pictures, [N, Height, Width, Channels] each, as many of each version; at least one picture
}

// The looks of a grid, in pixels.
const (
	gridTile    = 64 // a picture is enlarged by a whole factor so that its shorter side is at least as long
	gridGap     = 2  // between versions of a picture
	gridSpacing = 12 // between pictures, and round all
)

// Draw returns a grid that is about square: pictures go from left to right and from the top down.
func (g *Grid) Draw() *image.RGBA {
	size := g.Height * g.Width * g.Channels
	n := len(g.Versions[0]) / size
	scale := max(1, (gridTile+min(g.Height, g.Width)-1)/min(g.Height, g.Width))
	width := len(g.Versions)*(g.Width*scale+gridGap) - gridGap + gridSpacing
	height := g.Height*scale + gridSpacing
	columns := min(n, int(math.Ceil(math.Sqrt(float64(n)*float64(height)/float64(width)))))
	rows := (n + columns - 1) / columns

	out := image.NewRGBA(image.Rect(0, 0, columns*width+gridSpacing, rows*height+gridSpacing))
	for i := range out.Pix {
		out.Pix[i] = 0xff
	}
	for i := range n {
		for v, pixels := range g.Versions {
			left := gridSpacing + i%columns*width + v*(g.Width*scale+gridGap)
			top := gridSpacing + i/columns*height
			g.paint(out, left, top, scale, pixels[i*size:(i+1)*size])
		}
	}
	return out
}

// paint paints a picture.
func (g *Grid) paint(out *image.RGBA, left, top, scale int, pixels []uint8) {
	for y := range g.Height * scale {
		for x := range g.Width * scale {
			at := (y/scale*g.Width + x/scale) * g.Channels
			c := color.RGBA{pixels[at], pixels[at], pixels[at], 0xff}
			if g.Channels == 3 {
				c.G, c.B = pixels[at+1], pixels[at+2]
			}
			out.SetRGBA(left+x, top+y, c)
		}
	}
}
