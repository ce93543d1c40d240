package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/compress"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/units"
)

func compressCommand() *cli.Command {
	return &cli.Command{
		Name:      "compress",
		Usage:     "write units as a small file",
		ArgsUsage: "[PRIOR] UNITS|FOLDER|-",
		Description: "Codes each unit at the cost of its probability under a prior (vqaudio train prior), given the units before it, by arithmetic\n" +
			"coding. \"vqaudio decompress\" with the same prior gives the same units back, with names and durations, on any machine: the\n" +
			"probabilities are whole numbers that depend on no processor and no number of threads. Units are those of the prior's model, in any format of\n" +
			"\"vqaudio units\". Checksums guard each block of 16384 frames; what is damaged is lost, and nothing besides.\n\n" +
			"What it prints, in bits per unit (as frames, without joining) and bits and bytes per second of speech:\n\n" +
			"   raw          log2 K\n" +
			"   unigram      the entropy of the units that were read\n" +
			"   prior        their cross entropy under the prior, of whom it is told nothing about the speaker\n" +
			"   code         what they take in the file\n" +
			"   file         all of it: with names, lengths and checksums\n\n" +
			"   vqaudio compress prior/ units.jsonl -o units.vqu\n" +
			"   vqaudio decompress prior/ units.vqu -o units.jsonl\n" +
			"   vqaudio encode run/ speech/ -o - --format fairseq | vqaudio compress prior/ - -o speech.vqu --json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`; - is standard output"},
			&cli.StringFlag{Name: "format", Usage: "take the units as `FORMAT` (default: found out)"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the file is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print the summary as a JSON object"},
		},
		Action: runCompress,
	}
}

// compressReport is the summary of compress.
type compressReport struct {
	Prior       string  `json:"prior"`
	Fingerprint string  `json:"fingerprint"`
	Output      string  `json:"output"`
	Utterances  int     `json:"utterances"`
	Blocks      int     `json:"blocks"`
	Units       int64   `json:"units"`   // frames
	Seconds     float64 `json:"seconds"` // of speech
	Elapsed     float64 `json:"elapsed_seconds"`
	Bytes       int64   `json:"bytes"`      // of the file
	CodeBytes   int64   `json:"code_bytes"` // of the units in it

	// In bits per unit; 0 if there are none.
	Raw     float64 `json:"raw"`
	Unigram float64 `json:"unigram"`
	Cross   float64 `json:"prior_cross_entropy"`
	Code    float64 `json:"code"`
	File    float64 `json:"file"`

	BitsPerSecond  float64 `json:"bits_per_second"` // of the file
	BytesPerSecond float64 `json:"bytes_per_second"`
}

func runCompress(c *cli.Context) error {
	const example = "vqaudio compress prior/ units.jsonl -o units.vqu"
	start := time.Now()
	priorName, input, err := modelAndOne(c, "units", example)
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
	prior, file, err := compressionPrior(priorName)
	if err != nil {
		return err
	}
	in, out := input, c.String("output")
	if err := spare(out, file, in); err != nil {
		return err
	}
	r, err := openUnits(c.Context, in, format)
	if err != nil {
		return err
	}
	defer r.Close()
	var to io.Writer = c.App.Writer
	var created *files.File
	if out != "-" {
		if created, err = files.Create(out); err != nil {
			return err
		}
		defer created.Discard()
		to = created
	}
	w, err := compress.NewWriter(to, prior)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	bar := newProgress(c.App.ErrWriter, "compressing", "units", -1)
	w.Progress = func(units int) { bar.Add(int64(units)) }
	err = compressAll(c, w, r)
	bar.Done()
	if err == nil && created != nil {
		err = created.Commit()
	}
	if err != nil {
		return err
	}
	return describeCompression(w.Stats(), prior, file, out, time.Since(start)).print(c)
}

// compressAll compresses all that is read.
func compressAll(c *cli.Context, w *compress.Writer, r *units.Reader) error {
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.Close(c.Context)
		}
		if err == nil {
			err = w.Write(c.Context, u)
		}
		if err == nil {
			err = c.Context.Err()
		}
		if err != nil {
			return err
		}
	}
}

func describeCompression(s compress.Stats, p compress.Prior, prior, output string, elapsed time.Duration) *compressReport {
	r := &compressReport{Prior: prior, Fingerprint: p.Fingerprint, Output: output, Utterances: s.Utterances, Blocks: s.Blocks, Units: s.Units,
		Elapsed: elapsed.Seconds(), Bytes: s.Bytes, CodeBytes: s.CodeBytes, Raw: math.Log2(float64(p.Info.K))}
	r.Seconds = float64(s.Units) * float64(p.Info.Hop) / float64(p.Info.Rate)
	if n := float64(s.Units); n > 0 {
		r.Unigram = math.Log2(evaluate.DescribeCodes(s.Counts, p.Info.K, r.Seconds).Perplexity)
		r.Cross, r.Code, r.File = s.Bits/n, 8*float64(s.CodeBytes)/n, 8*float64(s.Bytes)/n
		r.BytesPerSecond = float64(s.Bytes) / r.Seconds
		r.BitsPerSecond = 8 * r.BytesPerSecond
	}
	return r
}

func (r *compressReport) print(c *cli.Context) error {
	out := summaryOf(c)
	if c.Bool("json") {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	_, err := fmt.Fprintf(out, "%s: %s, %.2f s of speech in %s, in %.2f s\n", r.Output, count(r.Utterances, "utterance"), r.Seconds, count(int(r.Bytes), "byte"), r.Elapsed)
	if err != nil || r.Units == 0 {
		return err
	}
	rate := float64(r.Units) / r.Seconds
	if _, err = fmt.Fprintf(out, "%-10s %12s %14s %15s\n", "", "bits a unit", "bits a second", "bytes a second"); err != nil {
		return err
	}
	for _, row := range []struct {
		name string
		bits float64
	}{{"raw", r.Raw}, {"unigram", r.Unigram}, {"prior", r.Cross}, {"code", r.Code}, {"file", r.File}} {
		if _, err := fmt.Fprintf(out, "%-10s %12.4f %14.1f %15.2f\n", row.name, row.bits, row.bits*rate, row.bits*rate/8); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "code: %+.3f %% over the prior's cross entropy; file: %+.2f %%\n", 100*(r.Code/r.Cross-1), 100*(r.File/r.Cross-1))
	return err
}
