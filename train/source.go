package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
)

// source is what differs between a training on sound and one on pictures: where its batches come from, and what it is validated
// on. All else, the loop and its folder, knows but levels and tensors.
type source interface {
	Next() vqvae.Batch                     // the next batch, until the one after
	perturbed(src rand.Source) vqvae.Batch // the same, as the model is to see it, once
	Close()
	timbres() // measures those of the speakers, if the model wants any

	corpus() corpusConfig
	speakers() []string
	position(*state)     // takes note of where the batches stand
	restore(state) error // goes on from there

	check() error // what validation would begin with
	validate(ctx context.Context) (evaluate.Report, error)
	sample(ctx context.Context) error // shows what has become of some of the validation split
}

// sound is a source.
type sound struct {
	*run
	cache   *corpora.Cache
	sampler *corpora.Sampler
	front   *frontend.Frontend
	room    vqvae.Batch
}

func newSound(r *run) (source, error) {
	return newSoundOf(r, r.config.Training.Batch, r.config.Training.Segment)
}

// newSoundOf returns a source of batches of so many segments, of so many samples.
func newSoundOf(r *run, batch, segment int) (source, error) {
	cache, c := r.options.Corpus, r.config
	if cache == nil {
		return nil, fmt.Errorf("a model of sound, and no corpus of it")
	}
	if cache.Rate() != c.Model.Rate {
		return nil, fmt.Errorf("the corpus is at %d Hz, the model at %d Hz: prepare the corpus at that rate, or set model.rate", cache.Rate(), c.Model.Rate)
	}
	front, err := frontend.New(c.Model)
	if err != nil {
		return nil, err
	}
	sampler, err := corpora.NewSampler(cache, corpora.SamplerConfig{Split: corpora.Train, Segment: segment, Batch: batch, Seed: c.Training.Seed})
	if err != nil {
		return nil, err
	}
	return &sound{r, cache, sampler, front, front.NewBatch(batch, segment)}, nil
}

func (s *sound) Next() vqvae.Batch {
	next := s.sampler.Next()
	s.front.Fill(&s.room, next.Samples)
	copy(s.room.Speakers, next.Speakers)
	return s.room
}

func (s *sound) perturbed(src rand.Source) vqvae.Batch {
	s.front.Perturb(&s.room, s.config.Training.perturbation(), src)
	return s.room
}

func (s *sound) Close() { s.sampler.Close() }

// timbreSeconds is how much speech of a speaker is measured.
const timbreSeconds = 30

func (s *sound) timbres() {
	of := make([][]int, len(s.speakers())) // the first utterances of each
	left := make([]int64, len(of))
	for id := range left {
		left[id] = int64(timbreSeconds * s.cache.Rate())
	}
	for i, u := range s.cache.Utterances() {
		if u.Split == corpora.Train && left[u.SpeakerID] > 0 {
			of[u.SpeakerID] = append(of[u.SpeakerID], i)
			left[u.SpeakerID] -= u.Samples
		}
	}
	timbres := make([]vqvae.Timbre, len(of))
	parallel.For(len(of), func(id int) {
		var clips [][]float32
		for _, i := range of[id] {
			clip := make([]float32, min(s.cache.Utterances()[i].Samples, int64(timbreSeconds*s.cache.Rate())))
			s.cache.Read(clip, i, 0)
			clips = append(clips, clip)
		}
		if len(clips) > 0 {
			timbres[id] = s.front.Timbre(s.model, clips...)
		}
	})
	s.model.SetTimbres(timbres)
}

func (s *sound) corpus() corpusConfig {
	c := corpusConfig{Checksum: s.sampler.State().Cache, Utterances: len(s.cache.Utterances()), Speakers: len(s.cache.Speakers())}
	for _, u := range s.cache.Utterances() {
		c.Samples += u.Samples
	}
	return c
}

func (s *sound) speakers() []string { return s.cache.Speakers() }

func (s *sound) position(at *state) { at.Sampler = s.sampler.State() }

func (s *sound) restore(at state) error { return s.sampler.Restore(at.Sampler) }

func (s *sound) check() error { return evaluate.Check(s.model, s.cache, s.validation()) }

func (s *sound) validate(ctx context.Context) (evaluate.Report, error) {
	return evaluate.NLL(ctx, s.model, s.cache, s.validation())
}

// clone returns a batch that stays.
func clone(b vqvae.Batch) vqvae.Batch {
	b.Levels, b.Speakers = slices.Clone(b.Levels), slices.Clone(b.Speakers)
	b.Input.Data = slices.Clone(b.Input.Data)
	return b
}
