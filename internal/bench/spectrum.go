package bench

import (
	"fmt"

	"github.com/vqaudio/vqaudio/audio/spectrum"
)

// spectra: shapes are numbers a frame x the rate in Hz. Four seconds are analysed, a frame each 10 ms; the value is the time
// that they last over the time that takes. The share is that of the Fourier transforms.
func spectra() []Benchmark {
	const rate, samples = 16000, 4 * 16000
	sound := func() []float64 {
		x := make([]float64, samples)
		for i, v := range floats(samples) {
			x[i] = float64(v)
		}
		return x
	}
	// over is a job that analyses with c.
	over := func(c spectrum.Config, run func(a *spectrum.Analyser, x []float64) func()) maker {
		return hot(samples, func() func() {
			a, err := spectrum.New(c)
			if err != nil {
				panic(err) // a preset
			}
			return run(a, sound())
		})
	}
	transforms := func(a *spectrum.Analyser, x []float64) func() {
		dst := a.STFT(nil, x)
		return func() { a.STFT(dst, x) }
	}
	var all []Benchmark
	add := func(name string, numbers int, job, bound maker) {
		b := Benchmark{
			Name: name, Shape: fmt.Sprintf("%dx%d", numbers, rate), DType: "f64", ISA: "generic",
			unit: unit{name: "x realtime", scale: 1. / rate}, job: job, bound: bound,
		}
		if bound != nil {
			b.boundName = "transforms"
		}
		all = append(all, b)
	}
	mel, mfcc := spectrum.LogMel(rate, 80), spectrum.MFCC(rate)
	add("log-mel", mel.Mels, over(mel, func(a *spectrum.Analyser, x []float64) func() {
		dst := a.LogMel(nil, x)
		return func() { a.LogMel(dst, x) }
	}), over(mel, transforms))
	add("mfcc", 3*mfcc.Cepstra, over(mfcc, func(a *spectrum.Analyser, x []float64) func() {
		static := a.MFCC(nil, x)
		dst := spectrum.WithDeltas(nil, static, mfcc.Cepstra, 2)
		return func() { spectrum.WithDeltas(dst, a.MFCC(static, x), mfcc.Cepstra, 2) }
	}), over(mfcc, transforms))
	add("f0", 1, hot(samples, func() func() {
		f, err := spectrum.NewF0(spectrum.Speech(rate))
		if err != nil {
			panic(err) // a preset
		}
		x := sound()
		dst := f.Track(nil, x)
		return func() { f.Track(dst, x) }
	}), nil)
	return all
}
