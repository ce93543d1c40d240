package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/train"
)

func estimateCommand() *cli.Command {
	return &cli.Command{
		Name:      "estimate",
		Usage:     "measure what a training would take on this machine: time, memory, disk",
		ArgsUsage: " ",
		Description: "Trains new weights on the corpus for some seconds, validates, draws and encodes, and says what a training would come to:\n" +
			"hours per epoch (as many samples as the training split has), memory at the peak, sizes of a checkpoint and of the\n" +
			"model, speeds of sampling and of encoding, and with --steps or --minutes how far that budget goes. It takes less than\n" +
			"a minute, writes a checkpoint to a temporary folder, and leaves nothing behind. Where steps take too long, smaller\n" +
			"batches are measured, and that is said. Configurations are chosen as for \"vqaudio train vqvae\".\n\n" +
			"   vqaudio estimate --preset large --corpus vctk.cache\n" +
			"   vqaudio estimate --preset base --corpus vctk.cache --minutes 90 --threads 1\n" +
			"   vqaudio estimate --corpus vctk.cache --set residual=128 --set batch=4 --json",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "train on the `CACHE` that \"vqaudio corpus prepare\" has made"},
			&cli.Float64Flag{Name: "seconds", Value: 40, Usage: "measure for about `S` seconds"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		}, configFlags("base", train.Presets())...),
		Action: runEstimate,
	}
}

func runEstimate(c *cli.Context) error {
	const example = "vqaudio estimate --preset base --corpus CACHE"
	corpus, seconds := c.String("corpus"), c.Float64("seconds")
	switch {
	case c.NArg() > 0:
		return &usageError{fmt.Errorf("unexpected %q", c.Args().First()), example}
	case corpus == "":
		return &usageError{errors.New("want --corpus"), example}
	case !(seconds > 0 && seconds <= 3600):
		return &usageError{fmt.Errorf("--seconds %g: want more than 0, and 3600 at most", seconds), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	config, err := trainConfig(c, "", "base")
	if err != nil {
		return err
	}
	cache, err := corpora.OpenCache(corpus)
	if err != nil {
		return err
	}
	defer cache.Close()
	e, err := train.RunEstimate(c.Context, config, cache, seconds)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(e)
	}
	return printEstimate(c.App.Writer, e, config)
}

// printEstimate prints an estimate for people.
func printEstimate(out io.Writer, e *train.Estimate, c train.Config) error {
	t := &lines{out: out}
	s, rate := c.Training, float64(c.Model.Rate)
	line := func(name, format string, args ...any) { t.line("%-12s "+format, append([]any{name}, args...)...) }
	line("model", "%.2f million parameters; %s, %s", float64(e.Parameters)/1e6, e.Precision, count(e.Threads, "thread"))
	line("epoch", "%.1f minutes of speech, %.0f steps of %d x %d samples", float64(e.EpochSamples)/rate/60, e.EpochSteps, s.Batch, s.Segment)
	line("training", "%.0f samples/s, %.3g times real time: %.3g hours per epoch, %.3g with validation, audio samples and checkpoints",
		e.Speed, e.Speed/rate, e.StepHours, e.EpochHours)
	if e.Smaller {
		line("", "measured with batches of %d x %d samples, as those of the configuration take %.3g s: they are a little faster, and take more memory",
			e.Batch, e.Segment, e.Step)
	}
	if s.ValidateEvery > 0 {
		line("validation", "%.3g s, every %s", e.Validation, count(s.ValidateEvery, "step"))
	} else {
		line("validation", "%.3g s, at the end", e.Validation)
	}
	if e.Memory > 0 {
		line("memory", "%.0f MB at the peak of training and validation, %.0f MB of it mapped from the corpus and the program", float64(e.Memory)/1e6, float64(e.Mapped)/1e6)
	} else {
		line("memory", "not told by this system")
	}
	line("disk", "a checkpoint %d bytes, of which %d are kept; the model %d bytes", e.Checkpoint, s.Keep, e.Model)
	line("sampling", "%.0f samples/s, %.3g times real time, a stream on one core", e.SamplerSpeed, e.SamplerSpeed/rate)
	line("encoding", "%.0f samples/s, %.3g times real time", e.EncoderSpeed, e.EncoderSpeed/rate)
	if b := e.Budget; b != nil {
		line("budget", "%.0f steps, %.3g epochs, %.3g hours", b.Steps, b.Epochs, b.Hours)
	}
	return t.err
}
