// Package tensor holds shapes and storage: float32 tensors of rank 0 to 4, and an arena for the buffers of a training
// step.
//
// Tensors are row-major with channels last: [B, T, C] for sound, [B, H, W, C] for pictures. Seen as a matrix, a tensor has
// Rows() rows of Channels() elements, one after the other.
package tensor

import (
	"fmt"
	"math"
	"strconv"
	"unsafe"
)

// MaxRank is the largest number of dimensions.
const MaxRank = 4

// Tensor is a shape and its elements. It is a value: copies share the elements. The zero Tensor has no elements and
// stands for "none". Data has the length that the shape says; whoever sets it otherwise breaks the tensor.
type Tensor struct {
	Data  []float32
	shape [MaxRank]int
	rank  int
}

// New returns a tensor of zeros, its storage aligned to 64 bytes. Without sizes it is a scalar.
func New(shape ...int) Tensor {
	t, n := shaped(shape)
	t.Data = alignedFloats(n)
	return t
}

// From returns a tensor over data, which it shares. It panics unless len(data) is the product of the sizes.
func From(data []float32, shape ...int) Tensor {
	t, n := shaped(shape)
	if n != len(data) {
		panic(fmt.Sprintf("tensor.From: %d elements for shape %v, which has %d", len(data), t, n))
	}
	t.Data = data
	return t
}

// shaped returns a tensor without elements, and their number. It panics if the shape is none. It must not let shape
// escape: callers' argument lists would be allocated.
func shaped(shape []int) (t Tensor, n int) {
	if len(shape) > MaxRank {
		panic(fmt.Sprintf("tensor: %d dimensions, want at most %d", len(shape), MaxRank))
	}
	t.rank = copy(t.shape[:], shape)
	n = 1
	for _, size := range shape {
		if size < 0 {
			panic(fmt.Sprintf("tensor: negative size in shape %v", t))
		}
		if size != 0 && n > math.MaxInt/4/size {
			panic(fmt.Sprintf("tensor: the number of elements of shape %v overflows", t))
		}
		n *= size
	}
	return t, n
}

// Rank is the number of dimensions.
func (t Tensor) Rank() int { return t.rank }

// Dim is the size of dimension i, 0 <= i < Rank().
func (t Tensor) Dim(i int) int {
	if i < 0 || i >= t.rank {
		panic(fmt.Sprintf("tensor.Dim: dimension %d of shape %v", i, t))
	}
	return t.shape[i]
}

// Shape returns the sizes in a new slice.
func (t Tensor) Shape() []int { return append([]int{}, t.shape[:t.rank]...) }

// Len is the number of elements.
func (t Tensor) Len() int { return len(t.Data) }

// Channels is the size of the last dimension; 1 for a scalar.
func (t Tensor) Channels() int {
	if t.rank == 0 {
		return 1
	}
	return t.shape[t.rank-1]
}

// Rows is the product of all sizes but the last; 1 for a vector or scalar.
func (t Tensor) Rows() int {
	rows := 1
	for i := 0; i < t.rank-1; i++ {
		rows *= t.shape[i]
	}
	return rows
}

// Row returns row i of the Rows() rows of Channels() elements. It shares them.
func (t Tensor) Row(i int) []float32 {
	if i < 0 || i >= t.Rows() {
		panic(fmt.Sprintf("tensor.Row: row %d of shape %v, which has %d", i, t, t.Rows()))
	}
	n := t.Channels()
	return t.Data[i*n : (i+1)*n : (i+1)*n]
}

// Reshape returns the same elements in another shape. It panics unless both have the same number of elements.
func (t Tensor) Reshape(shape ...int) Tensor {
	u, n := shaped(shape)
	if n != len(t.Data) {
		panic(fmt.Sprintf("tensor.Reshape: shape %v with %d elements to %v with %d", t, len(t.Data), u, n))
	}
	u.Data = t.Data
	return u
}

// SameShape reports whether t and u have the same rank and sizes.
func (t Tensor) SameShape(u Tensor) bool { return t.rank == u.rank && t.shape == u.shape }

// Zero sets every element to 0.
func (t Tensor) Zero() { clear(t.Data) }

// String is the shape: "[4 8192 64]".
func (t Tensor) String() string {
	text := append(make([]byte, 0, 64), '[')
	for i, size := range t.shape[:t.rank] {
		if i > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendInt(text, int64(size), 10)
	}
	return string(append(text, ']'))
}

// alignment of storage in bytes: a cache line, and the widest vector.
const alignment = 64

// alignedFloats returns n zeros that begin at a multiple of alignment.
func alignedFloats(n int) []float32 {
	const extra = alignment / 4
	data := make([]float32, n+extra)
	skip := 0
	if over := uintptr(unsafe.Pointer(unsafe.SliceData(data))) % alignment; over != 0 {
		skip = int(alignment-over) / 4
	}
	return data[skip : skip+n : skip+n]
}
