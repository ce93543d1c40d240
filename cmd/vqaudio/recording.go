package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/frontend"
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

// recording is a file of sound as a model takes it ([frontend.Recording]). It is an audio.Source.
type recording struct {
	*frontend.Recording
	reader *audio.Reader
}

// openRecording opens a recording for a model of the given rate. Level is the RMS in dBFS that it is brought to; NaN leaves it
// as it is. Once ctx is cancelled, nothing waits for a pipe any more.
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
	in, err := frontend.NewRecording(src, level)
	if err != nil {
		r.Close()
		return nil, err
	}
	return &recording{in, r}, nil
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

// levelFlag is the flag of commands that open recordings for a model.
func levelFlag() cli.Flag {
	return &cli.StringFlag{Name: "level", DefaultText: "that of the speech the model was trained on",
		Usage: fmt.Sprintf("bring each recording, by its first %d seconds, to an RMS of `DBFS`; none leaves it", frontend.LevelSeconds)}
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
