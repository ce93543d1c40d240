package vqvae

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// ImageConfig is the shape of a [Model] of pictures: the paper's network for CIFAR-10 (section 4.1), an encoder of strided
// convolutions, each of which halves height and width, and residual blocks, and a decoder that is its mirror image. See [ImageNet].
type ImageConfig struct {
	Height   int `json:"height"` // of the pictures, in pixels: a multiple of what the strides come to
	Width    int `json:"width"`
	Channels int `json:"channels"` // 1 is grey, 3 are red, green and blue

	Layers  []int `json:"layers"`  // channels of the strided convolutions; of the transposed ones, from the last to the first
	Blocks  int   `json:"blocks"`  // residual blocks of the encoder, and as many of the decoder
	Hidden  int   `json:"hidden"`  // channels within a block
	Mixture int   `json:"mixture"` // logistics whose mixture is the distribution of a pixel; 0 for a softmax over the levels of each channel
}

// ImageLevels is the number of levels of a channel of a pixel.
const ImageLevels = 256

// The geometry of the convolutions, along either axis.
var (
	halving = dilated.Axis{Kernel: 4, Stride: 2, Padding: dilated.Explicit, Before: 1, After: 1}
	around  = dilated.Axis{Kernel: 3, Padding: dilated.Same}
)

// Stride is the number of pixels from one code to the next, along either axis.
func (c ImageConfig) Stride() int { return 1 << len(c.Layers) }

// Samples is the number of samples of a picture: of channels of pixels.
func (c ImageConfig) Samples() int { return c.Height * c.Width * c.Channels }

// Map is the height and the width of the map of codes of a picture.
func (c ImageConfig) Map() (height, width int) { return c.Height / c.Stride(), c.Width / c.Stride() }

// ReceptiveField is the height and the width, in pixels, of what a code depends on.
func (c ImageConfig) ReceptiveField() int {
	stack := slices.Concat(slices.Repeat(dilated.Stack{halving}, len(c.Layers)), slices.Repeat(dilated.Stack{around}, c.Blocks))
	return stack.ReceptiveField()
}

// mixture is the distribution of a pixel where Mixture is not 0.
func (c ImageConfig) mixture() nn.LogisticMixture {
	return nn.LogisticMixture{Channels: c.Channels, Levels: ImageLevels, Mixtures: c.Mixture}
}

// predicted is the number of channels that the decoder makes of a pixel.
func (c ImageConfig) predicted() int {
	if c.Mixture > 0 {
		return c.mixture().Width()
	}
	return ImageLevels * c.Channels
}

// Sized returns the configuration with the size of pictures, if it leaves that open, height, width and channels being 0. Other
// configurations it returns as they are.
func (c Config) Sized(height, width, channels int) Config {
	if i := c.Image; i != nil && i.Height == 0 && i.Width == 0 && i.Channels == 0 {
		sized := *i
		sized.Height, sized.Width, sized.Channels = height, width, channels
		c.Image = &sized
	}
	return c
}

// The limits of a configuration of pictures.
const (
	maxSide      = 1 << 12
	maxHalvings  = 8
	maxBlocks    = 64
	maxLogistics = 1 << 7
)

