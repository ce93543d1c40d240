package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

func generateCommand() *cli.Command {
	return &cli.Command{
		Name:      "generate",
		Usage:     "speak from nothing, or go on from a recording",
		ArgsUsage: "[MODEL]",
		Description: "Draws units from a prior over the units of the model, and speaks them, as they are drawn, in the voice of a speaker. The\n" +
			"prior is told the speaker where it knows the name. Of one clip the sound goes to a file, or to standard output as\n" +
			"it is made; of several, drawn together, to a folder, in files that are called 0001.wav, 0002.wav and so on. With a\n" +
			"prompt a clip begins with the recording as the model speaks it, and goes on for --seconds. The same seed gives the same clips, on\n" +
			"any number of threads. A clip of any length takes the same memory, but for its units if they are asked for.\n\n" +
			"   vqaudio generate --speaker so762-0563 -o out.wav                   with the built-in model and prior (vqaudio voices)\n" +
			"   vqaudio generate model.safetensors --prior prior.safetensors --speaker p225 -o out.wav\n" +
			"   vqaudio generate run/ --prior prior/ --speaker p225 --seconds 5 --count 10 -o clips/ --units clips/units.jsonl\n" +
			"   vqaudio generate run/ --prior prior/ --speaker p225 --prompt begun.wav -o - | aplay",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "prior", Usage: "draw units from `PRIOR`, a file or the folder of its training (vqaudio train prior)", DefaultText: "the built-in one, with the built-in model"},
			&cli.StringFlag{Name: "speaker", Usage: "speak as `NAME`, a speaker of the model (vqaudio speaker list MODEL), or a mixture, NAME:WEIGHT,NAME:WEIGHT"},
			&cli.Float64Flag{Name: "seconds", Value: 10, Usage: "generate so many `SECONDS`"},
			&cli.IntFlag{Name: "count", Value: 1, Usage: "generate `N` clips"},
			&cli.StringFlag{Name: "prompt", Usage: "go on from the recording `FILE`"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `WAV`, - is standard output; of several clips, to a folder"},
			&cli.StringFlag{Name: "units", Usage: "write the units to `FILE`, too"},
			&cli.StringFlag{Name: "format", Value: string(units.JSONL), Usage: "those in `FORMAT` (vqaudio units)"},
			&cli.Float64Flag{Name: "unit-temperature", Value: 1, Usage: "draw units at the temperature `T`: below 1 what is said is more usual; 0 always takes the likeliest"},
			&cli.IntFlag{Name: "unit-top-k", Usage: "draw among the `K` likeliest units", DefaultText: "all"},
			&cli.Float64Flag{Name: "unit-top-p", Usage: "draw among the likeliest units that have the probability `P` together", DefaultText: "all"},
			levelFlag(),
		}, synthesisFlags()),
		Action: runGenerate,
	}
}

// generation is what clips have in common.
type generation struct {
	*synthesis
	prior   *prior.Prior
	weights *prior.Generator // which those of all clips share
	speaker int32            // of the prior
	drawing wavenet.Drawing
	prompt  []int32   // units
	frames  int       // to be generated
	clips   [][]int32 // the units of each, if they are asked for
	dim     int
}

const (
	maxGenerated = 24 * 3600 // seconds
	maxClips     = 9999
)

