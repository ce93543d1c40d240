package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a model, or a prior, without the state of its training",
		ArgsUsage: "[MODEL|PRIOR|RUN]",
		Description: "Writes what it takes to use a model: weights, codebook, configuration and speakers, in a safetensors file. What it\n" +
			"takes to go on training, about three quarters of a checkpoint, is left out, and so is the history. Units are the\n" +
			"same as from the model that was exported, and so is its fingerprint, unless weights are rounded: in bfloat16 the file is half\n" +
			"as long, and the model another one, with units of its own. Of the folder of a run it takes the best model.\n\n" +
			"   vqaudio export run/ -o model.safetensors\n" +
			"   vqaudio export run/checkpoints/step-00010000.safetensors -o step10000.safetensors\n" +
			"   vqaudio export prior/ -o prior.safetensors\n" +
			"   vqaudio export run/ --precision bfloat16 -o small.safetensors",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`"},
			&cli.StringFlag{Name: "precision", Value: "float32", Usage: "write numbers in `P`: float32, or bfloat16, to which they are rounded"},
		},
		Action: runExport,
	}
}

func runExport(c *cli.Context) error {
	const example = "vqaudio export run/ -o model.safetensors"
	out := c.String("output")
	switch {
	case c.NArg() > 1 || out == "":
		return &usageError{errors.New("want -o, and at most one model"), example}
	case out == "-" || isFolder(out):
		return &usageError{fmt.Errorf("%s is no file", out), example}
	}
	precision, err := dilated.ParsePrecision(c.String("precision"))
	if err != nil || c.String("precision") == "auto" { // which depends on the machine
		return &usageError{fmt.Errorf("--precision %q: want float32 or bfloat16", c.String("precision")), example}
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
		err = checkpoint.ExportPrior(out, p, precision)
		fingerprint = checkpoint.PriorFingerprint(p.Prior)
	} else {
		err = checkpoint.Export(out, f, precision)
		fingerprint = checkpoint.Fingerprint(f.Model)
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
