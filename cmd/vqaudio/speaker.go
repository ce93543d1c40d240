package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/train"
)

func speakerCommand() *cli.Command {
	return &cli.Command{
		Name:  "speaker",
		Usage: "look at the voices of a model, and change them",
		Description: "   vqaudio speaker list model.safetensors                      who is there?\n" +
			"   vqaudio speaker enrol model.safetensors zoe/ --name zoe     a new voice, from a short recording\n" +
			"   vqaudio speaker remove model.safetensors zoe\n" +
			"   vqaudio speaker probe model.safetensors --corpus CACHE      do the codes say who speaks?\n" +
			"   vqaudio speaker enrol --help                                more about that",
		Subcommands: []*cli.Command{speakerListCommand(), speakerEnrolCommand(), speakerRemoveCommand(), speakerProbeCommand()},
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
		ArgsUsage: "[MODEL|RUN]",
		Description: "Prints the names of the speakers that a model can speak as, a line each, in the order of the model; behind those that\n" +
			"were enrolled, and a tab, when and from what.\n\n" +
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
	Name     string             `json:"name"`
	Enrolled *speaker.Enrolment `json:"enrolled,omitempty"`
}

func runSpeakerList(c *cli.Context) error {
	if c.NArg() > 1 {
		return &usageError{errors.New("want one model, or none for the built-in one"), "vqaudio speaker list model.safetensors, or the folder of a run"}
	}
	f, name, err := loadSound(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	list := speakerList{Model: name, Speakers: []listedVoice{}}
	for _, s := range f.Model.Speakers.Names() {
		v := listedVoice{Name: s}
		if e, ok := f.Enrolled[s]; ok {
			v.Enrolled = &e
		}
		list.Speakers = append(list.Speakers, v)
	}
	if c.Bool("json") {
		return printJSON(c, list)
	}
	var text strings.Builder
	for _, v := range list.Speakers {
		text.WriteString(shown(v.Name))
		if e := v.Enrolled; e != nil {
			clips := shownAll(e.Clips)
			if n := len(clips) - mostClips; n > 0 {
				clips = append(clips[:mostClips], fmt.Sprintf("%d more", n))
			}
			fmt.Fprintf(&text, "\tenrolled %s from %.1f s: %s", e.Time.Format(time.DateOnly), e.Seconds, strings.Join(clips, ", "))
		}
		text.WriteByte('\n')
	}
	_, err = io.WriteString(c.App.Writer, text.String())
	return err
}

// mostClips is the number of recordings that speaker list names.
const mostClips = 3

func speakerRemoveCommand() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "take a speaker out of a model",
		ArgsUsage: "MODEL|RUN NAME",
		Description: "Writes the model without the voice of a speaker, and without the state of its training: in the place of MODEL, or\n" +
			"with -o as another file, which the models of a run ask for.\n\n" +
			"   vqaudio speaker remove model.safetensors zoe\n" +
			"   vqaudio speaker remove run/ p225 -o without.safetensors",
		Flags:  []cli.Flag{voicesOutputFlag()},
		Action: runSpeakerRemove,
	}
}

func runSpeakerRemove(c *cli.Context) error {
	if c.NArg() != 2 {
		return &usageError{errors.New("want a model, and the name of a speaker"), "vqaudio speaker remove model.safetensors NAME"}
	}
	f, name, err := loadSound(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	out, err := voicesOutput(c, f, name)
	if err != nil {
		return err
	}
	gone := c.Args().Get(1)
	if f.Model, err = f.Model.WithoutVoice(gone); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	delete(f.Enrolled, gone)
	if err := checkpoint.Export(out, f, dilated.Float32); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: without %s, %s left\n", out, shown(gone), count(f.Model.Speakers.Len(), "speaker"))
	return err
}

func voicesOutputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the model to `FILE` (default: in the place of MODEL)"}
}

// voicesOutput returns where a model goes whose speakers were changed: what -o says, or else the file it came from, which must not
// belong to a training.
func voicesOutput(c *cli.Context, f *checkpoint.File, from string) (string, error) {
	out := c.String("output")
	switch {
	case out == "":
		out = from
	case out == "-" || isFolder(out):
		return "", &usageError{fmt.Errorf("%s is no file", out), "name one with -o"}
	}
	if f.Training != nil && canonical(out) == canonical(from) || ofRun(out) {
		return "", &usageError{fmt.Errorf("%s belongs to a training", out), "choose another file with -o"}
	}
	return out, nil
}

// ofRun reports whether a file is a model of the run in whose folder it lies.
func ofRun(name string) bool {
	name = canonical(name)
	dir := filepath.Dir(name)
	if filepath.Base(dir) == "checkpoints" {
		dir = filepath.Dir(dir)
	} else if filepath.Base(name) != "best.safetensors" {
		return false
	}
	_, err := train.ReadConfig(dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// printJSON prints a report as a JSON object.
func printJSON(c *cli.Context, v any) error {
	e := json.NewEncoder(c.App.Writer)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
