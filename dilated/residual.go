package dilated

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// ResidualConfig describes a Residual.
type ResidualConfig struct {
	Channels, Hidden int  // of the stream, and between the two convolutions
	Height, Width    Axis // of the first convolution, which must keep the size: 3 taps, Same, in the paper
	Precision        Precision
}

// Residual is the residual block of the VQ-VAE's encoder and decoder (van den Oord et al., arXiv 1711.00937, section 4.1),
// over sequences or images:
//
//	y = x + Outer(ReLU(Inner(ReLU(x))))
//
// with a convolution Inner and a 1x1 convolution Outer.
type Residual struct {
	Inner, Outer *Conv
}

// ResidualSaved is what Residual.Forward leaves for Backward.
type ResidualSaved struct {
	Active tensor.Tensor // ReLU(x)
	Hidden tensor.Tensor // ReLU(Inner(ReLU(x)))
}

// NewResidual returns a block with weights initialised by nn.HeUniform and biases of zero.
func NewResidual(config ResidualConfig, src rand.Source) *Residual {
	return &Residual{
		Inner: NewConv(Config{In: config.Channels, Out: config.Hidden, Height: config.Height, Width: config.Width, Precision: config.Precision}, src),
		Outer: NewConv(Config{In: config.Hidden, Out: config.Channels, Precision: config.Precision}, src),
	}
}

// Parameters returns those of "inner" and "outer".
func (r *Residual) Parameters() nn.Parameters {
	return append(r.Inner.Parameters().Named("inner"), r.Outer.Parameters().Named("outer")...)
}

// Forward returns the block's output for x [B, T, Channels] or [B, H, W, Channels].
func (r *Residual) Forward(a *tensor.Arena, x tensor.Tensor) (tensor.Tensor, ResidualSaved) {
	active := nn.ReLU(a, x)
	hidden := nn.ReLU(a, r.Inner.Forward(a, active))
	y := r.Outer.Forward(a, hidden)
	if !y.SameShape(x) {
		panic(fmt.Sprintf("dilated.Residual: input of shape %v, but the convolutions make shape %v of it", x, y))
	}
	addTo(y, x)
	return y, ResidualSaved{active, hidden}
}

// Backward adds to the gradients of the parameters and returns the gradient with respect to x, given the gradient dy with
// respect to Forward's result.
func (r *Residual) Backward(a *tensor.Arena, s ResidualSaved, dy tensor.Tensor) tensor.Tensor {
	dhidden := r.Outer.Backward(a, s.Hidden, dy)    // y = Outer(hidden) + x
	dhidden = nn.ReLUBackward(a, s.Hidden, dhidden) // hidden = ReLU(Inner(active))
	dactive := r.Inner.Backward(a, s.Active, dhidden)
	dx := nn.ReLUBackward(a, s.Active, dactive) // active = ReLU(x)
	addTo(dx, dy)                               // y = ... + x
	return dx
}

// addTo adds x to y, which has the same shape.
func addTo(y, x tensor.Tensor) {
	parallel.RunCopy(&additions, parallel.Blocks(y.Len(), elementBlock), addition{y.Data, x.Data})
}

// elementBlock is the number of elements in an item of a parallel loop over elements.
const elementBlock = 1 << 14

type addition struct{ y, x []float32 }

var additions parallel.Pool[addition]

func (t *addition) Run(item int) {
	from, to := parallel.Block(item, len(t.y), elementBlock)
	kernel.Add(t.y[from:to], t.x[from:to])
}
