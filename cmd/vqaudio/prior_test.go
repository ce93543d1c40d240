package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/train"
)

// TestPrior goes the whole way: a model, a prior over its codes, again where it stopped, bits per code; and what is refused.
func TestPrior(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	other := saveCorpus(t, ".", "three", "ann", "bea", "cid")
	mustRun(t, "train vqvae --corpus "+cache+" --out model --preset tiny --steps 1")
	mustRun(t, "train vqvae --corpus "+cache+" --out second --preset tiny --steps 20 --seed 7")
	mustRun(t, "train vqvae --corpus "+cache+" --out vae --preset tiny --steps 2 --set kind=vae")
	const prior = "train prior --model model --out prior "
	for _, test := range []struct {
		line           string
		code           int
		stdout, stderr string // parts; "" for nothing at all
	}{
		{prior + "--corpus " + cache + " --preset tiny --steps 20 --threads 1", exitOK, "prior: 20 steps, 0.0 million codes", "step 20: validation"},
		{prior + "--corpus " + cache + " --steps 30", exitOK, "30 steps", "going on from step 20"},
		{prior + "--corpus " + cache + " --steps 30", exitOK, "30 steps", "nothing was left to do within 30 steps"},
		{prior + "--corpus " + cache + " --seed 4", exitFailure, "", "training.seed 1, now 4"},
		{prior + "--corpus " + other, exitFailure, "", "speakers that it lacks: bea, cid"},
		{"train prior --model second --out prior --corpus " + cache, exitFailure, "", "over the codes of model"},
		{"train prior --model vae --out new --corpus " + cache, exitFailure, "", `no codes: its bottleneck is "vae"`},
		{"train prior --model none --out new --corpus " + cache, exitFailure, "", "none"},
		{prior, exitUsage, "", "want --model, --corpus and --out"},
		{prior + "--corpus " + cache + " --set nosie=1", exitUsage, "", "training.noise"},
		{prior + "--corpus " + cache + " more", exitUsage, "", `"more"`},
		{"train prior --print --preset huge", exitUsage, "", "tiny, small, base"},
		{"train prior --print --set layers=7", exitOK, `"layers": 7`, ""},
		{"evaluate prior prior --model model --split valid --corpus " + cache, exitOK, "prior, with names", "evaluating: "},
		{"evaluate prior prior --model second --corpus " + cache, exitFailure, "", "over the codes of model"},
		{"evaluate prior model --model model --corpus " + cache, exitFailure, "", "a prior of vqaudio"},
		{"evaluate prior prior --model model --corpus " + cache, exitFailure, "", "no codes to measure"}, // of the test split
		{"evaluate prior prior --corpus " + cache, exitUsage, "", "--model"},
		{"evaluate prior . --model model --corpus " + cache, exitUsage, "", "no best.safetensors"},
		{"info prior", exitOK, "a code depends on the 16 codes (0.06 s) before it\n", ""},
		{"info prior --speakers", exitOK, "speakers    2, a vector of 4 channels each: ann, bob\n", ""},
		{"info prior/codes.safetensors", exitFailure, "", "a model of vqaudio"},
	} {
		stdout, stderr, code := runCommand(context.Background(), test.line)
		if code != test.code {
			t.Errorf("%s: exit code %d, want %d:\n%s", test.line, code, test.code, stderr)
		}
		if (test.stdout == "") != (stdout == "") || !strings.Contains(stdout, test.stdout) {
			t.Errorf("%s prints %q, want %q", test.line, stdout, test.stdout)
		}
		if test.stderr != "evaluating: " && (test.stderr == "") != (stderr == "") || test.stderr != "evaluating: " && !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s reports %q, want %q", test.line, stderr, test.stderr)
		}
	}
	var c train.PriorConfig
	if err := json.Unmarshal([]byte(mustRun(t, "train prior --print --preset small")), &c); err != nil || c.Prior.Residual == 0 || c.Prior.Codes != 0 {
		t.Errorf("%+v, %v", c, err)
	}

	var info priorInfo
	if err := json.Unmarshal([]byte(mustRun(t, "info prior --json")), &info); err != nil || info.Config.Codes != 32 || info.Training == nil || len(info.Training.Validations) == 0 {
		t.Errorf("%+v, %v", info, err)
	}

	// The codes beside the prior are those that it encodes without them.
	read := func(line string) (r priorReport) {
		t.Helper()
		if err := json.Unmarshal([]byte(mustRun(t, line)), &r); err != nil {
			t.Fatal(err)
		}
		r.File, r.Corpus = "", ""
		return r
	}
	line := "evaluate prior prior/best.safetensors --split valid --json --model model/best.safetensors --corpus " + cache
	with := read(line + " --threads 1")
	if err := os.Rename(filepath.Join("prior", train.CodesName), "aside"); err != nil {
		t.Fatal(err)
	}
	if without := read(line + " --threads 3"); with != without {
		t.Errorf("%+v, without codes %+v", with, without)
	}
	if with.Uniform != 5 || with.Known != 4 || with.Utterances != 4 || with.Codes != 4*63 || with.Split != "valid" ||
		!(with.ConditionalEntropy <= with.Entropy && with.Entropy <= with.Unigram && with.Prior > 0 && with.Nobody > 0 && with.Bigram > 0) {
		t.Errorf("%+v", with)
	}
	if r := read("evaluate prior prior --split valid --json --model model --corpus " + other); r.Known != 2 || r.Utterances != 6 {
		t.Errorf("of another corpus: %+v", r)
	}
}

// TestTrainPriorInterrupted: Ctrl-C saves and says how to go on.
func TestTrainPriorInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	mustRun(t, "train vqvae --corpus "+cache+" --out model --preset tiny --steps 1")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stderr trigger
	stderr.when, stderr.then = "step 40: validation", cancel
	line := "train prior --model model --corpus " + cache + " --out prior"
	code := run(ctx, strings.Fields("vqaudio "+line+" --preset tiny"), &bytes.Buffer{}, &stderr)
	if text := stderr.text.String(); code != exitInterrupted || !strings.Contains(text, "to go on: vqaudio "+line) || !strings.Contains(text, "saved at step ") {
		t.Errorf("exit code %d, %q", code, text)
	}
	if out := mustRun(t, line+" --steps 60"); !strings.Contains(out, "60 steps") {
		t.Error(out)
	}
}
