package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/experiment"
	"github.com/vqaudio/vqaudio/train"
)

func experimentCommand() *cli.Command {
	return &cli.Command{
		Name:  "experiment",
		Usage: "train models that differ in one thing, and show what comes out",
		Description: "   vqaudio experiment collapse --corpus vctk.cache -o collapse   do latents of a variational autoencoder collapse?\n" +
			"   vqaudio experiment collapse --help                            more about that",
		Subcommands: []*cli.Command{experimentCollapseCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("%q is no experiment", c.Args().First()), "vqaudio experiment --help lists them"}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func experimentCollapseCommand() *cli.Command {
	return &cli.Command{
		Name:      "collapse",
		Usage:     "posterior collapse on show: the same decoder with a VAE, with codes, with neither",
		ArgsUsage: " ",
		Description: "A decoder that predicts sound well by itself may be told nothing: a variational autoencoder pays for every bit that it\n" +
			"tells, and may learn to tell none. This trains three models that differ in their bottleneck only (vae, vq, none), on\n" +
			"the same segments and for the same number of steps, and says what came out, whatever it is. DIR holds\n\n" +
			"   collapse.md         what came out in words, with the table and the plot\n" +
			"   collapse.tsv        all validations: likelihoods with true and with shuffled latents, bits per frame\n" +
			"   collapse.png        the plot of them\n" +
			"   vae/ vq/ none/      the three trainings, as of \"vqaudio train vqvae\"\n\n" +
			"Interrupted, by whatever, the same command goes on; then --corpus and -o are enough.\n\n" +
			"   vqaudio experiment collapse --corpus vctk.cache -o collapse --minutes 10         for half an hour\n" +
			"   vqaudio experiment collapse --corpus c -o d --preset base --minutes 60           a stronger decoder\n" +
			"   vqaudio experiment collapse --corpus c -o weak --kl 0.1                          divergence that costs a tenth\n" +
			"   vqaudio experiment collapse --corpus c -o warm --kl-warm-up 5000                 that costs nothing at first\n" +
			"   vqaudio experiment collapse --corpus c -o d2 --steps 5000 --set validate_every=250 --set dim=16",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "train on the `CACHE` that \"vqaudio corpus prepare\" has made"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "keep everything in the folder `DIR`"},
			&cli.Float64Flag{Name: "kl", Usage: "weigh the divergence of the VAE from its prior by `W`; with 1 the loss is a bound of the likelihood", DefaultText: "that of the runs, or else 1"},
			&cli.IntFlag{Name: "kl-warm-up", Usage: "let that weight rise from 0 over the first `N` steps", DefaultText: "that of the runs, or else 0"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print all figures as a JSON object"},
		}, configFlags("small", train.Presets())...),
		Action: runExperimentCollapse,
	}
}

// collapseMinutes is the budget of a kind where none is given.
const collapseMinutes = 10

func runExperimentCollapse(c *cli.Context) error {
	const example = "vqaudio experiment collapse --corpus CACHE -o DIR --minutes 10"
	corpus, out := c.String("corpus"), c.String("out")
	switch {
	case c.NArg() > 0:
		return &usageError{fmt.Errorf("unexpected %q", c.Args().First()), example}
	case corpus == "" || out == "":
		return &usageError{errors.New("want --corpus and --out"), example}
	case c.IsSet("minutes") && c.Float64("minutes") == 0 && c.Int("steps") == 0:
		return &usageError{errors.New("--minutes 0: want a budget"), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	config, err := collapseConfig(c, out)
	if err != nil {
		return err
	}
	cache, err := corpora.OpenCache(corpus)
	if err != nil {
		return err
	}
	defer cache.Close()

	var p *trainProgress // of one training
	o := experiment.Options{
		Corpus: cache, Out: out,
		Begin: func(kind string, config train.Config) {
			if p != nil {
				p.clear()
			}
			fmt.Fprintf(c.App.ErrWriter, "training %s\n", kind)
			p = newTrainProgress(c.App.ErrWriter, config)
		},
		Step: func(now train.Progress) { p.step(now) },
		Note: func(text string) { p.note(text) },
	}
	found, err := experiment.RunCollapse(c.Context, config, o)
	if p != nil {
		p.clear()
	}
	if err != nil {
		if p != nil && c.Context.Err() != nil {
			fmt.Fprintf(c.App.ErrWriter, "to go on: vqaudio experiment collapse --corpus %s --out %s\n", corpus, out)
		}
		return err
	}
	if err := found.Write(out); err != nil {
		return err
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(found)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s\nThis is %s, beside its plot and all figures as a table.\n", found.Markdown(experiment.PlotName), filepath.Join(out, experiment.PageName))
	return err
}

// collapseConfig returns the configuration that the flags ask for, that of the runs in out if there are any.
func collapseConfig(c *cli.Context, out string) (train.Config, error) {
	config, err := trainConfig(c, filepath.Join(out, experiment.Kinds[0]), "small", "bottleneck.kl=1", "bottleneck.kl_warm_up=0")
	if err != nil {
		return config, err
	}
	b, s := &config.Model.Bottleneck, &config.Training
	if c.IsSet("kl") {
		b.KL = c.Float64("kl")
	}
	if c.IsSet("kl-warm-up") {
		b.KLWarmUp = c.Int("kl-warm-up")
	}
	if s.Steps == 0 && s.Minutes == 0 {
		s.Minutes = collapseMinutes
	}
	for _, b.Kind = range experiment.Kinds {
		if err := config.Check(); err != nil {
			return config, &usageError{err, c.Command.HelpName + " --help lists the flags"}
		}
	}
	return config, nil
}
