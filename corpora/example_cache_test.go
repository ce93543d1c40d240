package corpora_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/corpora"
)

// A manifest becomes a cache, once; training draws segments from it.
func ExamplePrepare() {
	folder, err := os.MkdirTemp("", "corpus")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	manifest := &corpora.Manifest{Dir: folder}
	for i, name := range []string{"ann/yes.wav", "ann/no.wav", "bob/yes.wav"} {
		if err := writeTone(filepath.Join(folder, filepath.FromSlash(name)), float64(100*(i+1))); err != nil {
			log.Fatal(err)
		}
		manifest.Utterances = append(manifest.Utterances, corpora.Utterance{
			Path: name, Speaker: name[:3], Split: corpora.Train, Seconds: 0.5, Frames: 8000, SourceRate: 16000,
		})
	}

	dir := filepath.Join(folder, "cache")
	report, err := corpora.Prepare(context.Background(), manifest, dir, corpora.DefaultSettings(), corpora.PrepareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Utterances, "utterances,", report.Samples, "samples")

	cache, err := corpora.OpenCache(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	sampler, err := corpora.NewSampler(cache, corpora.SamplerConfig{Split: corpora.Train, Segment: 1000, Batch: 4, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer sampler.Close()
	for range 2 {
		batch := sampler.Next()
		fmt.Println(len(batch.Samples), "samples of speakers", batch.Speakers, "from", batch.Starts)
	}
	// Output:
	// 3 utterances, 24000 samples
	// 4000 samples of speakers [0 0 0 1] from [4742 103 5660 4131]
	// 4000 samples of speakers [1 1 1 1] from [328 6511 5505 3290]
}

// Where a sampler stands is small, and can be kept with what has been trained.
func ExampleSampler_Restore() {
	cache := corpora.NewCache(16000, []corpora.Utterance{{Speaker: "ann"}, {Speaker: "bob"}}, [][]int16{make([]int16, 9000), make([]int16, 5000)})
	config := corpora.SamplerConfig{Segment: 1000, Batch: 2, Seed: 7}
	sampler, err := corpora.NewSampler(cache, config)
	if err != nil {
		log.Fatal(err)
	}
	defer sampler.Close()
	sampler.Next()
	state := sampler.State()
	fmt.Println(sampler.Next().Starts)

	later, err := corpora.NewSampler(cache, config)
	if err != nil {
		log.Fatal(err)
	}
	defer later.Close()
	if err := later.Restore(state); err != nil {
		log.Fatal(err)
	}
	fmt.Println(later.Next().Starts)
	// Output:
	// [3654 1737]
	// [3654 1737]
}
