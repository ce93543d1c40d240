// Package dilated holds convolutions over sequences and images, strided, dilated, padded, masked and transposed, and the
// residual blocks made of them.
//
// Activations are time-major with channels last: [B, T, C] for sound, [B, H, W, C] for pictures. One layer, [Conv], does
// both: a sequence is an image of height 1. [Axis] and [Stack] say how long things get and how far outputs see.
//
// Layers follow the rules of package nn: gradients of parameters accumulate (+=), activations are overwritten (=), the
// residual stream accumulates (+=); results are the same on any number of threads; after the first steps a layer
// allocates nothing as long as shapes stay the same.
package dilated

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Precision is the form in which the factors of products are held. Sums, activations, parameters and gradients are
// float32 in either.
type Precision int

// The precisions.
const (
	Float32 Precision = iota
	// BFloat16 rounds the inputs and weights of the three products (forward, input gradient, weight gradient) to
	// bfloat16: mixed-precision training. Layers with fewer than 16 input or output channels compute in Float32
	// nevertheless: for them it would be slower.
	BFloat16
)

// ParsePrecision returns the precision of a name: "float32", "bfloat16", or "auto", which is BFloat16 where the processor
// is faster with it (AMX, or VDPBF16PS on AMD's processors), and Float32 elsewhere.
func ParsePrecision(name string) (Precision, error) {
	switch {
	case name == "bfloat16" || name == "auto" && kernel.Active().FastBF16():
		return BFloat16, nil
	case name == "float32" || name == "auto":
		return Float32, nil
	}
	return 0, fmt.Errorf("precision %q: want float32, bfloat16 or auto", name)
}

// Mask leaves out what a pixel may not see yet when pixels are drawn in raster order, line by line and from left to right
// (PixelCNN: van den Oord et al., arXiv 1601.06759, section 3.4; for sequences: from first to last).
type Mask int

// The masks.
const (
	NoMask Mask = iota
	MaskA       // an output sees the pixels before its own; of its own, the channels of lower groups
	MaskB       // an output sees the pixels up to its own; of its own, the channels of its group and of lower ones
)

// Config describes a Conv.
type Config struct {
	In, Out int // channels

	// Height and Width are the geometry along the two axes of an image; Width is the time axis of a sequence, for which
	// Height is left zero. A transposed layer undoes the change of length that the same axes make otherwise.
	Height, Width Axis
	Transposed    bool

	// Mask needs strides of 1. It takes the output at a position for the one that predicts the pixel there.
	Mask Mask
	// Groups divides the channels of the pixel into groups drawn one after the other, as R, G and B: channel c of C is in
	// group c*Groups/C, among inputs and outputs alike. 0 stands for 1.
	Groups int

	NoBias    bool
	Precision Precision
}

// Conv is a convolution, or a transposed one, over sequences [B, T, In] or images [B, H, W, In]. With k running over the
// taps and c over input channels,
//
//	y[t, n] = bias[n] + sum over k, c of x[t*stride - before + k*dilation, c] * weight[k, c, n]      (Transposed: false)
//	y[t*stride - before + k*dilation, n] += x[t, c] * weight[k, c, n], from bias[n] on               (Transposed: true)
//
// along each axis; what lies outside is zero, or dropped.
type Conv struct {
	// Weight is [taps, In, Out]: a matrix for each tap that the mask leaves, in raster order.
	Weight *nn.Parameter
	Bias   *nn.Parameter // [Out]; nil if there is none

	config  Config
	taps    []position
	centre  int   // the tap that channel groups thin out, or -1
	blocked []int // output channels, from 0 on, that do not see each input channel through that tap
	last    atomic.Pointer[plan]
	frozen  *weights // packed once, for Forward; nil if they are packed each time
}

// position is a place in the kernel.
type position struct{ height, width int }

