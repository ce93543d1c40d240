package bench

import (
	"fmt"
	"io"

	"github.com/vqaudio/vqaudio/audio"
)

// resample: shapes are rates in Hz, from and to. A clip of four seconds in one channel is resampled from its opening to its
// end; the value is the time that it lasts over the time that takes. The share is that of the filter's multiply-adds.
func resample() []Benchmark {
	var all []Benchmark
	for _, rates := range []struct{ from, to int }{{48000, 16000}, {44100, 16000}, {16000, 48000}, {8000, 16000}} {
		frames := 4 * rates.from
		bound, boundName := peakOf("f32", vectorISA())
		if peak := bound; peak != nil {
			bound = func(threads int) job {
				j := peak(threads)
				// 128 taps for a sample of the higher rate.
				j.work /= 2 * 128 * float64(max(rates.from, rates.to)) / float64(rates.from)
				return j
			}
		}
		all = append(all, Benchmark{
			Name: "resample", Shape: fmt.Sprintf("%d-%d", rates.from, rates.to), DType: "f32", ISA: vectorISA(),
			unit:  unit{name: "x realtime", scale: 1 / float64(rates.from)},
			bound: bound, boundName: boundName,
			job: hot(frames, func() func() {
				c := &clip{format: audio.Format{NumChannels: 1, SampleRate: rates.from}, samples: make([]float64, frames)}
				for i, v := range floats(frames) {
					c.samples[i] = float64(v)
				}
				block := make([]float64, 4096)
				return func() {
					c.at = 0
					r, err := audio.Resample(c, rates.to)
					for err == nil {
						_, err = r.Read(block)
					}
					if err != io.EOF {
						panic(err) // of a source without errors, between rates that are good
					}
				}
			}),
		})
	}
	return all
}

// clip is a source that can be read again from the start.
type clip struct {
	format  audio.Format
	samples []float64
	at      int
}

func (c *clip) Format() audio.Format { return c.format }

func (c *clip) Read(block []float64) (int, error) {
	n := copy(block, c.samples[c.at:])
	if c.at += n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
