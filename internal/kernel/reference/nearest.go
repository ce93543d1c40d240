package reference

import "math"

// Nearest returns the index of the entry of table [entries, len(z)] at the least squared distance from z, the lowest of
// several, and that distance; 0 and +Inf if no distance is below +Inf.
func Nearest(z, table []float64, entries int) (code int, distance float64) {
	distance = math.Inf(1)
	for k := range entries {
		sum := 0.0
		for d, v := range z {
			difference := table[k*len(z)+d] - v
			sum += difference * difference
		}
		if sum < distance {
			code, distance = k, sum
		}
	}
	return code, distance
}
