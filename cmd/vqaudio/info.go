package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/pretrained"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
)

func infoCommand() *cli.Command {
	return &cli.Command{
		Name:      "info",
		Usage:     "tell what a model, or a prior, is, and how it was trained",
		ArgsUsage: "[MODEL|PRIOR|RUN]",
		Description: "Prints the architecture of a model, what its parts see and how large they are, the rate of its codes, its\n" +
			"speakers, and the history of its training. Of the folder of a run it takes the best model. Without a name it is the built-in\n" +
			"model, with what it was trained on, and how.\n\n" +
			"   vqaudio info                               the built-in model\n" +
			"   vqaudio info model.safetensors\n" +
			"   vqaudio info run/                          the best model of a run\n" +
			"   vqaudio info run/ --speakers               with the names of all speakers\n" +
			"   vqaudio info run/ --json | jq .training    all figures, for programs",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "speakers", Usage: "list all speakers"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runInfo,
	}
}

// loadModel loads the model in a file, or the best one of the run in a folder, or the built-in one, whose name is empty, and returns the
// name of its file too.
func loadModel(name string, precision dilated.Precision) (f *checkpoint.File, file string, err error) {
	if name == "" {
		f, err = pretrained.Model(precision)
		return f, pretrained.ModelName, err
	}
	if isFolder(name) {
		file = filepath.Join(name, "best.safetensors")
		f, err = checkpoint.Load(file, precision)
		if errors.Is(err, fs.ErrNotExist) {
			err = &usageError{fmt.Errorf("%s has no best.safetensors", name), "name the file of a model, or the folder of a run that has been validated"}
		}
		return f, file, err
	}
	f, err = checkpoint.Load(name, precision)
	return f, name, err
}

// loadEither loads a model, or if it is none a prior: the other one is nil.
func loadEither(name string) (f *checkpoint.File, p *checkpoint.Prior, file string, err error) {
	if f, file, err = loadModel(name, dilated.Float32); err == nil {
		return f, nil, file, nil
	}
	if p, file, failed := loadPrior(name, dilated.Float32); failed == nil {
		return nil, p, file, nil
	}
	return nil, nil, file, err
}

// loadSound is loadModel for what is about sound.
func loadSound(name string, precision dilated.Precision) (f *checkpoint.File, file string, err error) {
	f, file, err = loadModel(name, precision)
	if err == nil && f.Model.Config.Image != nil {
		return nil, file, fmt.Errorf("%s is a model of pictures, not of sound", file)
	}
	return f, file, err
}

// readySound does what --threads and --precision say, the former until restore is called, and loads a model of sound.
func readySound(c *cli.Context, name, example string) (f *checkpoint.File, file string, restore func(), err error) {
	precision, err := dilated.ParsePrecision(c.String("precision"))
	if err != nil {
		return nil, "", nil, &usageError{fmt.Errorf("--%w", err), example}
	}
	if restore, err = useThreads(c); err != nil {
		return nil, "", nil, err
	}
	if f, file, err = loadSound(name, precision); err != nil {
		restore()
		return nil, "", nil, err
	}
	return f, file, restore, nil
}

// modelInfo is what --json prints.
type modelInfo struct {
	File           string          `json:"file"`
	Fingerprint    string          `json:"fingerprint"`
	Config         vqvae.Config    `json:"config"`
	Hop            int             `json:"hop"`                              // samples of a code
	CodeRate       float64         `json:"code_rate"`                        // codes in a second; of pictures, in a picture
	RawBitRate     float64         `json:"raw_bit_rate"`                     // 0 for a model without codes
	Encoder        receptiveField  `json:"encoder_receptive_field,omitzero"` // of sound: what a code depends on
	Decoder        receptiveField  `json:"decoder_receptive_field,omitzero"` // of sound: what before it a sample depends on, besides its code
	Parameters     []partSize      `json:"parameters"`
	ParameterCount int             `json:"parameter_count"` // of all parts
	Speakers       []string        `json:"speakers"`
	Training       *trainingRecord `json:"training"` // null if the file holds the model alone
}

type receptiveField struct {
	Samples      int     `json:"samples"`
	Milliseconds float64 `json:"ms"`
}

// partSize is a part of a model, by the beginning of its parameters' names, and the number of its parameters.
type partSize struct {
	Part  string `json:"part"`
	Count int    `json:"count"`
}