// checkImage is Check for a model of pictures.
func (c Config) checkImage() error {
	i := *c.Image
	if !reflect.DeepEqual(c, Config{Image: c.Image, Bottleneck: c.Bottleneck}) {
		return fmt.Errorf("image with rate, levels, level, encoder or decoder, which are of sound")
	}
	if n := len(i.Layers); n < 1 || n > maxHalvings {
		return fmt.Errorf("number of image layers %d: want 1 to %d", n, maxHalvings)
	}
	for _, v := range []struct {
		name            string
		value, min, max int
	}{
		{"height", i.Height, i.Stride(), maxSide}, {"width", i.Width, i.Stride(), maxSide},
		{"blocks", i.Blocks, 0, maxBlocks}, {"hidden", i.Hidden, 1, maxChannels}, {"mixture", i.Mixture, 0, maxLogistics},
	} {
		if v.value < v.min || v.value > v.max {
			return fmt.Errorf("image %s %d: want %d to %d", v.name, v.value, v.min, v.max)
		}
	}
	if i.Height%i.Stride() != 0 || i.Width%i.Stride() != 0 {
		return fmt.Errorf("image of %d x %d pixels: want multiples of %d, as %s of stride 2 come to that", i.Height, i.Width, i.Stride(), layers(len(i.Layers)))
	}
	if i.Channels != 1 && i.Channels != 3 {
		return fmt.Errorf("image channels %d: want 1 or 3", i.Channels)
	}
	for _, n := range i.Layers {
		if n < 1 || n > maxChannels {
			return fmt.Errorf("image layers %v: want 1 to %d channels each", i.Layers, maxChannels)
		}
	}
	if err := c.Bottleneck.check(); err != nil {
		return fmt.Errorf("bottleneck %w", err)
	}
	if c.Bottleneck.Jitter != 0 {
		return fmt.Errorf("bottleneck jitter %g: want 0 for pictures", c.Bottleneck.Jitter)
	}
	if n := i.activations(c.Bottleneck.Dim); n > maxActivations {
		return fmt.Errorf("image of %d x %d pixels with layers %v: %d elements of activations, want at most %d", i.Height, i.Width, i.Layers, n, maxActivations)
	}
	if n := c.Elements(0); n > MaxElements {
		return fmt.Errorf("%d elements of parameters and state: want at most %d", n, int64(MaxElements))
	}
	return nil
}

// layers says how many there are.
func layers(n int) string {
	if n == 1 {
		return "1 layer"
	}
	return fmt.Sprintf("%d layers", n)
}

// activations is the number of elements that the decoder makes for a picture; the encoder makes less.
func (c ImageConfig) activations(dim int) int64 {
	height, width := c.Map()
	last := c.Layers[len(c.Layers)-1]
	n := product(height, width, dim+last*(1+2*c.Blocks)+c.Hidden*c.Blocks)
	for i := len(c.Layers) - 2; i >= 0; i-- {
		height, width = 2*height, 2*width
		n += 2 * product(height, width, c.Layers[i])
	}
	return n + product(c.Height, c.Width, c.predicted())
}

// imageElements is Elements for a model of pictures.
func (c Config) imageElements() int64 {
	i := *c.Image
	conv := func(taps, in, out int) int64 { return product(taps, in, out) + int64(out) }
	n, in := int64(0), i.Channels
	for _, out := range i.Layers {
		n += conv(16, in, out)
		in = out
	}
	n += 2 * int64(i.Blocks) * (conv(9, in, i.Hidden) + conv(1, i.Hidden, in))
	n += conv(1, in, c.Bottleneck.Width()) + conv(9, c.Bottleneck.Dim, in)
	for _, out := range slices.Backward(i.Layers[:len(i.Layers)-1]) {
		n += conv(16, in, out)
		in = out
	}
	return n + conv(16, in, i.predicted()) + c.Bottleneck.elements()
}

// ImageNet is the encoder or the decoder of a model of pictures: convolutions, residual blocks, and convolutions again, each
// but the very first behind a ReLU, over [B, H, W, C].
//
//	encoder    strided 4x4 convolutions of stride 2;   blocks;   1x1 to what the bottleneck wants
//	decoder    3x3 from what the bottleneck gives;     blocks;   transposed 4x4 convolutions of stride 2
type ImageNet struct {
	First  []*dilated.Conv
	Blocks []*dilated.Residual
	Last   []*dilated.Conv
}

// newImageEncoder returns an encoder from Channels to width.
func newImageEncoder(c ImageConfig, width int, precision dilated.Precision, src rand.Source) *ImageNet {
	n, in := new(ImageNet), c.Channels
	for _, out := range c.Layers {
		n.First = append(n.First, dilated.NewConv(dilated.Config{In: in, Out: out, Height: halving, Width: halving, Precision: precision}, src))
		in = out
	}
	n.addBlocks(c, precision, src)
	n.Last = append(n.Last, dilated.NewConv(dilated.Config{In: in, Out: width, Precision: precision}, src))
	return n
}

