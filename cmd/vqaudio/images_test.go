package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
)

// savePictures writes PNG files of grey spots of several sizes, for training, validation and the test, below dir.
func savePictures(t *testing.T, dir string) {
	t.Helper()
	for split, n := range map[string]int{"train": 40, "valid": 6, "test": 7} {
		if err := os.MkdirAll(filepath.Join(dir, split), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			m := image.NewGray(image.Rect(0, 0, 20, 24))
			for y := range 24 {
				for x := range 20 {
					dx, dy := float64(x-(i*7+n)%20), float64(y-i*5%24)
					m.SetGray(x, y, color.Gray{Y: uint8(30 + 200*math.Exp(-(dx*dx+dy*dy)/20))})
				}
			}
			f, err := os.Create(filepath.Join(dir, split, fmt.Sprintf("%d.png", i)))
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, m); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestImages goes from files of pictures to a model, its figures and a grid of reconstructions.
func TestImages(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	savePictures(t, at("pictures"))
	if err := os.WriteFile(at("pictures/train/broken.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	wave, sound := at("wave.safetensors"), saveCorpus(t, dir, "sound", "ann", "bob")
	if _, stderr, code := runCommand(context.Background(), "train vqvae --preset tiny --steps 1 --corpus "+sound+" --out "+at("soundrun")); code != exitOK {
		t.Fatal(stderr)
	}
	if _, stderr, code := runCommand(context.Background(), "export "+at("soundrun")+" -o "+wave); code != exitOK {
		t.Fatal(stderr)
	}
	small := " --preset image --set height=16 --set width=16 --set image.channels=1 --set layers=[16,16] --set blocks=1 --set hidden=16 --set entries=8 --set batch=4 --set dim=8 "
	for _, test := range []struct {
		line           string
		code           int
		stdout, stderr string // parts; "" for nothing at all
	}{
		{"train vqvae --corpus " + at("pictures") + " --out " + at("run") + small + "--steps 8 --threads 1", exitOK, "8 steps, 32 pictures, ", "bits/dim"},
		{"train vqvae --corpus " + at("pictures") + " --out " + at("run") + " --steps 12", exitOK, "12 steps, 48 pictures, ", "1 picture cannot be read"},
		{"train vqvae --corpus " + at("pictures") + " --out " + at("run") + " --preset tiny --steps 12", exitFailure, "", "cache"},
		{"train vqvae --corpus " + sound + " --out " + at("other") + small + "--steps 1", exitFailure, "", "has no pictures"},
		{"train vqvae --corpus " + at("none") + " --out " + at("other") + small + "--steps 1", exitFailure, "", "none"},
		{"train vqvae --print --preset image --set depth=3", exitUsage, "", "no key"},
		{"train vqvae --print --preset image", exitOK, `"mixture": 10`, ""},
		{"info " + at("run"), exitOK, "16 x 16 pixels, grey, 256 levels", ""},
		{"info " + at("run"), exitOK, "a map of 4 x 4, 16.00 codes and 48.00 bits a picture", ""},
		{"info " + at("run"), exitOK, "one everywhere, bits/dim with true ones", ""},
		{"info " + at("run") + " --json", exitOK, `"code_rate":16`, ""},
		{"evaluate nll " + at("run") + " --corpus " + at("pictures") + " --png " + at("grid.png"), exitOK, "test: 7 pictures of 16 x 16 pixels, grey\n", "1 picture cannot be read"},
		{"evaluate nll " + at("run") + " --corpus " + at("pictures") + " --split valid --batch 3 --threads 2", exitOK, "for the codes under a uniform prior", "1 picture cannot be read"},
		{"evaluate nll " + at("run") + " --corpus " + at("pictures") + " --split all", exitUsage, "", "--split all"},
		{"evaluate nll " + at("run") + " --corpus " + at("pictures") + " --crop 64", exitUsage, "", "--crop"},
		{"evaluate nll " + at("run") + " --corpus " + at("pictures") + " --batch 5000", exitUsage, "", "--batch 5000"},
		{"evaluate nll " + at("run/best.safetensors") + " --corpus " + at("pictures") + " --png " + at("run/best.safetensors"), exitUsage, "", "take the place"},
		{"evaluate nll " + at("run") + " --corpus " + sound, exitFailure, "", "has no pictures"},
		{"evaluate nll " + wave + " --corpus " + sound + " --split valid --png x.png", exitUsage, "", "no model of pictures"},
		{"evaluate nll " + wave + " --corpus " + at("pictures"), exitFailure, "", "cache"},
		{"encode " + at("run") + " " + at("sound-ann-1.wav") + " -o " + at("units.jsonl"), exitFailure, "", "is a model of pictures"},
		{"decode " + at("run") + " " + at("units.jsonl") + " -o " + at("x.wav"), exitFailure, "", "is a model of pictures"},
		{"convert " + at("run") + " " + at("sound-ann-1.wav") + " --to ann -o " + at("x.wav"), exitFailure, "", "is a model of pictures"},
		{"speaker list " + at("run"), exitFailure, "", "is a model of pictures"},
		{"speaker enrol " + at("run") + " " + at("sound-ann-1.wav") + " --name eve -o " + at("e.safetensors"), exitFailure, "", "is a model of pictures"},
		{"speaker probe " + at("run") + " --corpus " + sound, exitFailure, "", "is a model of pictures"},
		{"evaluate conversion " + at("run") + " --corpus " + sound, exitFailure, "", "is a model of pictures"},
		{"export " + at("run") + " -o " + at("model.safetensors"), exitOK, "fingerprint", ""},
	} {
		stdout, stderr, code := runCommand(context.Background(), test.line)
		if code != test.code {
			t.Errorf("%s: exit code %d, want %d:\n%s", test.line, code, test.code, stderr)
		}
		if (test.stdout == "") != (stdout == "") || !strings.Contains(stdout, test.stdout) {
			t.Errorf("%s prints %q, want %q", test.line, stdout, test.stdout)
		}
		if (test.stderr == "") != (stderr == "") || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s reports %q, want %q", test.line, stderr, test.stderr)
		}
	}
	if m, err := checkpoint.Load(at("model.safetensors"), dilated.Float32); err != nil || m.Model.Config.Image == nil {
		t.Errorf("the exported model: %v", err)
	}
	f, err := os.Open(at("grid.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if grid, err := png.Decode(f); err != nil || grid.Bounds().Dx() != 2*(2*64+2+12)+12 {
		t.Errorf("the grid: %v", err)
	}
	stdout, _, _ := runCommand(context.Background(), "evaluate nll "+at("run")+" --corpus "+at("pictures")+" --json")
	var r nllReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Crops != 7 || r.Crop != 256 || r.Bits == nil || r.Bits.Codes != 16*3/256. {
		t.Errorf("%s: %v", stdout, err)
	}
}
