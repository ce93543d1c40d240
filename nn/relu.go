package nn

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// ReLU returns max(x, 0), element by element.
func ReLU(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	y := a.Like(x)
	parallel.RunCopy(&relus, parallel.Blocks(y.Len(), elementBlock), relu{y: y.Data, x: x.Data})
	return y
}

// ReLUBackward returns the gradient with respect to ReLU's argument, given its result y and the gradient dy with respect
// to that: dy where y > 0, else 0.
func ReLUBackward(a *tensor.Arena, y, dy tensor.Tensor) tensor.Tensor {
	if !y.SameShape(dy) {
		panic(fmt.Sprintf("nn.ReLUBackward: output of shape %v, gradient of shape %v", y, dy))
	}
	dx := a.Like(y)
	parallel.RunCopy(&relus, parallel.Blocks(y.Len(), elementBlock), relu{y: y.Data, dy: dy.Data, dx: dx.Data})
	return dx
}

// relu is the task of ReLU, or with dx of ReLUBackward.
type relu struct{ y, x, dy, dx []float32 }

var relus parallel.Pool[relu]

func (t *relu) Run(item int) {
	from, to := parallel.Block(item, len(t.y), elementBlock)
	if t.dx == nil {
		kernel.ReLU(t.y[from:to], t.x[from:to])
	} else {
		kernel.ReLUBackward(t.dx[from:to], t.dy[from:to], t.y[from:to])
	}
}
