// Package vqaudio encodes speech to discrete units, says what a recording says in another voice, and generates speech-like sound
// from nothing, with a model that is part of the package, or one that "vqaudio train" has made. It works on whole clips in memory.
// The packages below it have what it is made of, piece by piece: convolutions, the quantiser, WaveNet and its samplers, training.
//
// The model is a VQ-VAE (van den Oord et al. 2017, arXiv 1711.00937): an encoder and a codebook turn sound into units, a WaveNet
// turns units into sound, in the voice of any of its speakers. A second WaveNet, the prior, predicts units from those before.
package vqaudio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	goaudio "github.com/go-audio/audio"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/pretrained"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Clip is sound of one channel.
type Clip struct {
	Samples []float64 // from -1 to 1
	Rate    int       // in Hz
}

// Seconds is the length of the clip.
func (c Clip) Seconds() float64 { return float64(len(c.Samples)) / float64(c.Rate) }

// ReadClip reads a WAV, FLAC or MP3 file, and mixes its channels. Errors are those of [audio.Open].
func ReadClip(name string) (Clip, error) {
	r, err := audio.Open(name)
	if err != nil {
		return Clip{}, err
	}
	defer r.Close()
	return ReadSource(r)
}

// ReadSource reads a source to its end, and mixes its channels.
func ReadSource(src audio.Source) (Clip, error) {
	b, err := audio.ReadAll(audio.Mono(src))
	if err != nil {
		return Clip{}, err
	}
	return Clip{b.Data, b.Format.SampleRate}, nil
}

// Source returns the clip as a source of samples.
func (c Clip) Source() audio.Source {
	return audio.FromBuffer(&goaudio.FloatBuffer{Format: &audio.Format{NumChannels: 1, SampleRate: c.Rate}, Data: c.Samples})
}

// Resample returns the clip at another rate, in Hz. Errors are of rates that cannot be had.
func (c Clip) Resample(rate int) (Clip, error) {
	src, err := audio.Resample(c.Source(), rate)
	if err != nil {
		return Clip{}, err
	}
	return ReadSource(src)
}

// WAV returns the clip as a WAV file of 16 bits. Samples beyond full scale are clipped.
func (c Clip) WAV() ([]byte, error) {
	var b bytes.Buffer
	w, err := audio.NewWriter(&b, audio.Format{NumChannels: 1, SampleRate: c.Rate}, audio.PCM16, int64(len(c.Samples)))
	if err != nil {
		return nil, err
	}
	err = errors.Join(w.Write(c.Samples), w.Close())
	return b.Bytes(), err
}

// WriteFile writes the clip as a WAV file of 16 bits, whole or not at all.
func (c Clip) WriteFile(name string) error {
	w, err := audio.Create(name, audio.Format{NumChannels: 1, SampleRate: c.Rate}, audio.PCM16)
	if err != nil {
		return err
	}
	defer w.Discard()
	if err := w.Write(c.Samples); err != nil {
		return err
	}
	return w.Close()
}

// Model encodes and speaks. It may be used by several goroutines at once.
type Model struct {
	VQVAE *vqvae.Model
	Prior *prior.Prior // nil if there is none

	front   *frontend.Frontend
	weights func() *wavenet.Sampler // of the decoder, packed when first asked for
}

// Default returns the model that is part of this package, with its prior: see package pretrained.
func Default() (*Model, error) {
	f, err := pretrained.Model(dilated.Float32)
	if err != nil {
		return nil, err
	}
	p, err := pretrained.Prior(dilated.Float32)
	if err != nil {
		return nil, err
	}
	return New(f, p, pretrained.ModelName)
}

// Open loads a model of sound with units, and a prior over these, from their files (package checkpoint). The name of the prior may be empty: then
// the model does not [Model.Generate].
func Open(model, prior string) (*Model, error) {
	f, err := checkpoint.Load(model, dilated.Float32)
	if err != nil {
		return nil, err
	}
	var p *checkpoint.Prior
	if prior != "" {
		if p, err = checkpoint.LoadPrior(prior, dilated.Float32); err != nil {
			return nil, err
		}
	}
	return New(f, p, model)
}

