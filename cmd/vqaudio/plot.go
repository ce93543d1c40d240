package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/picture"
)

func plotCommand() *cli.Command {
	return &cli.Command{
		Name:      "plot",
		Usage:     "draw a recording: waveform, spectrogram, units",
		ArgsUsage: "FILE|-",
		Description: "Draws the waveform (peaks light, RMS dark) above the spectrogram (levels in dB, 0 is a sine at full scale),\n" +
			"and below it, in colours, the units that a model turns the recording into, the built-in one if none is named. Or those in a\n" +
			"file of units, in any format of \"vqaudio units\": of its one utterance, or of the one with the recording's name; they lie evenly\n" +
			"over the recording from its start to its end. Channels are mixed. Standard input, which can be read once, is drawn without units\n" +
			"unless there is a file of them. A recording of any length takes the same memory, but for its units.\n\n" +
			"   vqaudio plot speech.wav                            writes speech.png here\n" +
			"   vqaudio plot speech.wav --start 1.5 --seconds 0.5  half a second of it\n" +
			"   vqaudio plot speech.wav --model run/ -o b.png      with the units of another model\n" +
			"   vqaudio plot speech.wav --codes units.txt -o a.png\n" +
			"   vqaudio plot speech.wav --no-units                 waveform and spectrogram alone\n" +
			"   cat speech.flac | vqaudio plot - -o - > a.png",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the PNG to `FILE`, - is standard output (default: named after the recording, in this folder)"},
			&cli.StringFlag{Name: "model", Usage: "draw the units of `MODEL`, a file or the folder of a run", DefaultText: "the built-in one"},
			&cli.BoolFlag{Name: "no-units", Usage: "draw no units"},
			&cli.StringFlag{Name: "codes", Usage: "draw the units in `FILE` below the spectrogram"},
			&cli.Float64Flag{Name: "code-rate", Usage: "there are `R` units in a second, from the start on, wherever they end"},
			&cli.Float64Flag{Name: "start", Usage: "begin after `S` seconds"},
			&cli.Float64Flag{Name: "seconds", Usage: "draw `S` seconds, not all"},
			&cli.StringFlag{Name: "channel", Value: "mix", Usage: "take channel `N`, from 1; mix takes the mean of all"},
			&cli.IntFlag{Name: "width", Value: 1200, Usage: fmt.Sprintf("of the picture in `PIXELS`, %d to %d", picture.MinWidth, picture.MaxWidth)},
			&cli.IntFlag{Name: "height", Value: 640, Usage: fmt.Sprintf("of the picture in `PIXELS`, %d to %d", picture.MinHeight, picture.MaxHeight)},
		},
		Action: runPlot,
	}
}

// plotSettings are the flags of plot, as far as they say what is drawn.
type plotSettings struct {
	channel  int     // from 1; 0 mixes all
	start    float64 // seconds
	seconds  float64 // 0 for all
	codes    []int32 // nil for none
	codeRate float64 // units a second; 0 for evenly over the recording
	options  picture.Options
}

// maxPlotSeconds is where time ends for plot: a year.
const maxPlotSeconds = 366 * 24 * 3600

func runPlot(c *cli.Context) error {
	const hint = "vqaudio plot --help lists the flags"
	if c.NArg() != 1 {
		return &usageError{fmt.Errorf("plot takes one recording, not %d", c.NArg()), "vqaudio plot speech.wav"}
	}
	name, out := c.Args().First(), c.String("output")
	s := plotSettings{
		start: c.Float64("start"), seconds: c.Float64("seconds"), codeRate: c.Float64("code-rate"),
		options: picture.Options{Width: c.Int("width"), Height: c.Int("height"), Title: filepath.Base(name)},
	}
	if name == "-" {
		s.options.Title = "standard input"
	}
	if channel := c.String("channel"); channel != "mix" {
		var err error
		if s.channel, err = strconv.Atoi(channel); err != nil || s.channel < 1 {
			return &usageError{fmt.Errorf("--channel %q: want mix, or a number from 1", channel), hint}
		}
	}
	switch {
	case !(s.start >= 0 && s.start <= maxPlotSeconds):
		return &usageError{fmt.Errorf("--start %v: want 0 to %d seconds", s.start, maxPlotSeconds), hint}
	case c.IsSet("seconds") && !(s.seconds > 0 && s.seconds <= maxPlotSeconds):
		return &usageError{fmt.Errorf("--seconds %v: want more than 0, at most %d", s.seconds, maxPlotSeconds), hint}
	case c.IsSet("code-rate") && !(s.codeRate > 0 && s.codeRate <= 1e6):
		return &usageError{fmt.Errorf("--code-rate %v: want more than 0, at most a million", s.codeRate), hint}
	case c.IsSet("codes") && (c.IsSet("model") || c.Bool("no-units")) || c.IsSet("model") && c.Bool("no-units"):
		return &usageError{errors.New("--codes, --model, --no-units: want one of them"), hint}
	case c.IsSet("model") && (name == "-" || isPipe(name)):
		return &usageError{errors.New("--model: what comes from a pipe can be read once"), "vqaudio plot FILE --model MODEL"}
	case c.IsSet("code-rate") && !c.IsSet("codes"):
		return &usageError{errors.New("--code-rate without --codes"), hint}
	case out == "" && name == "-":
		return &usageError{errors.New("what comes from standard input has no name for the picture"), "vqaudio plot - -o picture.png"}
	}
	if err := s.options.Check(); err != nil {
		return &usageError{err, hint}
	}
	if out == "" {
		out = strings.TrimSuffix(s.options.Title, filepath.Ext(name)) + ".png"
	}
	for _, in := range []string{name, c.String("codes")} {
		a, err := os.Stat(in)
		b, e := os.Stat(out)
		if err == nil && e == nil && os.SameFile(a, b) {
			return &usageError{fmt.Errorf("the picture would take the place of %s", in), "vqaudio plot FILE -o OTHER.png"}
		}
	}
	if codes := c.String("codes"); codes != "" {
		var err error
		if s.codes, err = readPlotUnits(c.Context, codes, strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))); err != nil {
			return err
		}
	}
	if !c.IsSet("codes") && !c.Bool("no-units") && name != "-" && !isPipe(name) {
		if err := s.encode(c, name); err != nil {
			return err
		}
	}
	drawn, err := s.draw(c.Context, c.App.ErrWriter, name)
	if err != nil {
		return err
	}
	if out == "-" {
		return png.Encode(c.App.Writer, drawn)
	}
	if err := writePNG(out, drawn); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, out)
	return nil
}

