package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
)

func trainCommand() *cli.Command {
	return &cli.Command{
		Name:  "train",
		Usage: "train a model on a prepared corpus, or on pictures, or a prior over its codes",
		Description: "   vqaudio train vqvae --corpus vctk.cache --out run --minutes 90   an hour and a half\n" +
			"   vqaudio train prior --model run/ --corpus vctk.cache --out prior --minutes 60\n" +
			"   vqaudio help train vqvae                                         more about it",
		Subcommands: []*cli.Command{trainVQVAECommand(), trainPriorCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("%q is not a command of vqaudio train", c.Args().First()), "vqaudio train --help lists them"}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func trainVQVAECommand() *cli.Command {
	return &cli.Command{
		Name:      "vqvae",
		Usage:     "train encoder, bottleneck and decoder",
		ArgsUsage: " ",
		Description: "Trains on the train split of a corpus, or of a collection of pictures with the preset image, in a folder of\n" +
			"its own, RUN, until a budget is spent or Ctrl-C is pressed.\n" +
			"The same command goes on where a training was interrupted, by whatever, as if it had not been; then --corpus and\n" +
			"--out are enough. RUN holds\n\n" +
			"   metrics.jsonl       losses and validations, a JSON object in each line; also as TensorBoard's event files\n" +
			"   best.safetensors    the model of the best validation so far: for encode, decode and convert\n" +
			"   checkpoints/        all that it takes to go on, the last few\n" +
			"   samples/            what becomes of some of the validation split: sound and its pictures, or a grid of pictures\n" +
			"   config.json         the configuration\n\n" +
			"   vqaudio train vqvae --corpus vctk.cache --out run --minutes 90          the preset base, for an hour and a half\n" +
			"   vqaudio train vqvae --corpus vctk.cache --out run --minutes 180         and for as long again\n" +
			"   vqaudio train vqvae --corpus c --out mine --from built-in               go on from a model, with other speech\n" +
			"   vqaudio train vqvae --corpus c --out small --preset small --threads 1   another size, on one core\n" +
			"   vqaudio train vqvae --corpus c --out k128 --set entries=128 --set dim=32\n" +
			"   vqaudio train vqvae --corpus c --out vae --set kind=vae                 a variational autoencoder, to compare with\n" +
			"   vqaudio train vqvae --corpus fashion-mnist/ --preset image --out run    pictures: IDX or CIFAR files, or PNG and JPEG\n" +
			"   vqaudio train vqvae --preset base --print                               the configuration, with all its keys",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "train on the `CACHE` that \"vqaudio corpus prepare\" has made, or on a folder of pictures"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "keep everything in the folder `RUN`"},
			&cli.StringFlag{Name: "from", Usage: "begin with the weights of `MODEL`, a file, the folder of a run, or built-in; its architecture is taken, too"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "print", Usage: "print the configuration as JSON, and train nothing"},
		}, configFlags("base", train.Presets())...),
		Action: runTrainVQVAE,
	}
}

// configFlags are those that [configs] take notice of.
func configFlags(preset string, presets []string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "preset", Usage: "start from the configuration `NAME`: " + strings.Join(presets, ", "), DefaultText: "that of the run, or else " + preset},
		&cli.IntFlag{Name: "steps", Usage: "stop after `N` steps, over all starts; 0 for no limit", DefaultText: "that of the configuration"},
		&cli.Float64Flag{Name: "minutes", Usage: "stop after `M` minutes, over all starts; 0 for no limit", DefaultText: "that of the configuration"},
		&cli.Uint64Flag{Name: "seed", Usage: "draw weights and segments from the seed `N`", DefaultText: "that of the configuration"},
		&cli.StringFlag{Name: "precision", Usage: "compute in `P`: float32, bfloat16, or auto, bfloat16 where the processor is faster with it (AMX, Zen 4)", DefaultText: "that of the configuration"},
		&cli.StringSliceFlag{Name: "set", Usage: "change `KEY=VALUE` of the configuration; can be given again"},
	}
}

