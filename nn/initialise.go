package nn

import (
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/tensor"
)

// Initialisers draw from a source handed in, one value for each element in order. With a *rand.PCG or *rand.ChaCha8 the
// state can be saved. With no source they leave the weights as they are, for those who are to read others.

// HeUniform fills w with uniform values of variance 2/fanIn, in [-b, b) with b = sqrt(6/fanIn): for layers followed by a
// ReLU (He et al., arXiv 1502.01852). fanIn is the number of inputs that an output sums over: for [taps, in, out],
// taps*in.
func HeUniform(w tensor.Tensor, fanIn int, src rand.Source) {
	uniform(w, math.Sqrt(6/float64(fanIn)), src)
}

// XavierUniform fills w with uniform values of variance 2/(fanIn+fanOut), in [-b, b) with b = sqrt(6/(fanIn+fanOut)): for
// layers followed by tanh, sigmoid or nothing (Glorot & Bengio, AISTATS 2010, equation 16).
func XavierUniform(w tensor.Tensor, fanIn, fanOut int, src rand.Source) {
	uniform(w, math.Sqrt(6/float64(fanIn+fanOut)), src)
}

func uniform(w tensor.Tensor, bound float64, src rand.Source) {
	if src == nil {
		return
	}
	r := rand.New(src)
	for i := range w.Data {
		w.Data[i] = float32((2*r.Float64() - 1) * bound)
	}
}

// Normal fills w with normal values of mean 0 and the given standard deviation.
func Normal(w tensor.Tensor, deviation float64, src rand.Source) {
	if src == nil {
		return
	}
	r := rand.New(src)
	for i := range w.Data {
		w.Data[i] = float32(r.NormFloat64() * deviation)
	}
}