// encode takes the units that the model makes of the recording.
func (s *plotSettings) encode(c *cli.Context, name string) error {
	f, file, err := loadSound(c.String("model"), dilated.Float32)
	if err != nil {
		return err
	}
	config := f.Model.Config
	if f.Model.Quantiser == nil {
		return fmt.Errorf("%s has no units: its bottleneck is %q", file, config.Bottleneck.Kind)
	}
	front, err := frontend.New(config)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	level, err := levelOf(c, config)
	if err != nil {
		return err
	}
	s.codeRate = float64(config.Rate) / float64(config.Hop())
	s.codes, err = encodeRecording(c.Context, name, f.Model, front, level)
	return err
}

// draw draws the recording name. It says on stderr how far it is, and what is missing of the recording.
func (s *plotSettings) draw(ctx context.Context, stderr io.Writer, name string) (*image.RGBA, error) {
	r, err := audio.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	src := audio.Mono(r)
	if s.channel > 0 {
		if n := r.Format().NumChannels; s.channel > n {
			return nil, &usageError{fmt.Errorf("--channel %d: %s has %d", s.channel, name, n), "vqaudio plot FILE --channel 1"}
		}
		if src, err = audio.Channel(r, s.channel-1); err != nil {
			return nil, err
		}
	}
	rate := float64(src.Format().SampleRate)
	start, end := int64(s.start*rate+0.5), int64(maxPlotSeconds*rate)
	if s.seconds > 0 {
		end = start + max(int64(s.seconds*rate+0.5), 1)
	}
	o := s.options
	o.Start = float64(start) / rate
	p, err := picture.New(src.Format().SampleRate, o)
	if err != nil {
		return nil, err
	}

	const long = 600 // seconds: more of them take more than a moment
	var bar *progressBar
	if frames := r.Info().Frames; frames < 0 || float64(frames) > long*rate {
		bar = newProgress(stderr, "reading", "s", max(-1, frames/int64(rate)))
		defer bar.Done()
	}
	frames, told, drawn := int64(0), int64(0), int64(0)
	err = audio.Copy(src, func(block []float64) error {
		from, to := min(max(start-frames, 0), int64(len(block))), min(max(end-frames, 0), int64(len(block)))
		p.Add(block[from:to])
		drawn += to - from
		frames += int64(len(block))
		if bar != nil && frames/int64(rate) > told {
			bar.Add(frames/int64(rate) - told)
			told = frames / int64(rate)
		}
		if frames >= end && (s.codes == nil || s.codeRate > 0) {
			return errPlotted // nobody asks how long the rest is
		}
		return ctx.Err()
	})
	if err != nil && !errors.Is(err, errPlotted) {
		return nil, err
	}
	if drawn == 0 && frames > 0 {
		return nil, fmt.Errorf("%s: there is nothing after %v s: it is %.6g s long", name, s.start, float64(frames)/rate)
	}
	if r.Info().Truncated {
		fmt.Fprintf(stderr, "vqaudio: %s is cut off: %s\n", name, strings.Join(r.Info().Oddities, ", "))
	}
	if s.codes == nil {
		return p.Draw(nil), nil
	}
	codes := &picture.Codes{Units: s.codes, Rate: s.codeRate}
	if codes.Rate == 0 {
		codes.Rate = max(float64(len(s.codes)), 1) / (max(float64(frames), 1) / rate)
	}
	return p.Draw(codes), nil
}

// errPlotted ends the reading of a recording of which enough is known.
var errPlotted = errors.New("all that is drawn has been read")

// writePNG writes a picture as a file, whole or not at all.
func writePNG(name string, drawn image.Image) error {
	var data bytes.Buffer
	if err := png.Encode(&data, drawn); err != nil {
		return err
	}
	return files.Write(name, data.Bytes())
}
