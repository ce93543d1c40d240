package picture

import (
	"image"
	"math"

	"github.com/vqaudio/vqaudio/audio/spectrum"
)

const (
	windowSeconds = 0.025 // as most analyses of speech have it: harmonics and formants both show
	dBRange       = 70    // from the loudest colour to the quietest
	dBQuietest    = -40   // what the loudest colour stands for at least, so that silence stays dark
)

// spectrogram keeps the mean power spectra of a sound of any length in a bounded number of columns. It begins with a frame
// every quarter of a millisecond, each a column. When there are most columns, they are merged two by two, and from then on
// frames are twice as far apart, but never further than half a window, so that no sound is passed over.
type spectrogram struct {
	analyser *spectrum.Analyser // of one frame at a time: a hop is as long as a window
	window   int                // samples
	bins     int                // rate/2/(bins-1) Hz apart
	power    []float32          // of a frame, [bins]
	buffer   []float64          // samples that are still needed
	origin   int64              // number of the first of them

	sums          []float32 // of power, [columns, bins]
	counts        []int     // frames in each column
	most          int       // columns; even
	span          int64     // samples in a column: hop times a power of two
	hop, furthest int64     // from frame to frame
	next          int64     // number of the next frame, whose middle is at sample (next + 1/2) hop
}

func newSpectrogram(rate, most int) *spectrogram {
	n := min(max(int(windowSeconds*float64(rate)), 32), 4096)
	size := 256
	for size < n {
		size *= 2
	}
	// Bins are what matters here, not Hz: beyond the highest rate that the analyser knows they are as many.
	c := spectrum.STFT(min(rate, 1<<20))
	c.Window, c.Hop, c.FFT = n, n, size
	analyser, err := spectrum.New(c)
	if err != nil {
		panic(err) // of a rate of at least 1
	}
	s := &spectrogram{
		analyser: analyser, window: n, bins: c.Bins(),
		origin: -int64(n) / 2, buffer: make([]float64, n/2, 2*4096), most: most,
	}
	s.furthest = int64(n) / 2
	s.hop = min(max(int64(rate)/4000, 1), s.furthest)
	s.span = s.hop
	return s
}

// add analyses x, a few thousand samples at most.
func (s *spectrogram) add(x []float64) {
	s.buffer = append(s.buffer, x...)
	for {
		begin := (2*s.next+1)*s.hop/2 - int64(s.window)/2 - s.origin
		if begin+int64(s.window) > int64(len(s.buffer)) {
			begin = min(begin, int64(len(s.buffer)))
			s.buffer = append(s.buffer[:0], s.buffer[begin:]...)
			s.origin += begin
			return
		}
		s.analyse(s.buffer[begin:][:s.window])
	}
}

// end analyses the frames that reach beyond the last sample, of samples in all.
func (s *spectrogram) end(samples int64) {
	zeros := make([]float64, 1024)
	for s.next*s.hop < samples {
		s.add(zeros)
	}
	n := int((samples + s.span - 1) / s.span) // the zeros may have made frames beyond
	s.counts, s.sums = s.counts[:n], s.sums[:n*s.bins]
}

// analyse adds the power spectrum of a frame to its column.
func (s *spectrogram) analyse(x []float64) {
	column := int(s.next * s.hop / s.span)
	if column == s.most {
		s.merge()
		column /= 2
	}
	s.next++
	if column == len(s.counts) {
		s.counts = append(s.counts, 0)
		s.sums = append(s.sums, make([]float32, s.bins)...)
	}
	s.power = s.analyser.Power(s.power, x)
	sums := s.sums[column*s.bins:][:s.bins]
	for i, v := range s.power {
		sums[i] += v
	}
	s.counts[column]++
}

// merge joins the columns two by two.
func (s *spectrogram) merge() {
	for i := range s.most / 2 {
		s.counts[i] = s.counts[2*i] + s.counts[2*i+1]
		to, a, b := s.sums[i*s.bins:][:s.bins], s.sums[2*i*s.bins:][:s.bins], s.sums[(2*i+1)*s.bins:][:s.bins]
		for j := range to {
			to[j] = a[j] + b[j]
		}
	}
	s.counts, s.sums = s.counts[:s.most/2], s.sums[:s.most/2*s.bins]
	s.span *= 2
	if 2*s.hop <= s.furthest {
		s.hop *= 2
		s.next /= 2
	}
}

// levels returns the power in dB of every pixel of a picture of samples samples, [height, width], the lowest frequencies in
// the last row.
func (s *spectrogram) levels(samples int64, width, height int) []float32 {
	levels := make([]float32, width*height)
	power := make([]float64, s.bins)
	perPixel := float64(samples) / float64(s.span) / float64(width)
	perRow := float64(s.bins-1) / float64(height)
	for x := range width {
		clear(power)
		box(perPixel*(float64(x)+0.5), perPixel, len(s.counts), func(i int, share float64) {
			share /= float64(s.counts[i])
			for j, v := range s.sums[i*s.bins:][:s.bins] {
				power[j] += share * float64(v)
			}
		})
		for y := range height {
			sum := 0.0
			box(perRow*(float64(height-y)-0.5)+0.5, perRow, s.bins, func(j int, share float64) { sum += share * power[j] })
			levels[y*width+x] = float32(10 * math.Log10(sum+1e-20))
		}
	}
	return levels
}

// box calls add for the cells, 0 to n-1, that a box of the given width round middle covers, with the share that each has of
// it. The box is at least a cell wide: so narrow pixels are interpolated between cells, and wide ones are their mean.
func box(middle, width float64, n int, add func(i int, share float64)) {
	width = max(width, 1)
	from, to := max(middle-width/2, 0), min(middle+width/2, float64(n))
	for i := int(from); float64(i) < to; i++ {
		add(i, (min(to, float64(i+1))-max(from, float64(i)))/(to-from))
	}
}

// draw fills r, and returns the level in dB of the loudest colour.
func (s *spectrogram) draw(c *canvas, r image.Rectangle, samples int64) float64 {
	levels := s.levels(samples, r.Dx(), r.Dy())
	loudest := float32(dBQuietest)
	for _, v := range levels {
		loudest = max(loudest, v)
	}
	top := 10 * math.Ceil(float64(loudest)/10)
	for i, v := range levels {
		c.SetRGBA(r.Min.X+i%r.Dx(), r.Min.Y+i/r.Dx(), heat[heatIndex(float64(v), top)])
	}
	return top
}

// heatIndex returns where a level in dB stands in heat when top is the loudest.
func heatIndex(level, top float64) int {
	return min(max(int((level-top+dBRange)/dBRange*float64(len(heat))), 0), len(heat)-1)
}
