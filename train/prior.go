package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/codes"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/vqvae"
)

// PriorConfig is all that the training of a prior is made from, but for model and corpus.
type PriorConfig struct {
	Prior    prior.Config  `json:"prior"` // model, rate, hop and codes may be open: they become those of the model
	Training PriorSettings `json:"training"`
}

// PriorSettings say how a prior is trained: a batch is sequences of codes.
type PriorSettings struct {
	Course

	Length int     `json:"length"` // codes of a sequence
	Hidden float64 `json:"hidden"` // share of sequences of which the prior is not told who speaks
	Noise  float64 `json:"noise"`  // share of codes that the prior sees as others, drawn as often as they occur
	Decay  float64 `json:"decay"`  // of all weights: each step takes off the rate of learning times this share
}

// PriorPresets returns the names of the presets of priors, from small to large.
func PriorPresets() []string { return []string{"tiny", "small", "base"} }

// PriorPreset returns a configuration by its name: a file in the folder priors of this package.
func PriorPreset(name string) (PriorConfig, error) {
	var c PriorConfig
	if !slices.Contains(PriorPresets(), name) {
		return c, fmt.Errorf("no preset %q: there are %s", name, strings.Join(PriorPresets(), ", "))
	}
	data, err := presets.ReadFile("priors/" + name + ".json")
	if err == nil {
		err = strict(data, &c)
	}
	return c, err
}

// Check returns what is wrong with the configuration.
func (c PriorConfig) Check() error {
	s := c.Training
	p := c.Prior
	if p.Model == "" { // still open
		p.Model, p.Rate, p.Hop, p.Codes = "0000000000000000", 1, 1, 2
	}
	if err := p.Check(); err != nil {
		return fmt.Errorf("prior: %w", err)
	}
	if err := s.Course.check(); err != nil {
		return err
	}
	if err := inRange([]limit{
		{"length", float64(s.Length), 1, maxSegment},
		{"hidden", s.Hidden, 0, 1},
		{"noise", s.Noise, 0, 1},
		{"decay", s.Decay, 0, 100},
	}); err != nil {
		return err
	}
	if s.Length > maxBatchSamples/s.Batch {
		return fmt.Errorf("training.batch %d of training.length %d: want at most %d codes in all", s.Batch, s.Length, maxBatchSamples)
	}
	return nil
}

// ReadPriorConfig is [ReadConfig] for the run of a prior.
func ReadPriorConfig(dir string) (PriorConfig, error) {
	c, err := readConfig[priorRunConfig](dir)
	return c.PriorConfig, err
}

// priorRunConfig is what config.json holds.
type priorRunConfig struct {
	PriorConfig
	Corpus corpusConfig `json:"corpus"`
}

func (c priorRunConfig) parts() (any, corpusConfig) { return c.PriorConfig, c.Corpus }

// PriorOptions say what [RunPrior] works with.
type PriorOptions struct {
	Model  *vqvae.Model // whose codes
	Corpus *corpora.Cache
	Out    string // the folder of the run

	Step   func(Progress)        // called after every step; may be nil
	Note   func(text string)     // called with what has happened, a line without its end; may be nil
	Encode func(done, total int) // called after each utterance while the corpus is being encoded, from any goroutine, one at a time; may be nil
}

// CodesName is the name of the codes of the corpus in the folder of the run of a prior.
const CodesName = "codes.safetensors"

