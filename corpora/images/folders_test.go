package images

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/vqaudio/vqaudio/files"
)

// setPNGSize changes the size that the header of a PNG file states, and the header's checksum.
func setPNGSize(b []byte, width, height uint32) {
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
}

// TestFit checks the scaling against what a picture is: brightness is kept, what is too fine for the new size becomes
// its mean and not a coarser pattern, edges lie where they lay.
func TestFit(t *testing.T) {
	paint := func(w, h int, f func(x, y int) float64) image.Image {
		m := image.NewGray(image.Rect(-7, 3, w-7, h+3))
		for y := range h {
			for x := range w {
				m.Pix[y*m.Stride+x] = uint8(math.Round(f(x, y)))
			}
		}
		return m
	}
	t.Run("own size", func(t *testing.T) {
		pixels := randomBytes(32*32, 1)
		got := make([]uint8, 32*32)
		fit(paint(32, 32, func(x, y int) float64 { return float64(pixels[y*32+x]) }), got, 32)
		if !bytes.Equal(got, pixels) {
			t.Error("a picture of the right size has changed")
		}
	})
	t.Run("crop", func(t *testing.T) {
		for _, size := range [][2]int{{50, 32}, {32, 51}} {
			left, top := (size[0]-32)/2, (size[1]-32)/2
			got := make([]uint8, 32*32)
			fit(paint(size[0], size[1], func(x, y int) float64 { return float64(3*(x-left) + 2*(y-top)) }), got, 32)
			for i, p := range got {
				if want := uint8(3*(i%32) + 2*(i/32)); p != want {
					t.Fatalf("%v: pixel %d is %d, want %d", size, i, p, want)
				}
			}
		}
	})
	t.Run("flat", func(t *testing.T) {
		for _, size := range []int{1, 2, 31, 33, 100, 517} {
			got := make([]uint8, 3*32*32)
			fit(uniform(image.Rect(0, 0, size, size), color.NRGBA{255, 128, 3, 255}), got, 32)
			for i, p := range got {
				if p != [3]uint8{255, 128, 3}[i%3] {
					t.Fatalf("from %d: value %d is %d", size, i, p)
				}
			}
		}
	})
	t.Run("ramp", func(t *testing.T) { // pixel x of 160 spans [x, x+1): its centre and that of pixel i of 32 agree for x = 5i+2
		got := make([]uint8, 32*32)
		fit(paint(160, 160, func(x, y int) float64 { return 20 + float64(x) }), got, 32)
		for i := range 32 {
			x := i % 32
			if d := int(got[16*32+x]) - (20 + 5*x + 2); x > 1 && x < 30 && (d > 1 || d < -1) {
				t.Errorf("column %d is %d, want %d", x, got[16*32+x], 20+5*x+2)
			}
		}
	})
	t.Run("alias", func(t *testing.T) { // by a nearest or bilinear point filter these would be stripes as strong as before
		for _, period := range []float64{2, 2.3, 3.1, 4.1} {
			got := make([]uint8, 32*32)
			fit(paint(256, 256, func(x, y int) float64 { return 128 + 100*math.Sin(2*math.Pi*(float64(x)+0.3)/period) }), got, 32)
			for i := 2; i < 30; i++ {
				if d := float64(got[16*32+i]) - 128; math.Abs(d) > 3 {
					t.Errorf("stripes of period %g in a picture 8 times as wide leave %+g in column %d", period, d, i)
				}
			}
		}
	})
	t.Run("transparent", func(t *testing.T) {
		got := make([]uint8, 3)
		fit(uniform(image.Rect(0, 0, 4, 4), color.NRGBA{100, 0, 0, 0}), got, 1)
		if !bytes.Equal(got, []uint8{255, 255, 255}) {
			t.Errorf("what is transparent is %v, want white", got)
		}
		fit(uniform(image.Rect(0, 0, 4, 4), color.NRGBA{100, 0, 200, 128}), got, 1)
		for i, want := range []int{177, 127, 227} {
			if d := int(got[i]) - want; d > 1 || d < -1 { // rounded twice
				t.Errorf("what is half transparent is %v, want %d in channel %d", got, want, i)
			}
		}
	})
}

