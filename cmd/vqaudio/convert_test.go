package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// saveVoices saves a tiny model with random weights as DIR/model.safetensors, and, without speakers, as DIR/mute.safetensors.
func saveVoices(t *testing.T, dir string) *vqvae.Model {
	t.Helper()
	var models []*vqvae.Model
	for _, m := range []struct {
		name     string
		channels int
	}{{"mute", 0}, {"model", 3}} {
		c := vqvae.Config{
			Rate: 8000, Levels: 256, Level: -26,
			Encoder: vqvae.EncoderConfig{Input: vqvae.Wave, Channels: []int{60, 8}, Strides: []int{4, 4}},
			Bottleneck: vqvae.BottleneckConfig{
				Kind: vqvae.VQ, Dim: 5, Entries: 16, Distance: vqvae.Euclidean, Groups: 1, Stages: 1, Codebook: vqvae.ByAverage, Beta: 0.25, Decay: 0.99,
			},
			Decoder: vqvae.DecoderConfig{Residual: 8, Skip: 12, Layers: 3, Cycles: 1, Upsample: []int{2}, Speaker: m.channels},
		}
		src := rand.NewPCG(1, 2)
		model, err := vqvae.New(c, []string{"ann", "bob"}, dilated.Float32, src)
		if err != nil {
			t.Fatal(err)
		}
		input := tensor.New(1, 4000, 1)
		for i := range input.Data {
			input.Data[i] = 2*rand.New(src).Float32() - 1
		}
		if err := model.InitialiseCodebooks(new(tensor.Arena), []vqvae.Batch{{Input: input, Size: 1}}, src); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.Save(filepath.Join(dir, m.name+".safetensors"), &checkpoint.File{Model: model}); err != nil {
			t.Fatal(err)
		}
		models = append(models, model)
	}
	return models[1]
}

