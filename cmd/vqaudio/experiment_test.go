package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/experiment"
	"github.com/vqaudio/vqaudio/train"
)

// TestExperimentCollapse: interrupted in the second training, it says how to go on, and goes on with the same configuration.
func TestExperimentCollapse(t *testing.T) {
	dir := t.TempDir()
	cache, out := saveCorpus(t, dir, "two", "ann", "bob"), filepath.Join(dir, "collapse")
	begin := "experiment collapse --corpus " + cache + " --preset tiny --steps 30 --set validate_every=10 --kl 0.5 -o " + out
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stderr trigger
	stderr.when, stderr.then = "training vq", cancel
	code := run(ctx, strings.Fields("vqaudio "+begin), &bytes.Buffer{}, &stderr)
	if text := stderr.text.String(); code != exitInterrupted || !strings.Contains(text, "to go on: vqaudio experiment collapse --corpus "+cache+" --out "+out) {
		t.Fatalf("exit code %d, %q", code, text)
	}
	stdout, text, code := runCommand(context.Background(), "experiment collapse --json --corpus "+cache+" --out "+out)
	if code != exitOK || !strings.Contains(text, "going on from step 30") {
		t.Fatalf("exit code %d, %q", code, text)
	}
	var found experiment.Collapse
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || len(found.Runs) != 3 || found.Runs[2].Steps != 30 || len(found.Runs[2].Validations) != 3 || found.Runs[0].Test != nil {
		t.Errorf("%v: %s", err, stdout)
	}
	for _, kind := range experiment.Kinds {
		c, err := train.ReadConfig(filepath.Join(out, kind))
		if b := c.Model.Bottleneck; err != nil || b.Kind != kind || b.KL != 0.5 || b.KLWarmUp != 0 {
			t.Errorf("configuration of %s: %+v, %v", kind, b, err)
		}
	}
	stdout, _, code = runCommand(context.Background(), begin)
	page, err := os.ReadFile(filepath.Join(out, experiment.PageName))
	if code != exitOK || err != nil || !strings.HasPrefix(stdout, string(page)) || !strings.Contains(stdout, "| none | valid | 30 |") {
		t.Errorf("exit code %d, %v, %s", code, err, stdout)
	}

	for line, want := range map[string]string{
		"experiment collapse --corpus " + cache:                                               "--out",
		"experiment collapse -o " + out:                                                       "--corpus",
		"experiment collapse -o " + out + " --corpus " + cache + " more":                      `"more"`,
		"experiment collapse -o " + out + " --corpus " + cache + " --kl=-1 --preset tiny":     "kl -1",
		"experiment collapse -o " + out + " --corpus " + cache + " --kl-warm-up=-1":           "kl_warm_up -1",
		"experiment collapse -o " + out + " --corpus " + cache + " --preset tiny --minutes 0": "--minutes",
		"experiment collapse -o " + out + " --corpus " + cache + " --set entires=3":           "entries",
		"experiment colapse": "no experiment",
	} {
		if _, stderr, code := runCommand(context.Background(), line); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q, want %q", line, code, stderr, want)
		}
	}
	if _, stderr, code := runCommand(context.Background(), "experiment collapse --kl 1 --corpus "+cache+" -o "+out); code != exitFailure || !strings.Contains(stderr, "model.bottleneck.kl 0.5, now 1") {
		t.Errorf("another weight: exit code %d, %q", code, stderr)
	}
}

func TestEstimate(t *testing.T) {
	dir := t.TempDir()
	cache := saveCorpus(t, dir, "two", "ann", "bob")
	const begin = "estimate --preset tiny --seconds 0.1 --corpus "
	stdout, stderr, code := runCommand(context.Background(), begin+cache+" --steps 100 --threads 1")
	for _, want := range []string{"epoch        0.0 minutes of speech, 31 steps of 2 x 512 samples", "samples/s", "hours per epoch", "memory", "a checkpoint", "budget       100 steps, 3.2 epochs"} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, %q lacks %q; %s", code, stdout, want, stderr)
		}
	}
	stdout, _, code = runCommand(context.Background(), begin+cache+" --json --set kind=vae --set batch=1")
	var e train.Estimate
	if err := json.Unmarshal([]byte(stdout), &e); code != exitOK || err != nil || e.EpochSamples != 2*4*4000 || e.Batch != 1 || e.Checkpoint <= e.Model {
		t.Errorf("exit code %d, %v, %s", code, err, stdout)
	}
	for line, want := range map[string]string{
		"estimate":                           "--corpus",
		begin + cache + " more":              `"more"`,
		begin + cache + " --seconds 0":       "--seconds 0",
		begin + cache + " --threads=-1":      "--threads -1",
		begin + cache + " --preset huge":     "huge",
		begin + cache + " --set entires=128": "entries",
	} {
		if _, stderr, code := runCommand(context.Background(), line); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q, want %q", line, code, stderr, want)
		}
	}
	if _, stderr, code := runCommand(context.Background(), begin+filepath.Join(dir, "none")); code != exitFailure || !strings.Contains(stderr, "none") {
		t.Errorf("no corpus: exit code %d, %q", code, stderr)
	}
}
