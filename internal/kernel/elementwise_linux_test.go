package kernel

import (
	"math"
	"syscall"
	"testing"
	"unsafe"
)

// page is memory between two pages that must not be touched.
type page struct{ all, usable []byte }

func newPage(t *testing.T, bytes int) page {
	t.Helper()
	size := syscall.Getpagesize()
	middle := (bytes + size) / size * size
	all, err := syscall.Mmap(-1, 0, middle+2*size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("mmap: %v", err)
	}
	t.Cleanup(func() { syscall.Munmap(all) })
	for _, forbidden := range [][]byte{all[:size], all[size+middle:]} {
		if err := syscall.Mprotect(forbidden, syscall.PROT_NONE); err != nil {
			t.Fatalf("mprotect: %v", err)
		}
	}
	return page{all, all[size : size+middle]}
}

// floats returns n float32 at the end or at the start of the page.
func (p page) floats(n int, end bool) []float32 {
	all := unsafe.Slice((*float32)(unsafe.Pointer(&p.usable[0])), len(p.usable)/4)
	if end {
		return all[len(all)-n:]
	}
	return all[:n]
}

func (p page) words(n int, end bool) []uint16 {
	all := unsafe.Slice((*uint16)(unsafe.Pointer(&p.usable[0])), len(p.usable)/2)
	if end {
		return all[len(all)-n:]
	}
	return all[:n]
}

// TestPageEnds: no kernel reads or writes beyond its slices; if one did, the process would die here.
func TestPageEnds(t *testing.T) {
	const most = 70
	var pages [6]page
	for i := range pages {
		pages[i] = newPage(t, 4*3*2*most)
	}
	forEachSetting(t, func(t *testing.T) {
		r := newRand(12)
		for n := 1; n <= most; n++ {
			for _, end := range []bool{false, true} {
				const rows = 3
				floats := func(i, n int) []float32 { return normals(r, pages[i].floats(n, end), 1) }
				x, y, z, w := floats(0, n), floats(1, n), floats(2, n), floats(3, n)
				Add(y, x)
				AddScaled(y, 0.5, x)
				Scale(y, 0.5)
				Lerp(y, x, 0.5)
				ReLU(y, x)
				ReLUBackward(z, x, y)
				Exp(y, x)
				Max(x)
				Dot(x, y)
				SumSquares(x)
				LogSumExp(x)
				AdamUpdate(w, x, y, z, AdamStep{0.01, 0.9, 0.99, 1e-8, 0, 10, 100})
				words := pages[4].words(n, end)
				ToBF16(words, x)
				FromBF16(y, words)

				a, b, d := floats(0, rows*n), floats(1, rows*n), floats(2, rows*n)
				AddRow(a, n, rows, n, floats(3, n))
				ColumnSums(floats(3, n), a, n, rows, n)
				Softmax(b, a, n, rows, n)
				LogSoftmax(b, a, n, rows, n)
				SoftmaxCrossEntropy(floats(3, rows), d, a, n, []int32{0, 0, 0}, rows, n, 1)
				SoftmaxCrossEntropy(floats(3, rows), nil, a, n, []int32{0, 0, 0}, rows, n, 1)
				ToBF16Rows(pages[4].words(rows*n, end), n, a, n, rows, n)
				ab, dab := floats(3, rows*2*n), floats(5, rows*2*n)
				GateExact(a, n, ab, 2*n, rows, n)
				GateForward(a, n, ab, 2*n, rows, n)
				GateBackward(dab, 2*n, ab, 2*n, a, n, rows, n)
				if m := float64(Max(dab)); math.IsNaN(m) || math.IsInf(m, 0) {
					t.Fatalf("n=%d: gradient %v", n, m)
				}
			}
		}
	})
}
