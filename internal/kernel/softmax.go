package kernel

import (
	"fmt"
	"math"
)

// softmaxRows is the number of rows whose maxima and sums are kept on the stack between two assembly calls.
const softmaxRows = 64

// rowStats are, for each of up to softmaxRows rows, the maximum and the sum of exp(x - maximum), or its logarithm.
type rowStats struct{ max, sum [softmaxRows]float32 }

// SoftmaxCrossEntropy computes, for every row of logits [rows, n] with its target class,
//
//	nll[r] = log(sum_j exp(logits[r][j])) - logits[r][target]      (nats)
//	dlogits[r][j] = scale * (softmax(logits[r])[j] - (1 if j is the target, else 0))
//
// dlogits has the stride of logits and may be logits itself, or nil if only the loss is wanted. A target outside [0, n)
// panics.
func SoftmaxCrossEntropy(nll, dlogits, logits []float32, stride int, targets []int32, rows, n int, scale float32) {
	checkMatrix("SoftmaxCrossEntropy: logits", len(logits), stride, rows, n)
	checkLen("SoftmaxCrossEntropy: nll", len(nll), rows)
	checkLen("SoftmaxCrossEntropy: targets", len(targets), rows)
	if dlogits != nil {
		checkMatrix("SoftmaxCrossEntropy: dlogits", len(dlogits), stride, rows, n)
	}
	for r, t := range targets {
		if t < 0 || int(t) >= n {
			panic(fmt.Sprintf("kernel.SoftmaxCrossEntropy: target %d of row %d is outside [0, %d)", t, r, n))
		}
	}
	var stats rowStats
	for r0 := 0; r0 < rows; {
		k := min(rows-r0, rowsPerCall(n), softmaxRows)
		x := logits[r0*stride:]
		for r := range k {
			nll[r0+r] = x[r*stride+int(targets[r0+r])]
		}
		if dlogits == nil {
			softmaxStats(stats.max[:], stats.sum[:], x, stride, k, n)
		} else {
			dx := dlogits[r0*stride:]
			softmax(dx, x, stride, k, n, scale, stats.max[:], stats.sum[:])
			for r := range k {
				dx[r*stride+int(targets[r0+r])] -= scale
			}
		}
		logOfSums(stats.sum[:k])
		for r := range k {
			nll[r0+r] = stats.sum[r] + (stats.max[r] - nll[r0+r])
		}
		r0 += k
	}
}

// Softmax writes exp(x) / sum(exp(x)) of every row of x [rows, n] to y, which has the same stride and may be x.
func Softmax(y, x []float32, stride, rows, n int) {
	checkMatrix("Softmax: x", len(x), stride, rows, n)
	checkMatrix("Softmax: y", len(y), stride, rows, n)
	if n == 0 {
		return
	}
	var stats rowStats
	for r0 := 0; r0 < rows; {
		k := min(rows-r0, rowsPerCall(n), softmaxRows)
		softmax(y[r0*stride:], x[r0*stride:], stride, k, n, 1, stats.max[:], stats.sum[:])
		r0 += k
	}
}

// LogSoftmax writes x - log(sum(exp(x))) of every row of x [rows, n] to y, which has the same stride and may be x.
func LogSoftmax(y, x []float32, stride, rows, n int) {
	checkMatrix("LogSoftmax: x", len(x), stride, rows, n)
	checkMatrix("LogSoftmax: y", len(y), stride, rows, n)
	if n == 0 {
		return
	}
	var stats rowStats
	for r0 := 0; r0 < rows; {
		k := min(rows-r0, rowsPerCall(n), softmaxRows)
		softmaxStats(stats.max[:], stats.sum[:], x[r0*stride:], stride, k, n)
		logOfSums(stats.sum[:k])
		for r := range k {
			i := (r0 + r) * stride
			subtractBoth(y[i:i+n], x[i:i+n], stats.max[r], stats.sum[r])
		}
		r0 += k
	}
}

// subtractBothGeneric: x - a - b, in this order, which keeps the digits of b where a is large.
func subtractBothGeneric(y, x []float32, a, b float32) {
	for i, v := range x {
		y[i] = v - a - b
	}
}

// logOfSumsGeneric replaces sums of exponentials, which are at least 1 or NaN, by their natural logarithms.
func logOfSumsGeneric(x []float32) {
	for i, v := range x {
		x[i] = float32(math.Log(float64(v)))
	}
}

// softmaxStatsGeneric writes the maximum of each row and the sum of exp(x - maximum).
func softmaxStatsGeneric(maxima, sums, x []float32, stride, rows, n int) {
	for r := range rows {
		row := x[r*stride:][:n]
		maxima[r] = maximumGeneric(row)
		sums[r] = sumExpGeneric(row, maxima[r])
	}
}

// softmaxGeneric is softmaxStats and, besides, y = scale * exp(x - maximum) / sum.
func softmaxGeneric(y, x []float32, stride, rows, n int, scale float32, maxima, sums []float32) {
	for r := range rows {
		row, out := x[r*stride:][:n], y[r*stride:][:n]
		m := maximumGeneric(row)
		sum := 0.0
		for j, v := range row {
			p, s := expm1Parts(float64(v - m))
			out[j] = float32(p*s + s)
			sum += p*s + s
		}
		maxima[r], sums[r] = m, float32(sum)
		scaleGeneric(out, scale/sums[r])
	}
}