func runTrainVQVAE(c *cli.Context) error {
	const example = "vqaudio train vqvae --corpus CACHE --out RUN --minutes 90"
	corpus, out := c.String("corpus"), c.String("out")
	switch threads := c.Int("threads"); {
	case c.NArg() > 0:
		return &usageError{fmt.Errorf("unexpected %q", c.Args().First()), example}
	case !c.Bool("print") && (corpus == "" || out == ""):
		return &usageError{errors.New("want --corpus and --out"), example}
	case c.IsSet("threads") && (threads < 1 || threads > 1024):
		return &usageError{fmt.Errorf("--threads %d: want 1 to 1024", threads), example + " --threads 2"}
	case c.IsSet("threads"):
		defer parallel.SetThreads(parallel.Threads())
		parallel.SetThreads(threads)
	}
	from, preset, err := trainFrom(c)
	if err != nil {
		return err
	}
	config, err := trainConfig(c, out, preset)
	if err != nil {
		return err
	}
	if from != nil {
		config.Model = from.Config
		asked := config
		for _, a := range c.StringSlice("set") {
			if err := train.Set(&asked, a); err != nil || !reflect.DeepEqual(asked.Model, from.Config) {
				return &usageError{fmt.Errorf("--set %s: the architecture is that of --from %s", a, c.String("from")), example}
			}
		}
	}
	if c.Bool("print") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		return e.Encode(config)
	}
	o := train.Options{Out: out, From: from}
	if i := config.Model.Image; i != nil {
		if o.Images, err = openImages(c.Context, c.App.ErrWriter, corpus, i); err != nil {
			return err
		}
		if t := o.Images.Train; t != nil {
			config.Model = config.Model.Sized(t.Height, t.Width, t.Channels)
		}
	} else {
		if o.Corpus, err = openCache(corpus, "vqaudio train vqvae --corpus FOLDER --preset image --out RUN"); err != nil {
			return err
		}
		defer o.Corpus.Close()
	}
	p := newTrainProgress(c.App.ErrWriter, config)
	o.Step, o.Note = p.step, p.note
	reached, err := train.Run(c.Context, config, o)
	p.clear()
	if reached.Step > 0 && c.Context.Err() != nil && errors.Is(err, c.Context.Err()) {
		fmt.Fprintf(c.App.ErrWriter, "saved at step %d; to go on: vqaudio train vqvae --corpus %s --out %s\n", reached.Saved, corpus, out)
	}
	if err != nil {
		return err
	}
	if p.told.Step == 0 { // none was taken
		fmt.Fprintf(c.App.ErrWriter, "nothing was left to do within %d steps, %g minutes (0 for no limit); --steps and --minutes give more\n",
			config.Training.Steps, config.Training.Minutes)
	}
	amount := fmt.Sprintf("%.1f million samples", float64(reached.Samples)/1e6)
	if i := config.Model.Image; i != nil {
		amount = count(int(reached.Samples)/i.Samples(), "picture")
	}
	fmt.Fprintf(c.App.Writer, "%s: %d steps, %s, %.1f minutes; the best model is %s/best.safetensors\n", out, reached.Step, amount, reached.Seconds/60, out)
	return nil
}

// trainFrom returns the model that --from names, if it does, and the preset for how such a model, or any, is trained.
func trainFrom(c *cli.Context) (from *vqvae.Model, preset string, err error) {
	name := c.String("from")
	if name == "" {
		return nil, "base", nil
	}
	if name == builtIn {
		name = ""
	}
	f, _, err := loadModel(name, dilated.Float32)
	switch {
	case err != nil:
		return nil, "", err
	case f.Model.Config.Image != nil:
		return f.Model, "image", nil
	case f.Model.Config.Encoder.Input != vqvae.Wave:
		return f.Model, "voices", nil
	}
	return f.Model, "base", nil
}

// trainConfig returns the configuration that the flags ask for, with their changes: that of the run in the folder out, or of the
// preset that is named, or else of preset. To that of a preset the assignments are made first.
func trainConfig(c *cli.Context, out, preset string, assignments ...string) (train.Config, error) {
	return modelConfigs.of(c, out, preset, assignments...)
}

// configs are the configurations of a command.
type configs[C train.Config | train.PriorConfig] struct {
	command string
	read    func(out string) (C, error)
	preset  func(name string) (C, error)
	course  func(*C) *train.Course
	check   func(C) error
}

var modelConfigs = configs[train.Config]{
	"vqaudio train vqvae", train.ReadConfig, train.Preset, func(c *train.Config) *train.Course { return &c.Training.Course }, train.Config.Check,
}

var priorConfigs = configs[train.PriorConfig]{
	"vqaudio train prior", train.ReadPriorConfig, train.PriorPreset, func(c *train.PriorConfig) *train.Course { return &c.Training.Course }, train.PriorConfig.Check,
}

