package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/wavenet"
)

func evaluateGenerationCommand() *cli.Command {
	return &cli.Command{
		Name:      "generation",
		Usage:     "how far is generated speech from real speech?",
		ArgsUsage: "PRIOR|RUN",
		Description: "Draws units from a prior for each utterance of the split, as many as it has, and compares them with its own: divergences\n" +
			"(Jensen and Shannon, in bits: 0 is the same, 1 nothing in common) of units, of the lengths of runs of equal units, and of pairs\n" +
			"of units. And speaks some clips: how much of them is pause (35 dB below speech), how much has a pitch. Beside that, by the same\n" +
			"measure: units of other recordings, which is as near as one can come, and units that are drawn each by itself.\n" +
			"With --long it also generates so many seconds in one piece, and tells sixth by sixth level, pauses, entropy of units and memory: does it\n" +
			"drift into silence, noise, or for ever the same?\n" +
			"Leaves in the folder -o recorded, reconstructed and generated clips, a picture of recorded ones beside generated ones, and report.md.\n\n" +
			"   vqaudio evaluate generation prior/ --model run/ --corpus vctk.cache -o clips/\n" +
			"   vqaudio evaluate generation prior/ --model run/ --corpus vctk.cache -o clips/ --long 3600 --precision int8",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "the `MODEL` whose codes the prior was trained on, a file or the folder of a run"},
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "compare with the utterances of `SPLIT`: train, valid or test"},
			&cli.IntFlag{Name: "clips", Value: 10, Usage: "speak `N` clips"},
			&cli.Float64Flag{Name: "seconds", Value: 5, Usage: "of so many `SECONDS`: of utterances that are at least as long"},
			&cli.Float64Flag{Name: "unit-temperature", Value: 1, Usage: "draw units at the temperature `T`"},
			&cli.Float64Flag{Name: "long", Usage: "generate `SECONDS` in one piece, too", DefaultText: "no"},
			&cli.StringFlag{Name: "speaker", Usage: "that as `NAME`, a speaker of the model", DefaultText: "the first"},
			&cli.StringFlag{Name: "precision", Value: "auto", Usage: "that with the decoder's weights in `PRECISION`: float32, bfloat16, int8 or auto (vqaudio generate)"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw with the `SEED`"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "leave clips and their picture in `FOLDER`"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runEvaluateGeneration,
	}
}

