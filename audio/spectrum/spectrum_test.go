package spectrum

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// noise returns n samples of white noise from -amplitude to amplitude.
func noise(n int, amplitude float64) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, n)
	for i := range x {
		x[i] = amplitude * (2*r.Float64() - 1)
	}
	return x
}

// sine returns n samples of a sine.
func sine(n int, amplitude, hz float64, rate int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)+0.3)
	}
	return x
}

func newAnalyser(t testing.TB, c Config) *Analyser {
	t.Helper()
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// plainSTFT is the definition: each frame reads around the middle of its hop, zeros outside, and is multiplied with every
// complex exponential.
func plainSTFT(c Config, x []float64) [][]complex128 {
	at := func(i int) float64 {
		if i < 0 || i >= len(x) {
			return 0
		}
		if i == 0 {
			return x[0]
		}
		return x[i] - c.Preemphasis*x[i-1]
	}
	var frames [][]complex128
	for t := 0; t*c.Hop < len(x); t++ {
		frame := make([]complex128, c.FFT/2+1)
		for k := range frame {
			for i := range c.Window {
				phase := 2 * math.Pi * float64(i) / float64(c.Window)
				weight := 1.
				switch c.Shape {
				case Hann:
					weight = 0.5 - 0.5*math.Cos(phase)
				case Hamming:
					weight = 0.54 - 0.46*math.Cos(phase)
				}
				v := weight * at(t*c.Hop+c.Hop/2-c.Window/2+i)
				frame[k] += complex(v, 0) * cmplx.Rect(1, -2*math.Pi*float64(i*k%c.FFT)/float64(c.FFT))
			}
		}
		frames = append(frames, frame)
	}
	return frames
}

// TestSTFT compares with the definition, at even and odd sizes, windows shorter and longer than the hop and the recording.
func TestSTFT(t *testing.T) {
	for _, c := range []Config{
		{Rate: 100, Window: 25, Hop: 10, FFT: 32, Floor: 1e-10},
		{Rate: 100, Window: 24, Hop: 9, FFT: 27, Floor: 1e-10, Shape: Hamming, Preemphasis: 0.97},
		{Rate: 100, Window: 8, Hop: 17, FFT: 8, Floor: 1e-10, Shape: Rectangular},
		{Rate: 100, Window: 400, Hop: 160, FFT: 512, Floor: 1e-10},
		{Rate: 100, Window: 2, Hop: 1, FFT: 2, Floor: 1e-10},
	} {
		a := newAnalyser(t, c)
		for _, n := range []int{0, 1, 2, 8, 9, 10, 11, 33, 100, 331} {
			x := noise(n, 1)
			want := plainSTFT(c, x)
			got := a.STFT(nil, x)
			if len(got) != len(want)*c.Bins() || c.Frames(n) != len(want) {
				t.Fatalf("%+v, %d samples: %d numbers and %d frames, want %d of %d", c, n, len(got), c.Frames(n), len(want), c.Bins())
			}
			power := a.Power(nil, x)
			sum := 0.
			for _, w := range a.weights {
				sum += w
			}
			for i, g := range got {
				w := want[i/c.Bins()][i%c.Bins()]
				if cmplx.Abs(g-w) > 1e-12 {
					t.Fatalf("%+v, %d samples: frame %d, bin %d is %v, want %v", c, n, i/c.Bins(), i%c.Bins(), g, w)
				}
				if p := math.Pow(cmplx.Abs(w)/(sum/2), 2); math.Abs(float64(power[i])-p) > 1e-6*p+1e-20 {
					t.Fatalf("%+v, %d samples: frame %d, bin %d has power %v, want %v", c, n, i/c.Bins(), i%c.Bins(), power[i], p)
				}
			}
		}
	}
}

// TestParseval: the squares of a frame's samples and those of its transform, both signs of the frequency, agree.
func TestParseval(t *testing.T) {
	c := Config{Rate: 16000, Window: 512, Hop: 512, FFT: 512, Shape: Rectangular, Floor: 1e-10}
	x := noise(5*512, 0.5)
	for frame, row := range chunks(newAnalyser(t, c).STFT(nil, x), c.Bins()) {
		inTime, inFrequency := 0., 0.
		for _, v := range x[frame*512 : (frame+1)*512] {
			inTime += v * v
		}
		for k, v := range row {
			p := math.Pow(cmplx.Abs(v), 2) / 512
			if k > 0 && k < 256 {
				p *= 2
			}
			inFrequency += p
		}
		if math.Abs(inFrequency/inTime-1) > 1e-13 {
			t.Errorf("frame %d: %v in time, %v in frequency", frame, inTime, inFrequency)
		}
		// The energy is the same again.
		if e := math.Exp(float64(newAnalyser(t, c).LogEnergy(nil, x)[frame])); math.Abs(e*512/inTime-1) > 1e-5 {
			t.Errorf("frame %d: energy %v, want %v", frame, e*512, inTime)
		}
	}
}

// chunks returns the frames of a matrix.
func chunks[T any](x []T, bins int) [][]T { return slices.Collect(slices.Chunk(x, bins)) }

// TestSine: a sine on a bin shows there with its amplitude, whatever window and transform, and as good as nowhere beyond the
// window's main lobe.
func TestSine(t *testing.T) {
	const amplitude = 0.25
	for _, shape := range []Shape{Hann, Hamming, Rectangular} {
		for _, fft := range []int{400, 512, 800, 1000} {
			c := Config{Rate: 16000, Window: 400, Hop: 160, FFT: fft, Shape: shape, Floor: 1e-10}
			for _, bin := range []int{fft / 16, fft / 5, fft / 3} {
				x := sine(4000, amplitude, float64(bin*c.Rate)/float64(fft), c.Rate)
				for frame, row := range chunks(newAnalyser(t, c).Power(nil, x), c.Bins())[2:23] {
					loudest := 0
					for k := range row {
						if row[k] > row[loudest] {
							loudest = k
						}
					}
					if loudest != bin {
						t.Fatalf("shape %d, length %d: sine on bin %d is loudest in bin %d", shape, fft, bin, loudest)
					}
					// The image at the negative frequency reaches over: less than 1 % of the amplitude of a rectangular window.
					if p := float64(row[bin]) / (amplitude * amplitude); math.Abs(p-1) > map[Shape]float64{Hann: 1e-4, Hamming: 0.002, Rectangular: 0.03}[shape] {
						t.Errorf("shape %d, length %d, frame %d: power %v of that of the sine", shape, fft, frame, p)
					}
					least := map[Shape]float64{Hann: -31, Hamming: -39, Rectangular: -13}[shape] // side lobes, dB
					for k, p := range row {
						if away := math.Abs(float64(k-bin)) * 400 / float64(fft); away > 2 && 10*math.Log10(float64(p)/(amplitude*amplitude)) > least {
							t.Errorf("shape %d, length %d: bin %d has %v, %v widths from the sine", shape, fft, k, p, away)
						}
					}
				}
			}
		}
	}
}

// TestImpulse: it is flat over frequency, and as strong as the window is where the frame reads it.
func TestImpulse(t *testing.T) {
	c := Config{Rate: 16000, Window: 400, Hop: 160, FFT: 512, Floor: 1e-30}
	a := newAnalyser(t, c)
	for _, at := range []int{0, 79, 80, 81, 1000, 1599} {
		x := make([]float64, 1600)
		x[at] = 1
		for frame, row := range chunks(a.Power(nil, x), c.Bins()) {
			want := 0.
			if away := float64(at - (frame*160 + 80)); math.Abs(away) < 200 { // from the middle
				w := 0.5 + 0.5*math.Cos(math.Pi*away/200)
				want = w * w / (100 * 100) // the sum of the weights is 200: a sine of amplitude 1 has magnitude 100
			}
			for k, p := range row {
				if math.Abs(float64(p)-want) > 1e-6*want+1e-20 {
					t.Fatalf("impulse at %d: frame %d, bin %d has %v, want %v", at, frame, k, p, want)
				}
			}
		}
	}
}

// TestChirp: the loudest bin follows the frequency that a chirp has in the middle of each frame.
func TestChirp(t *testing.T) {
	c := STFT(16000)
	const from, slope = 500., 6000. // Hz, Hz/s
	x := make([]float64, 16000)
	for i := range x {
		s := float64(i) / 16000
		x[i] = math.Sin(2 * math.Pi * (from*s + slope/2*s*s))
	}
	for frame, row := range chunks(newAnalyser(t, c).Power(nil, x), c.Bins())[2:98] {
		loudest := slices.Index(row, slices.Max(row))
		want := from + slope*(float64(frame+2)*160+80)/16000
		if got := float64(loudest) * 16000 / float64(c.FFT); math.Abs(got-want) > 0.5*16000/float64(c.FFT)+0.5 {
			t.Errorf("frame %d: %v Hz, want %v", frame+2, got, want)
		}
	}
}

// TestLater: what comes a hop later is the same a frame later.
func TestLater(t *testing.T) {
	a := newAnalyser(t, MFCC(16000))
	x := noise(4000, 0.3)
	early := a.MFCC(nil, append(make([]float64, 480), x...))
	late := a.MFCC(nil, append(make([]float64, 640), x...))
	if !slices.Equal(early[:20*13], late[13:21*13]) {
		t.Error("frames differ")
	}
}

func TestLogEnergy(t *testing.T) {
	a := newAnalyser(t, STFT(16000))
	e := a.LogEnergy(nil, sine(16000, 0.5, 1000, 16000))
	if len(e) != 100 {
		t.Fatalf("%d frames", len(e))
	}
	for _, v := range e[1:99] { // 25 whole periods: half the square of the amplitude
		if want := math.Log(0.125); math.Abs(float64(v)-want) > 1e-6 {
			t.Fatalf("a sine has %v, want %v", v, want)
		}
	}
	// Of the first window, 280 of 400 samples are there.
	if want := math.Log(0.125 * 280 / 400); math.Abs(float64(e[0])-want) > 0.01 {
		t.Errorf("the first frame has %v, want %v", e[0], want)
	}
	for _, v := range a.LogEnergy(nil, make([]float64, 500)) {
		if v != float32(math.Log(1e-10)) {
			t.Errorf("silence has %v", v)
		}
	}
}

// TestNotANumber: exactly the frames that read what is no number are NaN, in all bins.
func TestNotANumber(t *testing.T) {
	c := MFCC(16000)
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		x := noise(3200, 0.5)
		x[1000] = bad
		a := newAnalyser(t, c)
		for name, rows := range map[string][][]float32{
			"power": chunks(a.Power(nil, x), c.Bins()), "mel": chunks(a.Mel(nil, x), 26), "log-mel": chunks(a.LogMel(nil, x), 26),
			"MFCC": chunks(a.MFCC(nil, x), 13), "energy": chunks(a.LogEnergy(nil, x), 1),
		} {
			for frame, row := range rows {
				start := frame*160 + 80 - 200
				reads := start <= 1000 && 1000 < start+400
				for i, v := range row {
					if isNaN := v != v; isNaN != reads {
						t.Fatalf("%v: %s of frame %d, bin %d is %v", bad, name, frame, i, v)
					}
				}
			}
		}
		for frame, row := range chunks(a.STFT(nil, x), c.Bins()) {
			start := frame*160 + 80 - 200
			for i, v := range row {
				if reads := start <= 1000 && 1000 < start+400; cmplx.IsNaN(v) != reads {
					t.Fatalf("%v: transform of frame %d, bin %d is %v", bad, frame, i, v)
				}
			}
		}
	}
}