// newImageDecoder returns a decoder from dim to what it takes to predict a pixel.
func newImageDecoder(c ImageConfig, dim int, precision dilated.Precision, src rand.Source) *ImageNet {
	in := c.Layers[len(c.Layers)-1]
	n := &ImageNet{First: []*dilated.Conv{dilated.NewConv(dilated.Config{In: dim, Out: in, Height: around, Width: around, Precision: precision}, src)}}
	n.addBlocks(c, precision, src)
	for i := len(c.Layers) - 1; i >= 0; i-- {
		out := c.predicted()
		if i > 0 {
			out = c.Layers[i-1]
		}
		n.Last = append(n.Last, dilated.NewConv(dilated.Config{In: in, Out: out, Height: halving, Width: halving, Transposed: true, Precision: precision}, src))
		in = out
	}
	return n
}

func (n *ImageNet) addBlocks(c ImageConfig, precision dilated.Precision, src rand.Source) {
	for range c.Blocks {
		n.Blocks = append(n.Blocks, dilated.NewResidual(dilated.ResidualConfig{
			Channels: c.Layers[len(c.Layers)-1], Hidden: c.Hidden, Height: around, Width: around, Precision: precision,
		}, src))
	}
}

// With returns a net with the same parameters that computes in the precision given.
func (n *ImageNet) With(precision dilated.Precision) *ImageNet {
	same := new(ImageNet)
	for _, l := range n.First {
		same.First = append(same.First, l.With(precision))
	}
	for _, b := range n.Blocks {
		same.Blocks = append(same.Blocks, &dilated.Residual{Inner: b.Inner.With(precision), Outer: b.Outer.With(precision)})
	}
	for _, l := range n.Last {
		same.Last = append(same.Last, l.With(precision))
	}
	return same
}

// Parameters returns "first.0.weight", ..., "block.0.inner.weight", ..., "last.0.weight", ...
func (n *ImageNet) Parameters() nn.Parameters {
	var ps nn.Parameters
	for i, l := range n.First {
		ps = append(ps, l.Parameters().Named("first."+strconv.Itoa(i))...)
	}
	for i, b := range n.Blocks {
		ps = append(ps, b.Parameters().Named("block."+strconv.Itoa(i))...)
	}
	for i, l := range n.Last {
		ps = append(ps, l.Parameters().Named("last."+strconv.Itoa(i))...)
	}
	return ps
}

// ImageSaved is what [ImageNet.Forward] leaves for Backward.
type ImageSaved struct {
	first, last []tensor.Tensor // what each convolution has seen
	blocks      []dilated.ResidualSaved
}

// Forward returns what the net makes of x [B, H, W, C].
func (n *ImageNet) Forward(a *tensor.Arena, x tensor.Tensor) (y tensor.Tensor, saved ImageSaved) {
	for i, l := range n.First {
		if i > 0 {
			x = nn.ReLU(a, x)
		}
		saved.first = append(saved.first, x)
		x = l.Forward(a, x)
	}
	for _, b := range n.Blocks {
		var s dilated.ResidualSaved
		x, s = b.Forward(a, x)
		saved.blocks = append(saved.blocks, s)
	}
	for _, l := range n.Last {
		x = nn.ReLU(a, x)
		saved.last = append(saved.last, x)
		x = l.Forward(a, x)
	}
	return x, saved
}

// Backward adds to the gradients of the parameters, given the gradient dy with respect to Forward's result, and returns the
// gradient with respect to x.
func (n *ImageNet) Backward(a *tensor.Arena, saved ImageSaved, dy tensor.Tensor) (dx tensor.Tensor) {
	return n.First[0].Backward(a, saved.first[0], n.backward(a, saved, dy))
}

