package audio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	goaudio "github.com/go-audio/audio"

	"github.com/vqaudio/vqaudio/internal/shared"
)

// resampleTestPairs are from and to: complete tables, interpolated ones, both directions, the limits.
var resampleTestPairs = [][2]int{
	{48000, 16000}, {44100, 16000}, {16000, 48000}, {8000, 16000}, {16000, 8000}, {11025, 16000}, {16000, 11025},
	{22050, 16000}, {16000, 44100}, {96000, 44100}, {44100, 48000}, {192000, 16000},
	{1234, 16000}, {16000, 1234}, {44100, 44101}, {44101, 44100}, {47999, 16000}, {1092676, 16000}, {16000, 1092676},
	{16, 16384}, {16384, 16}, {16387, 17},
}

// resampleAll resamples mono samples.
func resampleAll(t testing.TB, x []float64, from, to int) []float64 {
	t.Helper()
	r, err := Resample(FromBuffer(&goaudio.FloatBuffer{Format: &Format{NumChannels: 1, SampleRate: from}, Data: x}), to)
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Format(); f.SampleRate != to || f.NumChannels != 1 {
		t.Fatalf("the format is %+v", f)
	}
	all, err := ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all.Data
}

// tone returns n samples of sin(2 pi f i/rate + phase).
func tone(n int, f, rate, phase float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		// Whole turns taken off: the phase stays exact to the end.
		x[i] = math.Sin(2*math.Pi*math.Mod(f/rate*float64(i), 1) + phase)
	}
	return x
}

// fitTone finds the sine of frequency f at the time start + i in y[i] by least squares: its amplitude and phase, and the
// RMS of what else is in y.
func fitTone(y []float64, f, rate float64, start int) (amplitude, phase, rest float64) {
	var ss, sc, cc, ys, yc float64
	at := func(i int) (s, c float64) { return math.Sincos(2 * math.Pi * math.Mod(f/rate*float64(start+i), 1)) }
	for i, v := range y {
		s, c := at(i)
		ss, sc, cc, ys, yc = ss+s*s, sc+s*c, cc+c*c, ys+v*s, yc+v*c
	}
	d := ss*cc - sc*sc
	a, b := (ys*cc-yc*sc)/d, (yc*ss-ys*sc)/d
	for i, v := range y {
		s, c := at(i)
		rest += (v - a*s - b*c) * (v - a*s - b*c)
	}
	return math.Hypot(a, b), math.Atan2(b, a), math.Sqrt(rest / float64(len(y)))
}

func rmsOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}

func inDecibels(x float64) float64 { return 20 * math.Log10(x) }

// resampleMiddle cuts off what the ends of the input reach: 64 periods of the lower rate.
func resampleMiddle(y []float64, from, to int) (part []float64, start int) {
	start = 65*max(to, from)/from + 1
	return y[start : len(y)-start], start
}

