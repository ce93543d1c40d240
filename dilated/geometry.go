package dilated

import (
	"fmt"
	"math"
	"math/bits"
)

// Padding says where the zeros round an axis stand.
type Padding int

// The paddings. n is the length of the axis, extent that of the dilated kernel.
const (
	Valid    Padding = iota // no zeros: every output sees only inputs
	Causal                  // extent-1 zeros before: output t sees inputs up to t*stride
	Same                    // as TensorFlow: ceil(n/stride) outputs, the zeros shared out evenly, an odd one after
	Explicit                // Axis.Before and Axis.After zeros
)

func (p Padding) String() string {
	switch p {
	case Valid:
		return "valid"
	case Causal:
		return "causal"
	case Same:
		return "same"
	case Explicit:
		return "explicit"
	}
	return fmt.Sprintf("Padding(%d)", int(p))
}

// Axis is the geometry of a convolution along one axis. Output t reads input t*Stride - before + k*Dilation with tap k of
// the kernel, zero where there is no such input; before is the number of zeros in front (see PaddingFor). The zero Axis is
// that of a kernel of one tap, which changes no length.
type Axis struct {
	Kernel        int // taps; 0 stands for 1
	Stride        int // inputs from one output to the next; 0 stands for 1
	Dilation      int // inputs from one tap to the next; 0 stands for 1
	Padding       Padding
	Before, After int // zeros of Explicit padding, else 0
}

// checked returns a with 1 for 0 in Kernel, Stride and Dilation. It panics if a makes no sense.
func (a Axis) checked() Axis {
	given := a
	for _, v := range []*int{&a.Kernel, &a.Stride, &a.Dilation} {
		if *v == 0 {
			*v = 1
		}
		if *v < 0 {
			panic(fmt.Sprintf("dilated.Axis: kernel %d, stride %d, dilation %d: want none below 0",
				given.Kernel, given.Stride, given.Dilation))
		}
	}
	if a.Padding < Valid || a.Padding > Explicit {
		panic(fmt.Sprintf("dilated.Axis: unknown padding %d", int(a.Padding)))
	}
	if a.Before < 0 || a.After < 0 || a.Padding != Explicit && (a.Before != 0 || a.After != 0) {
		panic(fmt.Sprintf("dilated.Axis: padding %v with %d zeros before and %d after", a.Padding, a.Before, a.After))
	}
	return a
}

// Extent is the number of inputs from the first to the last that one output sees: (Kernel-1)*Dilation + 1.
func (a Axis) Extent() int {
	a = a.checked()
	return add(mul(a.Kernel-1, a.Dilation), 1)
}

// PaddingFor returns the number of zeros before and after an axis of n inputs.
func (a Axis) PaddingFor(n int) (before, after int) {
	a = a.checked()
	checkLength(n)
	switch a.Padding {
	case Causal:
		return a.Extent() - 1, 0
	case Same:
		all := 0
		if n > 0 {
			all = max(0, add(mul((n-1)/a.Stride, a.Stride), a.Extent())-n)
		}
		return all / 2, all - all/2
	}
	return a.Before, a.After
}

// Output is the number of outputs for n inputs: as many as the kernel has places on the padded axis.
func (a Axis) Output(n int) int {
	a = a.checked()
	before, after := a.PaddingFor(n)
	if n == 0 && a.Padding != Explicit {
		return 0
	}
	places := add(add(n, before), after) - a.Extent()
	if places < 0 {
		return 0
	}
	return places/a.Stride + 1
}

// TransposedOutput is the number of outputs of the transposed convolution for n inputs: a length that the convolution
// itself maps to n. Several lengths do if the stride is not 1; it is n*Stride for Same and Causal, and otherwise the
// shortest, (n-1)*Stride + Extent - Before - After. It panics if that is negative.
func (a Axis) TransposedOutput(n int) int {
	a = a.checked()
	checkLength(n)
	switch {
	case n == 0:
		return 0
	case a.Padding == Same || a.Padding == Causal:
		return mul(n, a.Stride)
	}
	out := add(mul(n-1, a.Stride), a.Extent()) - a.Before - a.After
	if out < 0 {
		panic(fmt.Sprintf("dilated.Axis: transposed output of %d inputs, stride %d, extent %d, padding %d and %d: length %d",
			n, a.Stride, a.Extent(), a.Before, a.After, out))
	}
	return out
}

// Stack is the geometry of convolutions one after another along one axis.
type Stack []Axis

// Output is the number of outputs of the last layer for n inputs of the first.
func (s Stack) Output(n int) int {
	for _, a := range s {
		n = a.Output(n)
	}
	return n
}

// Stride is the number of inputs from one output of the last layer to the next: the product of the strides.
func (s Stack) Stride() int {
	stride := 1
	for _, a := range s {
		stride = mul(stride, a.checked().Stride)
	}
	return stride
}

// ReceptiveField is the number of inputs from the first to the last that one output of the last layer sees.
func (s Stack) ReceptiveField() int {
	field, stride := 1, 1
	for _, a := range s {
		field = add(field, mul(a.Extent()-1, stride))
		stride = mul(stride, a.checked().Stride)
	}
	return field
}

func checkLength(n int) {
	if n < 0 {
		panic(fmt.Sprintf("dilated.Axis: length %d", n))
	}
}

// mul is a*b for a, b >= 0. It panics if the product is no int.
func mul(a, b int) int {
	if high, low := bits.Mul64(uint64(a), uint64(b)); high != 0 || low > math.MaxInt {
		panic(fmt.Sprintf("dilated: %d times %d is too long an axis", a, b))
	}
	return a * b
}

// add is a+b for a, b >= 0. It panics if the sum is no int.
func add(a, b int) int {
	if a > math.MaxInt-b {
		panic(fmt.Sprintf("dilated: %d plus %d is too long an axis", a, b))
	}
	return a + b
}
