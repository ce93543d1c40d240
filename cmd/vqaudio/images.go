package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/corpora/images"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// openSide is the height and the width to which files of pictures are brought for a model whose size is left open.
const openSide = 32

// openImages reads a collection of pictures for a model, and says what is missing of it. If it has no pictures for validation, some of
// those for training become that.
func openImages(ctx context.Context, stderr io.Writer, dir string, model *vqvae.ImageConfig) (*images.Corpus, error) {
	o := images.Options{}
	var err error
	if o.Layout, err = images.LayoutOf(dir); err != nil {
		return nil, err
	}
	if o.Layout == images.Folders { // which are scaled to the size that is wanted
		if model.Height != model.Width {
			return nil, fmt.Errorf("%s: files of pictures are scaled to squares, and the model is of %d x %d pixels", dir, model.Height, model.Width)
		}
		o.Side, o.Grey = model.Height, model.Channels == 1
		if o.Side == 0 {
			o.Side = openSide
		}
	}
	c, err := images.Read(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if n := len(c.Skipped); n > 0 {
		fmt.Fprintf(stderr, "vqaudio: %s cannot be read, the first one: %v\n", count(n, "picture"), c.Skipped[0])
	}
	c.HoldOut()
	return c, nil
}

// maxImageBatch limits a batch of pictures in evaluate.
const maxImageBatch = 1 << 10

// evaluateImages is evaluate nll for a model of pictures, which comes from the file name.
func evaluateImages(c *cli.Context, m *vqvae.Model, name string, o evaluate.Options, example string) error {
	out, corpus := c.String("png"), c.String("corpus")
	if !c.IsSet("batch") {
		o.Batch = 0
	}
	switch {
	case c.IsSet("crop"):
		return &usageError{errors.New("--crop: pictures are measured whole"), example}
	case o.Split == "":
		return &usageError{errors.New("--split all: want train, valid or test for pictures"), example}
	case o.Batch > maxImageBatch:
		return &usageError{fmt.Errorf("--batch %d: want at most %d pictures", o.Batch, maxImageBatch), example}
	}
	if err := spare(out, name); err != nil {
		return err
	}
	collection, err := openImages(c.Context, c.App.ErrWriter, corpus, m.Config.Image)
	if err != nil {
		return err
	}
	var bar *progressBar
	told := 0
	o.Progress = func(done, total int) {
		if bar == nil {
			bar = newProgress(c.App.ErrWriter, "evaluating", "pictures", int64(total))
		}
		bar.Add(int64(done - told))
		told = done
	}
	r, err := evaluate.ImageNLL(c.Context, m, collection, o)
	if bar != nil {
		bar.Done()
	}
	if err != nil {
		return err
	}
	if sum := r.True + r.Shuffled + r.Constant; math.IsNaN(sum) || math.IsInf(sum, 0) {
		return fmt.Errorf("%s gives no likelihoods: they are %v nats per sample", name, sum)
	}
	if out != "" {
		if err := writePNG(out, evaluate.DrawReconstructions(m, new(tensor.Arena), evaluate.ImageSplit(collection, o.Split))); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(nllReport{name, corpus, r})
	}
	return printImageNLL(c.App.Writer, r, m.Config)
}

// printImageNLL prints a report for people.
func printImageNLL(out io.Writer, r evaluate.Report, c vqvae.Config) error {
	kind := "code"
	if r.Entries == 0 {
		kind = "vector"
	}
	var s bytes.Buffer
	fmt.Fprintf(&s, "%s: %s of %s\n", r.Split, count(r.Crops, "picture"), imageSize(c.Image))
	fmt.Fprintf(&s, "%-16s %.4f nats per sample, a channel of a pixel\n", "true "+kind+"s", r.True)
	fmt.Fprintf(&s, "%-16s %.4f nats per sample, %+.4f\n", "shuffled "+kind+"s", r.Shuffled, r.Shuffled-r.True)
	fmt.Fprintf(&s, "%-16s %.4f nats per sample, %+.4f\n", "constant "+kind, r.Constant, r.Constant-r.True)
	if c.Bottleneck.Kind == vqvae.VAE {
		s.WriteString(boundLine(r, c))
	}
	fmt.Fprintf(&s, "%.4f bits/dim for the pictures, given the %ss", r.Bits.Reconstruction, kind)
	if r.Entries > 0 {
		fmt.Fprintf(&s, "; %.4f for the codes under a uniform prior; %.4f in all\n", r.Bits.Codes, r.Bits.Total())
		fmt.Fprintf(&s, "%d of %d codes used, perplexity %.1f; %.6g codes a picture, %.1f bits raw, %.1f by entropy",
			r.Used, r.Entries, r.Perplexity, r.Rate, r.RawBitRate, r.BitRate)
	}
	s.WriteString("\n")
	_, err := s.WriteTo(out)
	return err
}

// imageSize: "28 x 28 pixels, grey".
func imageSize(c *vqvae.ImageConfig) string {
	colours := "RGB"
	if c.Channels == 1 {
		colours = "grey"
	}
	return fmt.Sprintf("%d x %d pixels, %s", c.Height, c.Width, colours)
}

// isImages reports whether a folder is of a layout that holds nothing but pictures.
func isImages(dir string) bool {
	layout, err := images.LayoutOf(dir)
	return err == nil && layout != images.Folders
}

// openCache opens the prepared corpus of a model of sound.
func openCache(name, command string) (*corpora.Cache, error) {
	cache, err := corpora.OpenCache(name)
	if err != nil && isImages(name) {
		return nil, &usageError{fmt.Errorf("%s holds pictures, and the model is one of sound", name), command}
	}
	return cache, err
}
