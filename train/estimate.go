package train

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Estimate is what a training comes to on this machine, with the number of threads that is set. Speeds are in samples of sound a
// second, sizes in bytes, times in seconds.
type Estimate struct {
	Precision string `json:"precision"`
	Threads   int    `json:"threads"`

	// The epoch: as many samples as the training split has.
	EpochSamples int64   `json:"epoch_samples"`
	EpochSteps   float64 `json:"epoch_steps"`

	// Training: steps of the model on segments of the corpus, forwards, backwards, optimiser and all. They are of the batch of the
	// configuration, unless a few of those would take too long: then of a smaller one, which takes less memory, and somewhat longer
	// for a sample.
	Steps   int     `json:"steps"` // that were timed
	Batch   int     `json:"batch"`
	Segment int     `json:"segment"`
	Smaller bool    `json:"smaller"`
	Speed   float64 `json:"samples_per_second"`

	// Once each: a validation; a checkpoint and the best model; a set of audio samples, by the speed of sampling, 0 if none are made.
	Validation float64 `json:"validation_seconds"`
	Saving     float64 `json:"saving_seconds"`
	Sampling   float64 `json:"sampling_seconds"`

	Step       float64 `json:"step_seconds"`         // of the configuration's batch
	EpochHours float64 `json:"hours_per_epoch"`      // with validations, checkpoints and audio samples when they are due
	StepHours  float64 `json:"step_hours_per_epoch"` // of steps alone

	// Memory of the process at its peak, after training steps and a validation: what is resident, of which Mapped was then pages of
	// files, the corpus and the program, that the system takes back when it needs them. 0 where the system does not tell (other
	// than Linux).
	Memory int64 `json:"peak_resident_bytes"`
	Mapped int64 `json:"mapped_file_bytes"`

	Parameters int   `json:"parameters"`
	Checkpoint int64 `json:"checkpoint_bytes"` // of a new training; the history adds some hundred bytes with each validation
	Model      int64 `json:"model_bytes"`      // the file of the best model

	SamplerSpeed float64 `json:"sampler_samples_per_second"` // of a stream, on one core, in float32
	EncoderSpeed float64 `json:"encoder_samples_per_second"` // features included, in the best precision of this machine

	Budget *Budget `json:"budget,omitempty"` // nil if the configuration has none
}

// Budget is what the budget of a configuration means.
type Budget struct {
	Steps  float64 `json:"steps"`
	Epochs float64 `json:"epochs"`
	Hours  float64 `json:"hours"`
}

// The parts of an estimate, as shares of its time; what remains is for making the model and for saving.
const (
	stepShare   = 0.5
	otherShare  = 0.1  // validation, sampling and encoding, each
	wantedSteps = 4    // at least, the first one untimed
	probe       = 1024 // samples of the steps that tell how large the batch of others may be
)

