package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
)

// corpus returns a corpus of tones in noise: each speaker has a pitch.
func corpus(splits ...string) *corpora.Cache {
	random := rand.New(rand.NewPCG(1, 2))
	var utterances []corpora.Utterance
	var samples [][]int16
	for s, speaker := range []string{"a", "b"} {
		for i, split := range splits {
			utterances = append(utterances, corpora.Utterance{Path: fmt.Sprintf("%s/%d.wav", speaker, i), Speaker: speaker, Split: split})
			x := make([]int16, 2000+300*i)
			for t := range x {
				x[t] = int16(8000*math.Sin(float64(t)*0.05*float64(s+1)*(1+0.1*float64(i))) + 300*random.NormFloat64())
			}
			samples = append(samples, x)
		}
	}
	return corpora.NewCache(16000, utterances, samples)
}

func tiny(t *testing.T, steps int) train.Config {
	t.Helper()
	c, err := train.Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	c.Model.Bottleneck.KLWarmUp = 0
	c.Training.Steps, c.Training.ValidateEvery, c.Training.ValidationCrops, c.Training.SaveEvery = steps, 10, 4, 1000
	return c
}

// TestRunCollapse: an experiment that is interrupted in its second training comes to what one that is not comes to.
func TestRunCollapse(t *testing.T) {
	cache := corpus(corpora.Train, corpora.Train, corpora.Valid, corpora.Test)
	whole, err := RunCollapse(t.Context(), tiny(t, 25), Options{Corpus: cache, Out: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir, begun := t.TempDir(), []string{}
	o := Options{Corpus: cache, Out: dir,
		Begin: func(kind string, c train.Config) {
			if c.Model.Bottleneck.Kind != kind {
				t.Errorf("%s begins with %s", kind, c.Model.Bottleneck.Kind)
			}
			begun = append(begun, kind)
		},
		Step: func(p train.Progress) {
			if len(begun) == 2 && p.Step == 15 {
				cancel()
			}
		},
	}
	if _, err := RunCollapse(ctx, tiny(t, 25), o); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	notes := []string{}
	o.Note = func(text string) { notes = append(notes, text) }
	got, err := RunCollapse(t.Context(), tiny(t, 25), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Concat(Kinds[:2], Kinds); !slices.Equal(begun, want) {
		t.Errorf("trained %v, want %v", begun, want)
	}
	if !slices.Contains(notes, "going on from step 15") {
		t.Errorf("notes %q", notes)
	}
	for _, c := range []*Collapse{whole, got} {
		for i := range c.Runs {
			c.Runs[i].Minutes = 0
		}
	}
	a, _ := json.Marshal(whole)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Errorf("interrupted:\n%s\nwhole:\n%s", b, a)
	}
	for i, r := range got.Runs {
		var steps []int
		for _, v := range append(r.Validations, *r.Test) {
			steps = append(steps, v.Step)
			if bound, ok := got.bound(r.Kind, v.Report); (v.Sampled > 0) != (r.Kind == vqvae.VAE) || ok != (r.Kind != vqvae.None) || ok && !(bound > max(v.Sampled, 0)) {
				t.Errorf("%s: %+v, bound %v, %v", r.Kind, v, bound, ok)
			}
		}
		steps = steps[:len(r.Validations)]
		if r.Kind != Kinds[i] || r.Steps != 25 || !slices.Equal(steps, []int{10, 20, 25}) || r.Test == nil || r.Test.Split != corpora.Test || r.Test.Crops == 0 || r.Test.Step == 0 {
			t.Errorf("run %d: %+v", i, r)
		}
		if c, err := train.ReadConfig(filepath.Join(dir, r.Kind)); err != nil || c.Model.Bottleneck.Kind != r.Kind || c.Model.Bottleneck.KLWarmUp != 0 {
			t.Errorf("configuration of %s: %+v, %v", r.Kind, c, err)
		}
	}

	// A larger budget, and one more validation, of all runs.
	o.Step = nil
	if got, err = RunCollapse(t.Context(), tiny(t, 30), o); err != nil || got.Runs[2].Steps != 30 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := got.Write(dir); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(dir, TableName))
	if lines := strings.Split(string(table), "\n"); err != nil || len(lines) != 1+3*(4+1)+1 || strings.Count(lines[0], "\t") != strings.Count(lines[15], "\t") {
		t.Errorf("%v, %s", err, table)
	}
	page, err := os.ReadFile(filepath.Join(dir, PageName))
	if err != nil || !strings.Contains(string(page), "](collapse.png)") || !strings.Contains(string(page), "\n| 30 | ") {
		t.Errorf("%v, %s", err, page)
	}
	if f, err := os.Open(filepath.Join(dir, PlotName)); err != nil {
		t.Error(err)
	} else {
		defer f.Close()
		if _, err := png.Decode(f); err != nil {
			t.Error(err)
		}
	}
}

// TestBudget: the first kind spends the minutes, the others train as many steps.
func TestBudget(t *testing.T) {
	c := tiny(t, 0)
	if _, err := RunCollapse(t.Context(), c, Options{Corpus: corpus(corpora.Train, corpora.Valid), Out: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "budget") {
		t.Errorf("without a budget: %v", err)
	}
	c.Training.Minutes = 1e-12
	if _, err := RunCollapse(t.Context(), c, Options{Corpus: corpus(corpora.Train, corpora.Valid), Out: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "before the first step") {
		t.Errorf("next to no budget: %v", err)
	}
	c.Training.Minutes = 0.2 / 60
	got, err := RunCollapse(t.Context(), c, Options{Corpus: corpus(corpora.Train, corpora.Valid), Out: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got.Runs {
		if r.Steps < 1 || r.Steps != got.Runs[0].Steps || r.Test != nil {
			t.Errorf("%+v", r)
		}
	}
}

// figures returns what an experiment could have found, for frames of 64 samples.
func figures() *Collapse {
	report := func(split string, r evaluate.Report) evaluate.Report {
		r.Split, r.Crops = split, 48
		return r
	}
	c := &Collapse{}
	c.Config, _ = train.Preset("small")
	c.Config.Model.Bottleneck.KLWarmUp = 0
	for kind, r := range map[string]evaluate.Report{
		vqvae.VAE:  {True: 2.9, Shuffled: 3.5, KL: 6.4, Sampled: 2.91},
		vqvae.VQ:   {True: 2.8, Shuffled: 3.9, Codes: evaluate.Codes{Entries: 512, Used: 500, Perplexity: 256}},
		vqvae.None: {True: 2.7, Shuffled: 4.5},
	} {
		first := r
		first.KL *= 2
		c.Runs = append(c.Runs, Run{Kind: kind, Steps: 1000,
			Validations: []train.Validation{{Step: 500, Report: report(corpora.Valid, first)}, {Step: 1000, Report: report(corpora.Valid, r)}},
			Test:        &train.Validation{Step: 1000, Report: report(corpora.Test, r)}})
	}
	slices.SortFunc(c.Runs, func(a, b Run) int { return slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind) })
	return c
}

// TestCommonSteps: what only some runs were validated at is left out.
func TestCommonSteps(t *testing.T) {
	c := figures()
	c.Runs[0].Validations = slices.Insert(c.Runs[0].Validations, 1, train.Validation{Step: 700})
	c.Runs[2].Validations = append(c.Runs[2].Validations, train.Validation{Step: 1500})
	c.keepCommon()
	for _, r := range c.Runs {
		if len(r.Validations) != 2 || r.Validations[0].Step != 500 || r.Validations[1].Step != 1000 {
			t.Errorf("%s: %+v", r.Kind, r.Validations)
		}
	}
}

// TestExplain: the words follow the figures, whichever way they come out.
func TestExplain(t *testing.T) {
	set := func(kind int, change func(r *evaluate.Report)) func(*Collapse) {
		return func(c *Collapse) {
			change(&c.Runs[kind].Validations[1].Report)
		}
	}
	const vae, vq, none = 0, 1, 2
	for _, test := range []struct {
		name       string
		change     func(*Collapse)
		want, lack []string
	}{
		{"nothing collapsed", func(*Collapse) {}, []string{
			"autoencoder did not collapse**: its latents tell 6.4 bits per frame", "tells 80 % of the bits, and loses 55 % of what", "loses 0.600 nats per sample (3.500 instead of 2.900)", "a bit in every frame costs 0.0108 nats",
			"(its weight is 1)", "went from 12.8 bits per frame at step 500 to 6.4 at step 1000.", "codes uses them", "500 of 512 codes occur", "which is 8.0 bits per frame",
			"log2 512 = 9 bits", "it uses them; those of other sound cost it 1.800", "0.100 nats per sample better than",
			"vae 2.910 + 0.069 = 2.979", "vq 2.800 + 0.097 = 2.897", "the codes are the better model of the sound", "2.900 and 3.500 nats per sample (vae), 2.800 and 3.900",
		}, []string{"collapsed**", "ignores its latents, though", "ignores them", "told nothing, codes change"}},
		{"vae collapsed", set(vae, func(r *evaluate.Report) { r.True, r.Shuffled, r.KL, r.Sampled = 2.85, 2.851, 0.02, 2.85 }), []string{
			"**The variational autoencoder collapsed**: its latents tell 0.02 bits per frame", "loses 0.001 nats", "The model with codes uses them",
			"vae 2.850 + 0.000 = 2.850", "the model that tells nothing is the better one", "codes change the likelihood by -0.050 nats per sample, or -4.6 bits per frame",
		}, []string{"did not collapse"}},
		{"vae that tells and is not heard", set(vae, func(r *evaluate.Report) { r.Shuffled, r.KL = 2.905, 3 }), []string{
			"ignores its latents, though they are not empty**: its latents tell 3 bits",
		}, []string{"collapsed", "did not"}},
		{"vae the better one", set(vae, func(r *evaluate.Report) { r.Sampled = 2.5 }), []string{"autoencoder is the better model of the sound"}, []string{"tells nothing"}},
		{"bounds alike", set(vae, func(r *evaluate.Report) { r.Sampled = 2.83 }), []string{"does not tell which is the better model of the sound: they differ by 0.002"}, []string{"By that measure the"}},
		{"vq collapsed", set(vq, func(r *evaluate.Report) { r.Shuffled = 2.8 }), []string{"**The model with codes ignores them too**: codes of other sound cost its decoder 0.000"}, []string{"uses them**", "Beside the model with codes"}},
		{"none collapsed", set(none, func(r *evaluate.Report) { r.True, r.Shuffled = 2.9, 2.9 }), []string{"it ignores them all the same", "0.100 nats per sample worse than"}, nil},
		{"warm-up", func(c *Collapse) { c.Config.Model.Bottleneck.KL, c.Config.Model.Bottleneck.KLWarmUp = 0.5, 300 }, []string{
			"costs 0.0054 nats per sample (its weight is 0.5, to which it rises over 300 steps)",
		}, nil},
		{"no test split", func(c *Collapse) {
			for i := range c.Runs {
				c.Runs[i].Test = nil
			}
		}, nil, []string{"test split", "| test |"}},
	} {
		c := figures()
		test.change(c)
		text := c.Markdown("p.png")
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: lacks %q:\n%s", test.name, want, text)
			}
		}
		for _, lack := range test.lack {
			if strings.Contains(text, lack) {
				t.Errorf("%s: says %q:\n%s", test.name, lack, text)
			}
		}
	}
}

func TestTSV(t *testing.T) {
	lines := strings.Split(string(figures().TSV()), "\n")
	for at, want := range map[int]string{
		2: "vae\tvalid\t1000\t2.900000\t3.500000\t0.000000\t2.910000\t6.400000\t\t2.979315",
		5: "vq\tvalid\t1000\t2.800000\t3.900000\t0.000000\t\t9.000000\t8.000000\t2.897474",
		9: "none\ttest\t1000\t2.700000\t4.500000\t0.000000\t\t\t\t",
	} {
		if lines[at] != want {
			t.Errorf("line %d: %q, want %q", at, lines[at], want)
		}
	}
}
