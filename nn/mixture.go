package nn

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// LogisticMixture is a loss: the negative log-likelihood of integer values under a discretised mixture of logistic
// distributions (Salimans et al., PixelCNN++, arXiv 1701.05517, section 2.1 and 2.2), for sound of one channel with any
// number of levels, or for pictures of three.
//
// Levels 0 to Levels-1 lie at x = 2 level/(Levels-1) - 1, h = 1/(Levels-1) on either side belonging to each. With S the
// sigmoid, mixture i gives level x of one channel the probability
//
//	P_i(x) = S((x + h - m_i) / s_i) - S((x - h - m_i) / s_i)
//
// where the first level reaches down to -Inf and the last up to +Inf; a value has the probability sum_i w_i P_i(x). With
// three channels R, G, B a mixture's probability is the product of those of its channels, where the means depend on the
// channels before:
//
//	m_i,G = mean_i,G + tanh(c0_i) x_R
//	m_i,B = mean_i,B + tanh(c1_i) x_R + tanh(c2_i) x_G
//
// The channels of the parameters are, with M = Mixtures, as in the authors' program:
//
//	1 channel:  M logits of w, M means, M log s                                            (3M)
//	3 channels: M logits of w, then for R, G and B each M means, M log s, M coefficients   (10M)
//
// where the coefficients in the parts of R, G, B are c0, c1, c2. Log scales are limited from below: at -7 for 256 levels, as
// in that program, and at the same fraction of a level for other numbers of them. Below, the gradient of a log scale is zero.
type LogisticMixture struct {
	Channels int // 1 or 3
	Levels   int // 256 for pictures, 65536 for 16-bit sound
	Mixtures int // 10 in the papers
}

// Width is the number of parameters for each value (for each pixel with three channels).
func (l LogisticMixture) Width() int {
	if l.Channels != 1 && l.Channels != 3 || l.Levels < 2 || l.Mixtures < 1 {
		panic(fmt.Sprintf("nn.LogisticMixture: %d channels (want 1 or 3), %d levels (at least 2), %d mixtures (at least 1)",
			l.Channels, l.Levels, l.Mixtures))
	}
	return l.Mixtures * (1 + l.Channels*l.perChannel())
}

// perChannel is the number of parameters of a channel of a mixture.
func (l LogisticMixture) perChannel() int {
	if l.Channels == 1 {
		return 2
	}
	return 3
}

// minLogScale is the lower limit of log s.
func (l LogisticMixture) minLogScale() float64 { return -7 - math.Log(float64(l.Levels-1)/255) }

// Loss returns the mean negative log-likelihood in nats over all values (divided by ln 2, bits per dimension) and its
// gradient. params is [..., Width()]; targets holds Channels levels for each of its rows, one row after the other.
func (l LogisticMixture) Loss(a *tensor.Arena, params tensor.Tensor, targets []int32) (loss float64, dparams tensor.Tensor) {
	width := l.Width()
	if params.Rank() == 0 || params.Channels() != width || params.Rows()*l.Channels != len(targets) {
		panic(fmt.Sprintf("nn.LogisticMixture: parameters of shape %v with %d targets, want [... %d] with %d for each row",
			params, len(targets), width, l.Channels))
	}
	checkTargets("LogisticMixture", targets, l.Levels)
	rows := params.Rows()
	dparams = a.Like(params)
	scratch := a.Mark()
	sums := a.Float64s(parallel.Blocks(rows, mixtureRows))
	parallel.RunCopy(&logisticMixtures, len(sums), logisticMixture{l, params.Data, dparams.Data, targets, sums,
		a.Float64s(len(sums) * l.Mixtures), width, 1 / float64(len(targets))})
	loss = total(sums) / float64(len(targets))
	a.Release(scratch)
	return loss, dparams
}

