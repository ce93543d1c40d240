package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
)

func evaluateConversionCommand() *cli.Command {
	return &cli.Command{
		Name:      "conversion",
		Usage:     "is a conversion taken for the target, and are the words still there?",
		ArgsUsage: "MODEL",
		Description: "Converts utterances of the corpus to voices of other speakers, drawn at random, and measures what has become of them:\n\n" +
			"   voice    whom a classifier takes them for, a small network on log-mel spectrograms. It is trained on the training\n" +
			"            split, on recordings only, and checked on the recordings of the test split first.\n" +
			"   units    encoded again, are they the units that the conversion was made of? Errors over the number of units.\n" +
			"   pitch    the median fundamental frequency of source, target and conversion.\n" +
			"   words    is the word recognised, by a classifier of the same kind, where a corpus has few different texts: digits.\n" +
			"   probe    how well a classifier tells speakers from the units alone: what they still hold of the voice; and words,\n" +
			"            where there are few: what they hold of the content.\n\n" +
			"Before it is encoded, speech is given the timbre of the target as convert does: --adapt says off whose it is taken.\n" +
			"The recordings themselves, and what the model makes of them in their own voice, are judged in the same way. A good\n" +
			"conversion is taken for the target in 80 % of the cases or more, for the source in 5 % or less, its words are\n" +
			"recognised as often as those of reconstructions, and the probe is near chance. Look at recordings\n" +
			"and reconstructions first: what the classifier does not know there it cannot know in conversions. Training it takes\n" +
			"some minutes on one core: with --classifier it is kept in a file, for the next model.\n\n" +
			"   vqaudio evaluate conversion model.safetensors --corpus vctk.cache --classifier vctk-voices.safetensors\n" +
			"   vqaudio evaluate conversion model.safetensors --corpus vctk.cache --conversions 20 --seconds 2   quicker",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "convert utterances of `SPLIT`: train, valid, test, or all"},
			&cli.IntFlag{Name: "conversions", Value: 100, Usage: "convert `N` utterances"},
			&cli.Float64Flag{Name: "seconds", Value: 4, Usage: "take at most the first `S` seconds of each"},
			&cli.StringFlag{Name: "classifier", Usage: "read the classifiers from `FILE` (.safetensors); if there is none, train them and write it"},
			stepsFlag(),
			&cli.StringFlag{Name: "adapt", Value: string(evaluate.AdaptSpeaker), Usage: "give speech the timbre of the target first, taken off that of the `SOURCE`: speaker, as the model knows it; " +
				"recording, measured; or none"},
			&cli.Float64Flag{Name: "temperature", Value: 1, Usage: "below 1 the sound is calmer, above 1 noisier"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw pairs and sound with the `SEED`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number (default: all cores)"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object, with every conversion"},
		},
		Action: runEvaluateConversion,
	}
}

// stepsFlag is the flag of how long classifiers are trained.
func stepsFlag() cli.Flag {
	return &cli.IntFlag{Name: "steps", Usage: "train each classifier for `N` steps: fewer are quicker, and worse (default: what figures are compared with)"}
}

// maxConversions and maxConversionSeconds are the most that is asked of evaluate conversion.
const (
	maxConversions       = 100_000
	maxConversionSeconds = 60
)

// conversionReport is what --json prints.
type conversionReport struct {
	Model  string `json:"model"`
	Corpus string `json:"corpus"`
	evaluate.ConversionReport
	Classifiers map[string]evaluate.JudgeSettings `json:"classifiers"` // "speakers", "words"
}

func runEvaluateConversion(c *cli.Context) error {
	const example = "vqaudio evaluate conversion model.safetensors --corpus CACHE"
	o := evaluate.ConversionOptions{Split: c.String("split"), Conversions: c.Int("conversions"), Seconds: c.Float64("seconds"),
		Temperature: c.Float64("temperature"), Adapt: evaluate.Adaptation(c.String("adapt")), Seed: c.Uint64("seed")}
	switch {
	case c.NArg() != 1 || c.String("corpus") == "":
		return &usageError{errors.New("want one model, and --corpus"), example}
	case o.Conversions < 1 || o.Conversions > maxConversions:
		return &usageError{fmt.Errorf("--conversions %d: want 1 to %d", o.Conversions, maxConversions), example}
	case !(o.Seconds >= 0.1 && o.Seconds <= maxConversionSeconds):
		return &usageError{fmt.Errorf("--seconds %v: want 0.1 to %d", o.Seconds, maxConversionSeconds), example}
	case o.Adapt != evaluate.AdaptSpeaker && o.Adapt != evaluate.AdaptRecording && o.Adapt != evaluate.AdaptNot:
		return &usageError{fmt.Errorf("--adapt %q: want speaker, recording or none", o.Adapt), example}
	case c.Int("steps") < 0:
		return &usageError{fmt.Errorf("--steps %d: want 1 or more", c.Int("steps")), example}
	case !(o.Temperature >= 0 && o.Temperature <= maxTemperature):
		return &usageError{fmt.Errorf("--temperature %v: want 0 to %d", o.Temperature, maxTemperature), example}
	}
	var err error
	if o.Split, err = splitOf(c, example); err != nil {
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
	if err := evaluate.CheckConversion(f.Model, cache, o.Split); err != nil {
		return fmt.Errorf("%s: %w", model, err)
	}

	progress := newPhases(c.App.ErrWriter)
	defer progress.Done()
	learning := evaluate.Learning{Steps: c.Int("steps"), Seed: o.Seed, Progress: progress.Tell}
	judges, err := evaluate.JudgesOf(c.Context, c.String("classifier"), cache, learning)
	if err != nil {
		return err
	}
	o.Progress = progress.Tell
	r, err := evaluate.Conversion(c.Context, f.Model, cache, judges, o)
	if err != nil {
		return err
	}
	if r.Units != nil {
		probe, err := evaluate.ProbeVoice(c.Context, f.Model, cache, o.Split, learning)
		if err != nil {
			return err
		}
		r.Probe = &probe
		if r.Words != nil {
			words, err := evaluate.ProbeWords(c.Context, f.Model, cache, o.Split, learning)
			if err != nil {
				return err
			}
			r.Words.Probe = &words
		}
	}
	progress.Done()
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		settings := map[string]evaluate.JudgeSettings{"speakers": judges.Speakers.Settings}
		if judges.Words != nil {
			settings["words"] = judges.Words.Settings
		}
		return e.Encode(conversionReport{model, c.String("corpus"), r, settings})
	}
	return printConversion(c.App.Writer, r)
}

