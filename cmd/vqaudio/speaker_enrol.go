package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/enrol"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/vqvae"
)

func speakerEnrolCommand() *cli.Command {
	return &cli.Command{
		Name:      "enrol",
		Usage:     "give a model a new voice from a short recording",
		ArgsUsage: "[MODEL|RUN] FILE|FOLDER|-...",
		Description: "Fits the vector that stands for a speaker to recordings of a voice; all else of the model stays as it is, and so do\n" +
			fmt.Sprintf("its units. Twenty seconds of speech will do; %d are the least, %d the most. A fifth of it or more, whole recordings or\n", enrol.LeastSeconds, enrol.MostSeconds) +
			"the last part of one, is held out, and shows whether the new voice predicts speech better than the mean of all voices of the\n" +
			"model, and than the nearest of them. If it does not, nothing is written, and the exit code is 1.\n" +
			"The model goes, without the state of its training, in the place of MODEL, or with -o to another file, which the models\n" +
			"of a run ask for. The same seed gives the same voice on any number of threads.\n\n" +
			"   vqaudio speaker enrol model.safetensors zoe.wav --name zoe\n" +
			"   vqaudio speaker enrol run/ recordings-of-zoe/ --name zoe -o model.safetensors\n" +
			"   vqaudio convert model.safetensors in.wav --to zoe -o out.wav",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "call the voice `NAME`"},
			voicesOutputFlag(),
			&cli.BoolFlag{Name: "replace", Usage: "put the voice in the place of the one that has the name already"},
			levelFlag(),
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "go through the speech in the order that `SEED` gives"},
			&cli.StringFlag{Name: "precision", Value: "auto", Usage: "compute in `PRECISION`: float32, bfloat16, or auto, the faster on this machine"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the voice is the same with any number (default: all cores)"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runSpeakerEnrol,
	}
}

// enrolReport is what --json prints.
type enrolReport struct {
	Model       string   `json:"model"`
	Name        string   `json:"name"`
	Clips       []string `json:"clips"`
	Output      string   `json:"output"`      // "" if nothing was written
	Fingerprint string   `json:"fingerprint"` // of what was
	Elapsed     float64  `json:"elapsed_seconds"`
	enrol.Report
}

