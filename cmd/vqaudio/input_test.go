package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/vqvae"
)

// TestInputs goes the whole way with models of features: train, go on, evaluate, encode, decode, convert.
func TestInputs(t *testing.T) {
	for _, c := range []struct{ name, input, flags, want string }{
		{"log-mel", vqvae.LogMel, "", "log-mel spectra of 80 bands every 10 ms\n"},
		{"centred", vqvae.LogMel, "--set centre=20 ", "log-mel spectra of 80 bands every 10 ms, less their mean shape over 0.2 s on either side\n"},
		{"mfcc", vqvae.MFCC, "", "13 MFCC with two orders of differences"},
	} {
		t.Run(c.name, func(t *testing.T) {
			input := c.input
			t.Chdir(t.TempDir())
			cache := saveCorpus(t, ".", "two", "ann", "bob")
			train := "train vqvae --corpus " + cache + " --preset tiny --out run --set input=" + input +
				" --set channels=[8,8,8] --set strides=[1,2,1] --set segment=1280 --set validation_crop=1280 " + c.flags + "--steps "
			mustRun(t, train+"20")
			if _, stderr, code := runCommand(context.Background(), train+"30"); code != exitOK || !strings.Contains(stderr, "going on from step 20") {
				t.Fatalf("exit code %d, %q", code, stderr)
			}
			if _, stderr, code := runCommand(context.Background(), strings.Replace(train+"40 --set centre=0", input, vqvae.Wave, 1)); code != exitFailure ||
				!strings.Contains(stderr, `model.encoder.input "`+input+`", now "wave"`) {
				t.Errorf("another input: exit code %d, %q", code, stderr)
			}

			var info modelInfo
			if err := json.Unmarshal([]byte(mustRun(t, "info run --json")), &info); err != nil {
				t.Fatal(err)
			}
			samples := (2+3+2*2)*160 + 400 // kernels of 3, 4 and 3, the last over strides of 2, and the window
			if input == vqvae.MFCC {
				samples += 2*4*160 + 1 // differences and pre-emphasis
			}
			if c.name == "centred" {
				samples += 2 * 20 * 160
			}
			if info.Hop != 320 || info.CodeRate != 50 || info.Encoder.Samples != samples {
				t.Errorf("hop %d, %v codes a second, a code depends on %v", info.Hop, info.CodeRate, info.Encoder)
			}
			if text := mustRun(t, "info run"); !strings.Contains(text, c.want) {
				t.Errorf("info lacks %q:\n%s", c.want, text)
			}
			evaluate := "evaluate nll run --split valid --batch 2 --corpus " + cache
			if text := mustRun(t, evaluate+" --crop 1280"); !strings.Contains(text, "crops of 1280 samples") {
				t.Errorf("%s", text)
			}
			if _, stderr, code := runCommand(context.Background(), evaluate); code != exitFailure || !strings.Contains(stderr, "no batch of 2 crops of 8320 samples") {
				t.Errorf("exit code %d, %q", code, stderr)
			}

			saveSound(t, "in/a.wav", 20001) // at 8 kHz: 40002 samples of the model
			saveSound(t, "in/b.wav", 0)
			mustRun(t, "encode run in -o units.jsonl --precision float32 --threads 1")
			mustRun(t, "encode run in -o again.jsonl --precision float32 --threads 3")
			units := readUnits(t, "units.jsonl")
			if len(units) != 2 || units[0].Len() != 126 || units[1].Len() != 0 || units[0].Hop != 320 {
				t.Errorf("%+v", units)
			}
			if content(t, "units.jsonl") != content(t, "again.jsonl") {
				t.Error("other units on three threads")
			}
			mustRun(t, "decode run units.jsonl --speaker bob -o spoken")
			if n := lengthOf([]soundFile{{name: "spoken/a.wav"}}); n != 126*0.02 {
				t.Errorf("%v s spoken", n)
			}
			mustRun(t, "convert run in/a.wav --to ann -o converted.wav")
			if n := lengthOf([]soundFile{{name: "converted.wav"}}); n != 40002./16000 {
				t.Errorf("%v s converted", n)
			}

			// Speech is given the timbre of the target: from that of a speaker, or from its own, which is the same whatever stands beside it.
			sound := map[string]string{}
			for _, flags := range []string{"", "--as-is", "--from bob", "--from ann", "--from ann:1,bob:1"} {
				mustRun(t, "convert run in/a.wav --to ann -o converted.wav "+flags)
				got := content(t, "converted.wav")
				for other, s := range sound {
					if s == got && !(flags == "--from ann" && other == "--as-is") { // from ann to ann there is nothing to adapt
						t.Errorf("%q gives the sound of %q", flags, other)
					}
				}
				sound[flags] = got
			}
			mustRun(t, "convert run in --to ann -o together --threads 2")
			if content(t, "together/a.wav") != sound[""] {
				t.Error("together with another recording the sound is another")
			}
			for flags, want := range map[string]string{"--from kim": `unknown speaker "kim"`, "--from ann --as-is": "want one of them"} {
				if _, stderr, code := runCommand(context.Background(), "convert run in/a.wav --to ann -o no.wav "+flags); code == exitOK || !strings.Contains(stderr, want) {
					t.Errorf("%s: exit code %d, %s", flags, code, stderr)
				}
			}
		})
	}
}