// RunPrior is [Run] for a prior over the codes of a model: the train split of the corpus is what it learns, the valid split says which weights are
// best. The corpus is encoded first, unless the folder holds its codes. It is an error if there is no prior over the codes of the
// model ([prior.Config.For]). Samples of [Progress] are codes.
func RunPrior(ctx context.Context, c PriorConfig, o PriorOptions) (Progress, error) {
	fingerprint := checkpoint.Fingerprint(o.Model)
	var err error
	if c.Prior, err = c.Prior.For(o.Model.Config, fingerprint); err != nil {
		return Progress{}, err
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
	r, err := startPrior(ctx, c, o, f)
	if err != nil {
		return Progress{}, err
	}
	defer r.log.close()
	return r.train(ctx)
}

// priorRun is a training of a prior, the task of its loop.
type priorRun struct {
	loop
	config  PriorConfig
	sampler *prior.Sampler
	valid   []prior.Utterance
	batch   prior.Batch
	loss    float64 // of it, in nats per code

	prior *prior.Prior
	state priorState
}

// priorState is the part of a checkpoint that is not tensors.
type priorState struct {
	counters
	Training    PriorSettings     `json:"training"`
	Next        uint64            `json:"next"` // number of the next batch
	Window      priorWindow       `json:"window"`
	Validations []PriorValidation `json:"validations"`
	Best        *PriorValidation  `json:"best"` // nil if there is none
}

// PriorValidation is what was found at a step.
type PriorValidation struct {
	Step int `json:"step"`
	prior.Report
}

// priorWindow sums up steps for the next line.
type priorWindow struct {
	Steps int     `json:"steps"` // that were not skipped
	Loss  float64 `json:"loss"`
	Norm  float64 `json:"norm"`
}

// priorLine is about the steps since the one before.
type priorLine struct {
	Step         int     `json:"step"`
	Loss         float64 `json:"loss"` // in nats per code
	Bits         float64 `json:"bits"` // the same in bits per code
	Norm         float64 `json:"gradient_norm"`
	LearningRate float64 `json:"learning_rate"` // of the last step
	Codes        int64   `json:"codes"`         // trained on so far
	Seconds      float64 `json:"seconds"`
}

// priorValidationLine is a validation.
type priorValidationLine struct {
	Step       int             `json:"step"`
	Validation PriorValidation `json:"validation"`
	Best       bool            `json:"best"` // so far
	Seconds    float64         `json:"seconds"`
}

// startPrior begins a training, or goes on with the one in the folder.
func startPrior(ctx context.Context, c PriorConfig, o PriorOptions, f *folder) (*priorRun, error) {
	r := &priorRun{loop: newLoop(c.Training.Course, f, o.Step, o.Note), config: c}
	r.task, r.at, r.decay = r, &r.state.counters, c.Training.Decay
	speakers := codes.Speakers(o.Corpus, corpora.Train)
	if c.Prior.Speaker == 0 {
		speakers = nil
	}
	precision, err := r.course.precision()
	if err != nil {
		return nil, err
	}
	if r.prior, err = prior.New(c.Prior, speakers, precision, r.draw("weights")); err != nil {
		return nil, err
	}
	if o.Corpus.Rate() != c.Prior.Rate {
		return nil, fmt.Errorf("the corpus is at %d Hz, the model at %d Hz", o.Corpus.Rate(), c.Prior.Rate)
	}
	corpus := corpusConfig{Checksum: o.Corpus.Checksum(), Utterances: len(o.Corpus.Utterances()), Speakers: len(o.Corpus.Speakers())}
	for _, u := range o.Corpus.Utterances() {
		corpus.Samples += u.Samples
	}
	has := func(split string) bool { return len(codes.Speakers(o.Corpus, split)) > 0 }
	if !has(corpora.Train) {
		return nil, errors.New("the corpus has no utterances in the split train")
	}
	err = beginLoop(&r.loop, priorRunConfig{c, corpus}, speakers, func() error {
		if !has(corpora.Valid) {
			return errors.New("the corpus has no utterances in the split valid")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := r.encode(ctx, o); err != nil {
		r.log.close()
		return nil, err
	}
	r.began = time.Now() // encoding is no training
	return r, nil
}

// encode makes the sequences to train on, at the batch where the training stands, and those of validation.
func (r *priorRun) encode(ctx context.Context, o PriorOptions) error {
	all, err := codes.Of(ctx, filepath.Join(r.folder.dir, CodesName), o.Model, r.config.Prior.Model, o.Corpus, func(text string) { r.note("%s", text) }, o.Encode)
	if err != nil {
		return err
	}
	s := r.config.Training
	r.sampler, err = prior.NewSampler(all.Split(o.Corpus, corpora.Train, r.prior.Speakers), prior.SamplerConfig{
		Length: s.Length, Batch: s.Batch, Seed: s.Seed, Nobody: r.prior.Nobody(), Hidden: s.Hidden, Noise: s.Noise,
	})
	if err != nil {
		return err
	}
	r.sampler.Restore(r.state.Next)
	r.valid = all.Split(o.Corpus, corpora.Valid, r.prior.Speakers)
	return nil
}

func (r *priorRun) network() (parameters, state nn.Parameters) { return r.prior.Parameters(), nil }

func (r *priorRun) averaged() nn.Parameters { return r.parameters }

func (r *priorRun) initialise() error { return nil }

func (r *priorRun) tensors() nn.Parameters { return nil }

func (r *priorRun) compute() float64 {
	r.batch = r.sampler.Next()
	r.loss = r.prior.LossGradient(&r.arena, r.batch)
	return r.loss
}

func (r *priorRun) size() int { return len(r.batch.Codes) }

func (r *priorRun) update(norm float64) {
	if r.average != nil {
		r.average.Update()
	}
	w := &r.state.Window
	w.Steps++
	w.Loss += r.loss
	w.Norm += norm
}

func (r *priorRun) watch() error { return nil }

func (r *priorRun) progress(*Progress) {}

func (r *priorRun) logTraining(rate float64) error {
	w := r.state.Window
	r.state.Window = priorWindow{}
	if w.Steps == 0 {
		return nil
	}
	n := float64(w.Steps)
	t := priorLine{r.state.Step, w.Loss / n, w.Loss / n / math.Ln2, w.Norm / n, rate, r.state.Samples, r.seconds()}
	r.log.events.scalars(t.Step, map[string]float64{"train/bits": t.Bits, "train/gradient_norm": t.Norm, "train/learning_rate": t.LearningRate})
	return r.write(t)
}

func (r *priorRun) validated() int {
	if len(r.state.Validations) == 0 {
		return 0
	}
	return r.state.Validations[len(r.state.Validations)-1].Step
}

// validate measures the prior on the validation split, with averaged weights if there are any, and keeps it if it is the best.
func (r *priorRun) validate(ctx context.Context) error {
	if r.average != nil {
		r.average.SwapIn()
		defer r.average.SwapOut()
	}
	report, err := prior.Measure(ctx, r.prior, r.valid, &r.arena, nil)
	if err != nil {
		return err
	}
	v := PriorValidation{r.state.Step, report}
	if sum := v.Prior + v.Nobody; math.IsNaN(sum) || math.IsInf(sum, 0) {
		r.note("step %d: validation gives %v bits per code", v.Step, sum)
		return nil
	}
	better := r.state.Best == nil || v.Prior < r.state.Best.Prior
	if better {
		r.state.Best = &v
	}
	r.state.Validations = append(r.state.Validations, v)
	if better {
		if err := r.saveBest(); err != nil {
			return err
		}
	}
	unnamed := ""
	if r.prior.Voices != nil {
		unnamed = fmt.Sprintf(", %.3f without names of speakers", v.Nobody)
	}
	r.note("step %d: validation %.3f bits per code%s", v.Step, v.Prior, unnamed)
	r.log.events.scalars(v.Step, map[string]float64{"validation/bits": v.Prior, "validation/nobody": v.Nobody})
	return r.write(priorValidationLine{v.Step, v, better, r.seconds()})
}

func (r *priorRun) history() ([]byte, error) {
	now := r.state
	now.Seconds, now.Training = r.seconds(), r.config.Training
	if r.sampler != nil { // otherwise it stands where it was restored to be
		now.Next = r.sampler.Position()
	}
	return json.Marshal(now)
}

func (r *priorRun) resume(history []byte) error { return strict(history, &r.state) }

func (r *priorRun) load(name string) (*stored, error) {
	f, err := checkpoint.LoadPrior(name, dilated.Float32)
	if err != nil {
		return nil, err
	}
	return &stored{f.Prior.Parameters(), f.Prior.Speakers.Names(), f.Training, f.State}, nil
}

func (r *priorRun) store(name string, training []byte, state nn.Parameters) error {
	return checkpoint.SavePrior(name, &checkpoint.Prior{Prior: r.prior, Training: training, State: state})
}
