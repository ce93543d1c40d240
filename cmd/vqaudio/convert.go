package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/vqvae"
)

func convertCommand() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "say what recordings say in the voice of another speaker",
		ArgsUsage: "[MODEL] FILE|FOLDER|-...",
		Description: "Encodes each recording to units and decodes these in the voice of a speaker of the model. The result is at the\n" +
			"model's rate, mono, as long as the recording, and at its level. Of one file, or of standard input, it goes to a file, or\n" +
			"to standard output as it is made; of several, or of a folder, to a folder. The same seed gives the same sound, for\n" +
			"each file by its name, on any number of threads. A recording of any length takes the same memory. Its first minute\n" +
			"is waited for, as that says what its level is, unless --level is none.\n" +
			"A model whose encoder sees features (preset voices) knows the timbre of each of its speakers: mean and deviation of each\n" +
			"band of their speech. A recording is given that of the target first, taken off that of the speaker whom --from names, or,\n" +
			"without --from, off its own, by its first ten seconds: so less of the voice that spoke is left. With --level none there is\n" +
			"no time to measure it. With --as-is it stays as it is, and units are those of encode --precision float32.\n" +
			"After a pause the decoder begins anew, so that the phrases of a long recording can be drawn together, as several\n" +
			"recordings are: on each core many share the reading of weights. That changes no sample.\n\n" +
			"   vqaudio convert me.wav --to so762-0563 -o out.wav                 with the built-in model (vqaudio voices)\n" +
			"   vqaudio convert model.safetensors in.wav --to p225 -o out.wav     with another one\n" +
			"   vqaudio convert model.safetensors recordings/ --to p225 -o converted/\n" +
			"   cat in.flac | vqaudio convert model.safetensors - --to p225 -o - | aplay",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "speak as `NAME`, a speaker of the model (vqaudio speaker list MODEL), or a mixture, NAME:WEIGHT,NAME:WEIGHT"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `WAV`, - is standard output; of several recordings, to a folder"},
			&cli.StringFlag{Name: "from", Usage: "the recordings are of `NAME`, a speaker of the model, or a mixture", DefaultText: "whose voice it is, is measured"},
			&cli.BoolFlag{Name: "as-is", Usage: "do not give recordings the timbre of the target before they are encoded"},
			levelFlag(),
		}, synthesisFlags()),
		Action: runConvert,
	}
}

func runConvert(c *cli.Context) error {
	const example = "vqaudio convert in.wav --to NAME -o out.wav"
	modelName, inputs := modelFirst(c)
	if len(inputs) == 0 || c.String("to") == "" || c.String("output") == "" {
		return &usageError{errors.New("want a recording, --to and -o"), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	s, err := newSynthesis(c, modelName, c.String("to"))
	if err != nil {
		return err
	}
	level, err := levelOf(c, s.model.Config)
	if err != nil {
		return err
	}
	hear, err := newHearing(c, s)
	if err != nil {
		return err
	}
	var unseen []error
	list, err := listSound(inputs, func(err error) { unseen = append(unseen, err) })
	if err != nil {
		return err
	}
	o, err := newOutput(c, len(inputs) > 1 || isFolder(inputs[0]), s.file)
	if err != nil {
		return err
	}
	if err := o.spares(list); err != nil {
		return err
	}
	seconds := lengthOf(list)
	var together []drawer // for the phrases of a single recording
	if len(list) == 1 && seconds >= severalPhrases && o.name != "-" && !s.twoCores {
		together = s.drawers(true)
	}
	b := newBatch(c, o, "converting", seconds, s.model.Config.Rate)
	return b.run(c.Context, s.drawers(len(list) > 1), func() (job func(drawer) error, ok bool) {
		switch {
		case len(unseen) > 0:
			err := unseen[0]
			unseen = unseen[1:]
			return func(drawer) error { return err }, true
		case len(list) > 0:
			file := list[0]
			list = list[1:]
			return func(d drawer) error { return s.convert(c.Context, b, d, together, file, level, hear) }, true
		}
		return nil, false
	})
}

// severalPhrases is the length in seconds from which on a recording may well have several phrases.
const severalPhrases = 10

// hearing returns the model as it is to hear a recording, and by how much what it speaks then is louder.
type hearing func(*recording) (m *vqvae.Model, louder float64)

// newHearing returns what --from and --as-is ask for.
func newHearing(c *cli.Context, s *synthesis) (hearing, error) {
	const example = "vqaudio convert model.safetensors in.wav --from NAME --to NAME -o out.wav"
	as := func(m *vqvae.Model, louder float64) hearing {
		return func(*recording) (*vqvae.Model, float64) { return m, louder }
	}
	from := c.String("from")
	switch {
	case from != "" && c.Bool("as-is"):
		return nil, &usageError{errors.New("--from and --as-is: want one of them"), example}
	case from != "" && !s.model.HasTimbres():
		return nil, &usageError{fmt.Errorf("--from %s: %s does not know what the speech of its speakers is like", from, s.file), "leave --from out"}
	case c.Bool("as-is") || !s.model.HasTimbres():
		return as(s.model, 1), nil
	}
	target := s.model.Timbre(s.mix)
	if from != "" {
		mix, err := s.model.Speakers.Mix(from)
		if err != nil {
			return nil, fmt.Errorf("--from: %s: %w", s.file, err)
		}
		source := s.model.Timbre(mix)
		return as(s.model.Adapted(source, target), target.Louder(source)), nil
	}
	return func(r *recording) (*vqvae.Model, float64) { return r.Adapt(s.front, s.model, target) }, nil
}

// convert converts a recording: with d its phrases one after the other, or, if there are some, with others together.
func (s *synthesis) convert(ctx context.Context, b *batch, d drawer, together []drawer, file soundFile, level float64, hear hearing) error {
	r, err := openRecording(ctx, file.name, s.model.Config.Rate, level)
	if err != nil {
		return err
	}
	defer r.Close()
	model, louder := hear(r)
	u, err := s.begin(ctx, b, d, file.id, 1/r.Gain/louder)
	if err != nil {
		return err
	}
	var out speech = u
	if len(together) > 0 {
		out = newChorus(u, together)
	}
	defer out.discard()
	p := newPhrased(s.front, model, level, out)
	err = audio.Copy(r, func(block []float64) error {
		if err := p.write(block); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if info := r.reader.Info(); info.Truncated {
		b.bar.Note("vqaudio: %s is cut off: %s", file.name, strings.Join(info.Oddities, ", "))
	}
	return p.close()
}

// lengthOf returns the length of recordings in seconds, as far as their headers have it; -1 if one has not.
func lengthOf(list []soundFile) float64 {
	total := 0.0
	for _, f := range list {
		if f.name == "-" || isPipe(f.name) { // which can be read once
			return -1
		}
		r, err := audio.Open(f.name)
		if err != nil {
			continue // this is reported when its turn comes
		}
		info := r.Info()
		r.Close()
		if info.Frames < 0 {
			return -1
		}
		total += float64(info.Frames) / float64(info.Rate)
	}
	return total
}

// spares returns an error if a result would take the place of a recording.
func (o *output) spares(list []soundFile) error {
	if o.name == "-" {
		return nil
	}
	results := map[string]bool{}
	for _, f := range list {
		results[canonical(o.path(f.id))] = true
	}
	for _, f := range list {
		if f.name != "-" && results[canonical(f.name)] {
			return &usageError{fmt.Errorf("the result would take the place of %s", f.name), "choose another name with -o"}
		}
	}
	return nil
}
