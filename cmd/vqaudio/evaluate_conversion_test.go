package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
)

// saveVoicesCorpus prepares tones at 8 kHz of the speakers of saveVoices, and of others, as DIR/NAME.cache.
func saveVoicesCorpus(t *testing.T, dir, name string, speakers ...string) {
	t.Helper()
	m := &corpora.Manifest{Dir: dir}
	for i, speaker := range speakers {
		for n := range 4 {
			u := corpora.Utterance{Path: fmt.Sprintf("%s-%s-%d.wav", name, speaker, n), Speaker: speaker, Split: corpora.Train, Seconds: -1, Frames: -1, SourceRate: -1}
			if n == 3 {
				u.Split = corpora.Test
			}
			m.Utterances = append(m.Utterances, u)
			w, err := audio.Create(filepath.Join(dir, u.Path), audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16)
			if err != nil {
				t.Fatal(err)
			}
			block := make([]float64, 2000)
			for j := range block {
				block[j] = 0.4*math.Sin(float64(j)*0.08*float64(i+1)*(1+0.02*float64(n))) + 0.01*math.Sin(float64(j*j))
			}
			if err := w.Write(block); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := corpora.DefaultSettings()
	s.Rate = 8000
	if _, err := corpora.Prepare(context.Background(), m, filepath.Join(dir, name+".cache"), s, corpora.PrepareOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestEvaluateConversion(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveVoicesCorpus(t, ".", "two", "ann", "bob")
	saveVoicesCorpus(t, ".", "three", "ann", "bob", "eve")
	writeFile(t, "broken.safetensors", []byte("no classifier"))

	const line = "evaluate conversion model.safetensors --corpus two.cache --classifier c.safetensors --steps 2 --conversions 3 --seconds 0.1"
	text := mustRun(t, line)
	for _, want := range []string{"classifier of speakers, on recordings: right about", "3 conversions, 0.3 s", "taken for", "unit errors", "probe of speakers, on units: right about"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	first, err := os.Stat("c.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var r conversionReport
	out := mustRun(t, line+" --threads 1 --json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Utterances) != 3 || r.Judge.Classes != 2 || r.Probe == nil || r.Probe.Utterances != 2 || r.Classifiers["speakers"].Training.Steps != 2 || r.Units.OtherSpeech.Rate == 0 {
		t.Errorf("%s", out)
	}
	if again := mustRun(t, line+" --threads 3 --json"); again != out {
		t.Errorf("on three threads:\n%s\non one:\n%s", again, out)
	}
	if second, err := os.Stat("c.safetensors"); err != nil || !second.ModTime().Equal(first.ModTime()) {
		t.Errorf("the classifier is written again: %v", err)
	}

	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"model.safetensors", exitUsage, "--corpus"},
		{"--corpus two.cache", exitUsage, "one model"},
		{"model.safetensors --corpus two.cache --conversions 0", exitUsage, "--conversions 0"},
		{"model.safetensors --corpus two.cache --seconds NaN", exitUsage, "--seconds NaN"},
		{"model.safetensors --corpus two.cache --seconds 0.01", exitUsage, "--seconds 0.01"},
		{"model.safetensors --corpus two.cache --temperature=-1", exitUsage, "--temperature -1"},
		{"model.safetensors --corpus two.cache --steps=-1", exitUsage, "--steps -1"},
		{"model.safetensors --corpus two.cache --split some", exitUsage, `--split "some"`},
		{"model.safetensors --corpus two.cache --classifier broken.safetensors", exitFailure, "broken.safetensors"},
		{"model.safetensors --corpus two.cache --classifier model.safetensors", exitFailure, "classifiers of vqaudio"},
		{"model.safetensors --corpus none.cache", exitFailure, "none.cache"},
		{"mute.safetensors --corpus two.cache --classifier c.safetensors", exitFailure, "knows no speakers"},
		{"model.safetensors --corpus three.cache --steps 1", exitFailure, `unknown speaker "eve"`},
	} {
		stdout, stderr, code := runCommand(context.Background(), "evaluate conversion "+test.line)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: exit code %d, %q, want %d and %q", test.line, code, stderr, test.code, test.stderr)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, code := runCommand(ctx, line); code != exitInterrupted {
		t.Errorf("interrupted: exit code %d", code)
	}
}

func TestSpeakerProbe(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveVoicesCorpus(t, ".", "three", "ann", "bob", "eve") // who need not be speakers of the model
	if text := mustRun(t, "speaker probe mute.safetensors --corpus three.cache --steps 2"); !strings.Contains(text, "of 3 utterances") || !strings.Contains(text, "chance 33.3 %") {
		t.Errorf("%s", text)
	}
	var p voiceProbe
	if err := json.Unmarshal([]byte(mustRun(t, "speaker probe model.safetensors --corpus three.cache --steps 2 --json")), &p); err != nil || p.Classes != 3 || p.Split != corpora.Test {
		t.Errorf("%+v, %v", p, err)
	}
	for line, want := range map[string]string{
		"model.safetensors": "--corpus", "--corpus three.cache": "one model", "model.safetensors --corpus three.cache --steps=-2": "--steps -2",
		"model.safetensors --corpus three.cache --split some": "some",
	} {
		if _, stderr, code := runCommand(context.Background(), "speaker probe "+line); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q", line, code, stderr)
		}
	}
}
