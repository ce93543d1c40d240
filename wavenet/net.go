// Package wavenet holds WaveNet (van den Oord et al., arXiv 1609.03499): a stack of dilated causal convolutions that
// predicts each step of a sequence from those before it, under a local condition (the codes of a VQ-VAE) and a global one
// (the speaker). It is the decoder of the VQ-VAE over levels of sound, and the prior over its codes.
package wavenet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Net is a WaveNet with 256-way, or in general Classes-way, softmax, or with a mixture of logistics:
//
//	x      = Embed(the step before)                                           [B, T, R]
//	c      = Condition(upsampled local condition) + Global(global condition)  [B, T/Hold, L*2R]
//	skips  = Stack(x, c)                                                      [B, T, S]
//	logits = Out2(ReLU(Out1(ReLU(skips))))                                    [B, T, Outputs]
//
// With a mixture (as in Parallel WaveNet, arXiv 1711.10433, section 2.1) the classes are levels of sound in order, from -1 to 1
// in equal steps: x = Input(2 step/(Classes-1) - 1), a linear map of the value of the step before, and what is called logits are
// the parameters of an [nn.LogisticMixture].
//
// Columns [l*2R, (l+1)*2R) of c are the condition of layer l of L; it is projected once for each frame, not for each step.
type Net struct {
	Config Config

	Embed     *nn.Embedding   // [Classes, R]; nil with a mixture
	Input     *dilated.Conv   // 1x1, 1 to R; nil without a mixture
	Upsample  []*dilated.Conv // transposed, kernel 2u, stride u for each factor u, Local to Local channels
	Condition *dilated.Conv   // 1x1, Local to L*2R, with the bias of all gates; nil without a local condition
	Global    *dilated.Conv   // 1x1, Global to L*2R, without bias unless there is no local condition; nil without a global one
	Bias      *nn.Parameter   // [L*2R], of all gates; nil if there is a condition
	Stack     *dilated.GatedStack
	Out1      *dilated.Conv // 1x1, S to S
	Out2      *dilated.Conv // 1x1, S to Outputs
}

// Input is a batch of B sequences of T steps, and what they are conditioned on.
type Input struct {
	Steps  []int32       // [B*T], classes
	Batch  int           // B
	Local  tensor.Tensor // [B, T/Hop, Local], or none
	Global tensor.Tensor // [B, Global], or none
	Past   []int32       // [B*T], the steps as the net sees them where it predicts those after them; nil is Steps
}

// New returns a net with weights drawn from src, which computes in the precision given. It panics if c.Check fails.
func New(c Config, precision dilated.Precision, src rand.Source) *Net {
	if err := c.Check(); err != nil {
		panic("wavenet.New: " + err.Error())
	}
	n := &Net{Config: c}
	gates := c.Layers * c.Cycles * 2 * c.Residual
	conv := func(in, out int, noBias bool) *dilated.Conv {
		return dilated.NewConv(dilated.Config{In: in, Out: out, NoBias: noBias, Precision: precision}, src)
	}
	if c.Mixture > 0 {
		n.Input = conv(1, c.Residual, false)
		nn.Normal(n.Input.Weight.Value, 1/speech, src)
	} else {
		n.Embed = nn.NewEmbedding(c.Classes, c.Residual, src)
	}
	for _, u := range c.Upsample {
		n.Upsample = append(n.Upsample, dilated.NewConv(dilated.Config{In: c.Local, Out: c.Local, Transposed: true, Precision: precision,
			Width: dilated.Axis{Kernel: 2 * u, Stride: u, Padding: dilated.Same}}, src))
	}
	if c.Local > 0 {
		n.Condition = conv(c.Local, gates, false)
	}
	if c.Global > 0 {
		n.Global = conv(c.Global, gates, c.Local > 0)
	}
	if c.Local == 0 && c.Global == 0 {
		n.Bias = nn.NewParameter("bias", gates)
	}
	n.Stack = dilated.NewGatedStack(dilated.StackConfig{Channels: c.Residual, Skip: c.Skip, Dilations: c.Dilations(), Precision: precision}, src)
	n.Out1, n.Out2 = conv(c.Skip, c.Skip, false), conv(c.Skip, c.Outputs(), false)
	kernel.Scale(n.Out2.Weight.Value.Data, 0.1) // about the same distribution at first, whatever came before
	if c.Mixture > 0 {
		scales := n.Out2.Bias.Value.Data[2*c.Mixture:]
		finest := min(widest, math.Log(20/float64(c.Classes-1)))
		for i := range scales {
			scales[i] = float32(widest + (finest-widest)*float64(i)/float64(c.Mixture))
		}
	}
	return n
}