// Draw returns the level of one channel that params [Width()] give for uniform, from [0, 1), so that over all uniforms each
// level is drawn as often as [LogisticMixture.Loss] takes it to be likely. It takes O(Mixtures), whatever the number of levels:
// the mixture i is the one at which the cumulative weights first exceed uniform, and what is left of uniform, from 0 to 1
// within the part of that mixture, goes through the inverse of its cumulative distribution,
//
//	x = m_i + s_i ln(left / (1 - left)),
//
// to the nearest level. (Levels do not rise with uniform, except within a mixture.)
//
// A temperature T draws with weights in proportion to w_i^(1/T), and scales s_i T: as the parameters say for 1, less varied
// below, and for 0 always the mean of the heaviest mixture, of the first of several. If a parameter is NaN the result is some
// level.
func (l LogisticMixture) Draw(params []float32, temperature, uniform float64) int32 {
	m := l.Mixtures
	if l.Channels != 1 || len(params) != l.Width() || !(temperature >= 0) {
		panic(fmt.Sprintf("nn.LogisticMixture: a draw from %d channels, %d parameters, want one, %d; temperature %v",
			l.Channels, len(params), l.Width(), temperature))
	}
	heaviest := 0
	for i, v := range params[:m] {
		if v > params[heaviest] {
			heaviest = i
		}
	}
	if temperature == 0 {
		return l.nearest(float64(params[m+heaviest]))
	}
	sharpness := min(1/temperature, math.MaxFloat64)
	odds := func(i int) float64 { return math.Exp(float64(params[i]-params[heaviest]) * sharpness) }
	sum := 0.0
	for i := range m {
		sum += odds(i)
	}
	threshold := uniform * sum
	sum = 0
	for i := range m {
		p := odds(i)
		if sum += p; sum > threshold {
			scale := math.Exp(max(float64(params[2*m+i]), l.minLogScale()))
			left := 1 - (sum-threshold)/p
			return l.nearest(float64(params[m+i]) + scale*temperature*math.Log(left/(1-left)))
		}
	}
	return l.nearest(float64(params[m+heaviest])) // NaN
}

// Mean writes to levels, one for each channel, those nearest to the mean of the mixture that params [Width()] give: the mean over
// its logistics, by their weights, of their means, each limited to the range of the levels.
func (l LogisticMixture) Mean(levels []int32, params []float32) {
	m := l.Mixtures
	if len(params) != l.Width() || len(levels) != l.Channels {
		panic(fmt.Sprintf("nn.LogisticMixture: %d levels, %d parameters, want %d, %d", len(levels), len(params), l.Channels, l.Width()))
	}
	heaviest := params[0]
	for _, v := range params[:m] {
		heaviest = max(heaviest, v)
	}
	var mean [3]float64
	sum := 0.0
	for i := range m {
		weight := math.Exp(float64(params[i] - heaviest))
		sum += weight
		var x [3]float64 // the means of this logistic, those of G and B by the ones before them
		coefficient := func(c int) float64 { return math.Tanh(float64(params[m+c*3*m+2*m+i])) }
		for c := range levels {
			v := float64(params[m+c*l.perChannel()*m+i])
			switch c {
			case 1:
				v += coefficient(0) * x[0]
			case 2:
				v += coefficient(1)*x[0] + coefficient(2)*x[1]
			}
			x[c] = min(max(v, -1), 1)
			mean[c] += weight * x[c]
		}
	}
	for c := range levels {
		levels[c] = l.nearest(mean[c] / sum)
	}
}

// nearest returns the level nearest to x, of NaN the first.
func (l LogisticMixture) nearest(x float64) int32 {
	last := float64(l.Levels - 1)
	switch level := (x+1)/2*last + 0.5; {
	case !(level >= 0):
		return 0
	case level >= last:
		return int32(last)
	default:
		return int32(level)
	}
}

// mixtureRows is the number of rows in an item.
const mixtureRows = 64

type logisticMixture struct {
	LogisticMixture
	params, dparams []float32
	targets         []int32
	sums            []float64 // of the negative log-likelihoods, one for each block
	joint           []float64 // log w_i P_i of each mixture, for each block
	width           int
	scale           float64 // of the gradient
}

var logisticMixtures parallel.Pool[logisticMixture]

func (t *logisticMixture) Run(item int) {
	from, to := parallel.Block(item, len(t.targets)/t.Channels, mixtureRows)
	joint := t.joint[item*t.Mixtures : (item+1)*t.Mixtures]
	t.sums[item] = 0
	for r := from; r < to; r++ {
		t.sums[item] += t.row(t.params[r*t.width:(r+1)*t.width], t.dparams[r*t.width:(r+1)*t.width],
			t.targets[r*t.Channels:(r+1)*t.Channels], joint)
	}
}

