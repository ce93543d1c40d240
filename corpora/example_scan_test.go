package corpora_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/corpora"
)

// A folder of recordings, in which the folders are the speakers, becomes a manifest.
func ExampleScan() {
	folder, err := os.MkdirTemp("", "corpus")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	for i, name := range []string{"ann/yes.wav", "ann/no.wav", "bob/yes.wav"} {
		if err := writeTone(filepath.Join(folder, filepath.FromSlash(name)), float64(100*(i+1))); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "bob", "no.wav"), []byte("no sound"), 0o644); err != nil {
		log.Fatal(err)
	}

	report, err := corpora.Scan(context.Background(), folder, corpora.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d utterances, %.1f s, %d speakers\n", report.Layout, report.Utterances, report.Seconds, len(report.Speakers))
	for _, p := range report.Problems {
		fmt.Printf("%s: %s: %s\n", p.Severity, p.Path, p.Kind)
	}

	name := filepath.Join(folder, "manifest.tsv")
	if err := report.Manifest.Write(name); err != nil {
		log.Fatal(err)
	}
	manifest, err := corpora.ReadManifest(name)
	if err != nil {
		log.Fatal(err)
	}
	for _, u := range manifest.Utterances {
		fmt.Println(u.Path, u.Speaker, u.Split, u.Frames)
	}
	// Output:
	// folders: 3 utterances, 1.5 s, 2 speakers
	// error: bob/no.wav: unreadable
	// ann/no.wav ann train 8000
	// ann/yes.wav ann train 8000
	// bob/yes.wav bob train 8000
}

// writeTone writes half a second of a tone.
func writeTone(name string, hz float64) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	w, err := audio.Create(name, audio.Format{NumChannels: 1, SampleRate: 16000}, audio.PCM16)
	if err != nil {
		return err
	}
	defer w.Discard()
	block := make([]float64, 8000)
	for i := range block {
		block[i] = 0.5 * math.Sin(2*math.Pi*hz*float64(i)/16000)
	}
	if err := w.Write(block); err != nil {
		return err
	}
	return w.Close()
}
