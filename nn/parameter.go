// Package nn holds what every network of vqaudio is built with: parameters, linear and embedding layers, losses,
// optimisers, learning-rate schedules and an average of the weights for evaluation. Convolutions are in package dilated.
//
// A layer has a Forward and a Backward, written out by hand side by side. Layers keep nothing between the two: Backward is
// given what Forward was given. Buffers come from the [tensor.Arena] handed in and live until its Reset.
//
// Three rules hold everywhere, so that no call has to say which it follows:
//
//   - Gradients of parameters accumulate (+=): a parameter may be used many times in a step, and the loop sets the
//     gradients to zero before each ([Parameters.ZeroGrad]).
//   - Activations, and gradients with respect to activations, are overwritten (=).
//   - The residual stream, to which each block of a stack adds its part, accumulates (+=), as does the gradient that flows
//     back along it.
//
// All results are the same, bit for bit, on any number of threads.
package nn

import (
	"fmt"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Parameter is a tensor that training changes, and the gradient of the loss with respect to it. The state of optimisers
// and averages, to be saved beside the parameters, has the same form without a gradient; so have the parameters of a layer that
// is fixed while others are fitted.
type Parameter struct {
	Name  string // dotted, from the outside in: "encoder.0.weight"
	Value tensor.Tensor
	Grad  tensor.Tensor
}

// NewParameter returns a parameter of zeros with a gradient of zeros.
func NewParameter(name string, shape ...int) *Parameter {
	return &Parameter{Name: name, Value: tensor.New(shape...), Grad: tensor.New(shape...)}
}

// Fixed returns a parameter with the same value and no gradient; of nil it is nil.
func (p *Parameter) Fixed() *Parameter {
	if p == nil {
		return nil
	}
	return &Parameter{Name: p.Name, Value: p.Value}
}

// Parameters is a list of parameters in a fixed order.
type Parameters []*Parameter

// Named returns the parameters with prefix and a dot before their names. They share the elements of ps.
func (ps Parameters) Named(prefix string) Parameters {
	named := make(Parameters, len(ps))
	for i, p := range ps {
		named[i] = &Parameter{Name: prefix + "." + p.Name, Value: p.Value, Grad: p.Grad}
	}
	return named
}

// Find returns the parameter of that name, or nil.
func (ps Parameters) Find(name string) *Parameter {
	for _, p := range ps {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Count is the number of elements of all parameters.
func (ps Parameters) Count() int {
	n := 0
	for _, p := range ps {
		n += p.Value.Len()
	}
	return n
}

// ZeroGrad sets all gradients to zero.
func (ps Parameters) ZeroGrad() {
	for _, p := range ps {
		p.Grad.Zero()
	}
}

// CheckNames returns an error if a name is empty or there twice.
func (ps Parameters) CheckNames() error {
	at := make(map[string]int, len(ps))
	for i, p := range ps {
		if p.Name == "" {
			return fmt.Errorf("parameter %d, of shape %v, has no name", i, p.Value)
		}
		if first, twice := at[p.Name]; twice {
			return fmt.Errorf("parameters %d, of shape %v, and %d, of shape %v, are both named %q",
				first, ps[first].Value, i, p.Value, p.Name)
		}
		at[p.Name] = i
	}
	return nil
}

// elementBlock is the number of elements in an item of a parallel loop over elements.
const elementBlock = 1 << 14

// piece is a block of the elements of one parameter of a list.
type piece struct{ parameter, from, to int }

// pieces appends to dst the elements of all parameters in blocks, in order.
func (ps Parameters) pieces(dst []piece) []piece {
	for i, p := range ps {
		n := p.Value.Len()
		for b := range parallel.Blocks(n, elementBlock) {
			from, to := parallel.Block(b, n, elementBlock)
			dst = append(dst, piece{i, from, to})
		}
	}
	return dst
}
