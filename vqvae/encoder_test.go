package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// random returns a tensor of normal values.
func random(src rand.Source, shape ...int) tensor.Tensor {
	x := tensor.New(shape...)
	nn.Normal(x, 1, src)
	return x
}

// inner is the inner product in float64.
func inner(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// leaveKinks sets the biases of e so that, for x, every other channel of each ReLU is on throughout, the rest off, and none
// near the kink: differences must not go across. Outputs are from -1 to 1.
func leaveKinks(e *Encoder, x tensor.Tensor) {
	a := new(tensor.Arena)
	for _, l := range e.Layers[:len(e.Layers)-1] {
		y := l.Forward(a, x)
		for c, bias := range l.Bias.Value.Data {
			low, high := float32(math.Inf(1)), float32(math.Inf(-1))
			for r := range y.Rows() {
				low, high = min(low, y.Row(r)[c]), max(high, y.Row(r)[c])
			}
			if c%2 == 0 {
				l.Bias.Value.Data[c] = bias - low + (high-low)/5
			} else {
				l.Bias.Value.Data[c] = bias - high - (high-low)/5
			}
		}
		x = nn.ReLU(a, l.Forward(a, x))
	}
	// The last layer makes numbers from -1 to 1 of it.
	l := e.Layers[len(e.Layers)-1]
	y := l.Forward(a, x)
	for c := range l.Bias.Value.Data {
		low, high := float32(math.Inf(1)), float32(math.Inf(-1))
		for r := range y.Rows() {
			low, high = min(low, y.Row(r)[c]), max(high, y.Row(r)[c])
		}
		for i := c; i < l.Weight.Value.Len(); i += l.Weight.Value.Channels() {
			l.Weight.Value.Data[i] *= 2 / (high - low)
		}
		l.Bias.Value.Data[c] = (2*l.Bias.Value.Data[c] - low - high) / (high - low)
	}
}

// TestEncoderAgainstLayers compares the encoder with the layers that it is made of, called one by one.
func TestEncoderAgainstLayers(t *testing.T) {
	for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
		src := rand.NewPCG(3, 2)
		c := tiny().Encoder
		e := NewEncoder(c, 16, precision, src)
		for _, p := range e.Parameters() {
			nn.Normal(p.Value, 0.2, src)
		}
		a, x := &tensor.Arena{Poison: true}, random(src, 3, 7*c.Stride(), 1)

		var inputs []tensor.Tensor
		y := x
		for _, l := range e.Layers[:len(c.Strides)] {
			inputs = append(inputs, y)
			y = nn.ReLU(a, l.Forward(a, y))
		}
		inputs = append(inputs, y)
		y = e.Layers[len(c.Strides)].Forward(a, y)
		dy := random(src, y.Shape()...)
		d := dy
		for i := len(c.Strides); i >= 0; i-- {
			d = e.Layers[i].Backward(a, inputs[i], d)
			if i > 0 {
				d = nn.ReLUBackward(a, inputs[i], d)
			}
		}
		want := snapshot(e.Parameters())

		e.Parameters().ZeroGrad()
		z, saved := e.Forward(a, x)
		e.Backward(a, saved, dy)
		if !equal([][]float32{z.Data}, [][]float32{y.Data}) || !equal(snapshot(e.Parameters()), want) {
			t.Errorf("precision %d: other outputs or gradients than the layers have", precision)
		}
	}
}

func TestEncoderGradients(t *testing.T) {
	for _, c := range []EncoderConfig{
		tiny().Encoder,
		{Input: Wave, Channels: []int{3, 5}, Strides: []int{5, 2}},
		{Input: Wave, Channels: []int{4, 6, 8}, Strides: []int{1, 4, 3}},
	} {
		t.Run(fmt.Sprint(c.Strides), func(t *testing.T) {
			src := rand.NewPCG(1, 2)
			e := NewEncoder(c, 7, dilated.Float32, src)
			for _, p := range e.Parameters() {
				nn.Normal(p.Value, 0.5, src)
			}
			x := random(src, 2, 9*c.Stride(), c.InputChannels())
			leaveKinks(e, x)
			a := new(tensor.Arena)
			z, saved := e.Forward(a, x)
			dz := random(src, z.Shape()...)
			e.Backward(a, saved, dz)
			var parts []gradcheck.Part
			for _, p := range e.Parameters() {
				parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: p.Grad.Data})
			}
			if err := gradcheck.Directional(func() float64 {
				z, _ := e.Forward(new(tensor.Arena), x)
				return inner(z.Data, dz.Data)
			}, src, parts...); err != nil {
				t.Error(err)
			}
		})
	}
}