func FuzzIDX(f *testing.F) {
	for _, b := range [][]byte{
		idxFile(randomBytes(24, 1), 2, 3, 4), idxFile([]byte{1, 2, 3}, 3), pack(idxFile(randomBytes(24, 1), 2, 3, 4)), pack(pack(nil)),
		idxFile(nil, 1<<30, 1<<14, 1<<14), append(pack([]byte{0, 0, 8, 1, 0, 0}), pack([]byte{0, 3, 1, 2, 3})...),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, dims := range []int{1, 3} {
			shape, data, err := decodeIDX(bytes.NewReader(b), "x", dims)
			if err != nil {
				typed(t, err)
				continue
			}
			n := 1
			for _, s := range shape {
				n *= s
			}
			if len(shape) != dims || n != len(data) || n == 0 {
				t.Errorf("shape %v with %d bytes", shape, len(data))
			}
		}
	})
}

// FuzzCIFAR makes its batches from a few numbers: mutations of thousands of bytes would find little.
func FuzzCIFAR(f *testing.F) {
	f.Add(uint16(3073), uint8(1), uint8(0))
	f.Add(uint16(2*3074), uint8(2), uint8(200))
	f.Add(uint16(3000), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, length uint16, seed, classes uint8) {
		b := randomBytes(int(length), seed)
		for labelBytes := 1; labelBytes <= 2; labelBytes++ {
			s := Set{Height: 32, Width: 32, Channels: 3}
			if classes > 0 {
				s.Classes = make([]string, classes)
			}
			record := labelBytes + 3072
			if err := s.decodeBatch(bytes.NewReader(b), "x", labelBytes); err != nil {
				typed(t, err)
			} else if len(b)%record != 0 || s.Len() != len(b)/record {
				t.Errorf("%d pictures read from %d bytes", s.Len(), len(b))
			}
			if s.Len() != len(s.Labels) || len(s.Pixels)%3072 != 0 {
				t.Errorf("%d labels for %d bytes of pixels", len(s.Labels), len(s.Pixels))
			}
			for _, l := range s.Labels {
				if l < 0 || s.Classes != nil && int(l) >= len(s.Classes) {
					t.Errorf("label %d of %d classes", l, len(s.Classes))
				}
			}
		}
	})
}

func FuzzPicture(f *testing.F) {
	grey := image.NewGray(image.Rect(0, 0, 9, 7))
	copy(grey.Pix, randomBytes(63, 1))
	paletted := image.NewPaletted(image.Rect(0, 0, 5, 5), color.Palette{color.White, color.Black, color.NRGBA{1, 2, 3, 4}})
	var jpegs bytes.Buffer
	if err := jpeg.Encode(&jpegs, grey, nil); err != nil {
		f.Fatal(err)
	}
	huge := encodePNG(grey)
	setPNGSize(huge, 1<<31-1, 1<<31-1)
	for _, b := range [][]byte{
		encodePNG(grey), encodePNG(paletted), encodePNG(uniform(image.Rect(0, 0, 3, 8), color.NRGBA{1, 2, 3, 99})), jpegs.Bytes(), huge, jpegs.Bytes()[:100], nil,
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, channels := range []int{1, 3} {
			if err := decodePicture(bytes.NewReader(b), int64(len(b)), "x", make([]uint8, 4*4*channels), 4); err != nil {
				typed(t, err)
			}
		}
	})
}

// typed checks that err is what foreign input leads to.
func typed(t *testing.T, err error) {
	t.Helper()
	var format *files.FormatError
	var unsupported *files.UnsupportedError
	switch {
	case errors.As(err, &format):
		if format.File != "x" || format.Found == "" || format.Expected == "" {
			t.Errorf("incomplete: %#v", format)
		}
	case errors.As(err, &unsupported):
		if unsupported.File != "x" || unsupported.What == "" {
			t.Errorf("incomplete: %#v", unsupported)
		}
	default:
		t.Errorf("not typed: %v", err)
	}
}