// saveSound saves n samples of noise, which swells, as DIR/NAME, at 8 kHz.
func saveSound(t *testing.T, name string, n int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	w, err := audio.Create(name, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16)
	if err != nil {
		t.Fatal(err)
	}
	r, x := rand.New(rand.NewPCG(uint64(n), 1)), make([]float64, n)
	for i := range x {
		x[i] = 0.01 + 0.1*math.Sin(float64(i)/1000)*r.Float64()
	}
	if err := w.Write(x); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// samplesOf returns the samples of a WAV.
func samplesOf(t *testing.T, wav []byte) []float64 {
	t.Helper()
	r, err := audio.NewReader(bytes.NewReader(wav), "result")
	if err != nil {
		t.Fatal(err)
	}
	b, err := audio.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Format(); f.SampleRate != 8000 || f.NumChannels != 1 {
		t.Errorf("format %+v", f)
	}
	return b.Data
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// mustRun runs a command that is to succeed, and returns its standard output.
func mustRun(t *testing.T, line string) string {
	t.Helper()
	stdout, stderr, code := runCommand(context.Background(), line)
	if code != exitOK {
		t.Fatalf("vqaudio %s: exit code %d, %s", line, code, stderr)
	}
	return stdout
}

func TestConvert(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "in/a.wav", 1005)
	saveSound(t, "in/b/c.wav", 333)
	saveSound(t, "in/b/d.e.wav", 16)
	saveSound(t, "in/empty.wav", 0)

	stdout := mustRun(t, "convert model.safetensors in/a.wav --to bob -o a.wav")
	if !strings.Contains(stdout, "0.13 s of sound") || !strings.Contains(stdout, "times real time") {
		t.Errorf("standard output %q", stdout)
	}
	a := readFile(t, "a.wav")
	if n := len(samplesOf(t, a)); n != 1005 {
		t.Errorf("%d samples, want 1005", n)
	}
	for _, threads := range []string{"1", "3"} {
		out := "out" + threads
		mustRun(t, "convert model.safetensors in --to bob -o "+out+" --threads "+threads)
		for name, n := range map[string]int{"a.wav": 1005, "b/c.wav": 333, "b/d.e.wav": 16, "empty.wav": 0} {
			wav := readFile(t, filepath.Join(out, name))
			if got := len(samplesOf(t, wav)); got != n {
				t.Errorf("%s: %d samples, want %d", name, got, n)
			}
			if !bytes.Equal(wav, readFile(t, filepath.Join("out1", name))) {
				t.Errorf("%s depends on the number of threads", name)
			}
		}
		if !bytes.Equal(readFile(t, out+"/a.wav"), a) {
			t.Error("from a folder a file is converted otherwise")
		}
	}
	mustRun(t, "convert model.safetensors in/a.wav --to bob -o out1/") // a folder takes a single one, too
	if !bytes.Equal(readFile(t, "out1/a.wav"), a) {
		t.Error("in a folder a single file is converted otherwise")
	}
	for _, flags := range []string{"--to ann", "--to bob --seed 2", "--to bob --temperature 0.5", "--to bob --level=-40",
		"--to bob --top-k 3", "--to bob --top-p 0.5"} {
		mustRun(t, "convert model.safetensors in/a.wav -o other.wav "+flags)
		if bytes.Equal(readFile(t, "other.wav"), a) {
			t.Errorf("%s changes nothing", flags)
		}
	}
	for _, precision := range []string{"float32", "bfloat16", "int8"} {
		mustRun(t, "convert model.safetensors in/a.wav --to bob -o one.wav --precision "+precision)
		mustRun(t, "convert model.safetensors in/a.wav --to bob -o two.wav --two-cores --precision "+precision)
		mustRun(t, "convert model.safetensors in --to bob -o several --precision "+precision)
		one := readFile(t, "one.wav")
		if !bytes.Equal(readFile(t, "two.wav"), one) || !bytes.Equal(readFile(t, "several/a.wav"), one) {
			t.Errorf("%s: on two cores, or among others, the sound is another", precision)
		}
	}

	mustRun(t, "convert model.safetensors in/a.wav -o other.wav --to bob --level=-26")
	if !bytes.Equal(readFile(t, "other.wav"), a) {
		t.Error("the level of the speech that the model was trained on is not the one taken")
	}

	// The level comes back: what a recording of a tenth the level becomes has a tenth the level.
	level := func(name string, gain float64) float64 {
		r, err := audio.Open("in/a.wav")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		w, err := audio.Create(name, r.Format(), audio.Float32)
		if err != nil {
			t.Fatal(err)
		}
		if err := audio.Copy(audio.Adjust(r, 0, gain), w.Write); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		mustRun(t, "convert model.safetensors "+name+" --to bob -o converted.wav --temperature 0.3")
		var m audio.Meter
		m.Add(samplesOf(t, readFile(t, "converted.wav")))
		return m.RMS()
	}
	if loud, soft := level("loud.wav", 1), level("soft.wav", 0.1); !(soft < 0.2*loud && soft > 0.05*loud) {
		t.Errorf("levels %v and %v", loud, soft)
	}
}

func TestConvertStandardStreams(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "-.wav", 1005) // so that its id, and with it the random draws, are those of standard input
	mustRun(t, "convert model.safetensors ./-.wav --to ann -o want.wav")
	in, err := os.Open("-.wav")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer func(f *os.File) { os.Stdin = f }(os.Stdin)
	os.Stdin = in
	got := samplesOf(t, []byte(mustRun(t, "convert model.safetensors - --to ann -o -")))
	want := samplesOf(t, readFile(t, "want.wav"))
	if len(got) != 1005 || len(want) != 1005 {
		t.Fatalf("%d and %d samples", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("sample %d is %v by way of standard streams, otherwise %v", i, got[i], want[i])
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "a.wav", 500)
	saveSound(t, "in/a.wav", 500)
	writeFile(t, "in/broken.wav", []byte("no sound"))
	writeFile(t, "broken.safetensors", []byte("no model"))
	if err := os.MkdirAll("nothing", 0o777); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink("a.wav", "link.wav"); err != nil {
			t.Fatal(err)
		}
	}
	before := readFile(t, "a.wav")
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"model.safetensors a.wav --to ann", exitUsage, "-o"},
		{"model.safetensors a.wav -o x.wav", exitUsage, "--to"},
		{"model.safetensors --to ann -o x.wav", exitUsage, "a recording"},
		{"model.safetensors a.wav --to an -o x.wav", exitFailure, `unknown speaker "an": known are "ann", "bob"`},
		{"model.safetensors a.wav --from ann --to bob -o x.wav", exitUsage, "does not know what the speech of its speakers is like"},
		{"mute.safetensors a.wav --to ann -o x.wav", exitFailure, "knows no speakers"},
		{"broken.safetensors a.wav --to ann -o x.wav", exitFailure, "broken.safetensors"},
		{"nosuch.safetensors a.wav --to ann -o x.wav", exitFailure, "nosuch.safetensors"},
		{"model.safetensors nosuch.wav --to ann -o x.wav", exitFailure, "nosuch.wav"},
		{"model.safetensors nothing --to ann -o x", exitFailure, "no file in this folder"},
		{"model.safetensors in/broken.wav --to ann -o x.wav", exitFailure, "in/broken.wav"},
		{"model.safetensors in --to ann -o x", exitFailure, "1 of 2 failed"},
		{"model.safetensors in a.wav --to ann -o y", exitUsage, "both be called a"},
		{"model.safetensors in --to ann -o -", exitUsage, "standard output"},
		{"model.safetensors a.wav --to ann -o a.wav", exitUsage, "take the place of a.wav"},
		{"model.safetensors a.wav --to ann -o model.safetensors", exitUsage, "take the place of model.safetensors"},
		{"model.safetensors in --to ann -o a.wav", exitUsage, "a.wav is a file, and there are several"},
		{"model.safetensors link.wav --to ann -o a.wav", exitUsage, "take the place of link.wav"},
		{"model.safetensors in --to ann -o in", exitUsage, "take the place of in"},
		{"model.safetensors a.wav --to ann -o nosuch/x.wav", exitFailure, "nosuch"},
		{"model.safetensors a.wav --to ann -o x.wav --temperature=-1", exitUsage, "--temperature -1"},
		{"model.safetensors a.wav --to ann -o x.wav --temperature NaN", exitUsage, "--temperature NaN"},
		{"model.safetensors a.wav --to ann -o x.wav --level loud", exitUsage, `--level "loud"`},
		{"model.safetensors a.wav --to ann -o x.wav --level NaN", exitUsage, `--level "NaN"`},
		{"model.safetensors a.wav --to ann -o x.wav --threads=-1", exitUsage, "--threads -1"},
	} {
		_, stderr, code := runCommand(context.Background(), "convert "+test.line)
		if code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("convert %s: exit code %d, want %d; %s", test.line, code, test.code, stderr)
		}
	}
	if _, err := os.Stat("x.wav"); err == nil {
		t.Error("a failed conversion left a file")
	}
	if len(samplesOf(t, readFile(t, "x/a.wav"))) != 500 {
		t.Error("the good one of two files was not converted")
	}
	if !bytes.Equal(readFile(t, "a.wav"), before) {
		t.Error("a recording was changed")
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, code := runCommand(ctx, "convert model.safetensors a.wav --to ann -o z.wav"); code != exitInterrupted {
		t.Errorf("interrupted: exit code %d", code)
	}
	if left, _ := filepath.Glob("*z.wav*"); len(left) > 0 {
		t.Errorf("interrupted: left %v", left)
	}
}

