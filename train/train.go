// Package train trains models: the loop, with all that it takes to run for days unattended. A training lives in a folder of
// its own, goes on bit for bit where it was interrupted, by whatever, and survives steps that go wrong.
package train

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Options say what [Run] works with.
type Options struct {
	Corpus *corpora.Cache // for a model of sound
	Images *images.Corpus // for one of pictures
	Out    string         // the folder of the run

	Step func(Progress)    // called after every step; may be nil
	Note func(text string) // called with what has happened, a line without its end; may be nil
}

// Progress is where a training stands. Samples of pictures are channels of pixels.
type Progress struct {
	Step       int
	Loss       float64 // of the step; NaN if it was skipped
	Perplexity float64 // of the codes of the last steps; 0 for a model without codes
	Used       int     // different ones among them
	KL         float64 // of the step, in bits per frame; 0 if it was skipped, and unless the bottleneck is a variational autoencoder's
	Samples    int64   // trained on, over all starts
	Seconds    float64 // spent, over all starts
	Saved      int     // the step of the last checkpoint
}

// Run trains until the budget of the configuration is spent, and returns where the training then stands. A model whose level
// is not set is of that of the corpus, and one of pictures whose size is left open of that of the pictures. If o.Out holds a run
// it goes on: with the same configuration and corpus, and then everything but the time it takes is as if it had never been
// interrupted. With another configuration (budget and number of checkpoints apart) the error is a *[ConfigError], with
// another corpus a *[CorpusError], while another program trains there [ErrBusy]; then nothing has been changed.
//
// When ctx is cancelled, Run finishes the step, saves, and returns ctx.Err(). Where something cannot be written it stops with
// an error; the last checkpoint that could be written stays, and a training can go on from there.
func Run(ctx context.Context, c Config, o Options) (Progress, error) {
	if i := o.Images; c.Model.Image == nil && c.Model.Level == 0 && o.Corpus != nil {
		c.Model.Level = o.Corpus.Level()
	} else if i != nil && i.Train != nil {
		c.Model = c.Model.Sized(i.Train.Height, i.Train.Width, i.Train.Channels)
	}
	if err := c.Check(); err != nil {
		return Progress{}, err
	}
	f, err := openFolder(o.Out)
	if err != nil {
		return Progress{}, err
	}
	defer f.close()
	if err := f.resolve(&c.Training); err != nil {
		return Progress{}, err
	}
	r, err := start(c, o, f)
	if err != nil {
		return Progress{}, err
	}
	defer r.sampler.Close()
	defer r.log.close()
	err = r.loop(ctx)
	if err != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("step %d: %w; the last checkpoint is that of step %d", r.state.Step, err, r.saved)
	}
	return r.progress(math.NaN()), err
}

// run is a training that goes on.
type run struct {
	config     Config
	options    Options
	folder     *folder
	sampler    source
	arena      tensor.Arena
	random     *rand.ChaCha8 // seeded anew for each use: see draw
	batch      vqvae.Batch   // the last one
	schedule   nn.Schedule
	log        *log
	saved      int       // step of the last checkpoint, -1 if there is none
	savedLines int       // of the metrics that it knows
	began      time.Time // of this start

	// What a checkpoint holds.
	model        *vqvae.Model
	parameters   nn.Parameters
	adam         *nn.Adam
	average      *nn.Average     // nil without
	averageBooks []tensor.Tensor // the codebooks in it, whose entries begin anew with those of the codebooks
	recent       *recent
	state        state
}

// state is the part of a checkpoint that is not tensors. Whoever reads the JSON of a checkpoint finds the history of the
// training in it.
type state struct {
	Step        int                  `json:"step"`
	Samples     int64                `json:"samples"`
	Seconds     float64              `json:"seconds"` // spent before this start; in a checkpoint, until it
	Training    Settings             `json:"training"`
	Sampler     corpora.SamplerState `json:"sampler,omitzero"` // of sound,
	Images      images.SamplerState  `json:"images,omitzero"`  // or of pictures
	Lines       int                  `json:"lines"`            // of the metrics
	Guard       guard                `json:"guard"`
	Window      window               `json:"window"`
	Validations []Validation         `json:"validations"`
	Best        *Validation          `json:"best"` // nil if there is none
}

// Validation is what was found at a step.
type Validation struct {
	Step int `json:"step"`
	evaluate.Report
}

// validated is the last step that was validated.
func (s *state) validated() int {
	if len(s.Validations) == 0 {
		return 0
	}
	return s.Validations[len(s.Validations)-1].Step
}

