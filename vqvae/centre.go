package vqvae

import (
	"math"

	"github.com/vqaudio/vqaudio/tensor"
)

// quiet is how far below the loudest frame around it a frame is silence, and how far below its mean a band of it is: 30 dB, in
// ln of power.
const quiet = 3 * math.Ln10

// centred returns log-mel spectra x [B, N, bands] without the shape that their surroundings have in common, such as that of a microphone, or
// much of a vocal tract (cepstral mean normalisation: Atal 1974; over a sliding window: Viikki & Laurila 1998). The level stays:
//
//	y_t = max(x_t - m_t, -30 dB) + mean of m_t over its bands
//
// where m_t is the mean over those frames s of the same sequence, |s - t| <= reach, whose power is at most 30 dB below that of the
// loudest of them. So neither silence nor the noise in it counts, and a band has no more to tell of what is far below its mean.
func centred(a *tensor.Arena, x tensor.Tensor, reach int) tensor.Tensor {
	y, powers := a.Like(x), powersOf(a, x)
	n := x.Dim(1)
	for r := range x.Rows() {
		t := r % n
		from, to := r-min(t, reach), r+min(n-1-t, reach)
		loudest := float32(math.Inf(-1))
		for s := from; s <= to; s++ {
			if powers.Data[s] > loudest {
				loudest = powers.Data[s]
			}
		}
		var mean [logMelBands]float64
		count := 0.0
		for s := from; s <= to; s++ {
			if powers.Data[s] >= loudest-quiet {
				count++
				for i, v := range x.Row(s) {
					mean[i] += float64(v)
				}
			}
		}
		level := 0.0
		for i := range mean {
			mean[i] /= max(1, count)
			level += mean[i] / logMelBands
		}
		frame := y.Row(r)
		for i, v := range x.Row(r) {
			frame[i] = float32(max(float64(v)-mean[i], -quiet) + level)
		}
	}
	return y
}

// powersOf returns the power of each frame of log-mel spectra x [B, N, bands], in ln: [B, N].
func powersOf(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	powers := a.Tensor(x.Dim(0), x.Dim(1))
	for r := range x.Rows() {
		sum := 0.0
		for _, v := range x.Row(r) {
			sum += math.Exp(float64(v))
		}
		powers.Data[r] = float32(math.Log(sum))
	}
	return powers
}
