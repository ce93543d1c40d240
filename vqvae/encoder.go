package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Encoder makes a vector of every Stride steps of its input (the paper, section 4.3):
//
//	x_0   = waveform, or (features - Mean) / Deviation       [B, N, channels of the input]; features centred before, if so configured
//	x_i+1 = ReLU(Layers[i](x_i))                             [B, N/strides so far, channels]
//	z     = Layers[last](x_last)                             [B, N/Stride, D]
//
// A layer with stride s has a kernel of 2s, and zeros on both sides, s/2 before and s-s/2 after, so that n*s inputs give n
// outputs; with stride 1 it has a kernel of 3, and one zero on both sides; the last layer is 1x1.
type Encoder struct {
	Layers []*dilated.Conv

	// The mean and the deviation of each channel of features, from [Encoder.Standardise] on; 0 and 1 before. None for a
	// waveform.
	Mean, Deviation tensor.Tensor

	centre int // frames, that of the configuration
}

// NewEncoder returns an encoder to dim channels with weights drawn from src, which computes in the precision given.
func NewEncoder(c EncoderConfig, dim int, precision dilated.Precision, src rand.Source) *Encoder {
	e, in := &Encoder{centre: c.Centre}, c.InputChannels()
	if c.Input != Wave {
		e.Mean, e.Deviation = tensor.New(in), tensor.New(in)
		for i := range in {
			e.Deviation.Data[i] = 1
		}
	}
	for i, axis := range c.Stack() {
		e.Layers = append(e.Layers, dilated.NewConv(dilated.Config{In: in, Out: c.Channels[i], Width: axis, Precision: precision}, src))
		in = c.Channels[i]
	}
	e.Layers = append(e.Layers, dilated.NewConv(dilated.Config{In: in, Out: dim, Precision: precision}, src))
	return e
}

// With returns an encoder with the same parameters that computes in the precision given.
func (e *Encoder) With(precision dilated.Precision) *Encoder {
	same := &Encoder{Mean: e.Mean, Deviation: e.Deviation, centre: e.centre}
	for _, l := range e.Layers {
		same.Layers = append(same.Layers, l.With(precision))
	}
	return same
}

// frozen returns an encoder for Forward alone, with the weights as they are now.
func (e *Encoder) frozen() *Encoder {
	same := &Encoder{Mean: e.Mean, Deviation: e.Deviation, centre: e.centre}
	for _, l := range e.Layers {
		same.Layers = append(same.Layers, l.Frozen())
	}
	return same
}

// Parameters returns "0.weight", "0.bias", "1.weight", ...
func (e *Encoder) Parameters() nn.Parameters {
	var ps nn.Parameters
	for i, l := range e.Layers {
		ps = append(ps, l.Parameters().Named(strconv.Itoa(i))...)
	}
	return ps
}

// State returns what training changes besides: "mean" and "deviation" of features.
func (e *Encoder) State() nn.Parameters {
	if e.Mean.Data == nil {
		return nil
	}
	return nn.Parameters{{Name: "mean", Value: e.Mean}, {Name: "deviation", Value: e.Deviation}}
}

// Standardise measures mean and deviation of the features in inputs [..., channels]. A channel that is the same everywhere gets
// the deviation 1. Frames that hold numbers that are not finite are left out. It does nothing to an encoder of waveforms.
func (e *Encoder) Standardise(inputs []tensor.Tensor) {
	if e.Mean.Data == nil {
		return
	}
	mean, variance, frames := e.moments(inputs)
	if frames == 0 {
		return
	}
	for i, m := range mean {
		e.Mean.Data[i], e.Deviation.Data[i] = float32(m), float32(deviation(m, variance[i]))
	}
}

