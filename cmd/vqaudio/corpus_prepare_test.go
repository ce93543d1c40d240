package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
)

func TestCorpusPrepare(t *testing.T) {
	dir := t.TempDir()
	m := &corpora.Manifest{Dir: dir}
	for _, name := range []string{"a.wav", "b.wav"} {
		m.Utterances = append(m.Utterances, corpora.Utterance{Path: name, Speaker: "x", Seconds: -1, Frames: -1, SourceRate: -1})
		w, err := audio.Create(filepath.Join(dir, name), audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16)
		if err != nil {
			t.Fatal(err)
		}
		block := make([]float64, 8000)
		for i := range block {
			block[i] = float64(i%50)/100 - 0.25
		}
		if err := w.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	good, bad := filepath.Join(dir, "good.tsv"), filepath.Join(dir, "bad.tsv")
	if err := m.Write(good); err != nil {
		t.Fatal(err)
	}
	m.Utterances = append(m.Utterances, corpora.Utterance{Path: "good.tsv", Speaker: "x", Seconds: -1, Frames: -1, SourceRate: -1})
	if err := m.Write(bad); err != nil {
		t.Fatal(err)
	}
	cache, cache2 := filepath.Join(dir, "cache"), filepath.Join(dir, "cache2")
	for _, test := range []struct {
		line           string
		code           int
		stdout, stderr string // parts; "" for nothing at all
	}{
		{good + " -o " + cache, exitOK, "2 utterances, 0.00 hours, 1 speaker, 0.1 MB", ""},
		{good + " -o " + cache, exitOK, "was there already, whole", ""},
		{good + " -o " + cache + " --rate 8000", exitFailure, "", "rate 16000, now 8000"},
		{"-o " + cache2 + " " + bad + " --level file --target=-20 --channel 1 --trim 0 --threads 1 --rate 8000", exitFailure, "2 utterances", "good.tsv"},
		{bad, exitUsage, "", "-o"},
		{"-o " + cache, exitUsage, "", "one manifest"},
		{good + " " + bad + " -o " + cache, exitUsage, "", "one manifest"},
		{good + " -o x --channel 0", exitUsage, "", `--channel "0"`},
		{good + " -o x --channel left", exitUsage, "", `--channel "left"`},
		{good + " -o x --channel 1x", exitUsage, "", `--channel "1x"`},
		{good + " -o x --rate 0", exitUsage, "", "--rate 0"},
		{good + " -o x --level loud", exitUsage, "", `--level "loud"`},
		{good + " -o x --target 3", exitUsage, "", "--target 3"},
		{good + " -o x --threads=-1", exitUsage, "", "--threads -1"},
		{filepath.Join(dir, "a.wav") + " -o x", exitFailure, "", "a.wav"},
		{filepath.Join(dir, "none.tsv") + " -o x", exitFailure, "", "none.tsv"},
	} {
		stdout, stderr, code := runCommand(context.Background(), "corpus prepare "+test.line)
		if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) ||
			test.stdout == "" && stdout != "" || test.stderr == "" && stderr != "" {
			t.Errorf("%s: exit code %d, want %d\n%s%s", test.line, code, test.code, stdout, stderr)
		}
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("a wrong command line has made a folder")
	}
	skipped, err := os.ReadFile(filepath.Join(cache2, "skipped.tsv"))
	if err != nil || !strings.Contains(string(skipped), "\ngood.tsv\t") {
		t.Errorf("skipped.tsv: %q, %v", skipped, err)
	}
	c, err := corpora.OpenCache(cache2)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Rate() != 8000 || c.Utterances()[1].Samples != 8000 {
		t.Errorf("%d Hz, %+v", c.Rate(), c.Utterances())
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	interrupted := filepath.Join(dir, "interrupted")
	if _, _, code := runCommand(ctx, "corpus prepare "+good+" -o "+interrupted); code != exitInterrupted {
		t.Errorf("interrupted: exit code %d", code)
	}
	if _, _, code := runCommand(context.Background(), "corpus prepare "+good+" -o "+interrupted); code != exitOK {
		t.Errorf("afterwards: exit code %d", code)
	}
}
