package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/codes"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/pretrained"
	"github.com/vqaudio/vqaudio/prior"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
)

func evaluatePriorCommand() *cli.Command {
	return &cli.Command{
		Name:      "prior",
		Usage:     "how well does a prior predict the codes of recordings?",
		ArgsUsage: "PRIOR|RUN",
		Description: "Encodes the utterances of the split and prints what a code of them costs, in bits: the cross entropy of\n\n" +
			"   prior        each utterance by itself, from its start; with the name of the speaker where the prior knows it, and without\n" +
			"   bigram       a model of each code given the one before, fitted on the train split\n" +
			"   unigram      a model of each code by itself, fitted on the train split\n" +
			"   any code     if all were equally likely, log2 K\n\n" +
			"and the empirical entropies of the split, -sum p log2 p: what bigram and unigram would cost that had seen just these codes.\n" +
			"The latter times the code rate is the bit rate of ZeroSpeech; the former says little about a small split, as most pairs of codes\n" +
			"occur once in it. If codes.safetensors lies beside the prior, as \"train prior\" has left it, nothing is encoded again.\n\n" +
			"   vqaudio evaluate prior prior/ --model run/ --corpus vctk.cache\n" +
			"   vqaudio evaluate prior prior.safetensors --model model.safetensors --corpus vctk.cache --split valid --json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "the `MODEL` whose codes the prior was trained on, a file or the folder of a run"},
			&cli.StringFlag{Name: "corpus", Usage: "prepared corpus, the folder `CACHE`"},
			&cli.StringFlag{Name: "split", Value: corpora.Test, Usage: "take the utterances of `SPLIT`: train, valid, test, or all"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the result is the same with any number", DefaultText: "all cores"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		},
		Action: runEvaluatePrior,
	}
}

// priorReport is what --json prints. Bits are per code.
type priorReport struct {
	File   string `json:"file"`
	Model  string `json:"model"`
	Corpus string `json:"corpus"`
	Split  string `json:"split"` // "" is all
	Known  int    `json:"known"` // utterances whose speaker the prior knows
	prior.Report

	// Cross entropies of the other models, fitted on the train split.
	Bigram  float64 `json:"bigram"`
	Unigram float64 `json:"unigram"`
	Uniform float64 `json:"uniform"` // log2 K

	Entropy            float64 `json:"entropy"`             // empirical, of a code of the split,
	ConditionalEntropy float64 `json:"conditional_entropy"` // and given the one before
}

// loadPrior loads a prior: the file, or the best one of the folder of a run.
func loadPrior(name string, precision dilated.Precision) (f *checkpoint.Prior, file string, err error) {
	if name == "" {
		f, err = pretrained.Prior(precision)
		return f, pretrained.PriorName, err
	}
	file = name
	if isFolder(name) {
		file = filepath.Join(name, train.BestName)
	}
	f, err = checkpoint.LoadPrior(file, precision)
	if file != name && errors.Is(err, fs.ErrNotExist) {
		err = &usageError{fmt.Errorf("%s has no %s", name, train.BestName), "name the file of a prior, or the folder of a run that has been validated"}
	}
	return f, file, err
}

// measuredPrior is a prior, and what it is measured on.
type measuredPrior struct {
	prior     *prior.Prior
	file      string
	model     *vqvae.Model
	modelFile string
	corpus    *corpora.Cache // to be closed
	codes     codes.Codes    // of all of it
}

// openMeasured loads the prior that the argument names, and with load the model that --model names, whose codes it must be of, and has the codes of
// --corpus: those that "train prior" has left beside the prior, or else it encodes.
func openMeasured(c *cli.Context, example string, load func(string, dilated.Precision) (*checkpoint.File, string, error)) (*measuredPrior, error) {
	f, file, err := loadPrior(c.Args().First(), dilated.Float32)
	if err != nil {
		return nil, err
	}
	model, modelFile, err := load(c.String("model"), dilated.Float32)
	if err != nil {
		return nil, err
	}
	fingerprint := checkpoint.Fingerprint(model.Model)
	if _, err := f.Prior.Config.For(model.Model.Config, fingerprint); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	in := &measuredPrior{prior: f.Prior, file: file, model: model.Model, modelFile: modelFile}
	if in.corpus, err = openCache(c.String("corpus"), example); err != nil {
		return nil, err
	}
	in.codes, err = codes.Read(filepath.Join(filepath.Dir(file), train.CodesName), in.corpus, in.model, fingerprint)
	if err != nil { // there are none of this corpus
		show, done := encodingProgress(c.App.ErrWriter)
		in.codes, err = codes.Encode(c.Context, in.model, in.corpus, show)
		done()
	}
	if err != nil {
		in.corpus.Close()
		return nil, err
	}
	return in, nil
}

func runEvaluatePrior(c *cli.Context) error {
	const example = "vqaudio evaluate prior PRIOR --model MODEL --corpus CACHE --split test"
	if c.NArg() != 1 || c.String("model") == "" || c.String("corpus") == "" {
		return &usageError{errors.New("want one prior, --model and --corpus"), example}
	}
	split, err := splitOf(c, example)
	if err != nil {
		return err
	}
	restore, err := useThreads(c)
	if err != nil {
		return err
	}
	defer restore()
	in, err := openMeasured(c, example, loadModel)
	if err != nil {
		return err
	}
	defer in.corpus.Close()
	p, all := in.prior, in.codes
	utterances := all.Split(in.corpus, split, p.Speakers)
	total := 0
	for _, u := range utterances {
		total += len(u.Codes)
	}
	bar := newProgress(c.App.ErrWriter, "evaluating", "codes", int64(total))
	told := int64(0)
	r := priorReport{File: in.file, Model: in.modelFile, Corpus: c.String("corpus"), Split: split}
	r.Report, err = prior.Measure(c.Context, p, utterances, new(tensor.Arena), func(codes int64) {
		bar.Add(codes - told)
		told = codes
	})
	if bar.Done(); err != nil {
		return err
	}
	k := p.Config.Codes
	of := prior.Count(k, utterances)
	fitted := prior.Count(k, all.Split(in.corpus, corpora.Train, p.Speakers)).Fit()
	r.Unigram, r.Bigram = fitted.CrossEntropy(of)
	r.Uniform, r.Entropy, r.ConditionalEntropy = math.Log2(float64(k)), of.Entropy(), of.ConditionalEntropy()
	for _, u := range utterances {
		if u.Speaker != p.Nobody() {
			r.Known++
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	return r.print(&lines{out: c.App.Writer})
}

// print prints the report for people.
func (r *priorReport) print(t *lines) error {
	split := r.Split
	if split == "" {
		split = "all splits"
	}
	t.line("%s: %s, %d codes in %.1f s, %.6g a second", split, count(r.Utterances, "utterance"), r.Codes, r.Seconds, r.Rate)
	line := func(name string, bits float64) {
		t.line("%-20s %7.4f bits per code, %7.1f bit/s, %+.1f %%", name, bits, bits*r.Rate, 100*(bits/r.Unigram-1))
	}
	t.line("cross entropy, against that of unigram:")
	if r.Known > 0 {
		line("prior, with names", r.Prior)
	}
	line("prior", r.Nobody)
	line("bigram", r.Bigram)
	line("unigram", r.Unigram)
	line("any code", r.Uniform)
	t.line("empirical entropy of the split itself:")
	line("code given the last", r.ConditionalEntropy)
	line("code", r.Entropy)
	if r.Known > 0 && r.Known < r.Utterances {
		t.line("the prior knows the speakers of %d utterances; to the others it is given no name", r.Known)
	}
	return t.err
}