// TestResampleSines sends sines of many frequencies through, and looks at all that comes out: the sine, with what gain
// and phase, and whatever else there is, aliases and images at any frequency.
func TestResampleSines(t *testing.T) {
	for _, pair := range resampleTestPairs {
		from, to := pair[0], pair[1]
		t.Run(fmt.Sprintf("%d-%d", from, to), func(t *testing.T) {
			nyquist := float64(min(from, to)) / 2 // the lower one
			n := 700 * from / min(from, to)
			gains, worstPhase, worstRest := [2]float64{math.Inf(1), math.Inf(-1)}, 0.0, 0.0
			highest := float64(from) / 2
			frequencies := []float64{}
			for _, r := range []float64{0.01, 0.1, 0.2037, 0.3, 0.4119, 0.5, 0.6173, 0.7, 0.8, 0.85, 0.88, 0.9, 0.92, 0.95, 0.98, 0.995,
				1, 1.001, 1.005, 1.02, 1.05, 1.1, 1.17, 1.3, 1.5, 1.7, 1.9, 1.99, 2.01, 2.5, 2.999, 3.7, 5, 11, 101} {
				if f := r * nyquist; f < highest {
					frequencies = append(frequencies, f)
				}
			}
			if to < from {
				frequencies = append(frequencies, 0.97*highest, 0.9999*highest)
			}
			every := 1
			if max(from, to) > 100*min(from, to) {
				every = 4 // a second of one rate is long at the other
			}
			for i := 0; i < len(frequencies); i += every {
				f := frequencies[i]
				y := resampleAll(t, tone(n, f, float64(from), float64(i)), from, to)
				y, start := resampleMiddle(y, from, to)
				rest := rmsOf(y)
				if f < nyquist {
					amplitude, phase, other := fitTone(y, f, float64(to), start)
					rest = other
					if f <= 0.9*nyquist {
						gains = [2]float64{min(gains[0], inDecibels(amplitude)), max(gains[1], inDecibels(amplitude))}
						worstPhase = max(worstPhase, math.Abs(math.Remainder(phase-float64(i), 2*math.Pi)))
					} else if inDecibels(amplitude) > 0.001 {
						t.Errorf("%v Hz: gain %.4f dB", f, inDecibels(amplitude))
					}
				}
				worstRest = max(worstRest, rest*math.Sqrt2)
				if inDecibels(rest*math.Sqrt2) > -95 {
					t.Errorf("%v Hz, %.3f of the lower Nyquist frequency: aliases and images at %.1f dB", f, f/nyquist, inDecibels(rest*math.Sqrt2))
				}
			}
			t.Logf("gain %+.5f to %+.5f dB, phase within %.1e, aliases and images at %.1f dB", gains[0], gains[1], worstPhase, inDecibels(worstRest))
			if gains[0] < -0.001 || gains[1] > 0.001 {
				t.Errorf("gain %.4f to %.4f dB up to 0.9 of the Nyquist frequency", gains[0], gains[1])
			}
			// At 0.9 of the Nyquist frequency, 1e-5 is 4 millionths of a period of the rate.
			if worstPhase > 1e-5 {
				t.Errorf("phase off by %v", worstPhase)
			}
		})
	}
}

// TestResampleImpulse checks that an impulse at an input frame comes out round the output frame of the same time, the same
// to both sides.
func TestResampleImpulse(t *testing.T) {
	for _, pair := range resampleTestPairs {
		from, to := pair[0], pair[1]
		divisor := int(gcd(int64(from), int64(to)))
		period, centre := from/divisor, to/divisor // frames in, and out, after which both rates meet
		around := 40 * max(1, to/from)
		for period < 80*max(1, from/to) {
			period, centre = 2*period, 2*centre
		}
		if period > 1<<20 {
			continue
		}
		x := make([]float64, 2*period+1)
		x[period] = 1
		y := resampleAll(t, x, from, to)
		peak := y[centre]
		if want := 0.95 * min(1, float64(to)/float64(from)); math.Abs(peak/want-1) > 1e-3 {
			t.Errorf("%d to %d Hz: the peak is %v, want %v", from, to, peak, want)
		}
		for i := 1; i <= around; i++ {
			if math.Abs(y[centre-i]-y[centre+i]) > 1e-7*peak || y[centre+i] >= peak {
				t.Errorf("%d to %d Hz: peak %v; %v %d frames before, %v after", from, to, peak, y[centre-i], i, y[centre+i])
				break
			}
		}
	}
}

// TestResampleSweep sends all frequencies through, one after the other: each comes out at its time, or not at all.
func TestResampleSweep(t *testing.T) {
	for _, pair := range [][2]int{{48000, 16000}, {44100, 16000}, {16000, 48000}, {11025, 16000}, {44101, 44100}} {
		from, to := pair[0], pair[1]
		nyquist, duration := float64(min(from, to))/2, 4.0
		slope := float64(from) / 2 / duration // Hz a second
		chirp := func(at float64) float64 { return math.Sin(math.Pi * slope * at * at) }
		x := make([]float64, int(duration*float64(from)))
		for i := range x {
			x[i] = chirp(float64(i) / float64(from))
		}
		worst, leak := 0.0, 0.0
		for i, v := range resampleAll(t, x, from, to) {
			at := float64(i) / float64(to)
			switch f := slope * at; {
			case at < 0.1 || at > duration-0.1: // the ends
			case f < 0.89*nyquist:
				worst = max(worst, math.Abs(v-chirp(at)))
			case f > 1.1*nyquist:
				leak = max(leak, math.Abs(v))
			}
		}
		t.Logf("%d to %d Hz: passed within %.1f dB, stopped at %.1f dB", from, to, inDecibels(worst), inDecibels(leak))
		if inDecibels(worst) > -85 || inDecibels(leak) > -95 {
			t.Errorf("%d to %d Hz: passed within %.1f dB, stopped at %.1f dB", from, to, inDecibels(worst), inDecibels(leak))
		}
	}
}

