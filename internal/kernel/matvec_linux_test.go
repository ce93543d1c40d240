package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// The products and the search read and write nothing beyond their slices and packed data; if they did, the process would
// die here.
func TestMatVecNearestPageEnds(t *testing.T) {
	const in, out = 37, 150
	var pages [6]page
	for i := range pages {
		pages[i] = newPage(t, 4*(in+3)*(out+32))
	}
	r := rand.New(rand.NewPCG(31, 32))
	forEachSetting(t, func(t *testing.T) {
		for _, end := range []bool{false, true} {
			bytes := func(i, n int) []uint8 {
				if end {
					return pages[i].usable[len(pages[i].usable)-n:]
				}
				return pages[i].usable[:n]
			}
			integers := func(i, n int) []int32 {
				f := pages[i].floats(n, end)
				return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(f))), n)
			}
			for n := range out {
				for _, k := range []int{n % 5, in - n%4} {
					weights := mvRandom(r, k*n).part
					x, y, start := pages[0].floats(k, end), pages[1].floats(n, end), pages[2].floats(n, end)

					m := PackMatVec(weights, k, n)
					w := pages[3].floats(len(m.w), end)
					copy(w, m.w)
					m.w = w
					m.Mul(y, x, start)
					m.MulExact(1, y, x, start)

					half := PackMatVecBF16(weights, k, n)
					words := pages[3].words(len(half.w), end)
					copy(words, half.w)
					half.w = words
					half.Mul(y, x, start)

					int8s := PackMatVecInt8(weights, k, n)
					octets := bytes(3, len(int8s.w))
					for i, v := range int8s.w {
						octets[i] = uint8(v)
					}
					int8s.w = unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(octets))), len(octets))
					scale, offset := pages[4].floats(len(int8s.scale), end), integers(5, len(int8s.offset))
					copy(scale, int8s.scale)
					copy(offset, int8s.offset)
					int8s.scale, int8s.offset = scale, offset
					int8s.Mul(y, bytes(0, k), 1, start)

					values := pages[2].floats(n, end)
					QuantiseInt8(bytes(1, n), values, QuantiseScale(values))

					rows := n % 7
					book := PackCodebook(pages[3].floats(CodebookLen(n, k), end), weights, n, k)
					Nearest(integers(0, rows), pages[1].floats(rows, end), pages[2].floats(rows*k, end), k, rows, book)
				}
			}
		}
	})
}
