package dilated

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// everyAxis calls f with every axis of small kernels, strides, dilations and paddings.
func everyAxis(f func(Axis)) {
	for kernel := 1; kernel <= 5; kernel++ {
		for stride := 1; stride <= 4; stride++ {
			for dilation := 1; dilation <= 4; dilation++ {
				for _, p := range []Padding{Valid, Causal, Same} {
					f(Axis{Kernel: kernel, Stride: stride, Dilation: dilation, Padding: p})
				}
				for before := range 4 {
					for after := range 4 {
						f(Axis{kernel, stride, dilation, Explicit, before, after})
					}
				}
			}
		}
	}
}

// Output lengths against counting: the axis is padded, the kernel put down at every stride, and places where all taps
// lie on the padded axis are counted.
func TestOutputCountsPlaces(t *testing.T) {
	everyAxis(func(a Axis) {
		for n := range 40 {
			if n == 0 && a.Padding != Explicit {
				if got := a.Output(0); got != 0 {
					t.Fatalf("%+v: %d outputs of an empty axis", a, got)
				}
				continue
			}
			before, after := a.PaddingFor(n)
			places := 0
			for first := 0; first+(a.Kernel-1)*a.Dilation < before+n+after; first += a.Stride {
				places++
			}
			if got := a.Output(n); got != places {
				t.Fatalf("%+v: Output(%d) = %d, there are %d places", a, n, got, places)
			}
		}
	})
}

// What the paddings promise.
func TestPaddings(t *testing.T) {
	everyAxis(func(a Axis) {
		for n := 1; n < 40; n++ {
			before, after := a.PaddingFor(n)
			out := a.Output(n)
			last := (out-1)*a.Stride - before // first input of the last output
			switch a.Padding {
			case Valid:
				if before != 0 || after != 0 {
					t.Fatalf("%+v, n = %d: zeros %d and %d", a, n, before, after)
				}
			case Explicit:
				if before != a.Before || after != a.After {
					t.Fatalf("%+v, n = %d: zeros %d and %d", a, n, before, after)
				}
			case Causal:
				if want := (n + a.Stride - 1) / a.Stride; out != want || before-(a.Kernel-1)*a.Dilation != 0 || after != 0 {
					t.Fatalf("%+v, n = %d: %d outputs, want %d; zeros %d and %d", a, n, out, want, before, after)
				}
			case Same:
				if want := (n + a.Stride - 1) / a.Stride; out != want || after-before < 0 || after-before > 1 {
					t.Fatalf("%+v, n = %d: %d outputs, want %d; zeros %d and %d", a, n, out, want, before, after)
				}
				if end := last + a.Extent(); before+after > 0 && end != n+after { // not a zero more than needed
					t.Fatalf("%+v, n = %d: the last output ends at %d, the zeros at %d", a, n, end, n+after)
				}
			}
		}
	})
}

// The transposed length is one that the convolution maps back: the longest for Same and Causal, else the shortest.
func TestTransposedOutputIsMappedBack(t *testing.T) {
	everyAxis(func(a Axis) {
		for n := 1; n < 20; n++ {
			if (n-1)*a.Stride+a.Extent()-a.Before-a.After < 0 {
				continue // TestNonsensePanics
			}
			long := a.TransposedOutput(n)
			if long == 0 && a.Padding == Explicit { // nothing but zeros are seen
				continue
			}
			if got := a.Output(long); got != n {
				t.Fatalf("%+v: TransposedOutput(%d) = %d, whose Output is %d", a, n, long, got)
			}
			neighbour := long + 1
			if a.Padding == Valid || a.Padding == Explicit {
				neighbour = long - 1
			}
			if neighbour > 0 && a.Output(neighbour) == n {
				t.Fatalf("%+v: TransposedOutput(%d) = %d, but %d has as many outputs", a, n, long, neighbour)
			}
		}
		if got := a.TransposedOutput(0); got != 0 {
			t.Fatalf("%+v: TransposedOutput(0) = %d", a, got)
		}
	})
}

