package nn

import (
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Average is an exponential moving average of weights, which evaluation uses in their place (Polyak averaging; van den Oord
// et al., Parallel WaveNet, arXiv 1711.10433, section 5, with decay 0.9999). It starts as a copy of the weights. Update n = 0, 1, ... makes
//
//	average += (1 - min(Decay, (1+n)/(10+n))) (weight - average)
//
// where the second term lets the average leave the first weights behind sooner (as TensorFlow's ExponentialMovingAverage).
type Average struct {
	Decay float64

	parameters Parameters
	pieces     []piece
	averages   []tensor.Tensor
	updates    tensor.Tensor
	swapped    bool
	task       averageTask
}

// NewAverage returns an average of ps.
func NewAverage(ps Parameters, decay float64) *Average {
	m := &Average{Decay: decay, parameters: ps, pieces: ps.pieces(nil), updates: tensor.New(1)}
	for _, p := range ps {
		t := tensor.New(p.Value.Shape()...)
		copy(t.Data, p.Value.Data)
		m.averages = append(m.averages, t)
	}
	return m
}

// Update takes the present weights into the average. It panics between SwapIn and SwapOut.
func (m *Average) Update() {
	m.checkOut("Update")
	// float32 counts to 2^24; a larger n would make no difference.
	n := float64(m.updates.Data[0])
	m.updates.Data[0]++
	m.run(averageTask{move: float32(1 - min(m.Decay, (1+n)/(10+n)))})
}

// SwapIn puts the averages in the place of the weights, which are kept, for evaluation; SwapOut undoes it.
func (m *Average) SwapIn() {
	m.checkOut("SwapIn")
	m.run(averageTask{swap: true})
	m.swapped = true
}

// SwapOut puts the weights back after SwapIn.
func (m *Average) SwapOut() {
	if !m.swapped {
		panic("nn.Average.SwapOut: without SwapIn")
	}
	m.run(averageTask{swap: true})
	m.swapped = false
}

// State returns what a checkpoint has to keep besides the parameters, without gradients: the number of updates,
// "average.updates" [1], and for each parameter its average, "average.NAME". To resume, write their elements. It panics
// between SwapIn and SwapOut.
func (m *Average) State() Parameters {
	m.checkOut("State")
	state := Parameters{{Name: "average.updates", Value: m.updates}}
	for i, p := range m.parameters {
		state = append(state, &Parameter{Name: "average." + p.Name, Value: m.averages[i]})
	}
	return state
}

func (m *Average) checkOut(what string) {
	if m.swapped {
		panic("nn.Average." + what + ": the averages are in the place of the weights, SwapOut first")
	}
}

func (m *Average) run(t averageTask) {
	t.Average = m
	m.task = t
	parallel.Run(len(m.pieces), &m.task)
}

// averageTask moves averages towards weights, or swaps them.
type averageTask struct {
	*Average
	move float32
	swap bool
}

func (t *averageTask) Run(item int) {
	p := t.pieces[item]
	average, weight := t.averages[p.parameter].Data[p.from:p.to], t.parameters[p.parameter].Value.Data[p.from:p.to]
	if !t.swap {
		kernel.Lerp(average, weight, t.move)
		return
	}
	for i, w := range weight {
		weight[i], average[i] = average[i], w
	}
}
