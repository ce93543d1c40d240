package train

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Config is all that a training is made from, but for the corpus.
type Config struct {
	Model    vqvae.Config `json:"model"`
	Training Settings     `json:"training"`
}

// Course is how any training goes: budget, optimiser, and when to look, and to save.
type Course struct {
	// The budget, over all starts of the training. It may be changed when a training goes on.
	Steps   int     `json:"steps"`   // 0 is no limit
	Minutes float64 `json:"minutes"` // spent in training, validation and saving; 0 is no limit

	Seed  uint64 `json:"seed"`
	Batch int    `json:"batch"` // segments of a step, pictures, or sequences of codes

	// The optimiser is Adam. Its rate rises over the steps of WarmUp, and from then on halves every Halve steps; 0 keeps it.
	LearningRate float64 `json:"learning_rate"`
	WarmUp       int     `json:"warm_up"`
	Halve        int     `json:"halve"`
	Clip         float64 `json:"clip"`    // the norm of all gradients together is scaled down to this
	Average      float64 `json:"average"` // decay of the average of weights that is validated and kept as the best; 0 is none

	// Precision of products: "float32", "bfloat16", or "auto": bfloat16 where the processor is faster with it.
	Precision string `json:"precision"`

	LogEvery      int `json:"log_every"`      // steps from one line of training to the next
	ValidateEvery int `json:"validate_every"` // steps from one validation to the next; 0 validates at the end only
	SaveEvery     int `json:"save_every"`     // steps from one checkpoint to the next
	Keep          int `json:"keep"`           // checkpoints that are kept, the last ones, at least 2
}

// Settings say how a model is trained.
type Settings struct {
	Course

	Segment int `json:"segment,omitempty"` // samples of a segment, a multiple of the model's hop; 0 for pictures

	// What the model sees of a segment is perturbed: see [frontend.Perturbation]. 0 is not at all: for pictures all are.
	Warp   float64 `json:"warp"`
	Colour float64 `json:"colour"` // dB
	Hiss   float64 `json:"hiss"`
	Noise  float64 `json:"noise"`

	ValidationCrop  int `json:"validation_crop,omitempty"` // samples of a crop, a multiple of the model's hop; 0 for pictures
	ValidationCrops int `json:"validation_crops"`          // crops, or pictures, at most, evenly spread over the split; 0 is all
	SampleEvery     int `json:"sample_every"`              // steps from one set of samples, sound or pictures, to the next, a multiple of ValidateEvery; 0 makes none
}

//go:embed presets/*.json priors/*.json
var presets embed.FS

// Presets returns the names of the presets, those of sound from small to large, then that of pictures.
func Presets() []string {
	return []string{"tiny", "small", "base", "voices", "large", "paper", "image"}
}

// Preset returns a configuration by its name. Those of the name are files in the folder presets of this package.
func Preset(name string) (Config, error) {
	if !slices.Contains(Presets(), name) {
		return Config{}, fmt.Errorf("no preset %q: there are %s", name, strings.Join(Presets(), ", "))
	}
	data, err := presets.ReadFile("presets/" + name + ".json")
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(data)
}

// ParseConfig reads a configuration as JSON. A key that is not known is an error.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	err := strict(data, &c)
	return c, err
}

// strict reads JSON into v. A key that is not known is an error.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more text behind the JSON")
	}
	return nil
}

// maxBatchSamples is the largest number of samples of a batch.
const maxBatchSamples = 1 << 26

