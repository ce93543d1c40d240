package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/units"
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

// TestGenerate generates clips: to a file, to standard output, several at once, from a prompt; and wants of decode the same sound for
// their units.
func TestGenerate(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	mustRun(t, "train vqvae --corpus "+cache+" --out model --preset tiny --steps 1")
	mustRun(t, "train vqvae --corpus "+cache+" --out second --preset tiny --steps 20 --seed 7")
	mustRun(t, "train prior --model model --out prior --corpus "+cache+" --preset tiny --steps 5")
	const generate = "generate model --prior prior --speaker bob --seconds 0.31 "
	mustRun(t, generate+"-o one.wav")
	data := func(wav []byte) []byte { // of 16 bits
		_, data, _ := bytes.Cut(wav, []byte("data"))
		return data[4:]
	}
	one := data(readFile(t, "one.wav"))
	if len(one) != 2*0.31*16000 {
		t.Errorf("%d bytes", len(one))
	}
	if piped := mustRun(t, generate+"-o -"); !bytes.Equal(data([]byte(piped)), one) {
		t.Error("standard output gets another clip")
	}
	mustRun(t, generate+"-o three --count 3 --units units.jsonl --threads 1")
	mustRun(t, generate+"-o again --count 3 --threads 3")
	mustRun(t, "decode model units.jsonl --speaker bob -o decoded")
	for _, name := range []string{"0001.wav", "0002.wav", "0003.wav"} {
		clip := readFile(t, filepath.Join("three", name))
		if !bytes.Equal(clip, readFile(t, filepath.Join("again", name))) {
			t.Errorf("%s depends on the number of threads", name)
		}
		if !bytes.HasPrefix(data(readFile(t, filepath.Join("decoded", name))), data(clip)) {
			t.Errorf("%s: decode speaks its units otherwise", name)
		}
	}
	if !bytes.Equal(readFile(t, "three/0001.wav"), readFile(t, "one.wav")) || bytes.Equal(readFile(t, "three/0002.wav"), readFile(t, "one.wav")) {
		t.Error("of several the first clip is another than of one, or the second is not")
	}

	saveSound(t, "prompt.wav", 1603)
	mustRun(t, generate+"-o long.wav --prompt prompt.wav --units long.jsonl")
	mustRun(t, "encode model prompt.wav -o prompt.jsonl --precision float32")
	first := func(name string) []int32 {
		r, err := units.Open(name, units.JSONL)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		u, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		return u.Units
	}
	if prompt, long := first("prompt.jsonl"), first("long.jsonl"); len(long) <= len(prompt) || !slices.Equal(long[:len(prompt)], prompt) {
		t.Errorf("the units %v do not begin with those of the prompt, %v", long, prompt)
	}
	for _, flags := range []string{"--seed 2", "--unit-temperature 0.3", "--unit-top-k 1", "--unit-top-p 0.1", "--temperature 0.5", "--speaker ann", "--speaker ann:0.5,bob:0.5"} {
		mustRun(t, generate+"-o other.wav "+flags)
		if bytes.Equal(readFile(t, "other.wav"), readFile(t, "one.wav")) {
			t.Errorf("%s changes nothing", flags)
		}
	}
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"generate model --speaker bob -o x.wav", exitUsage, "want --prior"},
		{"generate model --prior prior -o x.wav", exitUsage, "--speaker"},
		{"generate model --prior prior --speaker bill -o x.wav", exitFailure, "bill"},
		{"generate second --prior prior --speaker bob -o x.wav", exitFailure, "over the codes of model"},
		{"generate model --prior model --speaker bob -o x.wav", exitFailure, "a prior of vqaudio"},
		{"generate model --prior none --speaker bob -o x.wav", exitFailure, "none"},
		{generate + "--seconds 0 -o x.wav", exitUsage, "--seconds 0"},
		{generate + "--seconds 1e9 -o x.wav", exitUsage, "--seconds 1e+09"},
		{generate + "--count 0 -o x.wav", exitUsage, "--count 0"},
		{generate + "--count 2 -o -", exitUsage, "standard output"},
		{generate + "--unit-top-p 2 -o x.wav", exitUsage, "--unit-top-p 2"},
		{generate + "--unit-temperature -1 -o x.wav", exitUsage, "--unit-temperature -1"},
		{generate + "--prompt none.wav -o x.wav", exitFailure, "none.wav"},
		{generate + "--prompt prompt.wav -o prompt.wav", exitUsage, "take the place"},
		{generate + "--units prior/best.safetensors -o x.wav", exitUsage, "take the place"},
		{generate + "--format wav -o x.wav", exitUsage, "--format"},
	} {
		if _, stderr, code := runCommand(context.Background(), test.line); code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: exit code %d, want %d, and %q:\n%s", test.line, code, test.code, test.stderr, stderr)
		}
	}
	if _, err := os.Stat("x.wav"); err == nil {
		t.Error("a refused call has left a file")
	}
	if _, stderr, code := runCommand(context.Background(), generate+"-o y.wav --speaker ann:0.5,bob:0.5"); code != exitOK || !strings.Contains(stderr, "does not know") {
		t.Errorf("of a mixture: %q", stderr)
	}
}