// A mixture begins as one of logistics around 0, their log scales spread evenly from widest down to about ten levels: peaked
// and with long tails, as speech is. (On real speech its likelihood rises faster, and more steadily, than from equal scales with
// means around 0 or spread.) speech is the deviation of speech about, so that Input's outputs have one of about 1, as an embedding.
const (
	widest = -2
	speech = 0.07
)

// With returns a net with the same parameters that computes in the precision given.
func (n *Net) With(precision dilated.Precision) *Net {
	same := *n
	if n.Input != nil {
		same.Input = n.Input.With(precision)
	}
	same.Upsample = nil
	for _, c := range n.Upsample {
		same.Upsample = append(same.Upsample, c.With(precision))
	}
	if n.Condition != nil {
		same.Condition = n.Condition.With(precision)
	}
	if n.Global != nil {
		same.Global = n.Global.With(precision)
	}
	same.Stack, same.Out1, same.Out2 = n.Stack.With(precision), n.Out1.With(precision), n.Out2.With(precision)
	return &same
}

// Fixed returns a net with the same parameters, whose LossGradient adds to no gradient of theirs, and takes a third less time: to
// fit what it is conditioned on.
func (n *Net) Fixed() *Net {
	same := *n
	if n.Input != nil {
		same.Input = n.Input.Fixed()
	} else {
		same.Embed = n.Embed.Fixed()
	}
	same.Stack, same.Out1, same.Out2, same.Bias = n.Stack.Fixed(), n.Out1.Fixed(), n.Out2.Fixed(), n.Bias.Fixed()
	same.Upsample = nil
	for _, c := range n.Upsample {
		same.Upsample = append(same.Upsample, c.Fixed())
	}
	if n.Condition != nil {
		same.Condition = n.Condition.Fixed()
	}
	if n.Global != nil {
		same.Global = n.Global.Fixed()
	}
	return &same
}

// Parameters returns "embed.weight", or with a mixture "input.weight" and "input.bias"; "upsample.0.weight", ...,
// "condition.weight", "condition.bias", "global.weight", "stack.dilated.0", ..., "stack.residual.0", ..., "stack.skip",
// "stack.bias", "out1.weight", ..., "out2.bias".
func (n *Net) Parameters() nn.Parameters {
	var ps nn.Parameters
	if n.Input != nil {
		ps = n.Input.Parameters().Named("input")
	} else {
		ps = n.Embed.Parameters().Named("embed")
	}
	for i, c := range n.Upsample {
		ps = append(ps, c.Parameters().Named("upsample."+strconv.Itoa(i))...)
	}
	if n.Condition != nil {
		ps = append(ps, n.Condition.Parameters().Named("condition")...)
	}
	if n.Global != nil {
		ps = append(ps, n.Global.Parameters().Named("global")...)
	}
	if n.Bias != nil {
		ps = append(ps, n.Bias)
	}
	ps = append(ps, n.Stack.Parameters().Named("stack")...)
	ps = append(ps, n.Out1.Parameters().Named("out1")...)
	return append(ps, n.Out2.Parameters().Named("out2")...)
}

// First is the class that stands before the first step: that of silence, Classes/2.
func (n *Net) First() int32 { return int32(n.Config.Classes / 2) }

// Project returns the condition of the gates [B, F, L*2R] for a local condition [B, frames, Local] and a global one
// [B, Global], each none if the configuration has none. A frame of it holds for Config.Hold() steps; without a local
// condition there is one frame, for all steps.
func (n *Net) Project(a *tensor.Arena, local, global tensor.Tensor, batch int) tensor.Tensor {
	condition, _ := n.project(a, local, global, batch)
	return condition
}

// upsampled is the local condition before each transposed convolution, and after the last.
type upsampled [maxUpsample + 1]tensor.Tensor

