package demo

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio"
	"github.com/vqaudio/vqaudio/internal/page/browser"
)

// The demo, with a recording of the user's, looked at in a browser where there is one.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	c, err := readSpeech("tools")
	if err != nil {
		t.Fatal(err)
	}
	c.Samples = c.Samples[:c.Rate]
	mine := filepath.Join(dir, `mine "&<b>.wav`)
	if err := c.WriteFile(mine); err != nil {
		t.Fatal(err)
	}
	name, err := Write(t.Context(), Options{Recordings: []string{mine}, Folder: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	wavs, err := filepath.Glob(filepath.Join(dir, "out", "*.wav"))
	if err != nil {
		t.Fatal(err)
	}
	var want []float64 // seconds of the players, as they should be
	html, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(html), "<audio"); n != len(wavs) || n < 20 {
		t.Errorf("%d players, and %d files", n, len(wavs))
	}
	for _, wav := range wavs {
		made, err := vqaudio.ReadClip(wav)
		if err != nil {
			t.Fatal(err)
		}
		loudest := 0.0
		for _, x := range made.Samples {
			loudest = max(loudest, math.Abs(x))
		}
		if loudest < 0.01 || made.Seconds() < 0.5 {
			t.Errorf("%s: %.2f s, at most %v loud", wav, made.Seconds(), loudest)
		}
		want = append(want, made.Seconds())
	}
	t.Run("browser", func(t *testing.T) {
		reports, console := browser.Look(t, name)
		if len(console) > 0 || len(reports) != len(browser.Widths) {
			t.Fatalf("%d reports; on the console: %q", len(reports), console)
		}
		for _, r := range reports {
			if r.Overflow > 0 || r.Pictures != len(wavs) || len(r.Broken) > 0 || r.Playing != 1 || len(r.Errors) > 0 || math.Abs(sum(r.Durations)-sum(want)) > 0.05*float64(len(wavs)) {
				t.Errorf("%+v, want %d players of %v s together", r, len(wavs), sum(want))
			}
		}
	})
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func TestVoices(t *testing.T) {
	m, err := vqaudio.Default()
	if err != nil {
		t.Fatal(err)
	}
	// Of two voices of the model: all of them take long.
	few := *m
	small := *m.VQVAE
	for _, gone := range m.Voices()[2:] {
		without, err := small.WithoutVoice(gone)
		if err != nil {
			t.Fatal(err)
		}
		small = *without
	}
	few.VQVAE = &small
	dir := t.TempDir()
	told := 0
	name, err := Voices(t.Context(), &few, dir, func(_, _ string, done, _ int) { told = done })
	if err != nil || told != 2 {
		t.Fatalf("%v, %d told", err, told)
	}
	for _, voice := range few.Voices() {
		if c, err := vqaudio.ReadClip(filepath.Join(dir, voice+".wav")); err != nil || math.Abs(c.Seconds()-sampleSeconds) > 0.05 {
			t.Errorf("%s: %v, %.2f s", voice, err, c.Seconds())
		}
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.wav")
	if err := (vqaudio.Clip{Rate: 8000}).WriteFile(empty); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(dir, "none.wav"), empty, "demo.go"} {
		if _, err := Write(t.Context(), Options{Recordings: []string{name}, Folder: filepath.Join(dir, "out")}); err == nil || !strings.Contains(err.Error(), filepath.Base(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, Options{Folder: filepath.Join(dir, "out")}); err == nil {
		t.Error("cancelled, it is done all the same")
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("what was refused has left a folder")
	}
}
