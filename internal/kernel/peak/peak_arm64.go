//go:build !noasm

package peak

import (
	"unsafe"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// In the loop n is at least 1; read's n is a multiple of 512 and at least that.

//go:noescape
func f32NEON(n int)

//go:noescape
func readNEON(p *byte, n int)

func assembly(kernel.Setting) []Kind {
	return []Kind{{"f32", kernel.NEON.String(), f32NEON, 2 * 4 * 24}}
}

func read(buf []byte) {
	if n := len(buf) &^ 511; n > 0 {
		readNEON(unsafe.SliceData(buf), n)
	}
}