// RunEstimate measures what a training with the configuration comes to, by running parts of it with new weights for about so many
// seconds. The model is one of sound. It works in a temporary folder, to which it writes a checkpoint, and which it removes. Errors are those of [Run].
func RunEstimate(ctx context.Context, c Config, cache *corpora.Cache, seconds float64) (*Estimate, error) {
	dir, err := os.MkdirTemp("", "vqaudio-estimate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return runEstimate(ctx, c, cache, seconds, dir)
}

func runEstimate(ctx context.Context, c Config, cache *corpora.Cache, seconds float64, dir string) (*Estimate, error) {
	if c.Model.Image != nil {
		return nil, errors.New("a model of pictures: estimates are of trainings on sound")
	}
	if c.Model.Level == 0 {
		c.Model.Level = cache.Level()
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.resolve(&c.Training.Course); err != nil {
		return nil, err
	}
	r, err := start(c, Options{Corpus: cache, Out: dir}, f)
	if err != nil {
		return nil, err
	}
	defer r.log.close()
	defer func() { r.sampler.Close() }() // the last one

	e := &Estimate{Precision: c.Training.Precision, Threads: parallel.Threads(), Parameters: r.parameters.Count()}
	for _, u := range cache.Utterances() {
		if u.Split == corpora.Train {
			e.EpochSamples += u.Samples
		}
	}
	limit := func(share float64) time.Duration { return time.Duration(share * seconds * float64(time.Second)) }
	if err := e.save(r); err != nil {
		return nil, err
	}
	if err := e.train(ctx, r, limit(stepShare)); err != nil {
		return nil, err
	}
	if err := e.validate(ctx, r, limit(otherShare)); err != nil {
		return nil, err
	}
	e.Memory, e.Mapped = residentMemory()
	if err := e.draw(ctx, r, limit(otherShare)); err != nil {
		return nil, err
	}
	if err := e.encode(ctx, r, limit(otherShare)); err != nil {
		return nil, err
	}
	e.sum(c)
	return e, nil
}

// save times saving, and takes the sizes of the files.
func (e *Estimate) save(r *run) error {
	r.saved = -1 // again: that of step 0 is there
	began := time.Now()
	if err := errors.Join(r.save(), r.saveBest()); err != nil {
		return err
	}
	e.Saving = time.Since(began).Seconds()
	for name, size := range map[string]*int64{r.folder.checkpoint(0): &e.Checkpoint, filepath.Join(r.folder.dir, BestName): &e.Model} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		*size = info.Size()
	}
	return nil
}

// resize makes the batches of a training so large from now on.
func (r *run) resize(batch, segment int) error {
	s, err := newSoundOf(r, batch, segment)
	if err != nil {
		return err
	}
	r.sampler.Close()
	r.sampler = s
	return nil
}

// train times steps: short ones first, that tell how large a batch may be.
func (e *Estimate) train(ctx context.Context, r *run, limit time.Duration) error {
	s, hop := r.config.Training, r.config.Model.Hop()
	short := min(s.Segment, (probe+hop-1)/hop*hop)
	e.Batch, e.Segment = s.Batch, s.Segment
	if err := r.resize(1, short); err != nil {
		return err
	}
	var last time.Duration
	for range 2 {
		began := time.Now()
		if err := errors.Join(ctx.Err(), r.step()); err != nil {
			return err
		}
		last = time.Since(began)
	}
	if most := int(float64(short) * float64(limit) / float64(wantedSteps) / float64(last)); most < s.Batch*s.Segment {
		e.Batch, e.Smaller = max(1, most/s.Segment), true
		if most < s.Segment {
			e.Segment = max(short, most/hop*hop)
		}
	}
	if err := r.resize(e.Batch, e.Segment); err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), r.step()); err != nil { // buffers grow
		return err
	}
	began := time.Now()
	for e.Steps < wantedSteps-1 || time.Since(began) < limit {
		if err := errors.Join(ctx.Err(), r.step()); err != nil {
			return err
		}
		e.Steps++
	}
	e.Speed = float64(e.Steps) * float64(e.Batch*e.Segment) / time.Since(began).Seconds()
	return nil
}

// validate times batches of a validation, of shorter crops if training is of smaller batches.
func (e *Estimate) validate(ctx context.Context, r *run, limit time.Duration) error {
	o := r.validation()
	crops := 0
	for _, u := range r.options.Corpus.Utterances() {
		if u.Split == corpora.Valid {
			crops += int(u.Samples / int64(o.Crop))
		}
	}
	if o.Crops > 0 {
		crops = min(crops, o.Crops)
	}
	const batch = 4 // as a validation has them
	all := float64(crops-crops%batch) * float64(o.Crop)
	if o.Batch, o.Crops = batch, batch; e.Smaller {
		o.Crop = min(o.Crop, e.Segment)
	}
	measured := 0.0
	var spent time.Duration
	for first := true; measured == 0 || spent < limit; first = false {
		began := time.Now()
		if _, err := evaluate.NLL(ctx, r.model, r.options.Corpus, o); err != nil {
			return err
		}
		if took := time.Since(began); !first || took > limit { // buffers grow
			spent += took
			measured += float64(batch * o.Crop)
		}
	}
	e.Validation = spent.Seconds() * all / measured
	return nil
}