// splitOf returns the split that --split names; "" for all.
func splitOf(c *cli.Context, example string) (string, error) {
	switch s := c.String("split"); s {
	case "all":
		return "", nil
	case corpora.Train, corpora.Valid, corpora.Test:
		return s, nil
	default:
		return "", &usageError{fmt.Errorf("--split %q: want train, valid, test or all", s), example}
	}
}

// lines prints lines; it remembers the first error.
type lines struct {
	out io.Writer
	err error
}

func (t *lines) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format+"\n", args...)
	}
}

// percent is a share in per cent.
func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// accuracy prints how well a classifier does.
func (t *lines) accuracy(name string, a evaluate.Accuracy) {
	t.line("%s: right about %s of %d utterances (among the five likeliest: %s), about %s of %d crops of %.1f s; %d classes, chance %s, the commonest %s",
		name, percent(a.Accuracy), a.Utterances, percent(a.Top5), percent(a.CropAccuracy), a.Crops, a.Seconds, a.Classes, percent(a.Chance), percent(a.Majority))
}

// printConversion prints a report for people.
func printConversion(out io.Writer, r evaluate.ConversionReport) error {
	t := &lines{out: out}
	t.accuracy("classifier of speakers, on recordings", r.Judge)
	from := map[evaluate.Adaptation]string{evaluate.AdaptSpeaker: "adapted from the speaker's timbre", evaluate.AdaptRecording: "adapted from the recording's timbre",
		evaluate.AdaptNot: "not adapted"}
	t.line("%d conversions, %.1f s, %s", r.Conversions, r.Seconds, from[r.Adapted])
	t.line("%-15s %10s %10s %10s %10s %12s", "taken for", "the wanted", "the source", "others", "top five", "median rank")
	voice := func(name string, h evaluate.Heard, source string) {
		t.line("%-15s %10s %10s %10s %10s %12.1f", name, percent(h.Wanted), source, percent(h.Other), percent(h.Top5), h.Rank)
	}
	voice("recorded", r.Voice.Recorded, "-")
	voice("reconstructed", r.Voice.Reconstructed, "-")
	voice("converted", r.Voice.Converted, percent(r.Voice.Converted.Source))
	if r.Units != nil {
		t.line("%-15s %10s %10s %10s", "unit errors", "raw", "runs", "equal")
		units := func(name string, u evaluate.UnitErrors) {
			t.line("%-15s %10s %10s %10s", name, percent(u.Rate), percent(u.Deduplicated), percent(u.Equal))
		}
		units("reconstructed", r.Units.Reconstructed)
		units("converted", r.Units.Converted)
		units("other speech", r.Units.OtherSpeech)
	}
	if p := r.Pitch; p.Utterances > 0 {
		t.line("pitch: median of source %.1f Hz, target %.1f Hz, conversion %.1f Hz; %.0f %% of the way (%d conversions)", p.Source, p.Target, p.Converted, 100*p.Moved, p.Utterances)
		t.line("  mean |ln ratio|: conversion to target %.3f, conversion to source %.3f, source to target %.3f", p.FromTarget, p.FromSource, p.Apart)
		t.line("  log F0 RMSE: reconstruction %.3f; conversion, means taken off, %.3f", p.RMSE, p.MelodyRMSE)
	} else {
		t.line("pitch: nothing is voiced")
	}
	if w := r.Words; w != nil {
		t.accuracy("classifier of words, on recordings", w.Judge)
		t.line("words recognised, of %d: recorded %s, reconstructed %s, converted %s", w.Utterances, percent(w.Recorded), percent(w.Reconstructed), percent(w.Converted))
		if w.Probe != nil {
			t.accuracy("probe of words, on units", *w.Probe)
		}
	}
	if r.Probe != nil {
		t.accuracy("probe of speakers, on units", *r.Probe)
	}
	return t.err
}
