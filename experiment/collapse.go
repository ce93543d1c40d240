// Package experiment runs experiments that show what a model does, as a student would: trainings that differ in one thing, the
// figures of each, a plot, and what came out in words.
//
// [Collapse] is about posterior collapse. With a decoder that is strong enough to predict sound by itself, a variational
// autoencoder may learn to say nothing about its input: each frame costs its divergence from the prior, and where the decoder gains
// less by it than it costs, training takes it to zero. A codebook has no such choice, as the divergence of a code from a uniform
// prior is log K whatever it says (van den Oord et al., arXiv 1711.00937, section 3.1). Whether that happens depends on data,
// decoder and budget; what did is reported.
package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
)

// Kinds are the bottlenecks that [RunCollapse] compares, in the order in which it trains them. Each has the folder of its name.
var Kinds = []string{vqvae.VAE, vqvae.VQ, vqvae.None}

// Options say what [RunCollapse] works with.
type Options struct {
	Corpus *corpora.Cache
	Out    string // the folder of the experiment

	Begin func(kind string, c train.Config) // called before the training of a kind; may be nil
	Step  func(train.Progress)              // as of train.Options; may be nil
	Note  func(text string)                 // likewise
}

// Collapse is what [RunCollapse] has found.
type Collapse struct {
	Config train.Config `json:"config"` // of all runs, but for the kind of bottleneck and the budget
	Runs   []Run        `json:"runs"`   // of all Kinds, in their order
}

// Run is the training of one kind.
type Run struct {
	Kind        string             `json:"kind"`
	Steps       int                `json:"steps"`
	Minutes     float64            `json:"minutes"`     // spent
	Validations []train.Validation `json:"validations"` // at the same steps for all kinds; at least one
	// Test is of the best model of the run, on the test split, on as many crops as the others; nil if there is no batch of them.
	Test *train.Validation `json:"test"`
}

// RunCollapse trains a model of each of Kinds with a configuration that differs in that alone, on the same segments, each in an
// ordinary folder of [train.Run] below o.Out. The budget is of each; if it is one of time, the first kind spends it, and the
// others train as many steps as it did. Interrupted, and called again, it goes on where it was. Errors are those of train.Run and
// [evaluate.NLL].
func RunCollapse(ctx context.Context, c train.Config, o Options) (*Collapse, error) {
	if c.Training.Steps == 0 && c.Training.Minutes == 0 {
		return nil, fmt.Errorf("a budget of 0 steps and 0 minutes: want one")
	}
	found := &Collapse{Config: c}
	for _, kind := range Kinds {
		c.Model.Bottleneck.Kind = kind
		if o.Begin != nil {
			o.Begin(kind, c)
		}
		dir := filepath.Join(o.Out, kind)
		reached, err := train.Run(ctx, c, train.Options{Corpus: o.Corpus, Out: dir, Step: o.Step, Note: o.Note})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		if reached.Step == 0 {
			return nil, fmt.Errorf("%s: the budget was spent before the first step", kind)
		}
		c.Training.Steps, c.Training.Minutes = reached.Step, 0 // of the others
		r := Run{Kind: kind, Steps: reached.Step, Minutes: reached.Seconds / 60}
		if r.Validations, err = train.ReadValidations(dir); err != nil {
			return nil, err
		}
		if r.Test, err = test(ctx, dir, c, o.Corpus); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		found.Runs = append(found.Runs, r)
	}
	found.keepCommon()
	if len(found.Runs[0].Validations) == 0 {
		return nil, errors.New("there is no step at which a validation of every kind gave numbers")
	}
	return found, nil
}

// test measures the best model of the run in dir on the test split, on as many crops as validation has; nil if the split has not
// got a batch of them.
func test(ctx context.Context, dir string, c train.Config, cache *corpora.Cache) (*train.Validation, error) {
	s := c.Training
	precision, err := dilated.ParsePrecision(s.Precision)
	if err != nil {
		return nil, err
	}
	f, err := checkpoint.Load(filepath.Join(dir, train.BestName), precision)
	if err != nil {
		return nil, err
	}
	var v train.Validation
	if err := json.Unmarshal(f.Training, &v); err != nil { // the step
		return nil, fmt.Errorf("the state of training in %s of %s: %w", train.BestName, dir, err)
	}
	o := evaluate.Options{Split: corpora.Test, Crop: s.ValidationCrop, Crops: s.ValidationCrops, Noise: rand.NewPCG(s.Seed, 0)}
	if evaluate.Check(f.Model, cache, o) != nil {
		return nil, nil // the rest of what it checks, training has
	}
	v.Report, err = evaluate.NLL(ctx, f.Model, cache, o)
	return &v, err
}

// keepCommon leaves the validations at steps at which all runs were validated: an earlier, smaller budget may have ended with one
// that others lack.
func (c *Collapse) keepCommon() {
	runs := map[int]int{}
	for _, r := range c.Runs {
		for _, v := range r.Validations {
			runs[v.Step]++
		}
	}
	for i := range c.Runs {
		r := &c.Runs[i]
		r.Validations = slices.DeleteFunc(r.Validations, func(v train.Validation) bool { return runs[v.Step] < len(c.Runs) })
	}
}
