package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// model is an embedding and two linear layers that predict a class, and a third that predicts a picture element.
type model struct {
	embedding               *Embedding
	hidden, classes, pixels *Linear
	mixture                 LogisticMixture
}

func newModel(seed uint64) *model {
	src := rand.NewPCG(seed, 1)
	mixture := LogisticMixture{Channels: 3, Levels: 256, Mixtures: 2}
	return &model{NewEmbedding(50, 24, src), NewLinear(24, 40, src), NewLinear(40, 256, src), NewLinear(40, mixture.Width(), src), mixture}
}

func (m *model) parameters() Parameters {
	ps := m.embedding.Parameters().Named("embedding")
	ps = append(ps, m.hidden.Parameters().Named("hidden")...)
	ps = append(ps, m.classes.Parameters().Named("classes")...)
	return append(ps, m.pixels.Parameters().Named("pixels")...)
}

// losses runs the model forward and backward. The classes' logits serve both as such and, drawn to zero, for MSE.
func (m *model) losses(a *tensor.Arena, in, targets, levels []int32, zeros tensor.Tensor) float64 {
	x := m.embedding.Forward(a, in)
	h := m.hidden.Forward(a, x)
	y := ReLU(a, h)
	logits := m.classes.Forward(a, y)
	params := m.pixels.Forward(a, y)

	entropy, dLogits := CrossEntropy(a, logits, targets)
	squares, dSquares := MSE(a, logits, zeros)
	mixture, dParams := m.mixture.Loss(a, params, levels)

	for i, d := range dSquares.Data { // both lead to the logits
		dLogits.Data[i] += d
	}
	dy := m.classes.Backward(a, y, dLogits)
	for i, d := range m.pixels.Backward(a, y, dParams).Data {
		dy.Data[i] += d
	}
	dh := ReLUBackward(a, y, dy)
	m.embedding.Backward(in, m.hidden.Backward(a, x, dh))
	return entropy + squares + mixture
}

// data returns inputs and targets of the model.
func data(rows int) (in, targets, levels []int32, zeros tensor.Tensor) {
	r := rand.New(rand.NewPCG(3, 3))
	return ids(r, rows, 50), ids(r, rows, 256), ids(r, rows*3, 256), tensor.New(rows, 256)
}

func TestModelByDifferences(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		m := newModel(1)
		ps := m.parameters()
		in, targets, levels, zeros := data(30)
		a := &tensor.Arena{Poison: true}
		ps.ZeroGrad()
		m.losses(a, in, targets, levels, zeros)
		var parts []gradcheck.Part
		for _, p := range ps {
			parts = append(parts, gradcheck.Part{Name: p.Name, X: p.Value.Data, Grad: clone(p.Grad.Data)})
		}
		directional(t, func() float64 { defer a.Reset(); return m.losses(a, in, targets, levels, zeros) }, parts...)
	})
}

// train runs steps of training and returns the losses' bits, and all weights and gradients.
func train(steps int) [][]float32 {
	m := newModel(2)
	ps := m.parameters()
	o, average := NewAdam(ps), NewAverage(ps, 0.99)
	rate := WarmUp(3, Exponential(0.01, 0.5, 10))
	in, targets, levels, zeros := data(500)
	a := new(tensor.Arena)
	var curve []float32
	for step := range steps {
		ps.ZeroGrad()
		loss := m.losses(a, in, targets, levels, zeros)
		norm := ClipGlobalNorm(ps, 0.5)
		o.Step(rate(step))
		average.Update()
		a.Reset()
		for _, v := range []float64{loss, norm} {
			u := math.Float64bits(v)
			curve = append(curve, math.Float32frombits(uint32(u)), math.Float32frombits(uint32(u>>32)))
		}
	}
	all := append([][]float32{curve}, values(ps)...)
	for _, p := range ps {
		all = append(all, p.Grad.Data)
	}
	return append(all, values(average.State())...)
}

func TestTrainingIsTheSameOnAnyThreads(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		sameForAnyThreads(t, "training", func() [][]float32 { return train(5) })
	})
}

func TestTrainingLowersTheLoss(t *testing.T) {
	m := newModel(2)
	ps := m.parameters()
	o := NewAdam(ps)
	in, targets, levels, zeros := data(50)
	a := new(tensor.Arena)
	var first, last float64
	for step := range 100 {
		ps.ZeroGrad()
		last = m.losses(a, in, targets, levels, zeros)
		if step == 0 {
			first = last
		}
		o.Step(0.01)
		a.Reset()
	}
	if !(last < first-1) {
		t.Errorf("the loss went from %v to %v in 100 steps", first, last)
	}
}

func TestTrainingStepAllocatesNothing(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	for _, threads := range []int{1, 2, 5} {
		parallel.SetThreads(threads)
		eachTier(t, func(t *testing.T) {
			m := newModel(2)
			ps := m.parameters()
			o, average := NewAdam(ps), NewAverage(ps, 0.99)
			rate := WarmUp(3, Cosine(0.01, 0, 100))
			in, targets, levels, zeros := data(200)
			a := new(tensor.Arena)
			step := 0
			run := func() {
				ps.ZeroGrad()
				m.losses(a, in, targets, levels, zeros)
				ClipGlobalNorm(ps, 0.5)
				o.Step(rate(step))
				average.Update()
				average.SwapIn()
				average.SwapOut()
				a.Reset()
				step++
			}
			for range 5 {
				run()
			}
			if n := testing.AllocsPerRun(5, run); n != 0 {
				t.Errorf("%d threads: %v allocations a step", threads, n)
			}
		})
	}
}
