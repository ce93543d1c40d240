package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/train"
)

// saveCorpus prepares the tones of some speakers as DIR/NAME.cache, and returns its name.
func saveCorpus(t *testing.T, dir, name string, speakers ...string) string {
	t.Helper()
	m := &corpora.Manifest{Dir: dir}
	for i, speaker := range speakers {
		for n := range 6 {
			split := corpora.Train
			if n > 3 {
				split = corpora.Valid
			}
			u := corpora.Utterance{Path: fmt.Sprintf("%s-%s-%d.wav", name, speaker, n), Speaker: speaker, Split: split, Seconds: -1, Frames: -1, SourceRate: -1}
			m.Utterances = append(m.Utterances, u)
			w, err := audio.Create(filepath.Join(dir, u.Path), audio.Format{NumChannels: 1, SampleRate: 16000}, audio.PCM16)
			if err != nil {
				t.Fatal(err)
			}
			block := make([]float64, 4000)
			for j := range block {
				block[j] = 0.4 * math.Sin(float64(j)*0.02*float64(i+1)*(1+0.1*float64(n)))
			}
			if err := w.Write(block); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cache := filepath.Join(dir, name+".cache")
	if _, err := corpora.Prepare(context.Background(), m, cache, corpora.DefaultSettings(), corpora.PrepareOptions{}); err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestTrain(t *testing.T) {
	dir := t.TempDir()
	cache, other := saveCorpus(t, dir, "two", "ann", "bob"), saveCorpus(t, dir, "three", "ann", "bea")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		line           string
		code           int
		stdout, stderr string // parts; "" for nothing at all
	}{
		{"--corpus " + cache + " --out " + at("run") + " --preset tiny --steps 20 --threads 1 --set training.seed=3", exitOK, "20 steps, 0.0 million samples", "step 20: validation"},
		{"--corpus " + cache + " --out " + at("run") + " --steps 30", exitOK, "30 steps", "going on from step 20"},
		{"--corpus " + cache + " -o " + at("run") + " --preset tiny --set seed=3 --steps 30 --precision auto", exitOK, "30 steps", "nothing was left to do within 30 steps"},
		{"--corpus " + cache + " --out " + at("run") + " --seed 4", exitFailure, "", "training.seed 3, now 4"},
		{"--corpus " + cache + " --out " + at("run") + " --preset small", exitFailure, "", "model.encoder.channels [8,8,8], now [128"},
		{"--corpus " + other + " --out " + at("run"), exitFailure, "", "bob"},
		{"--corpus " + cache + " --out " + at("file"), exitFailure, "", "file"},
		{"--corpus " + at("none") + " --out " + at("none2"), exitFailure, "", "none"},
		{"--corpus " + cache + " --out " + dir, exitFailure, "", "neither empty nor"},
		{"--print --preset large --set entries=64 --minutes 2", exitOK, `"entries": 64`, ""},
		{"--print", exitOK, `"residual": 64`, ""},
		{"--corpus " + cache, exitUsage, "", "--out"},
		{"--out " + at("new"), exitUsage, "", "--corpus"},
		{"--corpus " + cache + " --out " + at("new") + " more", exitUsage, "", `"more"`},
		{"--corpus " + cache + " --out " + at("new") + " --threads 0", exitUsage, "", "--threads 0"},
		{"--print --preset huge", exitUsage, "", "tiny, small, base"},
		{"--print --set entires=3", exitUsage, "", "bottleneck.entries"},
		{"--print --set learning_rate=fast", exitUsage, "", "want a number"},
		{"--print --precision float16", exitUsage, "", "float16"},
		{"--print --steps=-1", exitUsage, "", "steps -1"},
	} {
		stdout, stderr, code := runCommand(context.Background(), "train vqvae "+test.line)
		if code != test.code {
			t.Errorf("%s: exit code %d, want %d:\n%s", test.line, code, test.code, stderr)
		}
		if (test.stdout == "") != (stdout == "") || !strings.Contains(stdout, test.stdout) {
			t.Errorf("%s prints %q, want %q", test.line, stdout, test.stdout)
		}
		if (test.stderr == "") != (stderr == "") || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s reports %q, want %q", test.line, stderr, test.stderr)
		}
	}
	if _, err := os.Stat(at("none2")); err == nil {
		t.Error("a run has begun without a corpus")
	}
	if best, err := checkpoint.Load(filepath.Join(at("run"), "best.safetensors"), dilated.Float32); err != nil || best.Model.Speakers.Len() != 2 {
		t.Errorf("the best model: %v", err)
	}
	stdout, _, _ := runCommand(context.Background(), "train vqvae --help")
	for _, wrong := range []string{"(default: 0)", "(default: all cores) (default"} {
		if strings.Contains(stdout, wrong) {
			t.Errorf("the help says %q:\n%s", wrong, stdout)
		}
	}
	stdout, stderr, _ := runCommand(context.Background(), "train vqvae --print --preset base")
	if c, err := train.ParseConfig([]byte(stdout)); err != nil || c.Training.Batch != 2 {
		t.Errorf("what --print prints: %+v, %v, %s", c, err, stderr)
	}
	stdout, stderr, _ = runCommand(context.Background(), "train vqvae --print --preset tiny --set strides=[2,2,4] --set upsample=[2,4]")
	if c, err := train.ParseConfig([]byte(stdout)); err != nil || c.Model.Hop() != 16 || c.Model.WaveNet().Hold() != 2 {
		t.Errorf("lists that are set: %+v, %v, %s", c, err, stderr)
	}
	for line, want := range map[string]string{"train vqvea": `"vqvea" is not a command of vqaudio train`, "train vqvae --stpes 3": "stpes"} {
		if _, stderr, code := runCommand(context.Background(), line); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q", line, code, stderr)
		}
	}
}