// moments returns mean and variance of each channel of inputs [..., channels] as they come to the layers but for Mean and Deviation, and of how many
// frames. Those that hold numbers that are not finite are left out; if there are no others, all is 0.
func (e *Encoder) moments(inputs []tensor.Tensor) (mean, variance []float64, frames float64) {
	channels, a := e.Mean.Len(), new(tensor.Arena)
	mean, variance = make([]float64, channels), make([]float64, channels)
	seen := make([]tensor.Tensor, len(inputs))
	for i, x := range inputs {
		if x.Channels() != channels {
			panic(fmt.Sprintf("vqvae.Encoder: features of shape %v, want %d channels", x, channels))
		}
		seen[i] = e.surroundingsOff(a, x)
	}
	each := func(visit func(frame []float32)) {
		for _, x := range seen {
			for r := range x.Rows() {
				if !slices.ContainsFunc(x.Row(r), func(v float32) bool { return v-v != 0 }) {
					visit(x.Row(r))
				}
			}
		}
	}
	each(func(frame []float32) {
		frames++
		for i, v := range frame {
			mean[i] += float64(v)
		}
	})
	for i := range mean {
		mean[i] /= max(1, frames)
	}
	each(func(frame []float32) {
		for i, v := range frame {
			d := float64(v) - mean[i]
			variance[i] += float64(d * d)
		}
	})
	for i := range variance {
		variance[i] /= max(1, frames)
	}
	return mean, variance, frames
}

// constant is the deviation of a channel, relative to its mean, up to which it is taken for rounding.
const constant = 1e-6

// deviation is that of a channel; 1 if it is the same everywhere.
func deviation(mean, variance float64) float64 {
	if d := math.Sqrt(variance); d > constant*math.Abs(mean) {
		return d
	}
	return 1
}

// standardised returns (x - Mean) / Deviation; a waveform as it is.
func (e *Encoder) standardised(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	if e.Mean.Data == nil {
		return x
	}
	x = e.surroundingsOff(a, x)
	y := a.Like(x)
	for r := range x.Rows() {
		from, to := x.Row(r), y.Row(r)
		for i, v := range from {
			to[i] = (v - e.Mean.Data[i]) / e.Deviation.Data[i]
		}
	}
	return y
}

// surroundingsOff returns features centred, if the encoder wants them so.
func (e *Encoder) surroundingsOff(a *tensor.Arena, x tensor.Tensor) tensor.Tensor {
	if e.centre == 0 {
		return x
	}
	return centred(a, x, e.centre)
}

// EncoderSaved is what Forward leaves for Backward: the input of each layer.
type EncoderSaved []tensor.Tensor

// Forward returns z for an input x [B, N, channels], N a multiple of Stride.
func (e *Encoder) Forward(a *tensor.Arena, x tensor.Tensor) (z tensor.Tensor, saved EncoderSaved) {
	last := len(e.Layers) - 1
	x = e.standardised(a, x)
	saved = make(EncoderSaved, 0, len(e.Layers))
	for _, l := range e.Layers[:last] {
		stride := l.Config().Width.Stride
		if x.Dim(1)%stride != 0 {
			panic(fmt.Sprintf("vqvae.Encoder: %d steps come to a stride of %d", x.Dim(1), stride))
		}
		saved = append(saved, x)
		x = l.Forward(a, x)
		parallel.RunCopy(&relus, parallel.Blocks(x.Len(), reluBlock), relu{y: x.Data})
	}
	return e.Layers[last].Forward(a, x), append(saved, x)
}

// Backward adds to the gradients of the parameters, given the gradient dz with respect to Forward's result.
func (e *Encoder) Backward(a *tensor.Arena, saved EncoderSaved, dz tensor.Tensor) {
	d := dz
	for i := len(e.Layers) - 1; i > 0; i-- {
		d = e.Layers[i].Backward(a, saved[i], d)
		parallel.RunCopy(&relus, parallel.Blocks(d.Len(), reluBlock), relu{y: saved[i].Data, dy: d.Data}) // x_i = ReLU(...)
	}
	e.Layers[0].BackwardParameters(a, saved[0], d)
}

// relu is max(y, 0) in the place of y, or with dy its gradient in the place of dy.
type relu struct{ y, dy []float32 }

var relus parallel.Pool[relu]

// reluBlock is the number of elements in an item of relu.
const reluBlock = 1 << 14

func (t *relu) Run(item int) {
	from, to := parallel.Block(item, len(t.y), reluBlock)
	if t.dy == nil {
		kernel.ReLU(t.y[from:to], t.y[from:to])
	} else {
		kernel.ReLUBackward(t.dy[from:to], t.dy[from:to], t.y[from:to])
	}
}
