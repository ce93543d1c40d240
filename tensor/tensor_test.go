package tensor

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"
)

// message returns the text that f panics with, "" if it does not.
func message(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}

func wantPanic(t *testing.T, what string, f func(), parts ...string) {
	t.Helper()
	text := message(f)
	if text == "" {
		t.Errorf("%s did not panic", what)
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s panicked with %q, which lacks %q", what, text, p)
		}
	}
}

func TestShape(t *testing.T) {
	for _, c := range []struct {
		shape               []int
		text                string
		len, rows, channels int
	}{
		{nil, "[]", 1, 1, 1},
		{[]int{5}, "[5]", 5, 1, 5},
		{[]int{3, 4}, "[3 4]", 12, 3, 4},
		{[]int{4, 8192, 64}, "[4 8192 64]", 4 * 8192 * 64, 4 * 8192, 64},
		{[]int{2, 3, 4, 5}, "[2 3 4 5]", 120, 24, 5},
		{[]int{0, 7}, "[0 7]", 0, 0, 7},
		{[]int{7, 0}, "[7 0]", 0, 7, 0},
	} {
		x := New(c.shape...)
		if x.String() != c.text || x.Len() != c.len || x.Rows() != c.rows || x.Channels() != c.channels || x.Rank() != len(c.shape) {
			t.Errorf("New(%v): %v, length %d, rows %d, channels %d, rank %d; want %v, %d, %d, %d, %d", c.shape,
				x, x.Len(), x.Rows(), x.Channels(), x.Rank(), c.text, c.len, c.rows, c.channels, len(c.shape))
		}
		for i, size := range c.shape {
			if x.Dim(i) != size {
				t.Errorf("%v: dimension %d is %d", x, i, x.Dim(i))
			}
		}
		if got := fmt.Sprint(x.Shape()); got != c.text {
			t.Errorf("%v: Shape %v", x, got)
		}
	}
}

func TestZeroTensorIsNone(t *testing.T) {
	var x Tensor
	if x.Data != nil || x.Len() != 0 || x.String() != "[]" {
		t.Errorf("zero tensor: %v, %d elements", x, x.Len())
	}
}

func TestRowsAndReshape(t *testing.T) {
	x := From([]float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 2, 2, 3)
	if r := x.Row(2); len(r) != 3 || cap(r) != 3 || r[0] != 6 || r[2] != 8 {
		t.Errorf("row 2 is %v", r)
	}
	y := x.Reshape(4, 3)
	y.Row(3)[2] = -1
	if x.Data[11] != -1 {
		t.Error("Reshape copied the elements")
	}
	if x.SameShape(y) || !x.SameShape(New(2, 2, 3)) || New(3).SameShape(New(3, 0)) {
		t.Error("SameShape is wrong")
	}
	x.Zero()
	if x.Data[5] != 0 || y.Data[11] != 0 {
		t.Error("Zero left elements")
	}
}

func TestWrongShapesPanicWithBothSizes(t *testing.T) {
	x := New(2, 3)
	wantPanic(t, "From", func() { From(make([]float32, 5), 2, 3) }, "5 ", "[2 3]", "6")
	wantPanic(t, "Reshape", func() { x.Reshape(4, 2) }, "[2 3]", "6", "[4 2]", "8")
	wantPanic(t, "Row", func() { x.Row(2) }, "row 2", "[2 3]")
	wantPanic(t, "Row", func() { x.Row(-1) }, "row -1", "[2 3]")
	wantPanic(t, "Dim", func() { x.Dim(2) }, "dimension 2", "[2 3]")
	wantPanic(t, "New of rank 5", func() { New(1, 1, 1, 1, 1) }, "5 dimensions", "4")
	wantPanic(t, "New of a negative size", func() { New(3, -1) }, "negative", "[3 -1]")
	wantPanic(t, "New of a huge size", func() { New(math.MaxInt/2, 3) }, "overflows")
	wantPanic(t, "New of a huge size", func() { New(1<<20, 1<<20, 1<<20, 1<<20) }, "overflows", "1048576")
}

func TestStorageIsAligned(t *testing.T) {
	for n := range 300 {
		x := New(n)
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(x.Data))); at%64 != 0 {
			t.Fatalf("New(%d) starts at %#x", n, at)
		}
		if len(x.Data) != n || cap(x.Data) != n {
			t.Fatalf("New(%d) has length %d, capacity %d", n, len(x.Data), cap(x.Data))
		}
	}
}

func TestShapesAllocateNothing(t *testing.T) {
	x, y := New(6, 4), Tensor{}
	allocs := testing.AllocsPerRun(100, func() {
		y = x.Reshape(2, 3, 4)
		y = From(y.Data, 24)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
