package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// synthesis turns codes into sound: what decode and convert have in common.
type synthesis struct {
	file      string // of the model
	model     *vqvae.Model
	precision wavenet.Precision
	twoCores  bool // for a single utterance
	front     *frontend.Frontend
	mix       speaker.Mix // of the model's speakers
	global    []float32   // the vector of that voice; nil if the model knows no speakers
	drawing   wavenet.Drawing
	seed      uint64
	weights   func() *wavenet.Sampler // of the decoder, packed beside the opening of the first recording

	print       sync.Once
	fingerprint string // of the model, once asked for
}

// maxTemperature is the largest temperature; at a tenth of it, all levels are about as likely already.
const maxTemperature = 1000

// synthesisFlags are the flags of newSynthesis, but for the one that names the speaker.
func synthesisFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "precision", Value: "auto", Usage: "weights in `PRECISION`: float32; bfloat16, faster; int8, faster still, and a little less exact (vqaudio evaluate sampler; " +
			"of base they are 2 and 4 times as fast as float32); auto takes bfloat16"},
		&cli.Float64Flag{Name: "temperature", Value: 1, Usage: "draw at the temperature `T`: below 1 the sound is calmer, above 1 noisier; 0 always takes the likeliest level"},
		&cli.IntFlag{Name: "top-k", Usage: "draw among the `K` likeliest levels", DefaultText: "all"},
		&cli.Float64Flag{Name: "top-p", Usage: "draw among the likeliest levels that have the probability `P` together", DefaultText: "all"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw with the `SEED`: the same seed gives the same sound"},
		&cli.BoolFlag{Name: "two-cores", Usage: "draw a single recording on two cores, where that is faster: of large models, about twice as fast. The sound is the same"},
		&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the sound is the same with any number", DefaultText: "all cores"},
	}
}

// newSynthesis loads a model to speak as a speaker, or as a mixture of several ([speaker.Table.Mix]).
func newSynthesis(c *cli.Context, modelName, name string) (*synthesis, error) {
	s := &synthesis{drawing: wavenet.Drawing{Temperature: c.Float64("temperature"), TopK: c.Int("top-k"), TopP: c.Float64("top-p")},
		seed: c.Uint64("seed"), twoCores: c.Bool("two-cores")}
	hint := c.Command.HelpName + " --help lists the flags"
	if t := s.drawing.Temperature; !(t >= 0 && t <= maxTemperature) {
		return nil, &usageError{fmt.Errorf("--temperature %v: want 0 to %d", t, maxTemperature), hint}
	}
	var err error
	if s.precision, err = wavenet.ParsePrecision(c.String("precision")); err != nil {
		return nil, &usageError{fmt.Errorf("--%w", err), hint}
	}
	before := debug.SetGCPercent(-1) // loading makes no garbage to speak of, and the first sound is waited for
	f, modelName, err := loadSound(modelName, dilated.Float32)
	debug.SetGCPercent(before)
	if err != nil {
		return nil, err
	}
	s.file, s.model = modelName, f.Model
	if s.model.Voices != nil {
		if name == "" {
			return nil, &usageError{fmt.Errorf("%s speaks as one of its speakers: want --speaker", modelName), "vqaudio info MODEL --speakers lists them"}
		}
		if s.mix, err = s.model.Speakers.Mix(name); err != nil {
			return nil, fmt.Errorf("%s: %w", modelName, err)
		}
		s.global = s.model.Voice(s.mix)
	} else if name != "" {
		return nil, fmt.Errorf("%s knows no speakers: it has one voice for all", modelName)
	}
	if s.front, err = frontend.New(s.model.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", modelName, err)
	}
	if err := s.drawing.Check(s.model.Decoder.Config); err != nil {
		return nil, &usageError{fmt.Errorf("--%w", err), hint}
	}
	s.weights = sync.OnceValue(func() *wavenet.Sampler { return wavenet.NewSampler(s.model.Decoder, s.precision) })
	if !s.twoCores {
		go s.weights()
	}
	return s, nil
}

// drawer begins to draw the sound of an utterance.
type drawer interface {
	NewGenerator(v wavenet.Voice, emit func(steps []int32) error) *wavenet.Generator
}

