package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/demo"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "show what this software does: a page to look at and listen to",
		ArgsUsage: "[FILE...]",
		Description: "Writes a folder with a page, which any browser shows without a network, and WAV files: recordings with their units,\n" +
			"reconstructed, and converted to several voices by the built-in model; sentences that are kept as units; and clips that\n" +
			"the prior generates. Of recordings of your own it takes the first ten seconds. The last line is the name of the page.\n\n" +
			"   vqaudio demo\n" +
			"   vqaudio demo me.wav -o mine/        with a recording of your own",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "vqaudio-demo", Usage: "write to the folder `FOLDER`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the sound is the same with any number", DefaultText: "all cores"},
		},
		Action: runDemo,
	}
}

func runDemo(c *cli.Context) error {
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	bar := newPhases(c.App.ErrWriter)
	name, err := demo.Write(c.Context, demo.Options{Recordings: c.Args().Slice(), Folder: c.String("output"), Progress: bar.Tell})
	bar.Done()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, name)
	return err
}