// trainingRecord is what package train leaves in a checkpoint for those who want to know.
type trainingRecord struct {
	Step        int                `json:"step"`
	Samples     int64              `json:"samples"`
	Seconds     float64            `json:"seconds"`
	Training    train.Settings     `json:"training"`
	Validations []train.Validation `json:"validations"`
	Best        *train.Validation  `json:"best"`
}

func runInfo(c *cli.Context) error {
	if c.NArg() > 1 {
		return &usageError{errors.New("want one model, or none for the built-in one"), "vqaudio info model.safetensors, or the folder of a run"}
	}
	f, p, name, err := loadEither(c.Args().First())
	if err != nil {
		return err
	}
	if p != nil {
		return tellPrior(c, p, name)
	}
	info, err := describeModel(f, name)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(info)
	}
	if err := info.print(c.App.Writer, c.Bool("speakers")); err != nil || c.NArg() > 0 {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "\n%s", pretrained.About)
	return err
}

func describeModel(f *checkpoint.File, name string) (*modelInfo, error) {
	config := f.Model.Config
	field := func(samples int) receptiveField {
		return receptiveField{samples, 1000 * float64(samples) / float64(config.Rate)}
	}
	hop := config.Hop()
	info := &modelInfo{File: name, Fingerprint: checkpoint.Fingerprint(f.Model), Config: config, Hop: hop, Speakers: f.Model.Speakers.Names()}
	if i := config.Image; i != nil {
		info.CodeRate = float64(i.Samples()) / float64(hop)
	} else {
		info.CodeRate = float64(config.Rate) / float64(hop)
		info.Encoder, info.Decoder = field(frontend.ReceptiveField(config)), field(config.WaveNet().ReceptiveField())
	}
	info.RawBitRate = info.CodeRate * math.Log2(float64(max(1, config.Bottleneck.Codes())))
	info.Parameters, info.ParameterCount = partSizes(f.Model)
	if f.Training != nil {
		if err := json.Unmarshal(f.Training, &info.Training); err != nil {
			return nil, &files.FormatError{File: name, Offset: 8, Found: "training: " + err.Error(), Expected: "the state of a training of this version"}
		}
	}
	return info, nil
}

// partSizes returns the parts of a model in order. Codebooks are among them, whatever trains them; their statistics are not.
func partSizes(m *vqvae.Model) (parts []partSize, total int) {
	ps := m.Parameters()
	if len(m.Bottleneck.Parameters()) == 0 {
		behind := slices.IndexFunc(ps, func(p *nn.Parameter) bool { return !strings.HasPrefix(p.Name, "encoder.") })
		ps = slices.Insert(ps, behind, m.Codebooks()...)
	}
	for _, p := range ps {
		part, rest, _ := strings.Cut(p.Name, ".")
		if part == "decoder" {
			sub, _, _ := strings.Cut(rest, ".")
			part += "." + sub
		}
		if n := len(parts); n == 0 || parts[n-1].Part != part {
			parts = append(parts, partSize{Part: part})
		}
		parts[len(parts)-1].Count += p.Value.Len()
		total += p.Value.Len()
	}
	return parts, total
}

// print prints the description for people.
func (info *modelInfo) print(out io.Writer, allSpeakers bool) error {
	c := info.Config
	var s strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&s, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("model", "%s, fingerprint %s", shown(info.File), info.Fingerprint)
	if c.Image != nil {
		info.printImage(line)
	} else {
		info.printSound(line, allSpeakers)
	}
	line("parameters", "%d", info.ParameterCount)
	for _, p := range info.Parameters {
		fmt.Fprintf(&s, "   %-20s %10d  %4.1f %%\n", p.Part, p.Count, 100*float64(p.Count)/float64(info.ParameterCount))
	}
	if t := info.Training; t == nil {
		line("training", "not in this file")
	} else {
		t.print(&s, line, c)
	}
	_, err := io.WriteString(out, s.String())
	return err
}