// NewConv returns a layer with weights initialised by nn.HeUniform and a bias of zeros. It panics if config makes no
// sense.
func NewConv(config Config, src rand.Source) *Conv {
	height, width := config.Height.checked(), config.Width.checked()
	if config.In < 1 || config.Out < 1 {
		panic(fmt.Sprintf("dilated.NewConv: %d input and %d output channels, want at least 1", config.In, config.Out))
	}
	if config.Mask != NoMask && (config.Transposed || height.Stride != 1 || width.Stride != 1) {
		panic(fmt.Sprintf("dilated.NewConv: a mask with strides %d and %d, transposed %v", height.Stride, width.Stride, config.Transposed))
	}
	if config.Groups < 0 || config.Groups > 1 && config.Mask == NoMask {
		panic(fmt.Sprintf("dilated.NewConv: %d groups of channels, mask %d", config.Groups, config.Mask))
	}
	c := &Conv{config: config, centre: -1}
	beforeHeight, _ := height.PaddingFor(1) // with a stride of 1 the same for every length
	beforeWidth, _ := width.PaddingFor(1)
	for i := range height.Kernel {
		for j := range width.Kernel {
			h, w := i*height.Dilation-beforeHeight, j*width.Dilation-beforeWidth // relative to the pixel
			if config.Mask != NoMask {
				if h > 0 || h == 0 && w > 0 {
					continue
				}
				if h == 0 && w == 0 {
					if config.Mask == MaskA && config.Groups <= 1 {
						continue
					}
					if config.Groups > 1 {
						c.centre = len(c.taps)
						c.blocked = blockedChannels(config)
					}
				}
			}
			c.taps = append(c.taps, position{i, j})
		}
	}
	if len(c.taps) == 0 {
		panic(fmt.Sprintf("dilated.NewConv: mask %d leaves no tap of the kernel %d x %d", config.Mask, height.Kernel, width.Kernel))
	}
	c.Weight = nn.NewParameter("weight", len(c.taps), config.In, config.Out)
	fanIn := len(c.taps) * config.In
	if config.Transposed {
		fanIn = max(1, fanIn/(height.Stride*width.Stride))
	}
	nn.HeUniform(c.Weight.Value, fanIn, src)
	c.clearBlocked(c.Weight.Value.Data)
	if !config.NoBias {
		c.Bias = nn.NewParameter("bias", config.Out)
	}
	return c
}

// blockedChannels returns how many output channels, from 0 on, do not see each input channel of their own pixel.
func blockedChannels(config Config) []int {
	blocked := make([]int, config.In)
	for k := range blocked {
		for n := range config.Out {
			in, out := k*config.Groups/config.In, n*config.Groups/config.Out
			if in > out || in == out && config.Mask == MaskA {
				blocked[k] = n + 1
			}
		}
	}
	return blocked
}

// clearBlocked sets what the mask blocks in w [taps, In, Out], weights or their gradient, to zero.
func (c *Conv) clearBlocked(w []float32) {
	for k, n := range c.blocked {
		row := (c.centre*c.config.In + k) * c.config.Out
		clear(w[row : row+n])
	}
}

// With returns a layer with the same parameters that computes in the precision given.
func (c *Conv) With(p Precision) *Conv {
	same := &Conv{Weight: c.Weight, Bias: c.Bias, config: c.config, taps: c.taps, centre: c.centre, blocked: c.blocked}
	same.config.Precision = p
	return same
}

// Frozen returns a layer that computes the same as c does now, for Forward alone: its weights are packed once, and do not
// follow those of c. It is for inference on short inputs, where packing would take much of the time.
func (c *Conv) Frozen() *Conv {
	same := c.With(c.config.Precision)
	w := same.pack(new(tensor.Arena), same.precision())
	same.frozen = &w
	return same
}

// Fixed returns a layer with the same parameters, whose Backward adds to no gradient of theirs, and takes a third less time: for
// a layer behind one that is fitted.
func (c *Conv) Fixed() *Conv {
	same := c.With(c.config.Precision)
	same.Weight, same.Bias = c.Weight.Fixed(), c.Bias.Fixed()
	return same
}

// Config returns the description that the layer was made from.
func (c *Conv) Config() Config { return c.config }

// Parameters returns "weight" and, if there is one, "bias".
func (c *Conv) Parameters() nn.Parameters {
	if c.Bias == nil {
		return nn.Parameters{c.Weight}
	}
	return nn.Parameters{c.Weight, c.Bias}
}

// outputSize is the size of the output for an input of height x width.
func (c *Conv) outputSize(height, width int) (int, int) {
	if c.config.Transposed {
		return c.config.Height.TransposedOutput(height), c.config.Width.TransposedOutput(width)
	}
	return c.config.Height.Output(height), c.config.Width.Output(width)
}

// Forward returns the convolution of x: [B, T, In] to [B, T', Out], or [B, H, W, In] to [B, H', W', Out].
func (c *Conv) Forward(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	p := c.plan(x)
	y := c.output(a, x)
	scratch := a.Mark()
	source, target, sweep := p.forward(c)
	q := product{sweep: sweep, source: source, target: target, x: source.operand(a, x.Data, p.precision), w: c.pack(a, p.precision),
		bias: c.bias(), y: y.Data}
	parallel.RunCopy(&products, q.items(), q)
	a.Release(scratch)
	return y
}

// Backward adds to the gradients of the parameters and returns the gradient with respect to x, given x and the gradient
// dy with respect to Forward's result.
func (c *Conv) Backward(a *tensor.Arena, x, dy tensor.Tensor) tensor.Tensor {
	dx := a.Like(x)
	c.backward(a, x, dy, dx.Data)
	return dx
}