func runEvaluateGeneration(c *cli.Context) error {
	const example = "vqaudio evaluate generation PRIOR --model MODEL --corpus CACHE -o clips/"
	o := evaluate.GenerationOptions{Split: c.String("split"), Clips: c.Int("clips"), Seconds: c.Float64("seconds"), Seed: c.Uint64("seed"),
		Drawing: wavenet.Drawing{Temperature: c.Float64("unit-temperature")}}
	switch {
	case c.NArg() != 1 || c.String("model") == "" || c.String("corpus") == "":
		return &usageError{errors.New("want one prior, --model and --corpus"), example}
	case o.Clips < 1 || o.Clips > maxClips:
		return &usageError{fmt.Errorf("--clips %d: want 1 to %d", o.Clips, maxClips), example}
	case !(o.Seconds >= 0.01 && o.Seconds <= 60):
		return &usageError{fmt.Errorf("--seconds %v: want 0.01 to 60", o.Seconds), example}
	case o.Split != corpora.Train && o.Split != corpora.Valid && o.Split != corpora.Test:
		return &usageError{fmt.Errorf("--split %q: want train, valid or test", o.Split), example}
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	in, err := openMeasured(c, example, loadSound)
	if err != nil {
		return err
	}
	defer in.corpus.Close()
	if err := o.Drawing.Check(in.prior.Net.Config); err != nil {
		return &usageError{fmt.Errorf("--unit-%w", err), example}
	}
	l, err := longRunOf(c, in, o)
	if err != nil {
		return err
	}
	progress := newPhases(c.App.ErrWriter)
	defer progress.Done()
	o.Progress, l.Progress = progress.Tell, progress.Tell
	r := generationReport{Prior: in.file, Model: in.modelFile, Corpus: c.String("corpus")}
	var clips []evaluate.Clip
	if r.GenerationReport, clips, err = evaluate.Generation(c.Context, in.model, in.prior, in.corpus, in.codes, o); err != nil {
		return err
	}
	if l.Seconds > 0 {
		long, err := evaluate.LongRun(c.Context, in.model, in.prior, l)
		if err != nil {
			return err
		}
		r.Long = &long
	}
	progress.Done()
	if folder := c.String("output"); folder != "" {
		if err := r.save(folder, in.corpus.Rate(), clips); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	_, err = io.WriteString(c.App.Writer, r.text())
	return err
}

// longRunOf returns what --long asks for.
func longRunOf(c *cli.Context, in *measuredPrior, o evaluate.GenerationOptions) (l evaluate.LongRunOptions, err error) {
	l = evaluate.LongRunOptions{Seconds: c.Float64("long"), Known: in.prior.Nobody(), Drawing: o.Drawing, Seed: o.Seed}
	hint := c.Command.HelpName + " --help lists the flags"
	if l.Seconds != 0 && !(l.Seconds > 0 && l.Seconds <= maxGenerated) {
		return l, &usageError{fmt.Errorf("--long %v: want 0 to %d", l.Seconds, maxGenerated), hint}
	}
	if l.Precision, err = wavenet.ParsePrecision(c.String("precision")); err != nil {
		return l, &usageError{fmt.Errorf("--%w", err), hint}
	}
	name := c.String("speaker")
	switch {
	case name == "" && in.model.Voices != nil && l.Seconds > 0:
		name = in.model.Speakers.Name(0)
	case name != "" && in.model.Voices == nil:
		return l, fmt.Errorf("%s knows no speakers: it has one voice for all", in.modelFile)
	}
	if name != "" {
		if l.Speaker, err = in.model.Speakers.ID(name); err != nil {
			return l, fmt.Errorf("%s: %w", in.modelFile, err)
		}
	}
	if in.prior.Speakers.Has(name) {
		l.Known, err = in.prior.Speakers.ID(name)
	}
	return l, err
}

// generationReport is what --json prints.
type generationReport struct {
	Prior  string `json:"prior"`
	Model  string `json:"model"`
	Corpus string `json:"corpus"`
	evaluate.GenerationReport
	Long *evaluate.LongRunReport `json:"long,omitempty"` // of --long
}

// kind is a kind of speech in a report.
type kind struct {
	name string
	evaluate.SpeechStatistics
	sound bool // there is sound of it
}

func (r *generationReport) kinds() []kind {
	return []kind{{"recorded", r.Recorded, true}, {"reconstructed", r.Reconstructed, true}, {"other recordings", r.Other, false}, {"generated", r.Generated, true},
		{"units by themselves", r.Unigram, true}}
}

// share is a share of sound, where there is some.
func (k kind) share(v float64) string {
	if !k.sound {
		return ""
	}
	return percent(v)
}

// text is the report for people.
func (r *generationReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %d utterances; sound of %s of %v s\n%-22s %8s %8s %6s   divergences of %8s %8s %8s\n", r.Split, count(r.Units, "unit"),
		r.Utterances, count(r.Clips, "clip"), r.Seconds, "", "pauses", "voiced", "run", "units", "runs", "pairs")
	for _, k := range r.kinds() {
		fmt.Fprintf(&b, "%-22s %8s %8s %6.2f   %14s %8.4f %8.4f %8.4f\n", k.name, k.share(k.Pauses), k.share(k.Voiced), k.Run, "", k.Units, k.Runs, k.Bigrams)
	}
	if r.Long != nil {
		fmt.Fprintf(&b, "\n%.0f s in one piece %8s %8s %8s %17s %9s\n", r.Long.Seconds, "dBFS", "pauses", "entropy", "given the last", "memory")
		for _, s := range r.sixths() {
			fmt.Fprintf(&b, "   until %8.0f s %8.1f %8s %8.3f %17.3f %6.0f MB\n", s.Until, s.Level, percent(s.Pauses), s.Entropy, s.Pairwise, s.Memory)
		}
	}
	return b.String()
}

// sixths returns the means of the sixths of the long run.
func (r *generationReport) sixths() (means []evaluate.LongRunPart) {
	for parts := range slices.Chunk(r.Long.Parts, len(r.Long.Parts)/6) {
		means = append(means, r.Long.Mean(parts))
	}
	return means
}

// markdown is the report as a page, which shows the pictures that are saved beside it.
func (r *generationReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Generated speech\n\n`vqaudio evaluate generation %s --model %s --corpus %s`: %s of %d utterances of the split %s, and as many units from the prior, told\n"+
		"the same speakers.\n\n"+
		"| | units | runs of a unit | pairs of units | in pauses | voiced |\n|---|---|---|---|---|---|\n", r.Prior, r.Model, r.Corpus, count(r.Units, "unit"), r.Utterances, r.Split)
	for _, k := range r.kinds() {
		fmt.Fprintf(&b, "| %s | %.4f | %.4f | %.4f | %s | %s |\n", k.name, k.Units, k.Runs, k.Bigrams, k.share(k.Pauses), k.share(k.Voiced))
	}
	fmt.Fprintf(&b, "\nDivergences are those of Jensen and Shannon from the recordings' units, in bits: 0 is the same, 1 nothing in common. Pauses and voices are shares of\n"+
		"frames of 10 ms, of %s of %v s. Other recordings are of another split: nothing can be expected to be nearer. Units by themselves are drawn by\n"+
		"how frequent they are in training.\n\n![Recorded clips on the left, generated ones on the right](clips.png)\n", count(r.Clips, "clip"), r.Seconds)
	if r.Long != nil {
		fmt.Fprintf(&b, "\n## %.0f seconds in one piece\n\n| until | level | pauses | entropy of units | of a unit given the one before | memory |\n|---|---|---|---|---|---|\n", r.Long.Seconds)
		for _, s := range r.sixths() {
			fmt.Fprintf(&b, "| %.0f s | %.1f dBFS | %s | %.3f bits | %.3f bits | %.0f MB |\n", s.Until, s.Level, percent(s.Pauses), s.Entropy, s.Pairwise, s.Memory)
		}
		fmt.Fprintf(&b, "\n![Level and entropy over time](long.png)\n")
	}
	return b.String()
}

