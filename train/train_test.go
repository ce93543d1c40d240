package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/vqvae"
)

// corpus returns a corpus of tones in noise: each speaker has a pitch.
func corpus(speakers ...string) *corpora.Cache {
	random := rand.New(rand.NewPCG(1, 2))
	var utterances []corpora.Utterance
	var samples [][]int16
	for s, speaker := range speakers {
		for i := range 8 {
			split := corpora.Train
			if i >= 6 {
				split = corpora.Valid
			}
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

// tiny is the preset for so many steps.
func tiny(t *testing.T, steps int) Config {
	t.Helper()
	c, err := Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	c.Training.Steps = steps
	return c
}

// notes collects what a run reports.
type notes struct{ lines []string }

func (n *notes) add(text string) { n.lines = append(n.lines, text) }

func (n *notes) has(text string) bool {
	return slices.ContainsFunc(n.lines, func(l string) bool { return strings.Contains(l, text) })
}

// run trains, and wants no error.
func (n *notes) run(t *testing.T, c Config, dir string) {
	t.Helper()
	if _, err := Run(context.Background(), c, Options{Corpus: corpus("a", "b", "c"), Out: dir, Note: n.add}); err != nil {
		t.Fatal(err)
	}
}

var seconds = regexp.MustCompile(`,"seconds":[0-9.e+-]+}`)

// curve returns the lines of a run's metrics, without times.
func curve(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, metricsName))
	if err != nil {
		t.Fatal(err)
	}
	data = seconds.ReplaceAll(data, []byte("}"))
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// sameCurve compares lines.
func sameCurve(t *testing.T, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d:\n%s, want\n%s", i+1, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
}

// sameModel compares two checkpoints, tensor by tensor, and the state of training but for times.
func sameModel(t *testing.T, a, b string) {
	t.Helper()
	var loaded [2]*checkpoint.File
	var states [2]state
	for i, name := range []string{a, b} {
		f, err := checkpoint.Load(name, dilated.Float32)
		if err != nil {
			t.Fatal(err)
		}
		loaded[i] = f
		if err := strict(f.Training, &states[i]); err != nil {
			t.Fatal(err)
		}
		states[i].Seconds = 0
	}
	x, _ := json.Marshal(states[0])
	y, _ := json.Marshal(states[1])
	if !bytes.Equal(x, y) {
		t.Errorf("states differ:\n%s\n%s", x, y)
	}
	tensors := func(f *checkpoint.File) (all []float32) {
		for _, p := range slices.Concat(f.Model.Parameters(), f.Model.State(), f.State) {
			all = append(all, p.Value.Data...)
		}
		return all
	}
	if p, q := tensors(loaded[0]), tensors(loaded[1]); len(p) < 1000 || !slices.Equal(p, q) {
		t.Errorf("tensors of %s and %s differ", a, b)
	}
}

func last(dir string, steps int) string { return (&folder{dir: dir}).checkpoint(steps) }

// TestTraining: a model learns, and a run leaves what it should.
func TestTraining(t *testing.T) {
	dir := t.TempDir()
	c := tiny(t, 200)
	c.Training.SampleEvery = 200
	var n notes
	n.run(t, c, dir)
	lines := curve(t, dir)
	var first, end trainingLine
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-2]), &end); err != nil {
		t.Fatal(err)
	}
	if first.Step != 1 || end.Step != 200 || !(end.Loss < first.Loss-1) || end.Used < 2 || end.Samples != 200*2*512 {
		t.Errorf("from %+v to %+v", first, end)
	}
	var steps, validations int
	for _, l := range lines {
		switch {
		case strings.Contains(l, `"validation":`):
			validations++
		case strings.Contains(l, `"loss":`):
			steps++
		}
	}
	if steps != 200 || validations != 10 {
		t.Errorf("%d lines of training, %d of validation, want 200 and 10", steps, validations)
	}
	kept, err := (&folder{dir: dir}).steps()
	if err != nil || !slices.Equal(kept, []int{180, 190, 200}) {
		t.Errorf("checkpoints of steps %v, %v", kept, err)
	}
	best, err := checkpoint.Load(filepath.Join(dir, BestName), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	if len(best.State) > 0 || best.Model.Speakers.Len() != 3 {
		t.Errorf("the best model has %d tensors of state, %d speakers", len(best.State), best.Model.Speakers.Len())
	}
	for _, what := range []string{"original", "reconstruction", "conversion"} {
		for _, extension := range []string{"wav", "png"} {
			for i := range sampled {
				name := filepath.Join(dir, samplesName, fmt.Sprintf("step-00000200-%d-%s.%s", i, what, extension))
				if info, err := os.Stat(name); err != nil || info.Size() < 1000 {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	// A run that is complete stays as it is.
	n.run(t, c, dir)
	sameCurve(t, curve(t, dir), lines)
}

// TestWithoutSpeakers: a model without them has no likelihood with a wrong one.
func TestWithoutSpeakers(t *testing.T) {
	c := tiny(t, 2)
	c.Model.Decoder.Speaker = 0
	var n notes
	dir := t.TempDir()
	n.run(t, c, dir)
	if !n.has("step 2: validation") || n.has("speaker") {
		t.Errorf("%q", n.lines)
	}
	if lines := strings.Join(curve(t, dir), "\n"); !strings.Contains(lines, "validation") || strings.Contains(lines, "speaker") {
		t.Error(lines)
	}
}

// TestBest: the best model is that of averaged weights, and gives the likelihood that was found with it.
func TestBest(t *testing.T) {
	dir := t.TempDir()
	var n notes
	n.run(t, tiny(t, 60), dir)
	best, err := checkpoint.Load(filepath.Join(dir, BestName), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	var s state
	if err := strict(best.Training, &s); err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.Load(last(dir, s.Best.Step), dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Concat(best.Model.Parameters(), best.Model.State()) {
		average := file.State.Find("average." + p.Name)
		if average == nil {
			if strings.HasPrefix(p.Name, "bottleneck.") && p.Name != "bottleneck.codebook" {
				continue
			}
			t.Fatalf("no average of %s", p.Name)
		}
		if !slices.Equal(average.Value.Data, p.Value.Data) {
			t.Errorf("%s is not its average", p.Name)
		}
	}
}

// TestThreads: results do not depend on the number of threads.
func TestThreads(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	var curves [2][]string
	for i := range curves {
		parallel.SetThreads(1 + 3*i)
		dir := t.TempDir()
		var n notes
		n.run(t, tiny(t, 40), dir)
		curves[i] = curve(t, dir)
	}
	sameCurve(t, curves[1], curves[0])
}

// TestInterrupted: a training that is cancelled and goes on, again and again, ends as one that is not.
func TestInterrupted(t *testing.T) {
	c := tiny(t, 60)
	c.Training.LogEvery = 7 // so that lines reach over interruptions
	whole, dir := t.TempDir(), t.TempDir()
	var n notes
	n.run(t, c, whole)
	for _, at := range []int{1, 10, 13, 20, 21, 22, 40, 59} {
		ctx, cancel := context.WithCancel(context.Background())
		reached, err := Run(ctx, c, Options{Corpus: corpus("a", "b", "c"), Out: dir, Step: func(p Progress) {
			if p.Step >= at {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || reached.Step != at || reached.Saved != at {
			t.Fatalf("cancelled at %d: %+v, %v", at, reached, err)
		}
	}
	n.run(t, c, dir)
	sameCurve(t, curve(t, dir), curve(t, whole))
	sameModel(t, last(dir, 60), last(whole, 60))
	kept, err := (&folder{dir: dir}).steps()
	if err != nil || !slices.Equal(kept, []int{40, 50, 60}) {
		t.Errorf("checkpoints of steps %v, %v", kept, err)
	}
}

// TestLonger: a training with a larger budget goes on from a smaller one, and saves its steps twice for it.
func TestLonger(t *testing.T) {
	dir, whole := t.TempDir(), t.TempDir()
	var n notes
	n.run(t, tiny(t, 40), dir)
	n.run(t, tiny(t, 60), dir)
	n.run(t, tiny(t, 60), whole)
	sameCurve(t, curve(t, dir), curve(t, whole))
	sameModel(t, last(dir, 60), last(whole, 60))
	c, err := ReadConfig(dir)
	if err != nil || c.Training.Steps != 60 {
		t.Errorf("budget of %d steps, %v", c.Training.Steps, err)
	}
}

// TestKilled kills the program (SIGKILL) ten times in one training, each time when it has got a little further than before.
func TestKilled(t *testing.T) {
	const steps, kills = 300, 10
	c := tiny(t, steps)
	c.Training.SampleEvery = 140
	if dir := os.Getenv("VQAUDIO_TEST_TRAIN"); dir != "" {
		(&notes{}).run(t, c, dir)
		return
	}
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("needs seconds for programs that are killed, by a signal that Windows lacks: not with -short")
	}
	whole, dir := t.TempDir(), t.TempDir()
	(&notes{}).run(t, c, whole)

	begin := func() (p *exec.Cmd, out *bytes.Buffer, ended chan error) {
		p, out, ended = exec.Command(os.Args[0], "-test.run=^TestKilled$"), new(bytes.Buffer), make(chan error, 1)
		p.Env = append(os.Environ(), "VQAUDIO_TEST_TRAIN="+dir)
		p.Stdout, p.Stderr = out, out
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- p.Wait() }()
		return p, out, ended
	}
	random := rand.New(rand.NewPCG(3, 4))
	var when []int
	for kill := range kills {
		p, out, ended := begin()
		enough := (kill*steps + random.IntN(steps)) / (kills + 1)
		for step := -1; step < enough; step = lastStep(dir) {
			select {
			case err := <-ended:
				t.Fatalf("ended before it was killed: %v\n%s", err, out.Bytes())
			case <-time.After(time.Millisecond):
			}
		}
		time.Sleep(time.Duration(random.IntN(5000)) * time.Microsecond)
		when = append(when, lastStep(dir))
		p.Process.Kill()
		if err := <-ended; err == nil {
			t.Fatalf("ended before it was killed: %s", out.Bytes())
		}
	}
	t.Logf("killed after steps %v of %d", when, steps)
	_, out, ended := begin()
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	sameCurve(t, curve(t, dir), curve(t, whole))
	sameModel(t, last(dir, steps), last(whole, steps))
	sameModel(t, filepath.Join(dir, BestName), filepath.Join(whole, BestName))
	for _, d := range []string{dir, filepath.Join(dir, checkpointsName), filepath.Join(dir, samplesName)} {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if temporary.MatchString(e.Name()) {
				t.Errorf("%s is left behind", e.Name())
			}
		}
	}
}

// lastStep is the step of the last whole line of the metrics so far; 0 without one.
func lastStep(dir string) int {
	data, _ := os.ReadFile(filepath.Join(dir, metricsName))
	lines := bytes.Split(data, []byte("\n"))
	if len(lines) < 2 {
		return 0
	}
	var l line
	json.Unmarshal(lines[len(lines)-2], &l)
	return l.Step
}

// TestRefused: what cannot go on is an error that says why, and changes nothing.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	(&notes{}).run(t, tiny(t, 20), dir)
	before := contents(t, dir)
	try := func(c Config, cache *corpora.Cache, dir string) error {
		t.Helper()
		_, err := Run(context.Background(), c, Options{Corpus: cache, Out: dir})
		if err == nil {
			t.Error("not refused")
		}
		return err
	}
	abc := corpus("a", "b", "c")

	other := tiny(t, 40)
	other.Model.Bottleneck.Entries, other.Training.Batch = 16, 3
	var config *ConfigError
	if err := try(other, abc, dir); !errors.As(err, &config) ||
		!slices.Equal(config.Differences, []string{"model.bottleneck.entries 32, now 16", "training.batch 2, now 3"}) {
		t.Errorf("another configuration: %v", err)
	}
	var wrong *CorpusError
	if err := try(tiny(t, 40), corpus("a", "c", "d"), dir); !errors.As(err, &wrong) || !slices.Equal(wrong.Missing, []string{"b"}) || !slices.Equal(wrong.Unknown, []string{"d"}) {
		t.Errorf("other speakers: %v", err)
	}
	utterances := []corpora.Utterance{{Path: "1", Speaker: "a", Split: corpora.Train}, {Path: "2", Speaker: "b", Split: corpora.Train}, {Path: "3", Speaker: "c", Split: corpora.Valid}}
	same := corpora.NewCache(16000, utterances, [][]int16{make([]int16, 4000), make([]int16, 4000), make([]int16, 4000)})
	if err := try(tiny(t, 40), same, dir); !errors.As(err, &wrong) || wrong.Missing != nil || wrong.Unknown != nil {
		t.Errorf("other utterances: %v", err)
	}
	rate := tiny(t, 40)
	rate.Model.Rate = 8000
	if err := try(rate, abc, dir); !strings.Contains(err.Error(), "16000 Hz") {
		t.Errorf("another rate: %v", err)
	}
	lock, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := try(tiny(t, 40), abc, dir); !errors.Is(err, ErrBusy) {
		t.Errorf("a second program: %v", err)
	}
	lock.close()
	if after := contents(t, dir); !slices.Equal(before, after) {
		t.Errorf("something has changed: %v, was %v", after, before)
	}

	for _, crops := range []int{1, 4} {
		fresh, c, cache := filepath.Join(t.TempDir(), "run"), tiny(t, 40), abc
		if c.Training.ValidationCrops = crops; crops > 1 {
			cache = corpora.NewCache(16000, utterances[:2], [][]int16{make([]int16, 4000), make([]int16, 4000)})
		}
		if err := try(c, cache, fresh); !strings.Contains(err.Error(), "validation: no batch of 4 crops") {
			t.Errorf("nothing to validate on: %v", err)
		}
		if got := contents(t, fresh); len(got) != 0 {
			t.Errorf("a folder that was refused holds %v", got)
		}
	}

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := try(tiny(t, 40), abc, foreign); !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a folder with something else: %v", err)
	}
	if err := try(tiny(t, 40), abc, filepath.Join(foreign, "thesis.tex")); !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a file: %v", err)
	}
	if got := contents(t, foreign); len(got) != 1 {
		t.Errorf("a foreign folder now holds %v", got)
	}

	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte(`{"model":{"levls":256}}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := try(tiny(t, 40), abc, dir); !strings.Contains(err.Error(), "levls") || !strings.Contains(err.Error(), ConfigName) {
		t.Errorf("a damaged configuration: %v", err)
	}
}

// contents lists the files below dir with their sizes, but for the lock.
func contents(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockName {
			return err
		}
		data, err := os.ReadFile(name)
		list = append(list, fmt.Sprintf("%s %d", strings.TrimPrefix(name, dir), len(data)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestBegun: what a start that was killed at once leaves is no obstacle.
func TestBegun(t *testing.T) {
	for _, left := range []string{lockName, "." + ConfigName + "123.tmp", ConfigName, checkpointsName + "/.step-00000000.safetensors123.tmp"} {
		dir := t.TempDir()
		(&notes{}).run(t, tiny(t, 1), dir)
		config, err := os.ReadFile(filepath.Join(dir, ConfigName))
		if err != nil {
			t.Fatal(err)
		}
		dir = t.TempDir()
		write := func(name string, data []byte) {
			t.Helper()
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777), os.WriteFile(filepath.Join(dir, name), data, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		if filepath.Dir(left) != "." {
			write(ConfigName, config)
		}
		write(left, config)
		(&notes{}).run(t, tiny(t, 10), dir)
		if _, err := os.Stat(filepath.Join(dir, left)); temporary.MatchString(filepath.Base(left)) && err == nil {
			t.Errorf("%s is left behind", left)
		}
	}
}

// TestCancelledUnwritable: a cancelled training that cannot be saved says so.
func TestCancelledUnwritable(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, tiny(t, 60), Options{Corpus: corpus("a", "b", "c"), Out: dir, Step: func(p Progress) {
		if p.Step == 15 {
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, checkpointsName)), os.WriteFile(filepath.Join(dir, checkpointsName), nil, 0o666)); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
	}})
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), checkpointsName) {
		t.Error(err)
	}
}

// TestDamaged: a checkpoint that is damaged is reported, and the one before it taken.
func TestDamaged(t *testing.T) {
	whole, dir := t.TempDir(), t.TempDir()
	var n notes
	n.run(t, tiny(t, 60), whole)
	n.run(t, tiny(t, 40), dir)
	data, err := os.ReadFile(last(dir, 40))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	for i, broken := range [][]byte{data, data[:len(data)/3], nil} {
		if err := os.WriteFile(last(dir, 40), broken, 0o666); err != nil {
			t.Fatal(err)
		}
		n = notes{}
		n.run(t, tiny(t, 40), dir)
		if !n.has("a checkpoint is damaged") || !n.has("going on from step 30") {
			t.Errorf("damage %d: %q", i, n.lines)
		}
	}
	n.run(t, tiny(t, 60), dir)
	sameCurve(t, curve(t, dir), curve(t, whole))
	sameModel(t, last(dir, 60), last(whole, 60))

	for _, step := range []int{40, 50, 60} { // all of them
		if err := os.WriteFile(last(dir, step), []byte("damaged"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, dir)
	_, err = Run(context.Background(), tiny(t, 80), Options{Corpus: corpus("a", "b", "c"), Out: dir})
	if err == nil || !strings.Contains(err.Error(), "step-00000060") {
		t.Errorf("all damaged: %v", err)
	}
	for _, step := range []int{40, 50, 60} {
		os.Remove(last(dir, step))
	}
	_, err = Run(context.Background(), tiny(t, 80), Options{Corpus: corpus("a", "b", "c"), Out: dir})
	if err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Errorf("none left: %v", err)
	}
	if after := contents(t, dir); !slices.Equal(after, before[:len(after)]) && len(after) != len(before)-3 {
		t.Errorf("something has changed: %v, was %v", after, before)
	}
}

// TestUnwritable: when a checkpoint cannot be written the training stops, and goes on from the one before when it can.
func TestUnwritable(t *testing.T) {
	whole, dir := t.TempDir(), t.TempDir()
	c := tiny(t, 60)
	var n notes
	n.run(t, c, whole)
	folder, aside := filepath.Join(dir, checkpointsName), filepath.Join(dir, "aside")
	reached, err := Run(context.Background(), c, Options{Corpus: corpus("a", "b", "c"), Out: dir, Step: func(p Progress) {
		if p.Step == 35 { // nothing can be created in a folder that is none
			if err := errors.Join(os.Rename(folder, aside), os.WriteFile(folder, nil, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
	}})
	if err == nil || reached.Step != 40 || reached.Saved != 30 || !strings.Contains(err.Error(), "the last checkpoint is that of step 30") {
		t.Errorf("%+v, %v", reached, err)
	}
	if err := errors.Join(os.Remove(folder), os.Rename(aside, folder)); err != nil {
		t.Fatal(err)
	}
	n = notes{}
	n.run(t, c, dir)
	if !n.has("going on from step 30") {
		t.Errorf("%q", n.lines)
	}
	sameCurve(t, curve(t, dir), curve(t, whole))
	sameModel(t, last(dir, 60), last(whole, 60))
}

// spoil sets the hook that spoils steps, until the test ends.
func spoil(t *testing.T, f func(r *run, l *vqvae.Losses)) {
	poison = func(r *run, l vqvae.Losses) vqvae.Losses {
		f(r, &l)
		return l
	}
	t.Cleanup(func() { poison = nil })
}

// TestBadSteps: losses and gradients that are not finite, and jumps, are skipped, reported and survived, and an interruption
// among them makes no difference.
func TestBadSteps(t *testing.T) {
	nan := float32(math.NaN())
	spoil(t, func(r *run, l *vqvae.Losses) {
		switch r.state.Step + 1 {
		case 12:
			l.NLL = math.NaN()
		case 14:
			l.NLL = math.Inf(1)
		case 16:
			r.parameters[3].Grad.Data[2] = nan
		case 18:
			r.parameters[0].Grad.Data[0] = float32(math.Inf(-1))
		case 145:
			l.NLL += 10
		}
		if s := r.state.Step + 1; s == 160 || s == 162 {
			r.parameters[len(r.parameters)-1].Value.Data[7] = nan // the weights are lost, whatever the batch
		}
	})
	c := tiny(t, 200)
	dir, other := t.TempDir(), t.TempDir()
	var n notes
	n.run(t, c, dir)
	for _, want := range []string{
		"step 12 skipped: the loss is NaN", "step 14 skipped: the loss is +Inf", "step 16 skipped: the norm of the gradient is NaN",
		"step 18 skipped: the norm of the gradient is +Inf", "step 145 skipped: the loss jumps to",
		"step 160: the weights are no longer finite", "step 160: back to the weights of step 150, learning rate halved",
		"step 163 skipped: the loss is NaN", "step 167: back to the weights of step 150, learning rate halved",
	} {
		if !n.has(want) {
			t.Errorf("no report that has %q in %q", want, n.lines)
		}
	}
	lines := curve(t, dir)
	for _, want := range []string{`{"step":12,"skipped":"the loss is NaN"`, `{"step":160,"skipped":"the weights are no longer finite: decoder.out2.bias"`, `{"step":160,"back_to":150,"learning_rate_scale":0.5`, `{"step":167,"back_to":150,"learning_rate_scale":0.25`} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
			t.Errorf("no line %s", want)
		}
	}
	if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"step":12,"loss"`) }) {
		t.Error("a step that was skipped has a loss")
	}
	for _, at := range []int{12, 16, 161, 165, 168} {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Run(ctx, c, Options{Corpus: corpus("a", "b", "c"), Out: other, Step: func(p Progress) {
			if p.Step == at {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	n.run(t, c, other)
	sameCurve(t, curve(t, other), lines)
	sameModel(t, last(other, 200), last(dir, 200))
}

// TestLost: a training that cannot be saved stops, and says so.
func TestLost(t *testing.T) {
	spoil(t, func(r *run, l *vqvae.Losses) {
		if r.state.Step >= 40 {
			l.NLL = math.NaN()
		}
	})
	dir := t.TempDir()
	var n notes
	reached, err := Run(context.Background(), tiny(t, 200), Options{Corpus: corpus("a", "b", "c"), Out: dir, Note: n.add})
	if err == nil || !strings.Contains(err.Error(), "does not get on") || reached.Step != 40+4*tooMany || reached.Saved != 50 {
		t.Errorf("%+v, %v", reached, err)
	}
	for _, want := range []string{"step 45: back to the weights of step 40", "step 50: back to the weights of step 30", "step 55: back to the weights of step 30"} {
		if !n.has(want) {
			t.Errorf("no report that has %q in %q", want, n.lines)
		}
	}
	if _, err := checkpoint.Load(last(dir, 40), dilated.Float32); err != nil { // from before
		t.Error(err)
	}
}

// TestCollapse: a codebook all of whose entries but one are out of reach is made anew.
func TestCollapse(t *testing.T) {
	collapse := false
	spoil(t, func(r *run, l *vqvae.Losses) {
		if collapse && r.state.Step < collapseEvery-1 {
			for k := range r.model.Quantiser.Config.Entries - 1 {
				for i := range r.model.Quantiser.Books[0].Entries.Value.Row(k) {
					r.model.Quantiser.Books[0].Entries.Value.Row(k)[i] = 1e6
				}
			}
			for i := range l.Codes {
				l.Codes[i] = 0
			}
		}
	})
	c := tiny(t, collapseEvery+20)
	c.Model.Bottleneck.Codebook, c.Model.Bottleneck.Dead = vqvae.ByLoss, 0
	c.Training.LearningRate = 1e-4
	for i := range 3 {
		collapse, c.Model.Bottleneck.Entries = i > 0, 64
		if i == 2 {
			c.Model.Bottleneck.Entries = 16
		}
		dir := t.TempDir()
		var n notes
		n.run(t, c, dir)
		if got := n.has(fmt.Sprintf("step %d: the codebook had collapsed to a perplexity of 1.", collapseEvery)); got != collapse {
			t.Errorf("collapsed %v: %q", collapse, n.lines)
		}
		lines := curve(t, dir)
		if got := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `"collapsed":1.`) }); got != collapse {
			t.Errorf("collapsed %v, in the metrics %v", collapse, got)
		}
		var end trainingLine
		if err := json.Unmarshal([]byte(lines[len(lines)-2]), &end); err != nil {
			t.Fatal(err)
		}
		if end.Perplexity < 4 {
			t.Errorf("collapsed %v: perplexity %v in the end", collapse, end.Perplexity)
		}
	}
}

// TestAllocations: once it is warm, a step allocates nothing but the lists of what the model's layers save for the gradient, which
// do not grow with the batch.
func TestAllocations(t *testing.T) {
	for input, c := range map[string]Config{vqvae.Wave: tiny(t, 0), vqvae.MFCC: withInput(t, vqvae.MFCC, 0)} {
		t.Run(input, func(t *testing.T) { testAllocations(t, c) })
	}
}

func testAllocations(t *testing.T, c Config) {
	c.Training.LogEvery, c.Training.SaveEvery = 1<<20, 1<<20
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	r, err := start(c, Options{Corpus: corpus("a", "b", "c")}, f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.sampler.Close()
	defer r.log.close()
	step := func() {
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		step()
	}
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(1) // a thread that first computes features makes what it needs for that, whenever that is
	const steps = 50
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	if n, bytes := (after.Mallocs-before.Mallocs)/steps, (after.TotalAlloc-before.TotalAlloc)/steps; n > 4 || bytes > 1024 {
		t.Errorf("%d allocations of %d bytes in a step", n, bytes)
	}
}
