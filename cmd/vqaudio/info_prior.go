package main

import (
	"encoding/json"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/train"
)

// priorInfo is what --json prints of a prior.
type priorInfo struct {
	File           string               `json:"file"`
	Fingerprint    string               `json:"fingerprint"`
	Config         prior.Config         `json:"config"`
	CodeRate       float64              `json:"code_rate"`       // codes in a second
	Field          int                  `json:"receptive_field"` // codes
	ParameterCount int                  `json:"parameter_count"`
	Speakers       []string             `json:"speakers"`
	Training       *priorTrainingRecord `json:"training"` // null if the file holds the prior alone
}

// priorTrainingRecord is what package train leaves in a checkpoint of a prior for those who want to know.
type priorTrainingRecord struct {
	Step        int                     `json:"step"`
	Codes       int64                   `json:"samples"`
	Seconds     float64                 `json:"seconds"`
	Training    train.PriorSettings     `json:"training"`
	Validations []train.PriorValidation `json:"validations"`
	Best        *train.PriorValidation  `json:"best"`
}

// tellPrior is info for a prior.
func tellPrior(c *cli.Context, f *checkpoint.Prior, name string) error {
	config := f.Prior.Config
	info := &priorInfo{
		File: name, Fingerprint: checkpoint.PriorFingerprint(f.Prior), Config: config, CodeRate: config.CodeRate(), Field: config.WaveNet().ReceptiveField(),
		ParameterCount: f.Prior.Parameters().Count(), Speakers: f.Prior.Speakers.Names(),
	}
	if f.Training != nil {
		if err := json.Unmarshal(f.Training, &info.Training); err != nil {
			return &files.FormatError{File: name, Offset: 8, Found: "training: " + err.Error(), Expected: "the state of a training of this version"}
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(info)
	}
	t := &lines{out: c.App.Writer}
	t.line("prior       %s, fingerprint %s", shown(name), info.Fingerprint)
	t.line("codes       of the model %s: %d different ones, %.1f a second", shown(config.Model), config.Codes, info.CodeRate)
	t.line("net         WaveNet of residual %d, skip %d, %d x %d layers; a code depends on the %d codes (%.2f s) before it",
		config.Residual, config.Skip, config.Cycles, config.Layers, info.Field, float64(info.Field)/info.CodeRate)
	t.line("parameters  %d", info.ParameterCount)
	if len(info.Speakers) > 0 {
		names := shownAll(info.Speakers)
		if !c.Bool("speakers") {
			names = few(names)
		}
		t.line("speakers    %d, a vector of %d channels each: %s", len(info.Speakers), config.Speaker, strings.Join(names, ", "))
	}
	if r := info.Training; r != nil {
		t.line("training    %s, %.1f million codes, %.1f minutes, in %s", count(r.Step, "step"), float64(r.Codes)/1e6, r.Seconds/60, shown(r.Training.Precision))
		t.line("            batches of %d x %d codes, learning rate %g, seed %d", r.Training.Batch, r.Training.Length, r.Training.LearningRate, r.Training.Seed)
		for _, v := range spread(r.Validations, mostValidations) {
			best := " "
			if r.Best != nil && v.Step == r.Best.Step {
				best = "*"
			}
			t.line(" %s %8d  %.4f bits per code, %.4f without names, %.1f bit/s", best, v.Step, v.Prior, v.Nobody, v.Prior*v.Rate)
		}
	}
	return t.err
}
