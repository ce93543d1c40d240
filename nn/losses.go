package nn

import (
	"fmt"
	"math"
	"slices"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// A loss returns the mean over its values, in float64, and the gradient of that mean with respect to its input. The mean of
// no values is NaN.

// CrossEntropy is the mean negative log-likelihood, in nats, of the targets under a softmax over the channels of logits:
//
//	loss = 1/rows sum_r (log sum_j exp(logits[r][j]) - logits[r][targets[r]])
//	dlogits[r][j] = 1/rows (softmax(logits[r])[j] - (1 if j is targets[r], else 0))
//
// logits is [..., classes], with a target in [0, classes) for each of its rows.
func CrossEntropy(a *tensor.Arena, logits tensor.Tensor, targets []int32) (loss float64, dlogits tensor.Tensor) {
	if logits.Rank() == 0 || logits.Rows() != len(targets) {
		panic(fmt.Sprintf("nn.CrossEntropy: logits of shape %v, %d targets", logits, len(targets)))
	}
	rows, classes := logits.Rows(), logits.Channels()
	checkTargets("CrossEntropy", targets, classes)
	dlogits = a.Like(logits)
	scratch := a.Mark()
	block := max(1, elementBlock/max(1, classes))
	sums := a.Float64s(parallel.Blocks(rows, block))
	parallel.RunCopy(&crossEntropies, len(sums),
		crossEntropy{logits.Data, dlogits.Data, a.Floats(rows), targets, sums, classes, block, float32(1 / float64(rows))})
	loss = total(sums) / float64(rows)
	a.Release(scratch)
	return loss, dlogits
}

type crossEntropy struct {
	logits, dlogits, nll []float32
	targets              []int32
	sums                 []float64 // of nll, one for each block
	classes, block       int
	scale                float32
}

var crossEntropies parallel.Pool[crossEntropy]

func (t *crossEntropy) Run(item int) {
	from, to := parallel.Block(item, len(t.targets), t.block)
	n, nll := t.classes, t.nll[from:to]
	kernel.SoftmaxCrossEntropy(nll, t.dlogits[from*n:to*n], t.logits[from*n:to*n], n, t.targets[from:to], to-from, n, t.scale)
	t.sums[item] = 0
	for _, v := range nll {
		t.sums[item] += float64(v)
	}
}

// ExpectedClass returns the class nearest to the mean of the classes, taken as numbers, under a softmax over logits. If a logit is
// NaN the result is some class.
func ExpectedClass(logits []float32) int32 {
	top := slices.Max(logits)
	sum, mean := 0.0, 0.0
	for i, v := range logits {
		p := math.Exp(float64(v - top))
		sum += p
		mean += p * float64(i)
	}
	if mean /= sum; mean >= 0 {
		return int32(mean + 0.5)
	}
	return 0
}

// MSE is the mean of the squares of y - target, over all elements: loss = 1/n sum_i (y_i - target_i)^2 and
// dy_i = 2/n (y_i - target_i).
func MSE(a *tensor.Arena, y, target tensor.Tensor) (loss float64, dy tensor.Tensor) {
	if !y.SameShape(target) {
		panic(fmt.Sprintf("nn.MSE: output of shape %v, target of shape %v", y, target))
	}
	dy = a.Like(y)
	scratch := a.Mark()
	sums := a.Float64s(parallel.Blocks(y.Len(), elementBlock))
	parallel.RunCopy(&squaredErrors, len(sums), squaredError{y.Data, target.Data, dy.Data, sums, float32(2 / float64(y.Len()))})
	loss = total(sums) / float64(y.Len())
	a.Release(scratch)
	return loss, dy
}

type squaredError struct {
	y, target, dy []float32
	sums          []float64
	scale         float32
}

var squaredErrors parallel.Pool[squaredError]

func (t *squaredError) Run(item int) {
	from, to := parallel.Block(item, len(t.y), elementBlock)
	dy := t.dy[from:to]
	copy(dy, t.y[from:to])
	kernel.AddScaled(dy, -1, t.target[from:to])
	t.sums[item] = kernel.SumSquares(dy)
	kernel.Scale(dy, t.scale)
}

// total adds up partial sums in their order.
func total(sums []float64) float64 {
	t := 0.0
	for _, s := range sums {
		t += s
	}
	return t
}

// checkTargets panics unless all targets are in [0, classes).
func checkTargets(what string, targets []int32, classes int) {
	for i, t := range targets {
		if t < 0 || int(t) >= classes {
			panic(fmt.Sprintf("nn.%s: target %d at position %d is outside [0, %d)", what, t, i, classes))
		}
	}
}
