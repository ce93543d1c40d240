package bench

import (
	"fmt"

	"github.com/vqaudio/vqaudio/corpora"
)

// segments: shapes are segments in a batch x samples in a segment. A sampler is started over a cache of a thousand utterances
// in memory, deals out 64 batches, and is closed; its own goroutine does the work, and who takes the batches does nothing.
// The share is that of copying a batch.
func segments() []Benchmark {
	const batches, batch, length = 64, 16, 7680
	return []Benchmark{{
		Name: "segments", Shape: fmt.Sprintf("%dx%d", batch, length), DType: "f32", ISA: "generic",
		unit: unit{name: "Msamples/s", scale: 1e-6},
		job: hot(batches*batch*length, func() func() {
			cache := noiseCache(1000)
			config := corpora.SamplerConfig{Segment: length, Batch: batch}
			return func() {
				s, err := corpora.NewSampler(cache, config)
				if err != nil {
					panic(err) // of a cache with utterances
				}
				defer s.Close()
				for range batches {
					s.Next()
				}
			}
		}),
		bound: hot(batch*length, copying(batch*length)), boundName: "copy",
	}}
}

// noiseCache returns a cache of n utterances of 1 to 2 seconds at 16 kHz.
func noiseCache(n int) *corpora.Cache {
	const rate = 16000
	noise := make([]int16, 2*rate)
	for i, v := range floats(len(noise)) {
		noise[i] = int16(32767 * v)
	}
	utterances, samples := make([]corpora.Utterance, n), make([][]int16, n)
	for i := range samples {
		utterances[i] = corpora.Utterance{Path: fmt.Sprint(i), Speaker: fmt.Sprint(i % 10)}
		samples[i] = noise[:rate+i*rate/n]
	}
	return corpora.NewCache(rate, utterances, samples)
}
