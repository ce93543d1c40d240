//go:build !noasm

package peak

import (
	"unsafe"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// In the loops n is at least 1; read's n is a multiple of 512 and at least that.

//go:noescape
func f32AVX512(n int)

//go:noescape
func f32AVX2(n int)

//go:noescape
func bf16AVX512(n int)

//go:noescape
func int8AVX512(n int)

//go:noescape
func bf16AMX(n int, config *byte)

//go:noescape
func readAVX512(p *byte, n int)

//go:noescape
func readAVX2(p *byte, n int)

func assembly(s kernel.Setting) []Kind {
	var all []Kind
	if s.Tier == kernel.AVX2 || s.Tier == kernel.AVX512 {
		all = append(all, Kind{"f32", kernel.AVX2.String(), f32AVX2, 2 * 8 * 12})
	}
	if s.Tier != kernel.AVX512 {
		return all
	}
	all = append(all, Kind{"f32", kernel.AVX512.String(), f32AVX512, 2 * 16 * 24})
	if s.Ext.BF16 {
		all = append(all, Kind{"bf16", "avx512-bf16", bf16AVX512, 2 * 32 * 24})
	}
	if s.Ext.AMX {
		all = append(all, Kind{"bf16", "amx-bf16", amxLoop, 2 * 16 * 16 * 32 * 4})
	}
	if s.Ext.VNNI {
		all = append(all, Kind{"int8", "avx512-vnni", int8AVX512, 2 * 64 * 24})
	}
	return all
}

func amxLoop(n int) { bf16AMX(n, (*byte)(unsafe.Pointer(&tiles))) }

// tiles is the tile configuration: all eight of 16 rows of 64 bytes (Intel SDM volume 1, 18.3).
var tiles = struct {
	palette, startRow byte
	_                 [14]byte
	rowBytes          [16]uint16
	rows              [16]byte
}{
	palette:  1,
	rowBytes: [16]uint16{64, 64, 64, 64, 64, 64, 64, 64},
	rows:     [16]byte{16, 16, 16, 16, 16, 16, 16, 16},
}

func read(buf []byte) {
	n := len(buf) &^ 511
	switch tier := kernel.Best().Tier; {
	case n == 0:
	case tier == kernel.AVX512:
		readAVX512(unsafe.SliceData(buf), n)
	case tier == kernel.AVX2:
		readAVX2(unsafe.SliceData(buf), n)
	default:
		readGeneric(buf)
	}
}