func (n *Net) project(a *tensor.Arena, local, global tensor.Tensor, batch int) (condition tensor.Tensor, up upsampled) {
	c := n.Config
	if (local.Data != nil) != (c.Local > 0) || (global.Data != nil) != (c.Global > 0) ||
		c.Local > 0 && (local.Rank() != 3 || local.Dim(0) != batch || local.Channels() != c.Local) ||
		c.Global > 0 && (global.Rank() != 2 || global.Dim(0) != batch || global.Channels() != c.Global) {
		panic(fmt.Sprintf("wavenet.Net: a batch of %d with conditions of shapes %v and %v, want [%d frames %d] and [%d %d]",
			batch, local, global, batch, c.Local, batch, c.Global))
	}
	var projected tensor.Tensor // [B, 1, L*2R]
	if n.Global != nil {
		projected = n.Global.Forward(a, global.Reshape(batch, 1, c.Global))
	}
	if n.Condition == nil {
		if n.Bias != nil {
			projected = a.Tensor(batch, 1, n.Bias.Value.Len())
			for b := range batch {
				copy(projected.Row(b), n.Bias.Value.Data)
			}
		}
		return projected, up
	}
	up[0] = local
	for i, conv := range n.Upsample {
		up[i+1] = conv.Forward(a, up[i])
	}
	condition = n.Condition.Forward(a, up[len(n.Upsample)])
	if n.Global != nil {
		for b := range batch {
			frames := condition.Dim(1)
			rows := condition.Data[b*frames*condition.Channels() : (b+1)*frames*condition.Channels()]
			kernel.AddRow(rows, condition.Channels(), frames, condition.Channels(), projected.Row(b))
		}
	}
	return condition, up
}

// saved is what forward leaves for the gradient, of one sequence.
type saved struct {
	previous []int32       // the step before each
	values   tensor.Tensor // and its value, with a mixture
	stack    dilated.StackSaved
	active1  tensor.Tensor // ReLU(skips)
	active2  tensor.Tensor // ReLU(Out1(active1))
}

// check panics unless the shapes of in agree, and returns T.
func (n *Net) check(in Input) int {
	if in.Batch < 1 || len(in.Steps)%in.Batch != 0 || n.Config.Local > 0 && in.Local.Rank() == 3 && in.Local.Dim(1)*n.Config.Hop*in.Batch != len(in.Steps) {
		panic(fmt.Sprintf("wavenet.Net: %d steps for a batch of %d, local condition of shape %v for %d steps each",
			len(in.Steps), in.Batch, in.Local, n.Config.Hop))
	}
	if in.Past != nil && len(in.Past) != len(in.Steps) {
		panic(fmt.Sprintf("wavenet.Net: %d steps with a past of %d", len(in.Steps), len(in.Past)))
	}
	return len(in.Steps) / in.Batch
}

// past returns the steps of sequence b as the net sees them.
func (in Input) past(b, steps int) []int32 {
	if in.Past != nil {
		return in.Past[b*steps : (b+1)*steps]
	}
	return in.Steps[b*steps : (b+1)*steps]
}

// value is that of a step, from -1 to 1, for Input.
func (c Config) value(step int32) float32 {
	return float32(float64(2*step)/float64(c.Classes-1) - 1)
}

// forward returns the logits [1, T, Outputs] of a sequence, of which it sees steps, under its condition [1, F, L*2R].
func (n *Net) forward(a *tensor.Arena, steps []int32, condition tensor.Tensor) (logits tensor.Tensor, s saved) {
	s.previous = a.Int32s(len(steps))
	if len(steps) > 0 {
		s.previous[0] = n.First()
		copy(s.previous[1:], steps)
	}
	var x tensor.Tensor
	if n.Input != nil {
		s.values = a.Tensor(1, len(steps), 1)
		for i, step := range s.previous {
			s.values.Data[i] = n.Config.value(step)
		}
		x = n.Input.Forward(a, s.values)
	} else {
		x = n.Embed.Forward(a, s.previous).Reshape(1, len(steps), n.Config.Residual)
	}
	skips, stack := n.Stack.Forward(a, x, condition)
	s.stack = stack
	s.active1 = nn.ReLU(a, skips)
	s.active2 = nn.ReLU(a, n.Out1.Forward(a, s.active1))
	return n.Out2.Forward(a, s.active2), s
}

// sequence returns sequence b of a batch [B, rows, channels], as a batch of its own.
func sequence(t tensor.Tensor, b int) tensor.Tensor {
	rows, channels := t.Dim(1), t.Channels()
	return tensor.From(t.Data[b*rows*channels:(b+1)*rows*channels], 1, rows, channels)
}

