package picture

import (
	"image/color"
	"testing"
)

// TestGrid: five pictures in two versions, each enlarged, stand where they should, and white around them.
func TestGrid(t *testing.T) {
	for _, channels := range []int{1, 3} {
		const n, height, width, scale = 5, 2, 3, 32
		g := Grid{Height: height, Width: width, Channels: channels}
		for v := range 2 {
			var pixels []uint8
			for i := range n * height * width * channels {
				pixels = append(pixels, uint8(100*v+i))
			}
			g.Versions = append(g.Versions, pixels)
		}
		const cell, line = 2*width*scale + 2 + 12, height*scale + 12
		drawn := g.Draw()
		const columns, rows = 2, 3 // ceil(sqrt(5*76/206))
		if b := drawn.Bounds(); b.Dx() != columns*cell+12 || b.Dy() != rows*line+12 {
			t.Fatalf("a grid of %v", b)
		}
		painted := 0
		for i := range n {
			for v, pixels := range g.Versions {
				for y := range height {
					for x := range width {
						at := ((i*height+y)*width + x) * channels
						want := color.RGBA{pixels[at], pixels[at], pixels[at], 255}
						if channels == 3 {
							want.G, want.B = pixels[at+1], pixels[at+2]
						}
						left, top := 12+i%columns*cell+v*(width*scale+2)+x*scale, 12+i/columns*line+y*scale
						for _, d := range []int{0, scale - 1} {
							if got := drawn.RGBAAt(left+d, top+d); got != want {
								t.Fatalf("picture %d, version %d, pixel %d, %d: %v, want %v", i, v, x, y, got, want)
							}
						}
						painted += scale * scale
					}
				}
			}
		}
		white := 0
		for i := 0; i < len(drawn.Pix); i += 4 {
			if drawn.Pix[i] == 255 && drawn.Pix[i+1] == 255 && drawn.Pix[i+2] == 255 {
				white++
			}
		}
		if want := len(drawn.Pix)/4 - painted; white != want {
			t.Errorf("%d channels: %d white pixels, want %d", channels, white, want)
		}
	}
}