// New returns the model of a file, with the prior of another, which may be nil. Errors call it name.
func New(f *checkpoint.File, p *checkpoint.Prior, name string) (*Model, error) {
	m := &Model{VQVAE: f.Model}
	config := f.Model.Config
	switch {
	case config.Image != nil:
		return nil, fmt.Errorf("%s is a model of pictures, not of sound", name)
	case config.Bottleneck.Codes() == 0:
		return nil, fmt.Errorf("%s has no units: its bottleneck is %q", name, config.Bottleneck.Kind)
	}
	var err error
	if m.front, err = frontend.New(config); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p != nil {
		m.Prior = p.Prior
		if _, err := m.Prior.Config.For(config, checkpoint.Fingerprint(f.Model)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	precision, err := wavenet.ParsePrecision("auto")
	if err != nil {
		return nil, err
	}
	m.weights = sync.OnceValue(func() *wavenet.Sampler { return wavenet.NewSampler(f.Model.Decoder, precision) })
	return m, nil
}

// Rate is the rate of what the model speaks, in Hz.
func (m *Model) Rate() int { return m.VQVAE.Config.Rate }

// UnitRate is the number of units in a second.
func (m *Model) UnitRate() float64 { return float64(m.Rate()) / float64(m.VQVAE.Config.Hop()) }

// Voices returns the names of the speakers of the model; none for a model with one voice for all.
func (m *Model) Voices() []string {
	if m.VQVAE.Voices == nil {
		return nil
	}
	return m.VQVAE.Speakers.Names()
}

// Encode returns the units of a clip, UnitRate in a second, each from 0 to the number of the model's codes less one. It is brought to the level that
// the model was trained at first. The last unit is of what is left, with silence behind it. Errors are of rates that cannot be had.
func (m *Model) Encode(c Clip) ([]int32, error) {
	units, _, err := m.encode(c, m.asIs)
	return units, err
}

// asIs hears a recording as it is.
func (m *Model) asIs(*frontend.Recording) (*vqvae.Model, float64) { return m.VQVAE, 1 }

// encode encodes a clip with the model that hear returns. Gain is the factor that brings what is spoken back to the clip's level.
func (m *Model) encode(c Clip, hear func(*frontend.Recording) (*vqvae.Model, float64)) (units []int32, gain float64, err error) {
	r, err := m.recording(c)
	if err != nil {
		return nil, 0, err
	}
	model, louder := hear(r)
	encoder := frontend.NewEncoder(m.front, model)
	err = audio.Copy(r, func(block []float64) error {
		units = append(units, encoder.Write(block).Codes...)
		return nil
	})
	units = append(units, encoder.Close().Codes...)
	return units, 1 / r.Gain / louder, err
}

// recording returns a clip as the model takes it.
func (m *Model) recording(c Clip) (*frontend.Recording, error) {
	src, err := audio.Resample(c.Source(), m.Rate())
	if err != nil {
		return nil, err
	}
	level := m.VQVAE.Config.Level
	if level == 0 { // none that it was trained at
		level = math.NaN()
	}
	return frontend.NewRecording(src, level)
}

// nearestSeconds is how much of a clip, where it is loudest, [Model.Nearest] listens to.
const nearestSeconds = 0.4

// Nearest returns the voice of the model in which a clip is likeliest, and its negative log-likelihood then, in nats per sample: both by the 0.4 s of
// it that are loudest. It is an error if the clip is shorter, or if the model has one voice for all.
func (m *Model) Nearest(c Clip) (voice string, nll float64, err error) {
	r, err := m.recording(c)
	if err != nil {
		return "", 0, err
	}
	clip, err := ReadSource(r)
	if err != nil {
		return "", 0, err
	}
	hop := m.VQVAE.Config.Hop()
	n := int(nearestSeconds*float64(m.Rate())) / hop * hop
	if names := m.Voices(); len(names) == 0 || n == 0 || len(clip.Samples) < n {
		return "", 0, fmt.Errorf("%.2f s of sound, %d voices: want %v s, and a voice", clip.Seconds(), len(names), nearestSeconds)
	}
	at, most := 0, -1.0
	for from := 0; from+n <= len(clip.Samples); from += hop {
		power := 0.0
		for _, x := range clip.Samples[from : from+n] {
			power += x * x
		}
		if power > most {
			at, most = from, power
		}
	}
	samples := make([]float32, n)
	for i := range samples {
		samples[i] = float32(clip.Samples[at+i])
	}
	b := m.front.NewBatch(1, n)
	m.front.Fill(&b, samples)
	var a tensor.Arena
	vectors := m.VQVAE.Latent(&a, b.Input).Vectors
	nll = math.Inf(1)
	for id, name := range m.Voices() {
		mark := a.Mark()
		if l := m.VQVAE.NLL(&a, b.Levels, 1, vectors, []int32{int32(id)}); l < nll {
			voice, nll = name, l
		}
		a.Release(mark)
	}
	if voice == "" {
		return "", 0, errors.New("the sound is not all of finite numbers")
	}
	return voice, nll, nil
}

// Utterance is what a model is to speak.
type Utterance struct {
	Units []int32
	Voice string  // a speaker of the model, or a mixture, NAME:WEIGHT,NAME:WEIGHT; "" for a model with one voice for all
	Gain  float64 // what samples are multiplied by; 0 is 1
	Seed  uint64  // of what is drawn: the same one gives the same sound
}

// Reconstructed returns a clip as an utterance in the voice of a speaker, the clip's own, or one that is near it ([Model.Nearest]): the units of the clip
// as it is, and the gain that gives the clip's level.
func (m *Model) Reconstructed(c Clip, voice string) (Utterance, error) {
	units, gain, err := m.encode(c, m.asIs)
	return Utterance{Units: units, Voice: voice, Gain: gain}, err
}

// Converted returns a clip as an utterance in the voice of a speaker: the units of the clip, which is given the timbre of the speaker first
// ([vqvae.Timbre]) so that they tell less of who spoke, and the gain that gives the clip's level.
func (m *Model) Converted(c Clip, voice string) (Utterance, error) {
	if m.VQVAE.Voices == nil {
		return m.Reconstructed(c, voice)
	}
	mix, err := m.VQVAE.Speakers.Mix(voice)
	if err != nil {
		return Utterance{}, err
	}
	hear := m.asIs
	if m.VQVAE.HasTimbres() {
		hear = func(r *frontend.Recording) (*vqvae.Model, float64) {
			return r.Adapt(m.front, m.VQVAE, m.VQVAE.Timbre(mix))
		}
	}
	units, gain, err := m.encode(c, hear)
	return Utterance{Units: units, Voice: voice, Gain: gain}, err
}

// Convert says what a clip says in the voice of a speaker, at the clip's level and as long as it is.
func (m *Model) Convert(c Clip, voice string) (Clip, error) {
	u, err := m.Converted(c, voice)
	if err != nil {
		return Clip{}, err
	}
	spoken, err := m.Decode(u)
	if err != nil {
		return Clip{}, err
	}
	spoken.Samples = spoken.Samples[:min(len(spoken.Samples), int(math.Ceil(c.Seconds()*float64(m.Rate()))))]
	return spoken, nil
}

// Decode speaks an utterance.
func (m *Model) Decode(u Utterance) (spoken Clip, err error) {
	err = m.Speak(context.Background(), []Utterance{u}, func(_ int, c Clip) { spoken = c })
	return spoken, err
}

// Speak speaks utterances together, on all cores, which is faster than one after the other and gives the same sound. It hands
// each to spoken, in any order, by one goroutine at a time. It returns an error if ctx is cancelled, or the first one that an utterance has: its voice or
// units are none of the model's.
func (m *Model) Speak(ctx context.Context, utterances []Utterance, spoken func(i int, c Clip)) error {
	voices := make([]wavenet.Voice, len(utterances))
	for i, u := range utterances {
		var err error
		if voices[i], err = m.voice(u); err != nil {
			return fmt.Errorf("utterance %d: %w", i, err)
		}
	}
	var mu sync.Mutex
	var failed error
	next := 0
	work := func(d interface {
		NewGenerator(v wavenet.Voice, emit func(steps []int32) error) *wavenet.Generator
	}) {
		for {
			mu.Lock()
			i := next
			next++
			mu.Unlock()
			if i >= len(utterances) {
				return
			}
			c := Clip{Rate: m.Rate()}
			gain := utterances[i].Gain
			if gain == 0 {
				gain = 1
			}
			if len(utterances[i].Units) == 0 {
				mu.Lock()
				spoken(i, c)
				mu.Unlock()
				continue
			}
			var samples []float32
			g := d.NewGenerator(voices[i], func(levels []int32) error {
				samples = append(samples[:0], make([]float32, len(levels))...)
				m.front.Samples(samples, levels)
				for _, x := range samples {
					c.Samples = append(c.Samples, float64(x)*gain)
				}
				return ctx.Err()
			})
			err := g.Write(m.VQVAE.Embed(new(tensor.Arena), utterances[i].Units, 1).Data)
			if err == nil {
				err = g.Close()
			}
			mu.Lock()
			if err == nil {
				spoken(i, c)
			} else {
				g.Leave()
				failed = err
			}
			mu.Unlock()
		}
	}
	if len(utterances) == 1 {
		work(m.weights().Another())
		return failed
	}
	var wait sync.WaitGroup
	group := wavenet.NewGroup(m.weights(), wavenet.GroupSize)
	for core := range min(parallel.Threads(), len(utterances)) {
		g := group
		if core > 0 {
			g = group.Another()
		}
		for range wavenet.GroupSize {
			wait.Go(func() { work(g) })
		}
	}
	wait.Wait()
	return failed
}

// voice returns how an utterance is drawn.
func (m *Model) voice(u Utterance) (wavenet.Voice, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%d", u.Seed))
	v := wavenet.Voice{Drawing: wavenet.Drawing{Temperature: 1}, Uniform: rand.New(rand.NewChaCha8(key)).Float64}
	for i, unit := range u.Units {
		if codes := m.VQVAE.Config.Bottleneck.Codes(); unit < 0 || int(unit) >= codes {
			return v, fmt.Errorf("unit %d is %d: want 0 to %d", i, unit, codes-1)
		}
	}
	switch {
	case m.VQVAE.Voices == nil && u.Voice != "":
		return v, fmt.Errorf("voice %q: the model has one voice for all", u.Voice)
	case m.VQVAE.Voices != nil:
		mix, err := m.VQVAE.Speakers.Mix(u.Voice)
		if err != nil {
			return v, err
		}
		v.Global = m.VQVAE.Voice(mix)
	}
	return v, nil
}

// Generate draws units for so many seconds from the prior, told the voice if the prior knows it: an utterance that nobody has spoken.
func (m *Model) Generate(voice string, seconds float64, seed uint64) (Utterance, error) {
	if m.Prior == nil {
		return Utterance{}, errors.New("the model was opened without a prior")
	}
	const most = 3600 // seconds
	if !(seconds > 0 && seconds <= most) {
		return Utterance{}, fmt.Errorf("%v seconds: want more than 0, and at most %d", seconds, most)
	}
	id := m.Prior.Nobody()
	if m.Prior.Speakers.Has(voice) {
		var err error
		if id, err = m.Prior.Speakers.ID(voice); err != nil {
			return Utterance{}, err
		}
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%d units", seed))
	g := m.Prior.NewGenerator(id, wavenet.Drawing{Temperature: 1}, rand.New(rand.NewChaCha8(key)).Float64)
	u := Utterance{Units: make([]int32, int(math.Ceil(seconds*m.UnitRate()))), Voice: voice, Seed: seed}
	for i := range u.Units {
		u.Units[i] = g.Next()
	}
	return u, nil
}