// Check returns what is wrong with the configuration.
func (c Config) Check() error {
	s, pictures := c.Training, c.Model.Image != nil
	if pictures { // whose size may still be open; none is smaller
		c.Model = c.Model.Sized(c.Model.Image.Stride(), c.Model.Image.Stride(), 1)
	}
	if err := c.Model.Check(); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	least, longest := 1.0, float64(maxSegment)
	if pictures {
		least, longest = 0, 0
	}
	if err := s.Course.check(); err != nil {
		return err
	}
	if err := inRange([]limit{
		{"segment", float64(s.Segment), least, longest},
		{"validation_crop", float64(s.ValidationCrop), least, longest},
		{"validation_crops", float64(s.ValidationCrops), 0, many},
		{"sample_every", float64(s.SampleEvery), 0, many},
	}); err != nil {
		return err
	}
	for _, v := range []struct {
		name  string
		value int
	}{{"segment", s.Segment}, {"validation_crop", s.ValidationCrop}} {
		if hop := c.Model.Hop(); v.value%hop != 0 {
			return fmt.Errorf("training.%s %d: want a multiple of the model's hop of %d, as %d is", v.name, v.value, hop, (v.value+hop-1)/hop*hop)
		}
	}
	if samples := c.batch() / s.Batch; samples > maxBatchSamples/s.Batch {
		what := "training.segment"
		if pictures {
			what = "pictures with samples"
		}
		return fmt.Errorf("training.batch %d of %s %d: want at most %d samples in all", s.Batch, what, samples, maxBatchSamples)
	}
	if s.SampleEvery > 0 && (s.ValidateEvery == 0 || s.SampleEvery%s.ValidateEvery != 0) {
		return fmt.Errorf("training.sample_every %d: want a multiple of training.validate_every, which is %d", s.SampleEvery, s.ValidateEvery)
	}
	if !pictures {
		if _, err := frontend.New(c.Model); err != nil {
			return fmt.Errorf("model: %w", err)
		}
	}
	if err := s.perturbation().Check(c.Model); err != nil {
		return fmt.Errorf("training.%w", err)
	}
	return nil
}

// The limits of settings.
const (
	many       = 1 << 40
	maxSegment = 1 << 24
)

// limit is what a setting may be.
type limit struct {
	name            string
	value, min, max float64
}

// inRange returns which setting is not.
func inRange(list []limit) error {
	for _, v := range list {
		if !(v.value >= v.min && v.value <= v.max) {
			return fmt.Errorf("training.%s %v: want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	return nil
}

// check returns what is wrong.
func (s Course) check() error {
	if err := inRange([]limit{
		{"steps", float64(s.Steps), 0, many},
		{"minutes", s.Minutes, 0, many},
		{"batch", float64(s.Batch), 1, 1 << 12},
		{"learning_rate", s.LearningRate, 0, 1},
		{"warm_up", float64(s.WarmUp), 0, many},
		{"halve", float64(s.Halve), 0, many},
		{"clip", s.Clip, math.SmallestNonzeroFloat32, math.MaxFloat32},
		{"average", s.Average, 0, 1},
		{"log_every", float64(s.LogEvery), 1, many},
		{"validate_every", float64(s.ValidateEvery), 0, many},
		{"save_every", float64(s.SaveEvery), 1, many},
		{"keep", float64(s.Keep), 2, many},
	}); err != nil {
		return err
	}
	_, err := s.precision()
	return err
}

// batch is the number of samples of a batch.
func (c Config) batch() int {
	if c.Model.Image != nil {
		return c.Training.Batch * c.Model.Image.Samples()
	}
	return c.Training.Batch * c.Training.Segment
}

// precision returns what Precision stands for on this machine.
func (s Course) precision() (dilated.Precision, error) {
	p, err := dilated.ParsePrecision(s.Precision)
	if err != nil {
		err = fmt.Errorf("training.%w", err)
	}
	return p, err
}

// perturbation is that of what the model sees.
func (s Settings) perturbation() frontend.Perturbation {
	return frontend.Perturbation{Warp: s.Warp, Colour: s.Colour, Hiss: s.Hiss, Noise: s.Noise}
}

// schedule is the rate of learning by step.
func (s Course) schedule() nn.Schedule {
	after := nn.Constant(s.LearningRate)
	if s.Halve > 0 {
		after = nn.Exponential(s.LearningRate, 0.5, s.Halve)
	}
	return nn.WarmUp(s.WarmUp, after)
}
