package train

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/tensor"
)

const (
	sampled       = 3   // utterances, each with its reconstruction and its conversion
	sampleSeconds = 2.5 // of each, at most
)

// sample writes what has become of a few utterances of the validation split: spread evenly over it, the same every time. For
// each there are the original, the decoder's voice for what the bottleneck leaves of it with its own speaker, and with the speaker that is half the
// table further on. Each is a WAV file and a picture, in the folder samples and for TensorBoard.
func (r *sound) sample(ctx context.Context) error {
	cache := r.cache
	var valid []int
	for i, u := range cache.Utterances() {
		if u.Split == corpora.Valid {
			valid = append(valid, i)
		}
	}
	chosen := make([]int, min(sampled, len(valid)))
	for i := range chosen {
		chosen[i] = valid[i*len(valid)/len(chosen)]
	}

	type sound struct {
		name    string
		vectors tensor.Tensor // [frames, D]
		codes   []int32       // nil if the model has none
		speaker int32         // that is to speak; -1 is the original
		levels  []int32
		seed    [32]byte
	}
	var sounds []*sound
	hop := r.config.Model.Hop()
	random := rand.New(r.draw("samples"))
	for n, i := range chosen {
		u := cache.Utterances()[i]
		length := min(int(u.Samples), int(sampleSeconds*float64(cache.Rate()))) / hop * hop
		if length == 0 {
			continue
		}
		samples, batch := make([]float32, length), r.front.NewBatch(1, length)
		cache.Read(samples, i, 0)
		r.front.Fill(&batch, samples)
		latent := r.model.Latent(&r.arena, batch.Input)
		vectors, codes := tensor.From(slices.Clone(latent.Vectors.Data), length/hop, latent.Vectors.Channels()), slices.Clone(latent.Codes)
		r.arena.Reset()
		speakers := int32(len(cache.Speakers()))
		others := []*sound{{"original", vectors, codes, -1, batch.Levels, [32]byte{}}, {"reconstruction", vectors, codes, u.SpeakerID, nil, [32]byte{}}}
		if r.model.Voices != nil && speakers > 1 {
			others = append(others, &sound{"conversion", vectors, codes, (u.SpeakerID + speakers/2) % speakers, nil, [32]byte{}})
		}
		for _, s := range others {
			s.name = fmt.Sprintf("%d-%s", n, s.name)
			for i := range s.seed {
				s.seed[i] = byte(random.Uint32())
			}
			sounds = append(sounds, s)
		}
	}

	failed, voice := make([]error, len(sounds)), evaluate.NewReconstruction(r.model)
	parallel.For(len(sounds), func(i int) {
		s := sounds[i]
		if s.speaker < 0 {
			return
		}
		s.levels, failed[i] = voice.Draw(ctx, s.vectors, s.speaker, 1, rand.NewChaCha8(s.seed))
	})
	for i, s := range sounds {
		if failed[i] != nil {
			return failed[i]
		}
		if err := r.writeSample(s.name, s.levels, s.codes); err != nil {
			return err
		}
	}
	return r.log.events.flush()
}

// writeSample writes a sound and its picture.
func (r *sound) writeSample(name string, levels, codes []int32) error {
	rate := r.config.Model.Rate
	samples, block := make([]float32, len(levels)), make([]float64, len(levels))
	r.front.Samples(samples, levels)
	for i, x := range samples {
		block[i] = float64(x)
	}
	var wav, drawn bytes.Buffer
	w, err := audio.NewWriter(&wav, audio.Format{NumChannels: 1, SampleRate: rate}, audio.PCM16, int64(len(block)))
	if err != nil {
		return err
	}
	if err := w.Write(block); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	const width, height = 900, 520
	p, err := picture.New(rate, picture.Options{Width: width, Height: height, Title: fmt.Sprintf("%s, step %d", name, r.state.Step)})
	if err != nil {
		return err
	}
	p.Add(block)
	var units *picture.Codes
	if codes != nil {
		units = &picture.Codes{Units: codes, Rate: float64(rate) / float64(r.config.Model.Hop())}
	}
	if err := png.Encode(&drawn, p.Draw(units)); err != nil {
		return err
	}
	file := filepath.Join(r.folder.dir, samplesName, fmt.Sprintf("step-%08d-%s", r.state.Step, name))
	if err := files.Write(file+".wav", wav.Bytes()); err != nil {
		return err
	}
	if err := files.Write(file+".png", drawn.Bytes()); err != nil {
		return err
	}
	r.log.events.audio(r.state.Step, "samples/"+name, rate, len(levels), wav.Bytes())
	r.log.events.image(r.state.Step, "samples/"+name, width, height, drawn.Bytes())
	return nil
}
