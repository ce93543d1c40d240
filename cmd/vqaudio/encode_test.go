package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/units"
)

// readUnits reads all utterances of a file or folder.
func readUnits(t *testing.T, name string) []*units.Utterance {
	t.Helper()
	r, err := units.Open(name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []*units.Utterance
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
}

// content returns what is in a file, or in all files of a folder.
func content(t *testing.T, name string) string {
	t.Helper()
	var s strings.Builder
	if err := filepath.WalkDir(name, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			s.WriteString(strings.TrimPrefix(path, name) + "\n")
			s.Write(readFile(t, path))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return s.String()
}

func TestEncode(t *testing.T) {
	t.Chdir(t.TempDir())
	model := saveVoices(t, ".").With(dilated.Float32)
	front, err := frontend.New(model.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"in/a.wav": 1005, "in/b/c.wav": 333, "in/b/d.e.wav": 16, "in/empty.wav": 0, "in/long.wav": 20000} {
		saveSound(t, name, n)
	}
	stdout := mustRun(t, "encode model.safetensors in -o all.jsonl --precision float32 --json")
	var report map[string]any
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	all := readUnits(t, "all.jsonl")
	seconds, frames, counts := float64(1005+333+16+20000)/8000, 0, map[int32]bool{}
	for i, name := range []string{"a", "b/c", "b/d.e", "empty", "long"} {
		u := all[i]
		if u.Name != name || u.Rate != 8000 || u.Hop != 16 || u.K != 16 || u.Model != checkpoint.Fingerprint(model) {
			t.Errorf("utterance %d: %+v", i, u)
		}
		r, err := openRecording(t.Context(), "in/"+name+".wav", 8000, model.Config.Level)
		if err != nil {
			t.Fatal(err)
		}
		sound, err := audio.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var samples []float32
		for _, x := range sound.Data {
			samples = append(samples, float32(x))
		}
		batch := front.NewBatch(1, len(samples))
		front.Fill(&batch, samples)
		if want := model.Codes(new(tensor.Arena), batch.Input); !slices.Equal(u.Units, want) {
			t.Errorf("%s: units %v, want %v", name, u.Units, want)
		}
		frames += u.Len()
		for _, k := range u.Units {
			counts[k] = true
		}
	}
	for key, want := range map[string]any{"files": 5.0, "failed": 0.0, "seconds": seconds, "used": float64(len(counts)),
		"entries": 16.0, "code_rate": float64(frames) / seconds, "raw_bit_rate": 4 * float64(frames) / seconds} {
		if report[key] != want {
			t.Errorf("%s: %v, want %v", key, report[key], want)
		}
	}

	// The same in every format, and on any number of threads.
	for _, f := range units.Formats() {
		for _, flags := range []string{"", " --dedup", " --vectors", " --dedup --vectors"} {
			if strings.Contains(flags, "vectors") && !f.Vectors() {
				continue
			}
			mustRun(t, "encode model.safetensors in -o one --threads 1 --precision float32 --format "+string(f)+flags)
			mustRun(t, "encode model.safetensors in -o three --threads 3 --precision float32 --format "+string(f)+flags)
			if content(t, "one") != content(t, "three") {
				t.Errorf("%s%s depends on the number of threads", f, flags)
			}
			if strings.Contains(flags, "vectors") {
				d := model.Config.Bottleneck.Dim
				for i, u := range readUnits(t, "one") {
					if i == 1 && flags == " --vectors" { // b/c
						if want := model.Embed(new(tensor.Arena), all[1].Units, 1).Data; u.Dim != d || !slices.Equal(u.Vectors, want) {
							t.Errorf("%s: vectors %v, want %v", f, u.Vectors, want)
						}
					}
				}
			} else {
				mustRun(t, "units convert all.jsonl -o converted --to "+string(f)+flags)
				if content(t, "one") != content(t, "converted") {
					t.Errorf("%s%s is not what units convert makes of JSON", f, flags)
				}
			}
			for _, name := range []string{"one", "three", "converted"} {
				if err := os.RemoveAll(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestEncodeStandardStreams: what comes through pipes is what a file gives.
func TestEncodeStandardStreams(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "-.wav", 20000)
	for _, f := range []string{"jsonl", "npy --vectors"} {
		want := mustRun(t, "encode model.safetensors ./-.wav -o - --format "+f)
		in, err := os.Open("-.wav")
		if err != nil {
			t.Fatal(err)
		}
		stdin := os.Stdin
		os.Stdin = in
		got, stderr, code := runCommand(context.Background(), "encode model.safetensors - -o - --format "+f)
		os.Stdin = stdin
		in.Close()
		if code != exitOK || got != want || want == "" || !strings.Contains(stderr, "1 utterance") {
			t.Errorf("%s: exit code %d, %q, %d bytes, want %d", f, code, stderr, len(got), len(want))
		}
	}
}

// TestEncodeBroken: what cannot be read is reported, and leaves no trace; the rest is there.
func TestEncodeBroken(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	for _, name := range []string{"in/a.wav", "in/c.wav", "in/d|e.wav"} {
		saveSound(t, name, 500)
	}
	if err := os.WriteFile("in/b.wav", []byte("RIFF....WAVE"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "encode model.safetensors in/a.wav in/c.wav -o want --format fairseq")
	stdout, stderr, code := runCommand(context.Background(), "encode model.safetensors in -o got --format fairseq")
	if code != exitFailure || !strings.Contains(stderr, "failed: in/b.wav: ") || !strings.Contains(stderr, `failed: in/d|e.wav: name "d|e"`) ||
		!strings.Contains(stderr, "2 of 4 recordings failed") || !strings.Contains(stdout, "2 utterances") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if got, want := content(t, "got"), content(t, "want"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	stdout, stderr, code = runCommand(context.Background(), "encode model.safetensors in/b.wav -o none")
	if _, err := os.Stat("none"); code != exitFailure || err == nil || stdout != "" {
		t.Errorf("nothing can be read: exit code %d, %q, %q, %v", code, stdout, stderr, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "a.wav", 100)
	for _, name := range []string{"b/a.wav", "c/a.wav", "c/b.wav"} {
		saveSound(t, name, 100)
	}
	if err := os.Mkdir("nothing", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"encode model.safetensors a.wav", exitUsage, "-o"},
		{"encode model.safetensors -o out", exitUsage, "recordings"},
		{"encode model.safetensors a.wav -o out --format mp3", exitUsage, "zerospeech, "},
		{"encode model.safetensors a.wav -o out --vectors", exitUsage, "jsonl holds no vectors"},
		{"encode model.safetensors a.wav -o out --level loud", exitUsage, "--level"},
		{"encode model.safetensors a.wav -o out --precision half", exitUsage, "half"},
		{"encode model.safetensors a.wav -o a.wav", exitUsage, "would take the place of a.wav"},
		{"encode model.safetensors a.wav -o model.safetensors", exitUsage, "would take the place of model.safetensors"},
		{"encode model.safetensors c -o - --format npy", exitUsage, "several recordings do not go to standard output"},
		{"encode model.safetensors a.wav b/a.wav -o out", exitUsage, "both be called a"},
		{"encode model.safetensors nothing -o out", exitFailure, "no file in this folder"},
		{"encode none.safetensors a.wav -o out", exitFailure, "none.safetensors"},
		{"encode model.safetensors a.wav -o none/out", exitFailure, "none"},
		{"units convert a.wav --to npy -o out", exitFailure, "a.wav: line 1: found"},
		{"units convert model.safetensors --to npy", exitUsage, "-o"},
		{"units convert none --to npy -o out", exitFailure, "none"},
		{"units convert a.wav --to mp3 -o out", exitUsage, "--to"},
		{"units convert a.wav --from mp3 --to npy -o out", exitUsage, "--from"},
		{"units convert a.wav --to tsv --vectors -o out", exitUsage, "tsv holds no vectors"},
		{"units convrt", exitUsage, `"convrt"`},
	} {
		before := content(t, ".")
		_, stderr, code := runCommand(context.Background(), c.line)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("vqaudio %s: exit code %d, %q, want %d and %q", c.line, code, stderr, c.code, c.want)
		}
		if content(t, ".") != before {
			t.Errorf("vqaudio %s leaves something behind", c.line)
		}
	}
}

// TestEncodeBehindDashes: what follows -- is no flag, whatever stands before it.
func TestEncodeBehindDashes(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	for _, name := range []string{"-a.wav", "b.wav"} {
		saveSound(t, name, 100)
	}
	for _, line := range []string{"encode model.safetensors b.wav -o out -- -a.wav", "encode -o out -- model.safetensors b.wav -a.wav"} {
		mustRun(t, line)
		if all := readUnits(t, "out"); len(all) != 2 || all[1].Name != "-a" {
			t.Errorf("%s: %d utterances", line, len(all))
		}
	}
}

// TestEncodeInterrupted: what is not complete is not there.
func TestEncodeInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	for _, name := range []string{"in/a.wav", "in/b.wav", "in/c.wav"} {
		saveSound(t, name, 300_000)
	}
	mustRun(t, "encode model.safetensors in -o whole --format zerospeech")
	for _, f := range []string{"zerospeech", "jsonl"} {
		for _, after := range []time.Duration{0, 10 * time.Millisecond, 40 * time.Millisecond} {
			ctx, cancel := context.WithCancel(context.Background())
			if after == 0 {
				cancel()
			}
			timer := time.AfterFunc(after, cancel)
			stdout, stderr, code := runCommand(ctx, "encode model.safetensors in -o out --format "+f)
			timer.Stop()
			cancel()
			if code == exitOK && after > 0 { // a fast machine
				if err := os.RemoveAll("out"); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if code != exitInterrupted || stdout != "" {
				t.Errorf("%s after %v: exit code %d, %q, %q", f, after, code, stdout, stderr)
			}
			err := filepath.WalkDir("out", func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				relative := strings.TrimPrefix(path, "out")
				if !bytes.Equal(readFile(t, path), readFile(t, "whole"+relative)) {
					t.Errorf("%s is half-written", path)
				}
				return nil
			})
			if err != nil && !(f == "jsonl" && os.IsNotExist(err)) {
				t.Error(err)
			}
			if err := os.RemoveAll("out"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestUnitsConvert goes through all formats, which hold the units, and back.
func TestUnitsConvert(t *testing.T) {
	t.Chdir(t.TempDir())
	const jsonl = `{"name":"a","rate":8000,"hop":16,"k":9,"model":"d0","units":[8,8,0],"durations":[1,1,1]}` + "\n" +
		`{"name":"b/c","rate":8000,"hop":16,"k":9,"model":"d0","units":[3],"durations":[1]}` + "\n"
	if err := os.WriteFile("0.jsonl", []byte(jsonl), 0o600); err != nil {
		t.Fatal(err)
	}
	from := "0.jsonl"
	for _, to := range []string{"tsv", "jsonl", "fairseq", "npy", "zerospeech2021", "zerospeech", "text", "fairseq"} {
		stdout := mustRun(t, "units convert "+from+" --to "+to+" -o "+to+".out")
		if !strings.Contains(stdout, "2 utterances") {
			t.Errorf("%s: %q", to, stdout)
		}
		if to == "jsonl" && content(t, "jsonl.out") != "\n"+jsonl {
			t.Errorf("by way of TSV: %s", content(t, "jsonl.out"))
		}
		from = to + ".out"
	}
	if got := mustRun(t, "units convert fairseq.out --to fairseq --dedup -o -"); got != "a|8 0\nb/c|3\n" {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile("out", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("bad", []byte("a|1\nb|x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := runCommand(context.Background(), "units convert bad --to tsv -o out"); code != exitFailure ||
		!strings.Contains(stderr, `bad: line 2: found "x"`) || content(t, "out") != "\nold" {
		t.Errorf("exit code %d, %q, %q", code, stderr, content(t, "out"))
	}
}
