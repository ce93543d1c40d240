package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/compress"
	"github.com/vqaudio/vqaudio/units"
)

func decompressCommand() *cli.Command {
	return &cli.Command{
		Name:      "decompress",
		Usage:     "read units from a small file",
		ArgsUsage: "[PRIOR] FILE|-",
		Description: "Gives back the units that \"vqaudio compress\" has written, with the same prior, in any format of \"vqaudio units\". Durations are\n" +
			"there again where equal units had been joined. If the file is damaged, that is an error, and nothing is written; with --recover\n" +
			"everything is written that can be read, before the damage and after it, what is lost is named, and the exit code is 1. An\n" +
			"utterance of which a part is lost ends where that began.\n\n" +
			"   vqaudio decompress prior/ units.vqu -o units.jsonl\n" +
			"   vqaudio decompress prior/ units.vqu -o units.txt --format fairseq\n" +
			"   vqaudio decompress prior/ damaged.vqu -o left.jsonl --recover",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `OUT`, a file or a folder; - is standard output"},
			&cli.StringFlag{Name: "format", Value: string(units.JSONL), Usage: "write in `FORMAT`"},
			&cli.BoolFlag{Name: "recover", Usage: "write what can be read of a damaged file"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the units are the same with any number", DefaultText: "all cores"},
		},
		Action: runDecompress,
	}
}

func runDecompress(c *cli.Context) error {
	const example = "vqaudio decompress prior/ units.vqu -o units.jsonl"
	priorName, input, err := modelAndOne(c, "a file", example)
	if err != nil {
		return err
	}
	format, err := units.ParseFormat(c.String("format"))
	if err != nil {
		return &usageError{fmt.Errorf("--%w", err), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	prior, file, err := compressionPrior(priorName)
	if err != nil {
		return err
	}
	name, out := input, c.String("output")
	if err := spare(out, file, name); err != nil {
		return err
	}
	in, err := openPipe(c.Context, name)
	if err != nil {
		return err
	}
	if in == nil {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = bufio.NewReader(f)
	}
	r, err := compress.NewReader(in, name, prior)
	if err != nil {
		return err
	}
	w, err := createUnits(c, format, units.Options{})
	if err != nil {
		return err
	}
	defer w.Discard()
	d := &decompression{reader: r, writer: w, recover: c.Bool("recover"), bar: newProgress(c.App.ErrWriter, "decompressing", "units", -1)}
	r.Progress = func(units int) { d.bar.Add(int64(units)) }
	err = d.run(c.Context)
	d.bar.Done()
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(summaryOf(c), "%s: %s in %s\n", out, count(d.utterances, "utterance"), format); err != nil {
		return err
	}
	if d.damaged > 0 {
		return fmt.Errorf("%s is damaged in %s; the rest was recovered", name, count(d.damaged, "place"))
	}
	return nil
}

// decompression is the work of decompress.
type decompression struct {
	reader  *compress.Reader
	writer  *units.Writer
	recover bool
	bar     *progressBar

	open       bool // the last part was no end of its utterance
	utterances int  // written
	damaged    int  // places
}

func (d *decompression) run(ctx context.Context) error {
	for {
		part, err := d.reader.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case !d.recover:
			return fmt.Errorf("%w; --recover writes what can be read", err)
		default:
			d.damaged++
			d.bar.Note("damaged: %v", err)
			if !d.open {
				continue
			}
			part.Ends = true // with what there is of it
		}
		if err := d.write(part); err != nil {
			return err
		}
	}
}

// write writes a part of an utterance.
func (d *decompression) write(part compress.Part) error {
	if part.Begins {
		if err := d.writer.Begin(part.Name, d.reader.Info()); err != nil {
			return err
		}
	}
	if err := d.writer.Add(part.Sequence); err != nil {
		return err
	}
	if d.open = !part.Ends; d.open {
		return nil
	}
	d.utterances++
	return d.writer.End()
}
