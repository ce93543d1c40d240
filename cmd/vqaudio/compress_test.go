package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
)

// saveUnits saves the units of some recordings as all.jsonl, of the last one so many, and priors over them.
func saveUnits(t *testing.T, last int) {
	t.Helper()
	savePriors(t, saveVoices(t, ".").With(dilated.Float32))
	for name, n := range map[string]int{"in/a.wav": 1005, "in/b/c.wav": 333, "in/b/d.e.wav": 16, "in/empty.wav": 0, "in/long.wav": 16 * last} {
		saveSound(t, name, n)
	}
	mustRun(t, "encode model.safetensors in -o all.jsonl --precision float32")
}

func TestCompress(t *testing.T) {
	t.Chdir(t.TempDir())
	saveUnits(t, 1500)
	var r compressReport
	if err := json.Unmarshal([]byte(mustRun(t, "compress prior all.jsonl -o all.vqu --json")), &r); err != nil {
		t.Fatal(err)
	}
	frames := 0
	for _, u := range readUnits(t, "all.jsonl") {
		frames += u.Len()
	}
	seconds, size := float64(frames)*16/8000, int64(len(readFile(t, "all.vqu")))
	if r.Utterances != 5 || r.Units != int64(frames) || r.Seconds != seconds || r.Bytes != size || r.BytesPerSecond != float64(size)/seconds ||
		r.BitsPerSecond != 8*r.BytesPerSecond || r.Raw != 4 || r.Blocks != 1 || r.Fingerprint == "" {
		t.Errorf("%+v", r)
	}
	if !(r.Unigram > 0 && r.Unigram < 4 && r.Cross > 0 && math.Abs(r.Code/r.Cross-1) < 0.01 && r.Code < r.File && r.File < 2*r.Code) {
		t.Errorf("%+v", r)
	}
	mustRun(t, "decompress prior all.vqu -o again.jsonl")
	if content(t, "again.jsonl") != content(t, "all.jsonl") {
		t.Error("the units that come back are others")
	}

	// The same on any number of threads, from and to any format, and through pipes.
	for _, threads := range []string{"1", "3"} {
		mustRun(t, "compress prior all.jsonl -o threads.vqu --threads "+threads)
		if content(t, "threads.vqu") != content(t, "all.vqu") {
			t.Errorf("the file of %s threads is another", threads)
		}
	}
	for _, format := range []string{"fairseq", "tsv --dedup", "jsonl --dedup", "npy", "text"} {
		to, _, _ := strings.Cut(format, " ")
		mustRun(t, "units convert all.jsonl -o want --to "+format)
		mustRun(t, "compress prior want -o want.vqu --format "+to)
		mustRun(t, "decompress prior want.vqu -o got --format "+to)
		if content(t, "got") != content(t, "want") {
			t.Errorf("%s: the units that come back are others", format)
		}
		for _, name := range []string{"want", "got"} {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	stdout, stderr, code := withStdin(t, "all.jsonl", "compress prior - -o -")
	if code != exitOK || stdout != string(readFile(t, "all.vqu")) || !strings.Contains(stderr, "5 utterances") {
		t.Errorf("to standard output: exit code %d, %q, %d bytes", code, stderr, len(stdout))
	}
	stdout, stderr, code = withStdin(t, "all.vqu", "decompress prior - -o -")
	if code != exitOK || stdout != string(readFile(t, "all.jsonl")) || !strings.Contains(stderr, "5 utterances") {
		t.Errorf("from standard input: exit code %d, %q, %d bytes", code, stderr, len(stdout))
	}
	writeFile(t, "empty.jsonl", nil)
	if out := mustRun(t, "compress prior empty.jsonl -o empty.vqu --format jsonl"); !strings.Contains(out, "0 utterances, 0.00 s") {
		t.Error(out)
	}
	mustRun(t, "decompress prior empty.vqu -o empty2.jsonl")
	if len(readFile(t, "empty2.jsonl")) != 0 {
		t.Error("units of none")
	}
	if out := mustRun(t, "compress prior all.jsonl -o all.vqu"); !strings.Contains(out, "over the prior's cross entropy") || !strings.Contains(out, "unigram") {
		t.Error(out)
	}
}

// withStdin runs a command with a file as its standard input.
func withStdin(t *testing.T, name, line string) (stdout, stderr string, code int) {
	t.Helper()
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer func(f *os.File) { os.Stdin = f }(os.Stdin)
	os.Stdin = in
	return runCommand(context.Background(), line)
}

// TestDecompressRecover: a damaged file is an error, and of it what can be read on request.
func TestDecompressRecover(t *testing.T) {
	t.Chdir(t.TempDir())
	saveUnits(t, 18000)
	mustRun(t, "compress prior all.jsonl -o all.vqu")
	whole := readFile(t, "all.vqu")
	all := readUnits(t, "all.jsonl")
	for _, test := range []struct {
		name   string
		file   []byte
		frames int // of the utterance called long that are left
		report string
	}{
		// The first block holds four utterances, the two others the parts of the last one.
		{"end", whole[:len(whole)-1], all[4].Len(), "lost: all utterances after the first 5"},
		{"cut", whole[:len(whole)-100], 16384, "lost: the rest of long"},
		{"changed", slicesChanged(whole, len(whole)-100), 16384, "lost: the rest of long"},
		{"first", slicesChanged(whole, 40), -1, "lost: utterances 1 to 4"},
	} {
		writeFile(t, "bad.vqu", test.file)
		stdout, stderr, code := runCommand(context.Background(), "decompress prior bad.vqu -o bad.jsonl")
		if _, err := os.Stat("bad.jsonl"); code != exitFailure || err == nil || stdout != "" || !strings.Contains(stderr, "bad.vqu: ") || !strings.Contains(stderr, "--recover writes") {
			t.Errorf("%s: exit code %d, %q, %q, %v", test.name, code, stdout, stderr, err)
		}
		_, stderr, code = runCommand(context.Background(), "decompress prior bad.vqu -o left.jsonl --recover")
		if code != exitFailure || !strings.Contains(stderr, "damaged: bad.vqu: ") || !strings.Contains(stderr, "the rest was recovered") {
			t.Errorf("%s: exit code %d, %q", test.name, code, stderr)
		}
		left := readUnits(t, "left.jsonl")
		if test.frames >= 0 && (len(left) != 5 || left[4].Len() != test.frames || left[0].Len() != all[0].Len()) || test.frames < 0 && (len(left) != 1 || left[0].Len() != all[4].Len()) {
			t.Errorf("%s: %d utterances are left, %q", test.name, len(left), stderr)
		}
		if !strings.Contains(stderr, test.report) {
			t.Errorf("%s: %q, want %q", test.name, stderr, test.report)
		}
	}
}

// slicesChanged returns b with another byte at i.
func slicesChanged(b []byte, i int) []byte {
	changed := bytes.Clone(b)
	changed[i] ^= 1
	return changed
}

func TestCompressRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	saveUnits(t, 50)
	mustRun(t, "compress prior all.jsonl -o all.vqu")
	for name, content := range map[string]string{
		"k.jsonl":      `{"name":"a","k":512,"units":[3]}`,
		"model.jsonl":  `{"name":"a","model":"ffff","units":[3]}`,
		"large.txt":    "3 16",
		"twice.txt":    "a|3\na|4\n",
		"vectors.txt":  "0.5 0.25\n1.5 2.5\n",
		"nothing.text": "what is this",
		"bar.jsonl":    `{"name":"a|b","units":[3]}`,
	} {
		writeFile(t, name, []byte(content))
	}
	mustRun(t, "compress prior bar.jsonl -o bar.vqu")
	for _, test := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"compress prior all.jsonl", exitUsage, "-o"},
		{"compress prior -o x.vqu", exitUsage, "units"},
		{"compress prior all.jsonl more -o x.vqu", exitUsage, `"more" is one argument too many`},
		{"compress prior all.jsonl -o x.vqu --format mp3", exitUsage, "mp3"},
		{"compress prior all.jsonl -o x.vqu --threads -1", exitUsage, "--threads"},
		{"compress prior all.jsonl -o all.jsonl", exitUsage, "take the place of all.jsonl"},
		{"compress prior none.jsonl -o x.vqu", exitFailure, "none.jsonl"},
		{"compress none all.jsonl -o x.vqu", exitUsage, "none is neither a safetensors file nor"},
		{"compress prior k.jsonl -o x.vqu", exitFailure, "a: the number of units is 512, the prior's is 16"},
		{"compress prior model.jsonl -o x.vqu", exitFailure, "a: the units are of model ffff, the prior is over those of"},
		{"compress prior large.txt -o x.vqu", exitFailure, "large: unit 1 is 16, of 16"},
		{"compress prior twice.txt -o x.vqu", exitFailure, "a: there are two utterances of this name"},
		{"compress prior vectors.txt -o x.vqu", exitFailure, "vectors only"},
		{"compress prior nothing.text -o x.vqu", exitFailure, "nothing.text"},
		{"decompress prior all.vqu", exitUsage, "-o"},
		{"decompress prior all.vqu -o x.vqu --format mp3", exitUsage, "mp3"},
		{"decompress prior all.vqu -o all.vqu", exitUsage, "take the place of all.vqu"},
		{"decompress prior none.vqu -o x.vqu", exitFailure, "none.vqu"},
		{"decompress prior all.jsonl -o x.vqu", exitFailure, "expected compressed units"},
		{"decompress prior bar.vqu -o x.vqu --format fairseq", exitFailure, `"|"`},
		{"decompress other all.vqu -o x.vqu", exitFailure, "all.vqu: was compressed with prior "},
		{"decompress other all.vqu -o x.vqu --recover", exitFailure, "; this is prior "},
	} {
		stdout, stderr, code := runCommand(context.Background(), test.line)
		if code != test.code || !strings.Contains(stderr, test.stderr) || stdout != "" {
			t.Errorf("%s: exit code %d, %q, %q, want %d, %q", test.line, code, stdout, stderr, test.code, test.stderr)
		}
		if left, err := filepath.Glob("*x.vqu*"); err != nil || len(left) > 0 {
			t.Errorf("%s leaves %q", test.line, left)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, line := range []string{"compress prior all.jsonl -o x.vqu", "decompress prior all.vqu -o x.vqu", "decompress prior all.vqu -o x.vqu --recover"} {
		_, stderr, code := runCommand(ctx, line)
		if left, err := filepath.Glob("*x.vqu*"); code != exitInterrupted || err != nil || len(left) > 0 {
			t.Errorf("%s, interrupted: exit code %d, %q, leaves %q", line, code, stderr, left)
		}
	}
}
