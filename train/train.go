// Package train trains models, and priors over their codes: the loop, with all that it takes to run for days unattended. A training lives in a folder of
// its own, goes on bit for bit where it was interrupted, by whatever, and survives steps that go wrong.
package train

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/dilated"
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
	From   *vqvae.Model   // whose weights a new run begins with, and whose configuration is taken; nil to begin with random ones

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
	if o.From != nil {
		c.Model = o.From.Config
		c.Model.Level = 0 // that of the corpus
	}
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
	if err := f.resolve(&c.Training.Course); err != nil {
		return Progress{}, err
	}
	r, err := start(c, o, f)
	if err != nil {
		return Progress{}, err
	}
	defer r.sampler.Close()
	defer r.log.close()
	if r.model.WantsTimbres() && !r.model.HasTimbres() {
		r.sampler.timbres()
	}
	return r.train(ctx)
}

// run is a training of a model, the task of its loop.
type run struct {
	loop
	config  Config
	options Options
	sampler source
	batch   vqvae.Batch  // the last one
	losses  vqvae.Losses // of it

	// What a checkpoint holds.
	model        *vqvae.Model
	averageBooks []tensor.Tensor // the codebooks in the average, whose entries begin anew with those of the codebooks
	recent       *recent
	state        state
}

// state is the part of a checkpoint that is not tensors. Whoever reads the JSON of a checkpoint finds the history of the
// training in it.
type state struct {
	counters
	Training    Settings             `json:"training"`
	Sampler     corpora.SamplerState `json:"sampler,omitzero"` // of sound,
	Images      images.SamplerState  `json:"images,omitzero"`  // or of pictures
	Window      window               `json:"window"`
	Validations []Validation         `json:"validations"`
	Best        *Validation          `json:"best"` // nil if there is none
}

// Validation is what was found at a step.
type Validation struct {
	Step int `json:"step"`
	evaluate.Report
}

// poison is a hook of tests: it may spoil what a step has found, the gradients, and the weights.
var poison func(r *run, l vqvae.Losses) vqvae.Losses

// start begins a training, or goes on with the one in the folder.
func start(c Config, o Options, f *folder) (*run, error) {
	r := &run{loop: newLoop(c.Training.Course, f, o.Step, o.Note), config: c, options: o, recent: newRecent(c.Model.Bottleneck, c.batch()/c.Model.Hop())}
	r.task, r.at = r, &r.state.counters
	open := newSound
	if c.Model.Image != nil {
		open = newPictures
	}
	var err error
	if r.sampler, err = open(r); err != nil {
		return nil, err
	}
	if err := r.begin(); err != nil {
		r.sampler.Close()
		return nil, err
	}
	return r, nil
}

// begin makes the model, new or from the last checkpoint.
func (r *run) begin() error {
	precision, err := r.course.precision()
	if err != nil {
		return err
	}
	if r.model, err = vqvae.New(r.config.Model, r.sampler.speakers(), precision, r.draw("weights")); err != nil {
		return err
	}
	r.model.AddTimbres()
	if err := beginLoop(&r.loop, runConfig{r.config, r.sampler.corpus()}, r.sampler.speakers(), r.sampler.check); err != nil {
		return err
	}
	if r.average != nil {
		for _, b := range r.model.Codebooks() {
			r.averageBooks = append(r.averageBooks, r.average.State().Find("average."+b.Name).Value)
		}
	}
	return nil
}

// withoutEntries takes the place of the number of entries for a model without codebooks.
const withoutEntries = 512

// initialise measures features, and makes codebooks of encoder outputs, for the first batches: eight frames for each entry, about. Or it takes all from
// the model that the run is to begin with.
func (r *run) initialise() error {
	if from := r.options.From; from != nil {
		return r.model.TakeWeights(from)
	}
	frames, entries := r.config.batch()/r.config.Model.Hop(), withoutEntries
	if r.model.Quantiser != nil {
		entries = r.config.Model.Bottleneck.Entries
	}
	var first state
	r.sampler.position(&first)
	var batches []vqvae.Batch
	var inputs []tensor.Tensor
	for range (8*entries + frames - 1) / frames {
		b := clone(r.sampler.Next())
		batches, inputs = append(batches, b), append(inputs, b.Input)
	}
	defer r.arena.Reset()
	if r.model.Encoder != nil {
		r.model.Encoder.Standardise(inputs)
	}
	if err := r.model.InitialiseCodebooks(&r.arena, batches, r.draw("codebook")); err != nil {
		return err
	}
	return r.sampler.restore(first)
}

// averaged returns the weights, and the entries of codebooks that are not among them.
func (r *run) averaged() nn.Parameters {
	ps := slices.Clip(r.parameters)
	for _, b := range r.model.Codebooks() {
		if ps.Find(b.Name) == nil {
			ps = append(ps, b)
		}
	}
	return ps
}

func (r *run) tensors() nn.Parameters { return r.recent.state() }

// history returns the state as JSON.
func (r *run) history() ([]byte, error) {
	now := r.state
	now.Seconds, now.Training = r.seconds(), r.config.Training
	r.sampler.position(&now)
	return json.Marshal(now)
}

func (r *run) resume(history []byte) error {
	if err := strict(history, &r.state); err != nil {
		return err
	}
	return r.sampler.restore(r.state)
}

func (r *run) load(name string) (*stored, error) {
	f, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		return nil, err
	}
	f.Model.AddTimbres() // which a checkpoint of before has not
	return &stored{append(f.Model.Parameters(), f.Model.State()...), f.Model.Speakers.Names(), f.Training, f.State}, nil
}

func (r *run) store(name string, training []byte, state nn.Parameters) error {
	return checkpoint.Save(name, &checkpoint.File{Model: r.model, Training: training, State: state})
}

func (r *run) network() (parameters, state nn.Parameters) {
	return r.model.Parameters(), r.model.State()
}

func (r *run) compute() float64 {
	r.sampler.Next()
	r.batch = r.sampler.perturbed(r.draw("perturbation"))
	r.losses = r.model.Step(&r.arena, r.batch, r.draw("step"))
	if poison != nil {
		r.losses = poison(r, r.losses)
	}
	return r.losses.Total()
}

func (r *run) size() int { return len(r.batch.Levels) }

func (r *run) update(norm float64) {
	repairs := r.model.Update(r.draw("update"))
	r.updateAverage(repairs)
	r.recent.add(r.losses.Codes)
	r.state.Window.add(r.losses, norm, repairs.Count())
}

func (r *run) progress(p *Progress) {
	p.Perplexity, p.Used = r.recent.all()
	if !math.IsNaN(p.Loss) {
		p.KL = r.losses.KLPerFrame / math.Ln2
	}
}

func (r *run) validated() int {
	if len(r.state.Validations) == 0 {
		return 0
	}
	return r.state.Validations[len(r.state.Validations)-1].Step
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
		if err := os.MkdirAll(filepath.Join(r.folder.dir, samplesName), 0o777); err != nil {
			return err
		}
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