// drawers returns what draws the sound of as many utterances at a time as are drawn together: one after the other as fast as that
// goes, or, of several, a group of them on each core.
func (s *synthesis) drawers(several bool) []drawer {
	switch {
	case !several && s.twoCores && parallel.Threads() > 1:
		return []drawer{wavenet.NewPair(s.model.Decoder, s.precision)}
	case !several:
		return []drawer{soon(s.weights)}
	}
	groups := make([]*wavenet.Group, parallel.Threads())
	for i := range groups {
		if i == 0 {
			groups[i] = wavenet.NewGroup(s.weights(), wavenet.GroupSize)
		} else {
			groups[i] = groups[0].Another()
		}
	}
	var all []drawer // in turn, so that few recordings go to all cores
	for range wavenet.GroupSize {
		for _, g := range groups {
			all = append(all, g)
		}
	}
	return all
}

// soon is a sampler whose weights are being packed. It draws one sequence at a time.
type soon func() *wavenet.Sampler

func (s soon) NewGenerator(v wavenet.Voice, emit func(steps []int32) error) *wavenet.Generator {
	return s().NewGenerator(v, emit)
}

// utterance is the sound of one recording, as it is made.
type utterance struct {
	*synthesis
	drawer    drawer
	generator *wavenet.Generator // of the phrase; nil before the first
	phrases   int                // that were begun
	id        string
	batch     *batch
	ctx       context.Context
	out       *audio.Writer
	pipe      bool // out goes to somebody who may be listening
	scale     float64
	end       atomic.Int64 // samples after which the rest is dropped
	samples   int64        // written
	floats    []float32
	block     []float64
}

// begin begins an utterance, whose random draws depend on the seed, its id, and the number of the phrase. Its samples are multiplied
// by scale. Whoever begins one discards it in the end, which does nothing after close.
func (s *synthesis) begin(ctx context.Context, b *batch, d drawer, id string, scale float64) (*utterance, error) {
	w, pipe, err := b.out.create(id, s.model.Config.Rate)
	if err != nil {
		return nil, err
	}
	hop := s.model.Config.Hop()
	u := &utterance{synthesis: s, drawer: d, id: id, batch: b, ctx: ctx, out: w, pipe: pipe, scale: scale,
		floats: make([]float32, hop), block: make([]float64, hop)}
	u.end.Store(math.MaxInt64)
	return u, nil
}

// voice is that in which a phrase is spoken.
func (u *utterance) voice(phrase int) wavenet.Voice {
	name := fmt.Appendf(nil, "%d %s", u.seed, u.id)
	if phrase > 0 {
		name = fmt.Appendf(name, "\n%d", phrase)
	}
	return wavenet.Voice{Global: u.global, Drawing: u.drawing, Uniform: rand.New(rand.NewChaCha8(sha256.Sum256(name))).Float64}
}

// write takes the next vectors, those that the model's bottleneck gives or codes stand for, flat.
func (u *utterance) write(vectors []float32) error {
	if u.generator == nil {
		u.generator = u.drawer.NewGenerator(u.voice(u.phrases), u.emit)
		u.phrases++
	}
	return u.generator.Write(vectors)
}

// cut ends a phrase.
func (u *utterance) cut() error {
	if u.generator == nil {
		return nil
	}
	err := u.generator.Close()
	u.generator = nil
	return err
}

// emit writes a frame.
func (u *utterance) emit(levels []int32) error {
	u.front.Samples(u.floats, levels)
	for i, x := range u.floats {
		u.block[i] = float64(x) * u.scale
	}
	n := min(int64(len(u.block)), u.end.Load()-u.samples)
	if err := u.out.Write(u.block[:n]); err != nil {
		return err
	}
	if u.pipe {
		if err := u.out.Flush(); err != nil {
			return err
		}
	}
	u.samples += n
	u.batch.made(int(n))
	return u.ctx.Err()
}

// close makes what is left, up to the number of samples that the utterance is to have, and completes the file.
func (u *utterance) close(samples int64) error {
	u.end.Store(samples)
	if err := u.cut(); err != nil {
		return err
	}
	return u.complete()
}

// complete completes the file.
func (u *utterance) complete() error {
	u.batch.mu.Lock()
	u.batch.clipped += u.out.Clipped()
	u.batch.mu.Unlock()
	return u.out.Close()
}

// discard gives the utterance and its file up, if they are not complete.
func (u *utterance) discard() {
	if u.generator != nil {
		u.generator.Leave()
	}
	u.out.Discard()
}

// output is where sound goes: a file, "-" for standard output, or a folder with a file for each utterance.
type output struct {
	name   string
	folder bool
	stdout io.Writer
}

