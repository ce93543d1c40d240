package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/wavenet"
)

func evaluateSamplerCommand() *cli.Command {
	return &cli.Command{
		Name:      "sampler",
		Usage:     "what weights of fewer bits cost the sampler, and what they gain",
		ArgsUsage: "MODEL|RUN",
		Description: "Has the sampler that decode and convert draw with predict recordings, sample by sample, with weights of each precision:\n" +
			"the negative log-likelihood in nats per sample, what it is more than in float32, and the steps in a second, on all\n" +
			"threads together and without drawing. This project holds itself to at most 0.002 nats more in bfloat16 and 0.01 in\n" +
			"int8; a model that misses that is told so.\n\n" +
			"   vqaudio evaluate sampler model.safetensors --corpus vctk.cache --crops 48",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`"},
			&cli.StringFlag{Name: "split", Value: corpora.Valid, Usage: "take the utterances of `SPLIT`: train, valid, test, or all"},
			&cli.IntFlag{Name: "crop", Usage: "`SAMPLES` of a crop, a multiple of the model's hop (default: 8192, or the next multiple)"},
			&cli.IntFlag{Name: "crops", Usage: "take at most `N` crops, evenly spread over the split", DefaultText: "all"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the likelihoods are the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runEvaluateSampler,
	}
}

// samplerLimits are the nats per sample that a precision may cost.
var samplerLimits = map[wavenet.Precision]float64{wavenet.BFloat16: 0.002, wavenet.Int8: 0.01}

// samplerReport is what --json prints.
type samplerReport struct {
	Model      string              `json:"model"`
	Corpus     string              `json:"corpus"`
	Split      string              `json:"split"`
	Precisions []samplerLikelihood `json:"precisions"`
}

type samplerLikelihood struct {
	Precision string  `json:"precision"`
	NLL       float64 `json:"nll"`              // nats per sample
	More      float64 `json:"more"`             // than in float32
	Limit     float64 `json:"limit"`            // of that; 0 for float32
	Speed     float64 `json:"steps_per_second"` // of all threads
}

func runEvaluateSampler(c *cli.Context) error {
	const example = "vqaudio evaluate sampler model.safetensors --corpus CACHE"
	o := evaluate.Options{Crop: c.Int("crop"), Crops: c.Int("crops")}
	const least = 4 // crops, a batch of evaluate.NLL
	switch {
	case c.NArg() != 1 || c.String("corpus") == "":
		return &usageError{errors.New("want one model, and --corpus"), example}
	case o.Crop < 0 || c.IsSet("crop") && o.Crop == 0 || o.Crop > maxBatchSamples/least:
		return &usageError{fmt.Errorf("--crop %d: want 1 to %d samples", o.Crop, maxBatchSamples/least), example}
	case c.IsSet("crops") && o.Crops < least:
		return &usageError{fmt.Errorf("--crops %d: want %d or more", o.Crops, least), example}
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
	cache, err := openCache(c.String("corpus"), example)
	if err != nil {
		return err
	}
	defer cache.Close()

	r := samplerReport{Model: model, Corpus: c.String("corpus"), Split: c.String("split")}
	for _, p := range []wavenet.Precision{wavenet.Float32, wavenet.BFloat16, wavenet.Int8} {
		var bar *progressBar
		o.Progress = func(_, total int) {
			if bar == nil {
				bar = newProgress(c.App.ErrWriter, p.String(), "crops", int64(total))
			}
			bar.Add(1)
		}
		began := time.Now()
		got, err := evaluate.SamplerNLL(c.Context, f.Model, cache, p, o)
		took := time.Since(began).Seconds()
		if bar != nil {
			bar.Done()
		}
		if err != nil {
			return err
		}
		if math.IsNaN(got.NLL) || math.IsInf(got.NLL, 0) {
			return fmt.Errorf("%s gives no likelihoods: they are %v nats per sample", model, got.NLL)
		}
		l := samplerLikelihood{Precision: p.String(), NLL: got.NLL, Limit: samplerLimits[p], Speed: float64(got.Samples) / took}
		if len(r.Precisions) > 0 {
			l.More = got.NLL - r.Precisions[0].NLL
		}
		r.Precisions = append(r.Precisions, l)
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	return printSampler(c.App.Writer, r)
}

// printSampler prints a report for people.
func printSampler(out io.Writer, r samplerReport) error {
	_, err := fmt.Fprintf(out, "%-10s %16s %10s %12s\n", "weights", "nats per sample", "more", "steps/s")
	for _, l := range r.Precisions {
		kept := ""
		switch {
		case l.Limit > 0 && l.More <= l.Limit:
			kept = fmt.Sprintf("   at most %.3f: kept", l.Limit)
		case l.Limit > 0:
			kept = fmt.Sprintf("   at most %.3f: missed", l.Limit)
		}
		if err == nil {
			_, err = fmt.Fprintf(out, "%-10s %16.5f %+10.5f %12.0f%s\n", l.Precision, l.NLL, l.More, l.Speed, kept)
		}
	}
	return err
}