func runSpeakerEnrol(c *cli.Context) error {
	const example = "vqaudio speaker enrol model.safetensors zoe.wav --name zoe"
	start := time.Now()
	name := c.String("name")
	modelName, inputs := modelFirst(c)
	switch {
	case len(inputs) == 0 || name == "":
		return &usageError{errors.New("want recordings, and --name"), example}
	case modelName == "" && c.String("output") == "":
		return &usageError{errors.New("the built-in model stays as it is: want -o"), "vqaudio speaker enrol zoe.wav --name zoe -o mine.safetensors"}
	}
	if _, err := speaker.NewTable([]string{name}); err != nil {
		return &usageError{fmt.Errorf("--name: %w", err), example}
	}
	f, from, restore, err := readySound(c, modelName, example)
	if err != nil {
		return err
	}
	defer restore()
	out, err := voicesOutput(c, f, from)
	if err != nil {
		return err
	}
	if f.Model.Voices == nil {
		return fmt.Errorf("%s knows no speakers: it has one voice for all", from)
	}
	if f.Model.Speakers.Has(name) && !c.Bool("replace") {
		return &usageError{fmt.Errorf("%s has a speaker %q already", from, name), "choose another name, or --replace its voice"}
	}
	level, err := levelOf(c, f.Model.Config)
	if err != nil {
		return err
	}
	var unseen error
	list, err := listSound(inputs, func(err error) { unseen = errors.Join(unseen, err) })
	if err = errors.Join(err, unseen); err != nil {
		return err
	}
	report := enrolReport{Model: from, Name: name}
	for _, file := range list {
		if file.name != "-" && canonical(file.name) == canonical(out) {
			return &usageError{fmt.Errorf("the model would take the place of %s", file.name), example}
		}
		report.Clips = append(report.Clips, file.id)
	}
	clips, err := readClips(c, list, f.Model.Config.Rate, level)
	if err != nil {
		return err
	}

	bar := newPhases(c.App.ErrWriter)
	vector, fitted, err := enrol.Fit(c.Context, f.Model, clips, enrol.Options{Seed: c.Uint64("seed"), Progress: func(done, total int) {
		bar.Tell("enrolling", "pieces", done, total)
	}})
	bar.Done()
	if err != nil {
		return err
	}
	report.Report = fitted
	if fitted.Gain > 0 {
		var timbre vqvae.Timbre
		if f.Model.HasTimbres() {
			front, err := frontend.New(f.Model.Config)
			if err != nil {
				return err
			}
			timbre = front.Timbre(f.Model, clips...)
		}
		if f.Model, err = f.Model.WithVoice(name, vector, timbre); err != nil {
			return err
		}
		if f.Enrolled == nil {
			f.Enrolled = map[string]speaker.Enrolment{}
		}
		f.Enrolled[name] = speaker.Enrolment{Time: time.Now().UTC().Truncate(time.Second), Clips: report.Clips,
			Seconds: fitted.Fitted + fitted.HeldOut, Gain: fitted.Gain}
		if err := checkpoint.Export(out, f, dilated.Float32); err != nil {
			return err
		}
		report.Output, report.Fingerprint = out, checkpoint.Fingerprint(f.Model)
	}
	report.Elapsed = time.Since(start).Seconds()
	if err := report.print(c); err != nil {
		return err
	}
	if !(fitted.Gain > 0) {
		return errors.New("no gain: in the new voice, speech held out is predicted no better; nothing is written")
	}
	return nil
}

// print prints the report.
func (r *enrolReport) print(c *cli.Context) error {
	if c.Bool("json") {
		return printJSON(c, r)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "fitted on %.1f s of speech, in %.1f s; on the %.1f s held out, in nats per sample:\n", r.Fitted, r.Elapsed, r.HeldOut)
	line := func(name string, nll float64) { fmt.Fprintf(&text, "   %.4f  %s\n", nll, name) }
	line("mean of all voices", r.Mean)
	line(fmt.Sprintf("%s, the nearest voice of the model", shown(r.Nearest)), r.Existing)
	line(fmt.Sprintf("%s: a gain of %.4f", shown(r.Name), r.Gain), r.Enrolled)
	if r.Output != "" {
		fmt.Fprintf(&text, "%s: with %s, fingerprint %s\n", r.Output, shown(r.Name), r.Fingerprint)
	}
	_, err := fmt.Fprint(c.App.Writer, text.String())
	return err
}

// readClips reads recordings as a model takes them, no more than a voice can be fitted on.
func readClips(c *cli.Context, list []soundFile, rate int, level float64) ([][]float32, error) {
	var clips [][]float32
	left := enrol.MostSeconds * rate
	for _, file := range list {
		clip, err := readClip(c, file.name, rate, level, left)
		if err != nil {
			return nil, err
		}
		clips = append(clips, clip)
		left -= len(clip)
	}
	return clips, nil
}

// readClip reads a recording of at most so many samples.
func readClip(c *cli.Context, name string, rate int, level float64, most int) ([]float32, error) {
	r, err := openRecording(c.Context, name, rate, level)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var clip []float32
	err = audio.Copy(r, func(block []float64) error {
		if len(block) > most-len(clip) {
			return fmt.Errorf("more than %d s of speech: that much is the most that a voice can be fitted on", enrol.MostSeconds)
		}
		for _, v := range block {
			clip = append(clip, float32(v))
		}
		return c.Context.Err()
	})
	if info := r.reader.Info(); err == nil && info.Truncated {
		fmt.Fprintf(c.App.ErrWriter, "vqaudio: %s is cut off: %s\n", name, strings.Join(info.Oddities, ", "))
	}
	return clip, err
}