// printSound prints the parts of a model of sound.
func (info *modelInfo) printSound(line func(name, format string, args ...any), allSpeakers bool) {
	c, w := info.Config, info.Config.WaveNet()
	law := "mu-law"
	if c.Decoder.Mixture > 0 {
		law = "linear"
	}
	line("sound", "%d Hz, %d %s levels", c.Rate, c.Levels, law)

	var layers []string
	for i, channels := range c.Encoder.Channels {
		layers = append(layers, fmt.Sprintf("%d/%d", channels, c.Encoder.Strides[i]))
	}
	input := inputNames[c.Encoder.Input]
	if n := c.Encoder.Centre; n > 0 {
		input += fmt.Sprintf(", less their mean shape over %g s on either side", float64(n*c.InputHop())/float64(c.Rate))
	}
	line("encoder", "%s", input)
	line("", "convolutions of %s channels/stride, then to %d channels", strings.Join(layers, " "), c.Bottleneck.Width())
	frame := "code"
	if c.Bottleneck.Kind != vqvae.VQ {
		frame = "vector"
	}
	line("", "a %s depends on %s", frame, info.Encoder)
	info.printBottleneck(line)

	line("decoder", "WaveNet of residual %d, skip %d, %d x %d layers with dilations from 1 to %d", w.Residual, w.Skip, w.Cycles, w.Layers, 1<<(w.Layers-1))
	line("", "a sample depends on the %s before it", info.Decoder)
	held := "each " + frame
	if len(w.Upsample) > 0 {
		held = fmt.Sprintf("%ss upsampled by %v, each frame", frame, w.Upsample)
	}
	line("", "and on its %s: %s held for %s", frame, held, count(w.Hold(), "sample"))

	switch names := info.Speakers; {
	case w.Global == 0:
		line("speakers", "none: one voice for all")
	case allSpeakers:
		line("speakers", "%d, a vector of %d channels each\n   %s", len(names), w.Global, wrapWords(shownAll(names), 100))
	default:
		line("speakers", "%d, a vector of %d channels each: %s", len(names), w.Global, strings.Join(few(shownAll(names)), ", "))
	}
}

// printImage prints the parts of a model of pictures.
func (info *modelInfo) printImage(line func(name, format string, args ...any)) {
	c, i := info.Config, info.Config.Image
	line("pictures", "%s, %d levels", imageSize(i), vqvae.ImageLevels)
	line("encoder", "4x4 convolutions of stride 2, of %s channels", strings.Trim(fmt.Sprint(i.Layers), "[]"))
	line("", "then %s of %d channels, then to %d channels", count(i.Blocks, "residual block"), i.Hidden, c.Bottleneck.Width())
	frame := "code"
	if c.Bottleneck.Kind != vqvae.VQ {
		frame = "vector"
	}
	line("", "a %s depends on %d x %d pixels", frame, i.ReceptiveField(), i.ReceptiveField())
	info.printBottleneck(line)
	distribution := fmt.Sprintf("a softmax over the %d levels of each channel", vqvae.ImageLevels)
	if i.Mixture > 0 {
		distribution = "a mixture of " + fmt.Sprint(i.Mixture) + " logistics"
	}
	line("decoder", "the encoder's mirror image, with transposed convolutions; a pixel by %s", distribution)
}

// inputNames says what an encoder sees.
var inputNames = map[string]string{
	vqvae.Wave: "the waveform", vqvae.LogMel: "log-mel spectra of 80 bands every 10 ms",
	vqvae.MFCC: "13 MFCC with two orders of differences every 10 ms",
}

// printBottleneck prints what lies between encoder and decoder.
func (info *modelInfo) printBottleneck(line func(name, format string, args ...any)) {
	b := info.Config.Bottleneck
	switch b.Kind {
	case vqvae.VQ:
		by, of := "the loss", fmt.Sprintf("%d entries of %d channels", b.Entries, b.Dim)
		if b.Codebook == vqvae.ByAverage {
			by = "moving average"
		}
		if b.Books() > 1 {
			of = fmt.Sprintf("%d of them, each the entries of %d codebooks of %d: %s of %d channels, %s",
				b.Codes(), b.Books(), b.Entries, count(b.Groups, "group"), b.Dim/b.Groups, count(b.Stages, "stage"))
		}
		line("codes", "%s; by %s distance, trained by %s; commitment %g, jitter %g", of, b.Distance, by, b.Beta, b.Jitter)
		line("", "%s codes and %s bits %s", info.per(), fourDigits(info.RawBitRate), info.span())
		return
	case vqvae.VAE:
		line("bottleneck", "Gaussian with %d channels; weight of the divergence %g after %s, jitter %g", b.Dim, b.KL, count(b.KLWarmUp, "step"), b.Jitter)
	default:
		line("bottleneck", "none: vectors of %d channels; jitter %g", b.Dim, b.Jitter)
	}
	line("", "%s vectors %s", info.per(), info.span())
}

