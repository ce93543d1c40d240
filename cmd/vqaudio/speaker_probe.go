package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
)

func speakerProbeCommand() *cli.Command {
	return &cli.Command{
		Name:      "probe",
		Usage:     "how much of the voice is there in the units of a model?",
		ArgsUsage: "MODEL",
		Description: "Trains a small network to tell the speakers of the training split from their units alone, and prints how often it is\n" +
			"right on the test split. Good units tell what is said and not who says it: near chance, 1 over the number of\n" +
			"speakers, is best; the share of the commonest speaker is what guessing gives. For a conversion, what units tell of\n" +
			"the voice is in the way.\n\n" +
			"   vqaudio speaker probe model.safetensors --corpus vctk.cache",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "test on the utterances of `SPLIT`: train, valid, test, or all"},
			stepsFlag(),
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw weights and crops with the `SEED`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number (default: all cores)"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runSpeakerProbe,
	}
}

// voiceProbe is what --json prints.
type voiceProbe struct {
	Model  string `json:"model"`
	Corpus string `json:"corpus"`
	Split  string `json:"split"`
	evaluate.Accuracy
}

func runSpeakerProbe(c *cli.Context) error {
	const example = "vqaudio speaker probe model.safetensors --corpus CACHE"
	if c.NArg() != 1 || c.String("corpus") == "" {
		return &usageError{errors.New("want one model, and --corpus"), example}
	}
	if c.Int("steps") < 0 {
		return &usageError{fmt.Errorf("--steps %d: want 1 or more", c.Int("steps")), example}
	}
	split, err := splitOf(c, example)
	if err != nil {
		return err
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	f, model, err := loadSound(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	cache, err := corpora.OpenCache(c.String("corpus"))
	if err != nil {
		return err
	}
	defer cache.Close()
	progress := newPhases(c.App.ErrWriter)
	defer progress.Done()
	a, err := evaluate.ProbeVoice(c.Context, f.Model, cache, split,
		evaluate.Learning{Steps: c.Int("steps"), Seed: c.Uint64("seed"), Progress: progress.Tell})
	if err != nil {
		return err
	}
	progress.Done()
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(voiceProbe{model, c.String("corpus"), split, a})
	}
	t := &lines{out: c.App.Writer}
	t.accuracy("speakers by units alone", a)
	return t.err
}