// TestResampleTwoTones mixes a sound below the Nyquist frequency with a louder one above it.
func TestResampleTwoTones(t *testing.T) {
	x, loud := tone(48000, 1000, 48000, 0), tone(48000, 9100, 48000, 1)
	for i := range x {
		x[i] = 0.01*x[i] + loud[i]
	}
	y, start := resampleMiddle(resampleAll(t, x, 48000, 16000), 48000, 16000)
	amplitude, phase, rest := fitTone(y, 1000, 16000, start)
	if math.Abs(amplitude-0.01) > 1e-6 || math.Abs(phase) > 1e-4 || inDecibels(rest) > -95 {
		t.Errorf("amplitude %v, phase %v, rest %.1f dB", amplitude, phase, inDecibels(rest))
	}
}

// TestResampleRoundTrip raises the rate of noise that ends at 0.9 of the Nyquist frequency, and lowers it again.
func TestResampleRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, pair := range [][2]int{{16000, 48000}, {16000, 44100}, {8000, 16000}, {11025, 16000}, {1234, 16000}, {44100, 44101}} {
		from, to := pair[0], pair[1]
		x := make([]float64, 4000)
		for range 300 {
			f, phase := 0.45*float64(from)*random.Float64(), 2*math.Pi*random.Float64()
			for i, v := range tone(len(x), f, float64(from), phase) {
				x[i] += v / 300
			}
		}
		y := resampleAll(t, resampleAll(t, x, from, to), to, from)
		if n := len(y) - len(x); n < 0 || n > 1 {
			t.Fatalf("%d frames came back as %d", len(x), len(y))
		}
		noise := make([]float64, 3000)
		for i := range noise {
			noise[i] = y[500+i] - x[500+i]
		}
		snr := inDecibels(rmsOf(x) / rmsOf(noise))
		t.Logf("%d to %d Hz and back: %.1f dB", from, to, snr)
		if snr < 90 {
			t.Errorf("%d to %d Hz and back: the noise is only %.1f dB down", from, to, snr)
		}
	}
}

// TestResampleConstant checks the gain at 0 Hz for every phase, and that silence stays silence.
func TestResampleConstant(t *testing.T) {
	for _, pair := range resampleTestPairs {
		from, to := pair[0], pair[1]
		x := make([]float64, 400*max(1, from/to))
		for _, v := range resampleAll(t, x, from, to) {
			if v != 0 {
				t.Fatalf("%d to %d Hz: silence became %v", from, to, v)
			}
		}
		for i := range x {
			x[i] = -0.5
		}
		inner, _ := resampleMiddle(resampleAll(t, x, from, to), from, to)
		for _, v := range inner {
			if math.Abs(v+0.5) > 1e-6 {
				t.Fatalf("%d to %d Hz: -0.5 became %v", from, to, v)
			}
		}
	}
}

// TestResampleEnds checks that before the start and after the end there is silence: leaving it away changes nothing, and
// moving the sound by whole periods of both rates moves the result.
func TestResampleEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	for _, pair := range resampleTestPairs {
		from, to := pair[0], pair[1]
		divisor := int(gcd(int64(from), int64(to)))
		period, moved := from/divisor, to/divisor
		if period*moved > 1<<26 {
			continue
		}
		for period < 70*max(1, from/to) {
			period, moved = 2*period, 2*moved
		}
		for _, frames := range []int{1, 10, 100 * max(1, from/to)} {
			x := make([]float64, frames)
			for i := range x {
				x[i] = 2*random.Float64() - 1
			}
			alone := resampleAll(t, x, from, to)
			padded := resampleAll(t, slices.Concat(make([]float64, period), x, make([]float64, period)), from, to)
			for i, v := range alone {
				if math.Abs(v-padded[i+moved]) > 1e-6 {
					t.Fatalf("%d to %d Hz, %d frames: frame %d is %v, between silence %v", from, to, frames, i, v, padded[i+moved])
				}
			}
		}
	}
}