// per says what a code is for, and how many there are, as span says.
func (info *modelInfo) per() string {
	if i := info.Config.Image; i != nil {
		height, width := i.Map()
		return fmt.Sprintf("one for %d x %d pixels: a map of %d x %d, %s", i.Stride(), i.Stride(), height, width, fourDigits(info.CodeRate))
	}
	return fmt.Sprintf("one for %s: %s", count(info.Hop, "sample"), fourDigits(info.CodeRate))
}

// span is what the rate of codes is per.
func (info *modelInfo) span() string {
	if info.Config.Image != nil {
		return "a picture"
	}
	return "a second"
}

// String: "190 samples (11.9 ms)".
func (r receptiveField) String() string {
	return fmt.Sprintf("%s (%.1f ms)", count(r.Samples, "sample"), r.Milliseconds)
}

// print prints the history of a training of a model.
func (t *trainingRecord) print(s *strings.Builder, line func(name, format string, args ...any), c vqvae.Config) {
	set, kind, segment := t.Training, c.Bottleneck.Kind, t.Training.Segment
	batch := fmt.Sprintf("%d x %d samples", set.Batch, segment)
	if c.Image != nil {
		batch, segment = count(set.Batch, "picture"), c.Image.Samples()
	}
	line("training", "%s, %.1f million samples, %.1f minutes, in %s", count(t.Step, "step"), float64(t.Samples)/1e6, t.Seconds/60, shown(set.Precision))
	line("", "batches of %s, learning rate %g, seed %d", batch, set.LearningRate, set.Seed)
	if len(t.Validations) == 0 {
		line("", "no validation yet")
		return
	}
	told, columns := "codes", fmt.Sprintf("  %10s %6s", "perplexity", "codes")
	if kind != vqvae.VQ {
		told, columns = "vectors", ""
	}
	if kind == vqvae.VAE {
		columns = fmt.Sprintf("  %10s", "KL bits")
	}
	other, last := "the wrong speaker", "speaker"
	if c.Image != nil {
		other, last = "bits/dim with true ones", "bits/dim"
	}
	line("validation", "nats per sample with true %s, shuffled ones, one everywhere, %s; * is the best", told, other)
	fmt.Fprintf(s, "   %8s %10s  %7s %9s %9s %8s%s\n", "step", "Msamples", "true", "shuffled", "constant", last, columns)
	for _, v := range spread(t.Validations, mostValidations) {
		best := ' '
		if t.Best != nil && v.Step == t.Best.Step {
			best = '*'
		}
		more := "-" // of a model that has not got two speakers
		switch {
		case v.Bits != nil:
			more = fmt.Sprintf("%.4f", v.Bits.Reconstruction)
		case v.WrongSpeaker != 0:
			more = fmt.Sprintf("%.4f", v.WrongSpeaker)
		}
		switch kind {
		case vqvae.VQ:
			columns = fmt.Sprintf("  %10.1f %6d", v.Perplexity, v.Used)
		case vqvae.VAE:
			columns = fmt.Sprintf("  %10.2f", v.KL)
		}
		fmt.Fprintf(s, " %c %8d %10.1f  %7.4f %9.4f %9.4f %8s%s\n", best, v.Step,
			float64(v.Step)*float64(set.Batch)*float64(segment)/1e6, v.True, v.Shuffled, v.Constant, more, columns)
	}
}

// mostValidations is the number of validations that are printed.
const mostValidations = 12

// spread returns at most n of list, from the first to the last, evenly spread. There are two or more to return.
func spread[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	some := make([]T, n)
	for i := range some {
		some[i] = list[i*(len(list)-1)/(n-1)]
	}
	return some
}

// few returns the first names, and how many more there are.
func few(names []string) []string {
	const most = 5
	if len(names) <= most {
		return names
	}
	return append(names[:most:most], fmt.Sprintf("and %d more (--speakers lists them)", len(names)-most))
}

func shownAll(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = shown(name)
	}
	return all
}