// loop trains until the budget is spent. While steps are skipped there is neither validation nor checkpoint: the weights may
// be the reason.
func (r *run) loop(ctx context.Context) error {
	s := r.config.Training
	for {
		step, good := r.state.Step, r.state.Guard.Bad == 0
		validate, save := s.ValidateEvery > 0 && step%s.ValidateEvery == 0 && r.state.validated() < step, step%s.SaveEvery == 0
		if good && (validate || save) {
			if err := r.checkWeights(); err != nil {
				return err
			}
		}
		if good && validate {
			if err := r.validate(ctx); err != nil {
				return r.stop(ctx, err)
			}
		}
		if save {
			if err := r.save(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return r.stop(ctx, ctx.Err())
		}
		if s.Steps > 0 && step >= s.Steps || s.Minutes > 0 && r.seconds() >= 60*s.Minutes {
			break
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	if r.state.Guard.Bad == 0 && r.state.validated() < r.state.Step {
		if err := r.validate(ctx); err != nil {
			return r.stop(ctx, err)
		}
	}
	return r.save()
}

// stop saves if err comes from the cancelling of ctx, and returns it.
func (r *run) stop(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if failed := r.save(); failed != nil {
			return failed
		}
	}
	return err
}

// poison is a hook of tests: it may spoil what a step has found, the gradients, and the weights.
var poison func(r *run, l vqvae.Losses) vqvae.Losses

// step trains on the next batch.
func (r *run) step() error {
	defer r.arena.Reset()
	r.sampler.Next()
	r.batch = r.sampler.perturbed(r.draw("perturbation"))
	r.parameters.ZeroGrad()
	losses := r.model.Step(&r.arena, r.batch, r.draw("step"))
	if poison != nil {
		losses = poison(r, losses)
	}
	norm := nn.ClipGlobalNorm(r.parameters, r.config.Training.Clip)
	rate := r.schedule(r.state.Step) * r.state.Guard.scale()
	r.state.Step++
	r.state.Samples += int64(len(r.batch.Levels))

	loss := losses.Total()
	why := r.state.Guard.check(loss, norm)
	if why == "" {
		r.adam.Step(rate)
		repairs := r.model.Update(r.draw("update"))
		r.updateAverage(repairs)
		r.recent.add(losses.Codes)
		r.state.Window.add(losses, norm, repairs.Count())
	} else {
		loss = math.NaN()
		if err := r.survive(why); err != nil {
			return err
		}
	}
	if err := r.watchCodebooks(); err != nil {
		return err
	}
	if r.state.Step%r.config.Training.LogEvery == 0 {
		if err := r.logTraining(rate); err != nil {
			return err
		}
	}
	if r.options.Step != nil {
		p := r.progress(loss)
		if why == "" {
			p.KL = losses.KLPerFrame / math.Ln2
		}
		r.options.Step(p)
	}
	return nil
}

// draw returns the source of random numbers for a purpose in the present step. It depends on the seed, the step and the
// purpose alone: so a checkpoint need hold no generator. The next call ends it.
func (r *run) draw(purpose string) rand.Source {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], r.config.Training.Seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(r.state.Step))
	copy(key[16:], purpose)
	r.random.Seed(key)
	return r.random
}

// seconds is the time spent, over all starts.
func (r *run) seconds() float64 { return r.state.Seconds + time.Since(r.began).Seconds() }

func (r *run) progress(loss float64) Progress {
	perplexity, used := r.recent.all()
	return Progress{
		Step: r.state.Step, Loss: loss, Perplexity: perplexity, Used: used, Samples: r.state.Samples, Seconds: r.seconds(), Saved: r.saved,
	}
}

// validate measures the model on the validation split, with averaged weights if there are any, and keeps it if it is the best.
func (r *run) validate(ctx context.Context) error {
	s := r.config.Training
	if r.average != nil {
		r.average.SwapIn()
		defer r.average.SwapOut()
	}
	report, err := r.sampler.validate(ctx)
	if err != nil {
		return err
	}
	v := Validation{r.state.Step, report}
	if sum := v.True + v.Shuffled + v.Constant + v.WrongSpeaker + v.KL + v.Sampled; math.IsNaN(sum) || math.IsInf(sum, 0) {
		r.note("step %d: validation gives %v nats per sample", v.Step, sum)
		return nil
	}
	if s.SampleEvery > 0 && r.state.Step%s.SampleEvery == 0 {
		if err := r.sampler.sample(ctx); err != nil {
			return err
		}
	}
	better := r.state.Best == nil || r.score(v) < r.score(*r.state.Best)
	if better {
		best := v
		r.state.Best = &best
	}
	r.state.Validations = append(r.state.Validations, v)
	if better {
		if err := r.saveBest(); err != nil {
			return err
		}
	}
	latent := ""
	if v.WrongSpeaker != 0 { // of a model that has two speakers
		latent = fmt.Sprintf(", wrong speaker %.3f", v.WrongSpeaker)
	}
	switch r.config.Model.Bottleneck.Kind {
	case vqvae.VQ:
		latent += fmt.Sprintf(", perplexity %.0f, %d of %d codes", v.Perplexity, v.Used, v.Entries)
	case vqvae.VAE:
		latent += fmt.Sprintf(", KL %.2f bits per frame", v.KL)
	}
	if v.Bits != nil {
		latent += fmt.Sprintf(", %.3f bits/dim and %.3f of codes", v.Bits.Reconstruction, v.Bits.Codes)
	}
	r.note("step %d: validation %.3f nats per sample, shuffled %.3f, constant %.3f%s", v.Step, v.True, v.Shuffled, v.Constant, latent)
	return r.logValidation(v)
}

// score is what the best validation has least of: the nats per sample, with those of the latent variables as the loss has them when
// their weight has risen. Without, the best would be from before it had.
func (r *run) score(v Validation) float64 {
	return v.True + r.config.Model.Bottleneck.KL*v.KL*math.Ln2/float64(r.config.Model.Hop())
}

// validation is what a validation goes over.
func (r *run) validation() evaluate.Options {
	s := r.config.Training
	return evaluate.Options{Split: corpora.Valid, Crop: s.ValidationCrop, Crops: s.ValidationCrops, Noise: r.draw("validation"), Arena: &r.arena}
}

func (r *run) note(format string, args ...any) {
	if r.options.Note != nil {
		r.options.Note(fmt.Sprintf(format, args...))
	}
}
