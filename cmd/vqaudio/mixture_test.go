package main

import (
	"context"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
)

// TestMixture goes the whole way with a model whose decoder is a mixture of logistics: train, go on, evaluate, encode, decode,
// convert.
func TestMixture(t *testing.T) {
	t.Chdir(t.TempDir())
	cache := saveCorpus(t, ".", "two", "ann", "bob")
	train := "train vqvae --corpus " + cache + " --preset tiny --out run --set mixture=10 --set levels=65536 --steps "
	mustRun(t, train+"20")
	if _, stderr, code := runCommand(context.Background(), train+"30"); code != exitOK || !strings.Contains(stderr, "going on from step 20") {
		t.Fatalf("exit code %d, %q", code, stderr)
	}
	if _, stderr, code := runCommand(context.Background(), strings.Replace(train, "65536", "256", 1)+"40"); code == exitOK ||
		!strings.Contains(stderr, "levels 256: want 65536 with a mixture") {
		t.Errorf("256 levels: exit code %d, %q", code, stderr)
	}
	if text := mustRun(t, "info run"); !strings.Contains(text, "65536 linear levels") {
		t.Errorf("info:\n%s", text)
	}
	if text := mustRun(t, "evaluate nll run --split valid --batch 2 --crop 1024 --corpus "+cache); !strings.Contains(text, "nats per sample") {
		t.Errorf("evaluate nll:\n%s", text)
	}

	saveSound(t, "a.wav", 2001) // at 8 kHz: 4002 samples of the model
	mustRun(t, "encode run a.wav -o units.jsonl")
	mustRun(t, "decode run units.jsonl --speaker bob -o spoken.wav")
	mustRun(t, "decode run units.jsonl --speaker bob -o again.wav")
	if content(t, "spoken.wav") != content(t, "again.wav") {
		t.Error("the same seed gives other sound")
	}
	mustRun(t, "convert run a.wav --to ann -o converted.wav")
	for name, want := range map[string]int{"spoken.wav": 4032, "converted.wav": 4002} { // 63 codes
		r, err := audio.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := audio.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		different := make(map[float64]bool)
		for _, x := range b.Data {
			different[x] = true
		}
		if len(b.Data) != want || len(different) < 1000 { // of 256 levels there are no more than that
			t.Errorf("%s: %d samples, want %d; %d different ones", name, len(b.Data), want, len(different))
		}
	}
}
