package kernel

//go:generate go run -C generate ./elementwise

import "fmt"

// Elementwise kernels and simple reductions over vectors and over the rows of matrices. Every exported function checks
// its arguments and hands pieces of at most chunk elements to the active tier; the plain loop that a piece stands for is
// the function NAMEGeneric. Slices may be the same or disjoint; a partial overlap is a mistake that is not looked for.

// chunk is the number of elements handed to one assembly call. Assembly cannot be preempted: at memory speed a piece of
// this size still takes well under 100 microseconds.
const chunk = 1 << 14

// checkMatrix panics if rows of n elements at the given stride do not lie within a slice of the given length.
func checkMatrix(what string, length, stride, rows, n int) {
	if rows < 0 || n < 0 {
		panic(fmt.Sprintf("kernel.%s: %d rows x %d columns", what, rows, n))
	}
	if rows == 0 || n == 0 {
		return
	}
	if stride < n || length < n || (length-n)/stride < rows-1 {
		panic(fmt.Sprintf("kernel.%s: length %d, want %d rows x %d columns at stride %d",
			what, length, rows, n, stride))
	}
}

// rowsPerCall returns how many rows of n elements go into one assembly call: at least one, however long it is.
func rowsPerCall(n int) int { return max(1, chunk/max(n, 1)) }

// Add adds x to y, element by element.
func Add(y, x []float32) {
	checkLen("Add: x", len(x), len(y))
	for len(y) > chunk {
		addRows(y[:chunk], 0, x[:chunk], 0, 1, chunk)
		y, x = y[chunk:], x[chunk:]
	}
	addRows(y, 0, x, 0, 1, len(y))
}

// AddRow adds row, n elements, to every row of y [rows, n] (a bias).
func AddRow(y []float32, stride, rows, n int, row []float32) {
	checkMatrix("AddRow: y", len(y), stride, rows, n)
	checkLen("AddRow: row", len(row), n)
	if n == 0 {
		return
	}
	for step := rowsPerCall(n); rows > 0; rows -= step {
		k := min(step, rows)
		addRows(y, stride, row, 0, k, n)
		if k < rows {
			y = y[k*stride:]
		}
	}
}

// ColumnSums adds the sum over the rows of x [rows, n] to sums, n elements, in the order of the rows.
func ColumnSums(sums, x []float32, stride, rows, n int) {
	checkMatrix("ColumnSums: x", len(x), stride, rows, n)
	checkLen("ColumnSums: sums", len(sums), n)
	if n == 0 {
		return
	}
	for step := rowsPerCall(n); rows > 0; rows -= step {
		k := min(step, rows)
		addRows(sums, 0, x, stride, k, n)
		if k < rows {
			x = x[k*stride:]
		}
	}
}

// addRowsGeneric: a stride of 0 uses one row again and again.
func addRowsGeneric(y []float32, yStride int, x []float32, xStride, rows, n int) {
	for r := range rows {
		yr, xr := y[r*yStride:][:n], x[r*xStride:][:n]
		for j, v := range xr {
			yr[j] += v
		}
	}
}

// AddScaled adds a*x to y, element by element.
func AddScaled(y []float32, a float32, x []float32) {
	checkLen("AddScaled: x", len(x), len(y))
	for len(y) > chunk {
		addScaled(y[:chunk], x[:chunk], a)
		y, x = y[chunk:], x[chunk:]
	}
	addScaled(y, x, a)
}

func addScaledGeneric(y, x []float32, a float32) {
	for i, v := range x {
		y[i] += a * v
	}
}

// Scale multiplies y by a.
func Scale(y []float32, a float32) {
	for len(y) > chunk {
		scale(y[:chunk], a)
		y = y[chunk:]
	}
	scale(y, a)
}

func scaleGeneric(y []float32, a float32) {
	for i := range y {
		y[i] *= a
	}
}

// Lerp moves y towards x by the fraction t: y += t*(x-y).
func Lerp(y, x []float32, t float32) {
	checkLen("Lerp: x", len(x), len(y))
	for len(y) > chunk {
		lerp(y[:chunk], x[:chunk], t)
		y, x = y[chunk:], x[chunk:]
	}
	lerp(y, x, t)
}

func lerpGeneric(y, x []float32, t float32) {
	for i, v := range x {
		y[i] += t * (v - y[i])
	}
}

// ReLU writes max(x, 0) to y; NaN stays NaN. y may be x.
func ReLU(y, x []float32) {
	checkLen("ReLU: x", len(x), len(y))
	for len(y) > chunk {
		relu(y[:chunk], x[:chunk])
		y, x = y[chunk:], x[chunk:]
	}
	relu(y, x)
}

func reluGeneric(y, x []float32) {
	for i, v := range x {
		y[i] = max(v, 0)
	}
}

// ReLUBackward writes to dx the gradient of ReLU: dy where the output y is greater than 0, else 0. dx may be dy or y.
func ReLUBackward(dx, dy, y []float32) {
	checkLen("ReLUBackward: dy", len(dy), len(dx))
	checkLen("ReLUBackward: y", len(y), len(dx))
	for len(dx) > chunk {
		reluBackward(dx[:chunk], dy[:chunk], y[:chunk])
		dx, dy, y = dx[chunk:], dy[chunk:], y[chunk:]
	}
	reluBackward(dx, dy, y)
}

func reluBackwardGeneric(dx, dy, y []float32) {
	for i, v := range y {
		if v > 0 {
			dx[i] = dy[i]
		} else {
			dx[i] = 0
		}
	}
}

// Dot returns the inner product of a and b.
func Dot(a, b []float32) float32 {
	checkLen("Dot: b", len(b), len(a))
	sum := 0.0
	for len(a) > sumBlock {
		sum += float64(dot(a[:sumBlock], b[:sumBlock]))
		a, b = a[sumBlock:], b[sumBlock:]
	}
	return float32(sum + float64(dot(a, b)))
}

func dotGeneric(a, b []float32) float32 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return float32(sum)
}

// sumBlock is the number of elements that Dot and SumSquares sum in float32 before going over to float64.
const sumBlock = 1024

// SumSquares returns the sum of the squares of x: float32 within blocks of 1024 elements, float64 across them, always in
// the same order. A block whose squares exceed the range of float32 makes the sum +Inf.
func SumSquares(x []float32) float64 {
	sum := 0.0
	for len(x) > sumBlock {
		sum += float64(sumSquares(x[:sumBlock]))
		x = x[sumBlock:]
	}
	return sum + float64(sumSquares(x))
}

func sumSquaresGeneric(x []float32) float32 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return float32(sum)
}

// Max returns the largest element of x; NaN if any is NaN, -Inf if there is none.
func Max(x []float32) float32 {
	m := negInf
	for len(x) > chunk {
		m = max(m, maximum(x[:chunk]))
		x = x[chunk:]
	}
	return max(m, maximum(x))
}

func maximumGeneric(x []float32) float32 {
	m := negInf
	for _, v := range x {
		m = max(m, v)
	}
	return m
}
