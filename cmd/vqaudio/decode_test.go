package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/tensor"
)

// TestDecode decodes the same units in all formats that hold them.
func TestDecode(t *testing.T) {
	t.Chdir(t.TempDir())
	model := saveVoices(t, ".")
	writeFile(t, "a.txt", []byte("3 3 3 1 4 1 5 9\n"))
	writeFile(t, "a.jsonl", fmt.Appendf(nil, `{"name":"a","rate":8000,"hop":16,"k":16,"model":"%s","units":[3,1,4,1,5,9],"durations":[3,1,1,1,1,1]}`+"\n",
		checkpoint.Fingerprint(model)))
	writeFile(t, "several.txt", []byte("a|3 3 3 1 4 1 5 9\nb/c|7 7\nnone|\n"))

	stdout := mustRun(t, "decode model.safetensors a.txt --speaker bob -o a.wav")
	if !strings.Contains(stdout, "0.02 s of sound") {
		t.Errorf("standard output %q", stdout)
	}
	a := readFile(t, "a.wav")
	if n := len(samplesOf(t, a)); n != 8*16 {
		t.Errorf("%d samples, want %d", n, 8*16)
	}
	mustRun(t, "decode model.safetensors a.jsonl --speaker bob -o b.wav")
	if !bytes.Equal(readFile(t, "b.wav"), a) {
		t.Error("from JSON lines with durations the sound is another")
	}
	for _, threads := range []string{"1", "3"} {
		mustRun(t, "decode model.safetensors several.txt --speaker bob -o several --threads "+threads)
		for name, n := range map[string]int{"a": 128, "b/c": 32, "none": 0} {
			if got := len(samplesOf(t, readFile(t, filepath.Join("several", name+".wav")))); got != n {
				t.Errorf("%s: %d samples, want %d", name, got, n)
			}
		}
		if !bytes.Equal(readFile(t, "several/a.wav"), a) {
			t.Error("among several, an utterance sounds otherwise")
		}
	}
	for _, flags := range []string{"--speaker ann", "--speaker bob --seed 2", "--speaker bob --temperature 0.3"} {
		mustRun(t, "decode model.safetensors a.txt -o other.wav "+flags)
		if bytes.Equal(readFile(t, "other.wav"), a) {
			t.Errorf("%s changes nothing", flags)
		}
	}
	mustRun(t, "decode mute.safetensors a.txt -o mute.wav")

	// The likeliest levels are those that an evaluate.Reconstruction draws.
	mustRun(t, "decode model.safetensors a.txt --speaker bob --temperature 0 -o likely.wav")
	levels, err := evaluate.NewReconstruction(model).Draw(t.Context(), model.Embed(new(tensor.Arena), []int32{3, 3, 3, 1, 4, 1, 5, 9}, 1), 1, 0, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	law := audio.NewMuLaw(256)
	for i, x := range samplesOf(t, readFile(t, "likely.wav")) {
		if d := x - law.Decode(levels[i]); d > 1e-4 || d < -1e-4 {
			t.Fatalf("sample %d is %v, want %v", i, x, law.Decode(levels[i]))
		}
	}

	for _, in := range []string{"-", "/dev/stdin"} {
		if in != "-" && runtime.GOOS == "windows" {
			continue
		}
		stdout, stderr, code := decodePipe(t, "3 3 3 1 4 1 5 9\n", "model.safetensors "+in+" --speaker bob -o -")
		if code != exitOK {
			t.Fatalf("from %s: exit code %d, %s", in, code, stderr)
		}
		if n := len(samplesOf(t, []byte(stdout))); n != 128 {
			t.Errorf("from %s: %d samples", in, n)
		}
	}
}

// decodePipe decodes with standard input from a pipe, which can be read once only: under either of its names. That of a file
// leads to the pipe by way of its descriptor.
func decodePipe(t *testing.T, content, line string) (stdout, stderr string, code int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(content); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func(f *os.File) { os.Stdin = f }(os.Stdin)
	os.Stdin = r
	return runCommand(context.Background(), "decode "+strings.Replace(line, "/dev/stdin", fmt.Sprintf("/dev/fd/%d", r.Fd()), 1))
}

type zeros struct{}

func (zeros) Uint64() uint64 { return 0 }

func TestDecodeRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	for name, content := range map[string]string{
		"a.txt":        "3 1",
		"several.txt":  "a|3 1\nb|2\n",
		"large.txt":    "3 16",
		"twice.txt":    "a|3\na|4\n",
		"outside.txt":  "../a|3\nb|4\n",
		"broken.txt":   "a|3\nb|x\n",
		"other.jsonl":  `{"name":"a","model":"0123456789abcdef","units":[3]}`,
		"hop.jsonl":    `{"name":"a","hop":64,"units":[3]}`,
		"rate.jsonl":   `{"name":"a","rate":16000,"units":[3]}`,
		"k.jsonl":      `{"name":"a","k":512,"units":[3]}`,
		"vectors.txt":  "0.5 0.25\n1.5 2.5\n",
		"nothing.text": "what is this",
		"empty.jsonl":  "",
	} {
		writeFile(t, name, []byte(content))
	}
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"model.safetensors a.txt --speaker ann", exitUsage, "-o"},
		{"model.safetensors --speaker ann -o x.wav", exitUsage, "units"},
		{"model.safetensors a.txt several.txt --speaker ann -o x.wav", exitUsage, "units"},
		{"model.safetensors a.txt -o x.wav", exitUsage, "want --speaker"},
		{"model.safetensors a.txt --speaker ann -o a.txt", exitUsage, "take the place of a.txt"},
		{"model.safetensors a.txt --speaker ann -o model.safetensors", exitUsage, "take the place of model.safetensors"},
		{"model.safetensors several.txt --speaker ann -o a.txt", exitUsage, "a.txt is a file, and there are several"},
		{"model.safetensors a.txt --speaker Ann -o x.wav", exitFailure, `unknown speaker "Ann": known are "ann", "bob"`},
		{"mute.safetensors a.txt --speaker ann -o x.wav", exitFailure, "knows no speakers"},
		{"model.safetensors a.txt --speaker ann -o x.wav --format mp3", exitUsage, `--format "mp3"`},
		{"model.safetensors several.txt --speaker ann -o x.wav --format text", exitFailure, "several.txt"},
		{"model.safetensors several.txt --speaker ann -o -", exitUsage, "standard output"},
		{"model.safetensors nosuch.txt --speaker ann -o x.wav", exitFailure, "nosuch.txt"},
		{"model.safetensors nothing.text --speaker ann -o x.wav", exitFailure, "nothing.text"},
		{"model.safetensors empty.jsonl --format jsonl --speaker ann -o x.wav", exitFailure, "empty.jsonl: no units"},
		{"model.safetensors large.txt --speaker ann -o x.wav", exitFailure, "unit 1 is 16, the model has 16"},
		{"model.safetensors twice.txt --speaker ann -o x", exitFailure, "two utterances are called a"},
		{"model.safetensors outside.txt --speaker ann -o in/side", exitFailure, `"../a" is no name`},
		{"model.safetensors broken.txt --speaker ann -o x", exitFailure, "broken.txt"},
		{"model.safetensors other.jsonl --speaker ann -o x.wav", exitFailure, "model 0123456789abcdef"},
		{"model.safetensors hop.jsonl --speaker ann -o x.wav", exitFailure, "the hop is 64, the model's is 16"},
		{"model.safetensors rate.jsonl --speaker ann -o x.wav", exitFailure, "the rate is 16000"},
		{"model.safetensors k.jsonl --speaker ann -o x.wav", exitFailure, "the number of units is 512"},
		{"model.safetensors vectors.txt --speaker ann -o x.wav", exitFailure, "vectors"},
		{"model.safetensors a.txt --speaker ann -o nosuch/x.wav", exitFailure, "nosuch"},
		{"model.safetensors a.txt --speaker ann -o x.wav --temperature 1e9", exitUsage, "--temperature"},
	} {
		_, stderr, code := runCommand(context.Background(), "decode "+test.line)
		if code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("decode %s: exit code %d, want %d; %s", test.line, code, test.code, stderr)
		}
	}
	if _, stderr, code := decodePipe(t, "a|3\na|4\n", "model.safetensors - --speaker ann -o twice"); code != exitFailure || !strings.Contains(stderr, "two utterances are called a") {
		t.Errorf("a name twice, from a pipe: exit code %d, %s", code, stderr)
	}
	if _, err := os.Stat("in/a.wav"); err == nil {
		t.Error("a file was written outside the folder")
	}
	if left, _ := filepath.Glob("*x*.wav*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("a folder was made for what is wrong from the start")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, code := runCommand(ctx, "decode model.safetensors several.txt --speaker ann -o z"); code != exitInterrupted {
		t.Errorf("interrupted: exit code %d", code)
	}
}
