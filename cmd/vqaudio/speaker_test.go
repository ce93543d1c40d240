package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/vqvae"
)

// savePlainVoices saves a model whose voices are nothing like those of saveSound: all its recordings gain from one of their own.
func savePlainVoices(t *testing.T, dir string) *vqvae.Model {
	t.Helper()
	model := saveVoices(t, dir)
	for i := range model.Voices.Table.Value.Data {
		model.Voices.Table.Value.Data[i] = 3 - 6*float32(i%2)
	}
	if err := checkpoint.Save(filepath.Join(dir, "model.safetensors"), &checkpoint.File{Model: model}); err != nil {
		t.Fatal(err)
	}
	return model
}

func loadFile(t *testing.T, name string) *checkpoint.File {
	t.Helper()
	f, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSpeakerEnrol(t *testing.T) {
	t.Chdir(t.TempDir())
	model := savePlainVoices(t, ".")
	saveSound(t, "zoe/a.wav", 8001)
	saveSound(t, "zoe/b/c.wav", 8002)
	saveSound(t, "zoe/d.wav", 5000)

	before := readFile(t, "model.safetensors")
	var r enrolReport
	if err := json.Unmarshal([]byte(mustRun(t, "speaker enrol model.safetensors zoe --name zoe -o out.safetensors --json --threads 1")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Model != "model.safetensors" || r.Name != "zoe" || r.Output != "out.safetensors" || strings.Join(r.Clips, " ") != "a b/c d" ||
		!(r.Gain > 0) || r.Fitted+r.HeldOut < 2.6 || r.HeldOut != 0.626 && r.HeldOut != 1.002 || !(r.Elapsed > 0) {
		t.Errorf("%+v", r)
	}
	if !bytes.Equal(readFile(t, "model.safetensors"), before) {
		t.Error("the model itself is changed")
	}
	f := loadFile(t, "out.safetensors")
	if names := strings.Join(f.Model.Speakers.Names(), " "); names != "ann bob zoe" || r.Fingerprint != checkpoint.Fingerprint(model) {
		t.Errorf("speakers %s, fingerprint %s", names, r.Fingerprint)
	}
	for _, p := range model.Parameters() {
		now := f.Model.Parameters().Find(p.Name).Value
		if p.Name == "speakers.weight" {
			now.Data = now.Data[:p.Value.Len()]
		}
		for i, v := range p.Value.Data {
			if now.Data[i] != v {
				t.Fatalf("%s is changed", p.Name)
			}
		}
	}
	e := f.Enrolled["zoe"]
	if len(f.Enrolled) != 1 || strings.Join(e.Clips, " ") != "a b/c d" || e.Gain != r.Gain || e.Seconds != r.Fitted+r.HeldOut || time.Since(e.Time) > time.Hour || time.Since(e.Time) < 0 {
		t.Errorf("enrolled %+v", f.Enrolled)
	}

	// The same vector on three threads, another of another seed; in place of the model.
	vector := func(name string) [3]float32 { return [3]float32(loadFile(t, name).Model.Voices.Table.Value.Row(2)) }
	mustRun(t, "speaker enrol model.safetensors zoe --name zoe -o three.safetensors --threads 3")
	mustRun(t, "speaker enrol model.safetensors zoe --name zoe -o seed.safetensors --seed 2")
	if vector("three.safetensors") != vector("out.safetensors") || vector("seed.safetensors") == vector("out.safetensors") {
		t.Errorf("vectors %v, on three threads %v, of another seed %v", vector("out.safetensors"), vector("three.safetensors"), vector("seed.safetensors"))
	}
	stdout := mustRun(t, "speaker enrol model.safetensors zoe --name zoe")
	for _, part := range []string{"mean of all voices", "the nearest voice of the model", "zoe: a gain of 0.", "s held out", "model.safetensors: with zoe, fingerprint"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("%q is not in:\n%s", part, stdout)
		}
	}
	if vector("model.safetensors") != vector("out.safetensors") {
		t.Error("in place it is another vector")
	}

	// The voice is there for all commands, and units of the model before are its own.
	mustRun(t, "convert model.safetensors zoe/a.wav --to zoe -o zoe.wav")
	mustRun(t, "convert model.safetensors zoe/a.wav --to zoe:1,ann:1 -o mixed.wav")
	if bytes.Equal(readFile(t, "zoe.wav"), readFile(t, "mixed.wav")) {
		t.Error("a mixture sounds as one of its speakers")
	}
	writeFile(t, "old.safetensors", before)
	mustRun(t, "encode old.safetensors zoe/a.wav -o units.jsonl")
	mustRun(t, "decode model.safetensors units.jsonl --speaker zoe -o decoded.wav")

	stdout = mustRun(t, "speaker list model.safetensors")
	if !strings.HasPrefix(stdout, "ann\nbob\nzoe\tenrolled "+time.Now().UTC().Format("2006-")) || !strings.HasSuffix(stdout, " from 2.6 s: a, b/c, d\n") {
		t.Errorf("list:\n%s", stdout)
	}
	var list speakerList
	if err := json.Unmarshal([]byte(mustRun(t, "speaker list model.safetensors --json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Speakers) != 3 || list.Speakers[1].Name != "bob" || list.Speakers[1].Enrolled != nil || list.Speakers[2].Enrolled == nil || list.Speakers[2].Enrolled.Gain != r.Gain {
		t.Errorf("%+v", list)
	}

	// Out it goes again: what is left is the model of the beginning.
	if stdout := mustRun(t, "speaker remove model.safetensors zoe"); stdout != "model.safetensors: without zoe, 2 speakers left\n" {
		t.Errorf("remove: %s", stdout)
	}
	if !bytes.Equal(readFile(t, "model.safetensors"), before) {
		t.Error("without the new voice the model is another one")
	}
}

// TestSpeakerReplace puts a voice in the place of one, and none where it is no better.
func TestSpeakerReplace(t *testing.T) {
	t.Chdir(t.TempDir())
	savePlainVoices(t, ".")
	saveSound(t, "a.wav", 20000)
	before := readFile(t, "model.safetensors")
	if _, stderr, code := runCommand(context.Background(), "speaker enrol model.safetensors a.wav --name bob"); code != exitUsage ||
		!strings.Contains(stderr, `has a speaker "bob" already`) || !strings.Contains(stderr, "--replace") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if !bytes.Equal(readFile(t, "model.safetensors"), before) {
		t.Error("the model is changed")
	}
	mustRun(t, "speaker enrol model.safetensors a.wav --name bob --replace")
	f := loadFile(t, "model.safetensors")
	if f.Model.Speakers.Len() != 2 || len(f.Enrolled["bob"].Clips) != 1 {
		t.Errorf("speakers %q, enrolled %v", f.Model.Speakers.Names(), f.Enrolled)
	}

	// What is held out is nothing like the rest.
	saveSound(t, "b.wav", 40000)
	b := readFile(t, "b.wav")
	clear(b[len(b)-2*8000:])
	writeFile(t, "b.wav", b)
	before = readFile(t, "model.safetensors")
	var r enrolReport
	stdout, stderr, code := runCommand(context.Background(), "speaker enrol model.safetensors b.wav --name zoe --json")
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err, stderr)
	}
	if code != exitFailure || !strings.Contains(stderr, "no gain") || !(r.Gain < 0) || r.Output != "" || r.Fingerprint != "" || r.HeldOut != 1 {
		t.Errorf("exit code %d, %s, %+v", code, stderr, r)
	}
	if !bytes.Equal(readFile(t, "model.safetensors"), before) {
		t.Error("without a gain the model is changed")
	}
}

// TestSpeakerOfRun wants the files of a run left alone.
func TestSpeakerOfRun(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	mustRun(t, "train vqvae --corpus "+cache+" --preset tiny --out run --steps 4 --set validate_every=2 --set save_every=2")
	checkpoints, err := filepath.Glob("run/checkpoints/*.safetensors")
	if err != nil || len(checkpoints) == 0 {
		t.Fatalf("%v, %v", checkpoints, err)
	}
	files := append(checkpoints, "run/best.safetensors")
	before := map[string][]byte{}
	for _, name := range files {
		before[name] = readFile(t, name)
	}
	for _, line := range []string{"run ann", "run/best.safetensors ann", checkpoints[0] + " ann", "run ann -o run/best.safetensors",
		checkpoints[0] + " ann -o run/checkpoints/../best.safetensors", "run ann -o " + checkpoints[0]} {
		if _, stderr, code := runCommand(context.Background(), "speaker remove "+line); code != exitUsage || !strings.Contains(stderr, "belongs to a training") {
			t.Errorf("remove %s: exit code %d, %s", line, code, stderr)
		}
	}
	mustRun(t, "speaker remove run ann -o bob.safetensors")
	mustRun(t, "speaker remove "+checkpoints[0]+" bob -o ann.safetensors")
	for name, want := range map[string]string{"ann.safetensors": "ann\n", "bob.safetensors": "bob\n", "run": "ann\nbob\n"} {
		if got := mustRun(t, "speaker list "+name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if f := loadFile(t, "ann.safetensors"); f.Training != nil || f.State != nil {
		t.Error("the state of training is in the file")
	}

	// A checkpoint that was copied keeps what it takes to go on, unless another file is named.
	writeFile(t, "copy.safetensors", before[checkpoints[0]])
	if _, stderr, code := runCommand(context.Background(), "speaker remove copy.safetensors ann"); code != exitUsage || !strings.Contains(stderr, "belongs to a training") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for _, name := range files {
		if !bytes.Equal(readFile(t, name), before[name]) {
			t.Errorf("%s is changed", name)
		}
	}
}

func TestSpeakerRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	savePlainVoices(t, ".")
	saveSound(t, "a.wav", 20000)
	saveSound(t, "in/a.wav", 20000)
	saveSound(t, "short.wav", 15000)
	saveSound(t, "long.wav", 301*8000)
	writeFile(t, "in/broken.wav", []byte("no sound"))
	if err := os.MkdirAll("folder", 0o777); err != nil {
		t.Fatal(err)
	}
	entries := func() string {
		list, err := filepath.Glob("*")
		if err != nil {
			t.Fatal(err)
		}
		hidden, _ := filepath.Glob(".*")
		return strings.Join(append(list, hidden...), " ")
	}
	before, files := readFile(t, "model.safetensors"), entries()
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"nosuch", exitUsage, `"nosuch" is not a command of vqaudio speaker`},
		{"list a b", exitUsage, "one model"},
		{"list nosuch.safetensors", exitFailure, "nosuch.safetensors"},
		{"list a.wav", exitFailure, "a.wav"},
		{"remove model.safetensors", exitUsage, "the name of a speaker"},
		{"remove model.safetensors an", exitFailure, `unknown speaker "an": known are "ann", "bob"`},
		{"remove mute.safetensors ann", exitFailure, "knows no speakers"},
		{"remove model.safetensors ann -o folder", exitUsage, "folder is no file"},
		{"remove model.safetensors ann -o -", exitUsage, "- is no file"},
		{"remove model.safetensors ann -o nosuch/x", exitFailure, "nosuch"},
		{"enrol model.safetensors a.wav", exitUsage, "--name"},
		{"enrol model.safetensors --name zoe", exitUsage, "recordings"},
		{"enrol model.safetensors a.wav --name \xff", exitUsage, "UTF-8"},
		{"enrol model.safetensors a.wav --name zoe --precision half", exitUsage, `--precision "half"`},
		{"enrol model.safetensors a.wav --name zoe --level loud", exitUsage, `--level "loud"`},
		{"enrol model.safetensors a.wav --name zoe --threads=-1", exitUsage, "--threads -1"},
		{"enrol model.safetensors a.wav --name zoe -o folder", exitUsage, "folder is no file"},
		{"enrol model.safetensors a.wav --name zoe -o a.wav", exitUsage, "take the place of a.wav"},
		{"enrol model.safetensors a.wav in/a.wav --name zoe", exitUsage, "both be called a"},
		{"enrol model.safetensors nosuch.wav --name zoe", exitFailure, "nosuch.wav"},
		{"enrol model.safetensors in --name zoe", exitFailure, "broken.wav"},
		{"enrol model.safetensors folder --name zoe", exitFailure, "no file in this folder"},
		{"enrol model.safetensors short.wav --name zoe", exitFailure, "1.9 s of speech: want 2 to 300"},
		{"enrol model.safetensors long.wav --name zoe", exitFailure, "more than 300 s of speech"},
		{"enrol mute.safetensors a.wav --name zoe", exitFailure, "knows no speakers"},
		{"enrol nosuch.safetensors a.wav --name zoe", exitFailure, "nosuch.safetensors"},
	} {
		_, stderr, code := runCommand(context.Background(), "speaker "+test.line)
		if code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("speaker %s: exit code %d, want %d; %s", test.line, code, test.code, stderr)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, code := runCommand(ctx, "speaker enrol model.safetensors a.wav --name zoe"); code != exitInterrupted {
		t.Errorf("interrupted: exit code %d", code)
	}
	if !bytes.Equal(readFile(t, "model.safetensors"), before) || entries() != files {
		t.Errorf("the model is changed, or there are other files: %s", entries())
	}
	for _, test := range []struct{ speaker, stderr string }{
		{"ann:0,bob:1", `weight 0 of speaker "ann"`}, {"ann:1,bo:1", `unknown speaker "bo": known are "bob", "ann"`}, {"ann:NaN", "weight NaN"}, {"ann:1,bob:-1", "weight -1"},
	} {
		if _, stderr, code := runCommand(context.Background(), "convert model.safetensors a.wav -o x.wav --to "+test.speaker); code != exitFailure || !strings.Contains(stderr, test.stderr) {
			t.Errorf("--to %s: exit code %d, %s", test.speaker, code, stderr)
		}
	}
}