// TestExportPrior: a prior without the state of its training is the same prior, in a smaller file.
func TestExportPrior(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	mustRun(t, "train vqvae --corpus "+cache+" --out model --preset tiny --steps 1")
	mustRun(t, "train prior --model model --out prior --corpus "+cache+" --preset tiny --steps 3")
	text := mustRun(t, "export prior -o prior.safetensors")
	before, err := checkpoint.LoadPrior("prior/best.safetensors", dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	after, err := checkpoint.LoadPrior("prior.safetensors", dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := checkpoint.PriorFingerprint(before.Prior)
	if after.Training != nil || after.State != nil || before.Training == nil || checkpoint.PriorFingerprint(after.Prior) != fingerprint ||
		!strings.HasSuffix(text, "fingerprint "+fingerprint+"\n") {
		t.Errorf("training %q, %d tensors of it; prints %q", after.Training, len(after.State), text)
	}
	if _, stderr, code := runCommand(context.Background(), "export prior -o prior/best.safetensors"); code != exitUsage || !strings.Contains(stderr, "would lose") {
		t.Errorf("in its own place: exit code %d, %s", code, stderr)
	}
}

// TestEvaluateGeneration compares what a prior generates with recordings.
func TestEvaluateGeneration(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	mustRun(t, "train vqvae --corpus "+cache+" --out model --preset tiny --steps 1")
	mustRun(t, "train prior --model model --out prior --corpus "+cache+" --preset tiny --steps 5")
	const line = "evaluate generation prior --model model --seconds 0.1 --clips 2 "
	text, stderr, code := runCommand(context.Background(), line+"--split valid -o clips --corpus "+cache)
	if code == exitOK {
		for _, part := range []string{"recorded", "reconstructed", "other recordings", "generated", "units by themselves"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not in:\n%s", part, text)
			}
		}
		for _, name := range []string{"01-recorded.wav", "02-generated.wav", "02-reconstructed.wav", "clips.png"} {
			if _, err := os.Stat(filepath.Join("clips", name)); err != nil {
				t.Error(err)
			}
		}
	} else {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	page := mustRun(t, line+"--split valid -o clips --long 3 --precision int8 --speaker bob --corpus "+cache)
	written, err := os.ReadFile("clips/report.md")
	if _, missing := os.Stat("clips/long.png"); err != nil || missing != nil || strings.Count(page, "   until ") != 6 || strings.Count(string(written), " dBFS | ") != 6 ||
		!strings.Contains(string(written), "(clips.png)") || !strings.Contains(string(written), "(long.png)") {
		t.Errorf("errors %v, %v:\n%s\n%s", err, missing, page, written)
	}
	first := mustRun(t, line+"--split valid --json --threads 1 --corpus "+cache)
	var r struct {
		Recorded, Generated, Unigram map[string]float64
	}
	if err := json.Unmarshal([]byte(first), &r); err != nil || r.Recorded["unit_divergence"] != 0 || !(r.Generated["bigram_divergence"] > 0) || !(r.Unigram["bigram_divergence"] <= 1) {
		t.Errorf("%+v, error %v", r, err)
	}
	if second := mustRun(t, line+"--split valid --json --threads 3 --corpus "+cache); second != first {
		t.Error("on three threads the report is another")
	}
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"evaluate generation prior --model model", exitUsage, "--corpus"},
		{line + "--clips 0 --corpus " + cache, exitUsage, "--clips 0"},
		{line + "--seconds 100 --corpus " + cache, exitUsage, "--seconds 100"},
		{line + "--split all --corpus " + cache, exitUsage, "--split"},
		{line + "--unit-temperature -1 --corpus " + cache, exitUsage, "--unit-temperature"},
		{line + "--long -1 --corpus " + cache, exitUsage, "--long -1"},
		{line + "--long 3 --speaker kim --corpus " + cache, exitFailure, `unknown speaker "kim"`},
		{line + "--precision double --corpus " + cache, exitUsage, "--precision"},
		{line + "--seconds 50 --split valid --corpus " + cache, exitFailure, "of 50 s or more"},
	} {
		if _, stderr, code := runCommand(context.Background(), test.line); code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: exit code %d, want %d, and %q:\n%s", test.line, code, test.code, test.stderr, stderr)
		}
	}
}
