package tensor

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func address[T any](s []T) (from, to uintptr) {
	from = uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	return from, from + uintptr(len(s))*unsafe.Sizeof(*new(T))
}

// Random buffers of every kind, over several steps with growth, marks and releases: each is aligned, has the length asked
// for, and overlaps no other that is alive.
func TestArenaBuffersAreAlignedAndApart(t *testing.T) {
	type buffer struct{ from, to uintptr }
	r := rand.New(rand.NewPCG(1, 2))
	var a Arena
	for step := range 20 {
		var live []buffer
		var marks []Mark
		var counts []int
		for range 200 {
			n := r.IntN(1 << r.IntN(15))
			var b buffer
			var length, capacity int
			switch r.IntN(7) {
			case 0:
				f := a.Floats(n)
				b.from, b.to = address(f)
				length, capacity = len(f), cap(f)
			case 1:
				u := a.Uint16s(n)
				b.from, b.to = address(u)
				length, capacity = len(u), cap(u)
			case 2:
				i := a.Int32s(n)
				b.from, b.to = address(i)
				length, capacity = len(i), cap(i)
			case 3:
				x := a.Zeros(n)
				b.from, b.to = address(x.Data)
				length, capacity = len(x.Data), cap(x.Data)
				for _, v := range x.Data {
					if v != 0 {
						t.Fatal("Zeros holds", v)
					}
				}
				for i := range x.Data {
					x.Data[i] = 7
				}
			case 4:
				f := a.Float64s(n)
				b.from, b.to = address(f)
				length, capacity = len(f), cap(f)
			case 5:
				marks = append(marks, a.Mark())
				counts = append(counts, len(live))
				continue
			case 6:
				if len(marks) > 0 {
					last := len(marks) - 1
					a.Release(marks[last])
					live = live[:counts[last]]
					marks, counts = marks[:last], counts[:last]
				}
				continue
			}
			if b.from%64 != 0 || length != n || capacity != n {
				t.Fatalf("step %d: buffer of %d starts at %#x, length %d, capacity %d", step, n, b.from, length, capacity)
			}
			for _, o := range live {
				if b.from < o.to && o.from < b.to {
					t.Fatalf("step %d: [%#x, %#x) overlaps [%#x, %#x)", step, b.from, b.to, o.from, o.to)
				}
			}
			live = append(live, b)
		}
		a.Reset()
		if len(a.slabs) != 1 {
			t.Fatalf("step %d: %d slabs after Reset", step, len(a.slabs))
		}
	}
}

func TestArenaAllocatesNothingOnceWarm(t *testing.T) {
	var a Arena
	var last []float32
	step := func() {
		x := a.Tensor(3, 5000, 7)
		m := a.Mark()
		last = a.Like(x).Data
		_ = a.Uint16s(999999) // the largest use is in the middle of the step
		a.Release(m)
		last = a.LikeRows(x, 11).Data
		_ = a.Zeros(100, 10)
		a.Int32s(1000)[0] = int32(last[0])
		a.Reset()
	}
	step() // sees the largest step, after which the arena is one piece
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
	size := a.Bytes()
	want := 4 * (3*5000*7 + 3*5000*7 + 500000)
	if size < want || size > want+4*64 {
		t.Errorf("the arena holds %d bytes, the largest step needs %d", size, want)
	}
}

func TestArenaShapes(t *testing.T) {
	var a Arena
	x := New(2, 3, 4)
	if got := a.LikeRows(x, 9); got.String() != "[2 3 9]" || got.Len() != 54 {
		t.Errorf("LikeRows([2 3 4], 9) is %v with %d elements", got, got.Len())
	}
	if got := a.Like(x); !got.SameShape(x) || &got.Data[0] == &x.Data[0] {
		t.Errorf("Like([2 3 4]) is %v, or shares the elements", got)
	}
	wantPanic(t, "LikeRows of a scalar", func() { a.LikeRows(New(), 2) })
	wantPanic(t, "LikeRows of -1", func() { a.LikeRows(x, -1) }, "[2 3 -1]")
	for _, n := range []int{-1, -2, math.MinInt, math.MinInt / 2, math.MaxInt} {
		wantPanic(t, "Floats", func() { a.Floats(n) })
		wantPanic(t, "Float64s", func() { a.Float64s(n) })
		wantPanic(t, "Uint16s", func() { a.Uint16s(n) })
		wantPanic(t, "Int32s", func() { a.Int32s(n) })
	}
	early := a.Mark()
	a.Floats(10)
	late := a.Mark()
	a.Release(early)
	wantPanic(t, "Release of a mark already released", func() { a.Release(late) })
}

func allNaN(s []float32) bool {
	for _, v := range s {
		if v == v {
			return false
		}
	}
	return true
}

func TestArenaPoison(t *testing.T) {
	a := Arena{Poison: true}
	first := a.Floats(1000)
	if !allNaN(first) {
		t.Error("a fresh buffer is not poisoned")
	}
	clear(first)
	m := a.Mark()
	scratch, far := a.Floats(10), a.Floats(1<<16) // far is in another slab
	clear(scratch)
	clear(far)
	a.Release(m)
	if !allNaN(scratch) || !allNaN(far) {
		t.Error("Release left values")
	}
	if first[0] != 0 || first[999] != 0 {
		t.Error("Release touched a buffer from before the mark")
	}
	kept := a.Floats(1 << 16)
	clear(kept)
	a.Reset()
	if !allNaN(first) || !allNaN(kept) {
		t.Error("Reset left values")
	}
	if !allNaN(a.Floats(1 << 16)) {
		t.Error("memory after Reset is not poisoned")
	}
	for _, f := range a.Float64s(8) {
		if f == f {
			t.Errorf("poison as float64 is %v", f)
		}
	}
	for _, u := range a.Uint16s(8) {
		if f := math.Float32frombits(uint32(u) << 16); f == f {
			t.Errorf("poison as bfloat16 is %v", f)
		}
	}
}
