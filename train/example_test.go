package train_test

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/train"
)

// A small training, twice as long the second time: it goes on where it stood.
func ExampleRun() {
	samples := make([]int16, 8000)
	for t := range samples {
		samples[t] = int16(8000 * math.Sin(0.05*float64(t)))
	}
	cache := corpora.NewCache(16000,
		[]corpora.Utterance{{Path: "1.wav", Speaker: "ann", Split: corpora.Train}, {Path: "2.wav", Speaker: "bob", Split: corpora.Valid}},
		[][]int16{samples, samples})
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	config, err := train.Preset("tiny")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, steps := range []int{20, 40} {
		config.Training.Steps = steps
		reached, err := train.Run(context.Background(), config, train.Options{Corpus: cache, Out: dir, Note: func(text string) {
			if len(text) < 40 {
				fmt.Println(text)
			}
		}})
		fmt.Println(reached.Step, "steps,", reached.Samples, "samples, error", err)
	}
	// Output:
	// 20 steps, 20480 samples, error <nil>
	// going on from step 20
	// 40 steps, 40960 samples, error <nil>
}

func ExampleSet() {
	config, err := train.Preset("base")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(train.Set(&config, "model.bottleneck.entries=128"), config.Model.Bottleneck.Entries)
	fmt.Println(train.Set(&config, "segment=16384"), config.Training.Segment)
	fmt.Println(train.Set(&config, "entires=128"))
	// Output:
	// <nil> 128
	// <nil> 16384
	// no key "entires": near ones are model.bottleneck.entries, model.encoder.centre, model.bottleneck.stages
}
