package kernel

import "math"

// AdamStep holds the numbers of one step of Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1) with decoupled weight decay
// (Loshchilov & Hutter, arXiv 1711.05101). At step t = 1, 2, ... the corrections are 1/(1-Beta1^t) and 1/(1-Beta2^t).
type AdamStep struct {
	LearningRate, Beta1, Beta2, Epsilon, WeightDecay, Correction1, Correction2 float32
}

// AdamUpdate applies one step to the weights w with gradient g and moments m, v:
//
//	m = Beta1*m + (1-Beta1)*g
//	v = Beta2*v + (1-Beta2)*g*g
//	w -= LearningRate * (m*Correction1 / (sqrt(v*Correction2) + Epsilon) + WeightDecay*w)
func AdamUpdate(w, g, m, v []float32, s AdamStep) {
	checkLen("AdamUpdate: g", len(g), len(w))
	checkLen("AdamUpdate: m", len(m), len(w))
	checkLen("AdamUpdate: v", len(v), len(w))
	// The complements in float64: 1-Beta2 would lose digits in float32.
	c1, c2 := float32(1-float64(s.Beta1)), float32(1-float64(s.Beta2))
	for len(w) > chunk {
		adam(w[:chunk], g[:chunk], m[:chunk], v[:chunk],
			s.Beta1, c1, s.Beta2, c2, s.Correction1, s.Correction2, s.Epsilon, s.LearningRate, s.WeightDecay)
		w, g, m, v = w[chunk:], g[chunk:], m[chunk:], v[chunk:]
	}
	adam(w, g, m, v, s.Beta1, c1, s.Beta2, c2, s.Correction1, s.Correction2, s.Epsilon, s.LearningRate, s.WeightDecay)
}

func adamGeneric(w, g, m, v []float32, beta1, gain1, beta2, gain2, correction1, correction2, epsilon, rate, decay float32) {
	for i, d := range g {
		m[i] = beta1*m[i] + gain1*d
		v[i] = beta2*v[i] + gain2*d*d
		root := float32(math.Sqrt(float64(v[i] * correction2)))
		w[i] -= rate * (m[i]*correction1/(root+epsilon) + decay*w[i])
	}
}
