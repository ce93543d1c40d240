package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/vqvae"
)

func encodeCommand() *cli.Command {
	return &cli.Command{
		Name:      "encode",
		Usage:     "turn recordings into units",
		ArgsUsage: "[MODEL] FILE|FOLDER|-...",
		Description: "Reads each recording, mixes its channels, resamples it to the model's rate, takes its DC off, brings it to the level that\n" +
			"models are trained at, and encodes it: a unit for each hop of the model. An utterance is called as the path of its file\n" +
			"below the folder that was named, without extension. A file that cannot be read is reported and left out; then the exit\n" +
			"code is 1. The result is the same on any number of threads; a recording of any length takes the same memory. Of a model\n" +
			"without codes (bottleneck \"vae\" or \"none\") it writes vectors, in a format that holds them. Formats:\n\n" +
			describeFormats() + "\n" +
			"   vqaudio encode model.safetensors speech/ -o units.jsonl\n" +
			"   vqaudio encode model.safetensors a.wav b.flac -o units.txt --format fairseq --dedup\n" +
			"   vqaudio encode model.safetensors test/ -o submission/ --format zerospeech --vectors\n" +
			"   cat in.flac | vqaudio encode model.safetensors - -o - --format fairseq",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `OUT`, a file or a folder; - is standard output"},
			&cli.StringFlag{Name: "format", Value: string(units.JSONL), Usage: "write in `FORMAT`"},
			&cli.BoolFlag{Name: "dedup", Usage: "join equal units that follow each other"},
			&cli.BoolFlag{Name: "vectors", Usage: "write the codebook's vectors, not units (zerospeech, npy)"},
			levelFlag(),
			&cli.StringFlag{Name: "precision", Value: "auto", Usage: "compute in `PRECISION`: float32; bfloat16, in which about one code in a hundred " +
				"is another; or auto, the faster on this machine"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the units are the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print the summary as a JSON object"},
		},
		Action: runEncode,
	}
}

// encodeReport is the summary of encode.
type encodeReport struct {
	Model         string  `json:"model"`
	Fingerprint   string  `json:"fingerprint"`
	Output        string  `json:"output"`
	Format        string  `json:"format"`
	Files         int     `json:"files"`
	Failed        int     `json:"failed"`
	Seconds       float64 `json:"seconds"`         // of sound
	Elapsed       float64 `json:"elapsed_seconds"` // with the time to load the model
	TimesRealTime float64 `json:"times_real_time"`
	evaluate.Codes
}

func runEncode(c *cli.Context) error {
	const example = "vqaudio encode speech/ -o units.jsonl"
	modelName, inputs := modelFirst(c)
	start := time.Now()
	out := c.String("output")
	if len(inputs) == 0 || out == "" {
		return &usageError{errors.New("want recordings, and -o"), example}
	}
	format, err := units.ParseFormat(c.String("format"))
	if err != nil {
		return &usageError{fmt.Errorf("--%w", err), example}
	}
	options, err := unitsOptions(c, format)
	if err != nil {
		return err
	}
	f, model, restore, err := readySound(c, modelName, example)
	if err != nil {
		return err
	}
	defer restore()
	level, err := levelOf(c, f.Model.Config)
	if err != nil {
		return err
	}
	front, err := frontend.New(f.Model.Config)
	if err != nil {
		return fmt.Errorf("%s: %w", model, err)
	}
	bottleneck := f.Model.Config.Bottleneck
	if f.Model.Quantiser == nil {
		if !format.Vectors() || options.Dedup {
			return &usageError{fmt.Errorf("%s has no units, as its bottleneck is %q: it makes vectors", model, bottleneck.Kind), "encode with --format npy or zerospeech, and without --dedup"}
		}
		options.Vectors = true
	}
	e := &encoding{model: f.Model, front: front, level: level, options: options, counts: map[int32]int64{}}
	var unseen []error
	if e.list, err = listSound(inputs, func(err error) { unseen = append(unseen, err) }); err != nil {
		return err
	}
	if out == "-" && format.Folder() && len(e.list) > 1 {
		return &usageError{fmt.Errorf("--format %s: several recordings do not go to standard output", format), example}
	}
	sources := []string{model}
	for _, in := range e.list {
		sources = append(sources, in.name)
	}
	if err := spare(out, sources...); err != nil {
		return err
	}
	r := encodeReport{Model: model, Fingerprint: checkpoint.Fingerprint(f.Model), Output: out, Format: string(format)}
	e.info = units.Info{Rate: f.Model.Config.Rate, Hop: f.Model.Config.Hop(), K: bottleneck.Codes(), Model: r.Fingerprint}
	w, err := createUnits(c, format, options)
	if err != nil {
		return err
	}
	defer w.Discard()
	e.bar = newProgress(c.App.ErrWriter, "encoding", "files", int64(len(e.list)))
	for _, err := range unseen {
		e.fail(err)
	}
	err = e.run(c.Context, w)
	e.bar.Done()
	if err != nil {
		return err
	}
	if e.written > 0 {
		if err := w.Commit(); err != nil {
			return err
		}
	}
	r.Files, r.Failed = e.written, e.failed
	r.Seconds, r.Elapsed = float64(e.samples)/float64(e.info.Rate), time.Since(start).Seconds()
	r.TimesRealTime = r.Seconds / r.Elapsed
	r.Codes = evaluate.DescribeModelCodes(e.counts, bottleneck, r.Seconds)
	if e.written > 0 || c.Bool("json") {
		if err := r.print(c); err != nil {
			return err
		}
	}
	if e.failed > 0 {
		return fmt.Errorf("%d of %d recordings failed", e.failed, e.failed+e.written)
	}
	return nil
}

