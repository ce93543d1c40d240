package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/dilated"
)

func speakerCommand() *cli.Command {
	return &cli.Command{
		Name:  "speaker",
		Usage: "look at the voices of a model, and change them",
		Description: "   vqaudio speaker list model.safetensors   who is there\n" +
			"   vqaudio speaker list --help              more about that",
		Subcommands: []*cli.Command{speakerListCommand(), speakerProbeCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("%q is not a command of vqaudio speaker", c.Args().First()), "vqaudio speaker --help lists them"}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func speakerListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the speakers of a model",
		ArgsUsage: "MODEL|RUN",
		Description: "Prints the names of the speakers that a model can speak as, a line each, in the order of the model.\n\n" +
			"   vqaudio speaker list model.safetensors",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runSpeakerList,
	}
}

// speakerList is what --json prints.
type speakerList struct {
	Model    string        `json:"model"`
	Speakers []listedVoice `json:"speakers"`
}

// listedVoice is a speaker of a model.
type listedVoice struct {
	Name string `json:"name"`
}

func runSpeakerList(c *cli.Context) error {
	if c.NArg() != 1 {
		return &usageError{errors.New("want one model"), "vqaudio speaker list model.safetensors, or the folder of a run"}
	}
	f, name, err := loadModel(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	list := speakerList{Model: name, Speakers: []listedVoice{}}
	for _, s := range f.Model.Speakers.Names() {
		list.Speakers = append(list.Speakers, listedVoice{s})
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(list)
	}
	for _, s := range list.Speakers {
		if _, err := fmt.Fprintln(c.App.Writer, shown(s.Name)); err != nil {
			return err
		}
	}
	return nil
}
