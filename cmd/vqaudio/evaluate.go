package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
)

func evaluateCommand() *cli.Command {
	return &cli.Command{
		Name:  "evaluate",
		Usage: "measure a model",
		Description: "   vqaudio evaluate nll model.safetensors --corpus vctk.cache          how well does it predict, and does it use its codes?\n" +
			"   vqaudio evaluate conversion model.safetensors --corpus vctk.cache   does it speak in other voices?\n" +
			"   vqaudio evaluate sampler model.safetensors --corpus vctk.cache      what do weights of fewer bits cost?\n" +
			"   vqaudio evaluate phones model.safetensors --corpus speech.cache --alignments phones.tsv\n" +
			"   vqaudio evaluate prior prior/ --model run/ --corpus vctk.cache      how many bits does a code take?\n" +
			"   vqaudio evaluate nll --help                                         more about that",
		Subcommands: []*cli.Command{evaluateNLLCommand(), evaluateSamplerCommand(), evaluateGenerationCommand(), evaluateConversionCommand(), evaluatePhonesCommand(), evaluatePriorCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("%q is no measure", c.Args().First()), "vqaudio evaluate --help lists them"}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func evaluateNLLCommand() *cli.Command {
	return &cli.Command{
		Name:      "nll",
		Usage:     "likelihood of recordings or pictures: with their codes, with others, with another speaker",
		ArgsUsage: "MODEL|RUN",
		Description: "Prints the negative log-likelihood, in nats per sample, that the decoder gives to every whole crop of the split,\n" +
			"from the start of each utterance on: with the true codes; with those of the crop before in the batch (shuffled);\n" +
			"with one code everywhere (constant); and with the true codes, but the next speaker of the model (wrong speaker).\n" +
			"If these are no larger than the first, the decoder does not use its codes, or its speaker. And how many codes are\n" +
			"used, their perplexity exp(H), and their bit rate, that of the codes as they are (raw), and by their entropy H.\n" +
			"Of a variational autoencoder the vectors are its means; its evidence lower bound is given too.\n" +
			"Of a model of pictures it takes all pictures of the split, and gives bits/dim too: those of the pictures given their codes,\n" +
			"and those of the codes under a uniform prior. A collection without pictures for validation lends one of 20 for training.\n\n" +
			"   vqaudio evaluate nll model.safetensors --corpus vctk.cache --split test\n" +
			"   vqaudio evaluate nll model.safetensors --corpus vctk.cache --crops 48   fewer crops, evenly spread: quicker\n" +
			"   vqaudio evaluate nll run/ --corpus fashion-mnist/ --png grid.png        pictures beside their reconstructions",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`, or a folder of pictures"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "take the utterances, or pictures, of `SPLIT`: train, valid, test, or all"},
			&cli.IntFlag{Name: "crop", Usage: "`SAMPLES` of a crop, a multiple of the model's hop (default: 8192, or the next multiple)"},
			&cli.IntFlag{Name: "batch", Value: 4, Usage: "`N` crops of a batch; an incomplete last batch is left out (of pictures 32, and none is left out)"},
			&cli.StringFlag{Name: "png", Usage: "of a model of pictures: draw some of them beside their reconstructions, as `FILE`"},
			&cli.IntFlag{Name: "crops", Usage: "take at most `N` crops, or pictures, evenly spread over the split", DefaultText: "all"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runEvaluateNLL,
	}
}

// maxBatchSamples limits a batch of evaluate: a sample takes some kilobytes.
const maxBatchSamples = 1 << 20

// nllReport is what --json prints.
type nllReport struct {
	Model  string `json:"model"`
	Corpus string `json:"corpus"`
	evaluate.Report
}

func runEvaluateNLL(c *cli.Context) error {
	const example = "vqaudio evaluate nll model.safetensors --corpus CACHE --split test"
	o := evaluate.Options{Crop: c.Int("crop"), Batch: c.Int("batch"), Crops: c.Int("crops"), Noise: rand.NewPCG(1, 0)}
	switch {
	case c.NArg() != 1 || c.String("corpus") == "":
		return &usageError{errors.New("want one model, and --corpus"), example}
	case o.Crop < 0 || c.IsSet("crop") && o.Crop == 0 || o.Batch < 2 || o.Crop > maxBatchSamples/o.Batch:
		return &usageError{fmt.Errorf("--crop %d --batch %d: want 1 sample or more, 2 crops or more, %d samples in a batch or less", o.Crop, o.Batch, maxBatchSamples), example}
	case o.Crops < 0 || c.IsSet("crops") && o.Crops < o.Batch:
		return &usageError{fmt.Errorf("--crops %d: want a batch of %d or more", o.Crops, o.Batch), example}
	}
	var err error
	if o.Split, err = splitOf(c, example); err != nil {
		return err
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	f, model, err := loadModel(c.Args().First(), dilated.Float32)
	if err != nil {
		return err
	}
	if f.Model.Config.Image != nil {
		return evaluateImages(c, f.Model, model, o, example)
	}
	if c.IsSet("png") {
		return &usageError{fmt.Errorf("--png: %s is no model of pictures", model), example}
	}
	cache, err := openCache(c.String("corpus"), example)
	if err != nil {
		return err
	}
	defer cache.Close()

	var bar *progressBar
	o.Progress = func(done, total int) {
		if bar == nil {
			bar = newProgress(c.App.ErrWriter, "evaluating", "crops", int64(total))
		}
		bar.Add(int64(o.Batch))
	}
	r, err := evaluate.NLL(c.Context, f.Model, cache, o)
	if bar != nil {
		bar.Done()
	}
	if err != nil {
		return err
	}
	if sum := r.True + r.Shuffled + r.Constant + r.WrongSpeaker; math.IsNaN(sum) || math.IsInf(sum, 0) {
		return fmt.Errorf("%s gives no likelihoods: they are %v nats per sample", model, sum)
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(nllReport{model, c.String("corpus"), r})
	}
	return printNLL(c.App.Writer, r, f.Model.Config)
}

// printNLL prints a report for people.
func printNLL(out io.Writer, r evaluate.Report, c vqvae.Config) error {
	kind := "code"
	if r.Entries == 0 {
		kind = "vector"
	}
	split := r.Split
	if split == "" {
		split = "all splits"
	}
	_, err := fmt.Fprintf(out, "%s: %d crops of %d samples, %.1f s\n", split, r.Crops, r.Crop, float64(r.Crops)*float64(r.Crop)/float64(c.Rate))
	line := func(name string, nll float64) {
		if err == nil {
			_, err = fmt.Fprintf(out, "%-16s %.4f nats per sample, %+.4f\n", name, nll, nll-r.True)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "%-16s %.4f nats per sample\n", "true "+kind+"s", r.True)
	}
	line("shuffled "+kind+"s", r.Shuffled)
	line("constant "+kind, r.Constant)
	if r.WrongSpeaker != 0 {
		line("wrong speaker", r.WrongSpeaker)
	}
	if err == nil && c.Bottleneck.Kind == vqvae.VAE {
		_, err = fmt.Fprint(out, boundLine(r, c))
	}
	if err == nil && r.Entries > 0 {
		_, err = fmt.Fprintf(out, "%d of %d codes used, perplexity %.1f; %.6g codes/s, %.1f bit/s raw, %.1f bit/s by entropy\n",
			r.Used, r.Entries, r.Perplexity, r.Rate, r.RawBitRate, r.BitRate)
	}
	return err
}

// boundLine says what the vectors of a variational autoencoder cost, and the bound of the likelihood that they make.
func boundLine(r evaluate.Report, c vqvae.Config) string {
	return fmt.Sprintf("evidence lower bound: at most %.4f nats per sample, %.4f of them given samples in the place of means, the rest for these: %.2f bits per frame\n",
		r.Bound(c.Hop()), r.Sampled, r.KL)
}

// useThreads does what --threads says, until restore is called.
func useThreads(c *cli.Context) (restore func(), err error) {
	threads, before := c.Int("threads"), parallel.Threads()
	if threads < 0 || threads > 1024 {
		return nil, &usageError{fmt.Errorf("--threads %d: want 1 to 1024, or 0 for all cores", threads), c.Command.HelpName + " --help lists the flags"}
	}
	if threads > 0 {
		parallel.SetThreads(threads)
	}
	return func() { parallel.SetThreads(before) }, nil
}
