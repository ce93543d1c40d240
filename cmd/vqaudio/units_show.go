package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/vqvae"
)

func unitsShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "print the units of recordings, or of files of units",
		ArgsUsage: "[MODEL] FILE|FOLDER|-...",
		Description: "Prints the units of each utterance, 7*3 for three of unit 7 in a row, and for all of them how many there are, how many different\n" +
			"ones occur, their perplexity exp(H), and their bit rate: by their entropy H, and as they are. Recordings are encoded by the\n" +
			"model, the built-in one if none is named; files of units are read as they are, in any format.\n\n" +
			"   vqaudio units show me.wav                       with the built-in model\n" +
			"   vqaudio units show model.safetensors a.wav b.wav\n" +
			"   vqaudio units show units.jsonl",
		Flags:  []cli.Flag{levelFlag()},
		Action: runUnitsShow,
	}
}

func runUnitsShow(c *cli.Context) error {
	modelName, inputs := modelFirst(c)
	if len(inputs) == 0 {
		return &usageError{errors.New("want recordings, or files of units"), "vqaudio units show me.wav"}
	}
	s := &unitsShower{ctx: c.Context, out: c.App.Writer, counts: map[int32]int64{}}
	for _, name := range inputs {
		recorded, err := isRecording(name)
		if err != nil {
			return err
		}
		if recorded && s.model == nil {
			f, file, err := loadSound(modelName, dilated.Float32)
			if err != nil {
				return err
			}
			s.model = f.Model
			if s.model.Quantiser == nil {
				return fmt.Errorf("%s has no units: its bottleneck is %q", file, s.model.Config.Bottleneck.Kind)
			}
			if s.front, err = frontend.New(s.model.Config); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if s.level, err = levelOf(c, s.model.Config); err != nil {
				return err
			}
		}
		if recorded {
			err = s.recordings(name)
		} else {
			err = s.file(name)
		}
		if err != nil {
			return err
		}
	}
	return s.summary()
}

// isRecording reports whether a name is that of sound: not of a file, or of a folder of files, of units. Standard input is one of units.
func isRecording(name string) (bool, error) {
	if name == "-" || isPipe(name) {
		return false, nil
	}
	if isFolder(name) {
		list, err := listSound([]string{name}, func(error) {})
		if err != nil {
			return false, err
		}
		name = list[0].name
	}
	r, err := audio.Open(name)
	if err != nil {
		return false, nil // if it is neither, the reader of units says why
	}
	return true, r.Close()
}

// unitsShower prints units.
type unitsShower struct {
	ctx   context.Context
	out   io.Writer
	model *vqvae.Model // once there is a recording
	front *frontend.Frontend
	level float64

	counts  map[int32]int64
	entries int     // different units that there are; 0 if files do not say
	seconds float64 // 0 if files do not say
}

// recordings shows those of recordings.
func (s *unitsShower) recordings(name string) error {
	list, err := listSound([]string{name}, func(error) {})
	if err != nil {
		return err
	}
	for _, r := range list {
		codes, err := encodeRecording(s.ctx, r.name, s.model, s.front, s.level)
		if err != nil {
			return err
		}
		config := s.model.Config
		u := &units.Utterance{Name: r.id, Info: units.Info{Rate: config.Rate, Hop: config.Hop(), K: config.Bottleneck.Codes()}, Sequence: units.Sequence{Units: codes}}
		if err := s.show(u); err != nil {
			return err
		}
	}
	return nil
}

// file shows those of a file, or of a folder of files.
func (s *unitsShower) file(name string) error {
	r, err := openUnits(s.ctx, name, "")
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && u.Units == nil {
			err = fmt.Errorf("%s: vectors, not units", name)
		}
		if err == nil {
			err = s.show(u)
		}
		if err != nil {
			return err
		}
	}
}

// show prints an utterance.
func (s *unitsShower) show(u *units.Utterance) error {
	length := ""
	if u.Rate > 0 && u.Hop > 0 {
		seconds := float64(u.Frames()) * float64(u.Hop) / float64(u.Rate)
		length = fmt.Sprintf("%.2f s, ", seconds)
		s.seconds += seconds
	}
	s.entries = max(s.entries, u.K)
	var words []string
	for i := 0; i < len(u.Units); {
		k, n := u.Units[i], 0
		for ; i < len(u.Units) && u.Units[i] == k; i++ {
			s.counts[k]++
			if u.Durations == nil {
				n++
			} else {
				n += int(u.Durations[i])
			}
		}
		if n > 1 {
			words = append(words, fmt.Sprintf("%d*%d", k, n))
		} else {
			words = append(words, fmt.Sprint(k))
		}
	}
	_, err := fmt.Fprintf(s.out, "%s: %s%s\n   %s\n", shown(u.Name), length, count(int(u.Frames()), "unit"), wrapWords(words, 100))
	return errors.Join(err, s.ctx.Err())
}

// summary prints what all of them are together.
func (s *unitsShower) summary() error {
	var text strings.Builder
	d := evaluate.DescribeCodes(s.counts, max(1, s.entries), max(s.seconds, 1e-9))
	fmt.Fprintf(&text, "%d different units, perplexity %.1f", len(s.counts), d.Perplexity)
	if s.entries > 0 && s.seconds > 0 {
		fmt.Fprintf(&text, "; %.1f bit/s, %.1f as they are", d.BitRate, d.RawBitRate)
	}
	_, err := fmt.Fprintln(s.out, text.String())
	return err
}
