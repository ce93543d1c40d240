package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Models are those of the presets, with random weights, on noise. Shapes are sequences x samples.

// size is a preset that is measured, with the batch for training: that of the comparison with PyTorch, not the preset's.
type size struct {
	name           string
	batch, segment int
}

// What is measured; tests, which do it on every tier, take something smaller.
var (
	sizes          = []size{{"small", 4, 8192}, {"base", 4, 8192}, {"large", 1, 8192}}
	encoderPreset  = "base"
	encoderSeconds = 60
)

// preset returns a preset that is known to be there.
func preset(name string) train.Config {
	c, err := train.Preset(name)
	if err != nil {
		panic(err)
	}
	return c
}

// newModel returns a model of a preset with random weights.
func newModel(name string, p dilated.Precision) *vqvae.Model {
	const speakers = 109 // of VCTK
	names := make([]string, speakers)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	src := rand.NewPCG(1, 2)
	m, err := vqvae.New(preset(name).Model, names, p, src)
	if err != nil {
		panic(err)
	}
	if err := m.InitialiseCodebooks(new(tensor.Arena), []vqvae.Batch{noise(m.Config, 1, 1<<16)}, src); err != nil {
		panic(err)
	}
	return m
}

// noise returns size sequences of so many samples of noise, as a model takes them.
func noise(c vqvae.Config, size, samples int) vqvae.Batch {
	front, err := frontend.New(c)
	if err != nil {
		panic(err) // of a preset
	}
	b := front.NewBatch(size, samples)
	front.Fill(&b, floats(size*samples))
	return b
}

// operations is the number of multiplications and additions for a sample, forwards.
func operations(c vqvae.Config) (encoder, decoder float64) {
	in, hop := c.Encoder.InputChannels(), c.InputHop()
	for i, axis := range c.Encoder.Stack() {
		out := c.Encoder.Channels[i]
		hop *= axis.Stride
		encoder += 2 * float64(axis.Kernel*in*out) / float64(hop)
		in = out
	}
	d, w := c.Bottleneck.Dim, c.WaveNet()
	encoder += 2 * float64(in*d+d*c.Bottleneck.Entries) / float64(hop)
	layer := 2*w.Residual*2*w.Residual + w.Residual*(w.Residual+w.Skip) // dilated, residual and skip
	decoder = 2*float64(w.Layers*w.Cycles)*(float64(layer)+float64(d*2*w.Residual)/float64(w.Hold())) + 2*float64(w.Skip*(w.Skip+w.Classes))
	return encoder, decoder
}

// bounded returns the peak of the instructions as a bound for work of so many operations a unit.
func bounded(dtype, isa string, operations float64) (maker, string) {
	peak, name := peakOf(dtype, isa)
	if peak == nil {
		return nil, ""
	}
	return func(threads int) job {
		j := peak(threads)
		j.work /= operations
		return j
	}, name
}

// whole is a job that spreads over threads by itself.
func whole(work int, prepare func() func()) maker {
	return func(threads int) job {
		run := prepare()
		alone := func(int) {
			before := parallel.Threads()
			parallel.SetThreads(threads)
			defer parallel.SetThreads(before)
			run()
		}
		return job{Task: taskFunc(alone), items: 1, work: float64(work)}
	}
}

type taskFunc func(int)

func (f taskFunc) Run(item int) { f(item) }

// training: a step of training, forwards, backwards, clipping, optimiser and codebook, in samples trained on. The share is
// that of three times the multiply-adds of the forward pass.
func training() []Benchmark {
	var all []Benchmark
	for _, size := range sizes {
		c := preset(size.name)
		encoder, decoder := operations(c.Model)
		samples := size.batch * size.segment
		step := func(p dilated.Precision) maker {
			return whole(samples, func() func() {
				m, a, src := newModel(size.name, p), new(tensor.Arena), rand.NewPCG(3, 4)
				ps := m.Parameters()
				adam := nn.NewAdam(ps)
				b := noise(c.Model, size.batch, c.Training.Segment)
				return func() {
					ps.ZeroGrad()
					m.Step(a, b, src)
					nn.ClipGlobalNorm(ps, c.Training.Clip)
					adam.Step(c.Training.LearningRate)
					m.Update(src)
					a.Reset()
				}
			})
		}
		own := Benchmark{
			Name: "train/" + size.name, Shape: fmt.Sprintf("%dx%d", size.batch, size.segment), DType: "f32", ISA: vectorISA(),
			unit: unit{name: "samples/s", scale: 1}, job: step(dilated.Float32),
		}
		own.bound, own.boundName = bounded("f32", vectorISA(), 3*(encoder+decoder))
		mixed := own
		mixed.DType, mixed.ISA, mixed.job, mixed.float32 = "bf16", bf16ISA(), step(dilated.BFloat16), own.job
		mixed.bound, mixed.boundName = bounded("bf16", bf16ISA(), 3*(encoder+decoder))
		all = append(all, own, mixed)
	}
	return all
}

// encoding: sound of a minute at once through the encoder and the quantiser of the base model. The value is how long the sound
// lasts over the time that takes.
func encoding() []Benchmark {
	c := preset(encoderPreset).Model
	seconds := encoderSeconds
	encoder, _ := operations(c)
	job := func(p dilated.Precision) maker {
		return whole(seconds*c.Rate, func() func() {
			m, b := newModel(encoderPreset, p), noise(c, 1, seconds*c.Rate)
			return func() {
				s := vqvae.NewStream(m)
				s.Write(b.Input.Data)
				s.Close()
			}
		})
	}
	own := Benchmark{
		Name: "encode", Shape: fmt.Sprintf("1x%d", seconds*c.Rate), DType: "f32", ISA: vectorISA(),
		unit: unit{name: "x realtime", scale: 1 / float64(c.Rate)}, job: job(dilated.Float32),
	}
	own.bound, own.boundName = bounded("f32", vectorISA(), encoder)
	mixed := own
	mixed.DType, mixed.ISA, mixed.job, mixed.float32 = "bf16", bf16ISA(), job(dilated.BFloat16), own.job
	mixed.bound, mixed.boundName = bounded("bf16", bf16ISA(), encoder)
	return []Benchmark{own, mixed}
}

// sampling: a quarter of a second of one stream drawn step by step, projection of the codes, softmax and draw included.
func sampling() []Benchmark {
	var all []Benchmark
	for _, size := range sizes {
		c := preset(size.name).Model
		steps := c.Rate / 4
		_, decoder := operations(c)
		b := Benchmark{
			Name: "sample/" + size.name, Shape: fmt.Sprintf("1x%d", steps), DType: "f32", ISA: vectorISA(),
			unit: unit{name: "samples/s", scale: 1},
			job: hot(steps, func() func() {
				m, random := newModel(size.name, dilated.Float32), rand.New(rand.NewPCG(5, 6))
				sampler := wavenet.NewSampler(m.Decoder, wavenet.Float32)
				local := floats(steps / c.Hop() * c.Bottleneck.Dim)
				voice := wavenet.Voice{Global: m.Voices.Table.Value.Row(0), Drawing: wavenet.Drawing{Temperature: 1}, Uniform: random.Float64}
				return func() {
					g := sampler.NewGenerator(voice, func([]int32) error { return nil })
					g.Write(local)
					g.Close()
				}
			}),
		}
		b.bound, b.boundName = bounded("f32", vectorISA(), decoder)
		all = append(all, b)
	}
	return all
}