// row returns the negative log-likelihood of one row's targets and writes its gradient, times scale, to d. joint is scratch.
func (t *logisticMixture) row(p, d []float32, targets []int32, joint []float64) float64 {
	m := t.Mixtures
	h := 1 / float64(t.Levels-1)
	minLogScale := t.minLogScale()
	var x [3]float64
	for c, level := range targets {
		x[c] = 2*float64(level)*h - 1
	}
	for i := range m {
		joint[i] = float64(p[i])
	}
	logWeights := logSumExp(joint)

	// log P_i, and in d its derivatives.
	for i := range m {
		var coefficient [3]float64 // tanh of c0, c1, c2
		if t.Channels == 3 {
			for c := range coefficient {
				coefficient[c] = math.Tanh(float64(p[m+c*3*m+2*m+i]))
			}
		}
		for c, level := range targets {
			at := m + c*t.perChannel()*m + i
			mean, logScale := float64(p[at]), float64(p[at+m])
			switch c {
			case 1:
				mean += coefficient[0] * x[0]
			case 2:
				mean += coefficient[1]*x[0] + coefficient[2]*x[1]
			}
			logP, dMean, dLogScale := logLevel(x[c]-mean, h, max(logScale, minLogScale), level == 0, int(level) == t.Levels-1)
			if logScale < minLogScale {
				dLogScale = 0
			}
			joint[i] += logP
			d[at], d[at+m] = float32(dMean), float32(dLogScale)
			switch c {
			case 1: // m_G = mean_G + tanh(c0) x_R
				d[m+2*m+i] = float32(dMean * x[0] * (1 - coefficient[0]*coefficient[0]))
			case 2: // m_B = mean_B + tanh(c1) x_R + tanh(c2) x_G
				d[m+3*m+2*m+i] = float32(dMean * x[0] * (1 - coefficient[1]*coefficient[1]))
				d[m+6*m+2*m+i] = float32(dMean * x[1] * (1 - coefficient[2]*coefficient[2]))
			}
		}
	}

	// -log sum_i w_i P_i = log sum_i exp(logit_i) - log sum_i exp(logit_i) P_i. What a mixture's parameters get is their
	// part in log P_i, times its share of the likelihood.
	logJoint := logSumExp(joint)
	for i := range m {
		share := math.Exp(joint[i] - logJoint)
		d[i] = float32(t.scale * (math.Exp(float64(p[i])-logWeights) - share))
		for at := m + i; at < len(d); at += m {
			d[at] = float32(-t.scale * share * float64(d[at]))
		}
	}
	return logWeights - logJoint
}

// logLevel returns the logarithm of S(b) - S(a), for b = (e+h)/s and a = (e-h)/s, and its derivatives with respect to the
// mean, of which e is the distance, and to log s. For the first level S(a) is 0, for the last S(b) is 1. It is exact however
// far out the level lies, with d = b - a, from
//
//	S(b) - S(a) = S(b) S(-a) (1 - exp(-d))
//
// (Salimans' program instead goes over to the density times the width where the difference is small.)
func logLevel(e, h, logScale float64, first, last bool) (logP, dMean, dLogScale float64) {
	inverse := math.Exp(-logScale)
	b, a := (e+h)*inverse, (e-h)*inverse
	switch {
	case first:
		low, tail := lowerTail(b)
		return min(b, 0) - math.Log1p(low), -inverse * tail, -b * tail
	case last:
		low, tail := lowerTail(-a)
		return min(-a, 0) - math.Log1p(low), inverse * tail, a * tail
	}
	lowB, tailB := lowerTail(b)
	lowA, tailA := lowerTail(-a)
	d := 2 * h * inverse
	q := -math.Expm1(-d)
	logP = min(b, 0) + min(-a, 0) + math.Log(q/((1+lowB)*(1+lowA)))
	// d log S(b)/db = S(-b); d log S(-a)/da = -S(a); d log(1-exp(-d))/dd = (1-q)/q.
	return logP, -inverse * (tailB - tailA), -(b*tailB - a*tailA + d*(1-q)/q)
}

// lowerTail returns exp(-|x|), with which log S(x) = min(x, 0) - log(1 + exp(-|x|)), and S(-x), the derivative of log S.
func lowerTail(x float64) (low, tail float64) {
	low = math.Exp(-math.Abs(x))
	if x > 0 {
		return low, low / (1 + low)
	}
	return low, 1 / (1 + low)
}

// logSumExp is log(sum(exp(x))), without overflow.
func logSumExp(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	if math.IsInf(top, -1) {
		return top // no mixture gives the values any probability that can be told
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}
