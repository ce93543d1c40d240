package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/alignment"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/internal/picture"
	"github.com/vqaudio/vqaudio/vqvae"
)

func evaluatePhonesCommand() *cli.Command {
	return &cli.Command{
		Name:      "phones",
		Usage:     "how much do the codes tell of phones?",
		ArgsUsage: "MODEL",
		Description: "Compares codes with phone alignments. A code has the phone in whose interval the middle of its span lies.\n\n" +
			"   accuracy         share of the codes whose phone is the one that the map names: from each code to the phone that it\n" +
			"                    comes with most often in the utterances of --fit\n" +
			"   phone purity     the same with the map made of the very codes that are scored, as in the VQ-VAE paper\n" +
			"   cluster purity   share of the codes that are the most frequent one of their phone\n" +
			"   PNMI             mutual information of phones and codes, over the entropy of phones\n\n" +
			"Beside them are the figures of random codes, as many and as frequent, and of k-means on MFCC (39 numbers) of the same\n" +
			"rate; once with silence and fillers (SIL, sp, +NSN+, ...) as classes, and once with their codes left out.\n\n" +
			"Alignments are a table (TSV with the columns path, start, dur, phone), a TextGrid, or a folder of TextGrids. They belong to\n" +
			"the utterances whose paths end as theirs do. Their times are those of whole recordings: the corpus has to be prepared\n" +
			"with --trim 0. A folder of recordings, or a manifest, is prepared so for the time of the measurement.\n\n" +
			"   vqaudio evaluate phones model.safetensors --corpus speech.cache --alignments alignments.tsv --png phones.png\n" +
			"   vqaudio evaluate phones model.safetensors --corpus recordings/ --alignments TextGrids/ --json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, folder of recordings, or manifest: `CORPUS`"},
			&cli.StringFlag{Name: "alignments", Usage: "phones from `FILE`, a table or a TextGrid, or from a folder of TextGrids"},
			&cli.StringFlag{Name: "tier", Value: alignment.DefaultTier, Usage: "take the interval tier called `NAME` of a TextGrid"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "score the utterances of `SPLIT`: train, valid or test"},
			&cli.StringFlag{Name: "fit", Value: corpora.Train, Usage: "make the map, and k-means, of those of `SPLIT`, another one"},
			&cli.StringFlag{Name: "silence", Usage: "`LABELS`, parted by commas, that are no phones (default: SIL, SP, SPN, NSN, PAU, +..+, <..>, [..], no text)"},
			&cli.IntFlag{Name: "kmeans", DefaultText: "as many as the model has, up to 4096", Usage: "compare with k-means of `K` clusters; 0 for none"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw random codes and the start of k-means with the `SEED`"},
			&cli.StringFlag{Name: "png", Usage: "draw p(phone | code), codes sorted by phone, to `FILE`"},
			&cli.StringFlag{Name: "precision", Value: "float32", Usage: "compute in `PRECISION`: float32, bfloat16, or auto, the faster on this machine"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number (default: all cores)"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runEvaluatePhones,
	}
}

// maxClusters is the largest K of --kmeans, usualClusters what the default goes up to.
const (
	maxClusters   = 1 << 16
	usualClusters = 4096
)

// phonesReport is what --json prints.
type phonesReport struct {
	Model      string `json:"model"`
	Corpus     string `json:"corpus"`
	Alignments string `json:"alignments"`
	evaluate.PhoneReport
}

func runEvaluatePhones(c *cli.Context) error {
	const example = "vqaudio evaluate phones model.safetensors --corpus CACHE --alignments alignments.tsv"
	o := evaluate.PhoneOptions{Split: c.String("split"), Fit: c.String("fit"), Clusters: c.Int("kmeans"), Seed: c.Uint64("seed")}
	switch {
	case c.NArg() != 1 || c.String("corpus") == "" || c.String("alignments") == "":
		return &usageError{errors.New("want one model, --corpus and --alignments"), example}
	case o.Clusters < 0 || o.Clusters > maxClusters:
		return &usageError{fmt.Errorf("--kmeans %d: want 1 to %d, or 0 for none", o.Clusters, maxClusters), example}
	}
	for _, flag := range []string{"split", "fit"} {
		switch s := c.String(flag); s {
		case corpora.Train, corpora.Valid, corpora.Test:
		default:
			return &usageError{fmt.Errorf("--%s %q: want train, valid or test", flag, s), example}
		}
	}
	if o.Split == o.Fit {
		return &usageError{fmt.Errorf("--split %s --fit %s: want two splits", o.Split, o.Fit), example}
	}
	if c.IsSet("silence") {
		o.Silence = strings.Split(c.String("silence"), ",")
	}
	set, err := alignment.Read(c.String("alignments"), c.String("tier"))
	if err != nil {
		return err
	}
	f, model, restore, err := readySound(c, c.Args().First(), example)
	if err != nil {
		return err
	}
	defer restore()
	if k := f.Model.Config.Bottleneck.Codes(); !c.IsSet("kmeans") && k <= usualClusters {
		o.Clusters = k
	}
	progress := newPhases(c.App.ErrWriter)
	defer progress.Done()
	cache, discard, err := openWhole(c.Context, c.String("corpus"), f.Model.Config, progress)
	if err != nil {
		return err
	}
	defer discard()
	o.Progress = progress.Tell
	r, err := evaluate.Phones(c.Context, f.Model, cache, set, o)
	if err != nil {
		return err
	}
	progress.Done()
	if name := c.String("png"); name != "" {
		if err := drawPhones(name, model, r, set.Phones); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(phonesReport{model, c.String("corpus"), c.String("alignments"), r})
	}
	return printPhones(c.App.Writer, r)
}

// openWhole opens a prepared corpus, or prepares recordings for the model in a temporary folder, without cutting silence off.
// Discard closes it, and removes the folder.
func openWhole(ctx context.Context, name string, model vqvae.Config, progress *phases) (cache *corpora.Cache, discard func(), err error) {
	_, missing := os.Stat(filepath.Join(name, "cache.json"))
	_, half := os.Stat(filepath.Join(name, "journal"))
	if missing == nil || half == nil {
		cache, err = corpora.OpenCache(name)
		return cache, func() { cache.Close() }, err
	}
	dir, err := os.MkdirTemp("", "vqaudio-phones-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	scan, err := corpora.Scan(ctx, name, corpora.Options{Progress: func(done, total int) { progress.Tell("scanning", "files", done, total) }})
	if err != nil {
		return nil, nil, err
	}
	settings := corpora.DefaultSettings()
	settings.Rate, settings.Trim = model.Rate, 0
	if settings.Target = model.Level; model.Level == 0 {
		settings.Level = corpora.LevelNone
	}
	begun, total := 0, 0
	prepared, err := corpora.Prepare(ctx, scan.Manifest, filepath.Join(dir, "cache"), settings, corpora.PrepareOptions{
		Started:  func(done, all int) { begun, total = done, all },
		Finished: func(int, error) { begun++; progress.Tell("preparing", "files", begun, total) },
	})
	if err != nil {
		return nil, nil, err
	}
	if n := scan.LeftOut + prepared.Skipped; n > 0 {
		progress.Done()
		fmt.Fprintf(progress.stderr, "vqaudio: %s left out: \"vqaudio corpus scan %s\" says why\n", count(n, "recording"), name)
	}
	if cache, err = corpora.OpenCache(filepath.Join(dir, "cache")); err != nil {
		return nil, nil, err
	}
	return cache, func() { cache.Close(); remove() }, nil
}

// drawPhones draws p(phone | code) of the model.
func drawPhones(name, model string, r evaluate.PhoneReport, phones []string) error {
	m := r.Model.Counts.Matrix()
	if len(m.Codes) == 0 {
		return errors.New("there is nothing to draw: no code lies in an interval")
	}
	p := picture.Matrix{Of: m.Of, Values: m.P, RowName: "phone", ValueName: "p(phone | code)",
		ColumnName: fmt.Sprintf("%d codes, by their most frequent phone", len(m.Codes))}
	for _, y := range m.Phones {
		p.Rows = append(p.Rows, labelled(phones[y]))
	}
	title := fmt.Sprintf("%s, %s: accuracy %s, PNMI %.3f", filepath.Base(model), r.Split.Name, percent(r.Model.All.Accuracy), r.Model.All.PNMI)
	drawn, err := p.Draw(picture.Options{Width: 1200, Height: min(max(15*len(p.Rows)+112, picture.MinHeight), picture.MaxHeight), Title: title})
	if err != nil {
		return err
	}
	return writePNG(name, drawn)
}

// labelled is what a label of an alignment is called.
func labelled(phone string) string { return cmp.Or(phone, "(none)") }

// printPhones prints a report for people.
func printPhones(out io.Writer, r evaluate.PhoneReport) error {
	t := &lines{out: out}
	split := func(what string, s evaluate.PhoneSplit) {
		t.line("%s %s: %s, %.1f s, %d codes, %d of them in no interval; %d without an alignment left out", what, s.Name,
			count(s.Utterances, "utterance"), s.Seconds, s.Frames, s.Outside, s.Unaligned)
	}
	split("scored on", r.Split)
	split("map made of", r.Fit)
	columns := []struct {
		name   string
		of     *evaluate.PhoneUnits
		random bool
	}{{"model", &r.Model, false}, {"random", &r.Model, true}, {"k-means", r.KMeans, false}, {"random", r.KMeans, true}}
	if r.KMeans == nil {
		columns = columns[:2]
	}
	table := func(title string, scores func(*evaluate.PhoneUnits) *evaluate.PhoneScores) {
		s := scores(&r.Model)
		line := fmt.Sprintf("%-22s", "")
		for _, c := range columns {
			line += fmt.Sprintf("%10s", c.name)
		}
		t.line("\n%s: %d classes, %d codes", title, s.Classes, s.Frames)
		t.line("%s", line)
		for _, row := range []struct {
			name string
			of   func(evaluate.PhoneFigures) float64
		}{
			{"accuracy", func(f evaluate.PhoneFigures) float64 { return f.Accuracy }},
			{"phone purity", func(f evaluate.PhoneFigures) float64 { return f.PhonePurity }},
			{"cluster purity", func(f evaluate.PhoneFigures) float64 { return f.ClusterPurity }},
			{"PNMI", func(f evaluate.PhoneFigures) float64 { return f.PNMI }},
		} {
			line := fmt.Sprintf("%-22s", row.name)
			for _, c := range columns {
				figures := scores(c.of).PhoneFigures
				if c.random {
					figures = scores(c.of).Random
				}
				line += fmt.Sprintf("%10s", percent(row.of(figures)))
			}
			t.line("%s", line)
		}
	}
	var silence []string
	for _, s := range r.Silence {
		silence = append(silence, labelled(s))
	}
	table(fmt.Sprintf("silence and fillers (%s) counted", cmp.Or(strings.Join(silence, ", "), "there are none")), func(u *evaluate.PhoneUnits) *evaluate.PhoneScores { return &u.All })
	table("silence and fillers left out", func(u *evaluate.PhoneUnits) *evaluate.PhoneScores { return &u.Speech })
	t.line("")
	codes := func(name string, u evaluate.PhoneUnits) {
		t.line("%s: %d of %d codes used, perplexity %.1f; %.6g codes/s, %.1f bit/s raw, %.1f bit/s by entropy", name, u.Used, u.Entries, u.Perplexity, u.Rate, u.RawBitRate, u.BitRate)
	}
	codes("model", r.Model)
	if r.KMeans != nil {
		codes("k-means", *r.KMeans)
		t.line("k-means was fitted on the MFCC of %d codes, in %d rounds", r.KMeans.Clustering.Frames, r.KMeans.Clustering.Rounds)
	}
	const listed = 3
	t.line("\n%-8s %8s %9s   %-32s %s", "phone", "codes", "accuracy", "most frequent codes", "taken for")
	for _, p := range r.Model.Phones {
		var codes, others []string
		for _, z := range p.Codes[:min(listed, len(p.Codes))] {
			codes = append(codes, fmt.Sprintf("%d %.0f %%", z.Code, 100*z.Share))
		}
		for _, o := range p.Confusions[:min(listed, len(p.Confusions))] {
			others = append(others, fmt.Sprintf("%s %.0f %%", labelled(o.Phone), 100*o.Share))
		}
		t.line("%-8s %8d %9s   %-32s %s", labelled(p.Phone), p.Frames, percent(p.Accuracy), strings.Join(codes, ", "), strings.Join(others, ", "))
	}
	return t.err
}
