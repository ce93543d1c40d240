// Package classify holds a small network that says what a sequence is an example of: whose voice a log-mel spectrogram
// shows, which word was said, or whose voice the codes of a model still give away.
//
// The network is that of the x-vectors of speaker recognition (Snyder et al., ICASSP 2018) made small: dilated convolutions over
// time, mean and deviation of each channel over the whole sequence, and two linear layers.
package classify

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Config is the shape of a [Net].
type Config struct {
	Classes int `json:"classes"`

	// A frame is Width numbers: channels of a vector, or with Entries codes from 0 to Entries-1, each of which has an embedding
	// of so many channels.
	Width     int `json:"width"`
	Entries   int `json:"entries"`
	Embedding int `json:"embedding"`

	Channels  int   `json:"channels"`  // of the convolutions
	Kernels   []int `json:"kernels"`   // taps of each convolution
	Dilations []int `json:"dilations"` // of each
	Hidden    int   `json:"hidden"`    // channels between the linear layers
}

// Check returns what is wrong with the configuration.
func (c Config) Check() error {
	for _, v := range []struct {
		name        string
		value, most int
	}{
		{"classes", c.Classes, 1 << 20}, {"width", c.Width, 1 << 12}, {"channels", c.Channels, 1 << 12}, {"hidden", c.Hidden, 1 << 12},
		{"kernels", len(c.Kernels), 16},
	} {
		if v.value < 1 || v.value > v.most {
			return fmt.Errorf("%s: %d, want 1 to %d", v.name, v.value, v.most)
		}
	}
	if c.Entries < 0 || c.Entries > 1<<24 || c.Embedding < 0 || c.Embedding > 1<<10 || (c.Entries == 0) != (c.Embedding == 0) {
		return fmt.Errorf("%d entries with embeddings of %d channels: want none of either, or 1 to %d with 1 to %d", c.Entries, c.Embedding, 1<<24, 1<<10)
	}
	if len(c.Dilations) != len(c.Kernels) {
		return fmt.Errorf("%d kernels, %d dilations: want one for each convolution", len(c.Kernels), len(c.Dilations))
	}
	for i, k := range c.Kernels {
		if d := c.Dilations[i]; k < 1 || k > 64 || d < 1 || d > 1<<10 {
			return fmt.Errorf("a kernel of %d taps at dilation %d: want 1 to 64, and 1 to %d", k, d, 1<<10)
		}
	}
	return nil
}

// input is the number of channels of the first convolution.
func (c Config) input() int {
	if c.Entries > 0 {
		return c.Width * c.Embedding
	}
	return c.Width
}

// Elements is the number of elements of the parameters and the state of a net. The configuration has passed Check.
func (c Config) Elements() int64 {
	n := int64(c.Entries) * int64(c.Embedding)
	if c.Entries == 0 {
		n = 2 * int64(c.Width)
	}
	in := int64(c.input())
	for _, k := range c.Kernels {
		n += (int64(k)*in + 1) * int64(c.Channels)
		in = int64(c.Channels)
	}
	return n + (2*in+1)*int64(c.Hidden) + (int64(c.Hidden)+1)*int64(c.Classes)
}

// Net is the network:
//
//	x_0    = frames, each channel with mean 0 and deviation 1 over what it was trained on, or embeddings   [B, T, input]
//	x_i+1  = ReLU(Layers[i](x_i)), zero beyond the length of a sequence                                    [B, T, Channels]
//	pooled = mean and deviation of x over the length of each sequence                                     [B, 2 Channels]
//	logits = Out(ReLU(Hidden(pooled)))                                                                     [B, Classes]
//
// What a sequence gets does not depend on what it is padded with, or on the others of its batch. A net may be read by several
// goroutines at once; training is for one.
type Net struct {
	Config Config

	Embedding       *nn.Embedding // of codes; nil for vectors
	Mean, Deviation tensor.Tensor // [Width], of the vectors that the net was trained on; none for codes
	Layers          []*dilated.Conv
	Hidden, Out     *nn.Linear
}

// New returns a net with weights drawn from src. It panics if config.Check finds a fault.
func New(config Config, src rand.Source) *Net {
	if err := config.Check(); err != nil {
		panic("classify: " + err.Error())
	}
	n := &Net{Config: config}
	if config.Entries > 0 {
		n.Embedding = nn.NewEmbedding(config.Entries, config.Embedding, src)
	} else {
		n.Mean, n.Deviation = tensor.New(config.Width), tensor.New(config.Width)
		for i := range n.Deviation.Data {
			n.Deviation.Data[i] = 1
		}
	}
	in := config.input()
	for i, k := range config.Kernels {
		axis := dilated.Axis{Kernel: k, Dilation: config.Dilations[i], Padding: dilated.Same}
		n.Layers = append(n.Layers, dilated.NewConv(dilated.Config{In: in, Out: config.Channels, Width: axis}, src))
		in = config.Channels
	}
	n.Hidden = nn.NewLinear(2*in, config.Hidden, src)
	n.Out = nn.NewLinear(config.Hidden, config.Classes, src)
	return n
}

// Parameters returns what the optimiser trains: "embedding.weight", "layers.0.weight", ..., "hidden.weight", ..., "out.bias".
func (n *Net) Parameters() nn.Parameters {
	var ps nn.Parameters
	if n.Embedding != nil {
		ps = n.Embedding.Parameters().Named("embedding")
	}
	for i, l := range n.Layers {
		ps = append(ps, l.Parameters().Named("layers."+strconv.Itoa(i))...)
	}
	ps = append(ps, n.Hidden.Parameters().Named("hidden")...)
	return append(ps, n.Out.Parameters().Named("out")...)
}

