package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a model, or a prior, without the state of its training",
		ArgsUsage: "MODEL|PRIOR|RUN",
		Description: "Writes what it takes to use a model: weights, codebook, configuration and speakers, in a safetensors file. What it\n" +
			"takes to go on training, about three quarters of a checkpoint, is left out, and so is the history. Units are the\n" +
			"same as from the model that was exported, and so is its fingerprint. Of the folder of a run it takes the best model.\n\n" +
			"   vqaudio export run/ -o model.safetensors\n" +
			"   vqaudio export run/checkpoints/step-00010000.safetensors -o step10000.safetensors\n" +
			"   vqaudio export prior/ -o prior.safetensors",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`"},
		},
		Action: runExport,
	}
}

func runExport(c *cli.Context) error {
	const example = "vqaudio export run/ -o model.safetensors"
	out := c.String("output")
	switch {
	case c.NArg() != 1 || out == "":
		return &usageError{errors.New("want one model, and -o"), example}
	case out == "-" || isFolder(out):
		return &usageError{fmt.Errorf("%s is no file", out), example}
	}
	f, p, name, err := loadEither(c.Args().First())
	if err != nil {
		return err
	}
	if canonical(name) == canonical(out) {
		return &usageError{fmt.Errorf("%s would lose the state of its training", name), "choose another name with -o"}
	}
	var fingerprint string
	if p != nil {
		fingerprint, err = checkpoint.PriorFingerprint(p.Prior), checkpoint.SavePrior(out, &checkpoint.Prior{Prior: p.Prior})
	} else {
		fingerprint, err = checkpoint.Fingerprint(f.Model), checkpoint.Export(out, f)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: %.1f MB, fingerprint %s\n", out, float64(info.Size())/1e6, fingerprint)
	return err
}