// TestShort: no samples have no frames; a few have one, of numbers.
func TestShort(t *testing.T) {
	c := MFCC(16000)
	a := newAnalyser(t, c)
	for n, frames := range map[int]int{0: 0, 1: 1, 159: 1, 160: 1, 161: 2, 399: 3} {
		x := noise(n, 0.5)
		for name, got := range map[string]int{
			"transform": len(a.STFT(nil, x)) / c.Bins(), "power": len(a.Power(nil, x)) / c.Bins(), "mel": len(a.Mel(nil, x)) / 26,
			"log-mel": len(a.LogMel(nil, x)) / 26, "MFCC": len(a.MFCC(nil, x)) / 13, "energy": len(a.LogEnergy(nil, x)),
		} {
			if got != frames || c.Frames(n) != frames {
				t.Errorf("%d samples: %s has %d frames, want %d", n, name, got, frames)
			}
		}
		for i, v := range a.MFCC(nil, x) {
			if v != v || math.IsInf(float64(v), 0) {
				t.Errorf("%d samples: MFCC %d is %v", n, i, v)
			}
		}
	}
}

// TestReuse: a dst that is large enough is used, and then nothing is allocated, however long the recording.
func TestReuse(t *testing.T) {
	c := MFCC(16000)
	a := newAnalyser(t, c)
	x := noise(16000, 0.5)
	transform, power := a.STFT(nil, x), a.Power(nil, x)
	features := make([]float32, 100*39)
	mfcc := a.MFCC(nil, x)
	want := WithDeltas(nil, mfcc, 13, 2)
	if n := testing.AllocsPerRun(2, func() {
		transform = a.STFT(transform, x)
		power = a.Power(power, x)
		power = a.Mel(power, x)
		power = a.LogMel(power, x)
		power = a.LogEnergy(power, x)
		mfcc = a.MFCC(mfcc, x)
		features = WithDeltas(features, mfcc, 13, 2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !slices.Equal(features, want) {
		t.Error("a used dst changes the result")
	}
}

func TestConfigErrors(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"rate":               func(c *Config) { c.Rate = 0 },
		"window of":          func(c *Config) { c.Window = 1 },
		"hop":                func(c *Config) { c.Hop = 0 },
		"rate of 1073741824": func(c *Config) { *c = MFCC(1 << 30) },
		"transform":          func(c *Config) { c.FFT = 399 },
		"1048577: want":      func(c *Config) { c.FFT = 1<<20 + 1 },
		"shape":              func(c *Config) { c.Shape = 3 },
		"pre-emphasis":       func(c *Config) { c.Preemphasis = math.NaN() },
		"513 filters":        func(c *Config) { c.FFT, c.Mels = 1024, 513 },
		"filters: want":      func(c *Config) { c.Mels = -1 },
		"mel scale":          func(c *Config) { c.Scale = 2 },
		"to 8000.5 Hz":       func(c *Config) { c.High = 8000.5 },
		"from 8000":          func(c *Config) { c.Low = 8000 },
		"from NaN":           func(c *Config) { c.Low = math.NaN() },
		"floor":              func(c *Config) { c.Floor = 0 },
		"cepstral":           func(c *Config) { c.Cepstra = 27 },
		"lifter":             func(c *Config) { c.Lifter = math.Inf(1) },
		"between two bins":   func(c *Config) { c.Mels = 200 },
	} {
		c := MFCC(16000)
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	// The presets fit at the rates in use.
	for _, rate := range []int{8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000} {
		for _, c := range []Config{STFT(rate), LogMel(rate, 80), MFCC(rate)} {
			if _, err := New(c); err != nil {
				t.Errorf("%d Hz: %v", rate, err)
			}
		}
	}
}

func TestMissingPartsPanic(t *testing.T) {
	a := newAnalyser(t, STFT(16000))
	for name, f := range map[string]func(){
		"Mel": func() { a.Mel(nil, nil) }, "LogMel": func() { a.LogMel(nil, nil) }, "MFCC": func() { a.MFCC(nil, nil) },
		"WithDeltas": func() { WithDeltas(nil, make([]float32, 14), 13, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f()
		}()
	}
}