func runGenerate(c *cli.Context) error {
	const example = "vqaudio generate MODEL --prior PRIOR --speaker NAME --seconds 10 -o out.wav"
	seconds, number := c.Float64("seconds"), c.Int("count")
	switch {
	case c.NArg() > 1 || c.String("output") == "":
		return &usageError{errors.New("want -o, and at most one model"), example}
	case c.NArg() == 1 && c.String("prior") == "":
		return &usageError{errors.New("want --prior, a prior over the units of that model"), example}
	case !(seconds > 0 && seconds <= maxGenerated):
		return &usageError{fmt.Errorf("--seconds %v: want more than 0, and at most %d", seconds, maxGenerated), example}
	case number < 1 || number > maxClips:
		return &usageError{fmt.Errorf("--count %d: want 1 to %d", number, maxClips), example}
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
	f, priorFile, err := loadPrior(c.String("prior"), dilated.Float32)
	if err != nil {
		return err
	}
	s, err := newSynthesis(c, c.Args().First(), c.String("speaker"))
	if err != nil {
		return err
	}
	s.fingerprint = checkpoint.Fingerprint(s.model)
	if _, err := f.Prior.Config.For(s.model.Config, s.fingerprint); err != nil {
		return fmt.Errorf("%s: %w", priorFile, err)
	}
	g := &generation{synthesis: s, prior: f.Prior, speaker: f.Prior.Nobody(), dim: s.model.Config.Bottleneck.Dim,
		drawing: wavenet.Drawing{Temperature: c.Float64("unit-temperature"), TopK: c.Int("unit-top-k"), TopP: c.Float64("unit-top-p")}}
	if err := g.drawing.Check(g.prior.Net.Config); err != nil {
		return &usageError{fmt.Errorf("--unit-%w", err), example}
	}
	g.weights = g.prior.NewGenerator(g.prior.Nobody(), g.drawing, nil)
	config := s.model.Config
	samples := int64(math.Ceil(seconds * float64(config.Rate)))
	g.frames = int((samples + int64(config.Hop()) - 1) / int64(config.Hop()))
	sources := []string{s.file, priorFile}
	if c.IsSet("prompt") {
		sources = append(sources, c.String("prompt"))
	}
	o, err := newOutput(c, number > 1, sources...)
	if err != nil {
		return err
	}
	if c.String("units") != "" {
		if err := spare(c.String("units"), append(sources, c.String("output"))...); err != nil {
			return err
		}
	}
	if g.prior.Speakers.Has(c.String("speaker")) {
		if g.speaker, err = g.prior.Speakers.ID(c.String("speaker")); err != nil {
			return err
		}
	} else if g.prior.Config.Speaker > 0 {
		fmt.Fprintf(c.App.ErrWriter, "vqaudio: the prior does not know %q: it draws units of nobody in particular\n", c.String("speaker"))
	}
	if c.IsSet("prompt") {
		if err := g.encode(c, c.String("prompt")); err != nil {
			return err
		}
	}
	if c.String("units") != "" {
		g.clips = make([][]int32, number)
	}
	samples += int64(len(g.prompt) * config.Hop())
	b := newBatch(c, o, "generating", float64(number)*float64(samples)/float64(config.Rate), config.Rate)
	next := 0
	err = b.run(c.Context, s.drawers(number > 1), func() (job func(drawer) error, ok bool) {
		i := next
		next++
		return func(d drawer) error { return g.generate(c.Context, b, d, i, samples) }, i < number
	})
	if err != nil || g.clips == nil {
		return err
	}
	return g.writeUnits(c.String("units"), format)
}

// encode takes the units of a recording as the prompt.
func (g *generation) encode(c *cli.Context, name string) error {
	level, err := levelOf(c, g.model.Config)
	if err != nil {
		return err
	}
	g.prompt, err = encodeRecording(c.Context, name, g.model, g.front, level)
	return err
}

// encodeRecording returns the units of a recording, brought to a level as openRecording does.
func encodeRecording(ctx context.Context, name string, m *vqvae.Model, f *frontend.Frontend, level float64) (list []int32, err error) {
	r, err := openRecording(ctx, name, m.Config.Rate, level)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	encoder := frontend.NewEncoder(f, m)
	err = audio.Copy(r, func(block []float64) error {
		list = append(list, encoder.Write(block).Codes...)
		return ctx.Err()
	})
	return append(list, encoder.Close().Codes...), err
}

// generate generates a clip: the prompt, and what the prior goes on with.
func (g *generation) generate(ctx context.Context, b *batch, d drawer, number int, samples int64) error {
	id := fmt.Sprintf("%04d", number+1)
	u, err := g.begin(ctx, b, d, id, 1)
	if err != nil {
		return err
	}
	defer u.discard()
	key := sha256.Sum256(fmt.Appendf(nil, "%d units %s", g.seed, id))
	draw := g.weights.Another(g.speaker, rand.New(rand.NewChaCha8(key)).Float64)
	draw.Feed(g.prompt)
	var arena tensor.Arena
	speak := func(codes []int32) error {
		if g.clips != nil {
			g.clips[number] = append(g.clips[number], codes...)
		}
		defer arena.Reset()
		return u.write(g.model.Embed(&arena, codes, 1).Data)
	}
	for codes := range slices.Chunk(g.prompt, decodeBlock) {
		if err := speak(codes); err != nil {
			return err
		}
	}
	block := make([]int32, 0, decodeBlock)
	for left := g.frames; left > 0; left -= len(block) {
		block = block[:0]
		for range min(left, decodeBlock) {
			block = append(block, draw.Next())
		}
		if err := speak(block); err != nil {
			return err
		}
	}
	return u.close(samples)
}

// writeUnits writes the units of all clips.
func (g *generation) writeUnits(name string, f units.Format) error {
	w, err := units.Create(name, f, units.Options{})
	if err != nil {
		return err
	}
	defer w.Discard()
	config := g.model.Config
	info := units.Info{Rate: config.Rate, Hop: config.Hop(), K: config.Bottleneck.Codes(), Model: g.fingerprint}
	for i, codes := range g.clips {
		u := &units.Utterance{Name: fmt.Sprintf("%04d", i+1), Info: info, Sequence: units.Sequence{Units: codes}}
		if err := w.Write(u); err != nil {
			return err
		}
	}
	return w.Commit()
}
