package reference

// Linear is y = x w + b for x [rows, in], w [in, out], b [out].
func Linear(rows, in, out int, x, w, b []float64) (y []float64) {
	y = make([]float64, rows*out)
	for r := range rows {
		for n := range out {
			y[r*out+n] = b[n]
			for k := range in {
				y[r*out+n] += x[r*in+k] * w[k*out+n]
			}
		}
	}
	return y
}

// LinearBackward returns the gradients of Linear, given the gradient dy of its result.
func LinearBackward(rows, in, out int, x, w, dy []float64) (dx, dw, db []float64) {
	dx, dw, db = make([]float64, rows*in), make([]float64, in*out), make([]float64, out)
	for r := range rows {
		for n := range out {
			db[n] += dy[r*out+n]
			for k := range in {
				dx[r*in+k] += dy[r*out+n] * w[k*out+n]
				dw[k*out+n] += x[r*in+k] * dy[r*out+n]
			}
		}
	}
	return dx, dw, db
}
