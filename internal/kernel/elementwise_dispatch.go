package kernel

func addRows(y []float32, yStride int, x []float32, xStride, rows, n int) {
	addRowsGeneric(y, yStride, x, xStride, rows, n)
}
func addScaled(y, x []float32, a float32)       { addScaledGeneric(y, x, a) }
func scale(y []float32, a float32)              { scaleGeneric(y, a) }
func lerp(y, x []float32, t float32)            { lerpGeneric(y, x, t) }
func relu(y, x []float32)                       { reluGeneric(y, x) }
func reluBackward(dx, dy, y []float32)          { reluBackwardGeneric(dx, dy, y) }
func dot(a, b []float32) float32                { return dotGeneric(a, b) }
func sumSquares(x []float32) float32            { return sumSquaresGeneric(x) }
func maximum(x []float32) float32               { return maximumGeneric(x) }
func exp(y, x []float32)                        { expGeneric(y, x) }
func sumExp(x []float32, s float32) float32     { return sumExpGeneric(x, s) }
func subtractBoth(y, x []float32, a, b float32) { subtractBothGeneric(y, x, a, b) }
func gateForward(y []float32, yStride int, ab []float32, abStride, rows, n int) {
	gateForwardGeneric(y, yStride, ab, abStride, rows, n)
}
func gateBackward(dab []float32, dabStride int, ab []float32, abStride int, dy []float32, dyStride, rows, n int) {
	gateBackwardGeneric(dab, dabStride, ab, abStride, dy, dyStride, rows, n)
}
func softmaxStats(maxima, sums, x []float32, stride, rows, n int) {
	softmaxStatsGeneric(maxima, sums, x, stride, rows, n)
}
func softmax(y, x []float32, stride, rows, n int, scale float32, maxima, sums []float32) {
	softmaxGeneric(y, x, stride, rows, n, scale, maxima, sums)
}
func adam(w, g, m, v []float32, s AdamStep, c1, c2 float32) { adamGeneric(w, g, m, v, s, c1, c2) }
func toBF16(dst []uint16, dstStride int, src []float32, srcStride, rows, n int) {
	toBF16Generic(dst, dstStride, src, srcStride, rows, n)
}
func fromBF16(dst []float32, src []uint16) { fromBF16Generic(dst, src) }
