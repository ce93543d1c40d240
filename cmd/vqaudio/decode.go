package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/units"
)

func decodeCommand() *cli.Command {
	return &cli.Command{
		Name:      "decode",
		Usage:     "speak units in the voice of a speaker",
		ArgsUsage: "[MODEL] UNITS|FOLDER|-",
		Description: "Turns units into sound, or vectors, as \"vqaudio encode --vectors\" writes them. They are in any format of\n" +
			"\"vqaudio units\", which is found out. If they are of one\n" +
			"utterance, the sound goes to a file, or to standard output as it is made; if of several, to a folder, in files\n" +
			"that are called as the utterances. The same seed gives the same sound, for each utterance by its name, on any\n" +
			"number of threads. Memory is that of the longest utterance's units.\n\n" +
			"   vqaudio decode model.safetensors units.jsonl --speaker p225 -o spoken/\n" +
			"   vqaudio encode model.safetensors in.wav -o units.txt --format fairseq\n" +
			"   vqaudio decode model.safetensors units.txt --speaker p225 -o out.wav --temperature 0.8",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "speaker", Usage: "speak as `NAME`, a speaker of the model (vqaudio speaker list MODEL), or a mixture, NAME:WEIGHT,NAME:WEIGHT"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `WAV`, - is standard output; of several utterances, to a folder"},
			&cli.StringFlag{Name: "format", Usage: "take the units as `FORMAT` (default: found out)"},
		}, synthesisFlags()),
		Action: runDecode,
	}
}

func runDecode(c *cli.Context) error {
	const example = "vqaudio decode model.safetensors units.jsonl --speaker NAME -o spoken/"
	modelName, input, err := modelAndOne(c, "units", example)
	if err != nil {
		return err
	}
	var format units.Format
	if c.IsSet("format") {
		var err error
		if format, err = units.ParseFormat(c.String("format")); err != nil {
			return &usageError{fmt.Errorf("--%w", err), example}
		}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	s, err := newSynthesis(c, modelName, c.String("speaker"))
	if err != nil {
		return err
	}
	q, err := s.openUnits(c.Context, input, format)
	if err != nil {
		return err
	}
	defer q.reader.Close()
	o, err := newOutput(c, len(q.first) > 1, s.file, input)
	if err != nil {
		return err
	}
	b := newBatch(c, o, "decoding", q.seconds, s.model.Config.Rate)
	err = b.run(c.Context, s.drawers(len(q.first) > 1), func() (job func(drawer) error, ok bool) {
		u := q.next()
		return func(d drawer) error { return s.decode(c.Context, b, d, u) }, u != nil
	})
	return errors.Join(err, q.err)
}

// unitsQueue hands out utterances.
type unitsQueue struct {
	reader  *units.Reader
	first   []*units.Utterance // one or two, to see whether there are several
	seconds float64            // of sound in all; -1 if that is not known
	seen    map[string]bool    // names that were handed out
	err     error              // what ended the utterances too soon
}

// openUnits opens a file or a folder, "-" for standard input. But for that and for pipes, which can be read once only, it looks
// at all of it first: what is wrong with it shows before hours of work.
func (s *synthesis) openUnits(ctx context.Context, name string, format units.Format) (*unitsQueue, error) {
	q := &unitsQueue{seconds: -1, seen: map[string]bool{}}
	info, err := os.Stat(name)
	if name != "-" && err == nil && (info.IsDir() || info.Mode().IsRegular()) {
		if q.seconds, err = s.checkUnits(ctx, name, format); err != nil {
			return nil, err
		}
	}
	q.reader, err = openUnits(ctx, name, format)
	for err == nil && len(q.first) < 2 {
		var u *units.Utterance
		if u, err = q.reader.Next(); err == nil {
			q.first = append(q.first, u)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if q.reader != nil {
			q.reader.Close()
		}
		return nil, err
	}
	if len(q.first) == 0 {
		q.reader.Close()
		return nil, fmt.Errorf("%s: no units", name)
	}
	return q, nil
}

// next returns the next utterance; nil if there is none, or none that can be read.
func (q *unitsQueue) next() *units.Utterance {
	var u *units.Utterance
	var err error
	switch {
	case q.err != nil:
		return nil
	case len(q.first) > 0:
		u, q.first = q.first[0], q.first[1:]
	default:
		u, err = q.reader.Next()
	}
	if err == nil && q.seen[u.Name] {
		err = fmt.Errorf("two utterances are called %s", u.Name)
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			q.err = err
		}
		return nil
	}
	q.seen[u.Name] = true
	return u
}

// checkUnits checks all utterances of a file or folder, and returns how long they are in seconds.
func (s *synthesis) checkUnits(ctx context.Context, name string, format units.Format) (float64, error) {
	r, err := units.Open(name, format)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	frames, seen := int64(0), map[string]bool{}
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			c := s.model.Config
			return float64(frames) * float64(c.Hop()) / float64(c.Rate), ctx.Err()
		}
		if err == nil {
			err = s.checkUtterance(u)
		}
		if err == nil && seen[u.Name] {
			err = fmt.Errorf("%s: two utterances are called %s", name, u.Name)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		seen[u.Name] = true
		frames += u.Frames()
	}
}