// BackwardParameters is Backward for an encoder, whose input needs no gradient.
func (n *ImageNet) BackwardParameters(a *tensor.Arena, saved ImageSaved, dy tensor.Tensor) {
	n.First[0].BackwardParameters(a, saved.first[0], n.backward(a, saved, dy))
}

// backward goes back to the result of the first convolution.
func (n *ImageNet) backward(a *tensor.Arena, saved ImageSaved, d tensor.Tensor) tensor.Tensor {
	for i, l := range slices.Backward(n.Last) {
		d = nn.ReLUBackward(a, saved.last[i], l.Backward(a, saved.last[i], d)) // x = ReLU(...), l(x)
	}
	for i, b := range slices.Backward(n.Blocks) {
		d = b.Backward(a, saved.blocks[i], d)
	}
	for i, l := range slices.Backward(n.First[1:]) {
		x := saved.first[i+1]
		d = nn.ReLUBackward(a, x, l.Backward(a, x, d)) // x = ReLU(...), l(x)
	}
	return d
}

// imageLoss returns the mean negative log-likelihood of levels [B*H*W*C], in nats per sample, and its gradient with respect to
// what the decoder has predicted, [B, H, W, predicted].
func (c ImageConfig) imageLoss(a *tensor.Arena, predicted tensor.Tensor, levels []int32) (nll float64, d tensor.Tensor) {
	if c.Mixture > 0 {
		return c.mixture().Loss(a, predicted, levels)
	}
	nll, d = nn.CrossEntropy(a, predicted.Reshape(len(levels), ImageLevels), levels)
	return nll, d.Reshape(predicted.Shape()...)
}

// checkBatch panics unless levels and input are those of batch pictures.
func (c ImageConfig) checkBatch(levels []int32, batch int) {
	if batch < 1 || len(levels) != batch*c.Samples() {
		panic(fmt.Sprintf("vqvae.Model: %d levels in a batch of %d, want %d for each picture", len(levels), batch, c.Samples()))
	}
}

// stepImage is Step for a model of pictures.
func (m *Model) stepImage(a *tensor.Arena, b Batch, src rand.Source) Losses {
	m.Config.Image.checkBatch(b.Levels, b.Size)
	z, encoded := m.ImageEncoder.Forward(a, b.Input)
	v := m.Bottleneck.Forward(a, z, src)
	predicted, decoded := m.ImageDecoder.Forward(a, v.Vectors)
	nll, dpredicted := m.Config.Image.imageLoss(a, predicted, b.Levels)

	dvectors := m.ImageDecoder.Backward(a, decoded, dpredicted)
	m.ImageEncoder.BackwardParameters(a, encoded, m.Bottleneck.Backward(a, z, v, dvectors))
	m.Bottleneck.Keep(v)
	return Losses{nll, v}
}

// imageNLL is NLL for a model of pictures.
func (m *Model) imageNLL(a *tensor.Arena, levels []int32, batch int, vectors tensor.Tensor) float64 {
	m.Config.Image.checkBatch(levels, batch)
	predicted, _ := m.ImageDecoder.Forward(a, vectors)
	nll, _ := m.Config.Image.imageLoss(a, predicted, levels)
	return nll
}

// Picture returns the levels [B*H*W*C] of the pictures that vectors [B, h, w, D] stand for: the expected one of each channel of
// each pixel, which is what has the least squared error on average. It is for models of pictures.
func (m *Model) Picture(a *tensor.Arena, vectors tensor.Tensor) []int32 {
	c := m.Config.Image
	predicted, _ := m.ImageDecoder.Forward(a, vectors)
	levels := a.Int32s(predicted.Rows() * c.Channels)
	if c.Mixture > 0 {
		mixture := c.mixture()
		for i := range predicted.Rows() {
			mixture.Mean(levels[i*c.Channels:(i+1)*c.Channels], predicted.Row(i))
		}
		return levels
	}
	logits := predicted.Reshape(len(levels), ImageLevels)
	for i := range levels {
		levels[i] = nn.ExpectedClass(logits.Row(i))
	}
	return levels
}
