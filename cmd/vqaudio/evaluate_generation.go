package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/codes"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/wavenet"
)

func evaluateGenerationCommand() *cli.Command {
	return &cli.Command{
		Name:      "generation",
		Usage:     "how far is generated speech from real speech?",
		ArgsUsage: "PRIOR|RUN",
		Description: "Draws units from a prior for each utterance of the split, as many as it has, and compares them with its own: divergences\n" +
			"(Jensen and Shannon, in bits: 0 is the same, 1 nothing in common) of units, of the lengths of runs of equal units, and of pairs\n" +
			"of units. And speaks some clips: how much of them is pause (35 dB below speech), how much has a pitch. Beside that, by the same\n" +
			"measure: units of other recordings, which is as near as one can come, and units that are drawn each by itself.\n" +
			"Leaves in the folder -o recorded, reconstructed and generated clips, and a picture of recorded ones beside generated ones.\n\n" +
			"   vqaudio evaluate generation prior/ --model run/ --corpus vctk.cache -o clips/",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "the `MODEL` whose codes the prior was trained on, a file or the folder of a run"},
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "compare with the utterances of `SPLIT`: train, valid or test"},
			&cli.IntFlag{Name: "clips", Value: 10, Usage: "speak `N` clips"},
			&cli.Float64Flag{Name: "seconds", Value: 5, Usage: "of so many `SECONDS`: of utterances that are at least as long"},
			&cli.Float64Flag{Name: "unit-temperature", Value: 1, Usage: "draw units at the temperature `T`"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw with the `SEED`"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "leave clips and their picture in `FOLDER`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runEvaluateGeneration,
	}
}

func runEvaluateGeneration(c *cli.Context) error {
	const example = "vqaudio evaluate generation PRIOR --model MODEL --corpus CACHE -o clips/"
	o := evaluate.GenerationOptions{Split: c.String("split"), Clips: c.Int("clips"), Seconds: c.Float64("seconds"), Seed: c.Uint64("seed"),
		Drawing: wavenet.Drawing{Temperature: c.Float64("unit-temperature")}}
	switch {
	case c.NArg() != 1 || c.String("model") == "" || c.String("corpus") == "":
		return &usageError{errors.New("want one prior, --model and --corpus"), example}
	case o.Clips < 1 || o.Clips > maxClips:
		return &usageError{fmt.Errorf("--clips %d: want 1 to %d", o.Clips, maxClips), example}
	case !(o.Seconds >= 0.01 && o.Seconds <= 60):
		return &usageError{fmt.Errorf("--seconds %v: want 0.01 to 60", o.Seconds), example}
	case o.Split != corpora.Train && o.Split != corpora.Valid && o.Split != corpora.Test:
		return &usageError{fmt.Errorf("--split %q: want train, valid or test", o.Split), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	f, file, err := loadPrior(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	if err := o.Drawing.Check(f.Prior.Net.Config); err != nil {
		return &usageError{fmt.Errorf("--unit-%w", err), example}
	}
	model, modelFile, err := loadSound(c.String("model"), dilated.Float32)
	if err != nil {
		return err
	}
	fingerprint := checkpoint.Fingerprint(model.Model)
	if _, err := f.Prior.Config.For(model.Model.Config, fingerprint); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	cache, err := openCache(c.String("corpus"), example)
	if err != nil {
		return err
	}
	defer cache.Close()
	all, err := codes.Read(filepath.Join(filepath.Dir(file), train.CodesName), cache, model.Model, fingerprint)
	if err != nil { // there are none of this corpus
		show, done := encodingProgress(c.App.ErrWriter)
		all, err = codes.Encode(c.Context, model.Model, cache, show)
		if done(); err != nil {
			return err
		}
	}
	var bar *progressBar
	o.Progress = func(what, unit string, done, total int) {
		if done == 1 || bar == nil {
			if bar != nil {
				bar.Done()
			}
			bar = newProgress(c.App.ErrWriter, what, unit, int64(total))
		}
		bar.Add(1)
	}
	r, clips, err := evaluate.Generation(c.Context, model.Model, f.Prior, cache, all, o)
	if bar != nil {
		bar.Done()
	}
	if err != nil {
		return err
	}
	if folder := c.String("output"); folder != "" {
		if err := saveClips(folder, cache.Rate(), clips); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(struct {
			Prior  string `json:"prior"`
			Model  string `json:"model"`
			Corpus string `json:"corpus"`
			evaluate.GenerationReport
		}{file, modelFile, c.String("corpus"), r})
	}
	return printGeneration(c.App.Writer, r)
}

// printGeneration prints a report for people.
func printGeneration(out io.Writer, r evaluate.GenerationReport) error {
	_, err := fmt.Fprintf(out, "%s: %s of %d utterances; sound of %s of %v s\n%-22s %8s %8s %6s   divergences of %8s %8s %8s\n", r.Split, count(r.Units, "unit"),
		r.Utterances, count(r.Clips, "clip"), r.Seconds, "", "pauses", "voiced", "run", "units", "runs", "pairs")
	line := func(name string, s evaluate.SpeechStatistics, sound bool) {
		share := func(v float64) string {
			if !sound {
				return ""
			}
			return fmt.Sprintf("%.1f %%", 100*v)
		}
		if err == nil {
			_, err = fmt.Fprintf(out, "%-22s %8s %8s %6.2f   %14s %8.4f %8.4f %8.4f\n", name, share(s.Pauses), share(s.Voiced), s.Run, "", s.Units, s.Runs, s.Bigrams)
		}
	}
	line("recorded", r.Recorded, true)
	line("reconstructed", r.Reconstructed, true)
	line("other recordings", r.Other, false)
	line("generated", r.Generated, true)
	line("units by themselves", r.Unigram, true)
	return err
}

// saveClips leaves clips in a folder, and a picture of recorded ones, on the left, beside generated ones.
func saveClips(folder string, rate int, clips []evaluate.Clip) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	const width, height = 700, 360
	sheet := image.NewRGBA(image.Rect(0, 0, 2*width, len(clips)*height))
	for i, clip := range clips {
		for k, sound := range []struct {
			name    string
			samples []float32
		}{{"recorded", clip.Recorded}, {"generated", clip.Generated}, {"reconstructed", clip.Reconstructed}} {
			block := make([]float64, len(sound.samples))
			for i, x := range sound.samples {
				block[i] = float64(x)
			}
			var wav bytes.Buffer
			w, err := audio.NewWriter(&wav, audio.Format{NumChannels: 1, SampleRate: rate}, audio.PCM16, int64(len(block)))
			if err == nil {
				err = w.Write(block)
			}
			if err == nil {
				err = w.Close()
			}
			if err == nil {
				err = files.Write(filepath.Join(folder, fmt.Sprintf("%02d-%s.wav", i+1, sound.name)), wav.Bytes())
			}
			if err != nil {
				return err
			}
			if k > 1 {
				continue
			}
			p, err := picture.New(rate, picture.Options{Width: width, Height: height, Title: sound.name + ": " + clip.Name})
			if err != nil {
				return err
			}
			p.Add(block)
			draw.Draw(sheet, image.Rect(k*width, i*height, (k+1)*width, (i+1)*height), p.Draw(nil), image.Point{}, draw.Src)
		}
	}
	var drawn bytes.Buffer
	if err := png.Encode(&drawn, sheet); err != nil {
		return err
	}
	return files.Write(filepath.Join(folder, "clips.png"), drawn.Bytes())
}