// randomBlocks hands out its samples in random blocks.
type randomBlocks struct {
	Source
	random *rand.Rand
}

func (s randomBlocks) Read(block []float64) (int, error) {
	channels := s.Format().NumChannels
	return s.Source.Read(block[:channels*(1+s.random.IntN(len(block)/channels))])
}

// TestResampleBlocks checks that the result is the same to the last bit however the blocks fall, and that channels do not
// know of each other.
func TestResampleBlocks(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for _, pair := range resampleTestPairs {
		from, to := pair[0], pair[1]
		frames := 20000
		if to > from {
			frames = 300 + 20000*from/to
		}
		const channels = 3
		x := make([]float64, channels*frames)
		for i := range x {
			x[i] = 2*random.Float64() - 1
		}
		buffer := &goaudio.FloatBuffer{Format: &Format{NumChannels: channels, SampleRate: from}, Data: x}
		all, err := Resample(FromBuffer(buffer), to)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ReadAll(all)
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := Resample(randomBlocks{FromBuffer(buffer), random}, to)
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for block := make([]float64, 5000); ; {
			n, err := pieces.Read(block[:channels+random.IntN(len(block)-channels)])
			if errors.Is(err, io.EOF) && n == 0 {
				break
			} else if err != nil || n%channels != 0 {
				t.Fatalf("%d samples, error %v", n, err)
			}
			got = append(got, block[:n]...)
		}
		if !slices.Equal(got, want.Data) {
			t.Errorf("%d to %d Hz: other blocks, other samples", from, to)
		}
		for c := range channels {
			one := make([]float64, frames)
			for i := range one {
				one[i] = x[channels*i+c]
			}
			for i, v := range resampleAll(t, one, from, to) {
				if got[channels*i+c] != v {
					t.Fatalf("%d to %d Hz: channel %d, frame %d is %v, alone %v", from, to, c, i, got[channels*i+c], v)
				}
			}
		}
	}
}

// TestResampleLength checks that there is an output frame for every time n/rate before the end, and no other.
func TestResampleLength(t *testing.T) {
	for _, pair := range resampleTestPairs {
		from, to := pair[0], pair[1]
		for _, frames := range []int{0, 1, 2, 3, 7, 127, 128, 129, 500, 8192, 8193} {
			if frames*to/from > 1e6 {
				continue
			}
			got, want := len(resampleAll(t, make([]float64, frames), from, to)), (frames*to+from-1)/from
			if got != want {
				t.Errorf("%d to %d Hz: %d frames became %d, want %d", from, to, frames, got, want)
			}
		}
	}
}

func TestResampleSameRate(t *testing.T) {
	src := FromBuffer(&goaudio.FloatBuffer{Format: &Format{NumChannels: 2, SampleRate: 16000}, Data: []float64{1, 2}})
	if r, err := Resample(src, 16000); err != nil || r != src {
		t.Errorf("%v, error %v", r, err)
	}
}

func TestResampleRates(t *testing.T) {
	type rates struct {
		from, to int
		ok       bool
	}
	tests := []rates{
		{16000, 0, false}, {16000, -16000, false}, {0, 16000, false}, {0, 0, false}, {-1, -1, false}, {16000, math.MaxInt, false},
		{math.MaxInt, math.MaxInt - 1, false}, {math.MinInt, 1, false}, {1, 1025, false}, {1025, 1, false}, {16000, 16000*1024 + 1, false},
		{1, 1024, true}, {1024, 1, true},
	}
	if most := int64(1 << 32); int64(int(most)) == most { // not on a 32-bit machine
		most := int(most)
		tests = append(tests, rates{most, most - 1, true}, rates{most - 1, most, true}, rates{most - 1, most>>10 + 1, true}, rates{most + 1, most, false})
	}
	for _, test := range tests {
		x := make([]float64, 3000)
		x[1000] = 1
		r, err := Resample(FromBuffer(&goaudio.FloatBuffer{Format: &Format{NumChannels: 1, SampleRate: test.from}, Data: x}), test.to)
		var wrong *RateError
		if errors.As(err, &wrong) == test.ok || !test.ok && (wrong.From != test.from || wrong.To != test.to) {
			t.Errorf("%d to %d Hz: error %v", test.from, test.to, err)
		}
		if err == nil {
			if _, err := ReadAll(r); err != nil {
				t.Errorf("%d to %d Hz: %v", test.from, test.to, err)
			}
		}
	}
}