func (r *encodeReport) print(c *cli.Context) error {
	if c.Bool("json") {
		e := json.NewEncoder(summaryOf(c))
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	_, err := fmt.Fprintf(summaryOf(c), "%s: %s, %.2f s of sound in %.2f s, %.1f times real time\n",
		r.Output, count(r.Files, "utterance"), r.Seconds, r.Elapsed, r.TimesRealTime)
	if err == nil && r.Entries > 0 {
		_, err = fmt.Fprintf(summaryOf(c), "%.1f bit/s, %.1f as they are; perplexity %.1f, %d of %d used\n",
			r.BitRate, r.RawBitRate, r.Perplexity, r.Used, r.Entries)
	}
	return err
}

// encoding is the work of encode. Workers encode a recording each, and hand the units to the writer, who takes those of the
// first recording as they come, and those of the next when that is complete.
type encoding struct {
	model   *vqvae.Model
	front   *frontend.Frontend
	info    units.Info
	level   float64
	options units.Options
	list    []soundFile
	bar     *progressBar

	mu   sync.Mutex
	next int // of the list

	// Only the writer touches these:
	counts          map[int32]int64 // of each unit that was written
	samples         int64           // of the recordings that were
	written, failed int
}

// encoded is a recording that is being encoded.
type encoded struct {
	soundFile
	pieces  chan units.Sequence // closed behind the last
	samples int64               // when that is closed
	err     error               // when that is closed
	note    string              // when that is closed
}

// A recording that is not the writer's turn is encoded until so many pieces of units wait. So memory does not grow with its
// length. And so many recordings for each thread may wait.
const (
	waitingPieces     = 1024
	waitingRecordings = 16
)

// fail reports what ends a recording, and no other.
func (e *encoding) fail(err error) {
	e.failed++
	e.bar.Note("failed: %v", err)
}

// run encodes all recordings.
func (e *encoding) run(ctx context.Context, w *units.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	queue := make(chan *encoded, waitingRecordings*parallel.Threads()) // in the order of the list
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(queue)
		parallel.For(min(parallel.Threads(), len(e.list)), func(int) { e.work(ctx, queue) })
	}()
	err := e.write(ctx, w, queue)
	cancel()
	<-done
	return err
}

// work encodes recordings until there is none left.
func (e *encoding) work(ctx context.Context, queue chan<- *encoded) {
	encoder := frontend.NewEncoder(e.front, e.model)
	for ctx.Err() == nil {
		e.mu.Lock()
		if e.next == len(e.list) {
			e.mu.Unlock()
			return
		}
		waiting := waitingPieces
		if e.options.Vectors { // of many numbers for a unit
			waiting = max(1, waiting/e.model.Config.Bottleneck.Dim)
		}
		r := &encoded{soundFile: e.list[e.next], pieces: make(chan units.Sequence, waiting)}
		e.next++
		select {
		case queue <- r:
		case <-ctx.Done():
		}
		e.mu.Unlock()
		if r.err = e.encode(ctx, r, encoder); r.err != nil {
			encoder = frontend.NewEncoder(e.front, e.model)
		}
		close(r.pieces)
	}
}

// encode encodes a recording.
func (e *encoding) encode(ctx context.Context, r *encoded, encoder *frontend.Encoder) error {
	in, err := openRecording(ctx, r.name, e.info.Rate, e.level)
	if err != nil {
		return err
	}
	defer in.Close()
	send := func(f vqvae.Frames) error {
		if f.Vectors.Len() == 0 {
			return nil
		}
		s := units.Sequence{Units: slices.Clone(f.Codes)}
		if e.options.Vectors {
			s.Vectors, s.Dim = slices.Clone(f.Vectors.Data), f.Vectors.Channels()
		}
		select {
		case r.pieces <- s:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err = audio.Copy(in, func(block []float64) error {
		r.samples += int64(len(block))
		return errors.Join(send(encoder.Write(block)), ctx.Err())
	})
	if err == nil {
		err = send(encoder.Close())
	}
	if err != nil {
		return err
	}
	if info := in.reader.Info(); info.Truncated {
		r.note = fmt.Sprintf("%s is cut off: %s", r.name, strings.Join(info.Oddities, ", "))
	}
	return nil
}

// write writes the recordings that come in the queue.
func (e *encoding) write(ctx context.Context, w *units.Writer, queue <-chan *encoded) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r, more := <-queue:
			if !more {
				return ctx.Err()
			}
			if err := e.writeRecording(ctx, w, r); err != nil {
				return err
			}
			e.bar.Add(1)
		}
	}
}

// writeRecording writes the units of a recording. If it cannot be read to its end, nothing of it is left.
func (e *encoding) writeRecording(ctx context.Context, w *units.Writer, r *encoded) error {
	counts, last := map[int32]int64{}, int32(-1)
	began := w.Begin(r.id, e.info)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s, more := <-r.pieces:
			if !more {
				return e.complete(w, r, errors.Join(began, r.err), counts)
			}
			if began != nil {
				continue
			}
			if err := w.Add(s); err != nil {
				return err
			}
			for _, k := range s.Units {
				if !e.options.Dedup || k != last {
					counts[k]++
				}
				last = k
			}
			if r.name == "-" {
				if err := w.Flush(); err != nil {
					return err
				}
			}
		}
	}
}

// complete ends a recording, of whose units there are so many. Failed says why it is not complete.
func (e *encoding) complete(w *units.Writer, r *encoded, failed error, counts map[int32]int64) error {
	if failed != nil {
		e.fail(errors.New(describeSkipped(r.name, failed)))
		return w.Abandon()
	}
	if err := w.End(); err != nil {
		return err
	}
	if r.note != "" {
		e.bar.Note("vqaudio: %s", r.note)
	}
	for k, n := range counts {
		e.counts[k] += n
	}
	e.samples += r.samples
	e.written++
	return nil
}
