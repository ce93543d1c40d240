package classify

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// Example is a sequence and its class.
type Example struct {
	Vectors []float32 // [frames, Width]; nil for codes
	Codes   []int32   // [frames*Width]; nil for vectors
	Class   int32
}

func (e *Example) frames(width int) int { return (len(e.Vectors) + len(e.Codes)) / width }

// Training says how a [Net] is trained. The rate of learning falls from Rate to nothing along half a cosine.
type Training struct {
	Steps             int     `json:"steps"`
	Batch             int     `json:"batch"` // sequences of a step
	Shortest, Longest int     `json:"-"`     // frames of a crop, drawn for a batch; of a shorter example all is taken
	Rate              float64 `json:"rate"`  // of learning
	Decay             float64 `json:"decay"` // of weights
	Seed              uint64  `json:"seed"`

	// Augment changes a crop [frames, Width] of vectors, so that the net does not learn what is of no account; may be nil. It is
	// called for several crops at once.
	Augment func(x []float32, random *rand.Rand) `json:"-"`

	// Progress is called after every step with the mean of its cross entropy in nats, and the share of its crops that were
	// classified rightly; may be nil.
	Progress func(step int, loss, accuracy float64) `json:"-"`
}

// Train trains the net on examples, and sets mean and deviation of vectors. A step takes random crops of them, where each class is
// as likely as any other, whatever it has of examples. It returns an error if ctx is cancelled or the loss is not finite, and panics if there is no example or
// one without a frame or with a class that the net has not got.
func (n *Net) Train(ctx context.Context, examples []Example, t Training) error {
	classes, err := n.byClass(examples)
	if err != nil {
		panic("classify.Train: " + err.Error())
	}
	if t.Steps < 0 || t.Batch < 1 || t.Shortest < 1 || t.Longest < t.Shortest {
		panic(fmt.Sprintf("classify.Train: %d steps of %d crops of %d to %d frames", t.Steps, t.Batch, t.Shortest, t.Longest))
	}
	n.standardise(examples)
	parameters := n.Parameters()
	adam, rate, arena := nn.NewAdamW(parameters, t.Decay), nn.Cosine(t.Rate, 0, t.Steps), new(tensor.Arena)
	for step := range t.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, targets := n.draw(arena, examples, classes, t, step)
		parameters.ZeroGrad()
		loss, logits := n.Step(arena, b, targets)
		if norm := nn.ClipGlobalNorm(parameters, maxNorm); math.IsNaN(loss+norm) || math.IsInf(loss+norm, 0) {
			return fmt.Errorf("training a classifier: the loss is %v at step %d", loss, step)
		}
		adam.Step(rate(step))
		if t.Progress != nil {
			right := 0
			for i, c := range targets {
				if Best(logits.Row(i)) == c {
					right++
				}
			}
			t.Progress(step+1, loss, float64(right)/float64(len(targets)))
		}
		arena.Reset()
	}
	return nil
}

// maxNorm is what the norm of the gradients is limited to.
const maxNorm = 5

// byClass returns the examples of each class that has any.
func (n *Net) byClass(examples []Example) ([][]int, error) {
	all := make([][]int, n.Config.Classes)
	for i := range examples {
		e := &examples[i]
		numbers := len(e.Vectors)
		if n.Embedding != nil {
			numbers = len(e.Codes)
		}
		if e.Class < 0 || int(e.Class) >= len(all) || numbers == 0 || numbers%n.Config.Width != 0 {
			return nil, fmt.Errorf("example %d has class %d of %d and %d numbers, frames have %d", i, e.Class, len(all), numbers, n.Config.Width)
		}
		all[e.Class] = append(all[e.Class], i)
	}
	all = slices.DeleteFunc(all, func(of []int) bool { return len(of) == 0 })
	if len(all) == 0 {
		return nil, fmt.Errorf("no examples")
	}
	return all, nil
}

// standardise sets mean and deviation to those of the examples.
func (n *Net) standardise(examples []Example) {
	if n.Embedding != nil {
		return
	}
	w := n.Config.Width
	sums, squares, frames := make([]float64, w), make([]float64, w), 0
	for i := range examples {
		for frame := range slices.Chunk(examples[i].Vectors, w) {
			for c, v := range frame {
				sums[c] += float64(v)
				squares[c] += float64(v) * float64(v)
			}
			frames++
		}
	}
	for c := range w {
		mean := sums[c] / float64(frames)
		n.Mean.Data[c] = float32(mean)
		n.Deviation.Data[c] = float32(math.Sqrt(max(squares[c]/float64(frames)-mean*mean, 1e-6)))
	}
}

// draw returns the batch of a step, which depends on the seed and the step alone.
func (n *Net) draw(a *tensor.Arena, examples []Example, classes [][]int, t Training, step int) (Batch, []int32) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], t.Seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(step))
	copy(key[16:], "classify")
	random := rand.New(rand.NewChaCha8(key))

	w, most := n.Config.Width, t.Shortest+random.IntN(t.Longest-t.Shortest+1)
	type crop struct {
		e     *Example
		start int
		seeds [2]uint64
	}
	crops, b, targets, frames := make([]crop, t.Batch), Batch{Lengths: make([]int, t.Batch)}, a.Int32s(t.Batch), 0
	for i := range crops {
		of := classes[random.IntN(len(classes))]
		e := &examples[of[random.IntN(len(of))]]
		length := min(most, e.frames(w))
		crops[i] = crop{e, random.IntN(e.frames(w) - length + 1), [2]uint64{random.Uint64(), random.Uint64()}}
		b.Lengths[i], targets[i], frames = length, e.Class, max(frames, length)
	}
	if n.Embedding == nil {
		b.Vectors = a.Zeros(t.Batch, frames, w)
	} else {
		b.Codes = a.Int32s(t.Batch * frames * w)
		clear(b.Codes)
	}
	for i, c := range crops {
		if n.Embedding == nil {
			copy(b.Vectors.Data[i*frames*w:][:b.Lengths[i]*w], c.e.Vectors[c.start*w:])
		} else {
			copy(b.Codes[i*frames*w:][:b.Lengths[i]*w], c.e.Codes[c.start*w:])
		}
	}
	if t.Augment != nil && n.Embedding == nil {
		parallel.For(t.Batch, func(i int) {
			t.Augment(b.Vectors.Data[i*frames*w:][:b.Lengths[i]*w], rand.New(rand.NewPCG(crops[i].seeds[0], crops[i].seeds[1])))
		})
	}
	return b, targets
}