// TestTrainInterrupted: Ctrl-C saves and says how to go on.
func TestTrainInterrupted(t *testing.T) {
	dir := t.TempDir()
	cache, out := saveCorpus(t, dir, "two", "ann", "bob"), filepath.Join(dir, "run")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stderr trigger
	stderr.when, stderr.then = "step 40: validation", cancel
	code := run(ctx, strings.Fields("vqaudio train vqvae --preset tiny --corpus "+cache+" --out "+out), &bytes.Buffer{}, &stderr)
	text := stderr.text.String()
	if code != exitInterrupted || !strings.Contains(text, "to go on: vqaudio train vqvae --corpus "+cache+" --out "+out) || !strings.Contains(text, "saved at step ") {
		t.Errorf("exit code %d, %q", code, text)
	}
	if names, err := filepath.Glob(filepath.Join(out, "checkpoints", "step-*.safetensors")); err != nil || len(names) < 2 {
		t.Errorf("%v, %v", names, err)
	}
}

// trigger calls a function when a text is written to it.
type trigger struct {
	mu   sync.Mutex
	text bytes.Buffer
	when string
	then func()
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(p, []byte(w.when)) {
		w.then()
	}
	return w.text.Write(p)
}

func TestTrainProgress(t *testing.T) {
	c, err := train.Preset("base")
	if err != nil {
		t.Fatal(err)
	}
	c.Training.Steps, c.Training.Minutes = 1000, 10
	var out bytes.Buffer
	p := newTrainProgress(&out, c)
	for step := 101; step <= 111; step++ { // goes on where another start had got
		p.when = time.Now().Add(-progressInterval)
		if step > 101 && step < 111 {
			p.when = time.Now()
		}
		p.step(train.Progress{Step: step, Loss: 3, Perplexity: 200.4, Used: 511, Samples: int64(step) * 32768, Seconds: 100 + float64(step-101)*0.5})
	}
	want := "step 111: loss 3.000, 65.5k samples/s, 4.10 times real time, perplexity 200, 511 codes, 7m25s left\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if _, share := p.line(train.Progress{Step: 500, Seconds: 120}); share != 0.5 {
		t.Errorf("share %v", share)
	}
}
