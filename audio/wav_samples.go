package audio

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// wavSamples fills dst with the samples in src, which holds as many, and returns how many came before the first that is not
// a number in the range of float32: len(dst) if all are.
type wavSamples func(dst []float64, src []byte) int

// wavPCM returns the reader of integers. Each takes stride bytes, of which width, 1 to 8, are the sample, the low ones in the
// order of bytes of the file. They are signed, but those of one byte are not: silence is 128 there. Full scale is 1.
func wavPCM(width, stride int, bigEndian bool) wavSamples {
	switch {
	case width == 1 && stride == 1:
		return func(dst []float64, src []byte) int {
			src = src[:len(dst)]
			for i := range dst {
				dst[i] = float64(int(src[i])-1<<7) / (1 << 7)
			}
			return len(dst)
		}
	case width == 2 && stride == 2 && !bigEndian:
		return func(dst []float64, src []byte) int {
			for i := range dst {
				dst[i] = float64(int16(binary.LittleEndian.Uint16(src[2*i:]))) / (1 << 15)
			}
			return len(dst)
		}
	case width == 3 && stride == 3 && !bigEndian:
		return func(dst []float64, src []byte) int {
			for i := range dst {
				p := src[3*i : 3*i+3]
				dst[i] = float64(int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24)) / (1 << 31)
			}
			return len(dst)
		}
	case width == 4 && stride == 4 && !bigEndian:
		return func(dst []float64, src []byte) int {
			for i := range dst {
				dst[i] = float64(int32(binary.LittleEndian.Uint32(src[4*i:]))) / (1 << 31)
			}
			return len(dst)
		}
	}
	return func(dst []float64, src []byte) int {
		for i := range dst {
			p := src[stride*i : stride*(i+1)]
			var x uint64 // the sample at the top
			for j := range width {
				if bigEndian {
					x |= uint64(p[stride-1-j]) << (64 - 8*(width-j))
				} else {
					x |= uint64(p[j]) << (64 - 8*(width-j))
				}
			}
			if width == 1 {
				x ^= 1 << 63
			}
			dst[i] = float64(int64(x)) / (1 << 63)
		}
		return len(dst)
	}
}

// wavFloat returns the reader of floating-point samples of 32 or 64 bits (IEEE 754).
func wavFloat(width int, bigEndian bool) wavSamples {
	const noSign32, noSign64 = 1<<31 - 1, 1<<63 - 1
	if width == 32 {
		return func(dst []float64, src []byte) int {
			for i := range dst {
				b := binary.LittleEndian.Uint32(src[4*i:])
				if bigEndian {
					b = bits.ReverseBytes32(b)
				}
				if b&noSign32 > math.Float32bits(math.MaxFloat32) {
					return i
				}
				dst[i] = float64(math.Float32frombits(b))
			}
			return len(dst)
		}
	}
	return func(dst []float64, src []byte) int {
		for i := range dst {
			b := binary.LittleEndian.Uint64(src[8*i:])
			if bigEndian {
				b = bits.ReverseBytes64(b)
			}
			if b&noSign64 > math.Float64bits(math.MaxFloat32) {
				return i
			}
			dst[i] = math.Float64frombits(b)
		}
		return len(dst)
	}
}

// wavTable returns the reader of samples that are looked up in a table, byte by byte.
func wavTable(table *[256]float64) wavSamples {
	return func(dst []float64, src []byte) int {
		src = src[:len(dst)]
		for i := range dst {
			dst[i] = table[src[i]]
		}
		return len(dst)
	}
}
