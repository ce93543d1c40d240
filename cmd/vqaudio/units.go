package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/units"
)

func unitsCommand() *cli.Command {
	return &cli.Command{
		Name:  "units",
		Usage: "work with files of units",
		Description: "   vqaudio units convert units.jsonl --to fairseq -o units.txt   from a format to another\n" +
			"   vqaudio units show me.wav                                     the units of a recording, and how many bits they are\n" +
			"   vqaudio units convert --help                                  more about that",
		Subcommands: []*cli.Command{unitsConvertCommand(), unitsShowCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("%q is not a command of vqaudio units", c.Args().First()), "vqaudio units --help lists them"}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// describeFormats describes the formats of units for a help text.
func describeFormats() string {
	var s strings.Builder
	for _, f := range units.Formats() {
		fmt.Fprintf(&s, "   %-15s %s\n", f, f.About())
	}
	return s.String()
}

func unitsConvertCommand() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "write units in another format",
		ArgsUsage: "FILE|FOLDER|-",
		Description: "Formats, of which that of what is read is found out if it is not given:\n\n" + describeFormats() + "\n" +
			"What a format does not hold is lost: durations in most of them, the model that the units are of in all but jsonl\n" +
			"and tsv. What it holds is there again when it is read. Files of whole numbers only are taken for text; --from zerospeech\n" +
			"takes several numbers in a line for a vector, and vectors that are all one-hot for units besides.\n\n" +
			"   vqaudio units convert units.jsonl --to fairseq -o units.txt\n" +
			"   vqaudio units convert units.txt --to jsonl --dedup -o short.jsonl   12 12 7 becomes 12 7, with durations 2 1\n" +
			"   vqaudio units convert units.jsonl --to zerospeech -o submission/    a file for each utterance\n" +
			"   cat units.tsv | vqaudio units convert - --to fairseq -o -",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `OUT`, a file or a folder; - is standard output"},
			&cli.StringFlag{Name: "from", Usage: "what is read is in `FORMAT` (default: found out)"},
			&cli.StringFlag{Name: "to", Usage: "write in `FORMAT`"},
			&cli.BoolFlag{Name: "dedup", Usage: "join equal units that follow each other"},
			&cli.BoolFlag{Name: "vectors", Usage: "write vectors, not units (zerospeech, npy)"},
		},
		Action: runUnitsConvert,
	}
}

func runUnitsConvert(c *cli.Context) error {
	const example = "vqaudio units convert units.jsonl --to fairseq -o units.txt"
	if c.NArg() != 1 || c.String("output") == "" || c.String("to") == "" {
		return &usageError{errors.New("want one file or folder, --to and -o"), example}
	}
	var from units.Format
	if c.IsSet("from") {
		var err error
		if from, err = units.ParseFormat(c.String("from")); err != nil {
			return &usageError{fmt.Errorf("--from: %w", err), example}
		}
	}
	to, err := units.ParseFormat(c.String("to"))
	if err != nil {
		return &usageError{fmt.Errorf("--to: %w", err), example}
	}
	options, err := unitsOptions(c, to)
	if err != nil {
		return err
	}
	r, err := openUnits(c.Context, c.Args().First(), from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := createUnits(c, to, options)
	if err != nil {
		return err
	}
	defer w.Discard()
	n, err := copyUnits(c.Context, w, r)
	if err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	fmt.Fprintf(summaryOf(c), "%s: %s, %s to %s\n", c.String("output"), count(n, "utterance"), r.Format(), to)
	return nil
}

// copyUnits writes all that is read, and returns the number of utterances.
func copyUnits(ctx context.Context, w *units.Writer, r *units.Reader) (int, error) {
	for n := 0; ; n++ {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err == nil {
			err = w.Write(u)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return n, err
		}
	}
}

// openUnits opens a file or a folder; - is standard input. Once ctx is cancelled, nothing waits for a pipe any more.
func openUnits(ctx context.Context, name string, f units.Format) (*units.Reader, error) {
	switch in, err := openPipe(ctx, name); {
	case err != nil:
		return nil, err
	case in != nil:
		return units.NewReader(in, name, f)
	}
	return units.Open(name, f)
}

// unitsOptions returns what --vectors and --dedup say.
func unitsOptions(c *cli.Context, f units.Format) (units.Options, error) {
	o := units.Options{Vectors: c.Bool("vectors"), Dedup: c.Bool("dedup")}
	if o.Vectors && !f.Vectors() {
		return o, &usageError{fmt.Errorf("--vectors: %s holds no vectors", f), "zerospeech and npy do"}
	}
	return o, nil
}

// createUnits begins to write units to where -o says.
func createUnits(c *cli.Context, f units.Format, o units.Options) (*units.Writer, error) {
	if c.String("output") == "-" {
		return units.NewWriter(c.App.Writer, f, o)
	}
	return units.Create(c.String("output"), f, o)
}

// summaryOf is where a summary goes: not to standard output, if that is what -o names.
func summaryOf(c *cli.Context) io.Writer {
	if c.String("output") == "-" {
		return c.App.ErrWriter
	}
	return c.App.Writer
}
