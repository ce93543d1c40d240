package frontend

import (
	"math"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/vqvae"
)

// law says which level a sample has, and which sample a level.
type law interface {
	Encode(x float64) int32
	EncodeAll(levels []int32, x []float32)
	DecodeAll(x []float32, levels []int32)
}

// lawOf returns the law of the levels of a model: mu-law, or with a mixture of logistics linear.
func lawOf(c vqvae.Config) law {
	if c.Decoder.Mixture > 0 {
		return linear{float64(c.Levels / 2)}
	}
	return audio.NewMuLaw(c.Levels)
}

// linear is the law of samples as integers, those of 16 bits with 65536 levels: level l is the sample (l - half) / half, and half
// is silence.
type linear struct{ half float64 }

// Encode returns the level nearest to x. Beyond -1 and 1 it is the last one; NaN is silence.
func (l linear) Encode(x float64) int32 {
	if x != x {
		return int32(l.half)
	}
	return int32(l.half + min(max(math.Floor(x*l.half+0.5), -l.half), l.half-1))
}

func (l linear) EncodeAll(levels []int32, x []float32) {
	for i, x := range x {
		levels[i] = l.Encode(float64(x))
	}
}

func (l linear) DecodeAll(x []float32, levels []int32) {
	for i, level := range levels {
		x[i] = float32((float64(level) - l.half) / l.half)
	}
}