// loss is the mean negative log-likelihood in nats of steps under the distributions logits, and its gradient.
func (n *Net) loss(a *tensor.Arena, logits tensor.Tensor, steps []int32) (loss float64, dlogits tensor.Tensor) {
	if n.Config.Mixture > 0 {
		return n.Config.mixture().Loss(a, logits, steps)
	}
	return nn.CrossEntropy(a, logits, steps)
}

// Logits returns [B, T, Outputs]: row t is the prediction of step t from the steps before it.
func (n *Net) Logits(a *tensor.Arena, in Input) tensor.Tensor {
	steps := n.check(in)
	all := a.Tensor(in.Batch, steps, n.Config.Outputs())
	scratch := a.Mark()
	condition, _ := n.project(a, in.Local, in.Global, in.Batch)
	for b := range in.Batch {
		each := a.Mark()
		logits, _ := n.forward(a, in.past(b, steps), sequence(condition, b))
		copy(sequence(all, b).Data, logits.Data)
		a.Release(each)
	}
	a.Release(scratch)
	return all
}

// Loss is the mean negative log-likelihood of the steps in nats; NaN if there are none, as with all means.
func (n *Net) Loss(a *tensor.Arena, in Input) (loss float64) {
	steps := n.check(in)
	scratch := a.Mark()
	condition, _ := n.project(a, in.Local, in.Global, in.Batch)
	for b := range in.Batch {
		each := a.Mark()
		logits, _ := n.forward(a, in.past(b, steps), sequence(condition, b))
		mean, _ := n.loss(a, logits, in.Steps[b*steps:(b+1)*steps])
		loss += mean / float64(in.Batch)
		a.Release(each)
	}
	a.Release(scratch)
	return loss
}

// LossGradient is Loss. It adds to the gradients of the parameters and returns the gradients with respect to in.Local and
// in.Global, none for none.
//
// Sequences go one after the other, forwards and backwards, through the same memory: that of one stays near the processor,
// that of all would not.
func (n *Net) LossGradient(a *tensor.Arena, in Input) (loss float64, dlocal, dglobal tensor.Tensor) {
	steps := n.check(in)
	condition, up := n.project(a, in.Local, in.Global, in.Batch)
	dcondition := a.Like(condition)
	for b := range in.Batch {
		scratch := a.Mark()
		targets := in.Steps[b*steps : (b+1)*steps]
		logits, s := n.forward(a, in.past(b, steps), sequence(condition, b))
		mean, dlogits := n.loss(a, logits, targets)
		loss += mean / float64(in.Batch)
		kernel.Scale(dlogits.Data, 1/float32(in.Batch))

		// logits = Out2(ReLU(Out1(ReLU(skips)))).
		d := n.Out2.Backward(a, s.active2, dlogits)
		d = n.Out1.Backward(a, s.active1, nn.ReLUBackward(a, s.active2, d))
		dx, dc := n.Stack.Backward(a, s.stack, nn.ReLUBackward(a, s.active1, d))
		if n.Input != nil {
			n.Input.BackwardParameters(a, s.values, dx)
		} else {
			n.Embed.Backward(s.previous, dx)
		}
		copy(sequence(dcondition, b).Data, dc.Data)
		a.Release(scratch)
	}

	// c = Condition(upsampled local condition) + Global(global condition).
	if n.Global != nil || n.Bias != nil {
		sums := a.Zeros(in.Batch, 1, dcondition.Channels())
		for b := range in.Batch {
			frames := dcondition.Dim(1)
			kernel.ColumnSums(sums.Row(b), sequence(dcondition, b).Data, dcondition.Channels(), frames, dcondition.Channels())
		}
		if n.Global != nil {
			dglobal = n.Global.Backward(a, in.Global.Reshape(in.Batch, 1, n.Config.Global), sums).Reshape(in.Batch, n.Config.Global)
		} else if n.Bias.Grad.Data != nil {
			for b := range in.Batch {
				kernel.Add(n.Bias.Grad.Data, sums.Row(b))
			}
		}
	}
	if n.Condition != nil {
		dlocal = n.Condition.Backward(a, up[len(n.Upsample)], dcondition)
		for i := len(n.Upsample) - 1; i >= 0; i-- {
			dlocal = n.Upsample[i].Backward(a, up[i], dlocal)
		}
	}
	return loss, dlocal, dglobal
}