// State returns what else a file has to hold: "mean" and "deviation" of vectors.
func (n *Net) State() nn.Parameters {
	if n.Embedding != nil {
		return nil
	}
	return nn.Parameters{{Name: "mean", Value: n.Mean}, {Name: "deviation", Value: n.Deviation}}
}

// Batch is B sequences, padded to T frames each.
type Batch struct {
	Vectors tensor.Tensor // [B, T, Width]; none for codes
	Codes   []int32       // [B*T*Width], also those of the padding from 0 to Entries-1; nil for vectors
	Lengths []int         // [B], frames of each sequence, from 1 to T
}

// steps returns T.
func (n *Net) steps(b Batch) int {
	size := len(b.Lengths) * n.Config.Width
	numbers := len(b.Codes)
	if n.Embedding == nil {
		numbers = b.Vectors.Len()
	}
	if size == 0 || numbers == 0 || numbers%size != 0 {
		panic(fmt.Sprintf("classify.Net: %d numbers in a batch of %d sequences with frames of %d", numbers, len(b.Lengths), n.Config.Width))
	}
	t := numbers / size
	for i, l := range b.Lengths {
		if l < 1 || l > t {
			panic(fmt.Sprintf("classify.Net: sequence %d of %d frames in a batch of %d frames", i, l, t))
		}
	}
	return t
}

// saved is what forward leaves for backward.
type saved struct {
	inputs []tensor.Tensor // of each convolution, and the output of the last
	pooled tensor.Tensor   // [B, 2 Channels]
	hidden tensor.Tensor   // [B, Hidden]
}

func (n *Net) forward(a *tensor.Arena, b Batch) (logits tensor.Tensor, s saved) {
	x := n.input(a, b)
	s.inputs = append(s.inputs, x)
	for _, l := range n.Layers {
		x = nn.ReLU(a, l.Forward(a, x))
		clearPadding(x, b.Lengths)
		s.inputs = append(s.inputs, x)
	}
	s.pooled = pool(a, x, b.Lengths)
	s.hidden = nn.ReLU(a, n.Hidden.Forward(a, s.pooled))
	return n.Out.Forward(a, s.hidden), s
}

func (n *Net) backward(a *tensor.Arena, b Batch, s saved, dlogits tensor.Tensor) {
	d := n.Out.Backward(a, s.hidden, dlogits)                           // logits = Out(hidden)
	d = n.Hidden.Backward(a, s.pooled, nn.ReLUBackward(a, s.hidden, d)) // hidden = ReLU(Hidden(pooled))
	last := len(n.Layers)
	d = poolBackward(a, s.inputs[last], s.pooled, d, b.Lengths) // pooled = pool(x_last)
	for i := last - 1; i >= 0; i-- {
		d = nn.ReLUBackward(a, s.inputs[i+1], d) // x_i+1 = ReLU(Layers[i](x_i)); where it is zero, the padding too, nothing comes back
		if i == 0 && n.Embedding == nil {
			n.Layers[i].BackwardParameters(a, s.inputs[i], d)
			return
		}
		d = n.Layers[i].Backward(a, s.inputs[i], d)
	}
	clearPadding(d, b.Lengths)
	n.Embedding.Backward(b.Codes, d.Reshape(len(b.Codes), n.Config.Embedding)) // x_0 = Embedding(codes)
}

// input returns x_0.
func (n *Net) input(a *tensor.Arena, b Batch) tensor.Tensor {
	t := n.steps(b)
	if n.Embedding != nil {
		x := n.Embedding.Forward(a, b.Codes).Reshape(len(b.Lengths), t, n.Config.input())
		clearPadding(x, b.Lengths)
		return x
	}
	x := a.Tensor(len(b.Lengths), t, n.Config.Width)
	for i, l := range b.Lengths {
		for r := i * t; r < i*t+l; r++ {
			from, to := b.Vectors.Data[r*n.Config.Width:(r+1)*n.Config.Width], x.Row(r)
			for c, v := range from {
				to[c] = (v - n.Mean.Data[c]) / n.Deviation.Data[c]
			}
		}
	}
	clearPadding(x, b.Lengths)
	return x
}

// clearPadding sets the frames of x [B, T, C] beyond the length of each sequence to zero.
func clearPadding(x tensor.Tensor, lengths []int) {
	t, c := x.Dim(1), x.Dim(2)
	for i, l := range lengths {
		clear(x.Data[(i*t+l)*c : (i+1)*t*c])
	}
}

// Logits returns the logits of a batch, [B, Classes]: the logarithms of the classes' probabilities, but for a constant.
func (n *Net) Logits(a *tensor.Arena, b Batch) tensor.Tensor {
	logits, _ := n.forward(a, b)
	return logits
}

// Step is a training step forward and backward: it adds to the gradients of the parameters. It returns the mean cross entropy, in
// nats, and the logits.
func (n *Net) Step(a *tensor.Arena, b Batch, classes []int32) (loss float64, logits tensor.Tensor) {
	logits, s := n.forward(a, b)
	loss, dlogits := nn.CrossEntropy(a, logits, classes)
	n.backward(a, b, s, dlogits)
	return loss, logits
}

// Rank returns how many classes have a larger logit than the class, or the same one before it: 0 if it is the likeliest.
func Rank(logits []float32, class int32) int {
	rank := 0
	for i, v := range logits {
		if v > logits[class] || v == logits[class] && i < int(class) {
			rank++
		}
	}
	return rank
}

// Best returns the class with the largest logit.
func Best(logits []float32) int32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return int32(best)
}
