package reference

// MatVec is the plain loop of a product of a vector x [in] with a matrix w [in, out]: y += x w.
func MatVec(in, out int, y, x, w []float64) {
	for n := range out {
		for k := range in {
			y[n] += x[k] * w[k*out+n]
		}
	}
}
