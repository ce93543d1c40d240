package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/audio"
)

// savePhrases saves noise with pauses between stretches of so many seconds.
func savePhrases(t *testing.T, name string, seconds ...float64) {
	t.Helper()
	const rate = 8000
	r := rand.New(rand.NewPCG(1, 2))
	var sound []float64
	for _, s := range seconds {
		for range int(s * rate) {
			sound = append(sound, 0.1*r.NormFloat64())
		}
		for range rate * 6 / 10 {
			sound = append(sound, 0.0001*r.NormFloat64())
		}
	}
	w, err := audio.Create(name, audio.Format{NumChannels: 1, SampleRate: rate}, audio.PCM16)
	if err == nil {
		err = w.Write(sound[:len(sound)-3]) // no whole frame
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestConvertPhrases wants the same sound of a long recording from phrases that are drawn together as from those that come one after
// the other, through a pipe or on two cores; and other sound in later phrases if there is no pause before.
func TestConvertPhrases(t *testing.T) {
	long := 12.0 // a phrase that is not kept
	if testing.Short() {
		long = 3
	}
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	savePhrases(t, "in.wav", 1.5, 2, long, 1.2, 4)
	const convert = "convert model.safetensors in.wav --to bob -o "
	mustRun(t, convert+"together.wav")
	together := readFile(t, "together.wav")
	if n := len(samplesOf(t, together)); n != len(samplesOf(t, readFile(t, "in.wav"))) {
		t.Fatalf("%d samples", n)
	}
	mustRun(t, convert+"one.wav --threads 1")
	mustRun(t, convert+"two.wav --two-cores")
	stdout := mustRun(t, convert+"-")
	piped := samplesOf(t, []byte(stdout))
	for i, x := range samplesOf(t, together) {
		if piped[i] != x {
			t.Fatalf("to a pipe, sample %d is another", i)
		}
	}
	for _, name := range []string{"one.wav", "two.wav"} {
		if !bytes.Equal(readFile(t, name), together) {
			t.Errorf("%s is not what phrases that are drawn together become", name)
		}
	}
	mustRun(t, convert+"whole.wav --level none") // which leaves the level open, below which there are pauses
	if bytes.Equal(readFile(t, "whole.wav"), together) {
		t.Error("without pauses nothing changes")
	}
}

// TestConvertPhrasesEnds wants work on phrases to end when it is interrupted, and to leave no file.
func TestConvertPhrasesEnds(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	savePhrases(t, "in.wav", 12, 4, 4, 40, 20)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, stderr, code := runCommand(ctx, "convert model.safetensors in.wav --to bob -o out/in.wav"); code == exitOK {
		t.Errorf("interrupted, exit code 0: %s", stderr)
	}
	if entries, err := os.ReadDir("out"); err == nil && len(entries) > 0 {
		t.Errorf("there is a file: %v", entries)
	}
}
