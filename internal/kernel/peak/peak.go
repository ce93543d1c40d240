// Package peak runs nothing but multiply-adds in registers, or nothing but loads, so that a benchmark can tell what share
// of a machine's peak a kernel reaches.
package peak

import (
	"runtime"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

//go:generate go run -C ../generate ./peak

// Kind is one kind of multiply-add.
type Kind struct {
	Name string // of the factors: "f32", "bf16" (sums in f32) or "int8" (sums in int32)
	ISA  string // a tier, "generic", "neon", "avx2" or "avx512", or its extension "avx512-bf16", "avx512-vnni", "amx-bf16"

	loop       func(n int)
	operations float64 // in one iteration of loop; a multiplication with an addition is two
}

// Run makes n iterations of some dozens of independent multiply-adds and returns how many operations they were.
func (k Kind) Run(n int) (operations float64) {
	const chunk = 2048 // at most about 50 microseconds: assembly is not preemptible
	for left := n; left > 0; left -= chunk {
		k.loop(min(left, chunk))
	}
	return float64(max(n, 0)) * k.operations
}

// Kinds returns the kinds that this machine has, whatever the tier in use. Within a name the last is the fastest.
func Kinds() []Kind {
	return append([]Kind{{"f32", kernel.Generic.String(), func(n int) { runtime.KeepAlive(goLoop(n)) }, 2 * 12}}, assembly(kernel.Best())...)
}

// goLoop is what the Go compiler makes of multiply-adds: twelve chains, as many as there are registers. It
// returns their sum, and is not inlined, so that nothing is left out.
//
//go:noinline
func goLoop(n int) float32 {
	var a, b, c, d, e, f, g, h, i, j, k, l float32
	x, y := float32(0.5), float32(1)
	for range n {
		a = a*x + y
		b = b*x + y
		c = c*x + y
		d = d*x + y
		e = e*x + y
		f = f*x + y
		g = g*x + y
		h = h*x + y
		i = i*x + y
		j = j*x + y
		k = k*x + y
		l = l*x + y
	}
	return a + b + c + d + e + f + g + h + i + j + k + l
}

// Read loads buf from beginning to end, in the widest registers, except for the last len(buf) % 512 bytes, and does
// nothing with it: what it takes is the bandwidth of the cache or memory that buf is in.
func Read(buf []byte) {
	const chunk = 1 << 17
	for len(buf) > 0 {
		n := min(len(buf), chunk)
		read(buf[:n])
		buf = buf[n:]
	}
}
