package picture_test

import (
	"fmt"
	"image/png"
	"io"
	"math"

	"github.com/vqaudio/vqaudio/internal/picture"
)

func Example() {
	p, err := picture.New(16000, picture.Options{Width: 1200, Height: 640, Title: "1 kHz"})
	if err != nil {
		fmt.Println(err)
		return
	}
	block := make([]float64, 160)
	for i := range block {
		block[i] = 0.1 * math.Sin(2*math.Pi*1000*float64(i)/16000)
	}
	for range 100 { // a second
		p.Add(block)
	}
	m := p.Draw(&picture.Codes{Units: []int32{12, 12, 7, 12, 90}, Rate: 5})
	if err := png.Encode(io.Discard, m); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Bounds().Size())
	// Output: (1200,640)
}