// newOutput returns where -o says that sound is to go. It is a folder if it is one already, or if there may be several
// utterances. A file is none of sources, whose place it would take.
func newOutput(c *cli.Context, several bool, sources ...string) (*output, error) {
	name := c.String("output")
	if several && name == "-" {
		return nil, &usageError{errors.New("several recordings do not go to standard output"), c.Command.HelpName + " ... -o FOLDER"}
	}
	folder := several || isFolder(name) || os.IsPathSeparator(name[len(name)-1])
	if _, err := os.Stat(name); folder && err == nil && !isFolder(name) {
		return nil, &usageError{fmt.Errorf("%s is a file, and there are several recordings", name), c.Command.HelpName + " ... -o FOLDER"}
	}
	if !folder {
		if err := spare(name, sources...); err != nil {
			return nil, err
		}
	}
	return &output{name: name, folder: folder, stdout: c.App.Writer}, nil
}

// path is the name of the file for an utterance.
func (o *output) path(id string) string {
	if !o.folder {
		return o.name
	}
	return filepath.Join(o.name, filepath.FromSlash(id)+".wav")
}

// create begins the file for an utterance.
func (o *output) create(id string, rate int) (w *audio.Writer, pipe bool, err error) {
	format := audio.Format{NumChannels: 1, SampleRate: rate}
	if o.name == "-" {
		w, err := audio.NewWriter(o.stdout, format, audio.PCM16, -1)
		return w, true, err
	}
	path := o.path(id)
	if o.folder {
		if !filepath.IsLocal(filepath.FromSlash(id)) {
			return nil, false, fmt.Errorf("%q is no name for a file in a folder", id)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, false, err
		}
	}
	w, err = audio.Create(path, format, audio.PCM16)
	return w, false, err
}

// batch is work on utterances, on all cores.
type batch struct {
	out    *output
	stderr io.Writer
	verb   string // "converting"
	rate   int    // of the sound that is made
	bar    *progressBar
	start  time.Time

	mu      sync.Mutex
	samples int64 // so far
	clipped int64
}

// newBatch begins: seconds is the length of the sound to be made, negative if that is not known.
func newBatch(c *cli.Context, o *output, verb string, seconds float64, rate int) *batch {
	total := int64(-1)
	if seconds >= 0 {
		total = int64(math.Ceil(seconds))
	}
	return &batch{out: o, stderr: c.App.ErrWriter, verb: verb, rate: rate, bar: newProgress(c.App.ErrWriter, verb, "s", total), start: time.Now()}
}

// made takes note of new samples.
func (b *batch) made(samples int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.samples / int64(b.rate)
	b.samples += int64(samples)
	if more := b.samples/int64(b.rate) - before; more > 0 {
		b.bar.Add(more)
	}
}

// run does the jobs that next hands out, until there is none, as many at a time as there are drawers, each with one of them, and says
// how long it took. Next is called by one goroutine at a time. A job that fails ends no other.
func (b *batch) run(ctx context.Context, drawers []drawer, next func() (job func(drawer) error, ok bool)) error {
	var mu sync.Mutex
	var failed error
	jobs, failures := 0, 0
	work := func(d drawer) {
		for ctx.Err() == nil {
			mu.Lock()
			job, ok := next()
			if ok {
				jobs++
			}
			mu.Unlock()
			if !ok {
				return
			}
			if err := job(d); err != nil && ctx.Err() == nil {
				mu.Lock()
				failures++
				failed = err
				mu.Unlock()
				if b.out.folder {
					b.bar.Note("failed: %v", err)
				}
			}
		}
	}
	var wait sync.WaitGroup
	for _, d := range drawers {
		wait.Go(func() { work(d) })
	}
	wait.Wait()
	b.bar.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.clipped > 0 {
		fmt.Fprintf(b.stderr, "vqaudio: %s beyond full scale, clipped\n", count(int(b.clipped), "sample"))
	}
	switch {
	case failures > 0 && b.out.folder:
		return fmt.Errorf("%d of %d failed", failures, jobs)
	case failures > 0:
		return failed
	}
	summary := b.out.stdout
	if b.out.name == "-" {
		summary = b.stderr
	}
	made, took := float64(b.samples)/float64(b.rate), time.Since(b.start).Seconds()
	_, err := fmt.Fprintf(summary, "%s: %.2f s of sound in %.2f s, %.2f times real time\n", b.verb, made, took, made/took)
	return err
}
