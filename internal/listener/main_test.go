package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio"
)

func TestWrong(t *testing.T) {
	for _, c := range []struct {
		said, heard string
		want        int
	}{
		{"one two three", "one two three", 0},
		{"one two three", "one three", 1},
		{"one two three", "one two two three", 1},
		{"one two three", "three two one", 2},
		{"one two", "", 2},
		{"", "go", 1},
	} {
		if got := wrong(strings.Fields(c.said), strings.Fields(c.heard)); got != c.want {
			t.Errorf("%q heard as %q: %d wrong, want %d", c.said, c.heard, got, c.want)
		}
	}
}

// The recogniser hears a synthesiser count, and not in silence.
func TestListen(t *testing.T) {
	if _, err := exec.LookPath("pocketsphinx_batch"); err != nil {
		t.Skip("needs pocketsphinx, to listen with: apt-get install pocketsphinx pocketsphinx-en-us")
	}
	c, err := vqaudio.ReadClip("../../demo/speech/numbers.wav")
	if err != nil {
		t.Fatal(err)
	}
	c.Samples = c.Samples[:int(1.9*float64(c.Rate))] // "Seven, four"
	all := []utterance{{words: strings.Fields("seven four nine zero one two three go stop")}}
	r, err := newRecogniser(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	heard, err := r.listen([]vqaudio.Clip{c, {Samples: make([]float64, 16000), Rate: 16000}})
	if err != nil {
		t.Fatal(err)
	}
	if said := all[0].words[:2]; !slices.Equal(heard[0], said) {
		t.Errorf("heard %q, want %q", heard[0], said)
	}
	if len(heard[1]) > 1 {
		t.Errorf("in silence heard %q", heard[1])
	}
	if _, err := newRecogniser(t.TempDir(), []utterance{{words: []string{"qwertz"}}}); err == nil || !strings.Contains(err.Error(), "qwertz") {
		t.Errorf("a word without pronunciation: %v", err)
	}
}