// TestRecordingLevel checks that the level is that of the first minute, without silence, and does not depend on what follows.
func TestRecordingLevel(t *testing.T) {
	t.Chdir(t.TempDir())
	const rate = 1000
	x := make([]float64, 70*rate)
	for i := range x {
		x[i] = 0.25
		if i >= 20*rate && i < 60*rate {
			x[i] += 0.1 * math.Sin(float64(i))
		}
		if i > 65*rate {
			x[i] = 0.9
		}
	}
	w, err := audio.Create("x.wav", audio.Format{NumChannels: 1, SampleRate: rate}, audio.Float32)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(x); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := openRecording(t.Context(), "x.wav", rate, -26)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := audio.ReadAll(r)
	if err != nil || len(b.Data) != len(x) {
		t.Fatalf("%d samples, %v", len(b.Data), err)
	}
	var m audio.Meter
	m.Add(b.Data[20*rate : 60*rate])
	if level := audio.DBFS(m.RMS()); math.Abs(level+26) > 0.1 || math.Abs(m.DC()) > 1e-3 {
		t.Errorf("level %v dBFS, DC %v", level, m.DC())
	}
	if want := (x[66*rate] - x[0]) * r.Gain; math.Abs(b.Data[66*rate]-b.Data[0]-want) > 1e-6 {
		t.Errorf("what follows is at %v, want %v", b.Data[66*rate]-b.Data[0], want)
	}
	as, err := openRecording(t.Context(), "x.wav", rate, math.NaN())
	if err != nil {
		t.Fatal(err)
	}
	defer as.Close()
	if b, err := audio.ReadAll(as); err != nil || as.Gain != 1 || b.Data[66*rate] != float64(float32(0.9)) {
		t.Errorf("with no level: gain %v, %v", as.Gain, err)
	}
}

