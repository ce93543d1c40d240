package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/train"
)

func trainPriorCommand() *cli.Command {
	return &cli.Command{
		Name:      "prior",
		Usage:     "train a prior over the codes of a model",
		ArgsUsage: " ",
		Description: "Trains a WaveNet to predict the codes of a model, each from those before it and from the name of the speaker, on the\n" +
			"train split of a corpus, in a folder of its own, RUN, until a budget is spent or Ctrl-C is pressed. What it draws is new\n" +
			"speech. The corpus is encoded once; its codes stay in RUN. Some sequences are not given the name, so that the prior\n" +
			"works without one, too. The same command goes on where a training was interrupted. RUN holds the files that \"train vqvae\"\n" +
			"leaves, but no samples; best.safetensors is the prior of the best validation so far.\n\n" +
			"   vqaudio train prior --model run/ --corpus vctk.cache --out prior --minutes 60     the preset base, for an hour\n" +
			"   vqaudio train prior --model run/ --corpus vctk.cache --out prior --minutes 120    and for as long again\n" +
			"   vqaudio train prior --model run/ --corpus c --out small --preset small --set layers=8 --threads 1\n" +
			"   vqaudio train prior --preset base --print                                         the configuration, with all its keys\n" +
			"   vqaudio evaluate prior prior/ --model run/ --corpus vctk.cache                    bits per code on the test split",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "learn the codes of `MODEL`, a file or the folder of a run"},
			&cli.StringFlag{Name: "corpus", Usage: "train on the `CACHE` that \"vqaudio corpus prepare\" has made"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "keep everything in the folder `RUN`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "print", Usage: "print the configuration as JSON, and train nothing"},
		}, configFlags("base", train.PriorPresets())...),
		Action: runTrainPrior,
	}
}

func runTrainPrior(c *cli.Context) error {
	const example = "vqaudio train prior --model RUN --corpus CACHE --out PRIOR --minutes 60"
	model, corpus, out := c.String("model"), c.String("corpus"), c.String("out")
	switch {
	case c.NArg() > 0:
		return &usageError{fmt.Errorf("unexpected %q", c.Args().First()), example}
	case !c.Bool("print") && (model == "" || corpus == "" || out == ""):
		return &usageError{errors.New("want --model, --corpus and --out"), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	config, err := priorConfigs.of(c, out, "base")
	if err != nil {
		return err
	}
	if c.Bool("print") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		return e.Encode(config)
	}
	f, _, err := loadModel(model, dilated.Float32)
	if err != nil {
		return err
	}
	cache, err := openCache(corpus, example)
	if err != nil {
		return err
	}
	defer cache.Close()
	o := train.PriorOptions{Model: f.Model, Corpus: cache, Out: out}
	p := newProgressOf(c.App.ErrWriter, config.Training.Course, "", float64(f.Model.Config.Rate)/float64(f.Model.Config.Hop()))
	o.Step, o.Note = p.step, p.note
	var done func()
	o.Encode, done = encodingProgress(c.App.ErrWriter)
	reached, err := train.RunPrior(c.Context, config, o)
	done()
	p.clear()
	if reached.Step > 0 && c.Context.Err() != nil && errors.Is(err, c.Context.Err()) {
		fmt.Fprintf(c.App.ErrWriter, "saved at step %d; to go on: vqaudio train prior --model %s --corpus %s --out %s\n", reached.Saved, model, corpus, out)
	}
	if err != nil {
		return err
	}
	if p.told.Step == 0 { // none was taken
		fmt.Fprintf(c.App.ErrWriter, "nothing was left to do within %d steps, %g minutes (0 for no limit); --steps and --minutes give more\n",
			config.Training.Steps, config.Training.Minutes)
	}
	fmt.Fprintf(c.App.Writer, "%s: %d steps, %.1f million codes, %.1f minutes; the best prior is %s/best.safetensors\n",
		out, reached.Step, float64(reached.Samples)/1e6, reached.Seconds/60, out)
	return nil
}

// encodingProgress tells how the encoding of a corpus gets on, from the first utterance to the last, or until done is called.
func encodingProgress(out io.Writer) (show func(ready, total int), done func()) {
	var bar *progressBar
	done = func() {
		if bar != nil {
			bar.Done()
		}
	}
	return func(ready, total int) {
		if bar == nil {
			bar = newProgress(out, "encoding", "utterances", int64(total))
		}
		if bar.Add(1); ready == total {
			done()
		}
	}, done
}