// checkUtterance returns an error if the model cannot speak the units.
func (s *synthesis) checkUtterance(u *units.Utterance) error {
	c := s.model.Config
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s", u.Name, fmt.Sprintf(format, args...))
	}
	for _, v := range []struct {
		name      string
		has, want int
	}{{"rate", u.Rate, c.Rate}, {"hop", u.Hop, c.Hop()}, {"number of units", u.K, c.Bottleneck.Codes()}} {
		if v.has != 0 && v.has != v.want {
			return wrong("the %s is %d, the model's is %d", v.name, v.has, v.want)
		}
	}
	if u.Model != "" {
		s.print.Do(func() { s.fingerprint = checkpoint.Fingerprint(s.model) })
		if u.Model != s.fingerprint {
			return wrong("the units are those of model %s, this is %s", u.Model, s.fingerprint)
		}
	}
	if u.Units == nil {
		if u.Dim != c.Bottleneck.Dim {
			return wrong("vectors of %d numbers, the model's have %d", u.Dim, c.Bottleneck.Dim)
		}
		return nil
	}
	if s.model.Quantiser == nil {
		return wrong("units, and the model has none: as its bottleneck is %q, it speaks vectors", c.Bottleneck.Kind)
	}
	for i, k := range u.Units {
		if int(k) >= c.Bottleneck.Codes() {
			return wrong("unit %d is %d, the model has %d", i, k, c.Bottleneck.Codes())
		}
	}
	return nil
}

// decodeBlock is the number of frames that go to the model at a time.
const decodeBlock = 64

// decode speaks an utterance.
func (s *synthesis) decode(ctx context.Context, b *batch, d drawer, in *units.Utterance) error {
	if err := s.checkUtterance(in); err != nil {
		return err
	}
	u, err := s.begin(ctx, b, d, in.Name, 1)
	if err != nil {
		return err
	}
	defer u.discard()
	var arena tensor.Arena
	dim := s.model.Config.Bottleneck.Dim
	block := make([]float32, 0, decodeBlock*dim)
	for i := range in.Len() {
		vector, times := []float32(nil), int32(1)
		if in.Units != nil {
			vector = s.model.Embed(&arena, in.Units[i:i+1], 1).Data
		} else {
			vector = in.Vectors[i*dim : (i+1)*dim]
		}
		if in.Durations != nil {
			times = in.Durations[i]
		}
		for ; times > 0; times-- {
			if block = append(block, vector...); len(block) == cap(block) {
				if err := u.write(block); err != nil {
					return err
				}
				block = block[:0]
			}
		}
		arena.Reset()
	}
	if err := u.write(block); err != nil {
		return err
	}
	return u.close(in.Frames() * int64(s.model.Config.Hop()))
}