// BackwardParameters is Backward for a first layer, whose input needs no gradient.
func (c *Conv) BackwardParameters(a *tensor.Arena, x, dy tensor.Tensor) {
	c.backward(a, x, dy, nil)
}

// backward writes the gradient with respect to x to dx, unless that is nil.
func (c *Conv) backward(a *tensor.Arena, x, dy tensor.Tensor, dx []float32) {
	p := c.plan(x)
	c.checkGradient(x, dy)
	scratch := a.Mark()
	source, target, _ := p.forward(c)
	xs, dys := source.operand(a, x.Data, p.precision), target.operand(a, dy.Data, p.precision)

	// Forward: y = bias + sum over taps of x W. dW += x' dy, dbias += the sum of dy's rows.
	if c.Weight.Grad.Data != nil {
		c.addGradients(a, p, xs, dys, dy)
	}

	// dx = dy W', along the sweep in the other direction.
	if dx != nil {
		back := &p.up
		if c.config.Transposed {
			back = &p.down
		}
		q := product{sweep: back, source: target, target: source, x: dys, w: c.packTransposed(a, p.precision), y: dx}
		parallel.RunCopy(&products, q.items(), q)
	}
	a.Release(scratch)
}

// plan returns the layout for inputs of x's shape.
func (c *Conv) plan(x tensor.Tensor) *plan {
	if r := x.Rank(); r != 3 && r != 4 || x.Channels() != c.config.In || r == 3 && c.config.Height.checked() != (Axis{}).checked() {
		panic(fmt.Sprintf("dilated.Conv: input of shape %v, weight of shape %v, kernel %d x %d", x, c.Weight.Value,
			c.config.Height.checked().Kernel, c.config.Width.checked().Kernel))
	}
	key := planKey{batch: x.Dim(0), height: 1, width: x.Dim(x.Rank() - 2), precision: c.precision()}
	if x.Rank() == 4 {
		key.height = x.Dim(1)
	}
	if c.pointwise() { // all positions are one long sequence
		key.batch, key.height, key.width = 1, 1, key.batch*key.height*key.width
	}
	return c.planFor(key)
}

// precision is that in which the layer computes.
func (c *Conv) precision() Precision {
	if min(c.config.In, c.config.Out) < 16 {
		return Float32
	}
	return c.config.Precision
}

// planFor returns the last plan made if it is for key, and otherwise makes one.
func (c *Conv) planFor(key planKey) *plan {
	if p := c.last.Load(); p != nil && p.planKey == key {
		return p
	}
	p := newPlan(c, key)
	c.last.Store(p)
	return p
}

// pointwise reports whether every output sees its own position only.
func (c *Conv) pointwise() bool {
	for _, a := range []Axis{c.config.Height.checked(), c.config.Width.checked()} {
		if a.Kernel != 1 || a.Stride != 1 || a.Before != 0 || a.After != 0 {
			return false
		}
	}
	return true
}

// forward returns the sides and the sweep of the forward pass.
func (p *plan) forward(c *Conv) (source, target *side, s *sweep) {
	if c.config.Transposed {
		return &p.y, &p.x, &p.up
	}
	return &p.x, &p.y, &p.down
}

// output returns a tensor for Forward's result.
func (c *Conv) output(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	if x.Rank() == 3 {
		_, width := c.outputSize(1, x.Dim(1))
		return a.Tensor(x.Dim(0), width, c.config.Out)
	}
	height, width := c.outputSize(x.Dim(1), x.Dim(2))
	return a.Tensor(x.Dim(0), height, width, c.config.Out)
}

// checkGradient panics unless dy has the shape of Forward's result for x.
func (c *Conv) checkGradient(x, dy tensor.Tensor) {
	height, width := 1, 0
	if x.Rank() == 3 {
		_, width = c.outputSize(1, x.Dim(1))
	} else {
		height, width = c.outputSize(x.Dim(1), x.Dim(2))
	}
	if dy.Rank() == x.Rank() && dy.Dim(0) == x.Dim(0) && dy.Dim(dy.Rank()-2) == width && dy.Channels() == c.config.Out &&
		(x.Rank() == 3 || dy.Dim(1) == height) {
		return
	}
	panic(fmt.Sprintf("dilated.Conv: input of shape %v, gradient of shape %v, want %d x %d positions, %d channels",
		x, dy, height, width, c.config.Out))
}

func (c *Conv) bias() []float32 {
	if c.Bias == nil {
		return nil
	}
	return c.Bias.Value.Data
}
