package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
)

// priorModel returns a new model of the preset tiny: its codes follow tones well enough.
func priorModel(t *testing.T) *vqvae.Model {
	t.Helper()
	m, err := vqvae.New(tiny(t, 0).Model, []string{"a", "b", "c"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tinyPrior is the preset for so many steps.
func tinyPrior(t *testing.T, steps int) PriorConfig {
	t.Helper()
	c, err := PriorPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	c.Training.Steps = steps
	return c
}

// runPrior trains, and wants no error.
func (n *notes) runPrior(t *testing.T, c PriorConfig, dir string) {
	t.Helper()
	if _, err := RunPrior(context.Background(), c, PriorOptions{Model: priorModel(t), Corpus: corpus("a", "b", "c"), Out: dir, Note: n.add}); err != nil {
		t.Fatal(err)
	}
}

// samePrior compares two checkpoints of priors, and the state of training but for times.
func samePrior(t *testing.T, a, b string) {
	t.Helper()
	var tensors [2][]float32
	var states [2][]byte
	for i, name := range []string{a, b} {
		f, err := checkpoint.LoadPrior(name, dilated.Float32)
		if err != nil {
			t.Fatal(err)
		}
		var s priorState
		if err := strict(f.Training, &s); err != nil {
			t.Fatal(err)
		}
		s.Seconds = 0
		states[i], _ = json.Marshal(s)
		for _, p := range slices.Concat(f.Prior.Parameters(), f.State) {
			tensors[i] = append(tensors[i], p.Value.Data...)
		}
	}
	if !bytes.Equal(states[0], states[1]) {
		t.Errorf("states differ:\n%s\n%s", states[0], states[1])
	}
	if len(tensors[0]) < 1000 || !slices.Equal(tensors[0], tensors[1]) {
		t.Errorf("tensors of %s and %s differ", a, b)
	}
}

// TestPriorTraining: a prior learns, and a run leaves what it should.
func TestPriorTraining(t *testing.T) {
	dir := t.TempDir()
	var n notes
	n.runPrior(t, tinyPrior(t, 100), dir)
	lines := curve(t, dir)
	var first, end priorLine
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[len(lines)-2]), &end)); err != nil {
		t.Fatal(err)
	}
	if first.Step != 1 || end.Step != 100 || !(end.Bits < first.Bits-1) || end.Codes != 100*2*64 || !n.has("step 100: validation") {
		t.Errorf("from %+v to %+v", first, end)
	}
	kept, err := (&folder{dir: dir}).steps()
	if err != nil || !slices.Equal(kept, []int{80, 90, 100}) {
		t.Errorf("checkpoints of steps %v, %v", kept, err)
	}
	best, err := checkpoint.LoadPrior(filepath.Join(dir, BestName), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	m := priorModel(t)
	if c := best.Prior.Config; len(best.State) > 0 || best.Prior.Speakers.Len() != 3 || c.Model != checkpoint.Fingerprint(m) || c.Codes != 32 || c.Hop != 64 || c.Rate != 16000 {
		t.Errorf("the best prior is %+v, with %d tensors of state", best.Prior.Config, len(best.State))
	}
	n = notes{} // a run that is complete stays as it is
	n.runPrior(t, tinyPrior(t, 100), dir)
	sameCurve(t, curve(t, dir), lines)
	if c, err := ReadPriorConfig(dir); err != nil || c.Prior != best.Prior.Config || c.Training.Steps != 100 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestPriorThreads: results do not depend on the number of threads.
func TestPriorThreads(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	var curves [2][]string
	for i := range curves {
		parallel.SetThreads(1 + 3*i)
		dir := t.TempDir()
		(&notes{}).runPrior(t, tinyPrior(t, 40), dir)
		curves[i] = curve(t, dir)
	}
	sameCurve(t, curves[1], curves[0])
}

// TestPriorBFloat16: in bfloat16 a training goes nearly the same way.
func TestPriorBFloat16(t *testing.T) {
	var bits [2]float64
	for i, precision := range []string{"float32", "bfloat16"} {
		dir := t.TempDir()
		c := tinyPrior(t, 60)
		c.Prior.Residual, c.Prior.Skip, c.Training.Precision = 32, 32, precision
		(&notes{}).runPrior(t, c, dir)
		f, err := checkpoint.LoadPrior(filepath.Join(dir, BestName), dilated.Float32)
		if err != nil {
			t.Fatal(err)
		}
		var s priorState
		if err := strict(f.Training, &s); err != nil {
			t.Fatal(err)
		}
		bits[i] = s.Best.Prior
	}
	if d := bits[1] - bits[0]; d == 0 || d > 0.1 || d < -0.1 {
		t.Errorf("%.4f bits in float32, %.4f in bfloat16", bits[0], bits[1])
	}
}

// TestPriorInterrupted: a training that is cancelled, or killed, and goes on, again and again, ends as one that is not.
func TestPriorInterrupted(t *testing.T) {
	c := tinyPrior(t, 60)
	c.Training.LogEvery, c.Training.Noise = 7, 0.1 // lines reach over interruptions
	whole, dir := t.TempDir(), t.TempDir()
	var n notes
	n.runPrior(t, c, whole)
	o := PriorOptions{Model: priorModel(t), Corpus: corpus("a", "b", "c"), Out: dir}
	for _, at := range []int{1, 10, 13, 20, 33} {
		ctx, cancel := context.WithCancel(context.Background())
		o.Step = func(p Progress) {
			if p.Step >= at {
				cancel()
			}
		}
		if reached, err := RunPrior(ctx, c, o); !errors.Is(err, context.Canceled) || reached.Step != at || reached.Saved != at {
			t.Fatalf("cancelled at %d: %+v, %v", at, reached, err)
		}
	}
	for _, at := range []int{38, 47, 59} { // what lies there when a program is killed
		left := t.TempDir()
		o.Out = dir
		o.Step = func(p Progress) {
			if p.Step == at {
				copyFolder(t, dir, left)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		step := o.Step
		o.Step = func(p Progress) {
			if step(p); p.Step == at {
				cancel()
			}
		}
		if _, err := RunPrior(ctx, c, o); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		dir = left
	}
	n.runPrior(t, c, dir)
	sameCurve(t, curve(t, dir), curve(t, whole))
	samePrior(t, last(dir, 60), last(whole, 60))
	samePrior(t, filepath.Join(dir, BestName), filepath.Join(whole, BestName))
}

// copyFolder copies the files below a folder as they are just now.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		there := filepath.Join(to, strings.TrimPrefix(name, from))
		if e.IsDir() {
			return os.MkdirAll(there, 0o777)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(there, data, 0o666)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPriorBadSteps: the guard is that of all trainings.
func TestPriorBadSteps(t *testing.T) {
	dir := t.TempDir()
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	c := tinyPrior(t, 40)
	m := priorModel(t)
	if c.Prior, err = c.Prior.For(m.Config, checkpoint.Fingerprint(m)); err != nil {
		t.Fatal(err)
	}
	var n notes
	r, err := startPrior(context.Background(), c, PriorOptions{Model: m, Corpus: corpus("a", "b", "c"), Note: n.add}, f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.log.close()
	for r.state.Step < 25 {
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		if r.state.Step%10 == 0 {
			if err := r.save(); err != nil {
				t.Fatal(err)
			}
		}
	}
	nan := r.parameters[len(r.parameters)-1].Value.Data
	nan[0] /= nan[0] - nan[0]
	if err := r.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r.state.Step != 40 || !n.has("back to the weights of step 20, learning rate halved") || r.state.Guard.Halvings != 1 {
		t.Errorf("step %d, %q", r.state.Step, n.lines)
	}
}

// TestPriorRefused: what cannot be, or cannot go on, is an error that says why.
func TestPriorRefused(t *testing.T) {
	dir := t.TempDir()
	(&notes{}).runPrior(t, tinyPrior(t, 10), dir)
	try := func(c PriorConfig, m *vqvae.Model, cache *corpora.Cache, dir, want string) {
		t.Helper()
		if _, err := RunPrior(context.Background(), c, PriorOptions{Model: m, Corpus: cache, Out: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	abc, m := corpus("a", "b", "c"), priorModel(t)
	other := tinyPrior(t, 20)
	other.Prior.Residual = 9
	try(other, m, abc, dir, "prior.residual 8, now 9")
	try(tinyPrior(t, 20), m, corpus("a", "b", "d"), dir, "its speakers that this one lacks: c; speakers that it lacks: d")
	changed := priorModel(t)
	changed.Encoder.Parameters()[0].Value.Data[0]++
	try(tinyPrior(t, 20), changed, abc, dir, "prior.model")
	was, err := ReadPriorConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	try(was, changed, abc, dir, "is over the codes of model")

	several := tiny(t, 0).Model
	several.Bottleneck.Groups, several.Bottleneck.Entries = 2, 300
	large, err := vqvae.New(several, []string{"a"}, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "run")
	try(tinyPrior(t, 20), large, abc, fresh, "90000 different codes")
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a run has begun")
	}
	alone := corpora.NewCache(16000, []corpora.Utterance{{Path: "1", Speaker: "a", Split: corpora.Train}}, [][]int16{make([]int16, 4000)})
	try(tinyPrior(t, 20), m, alone, t.TempDir(), "no utterances in the split valid")
	untrained := corpora.NewCache(16000, []corpora.Utterance{{Path: "1", Speaker: "a", Split: corpora.Valid}}, [][]int16{make([]int16, 4000)})
	try(tinyPrior(t, 20), m, untrained, t.TempDir(), "no utterances in the split train")

	model := t.TempDir()
	(&notes{}).run(t, tiny(t, 1), model)
	try(tinyPrior(t, 20), m, abc, model, "expected \"vqaudio-prior/1\": a prior of vqaudio")
	if _, err := Run(context.Background(), tiny(t, 1), Options{Corpus: abc, Out: dir}); err == nil || !strings.Contains(err.Error(), "a model of vqaudio") {
		t.Errorf("a model in the folder of a prior: %v", err)
	}

	// A cancelled encoding leaves a folder in which the training can begin.
	ctx, cancel := context.WithCancel(context.Background())
	_, err = RunPrior(ctx, tinyPrior(t, 20), PriorOptions{Model: m, Corpus: abc, Out: fresh, Encode: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	(&notes{}).runPrior(t, tinyPrior(t, 20), fresh)
}

// TestPriorSpeakers: who does not speak in the training split is nobody.
func TestPriorSpeakers(t *testing.T) {
	utterances := []corpora.Utterance{{Path: "1", Speaker: "a", Split: corpora.Train}, {Path: "2", Speaker: "b", Split: corpora.Valid}}
	cache := corpora.NewCache(16000, utterances, [][]int16{make([]int16, 4000), make([]int16, 4000)})
	dir := t.TempDir()
	if _, err := RunPrior(context.Background(), tinyPrior(t, 5), PriorOptions{Model: priorModel(t), Corpus: cache, Out: dir}); err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.LoadPrior(filepath.Join(dir, BestName), dilated.Float32)
	if err != nil || !slices.Equal(f.Prior.Speakers.Names(), []string{"a"}) {
		t.Fatalf("%v", err)
	}
	var s priorState
	if err := strict(f.Training, &s); err != nil || s.Best.Prior != s.Best.Nobody {
		t.Errorf("%+v, %v", s.Best, err)
	}
}

func TestPriorPresets(t *testing.T) {
	for _, name := range PriorPresets() {
		c, err := PriorPreset(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := presets.ReadDir("priors")
	if err != nil || len(list) != len(PriorPresets()) {
		t.Errorf("%d files, %v", len(list), err)
	}
	if _, err := PriorPreset("paper"); err == nil || !strings.Contains(err.Error(), "tiny, small, base") {
		t.Error(err)
	}
	c := tinyPrior(t, 0)
	if err := Set(&c, "noise=0.25"); err != nil || c.Training.Noise != 0.25 {
		t.Error(err)
	}
	for _, test := range []struct{ key, want string }{
		{"residual=0", "prior: residual 0"}, {"length=0", "training.length 0"}, {"noise=2", "training.noise 2"}, {"hidden=-1", "training.hidden"},
		{"decay=-1", "training.decay"}, {"batch=0", "training.batch 0"}, {"precision=int8", "training.precision"},
	} {
		c := tinyPrior(t, 0)
		if err := Set(&c, test.key); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.key, err)
		}
	}
}
