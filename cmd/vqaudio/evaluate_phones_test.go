package main

import (
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
)

// savePhones writes recordings of the speakers of saveVoices with a manifest, and alignments of all but one of them.
func savePhones(t *testing.T) {
	t.Helper()
	manifest, table := "path\tspeaker\tsplit\n", "path\tstart\tdur\tphone\n"
	for i := range 9 {
		name := fmt.Sprintf("in/ann/%d.wav", i)
		saveSound(t, name, 3000+100*i)
		manifest += fmt.Sprintf("%s\tann\t%s\n", name, []string{corpora.Train, corpora.Train, corpora.Test}[i%3])
		if i == 4 {
			continue
		}
		for k, phone := range strings.Fields("SIL K AE T SIL") {
			table += fmt.Sprintf("ann/%d.flac\t%.3f\t0.070\t%s\n", i, 0.01+0.07*float64(k), phone)
		}
	}
	writeFile(t, "manifest.tsv", []byte(manifest))
	writeFile(t, "phones.tsv", []byte(table))
}

func TestEvaluatePhones(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	saveVoices(t, ".")
	savePhones(t)
	mustRun(t, "corpus prepare manifest.tsv -o whole.cache --rate 8000 --trim 0")
	mustRun(t, "corpus prepare manifest.tsv -o cut.cache --rate 8000")

	const line = "evaluate phones model.safetensors --corpus whole.cache --alignments phones.tsv"
	text := mustRun(t, line+" --png p.png")
	for _, want := range []string{
		"scored on test: 3 utterances, 1.3 s", "map made of train: 5 utterances", "1 without an alignment left out", "silence and fillers (SIL) counted: 4 classes",
		"accuracy ", "phone purity ", "cluster purity ", "PNMI ", "k-means: ", "of 16 codes used", "taken for", "\nAE ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	f, err := os.Open("p.png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if drawn, err := png.Decode(f); err != nil || drawn.Bounds().Dx() != 1200 {
		t.Errorf("the picture: %v", err)
	}

	var r phonesReport
	out := mustRun(t, line+" --threads 1 --json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Split.Utterances != 3 || r.Fit.Unaligned != 1 || r.PhoneReport.Model.All.Classes != 4 || r.PhoneReport.Model.Speech.Classes != 3 || len(r.PhoneReport.Model.Phones) != 4 || r.KMeans.Entries != 16 {
		t.Errorf("%s", out)
	}
	if again := mustRun(t, line+" --threads 3 --json"); again != out {
		t.Errorf("on three threads:\n%s\non one:\n%s", again, out)
	}
	if out := mustRun(t, line+" --kmeans 0 --silence T,SIL"); strings.Contains(out, "k-means") || !strings.Contains(out, "(SIL, T) counted") {
		t.Error(out)
	}

	// recordings instead of a cache
	writeFile(t, "in/ann/broken.wav", []byte("no sound"))
	writeFile(t, "more.tsv", []byte(string(readFile(t, "manifest.tsv"))+"in/ann/broken.wav\tann\ttest\n"))
	direct, stderr, code := runCommand(t.Context(), strings.Replace(line, "whole.cache", "more.tsv", 1)+" --json")
	if code != exitOK || !strings.Contains(stderr, "1 recording left out") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if want := strings.Replace(out, "whole.cache", "more.tsv", 1); direct != want {
		t.Errorf("from recordings:\n%s\nfrom the cache:\n%s", direct, want)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	for _, c := range []struct {
		line, want string
		code       int
	}{
		{strings.Replace(line, "whole", "cut", 1), "--trim 0", exitFailure},
		{strings.Replace(line, "whole.cache", "nowhere", 1), "nowhere", exitFailure},
		{strings.Replace(line, "phones.tsv", "manifest.tsv", 1), "manifest.tsv: line 1", exitFailure},
		{line + " --png nowhere/p.png", "nowhere", exitFailure},
		{line + " --kmeans 100000", "--kmeans", exitUsage},
		{line + " --kmeans 9999", "clusters of", exitFailure},
		{line + " --split train", "two splits", exitUsage},
		{line + " --fit all", "--fit", exitUsage},
		{line + " --precision float8", "--precision", exitUsage},
		{"evaluate phones model.safetensors --corpus whole.cache", "--alignments", exitUsage},
	} {
		if _, stderr, code := runCommand(t.Context(), c.line); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d: %s", c.line, code, stderr)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind after errors: %v, %v", left, err)
	}
}
