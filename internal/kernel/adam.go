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
		adam(w[:chunk], g[:chunk], m[:chunk], v[:chunk], s, c1, c2)
		w, g, m, v = w[chunk:], g[chunk:], m[chunk:], v[chunk:]
	}
	adam(w, g, m, v, s, c1, c2)
}

// adamGeneric: c1 and c2 are 1-Beta1 and 1-Beta2.
func adamGeneric(w, g, m, v []float32, s AdamStep, c1, c2 float32) {
	for i, d := range g {
		m[i] = s.Beta1*m[i] + c1*d
		v[i] = s.Beta2*v[i] + c2*d*d
		root := float32(math.Sqrt(float64(v[i] * s.Correction2)))
		w[i] -= s.LearningRate * (m[i]*s.Correction1/(root+s.Epsilon) + s.WeightDecay*w[i])
	}
}
