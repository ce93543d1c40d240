package reference

// Tap is one term of a convolution sum: an offset added to the index of x, and the index of its weight matrix.
type Tap struct{ Offset, Weight int }

// Conv is the plain loop of a stretch of a convolution. For every t in [0, rows) and n in [0, out):
//
//	y[yBase + t*yStride + n] += sum over taps p, k in [0, in) of
//	    x[xBase + t*xStride + p.Offset + k] * w[p.Weight*in*out + k*out + n]
func Conv(rows, in, out int, x []float64, xBase, xStride int, taps []Tap, w, y []float64, yBase, yStride int) {
	for t := range rows {
		for _, p := range taps {
			for k := range in {
				xv := x[xBase+t*xStride+p.Offset+k]
				for n := range out {
					y[yBase+t*yStride+n] += xv * w[p.Weight*in*out+k*out+n]
				}
			}
		}
	}
}

// ConvInputGradient is the adjoint of Conv with respect to x: dx += what dy [rows, out] says of each x that was read.
func ConvInputGradient(rows, in, out int, dx []float64, xBase, xStride int, taps []Tap, w, dy []float64, yBase, yStride int) {
	for t := range rows {
		for _, p := range taps {
			for k := range in {
				sum := 0.0
				for n := range out {
					sum += dy[yBase+t*yStride+n] * w[p.Weight*in*out+k*out+n]
				}
				dx[xBase+t*xStride+p.Offset+k] += sum
			}
		}
	}
}

// ConvWeightGradient is the adjoint of Conv with respect to w: dw += x^T dy, tap by tap.
func ConvWeightGradient(rows, in, out int, x []float64, xBase, xStride int, taps []Tap, dw, dy []float64, yBase, yStride int) {
	for t := range rows {
		for _, p := range taps {
			for k := range in {
				xv := x[xBase+t*xStride+p.Offset+k]
				for n := range out {
					dw[p.Weight*in*out+k*out+n] += xv * dy[yBase+t*yStride+n]
				}
			}
		}
	}
}