// save leaves clips, pictures and the report in a folder.
func (r *generationReport) save(folder string, rate int, clips []evaluate.Clip) error {
	if err := saveClips(folder, rate, clips); err != nil {
		return err
	}
	if r.Long != nil {
		if err := saveLongRun(filepath.Join(folder, "long.png"), r.Long); err != nil {
			return err
		}
	}
	return files.Write(filepath.Join(folder, "report.md"), []byte(r.markdown()))
}

// saveLongRun draws a long run over time.
func saveLongRun(name string, l *evaluate.LongRunReport) error {
	var minutes, level, pauses, entropy, pairwise []float64
	for _, p := range l.Parts {
		minutes, level, pauses = append(minutes, p.Until/60), append(level, p.Level), append(pauses, 100*p.Pauses)
		entropy, pairwise = append(entropy, p.Entropy), append(pairwise, p.Pairwise)
	}
	chart := picture.Chart{XName: "minutes", Panels: []picture.Panel{
		{Name: "dBFS", Curves: []picture.Curve{{Name: "level", X: minutes, Y: level}}},
		{Name: "% in pauses", Zero: true, Curves: []picture.Curve{{Name: "in pauses", X: minutes, Y: pauses}}},
		{Name: "bits", Zero: true, Curves: []picture.Curve{{Name: "entropy of units", X: minutes, Y: entropy}, {Name: "given the one before", X: minutes, Y: pairwise, Colour: 1}}},
	}}
	drawn, err := chart.Draw(picture.Options{Width: 1200, Height: 700, Title: fmt.Sprintf("%.0f s of speech generated in one piece", l.Seconds)})
	if err != nil {
		return err
	}
	return writePNG(name, drawn)
}

// saveClips leaves clips in a folder, and a picture of recorded ones, on the left, beside generated ones.
func saveClips(folder string, rate int, clips []evaluate.Clip) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	const width, height = 700, 360
	sheet := image.NewRGBA(image.Rect(0, 0, 2*width, len(clips)*height))
	for i, clip := range clips {
		for k, sound := range []struct {
			name    string
			samples []float32
		}{{"recorded", clip.Recorded}, {"generated", clip.Generated}, {"reconstructed", clip.Reconstructed}} {
			block := make([]float64, len(sound.samples))
			for i, x := range sound.samples {
				block[i] = float64(x)
			}
			var wav bytes.Buffer
			w, err := audio.NewWriter(&wav, audio.Format{NumChannels: 1, SampleRate: rate}, audio.PCM16, int64(len(block)))
			if err == nil {
				err = w.Write(block)
			}
			if err == nil {
				err = w.Close()
			}
			if err == nil {
				err = files.Write(filepath.Join(folder, fmt.Sprintf("%02d-%s.wav", i+1, sound.name)), wav.Bytes())
			}
			if err != nil {
				return err
			}
			if k > 1 {
				continue
			}
			p, err := picture.New(rate, picture.Options{Width: width, Height: height, Title: sound.name + ": " + path.Base(clip.Name)})
			if err != nil {
				return err
			}
			p.Add(block)
			draw.Draw(sheet, image.Rect(k*width, i*height, (k+1)*width, (i+1)*height), p.Draw(nil), image.Point{}, draw.Src)
		}
	}
	return writePNG(filepath.Join(folder, "clips.png"), sheet)
}