func TestEvaluateNLL(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	m := &corpora.Manifest{Dir: "."}
	for i, speaker := range []string{"bob", "ann", "bob"} {
		name := string(rune('a'+i)) + ".wav"
		saveSound(t, name, 2000)
		m.Utterances = append(m.Utterances, corpora.Utterance{Path: name, Speaker: speaker, Split: "test", Seconds: -1, Frames: -1, SourceRate: -1})
	}
	if err := m.Write("m.tsv"); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "corpus prepare m.tsv -o cache --rate 8000 --trim 0")
	huge := saveVoices(t, ".")
	for _, p := range huge.Decoder.Parameters() {
		for i := range p.Value.Data {
			p.Value.Data[i] = math.MaxFloat32
		}
	}
	if err := checkpoint.Save("huge.safetensors", &checkpoint.File{Model: huge}); err != nil {
		t.Fatal(err)
	}
	stdout := mustRun(t, "evaluate nll model.safetensors --corpus cache --crop 640 --batch 3")
	for _, part := range []string{"test: 9 crops of 640 samples, 0.7 s", "true codes", "shuffled codes", "wrong speaker", "of 16 codes used"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("%q is not in:\n%s", part, stdout)
		}
	}
	for _, flags := range []string{"", "--threads 1", "--split all"} {
		var r map[string]any
		if err := json.Unmarshal([]byte(mustRun(t, "evaluate nll model.safetensors --corpus cache --crop 640 --batch 3 --json "+flags)), &r); err != nil {
			t.Fatal(err)
		}
		if nll, _ := r["true"].(float64); !(nll > 1 && nll < 20) || r["crops"] != 9.0 || r["model"] != "model.safetensors" || r["wrong_speaker"] == r["true"] {
			t.Errorf("%s: %v", flags, r)
		}
	}
	text := mustRun(t, "evaluate sampler model.safetensors --corpus cache --split test --crop 320")
	for _, part := range []string{"float32 ", "bfloat16 ", "int8 ", "at most 0.002: kept"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
	var likelihoods samplerReport
	line := "evaluate sampler model.safetensors --corpus cache --split test --crop 320 --crops 8 --threads 2 --json"
	if err := json.Unmarshal([]byte(mustRun(t, line)), &likelihoods); err != nil || len(likelihoods.Precisions) != 3 || !(likelihoods.Precisions[2].Speed > 0) {
		t.Errorf("%+v, error %v", likelihoods, err)
	}
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"sampler model.safetensors", exitUsage, "--corpus"},
		{"sampler model.safetensors --corpus cache --crops 2", exitUsage, "--crops 2"},
		{"sampler model.safetensors --corpus cache --crop 0", exitUsage, "--crop 0"},
		{"sampler model.safetensors --corpus cache", exitFailure, "no batch"},
		{"sampler huge.safetensors --corpus cache --split test --crop 320", exitFailure, "gives no likelihoods"},
		{"nll model.safetensors", exitUsage, "--corpus"},
		{"nll --corpus cache", exitUsage, "one model"},
		{"nll model.safetensors --corpus cache --split some", exitUsage, `--split "some"`},
		{"nll model.safetensors --corpus cache --crop 0", exitUsage, "--crop 0"},
		{"nll model.safetensors --corpus cache --crop 1000000000", exitUsage, "--crop 1000000000"},
		{"nll model.safetensors --corpus cache --batch 1", exitUsage, "--batch 1"},
		{"nll model.safetensors --corpus cache --crops 3", exitUsage, "--crops 3"},
		{"nll model.safetensors --corpus cache --crop 50", exitFailure, "multiple"},
		{"nll model.safetensors --corpus cache", exitFailure, "no batch"},
		{"nll model.safetensors --corpus nosuch", exitFailure, "nosuch"},
		{"nll nosuch.safetensors --corpus cache", exitFailure, "nosuch"},
		{"nll huge.safetensors --corpus cache --crop 640 --batch 3", exitFailure, "huge.safetensors gives no likelihoods"},
		{"loudness", exitUsage, "no measure"},
	} {
		_, stderr, code := runCommand(context.Background(), "evaluate "+test.line)
		if code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("evaluate %s: exit code %d, want %d; %s", test.line, code, test.code, stderr)
		}
	}
}

// TestConvertAsItIsMade converts a stream whose end never comes until the first sound is out.
func TestConvertAsItIsMade(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "a.wav", 100_000) // more than is encoded at a time
	wav := readFile(t, "a.wav")
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(f *os.File) { os.Stdin = f }(os.Stdin)
	os.Stdin = in
	out, sink := io.Pipe()
	done := make(chan int)
	go func() {
		code := run(context.Background(), strings.Fields("vqaudio convert model.safetensors - --to ann -o - --level none"), sink, io.Discard)
		sink.Close()
		done <- code
	}()
	heard := make(chan bool, 2)
	timer := time.AfterFunc(20*time.Second, func() { heard <- false })
	defer timer.Stop()
	go func() {
		defer feed.Close()
		feed.Write(wav[:len(wav)-1000])
		if !<-heard {
			t.Error("no sound before the end of the recording")
		}
		feed.Write(wav[len(wav)-1000:])
	}()
	first := make([]byte, 44+10000)
	if _, err := io.ReadFull(out, first); err != nil {
		t.Fatal(err)
	}
	heard <- true
	rest, err := io.ReadAll(out)
	if code := <-done; err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if n := len(samplesOf(t, append(first, rest...))); n != 100_000 {
		t.Errorf("%d samples", n)
	}
}
