package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio"
	"github.com/vqaudio/vqaudio/demo"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/pretrained"
)

func voicesCommand() *cli.Command {
	return &cli.Command{
		Name:      "voices",
		Usage:     "list the voices of a model, with a sample of each to listen to",
		ArgsUsage: "[MODEL]",
		Description: "Prints the names that --to and --speaker take, and writes a folder with two seconds of each voice as WAV files, and a\n" +
			"page with all of them, whose name is the last line. Without a name it is the built-in model.\n\n" +
			"   vqaudio voices\n" +
			"   vqaudio voices run/ -o samples/\n" +
			"   vqaudio speaker list                the names alone",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "vqaudio-voices", Usage: "write to the folder `FOLDER`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the sound is the same with any number", DefaultText: "all cores"},
		},
		Action: runVoices,
	}
}

func runVoices(c *cli.Context) error {
	if c.NArg() > 1 {
		return &usageError{errors.New("want one model, or none for the built-in one"), "vqaudio voices model.safetensors"}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	f, file, err := loadSound(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	m, err := vqaudio.New(f, nil, file)
	if err != nil {
		return err
	}
	bar := newPhases(c.App.ErrWriter)
	name, err := demo.Voices(c.Context, m, c.String("output"), bar.Tell)
	bar.Done()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var text strings.Builder
	for _, voice := range m.Voices() {
		text.WriteString(shown(voice))
		if about := pretrained.AboutVoice(voice); about != "" && c.NArg() == 0 {
			text.WriteString("\t" + about)
		}
		text.WriteByte('\n')
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s%s\n", text.String(), name)
	return err
}