// of is trainConfig for these.
func (of configs[C]) of(c *cli.Context, out, preset string, assignments ...string) (C, error) {
	usage := func(err error) error {
		return &usageError{err, of.command + " --print lists all keys and their values"}
	}
	var config C
	var err error
	if !c.IsSet("preset") && out != "" {
		config, err = of.read(out)
	}
	if c.IsSet("preset") || out == "" || errors.Is(err, fs.ErrNotExist) {
		if config, err = of.preset(cmp.Or(c.String("preset"), preset)); err != nil {
			return config, usage(err)
		}
		for _, a := range assignments {
			if err := train.Set(&config, a); err != nil {
				return config, err
			}
		}
	} else if err != nil {
		return config, err
	}
	for _, assignment := range c.StringSlice("set") {
		if err := train.Set(&config, assignment); err != nil {
			return config, usage(fmt.Errorf("--set %w", err))
		}
	}
	s := of.course(&config)
	if c.IsSet("steps") {
		s.Steps = c.Int("steps")
	}
	if c.IsSet("minutes") {
		s.Minutes = c.Float64("minutes")
	}
	if c.IsSet("seed") {
		s.Seed = c.Uint64("seed")
	}
	if c.IsSet("precision") {
		s.Precision = c.String("precision")
	}
	if err := of.check(config); err != nil {
		return config, usage(err)
	}
	return config, nil
}

// trainProgress tells how a training gets on: on a terminal in one line that changes, elsewhere in a line every ten seconds.
type trainProgress struct {
	out     io.Writer
	bar     *progressbar.ProgressBar // nil where there is no terminal
	course  train.Course
	kind    string         // of the bottleneck; "" for a prior
	rate    float64        // of the sound, or of codes; 0 of pictures
	picture float64        // samples of a picture
	loss    float64        // a moving mean
	told    train.Progress // at the last line
	when    time.Time      // of it
}

func newTrainProgress(out io.Writer, c train.Config) *trainProgress {
	p := newProgressOf(out, c.Training.Course, c.Model.Bottleneck.Kind, float64(c.Model.Rate))
	if i := c.Model.Image; i != nil {
		p.picture = float64(i.Samples())
	}
	return p
}

// newProgressOf tells of a training on so many samples, or codes, for a second of sound.
func newProgressOf(out io.Writer, c train.Course, kind string, rate float64) *trainProgress {
	p := &trainProgress{out: out, course: c, kind: kind, rate: rate, loss: math.NaN(), when: time.Now()}
	if isTerminal(out) {
		p.bar = progressbar.NewOptions(1000,
			progressbar.OptionSetWriter(out),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetWidth(20),
		)
	}
	return p
}

// step takes a step, and tells of it if it is time.
func (p *trainProgress) step(now train.Progress) {
	switch {
	case math.IsNaN(p.loss):
		p.loss = now.Loss
	case !math.IsNaN(now.Loss):
		p.loss += 0.02 * (now.Loss - p.loss)
	}
	interval := progressInterval
	if p.bar != nil {
		interval = time.Second / 2
	}
	if p.told.Step == 0 {
		p.told = now // of the first step there is no duration: others stood before this start
		return
	}
	if time.Since(p.when) < interval {
		return
	}
	text, share := p.line(now)
	p.told, p.when = now, time.Now()
	if p.bar == nil {
		fmt.Fprintln(p.out, text)
		return
	}
	p.bar.Describe(text)
	p.bar.Set(int(1000 * share))
}

// line describes a step, and says which share of the budget is spent.
func (p *trainProgress) line(now train.Progress) (text string, share float64) {
	seconds := now.Seconds - p.told.Seconds
	speed := float64(now.Samples-p.told.Samples) / seconds
	text = fmt.Sprintf("step %d: loss %.3f, ", now.Step, p.loss)
	switch {
	case p.picture > 0:
		text += fmt.Sprintf("%.0f pictures/s", speed/p.picture)
	case p.kind == "":
		text = fmt.Sprintf("step %d: %.3f bits per code, %.1fk codes/s, %.0f times real time", now.Step, p.loss/math.Ln2, speed/1e3, speed/p.rate)
	default:
		text += fmt.Sprintf("%.1fk samples/s, %.2f times real time", speed/1e3, speed/p.rate)
	}
	switch p.kind {
	case vqvae.VQ:
		text += fmt.Sprintf(", perplexity %.0f, %d codes", now.Perplexity, now.Used)
	case vqvae.VAE:
		text += fmt.Sprintf(", KL %.2f bits per frame", now.KL)
	}
	left := math.Inf(1)
	if n := p.course.Steps; n > 0 {
		left = float64(n-now.Step) * seconds / float64(max(1, now.Step-p.told.Step))
		share = float64(now.Step) / float64(n)
	}
	if m := p.course.Minutes; m > 0 {
		left = min(left, 60*m-now.Seconds)
		share = max(share, now.Seconds/(60*m))
	}
	if !math.IsInf(left, 0) {
		text += fmt.Sprintf(", %v left", time.Duration(max(0, left)*float64(time.Second)).Round(time.Second))
	}
	return text, min(1, share)
}

// note writes a line that stays.
func (p *trainProgress) note(text string) {
	p.clear()
	fmt.Fprintln(p.out, text)
}

func (p *trainProgress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}
