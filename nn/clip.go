package nn

import (
	"math"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// ClipGlobalNorm scales all gradients by limit/norm if norm, the Euclidean norm of all of them taken together, exceeds
// limit (Pascanu et al., arXiv 1211.5063, section 3.2). It returns the norm from before. If that is NaN or +Inf the gradients
// are left as they are: the caller is to skip the step.
func ClipGlobalNorm(ps Parameters, limit float64) (norm float64) {
	c := clips.Get()
	c.parameters, c.pieces, c.scaling = ps, ps.pieces(c.pieces[:0]), false
	for len(c.sums) < len(c.pieces) {
		c.sums = append(c.sums, 0)
	}
	parallel.Run(len(c.pieces), c)
	norm = math.Sqrt(total(c.sums[:len(c.pieces)]))
	if norm > limit && !math.IsInf(norm, 1) {
		c.scale, c.scaling = float32(limit/norm), true
		parallel.Run(len(c.pieces), c)
	}
	c.parameters = nil
	clips.Put(c)
	return norm
}

// clip sums the squares of pieces of the gradients, or scales them. Its slices serve again.
type clip struct {
	parameters Parameters
	pieces     []piece
	sums       []float64
	scale      float32
	scaling    bool
}

var clips parallel.Pool[clip]

func (c *clip) Run(item int) {
	p := c.pieces[item]
	grad := c.parameters[p.parameter].Grad.Data[p.from:p.to]
	if c.scaling {
		kernel.Scale(grad, c.scale)
	} else {
		c.sums[item] = kernel.SumSquares(grad)
	}
}
