package wavenet

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/internal/kernel"
)

// Draw returns the class at which the cumulative distribution softmax(logits/temperature) first exceeds uniform, from [0, 1).
// A temperature of 1 draws as the net predicts, a lower one more often what is likely; 0 takes the class of the largest
// logit, the first of several. If a logit is NaN the result is some class. For a mixture see [nn.LogisticMixture.Draw].
func (s *Sampler) Draw(logits []float32, temperature, uniform float64) int32 {
	if c := s.net.Config; c.Mixture > 0 {
		return c.mixture().Draw(logits, temperature, uniform)
	}
	if len(logits) != len(s.odds) || !(temperature >= 0) {
		panic(fmt.Sprintf("wavenet.Sampler: %d logits of %d classes, temperature %v", len(logits), len(s.odds), temperature))
	}
	largest := 0
	for i, v := range logits {
		if v > logits[largest] {
			largest = i
		}
	}
	if temperature == 0 {
		return int32(largest)
	}
	scale := float32(min(1/temperature, math.MaxFloat32))
	for i, v := range logits {
		s.odds[i] = (v - logits[largest]) * scale
	}
	kernel.Exp(s.odds, s.odds)
	sum := 0.0
	for _, p := range s.odds {
		sum += float64(p)
	}
	threshold := uniform * sum
	sum = 0
	for i, p := range s.odds {
		if sum += float64(p); sum > threshold {
			return int32(i)
		}
	}
	return int32(len(logits) - 1)
}