// errEnough ends sampling.
var errEnough = errors.New("enough")

// draw times the sampler.
func (e *Estimate) draw(ctx context.Context, r *run, limit time.Duration) error {
	m := r.model.With(dilated.Float32)
	voice := wavenet.Voice{Drawing: wavenet.Drawing{Temperature: 1}, Uniform: rand.New(rand.NewPCG(r.config.Training.Seed, 0)).Float64}
	if m.Voices != nil {
		voice.Global = m.Voices.Table.Value.Row(0)
	}
	vectors := m.Latent(&r.arena, r.batch.Input).Vectors
	defer r.arena.Reset()
	precision, err := wavenet.ParsePrecision("auto")
	if err != nil {
		return err
	}
	s := wavenet.NewSampler(m.Decoder, precision)
	steps, began := 0, time.Now()
	g := s.NewGenerator(voice, func(drawn []int32) error {
		if steps += len(drawn); time.Since(began) >= limit {
			return errEnough
		}
		return ctx.Err()
	})
	for {
		if err := g.Write(vectors.Data); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			return err
		}
	}
	e.SamplerSpeed = float64(steps) / time.Since(began).Seconds()
	return nil
}

// encode times the encoder, with what it sees of sound, on a second of it at a time.
func (e *Estimate) encode(ctx context.Context, r *run, limit time.Duration) error {
	precision, err := dilated.ParsePrecision("auto")
	if err != nil {
		return err
	}
	hop := r.config.Model.Hop()
	samples, source := make([]float32, (r.config.Model.Rate+hop-1)/hop*hop), r.sampler.(*sound)
	segments := source.sampler.Next().Samples
	for i := range samples {
		samples[i] = segments[i%len(segments)]
	}
	b, stream := source.front.NewBatch(1, len(samples)), vqvae.NewStream(r.model.With(precision))
	n, began := 0, time.Now()
	for n == 0 || time.Since(began) < limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		source.front.Fill(&b, samples)
		stream.Write(b.Input.Data)
		n += len(samples)
	}
	stream.Close()
	e.EncoderSpeed = float64(n) / time.Since(began).Seconds()
	return nil
}

// sum works out what follows from what was measured.
func (e *Estimate) sum(c Config) {
	s := c.Training
	batch := float64(s.Batch) * float64(s.Segment)
	e.EpochSteps = float64(e.EpochSamples) / batch
	e.Step = batch / e.Speed
	if s.SampleEvery > 0 {
		sounds := float64(sampled)
		if c.Model.Decoder.Speaker > 0 {
			sounds *= 2 // conversions
		}
		at := min(float64(e.Threads), sounds)
		e.Sampling = sounds * sampleSeconds * float64(c.Model.Rate) / e.SamplerSpeed / at
	}
	each := e.Step + e.Saving/float64(s.SaveEvery)
	if s.ValidateEvery > 0 {
		each += e.Validation / float64(s.ValidateEvery)
	}
	if s.SampleEvery > 0 {
		each += e.Sampling / float64(s.SampleEvery)
	}
	e.StepHours, e.EpochHours = e.EpochSteps*e.Step/3600, e.EpochSteps*each/3600
	steps := float64(s.Steps)
	if s.Minutes > 0 && (steps == 0 || 60*s.Minutes/each < steps) {
		steps = 60 * s.Minutes / each
	}
	if steps > 0 {
		e.Budget = &Budget{Steps: steps, Epochs: steps / e.EpochSteps, Hours: steps * each / 3600}
	}
}

// residentMemory returns what was resident of the process at its peak, and what is now of files, in bytes; 0 where Linux does not
// tell it.
func residentMemory() (peak, mapped int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for text := range bytes.Lines(status) {
		fields := bytes.Fields(text)
		if len(fields) != 3 {
			continue
		}
		kilobytes, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(fields[0]) {
		case "VmHWM:":
			peak = 1024 * kilobytes
		case "RssFile:":
			mapped = 1024 * kilobytes
		}
	}
	return peak, mapped
}
