package kernel

import "testing"

// TestConvPageEnds: no tile reads or writes beyond its slices; if one did, the process would die here.
func TestConvPageEnds(t *testing.T) {
	var pages [6]page
	for i := range pages {
		pages[i] = newPage(t, 1<<17)
	}
	forEachSetting(t, func(t *testing.T) {
		r := newRand(9)
		for range 60 {
			for _, end := range []bool{false, true} {
				s := newConvShape(r, r.IntN(40), r.IntN(30), r.IntN(50), r.IntN(4))
				floats := func(i, n int) []float32 { return normals(r, pages[i].floats(n, end), 1) }
				x, w, bias, y := floats(0, s.xLen), floats(1, s.matrices*s.in*s.out), floats(2, s.out), floats(3, max(s.rows-1, 0)*s.yStride+min(s.rows, 1)*s.out)
				s.run(x, w, bias, y, floats(4, PackedLen(s.matrices, s.in, s.out)))
				s.runGradient(x, y, w)

				rows, in, out := r.IntN(70), r.IntN(40), r.IntN(40)
				depth, taps := PaddedBF16(in), []Tap{{}}
				words := func(i, n int) []uint16 { w := pages[i].words(n, end); clear(w); return w }
				packed := PackWeightsBF16(words(4, PackedLenBF16(1, in, out)), floats(1, in*out), 1, in, out)
				ConvForwardBF16(&ConvBF16{Rows: rows, X: words(0, rows*depth), XStride: depth, Taps: taps, W: packed, Bias: floats(2, out), Y: floats(3, rows*out), YStride: out})
				ConvWeightGradientBF16(&ConvGradientBF16{Rows: rows, In: in, Out: out, X: words(0, rows*in), XStride: in, Taps: taps,
					DY: words(2, rows*out), DYStride: out, DW: floats(3, in*out), DWStride: out, Scratch: words(5, GradientScratchBF16(in, out))})
			}
		}
	})
}
