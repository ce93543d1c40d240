package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/vqvae"
)

// soundFile is a recording that a command was given.
type soundFile struct {
	name string // to open it by
	id   string // its path below the folder that was given, with slashes and without extension; of a file, its name without extension
}

// listSound returns the recordings that args stand for, in order: files, folders with all below them, "-". It hands to
// failed what cannot be looked at. Two recordings with the same id, whose results could not be told apart, are an error.
func listSound(args []string, failed func(error)) ([]soundFile, error) {
	var list []soundFile
	seen := map[string]string{}
	for _, arg := range args {
		if err := findSound(arg, func(name string, err error) error {
			if err != nil {
				failed(err)
				return nil
			}
			id := filepath.Base(name)
			if relative, err := filepath.Rel(arg, name); err == nil && relative != "." {
				id = filepath.ToSlash(relative)
			}
			if name != "-" {
				id = strings.TrimSuffix(id, filepath.Ext(id))
			}
			if before, ok := seen[id]; ok {
				return &usageError{fmt.Errorf("%s and %s would both be called %s", before, name, id), "give them one at a time"}
			}
			seen[id] = name
			list = append(list, soundFile{name, id})
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// recording is a recording as a model takes it: one channel, at the model's rate, without DC, and at the level that models
// are trained at. It is an audio.Source, and takes the same memory however long it is.
type recording struct {
	audio.Source
	reader *audio.Reader
	gain   float64 // what the sound was multiplied by

	// The first ten seconds of it, from where there first is sound; none if nobody asked for its level, as then there may be no time to wait for them.
	beginning []float32
}

// timbreSeconds is how much of a recording, from its start, says what its timbre is.
const timbreSeconds = 10

// levelSeconds is how much of a recording, from its start, says what its level is. It is not all of it: what comes from a pipe
// is heard once only, and is to be what it would be from a file.
const levelSeconds = 60

// openRecording opens a recording for a model of the given rate. Level is the RMS in dBFS that it is brought to; NaN leaves it
// as it is. Silence at either end is no part of what is measured, as in the preparation of a corpus. Once ctx is cancelled,
// nothing waits for a pipe any more.
func openRecording(ctx context.Context, name string, rate int, level float64) (*recording, error) {
	r, err := openSound(ctx, name)
	if err != nil {
		return nil, err
	}
	src, err := audio.Resample(audio.Mono(r), rate)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if math.IsNaN(level) {
		return &recording{Source: src, reader: r, gain: 1}, nil
	}
	start := &startOf{Source: src}
	if err := start.read(levelSeconds * rate); err != nil {
		r.Close()
		return nil, err
	}
	activity := audio.NewActivity(rate)
	activity.Add(start.samples)
	from, to := activity.Bounds(audio.TrimBelow, audio.TrimMargin)
	var meter audio.Meter
	meter.Add(start.samples[from:to])
	centred := meter.Centred()
	gain := audio.Gain(centred.RMS(), centred.Peak(), level)
	var beginning []float32 // of the rest of the minute nothing stays
	for _, x := range start.samples[from:min(to, from+int64(timbreSeconds*rate))] {
		beginning = append(beginning, float32((x-meter.DC())*gain))
	}
	return &recording{audio.Adjust(start, meter.DC(), gain), r, gain, beginning}, nil
}

// openSound opens a recording, be it a pipe.
func openSound(ctx context.Context, name string) (*audio.Reader, error) {
	switch in, err := openPipe(ctx, name); {
	case err != nil:
		return nil, err
	case in != nil:
		return audio.NewReader(in, name)
	}
	return audio.Open(name)
}

// Seconds is the length of the recording as its header has it; -1 if that is not known.
func (r *recording) Seconds() float64 {
	info := r.reader.Info()
	if info.Frames < 0 {
		return -1
	}
	return float64(info.Frames) / float64(info.Rate)
}

// Close closes the file.
func (r *recording) Close() error { return r.reader.Close() }

// startOf is a source whose first samples have been read already.
type startOf struct {
	audio.Source
	samples []float64
	handed  int   // of the samples
	end     error // what came after them, if it was not sound
}

// read reads up to n samples.
func (s *startOf) read(n int) error {
	block := make([]float64, 4096)
	for len(s.samples) < n {
		got, err := s.Source.Read(block[:min(len(block), n-len(s.samples))])
		s.samples = append(s.samples, block[:got]...)
		if errors.Is(err, io.EOF) {
			s.end = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *startOf) Read(block []float64) (int, error) {
	switch {
	case s.handed < len(s.samples):
		n := copy(block, s.samples[s.handed:])
		s.handed += n
		return n, nil
	case s.end != nil:
		return 0, s.end
	}
	s.samples, s.handed = nil, 0
	return s.Source.Read(block)
}

// levelFlag is the flag of commands that open recordings for a model.
func levelFlag() cli.Flag {
	return &cli.StringFlag{Name: "level", DefaultText: "that of the speech the model was trained on",
		Usage: fmt.Sprintf("bring each recording, by its first %d seconds, to an RMS of `DBFS`; none leaves it", levelSeconds)}
}

// levelOf returns the value of levelFlag, as openRecording takes it, for a model of the configuration given.
func levelOf(c *cli.Context, model vqvae.Config) (float64, error) {
	text := c.String("level")
	switch {
	case text == "" && model.Level != 0:
		return model.Level, nil
	case text == "none" || text == "":
		return math.NaN(), nil
	}
	level, err := strconv.ParseFloat(text, 64)
	if err != nil || !(level >= -100 && level <= 0) {
		return 0, &usageError{fmt.Errorf("--level %q: want none, or -100 to 0", text), c.Command.HelpName + " --help lists the flags"}
	}
	return level, nil
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// spare returns an error if out, which is to be written, is one of the files of the names given.
func spare(out string, names ...string) error {
	written := canonical(out)
	for _, name := range names {
		if out != "-" && name != "-" && canonical(name) == written {
			return &usageError{fmt.Errorf("the result would take the place of %s", name), "choose another name with -o"}
		}
	}
	return nil
}

// canonical returns the one name of a file that has several by way of links, as far as it is there.
func canonical(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	if absolute, err := filepath.Abs(name); err == nil {
		name = absolute
	}
	return name
}