// Receptive field and stride of stacks against following the taps back to the inputs.
func TestStackAgainstFollowingTaps(t *testing.T) {
	// span is the first and last input that output i of s sees, on an axis without ends.
	var span func(s Stack, i int) (first, last int)
	span = func(s Stack, i int) (first, last int) {
		if len(s) == 0 {
			return i, i
		}
		a := s[len(s)-1]
		first, last = math.MaxInt, math.MinInt
		for k := range a.Kernel {
			f, l := span(s[:len(s)-1], i*a.Stride+k*a.Dilation)
			first, last = min(first, f), max(last, l)
		}
		return first, last
	}
	for kernel := 1; kernel <= 3; kernel++ {
		for strides := range 27 {
			for dilations := range 27 {
				s := Stack{
					{Kernel: kernel, Stride: strides%3 + 1, Dilation: dilations%3 + 1},
					{Kernel: kernel%3 + 1, Stride: strides/3%3 + 1, Dilation: dilations/3%3 + 1, Padding: Same},
					{Kernel: (kernel+1)%3 + 1, Stride: strides/9 + 1, Dilation: dilations/9 + 1, Padding: Causal},
				}
				first, last := span(s, 0)
				second, _ := span(s, 1)
				if got := s.ReceptiveField(); got != last-first+1 {
					t.Fatalf("%+v: receptive field %d, want %d", s, got, last-first+1)
				}
				if got := s.Stride(); got != second-first {
					t.Fatalf("%+v: stride %d, want %d", s, got, second-first)
				}
				n := 100
				for _, a := range s {
					n = a.Output(n)
				}
				if got := s.Output(100); got != n {
					t.Fatalf("%+v: output length %d, want %d", s, got, n)
				}
			}
		}
	}
	if f, n, o := (Stack{}).ReceptiveField(), (Stack{}).Stride(), (Stack{}).Output(7); f != 1 || n != 1 || o != 7 {
		t.Errorf("empty stack: receptive field %d, stride %d, output of 7 %d", f, n, o)
	}
}

func TestZeroAxisChangesNothing(t *testing.T) {
	for n := range 10 {
		if a := (Axis{}); a.Output(n) != n || a.TransposedOutput(n) != n || a.Extent() != 1 {
			t.Errorf("zero axis: %d inputs, %d outputs, %d transposed, extent %d", n, a.Output(n), a.TransposedOutput(n), a.Extent())
		}
	}
}

func TestNonsensePanics(t *testing.T) {
	huge := math.MaxInt/2 + 1
	for name, f := range map[string]func(){
		"negative kernel":            func() { Axis{Kernel: -1}.Extent() },
		"negative stride":            func() { Axis{Stride: -2}.Output(4) },
		"negative dilation":          func() { Axis{Dilation: -2}.Output(4) },
		"negative padding":           func() { Axis{Padding: Explicit, Before: -1}.Output(4) },
		"unknown padding":            func() { Axis{Padding: 4}.Output(4) },
		"zeros without Explicit":     func() { Axis{Kernel: 3, After: 1}.Output(4) },
		"negative length":            func() { Axis{}.Output(-1) },
		"negative transposed length": func() { Axis{}.TransposedOutput(-1) },
		"transposed to less than 0":  func() { Axis{Padding: Explicit, Before: 1, After: 1}.TransposedOutput(1) },
		"extent overflows":           func() { Axis{Kernel: 5, Dilation: huge}.Extent() },
		"length overflows":           func() { Axis{Kernel: huge, Padding: Causal}.Output(math.MaxInt) },
		"transposed overflows":       func() { Axis{Stride: huge, Padding: Same}.TransposedOutput(3) },
		"stride overflows":           func() { Stack{{Stride: huge}, {Stride: huge}}.Stride() },
		"receptive field overflows":  func() { Stack{{Stride: huge}, {Kernel: 9}}.ReceptiveField() },
	} {
		if catch(f) == "" {
			t.Errorf("%s: no panic", name)
		}
	}
	if text := catch(func() { Axis{Kernel: 6, Dilation: huge}.Extent() }); !strings.Contains(text, fmt.Sprint(huge)) {
		t.Errorf("the message %q does not name the value", text)
	}
}

// catch returns what f panics with, as text.
func catch(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}
