package reference

import "math"

// CrossEntropy is the mean over the rows of logits [rows, n] of -log softmax(logits[r])[targets[r]], and its gradient.
func CrossEntropy(n int, logits []float64, targets []int32) (mean float64, dlogits []float64) {
	rows := float64(len(targets))
	dlogits = make([]float64, len(logits))
	for r, target := range targets {
		top := math.Inf(-1)
		for j := range n {
			top = max(top, logits[r*n+j])
		}
		sum := 0.0
		for j := range n {
			sum += math.Exp(logits[r*n+j] - top)
		}
		mean += (top + math.Log(sum) - logits[r*n+int(target)]) / rows
		for j := range n {
			dlogits[r*n+j] = math.Exp(logits[r*n+j]-top) / sum / rows
		}
		dlogits[r*n+int(target)] -= 1 / rows
	}
	return mean, dlogits
}

// MSE is the mean of (y - target)^2 and its gradient with respect to y.
func MSE(y, target []float64) (mean float64, dy []float64) {
	n := float64(len(y))
	dy = make([]float64, len(y))
	for i, v := range y {
		mean += (v - target[i]) * (v - target[i]) / n
		dy[i] = 2 * (v - target[i]) / n
	}
	return mean, dy
}

// LogisticMixture is the mean negative log-likelihood of nn.LogisticMixture, with its layout of parameters, and its
// gradient. It works with the probabilities themselves: they must not be so small that differences of sigmoids vanish.
func LogisticMixture(channels, levels, mixtures int, params []float64, targets []int32) (mean float64, dparams []float64) {
	perChannel := 2 // means, log scales
	if channels == 3 {
		perChannel = 3 // and coefficients
	}
	width := mixtures * (1 + channels*perChannel)
	dparams = make([]float64, len(params))
	h := 1 / float64(levels-1)
	limit := -7 - math.Log(float64(levels-1)/255)

	for r := range len(targets) / channels {
		p, d := params[r*width:(r+1)*width], dparams[r*width:(r+1)*width]
		x := make([]float64, channels)
		for c := range x {
			x[c] = 2*float64(targets[r*channels+c])*h - 1
		}
		index := func(channel, kind, mixture int) int {
			return mixtures + (channel*perChannel+kind)*mixtures + mixture
		}
		weightSum := 0.0
		for i := range mixtures {
			weightSum += math.Exp(p[i])
		}

		// The likelihood, a sum over mixtures of weight times the product of the channels' probabilities, and the
		// derivatives of it.
		likelihood := 0.0
		dlikelihood := make([]float64, width)
		products := make([]float64, mixtures)
		for i := range mixtures {
			weight := math.Exp(p[i]) / weightSum
			prob, dm, ds := make([]float64, channels), make([]float64, channels), make([]float64, channels)
			products[i] = 1
			for c := range channels {
				m := p[index(c, 0, i)]
				if c == 1 {
					m += math.Tanh(p[index(0, 2, i)]) * x[0]
				}
				if c == 2 {
					m += math.Tanh(p[index(1, 2, i)])*x[0] + math.Tanh(p[index(2, 2, i)])*x[1]
				}
				logScale := max(p[index(c, 1, i)], limit)
				s := math.Exp(logScale)
				b, a := (x[c]+h-m)/s, (x[c]-h-m)/s
				upper, lower := sigmoid(b), sigmoid(a)
				dUpper, dLower := upper*(1-upper), lower*(1-lower)
				if targets[r*channels+c] == 0 {
					lower, dLower = 0, 0
				}
				if int(targets[r*channels+c]) == levels-1 {
					upper, dUpper = 1, 0
				}
				prob[c] = upper - lower
				dm[c] = -(dUpper - dLower) / s
				ds[c] = -(b*dUpper - a*dLower)
				if p[index(c, 1, i)] < limit {
					ds[c] = 0
				}
				products[i] *= prob[c]
			}
			likelihood += weight * products[i]
			for c := range channels {
				others := weight
				for o := range channels {
					if o != c {
						others *= prob[o]
					}
				}
				dlikelihood[index(c, 0, i)] = others * dm[c]
				dlikelihood[index(c, 1, i)] = others * ds[c]
				if c == 1 {
					dlikelihood[index(0, 2, i)] = others * dm[c] * x[0] * dtanh(p[index(0, 2, i)])
				}
				if c == 2 {
					dlikelihood[index(1, 2, i)] = others * dm[c] * x[0] * dtanh(p[index(1, 2, i)])
					dlikelihood[index(2, 2, i)] = others * dm[c] * x[1] * dtanh(p[index(2, 2, i)])
				}
			}
		}
		for i := range mixtures {
			weight := math.Exp(p[i]) / weightSum
			dlikelihood[i] = weight * (products[i] - likelihood)
		}
		mean -= math.Log(likelihood) / float64(len(targets))
		for j := range d {
			d[j] = -dlikelihood[j] / likelihood / float64(len(targets))
		}
	}
	return mean, dparams
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func dtanh(x float64) float64 { return 1 - math.Tanh(x)*math.Tanh(x) }
