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

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
)

// makeCorpus makes a folder with seven recordings of two speakers, one of them not a recording.
func makeCorpus(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for i, name := range []string{"ann/1.wav", "ann/2.wav", "ann/3.wav", "ann/4.wav", "ann/5.wav", "ann/6.wav", "bob/1.wav"} {
		var b bytes.Buffer
		w, err := audio.NewWriter(&b, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16, 400)
		if err != nil {
			t.Fatal(err)
		}
		block := make([]float64, 400)
		for j := range block {
			block[j] = 0.5 * math.Sin(float64((i+1)*j)/20)
		}
		if err := w.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, filepath.FromSlash(name)), b.Bytes())
	}
	writeFile(t, filepath.Join(folder, "bob", "no\nsound.wav"), []byte("no sound"))
	return folder
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCorpusScan(t *testing.T) {
	folder := makeCorpus(t)
	stdout, stderr, code := runCommand(context.Background(), "corpus scan "+folder)
	if code != exitFailure || stderr != "vqaudio: 1 recording left out of the manifest\n" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	name := filepath.Join(folder, "manifest.tsv")
	for _, part := range []string{
		folder + ", layout folders: 7 of 8 recordings can be used\nmanifest written to " + name + "\n",
		"rate      8000 Hz                 7       0.00 100.0 %\n",
		"2 speakers; minutes each: 0.0 to 0.0, median 0.0; RMS from ",
		"error: bad name, 1, left out\n   \"bob/no\\nsound.wav\": ",
		"warning: short, 7\n   ann/1.wav: 0.050 s\n", "   and 2 more (--all lists them)\n",
	} {
		if !strings.Contains(stdout, part) {
			t.Errorf("%q is not in\n%s", part, stdout)
		}
	}
	m, err := corpora.ReadManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Utterances) != 7 || m.Utterances[6].Path != "bob/1.wav" || m.Utterances[6].Frames != 400 {
		t.Errorf("%+v", m.Utterances)
	}

	// A second scan takes the manifest for what it is, and leaves it alone; it also finds what is not in it.
	stdout, stderr, code = runCommand(context.Background(), "corpus scan --min-seconds 0.05 "+folder)
	if code != exitOK || stderr != "" || strings.Contains(stdout, "written") || strings.Contains(stdout, "short") ||
		!strings.Contains(stdout, "layout manifest: 7 of 7") || !strings.Contains(stdout, "note: not listed, 1\n") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	stdout, _, _ = runCommand(context.Background(), "corpus scan --all --layout folders -o "+name+" "+folder)
	if strings.Contains(stdout, "more") || !strings.Contains(stdout, "bob/1.wav: 0.050 s") {
		t.Errorf("--all prints %s", stdout)
	}
}

func TestCorpusScanJSON(t *testing.T) {
	folder := makeCorpus(t)
	name := filepath.Join(t.TempDir(), "out.tsv")
	var texts []string
	for _, threads := range []string{"1", "3"} {
		stdout, _, code := runCommand(context.Background(), "corpus scan "+folder+" --json --layout folders --pattern {speaker}/*.wav --threads "+threads+" -o "+name)
		if code != exitFailure {
			t.Errorf("exit code %d", code)
		}
		texts = append(texts, stdout)
	}
	if texts[0] != texts[1] {
		t.Errorf("one thread prints\n%sthree\n%s", texts[0], texts[1])
	}
	var got struct {
		Manifest, Layout string
		Utterances       int
		LeftOut          int `json:"left_out"`
		Seconds          float64
		Splits, Rates    []corpora.Part
		Speakers         []corpora.Speaker
		Problems         []corpora.Problem
	}
	if err := json.Unmarshal([]byte(texts[0]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Manifest != name || got.Layout != "folders" || got.Utterances != 7 || got.LeftOut != 1 || math.Abs(got.Seconds-0.35) > 1e-9 ||
		len(got.Rates) != 1 || len(got.Speakers) != 2 || got.Speakers[0].Utterances != 6 || len(got.Problems) != 8 {
		t.Errorf("%+v", got)
	}
	m, err := corpora.ReadManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	if m.File(0) != filepath.Join(folder, "ann", "1.wav") {
		t.Errorf("%s, in another folder, lists %s", name, m.File(0))
	}
}

func TestCorpusScanRefuses(t *testing.T) {
	folder, empty, other := makeCorpus(t), t.TempDir(), t.TempDir()
	manifest := filepath.Join(other, "m.tsv")
	writeFile(t, manifest, []byte("path\tspeaker\n"+filepath.ToSlash(filepath.Join(folder, "ann", "1.wav"))+"\tann\n"))
	writeFile(t, filepath.Join(other, "bad.tsv"), []byte("path\tspeaker\nx\n"))
	made := filepath.Join(t.TempDir(), "manifest.tsv")
	writeFile(t, made, []byte("mine"))
	for _, test := range []struct {
		line   string
		code   int
		stderr []string
	}{
		{"", exitUsage, []string{"one folder or manifest", "hint: vqaudio corpus scan --help"}},
		{folder + " " + empty, exitUsage, []string{"one folder or manifest"}},
		{"--layout vctk2 " + folder, exitUsage, []string{"vctk2", "lists the layouts"}},
		{"--mic 3 " + folder, exitUsage, []string{"--mic 3"}},
		{"--min-seconds -1 " + folder, exitUsage, []string{"--min-seconds -1"}},
		{"--threads 0 " + folder, exitUsage, []string{"--threads 0"}},
		{"--pattern {who} " + folder, exitUsage, []string{"{who} is none of {speaker}"}},
		{"--pattern {speaker} " + manifest, exitUsage, []string{"is for plain folders"}},
		{"-o " + manifest + " " + manifest, exitUsage, []string{"is the manifest that is scanned"}},
		{"-o " + filepath.Join(empty, "none", "x") + " " + folder, exitUsage, []string{"no such file", "-o FILE"}},
		{"--layout folders " + filepath.Dir(made), exitUsage, []string{"exists", "-o " + made + " replaces it"}},
		{empty, exitFailure, []string{"no recordings found; the layouts are vctk, "}},
		{filepath.Join(empty, "none"), exitFailure, []string{"no such file"}},
		{filepath.Join(other, "bad.tsv"), exitFailure, []string{"bad.tsv: line 2: found 1 column, expected 2"}},
		{"--layout vctk " + folder, exitFailure, []string{"no folder wav48"}},
	} {
		stdout, stderr, code := runCommand(context.Background(), "corpus scan "+test.line)
		if code != test.code || stdout != "" {
			t.Errorf("corpus scan %s: exit code %d, want %d, prints %q, %q", test.line, code, test.code, stdout, stderr)
		}
		for _, part := range test.stderr {
			if !strings.Contains(stderr, part) {
				t.Errorf("corpus scan %s: %q is not in %q", test.line, part, stderr)
			}
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, stderr, code := runCommand(ctx, "corpus scan "+folder)
	if code != exitInterrupted || stderr != "vqaudio: interrupted\n" {
		t.Errorf("interrupted: exit code %d, %q", code, stderr)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("interrupted, left behind: %v, %v", left, err)
	}
}
