package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"

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
				b := noise(c.Model, size.batch, size.segment)
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

// sampling: streams drawn step by step, projection of the codes, softmax and draw included. sample/SIZE is one stream on each thread,
// group/SIZE as many on each as a [wavenet.Group] draws together, pair/SIZE one on two cores, or on one if there is but one thread.
//
// A stream by itself is bound by the reading of weights, those together by multiply-adds.
func sampling() []Benchmark {
	var all []Benchmark
	for _, size := range sizes {
		for _, p := range []wavenet.Precision{wavenet.Float32, wavenet.BFloat16, wavenet.Int8} {
			c := preset(size.name).Model
			bytes := samplerBytes(c.WaveNet(), p)
			_, decoder := operations(c)
			of := func(name string) Benchmark {
				name += "/" + size.name
				if p != wavenet.Float32 {
					name += "-" + samplerTypes[p]
				}
				return Benchmark{Name: name, DType: samplerTypes[p], ISA: samplerISA(p), unit: unit{name: "samples/s", scale: 1}}
			}
			one := of("sample")
			one.Shape = fmt.Sprintf("1x%d", sampledSteps)
			one.job = hot(sampledSteps, func() func() {
				return newDrawn(size.name, p, func(s *wavenet.Sampler) []begin { return []begin{s.NewGenerator} })
			})
			one.bound, one.boundName = hot(1, reading(bytes)), "read bandwidth"
			group := of("group")
			group.Shape = fmt.Sprintf("%dx%d", wavenet.GroupSize, sampledSteps)
			group.job = hot(wavenet.GroupSize*sampledSteps, func() func() {
				return newDrawn(size.name, p, func(s *wavenet.Sampler) []begin {
					return slices.Repeat([]begin{wavenet.NewGroup(s, wavenet.GroupSize).NewGenerator}, wavenet.GroupSize)
				})
			})
			group.bound, group.boundName = bounded(samplerPeaks[p], samplerISA(p), decoder)
			pair := of("pair")
			pair.Shape = one.Shape
			pair.job = func(threads int) job {
				if threads == 1 {
					return one.job(1)
				}
				run := newDrawn(size.name, p, func(s *wavenet.Sampler) []begin { return []begin{wavenet.NewPair(s.Net(), p).NewGenerator} })
				return job{Task: functions{run}, items: 1, work: sampledSteps}
			}
			pair.bound, pair.boundName = func(threads int) job {
				j := hot(1, reading(bytes/min(threads, 2)))(min(threads, 2))
				j.work /= float64(min(threads, 2)) // each reads its part for the same step
				return j
			}, "read bandwidth"
			all = append(all, one, group, pair)
		}
	}
	return all
}

// sampledSteps is the number of steps that are drawn at a time: of whole blocks of frames of all presets.
const sampledSteps = 4096

// samplerTypes are those of the weights, and samplerPeaks of the products of a group.
var (
	samplerTypes = [...]string{wavenet.Float32: "f32", wavenet.BFloat16: "bf16", wavenet.Int8: "int8"}
	samplerPeaks = [...]string{wavenet.Float32: "f32", wavenet.BFloat16: "f32", wavenet.Int8: "int8"}
)

func samplerISA(p wavenet.Precision) string {
	if p == wavenet.Int8 {
		return int8ISA()
	}
	return vectorISA()
}

// samplerBytes is what a step reads of weights: those of the older taps once in 16 steps, or as many as the dilation if that is more than 2.
func samplerBytes(c wavenet.Config, p wavenet.Precision) int {
	each := [...]float64{wavenet.Float32: 4, wavenet.BFloat16: 2, wavenet.Int8: 1}[p]
	matrix := func(in, out int, each float64) float64 {
		if p == wavenet.Int8 {
			return float64(out) * (float64(in)*each + 8) // a scale and an offset for each column
		}
		return float64(in*out) * each
	}
	bytes := matrix(c.Skip, c.Skip, each) + matrix(c.Skip, c.Outputs(), each)
	older := each
	if p == wavenet.BFloat16 {
		older = 4 // for several steps at once
	}
	dilations := c.Dilations()
	for layer, d := range dilations {
		sums := c.Residual + c.Skip
		if layer == len(dilations)-1 {
			sums = c.Skip // nothing comes after it
		}
		bytes += matrix(c.Residual, 2*c.Residual, each) + matrix(c.Residual, sums, each)
		if d > 2 {
			bytes += matrix(c.Residual, 2*c.Residual, older) / float64(min(d, 16))
		} else {
			bytes += matrix(c.Residual, 2*c.Residual, each)
		}
	}
	return int(bytes) &^ 255 // as reading does
}

// begin begins a stream.
type begin func(v wavenet.Voice, emit func([]int32) error) *wavenet.Generator

// newDrawn returns what draws sampledSteps steps of each of some streams, which begins returns.
func newDrawn(name string, p wavenet.Precision, begins func(s *wavenet.Sampler) []begin) func() {
	m := newModel(name, dilated.Float32)
	local := floats(sampledSteps / m.Config.Hop() * m.Config.Bottleneck.Dim)
	var streams []*wavenet.Generator
	for i, begin := range begins(wavenet.NewSampler(m.Decoder, p)) {
		voice := wavenet.Voice{Global: m.Voices.Table.Value.Row(0), Drawing: wavenet.Drawing{Temperature: 1}, Uniform: rand.New(rand.NewPCG(5, uint64(i))).Float64}
		streams = append(streams, begin(voice, func([]int32) error { return nil }))
	}
	return func() {
		if len(streams) == 1 {
			streams[0].Write(local)
			return
		}
		var all sync.WaitGroup
		for _, g := range streams {
			all.Go(func() { g.Write(local) })
		}
		all.Wait()
	}
}
