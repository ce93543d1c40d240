// Package pretrained holds a model of speech and a prior over its units, trained by this project with its own commands, so that
// programs can encode, convert and generate without a file. README.md beside it, which is [About], says how they were trained, on
// what, and under which licences they may be passed on.
package pretrained

import (
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
)

// About says where the model and the prior come from, in Markdown: commands, corpora, licences, figures.
//
//go:embed README.md
var About string

var (
	//go:embed model.safetensors
	model []byte
	//go:embed prior.safetensors
	prior []byte
)

//go:embed nll.json
var nll []byte

// Likelihood returns what "vqaudio evaluate nll --json" says of the model on the test split of the corpora that it was trained on.
func Likelihood() (r evaluate.Report, err error) { return r, json.Unmarshal(nll, &r) }

//go:embed voices.tsv
var voices string

// AboutVoice is what is known of a speaker of the model: "woman, 24", or "" for a name that is none of theirs.
func AboutVoice(name string) string {
	for line := range strings.Lines(voices) {
		if known, about, found := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); found && known == name {
			return about
		}
	}
	return ""
}

// Voices are the speakers that a demo speaks as: three of those with most speech in the corpora, 75 to 94 s each.
var Voices = []string{"so762-0563", "so762-0739", "so762-0306"}

// Names of the model and of the prior for people, where files have theirs.
const (
	ModelName = "the built-in model"
	PriorName = "the built-in prior"
)

// Model returns the model, which computes in the precision given.
func Model(precision dilated.Precision) (*checkpoint.File, error) {
	return checkpoint.Read(model, ModelName, precision)
}

// Prior returns the prior over the units of [Model].
func Prior(precision dilated.Precision) (*checkpoint.Prior, error) {
	return checkpoint.ReadPrior(prior, PriorName, precision)
}
