package reference

// Embedding is y[i] = table[ids[i]] for a table of vectors of n.
func Embedding(n int, table []float64, ids []int32) (y []float64) {
	for _, id := range ids {
		for j := range n {
			y = append(y, table[int(id)*n+j])
		}
	}
	return y
}

// EmbeddingBackward returns the gradient of a table of the given number of vectors, given the gradient dy of the result.
func EmbeddingBackward(size, n int, ids []int32, dy []float64) (dtable []float64) {
	dtable = make([]float64, size*n)
	for i, id := range ids {
		for j := range n {
			dtable[int(id)*n+j] += dy[i*n+j]
		}
	}
	return dtable
}
