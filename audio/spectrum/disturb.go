package spectrum

import (
	"math"
	"math/rand/v2"
)

// Colour returns a random smooth curve over the bands of a log-mel spectrum, in ln of power: a sum of cosines of the numbers of
// half periods from first to last over all bands, each with an amplitude drawn evenly from -decibels to decibels. Added to each
// frame, it is another microphone; of the half period 0, another level.
func Colour(bands, first, last int, decibels float64, random *rand.Rand) []float64 {
	curve := make([]float64, bands)
	for k := first; k <= last; k++ {
		a := decibels * math.Ln10 / 10 * (2*random.Float64() - 1)
		for m := range curve {
			curve[m] += a * math.Cos(math.Pi*float64(k)*(float64(m)+0.5)/float64(bands))
		}
	}
	return curve
}

// Hiss returns the powers of the bands of noise, of a mean power of about 10^(decibels/10): white, or falling from the first
// to the last band, by up to 20 dB.
func Hiss(bands int, decibels float64, random *rand.Rand) []float64 {
	level, tilt := decibels*math.Ln10/10, 2*math.Ln10*random.Float64()
	powers := make([]float64, bands)
	for m := range powers {
		powers[m] = math.Exp(level + tilt*(0.5-float64(m)/float64(bands)))
	}
	return powers
}

// MeanPower returns the mean power of the bands of a log-mel spectrum.
func MeanPower(logMel []float32) float64 {
	sum := 0.0
	for _, v := range logMel {
		sum += math.Exp(float64(v))
	}
	return sum / float64(len(logMel))
}