// failing ends with an error instead of io.EOF.
type failing struct {
	Source
	err error
}

func (s failing) Read(block []float64) (int, error) {
	n, err := s.Source.Read(block)
	if err != nil {
		return 0, s.err
	}
	return n, nil
}

// TestResampleError checks that an error of the source comes through, after the samples that do not depend on what it kept
// back, and again when asked again.
func TestResampleError(t *testing.T) {
	x, broken := tone(10000, 1000, 48000, 0), errors.New("broken")
	want := resampleAll(t, x, 48000, 16000)
	r, err := Resample(failing{FromBuffer(&goaudio.FloatBuffer{Format: &Format{NumChannels: 1, SampleRate: 48000}, Data: x}), broken}, 16000)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadAll(r)
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if n := len(got.Data); n != 3334-64 || !slices.Equal(got.Data, want[:n]) {
		t.Errorf("%d frames before the error", n)
	}
	if n, err := r.Read(make([]float64, 8)); n != 0 || !errors.Is(err, broken) {
		t.Errorf("after the error %d frames, error %v", n, err)
	}
}

// endless is a source without an end.
type endless struct{ format Format }

func (s endless) Format() Format { return s.format }

func (s endless) Read(block []float64) (int, error) {
	clear(block)
	return len(block) / s.format.NumChannels * s.format.NumChannels, nil
}

// TestResampleMemory checks that memory stays constant from the first blocks on.
func TestResampleMemory(t *testing.T) {
	for _, pair := range resampleTestPairs {
		r, err := Resample(endless{Format{NumChannels: 2, SampleRate: pair[0]}}, pair[1])
		if err != nil {
			t.Fatal(err)
		}
		block := make([]float64, 8192)
		read := func() {
			if n, err := r.Read(block); n == 0 || err != nil {
				t.Fatalf("%d samples, error %v", n, err)
			}
		}
		for range 100 {
			read()
		}
		if n := testing.AllocsPerRun(50, read); n != 0 {
			t.Errorf("%v: %v allocations for a block", pair, n)
		}
		if s, most := r.(*resampler), 6*r.(*resampler).filter.half+2*resampleBlock; cap(s.window[0]) > most || len(s.filter.table) > 3<<17 {
			t.Errorf("%v: a window of %d samples, a table of %d numbers", pair, cap(s.window[0]), len(s.filter.table))
		}
	}
	// As many channels as a header can name: the window must not be allocated for all of a filter's length at once.
	x := make([]float64, 65535)
	r, err := Resample(FromBuffer(&goaudio.FloatBuffer{Format: &Format{NumChannels: len(x), SampleRate: 1 << 20}, Data: x}), 1024)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]float64, len(x))); n != len(x) || err != nil {
		t.Errorf("%d samples, error %v", n, err)
	}
	if c := cap(r.(*resampler).window[0]); c > 16 {
		t.Errorf("the window of one frame is %d long", c)
	}
}

// TestResampleFilterCache asks from many goroutines for more filters than are kept.
func TestResampleFilterCache(t *testing.T) {
	var cache resampleFilterCache
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range int64(40) {
				k := resampleFilterFor(100+i, 99)
				if f := cache.get(k); f.half != k.half() || f.phases != k.phases {
					t.Errorf("%+v: a filter of %d taps and %d phases", k, f.half, f.phases)
				}
			}
		})
	}
	wait.Wait()
	if len(cache.filters) > maxResampleFilters {
		t.Errorf("%d filters are kept", len(cache.filters))
	}
	k := resampleFilterFor(3, 1)
	if first, second := cache.get(k), cache.get(k); first != second {
		t.Error("the filter was computed twice")
	}
	if resampleFilterFor(1, 3) != resampleFilterFor(2, 3) {
		t.Error("two filters for rates that are raised")
	}
}

