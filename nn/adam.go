package nn

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Adam is the optimiser of Kingma & Ba (arXiv 1412.6980, algorithm 1), with a WeightDecay other than zero AdamW
// (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2). At step t = 1, 2, ..., for every element w with gradient g,
//
//	m = Beta1 m + (1-Beta1) g
//	v = Beta2 v + (1-Beta2) g^2
//	w -= rate (m/(1-Beta1^t) / (sqrt(v/(1-Beta2^t)) + Epsilon) + WeightDecay w)
//
// The numbers may be changed between steps.
type Adam struct {
	Beta1, Beta2, Epsilon float64
	WeightDecay           float64

	parameters Parameters
	pieces     []piece
	first      []tensor.Tensor // m, of each parameter
	second     []tensor.Tensor // v
	steps      tensor.Tensor   // t of the last step
	now        kernel.AdamStep // the step being made
}

// NewAdam returns an optimiser of ps with Beta1 = 0.9, Beta2 = 0.999, Epsilon = 1e-8, as in the paper, and no weight decay.
func NewAdam(ps Parameters) *Adam {
	o := &Adam{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, parameters: ps, pieces: ps.pieces(nil), steps: tensor.New(1)}
	for _, p := range ps {
		if !p.Value.SameShape(p.Grad) {
			panic(fmt.Sprintf("nn.NewAdam: %s of shape %v has a gradient of shape %v", p.Name, p.Value, p.Grad))
		}
		o.first = append(o.first, tensor.New(p.Value.Shape()...))
		o.second = append(o.second, tensor.New(p.Value.Shape()...))
	}
	return o
}

// NewAdamW is NewAdam with decoupled weight decay of all parameters.
func NewAdamW(ps Parameters, weightDecay float64) *Adam {
	o := NewAdam(ps)
	o.WeightDecay = weightDecay
	return o
}

// Step changes the parameters by their gradients, which it leaves as they are.
func (o *Adam) Step(rate float64) {
	// float32 counts to 2^24; a larger t would make no difference to the corrections.
	o.steps.Data[0]++
	t := float64(o.steps.Data[0])
	beta1, beta2 := float64(float32(o.Beta1)), float64(float32(o.Beta2)) // as the kernel has them
	o.now = kernel.AdamStep{
		LearningRate: float32(rate), Beta1: float32(o.Beta1), Beta2: float32(o.Beta2),
		Epsilon: float32(o.Epsilon), WeightDecay: float32(o.WeightDecay),
		Correction1: float32(1 / (1 - math.Pow(beta1, t))),
		Correction2: float32(1 / (1 - math.Pow(beta2, t))),
	}
	parallel.Run(len(o.pieces), (*adamTask)(o))
}

type adamTask Adam

func (o *adamTask) Run(item int) {
	p := o.pieces[item]
	from, to := p.from, p.to
	w := o.parameters[p.parameter]
	kernel.AdamUpdate(w.Value.Data[from:to], w.Grad.Data[from:to],
		o.first[p.parameter].Data[from:to], o.second[p.parameter].Data[from:to], o.now)
}

// State returns what a checkpoint has to keep besides the parameters, without gradients: the number of steps, "adam.steps"
// [1], and for each parameter its moments, "adam.first.NAME" and "adam.second.NAME". To resume, write their elements.
func (o *Adam) State() Parameters {
	state := Parameters{{Name: "adam.steps", Value: o.steps}}
	for i, p := range o.parameters {
		state = append(state, &Parameter{Name: "adam.first." + p.Name, Value: o.first[i]},
			&Parameter{Name: "adam.second." + p.Name, Value: o.second[i]})
	}
	return state
}
