package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/units"
)

// TestBottlenecks goes the whole way with a model of every kind of bottleneck: train, go on as if never interrupted, evaluate,
// encode, decode, convert.
func TestBottlenecks(t *testing.T) {
	for _, c := range []struct {
		name, flags string
		codes       int      // different ones; 0 for none
		info        []string // what info says
	}{
		{"cosine", "distance=cosine", 32, []string{"32 entries of 8 channels; by cosine distance, trained by moving average"}},
		{"groups", "groups=2", 1024, []string{"1024 of them", "2 codebooks of 32: 2 groups of 4 channels, 1 stage;"}},
		{"stages", "stages=2 codebook=loss", 1024, []string{"2 codebooks of 32: 1 group of 8 channels, 2 stages;", "trained by the loss"}},
		{"loss", "codebook=loss jitter=0.2", 32, []string{"trained by the loss", "jitter 0.2"}},
		{"vae", "kind=vae kl_warm_up=15", 0, []string{"then to 16 channels", "Gaussian with 8 channels; weight of the divergence 1 after 15 steps", "250.0 vectors a second", "KL bits"}},
		{"none", "kind=none jitter=0.2", 0, []string{"none: vectors of 8 channels; jitter 0.2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			cache := saveCorpus(t, ".", "two", "ann", "bob")
			train := "train vqvae --corpus " + cache + " --preset tiny --set sample_every=20 --set " + strings.Join(strings.Fields(c.flags), " --set ") + " --out "
			mustRun(t, train+"whole --steps 30")
			mustRun(t, train+"run --steps 20")
			if _, stderr, code := runCommand(context.Background(), train+"run --steps 30"); code != exitOK || !strings.Contains(stderr, "going on from step 20") {
				t.Fatalf("exit code %d, %q", code, stderr)
			}
			if got, want := elements(t, "run/checkpoints/step-00000030.safetensors"), elements(t, "whole/checkpoints/step-00000030.safetensors"); !slices.Equal(got, want) {
				t.Error("after an interruption the model is another one")
			}
			if text := withoutTimes(content(t, "run/metrics.jsonl")); text != withoutTimes(content(t, "whole/metrics.jsonl")) || strings.Contains(text, `"kl_bits_per_frame":0,`) == (c.name == "vae") {
				t.Errorf("metrics:\n%s\nwithout an interruption:\n%s", text, content(t, "whole/metrics.jsonl"))
			}

			for _, part := range c.info {
				if text := mustRun(t, "info run"); !strings.Contains(text, part) {
					t.Errorf("info lacks %q:\n%s", part, text)
				}
			}
			var info modelInfo
			if err := json.Unmarshal([]byte(mustRun(t, "info run --json")), &info); err != nil || (info.RawBitRate == 0) != (c.codes == 0) {
				t.Errorf("info: %v bits a second, %v", info.RawBitRate, err)
			}
			want := map[bool]string{true: "true codes", false: "true vectors"}[c.codes > 0]
			text := mustRun(t, "evaluate nll run --split valid --batch 2 --crop 1024 --corpus "+cache)
			if !strings.Contains(text, want) || strings.Contains(text, "codes used") != (c.codes > 0) || strings.Contains(text, "evidence lower bound") != (c.name == "vae") {
				t.Errorf("evaluate nll:\n%s", text)
			}

			saveSound(t, "in/a.wav", 2001) // at 8 kHz: 4002 samples of the model, 63 frames
			mustRun(t, "convert run in/a.wav --to ann -o converted.wav")
			if n := lengthOf([]soundFile{{name: "converted.wav"}}); n != 4002./16000 {
				t.Errorf("%v s converted", n)
			}
			mustRun(t, "encode run in -o vectors --format npy --vectors")
			mustRun(t, "decode run vectors --speaker bob -o fromvectors.wav")
			if c.codes == 0 {
				withoutUnits(t, c.name, cache)
				return
			}
			mustRun(t, "encode run in -o units.jsonl --threads 1")
			mustRun(t, "encode run in -o again.jsonl --threads 3")
			if content(t, "units.jsonl") != content(t, "again.jsonl") {
				t.Error("other units on three threads")
			}
			u := readUnits(t, "units.jsonl")
			if len(u) != 1 || u[0].Len() != 63 || u[0].K != c.codes {
				t.Errorf("%+v", u)
			}
			mustRun(t, "decode run units.jsonl --speaker bob -o fromunits.wav")
			if content(t, "fromvectors.wav") != content(t, "fromunits.wav") {
				t.Error("units and their vectors sound different")
			}
			if c.name == "groups" {
				mustRun(t, "speaker probe run --split valid --steps 2 --corpus "+cache)
			}
		})
	}
}

// withoutUnits checks what there is no way to do with a model that has none.
func withoutUnits(t *testing.T, kind, cache string) {
	t.Helper()
	mustRun(t, "encode run in -o implied --format npy")
	if content(t, "implied/a.npy") != content(t, "vectors/a.npy") {
		t.Error("--vectors makes a difference")
	}
	if u := readUnits(t, "vectors"); len(u) != 1 || u[0].Units != nil || u[0].Dim != 8 || u[0].Len() != 63 {
		t.Errorf("%+v", u)
	}
	w, err := units.Create("other.jsonl", units.JSONL, units.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	if err := w.Write(&units.Utterance{Name: "a", Info: units.Info{Rate: 16000, Hop: 64}, Sequence: units.Sequence{Units: []int32{1, 2}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"encode run in -o u.jsonl":                          `has no units, as its bottleneck is "` + kind + `"`,
		"encode run in -o u --format npy --dedup":           "has no units",
		"decode run other.jsonl --speaker bob -o b.wav":     `units, and the model has none: as its bottleneck is "` + kind + `"`,
		"speaker probe run --split valid --corpus " + cache: "the model has no codes",
	} {
		if _, stderr, code := runCommand(context.Background(), command); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q", command, code, stderr)
		}
	}
	if _, err := os.Stat("u.jsonl"); err == nil {
		t.Error("units are written")
	}
}

// elements returns all elements of a checkpoint, those of training too.
func elements(t *testing.T, name string) []float32 {
	t.Helper()
	f, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	var all []float32
	for _, p := range slices.Concat(f.Model.Parameters(), f.Model.State(), f.State) {
		all = append(all, p.Value.Data...)
	}
	return all
}

// withoutTimes returns metrics without the seconds at the ends of their lines.
func withoutTimes(metrics string) string {
	lines := strings.Split(metrics, "\n")
	for i, l := range lines {
		lines[i], _, _ = strings.Cut(l, `,"seconds":`)
	}
	return strings.Join(lines, "\n")
}