// TestResampleSpeech compares with what another program made of the same recording at other rates. Its filters differ:
// what lies about the Nyquist frequency is the difference.
func TestResampleSpeech(t *testing.T) {
	recordings := map[int][]float64{}
	for _, rate := range []int{8000, 16000, 32000, 48000} {
		r, err := Open(shared.Data(t, fmt.Sprintf("wav-cases/lyra-sample1_%dkHz.wav", rate/1000)))
		if err != nil {
			t.Fatal(err)
		}
		all, err := ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		recordings[rate] = all.Data
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]int{{48000, 32000}, {48000, 16000}, {48000, 8000}, {32000, 16000}, {32000, 8000}, {16000, 8000}, {16000, 32000}} {
		from, to := pair[0], pair[1]
		got, want := resampleAll(t, recordings[from], from, to), recordings[to]
		if n := len(got) - len(want); n < 0 || n > to/from {
			t.Errorf("%d to %d Hz: %d frames, want %d", from, to, len(got), len(want))
		}
		n := min(len(got), len(want)) - 10
		correlation := func(lag int) (sum float64) {
			for i := 10; i < n; i++ {
				sum += got[i] * want[i+lag]
			}
			return sum
		}
		best := 0
		for lag := -10; lag <= 10; lag++ {
			if correlation(lag) > correlation(best) {
				best = lag
			}
		}
		noise := make([]float64, n)
		for i := range noise {
			noise[i] = got[i] - want[i]
		}
		snr := inDecibels(rmsOf(want[:n]) / rmsOf(noise))
		t.Logf("%d to %d Hz: lag %d, %.1f dB", from, to, best, snr)
		if best != 0 || snr < 35 {
			t.Errorf("%d to %d Hz: lag %d, difference %.1f dB down", from, to, best, snr)
		}
	}
}

// FuzzResample resamples noise between any rates, in any blocks.
func FuzzResample(f *testing.F) {
	f.Add(uint32(48000), uint32(16000), uint16(1000), uint8(1), uint64(1))
	f.Add(uint32(44100), uint32(16000), uint16(3000), uint8(2), uint64(2))
	f.Add(uint32(1234), uint32(16000), uint16(10), uint8(1), uint64(3))
	f.Add(uint32(1092676), uint32(16000), uint16(2000), uint8(3), uint64(4))
	f.Add(uint32(math.MaxUint32), uint32(1<<22), uint16(2000), uint8(1), uint64(5))
	f.Add(uint32(1), uint32(1024), uint16(1), uint8(255), uint64(6))
	f.Add(uint32(0), uint32(16000), uint16(1), uint8(1), uint64(7))
	f.Fuzz(func(t *testing.T, from, to uint32, frames uint16, channels uint8, seed uint64) {
		random := rand.New(rand.NewPCG(seed, seed))
		format := Format{NumChannels: max(1, int(channels)), SampleRate: int(from)}
		limit := uint64(1<<18) * uint64(max(1, from)) / uint64(max(1, to)) / uint64(format.NumChannels)
		data := make([]float64, int(min(uint64(frames), limit))*format.NumChannels)
		for i := range data {
			data[i] = 2*random.Float64() - 1
		}
		src := randomBlocks{FromBuffer(&goaudio.FloatBuffer{Format: &format, Data: data}), random}
		r, err := Resample(src, int(to))
		ratio := float64(from) / float64(to)
		if refused := from == 0 || to == 0 || ratio > maxResampleRatio || ratio < 1./maxResampleRatio; refused != (err != nil) {
			t.Fatalf("%d to %d Hz: error %v", from, to, err)
		} else if refused {
			return
		}
		all, err := ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := uint64(len(all.Data)), (uint64(len(data)/format.NumChannels)*uint64(to)+uint64(from)-1)/uint64(from)*uint64(format.NumChannels); got != want {
			t.Errorf("%d to %d Hz: %d samples became %d, want %d", from, to, len(data), got, want)
		}
		for i, v := range all.Data {
			if !(math.Abs(v) < 8) {
				t.Fatalf("%d to %d Hz: sample %d is %v", from, to, i, v)
			}
		}
	})
}
