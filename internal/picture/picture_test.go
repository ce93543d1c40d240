package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

var small = Options{Width: 640, Height: 480, Title: "a title"}

// drawn returns the picture of x, and where its panels are.
func drawn(t *testing.T, rate int, o Options, x []float64, codes *Codes) (*image.RGBA, layout) {
	t.Helper()
	p, err := New(rate, o)
	if err != nil {
		t.Fatal(err)
	}
	p.Add(x)
	return p.Draw(codes), p.layout(codes != nil)
}

// tone is a sine.
func tone(rate, samples int, hz, amplitude float64) []float64 {
	x := make([]float64, samples)
	for i := range x {
		x[i] = amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate))
	}
	return x
}

// heatAt returns where the colour of a pixel stands in heat: -1 if it does not.
func heatAt(m *image.RGBA, x, y int) int { return slices.Index(heat[:], m.RGBAAt(x, y)) }

// TestSine checks that the loudest row of the spectrogram is at the frequency of a sine, in the first column, in the middle
// and in the last, and that its level is right, for sounds that columns were merged in and others.
func TestSine(t *testing.T) {
	for _, rate := range []int{8000, 16000, 44100} {
		for _, seconds := range []float64{0.1, 2, 15} {
			for _, hz := range []float64{440, 1000, 3100} {
				p, err := New(rate, small)
				if err != nil {
					t.Fatal(err)
				}
				p.Add(tone(rate, int(seconds*float64(rate)), hz, 0.5))
				m, r := p.Draw(nil), p.layout(false).spectrum
				want := r.Max.Y - 1 - int(hz/(float64(rate)/2)*float64(r.Dy()))
				for _, x := range []int{r.Min.X, (r.Min.X + r.Max.X) / 2, r.Max.X - 1} {
					// Rows in which the colour is the same: the middle of them counts.
					best, first, last := -1, 0, 0
					for y := r.Min.Y; y < r.Max.Y; y++ {
						switch v := heatAt(m, x, y); {
						case v > best:
							best, first, last = v, y, y
						case v == best:
							last = y
						}
					}
					// A bin is at most rate/size Hz wide, and its neighbour can be as loud.
					rows := 2 + int(float64(r.Dy())/float64(p.spectrogram.bins))
					if got := (first + last) / 2; got < want-rows || got > want+rows {
						t.Errorf("%d Hz, %v s: the row of %v Hz at column %d is %d, want %d +-%d", rate, seconds, hz, x, got, want, rows)
					}
				}
				// The power of all rows of a column in the middle, which the edges do not touch, is that of the sine times
				// the equivalent noise bandwidth of a Hann window, 1.5 bins of a transform of its length; but for rows that are
				// narrower than bins, and so are points between them.
				levels := p.spectrogram.levels(p.samples, r.Dx(), r.Dy())
				binsPerRow := float64(p.spectrogram.bins-1) / float64(r.Dy())
				power := 0.0
				for y := range r.Dy() {
					power += binsPerRow * math.Pow(10, float64(levels[y*r.Dx()+r.Dx()/2])/10)
				}
				power /= 1.5 * 2 * float64(p.spectrogram.bins-1) / float64(p.spectrogram.window)
				if got, want := 10*math.Log10(power), 20*math.Log10(0.5); math.Abs(got-want) > 0.2 {
					t.Errorf("%d Hz, %v s: the level of %v Hz is %.2f dB, want %.2f", rate, seconds, hz, got, want)
				}
			}
		}
	}
}

// TestClick checks that one sample among zeros stands in its column, in both panels, wherever it is.
func TestClick(t *testing.T) {
	const rate = 16000
	for _, samples := range []int{3000, rate, 5*rate + 7, 61*rate + 1} {
		for _, at := range []float64{0.001, 0.25, 0.5, 0.77, 0.999} {
			click := int(at * float64(samples))
			x := make([]float64, samples)
			x[click] = 1
			m, l := drawn(t, rate, small, x, nil)
			place := float64(click) / float64(samples) * float64(l.wave.Dx())

			first, last := -1, -1 // columns with something in the upper quarter of the waveform
			for i := range l.wave.Dx() {
				for y := l.wave.Min.Y; y < l.wave.Min.Y+l.wave.Dy()/4; y++ {
					if c := m.RGBAAt(l.wave.Min.X+i, y); c == peakColour || c == rmsColour {
						if first < 0 {
							first = i
						}
						last = i
						break
					}
				}
			}
			pixel := float64(l.wave.Dx()) / float64(samples) // of a sample
			if first < 0 || float64(first) < place-1-pixel || float64(last) > place+1+pixel {
				t.Errorf("click at sample %d of %d: columns %d to %d of the waveform, want %.1f", click, samples, first, last, place)
			}

			best, sum, weight := -1, 0, 0
			y := (l.spectrum.Min.Y + l.spectrum.Max.Y) / 2
			for i := range l.spectrum.Dx() {
				switch v := heatAt(m, l.spectrum.Min.X+i, y); {
				case v > best:
					best, sum, weight = v, i, 1
				case v == best:
					sum += i
					weight++
				}
			}
			// Near an edge, the loudest frames are not all there.
			if got, want := float64(sum)/float64(weight), place; math.Abs(got-want) > 2 && at > 0.01 && at < 0.99 {
				t.Errorf("click at sample %d of %d: column %.1f of the spectrogram, want %.1f", click, samples, got, want)
			}
		}
	}
}

// TestPooling checks the columns that are kept against plain sums over the whole sound, and that it does not matter how it
// is cut into blocks.
func TestPooling(t *testing.T) {
	const rate, most = 8000, 64
	random := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, 50001)
	for i := range x {
		x[i] = random.NormFloat64() * float64(i%7000) / 7000
	}
	w, s := newWaveform(most), newSpectrogram(rate, most)
	for rest := x; len(rest) > 0; {
		n := min(1+random.IntN(999), len(rest))
		w.add(rest[:n])
		s.add(rest[:n])
		rest = rest[n:]
	}
	s.end(int64(len(x)))

	if w.span != 1024 || len(w.columns) != 49 {
		t.Fatalf("%d columns of %d samples, want 49 of 1024", len(w.columns), w.span)
	}
	for i, c := range w.columns {
		part := x[i*1024 : min((i+1)*1024, len(x))]
		energy := 0.0
		for _, v := range part {
			energy += v * v
		}
		if c.low != slices.Min(part) || c.high != slices.Max(part) || math.Abs(c.energy-energy) > 1e-9*energy {
			t.Errorf("column %d: %+v, want %v, %v, %v", i, c, slices.Min(part), slices.Max(part), energy)
		}
	}

	// The mean power of a column, over all frequencies, is that of its samples under the windows: about their mean square.
	if n := len(s.counts); n <= most/2 || n > most || s.span != 1024 || len(s.sums) != n*s.bins {
		t.Fatalf("%d columns of %d samples, %d sums, want %d to %d of 1024", n, s.span, len(s.sums), most/2+1, most)
	}
	if s.hop > s.furthest {
		t.Errorf("frames are %d samples apart, want at most %d", s.hop, s.furthest)
	}
	for i := range s.counts {
		if want := int((min(int64(i+1)*s.span, int64(len(x))) - int64(i)*s.span + s.hop - 1) / s.hop); s.counts[i] < want {
			t.Errorf("column %d has %d frames, want %d or more", i, s.counts[i], want)
		}
	}
	one := newSpectrogram(rate, most)
	for part := range slices.Chunk(x, 4096) {
		one.add(part)
	}
	one.end(int64(len(x)))
	if !slices.Equal(one.sums, s.sums) || !slices.Equal(one.counts, s.counts) {
		t.Error("the spectrogram depends on the length of blocks")
	}
}

// TestLongNoise checks that the mean power over merged columns is that of a frame: noise of one level has one colour however
// long it is.
func TestLongNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	x := make([]float64, 8000)
	for i := range x {
		x[i] = random.NormFloat64() * 0.1
	}
	for _, seconds := range []int{10, 300} {
		s := newSpectrogram(8000, 200)
		for range seconds {
			s.add(x)
		}
		s.end(int64(seconds * len(x)))
		// Power of noise in a bin, relative to a sine: 4 sigma^2 sum w^2 / (sum w)^2 = 6 sigma^2 / window.
		want := 10 * math.Log10(6*0.01/float64(s.window))
		levels := s.levels(int64(seconds*len(x)), 100, 50)
		mean := 0.0
		for _, v := range levels {
			mean += math.Pow(10, float64(v)/10) / float64(len(levels))
		}
		if got := 10 * math.Log10(mean); math.Abs(got-want) > 0.3 {
			t.Errorf("%d s of noise: %.2f dB in a bin, want %.2f", seconds, got, want)
		}
	}
}

// TestConstantMemory checks that, once there are most columns, no sound takes any more memory.
func TestConstantMemory(t *testing.T) {
	p, err := New(16000, small)
	if err != nil {
		t.Fatal(err)
	}
	second := tone(16000, 16000, 300, 0.1)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range 60 {
		p.Add(second)
	}
	before := heap()
	if n := testing.AllocsPerRun(60, func() { p.Add(second) }); n > 0 {
		t.Errorf("a second more makes %v allocations", n)
	}
	if after := heap(); after > before+100_000 {
		t.Errorf("a minute more takes %d bytes", after-before)
	}
	if n := len(p.spectrogram.counts); n > 2*small.Width {
		t.Errorf("%d columns of the spectrogram for %d pixels", n, small.Width)
	}
	runtime.KeepAlive(p)
}

// TestCodes checks the colours of cells, at one unit a second.
func TestCodes(t *testing.T) {
	x := make([]float64, 10*8000)
	units := []int32{7, 7, 3, 1023, 0, 1, 2, 50, 51}
	for _, start := range []float64{0, 4} {
		o := small
		o.Start = start
		m, l := drawn(t, 8000, o, x, &Codes{units, 1})
		for i := range 10 {
			want := paper
			if unit := i + int(start); unit < len(units) {
				want = UnitColour(units[unit])
			}
			left, right := l.codes.Min.X+i*l.codes.Dx()/10, l.codes.Min.X+(i+1)*l.codes.Dx()/10
			for _, x := range []int{left + 1, right - 2} {
				if got := m.RGBAAt(x, l.codes.Min.Y+2); got != want {
					t.Errorf("start %v: second %d, column %d: %v, want %v", start, i, x, got, want)
				}
			}
			// The number is written on it: there is text in the middle, unless the run has it elsewhere.
			middle, other := (left+right)/2, false
			for y := l.codes.Min.Y; y < l.codes.Max.Y-5; y++ {
				for x := middle - 8; x < middle+8; x++ {
					other = other || m.RGBAAt(x, y) != want
				}
			}
			if want != paper && !(start == 0 && i < 2) && !other {
				t.Errorf("start %v: second %d has no number", start, i)
			}
		}
		if start == 0 { // a notch between the two of a run, none where the unit changes
			y := l.codes.Max.Y - 2
			for i, notch := range map[int]bool{1: true, 2: false} {
				found := false
				for x := l.codes.Min.X + i*l.codes.Dx()/10 - 1; x <= l.codes.Min.X+i*l.codes.Dx()/10+1; x++ {
					found = found || m.RGBAAt(x, y) == onUnit(units[i])
				}
				if found != notch {
					t.Errorf("a notch after %d units: %v, want %v", i, found, notch)
				}
			}
		}
	}
}

// TestDenseCodes checks that the most frequent of the units on a pixel is shown.
func TestDenseCodes(t *testing.T) {
	p, err := New(8000, small)
	if err != nil {
		t.Fatal(err)
	}
	r := p.layout(true).codes
	units := make([]int32, 11*r.Dx())
	for i := range units {
		units[i] = int32(i % 11) // each different,
		if i%11 >= 8 {
			units[i] = int32(100 + i/11%5) // but for three of a pixel
		}
	}
	p.Add(make([]float64, 8000))
	m := p.Draw(&Codes{units, float64(len(units))})
	for x := range r.Dx() {
		if got, want := m.RGBAAt(r.Min.X+x, r.Min.Y+1), UnitColour(int32(100+x%5)); got != want {
			t.Fatalf("column %d: %v, want %v", x, got, want)
		}
	}
}

// TestAwkward draws what is hardly a sound, or none, at hardly a size.
func TestAwkward(t *testing.T) {
	sounds := map[string][]float64{
		"none":       nil,
		"one":        {0.5},
		"two":        {-1, 1},
		"silent":     make([]float64, 30000),
		"constant":   slices.Repeat([]float64{0.25}, 5000),
		"not finite": slices.Repeat([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 0}, 3000),
		"huge":       slices.Repeat([]float64{1e6, -1e6}, 3000),
		"tiny":       slices.Repeat([]float64{5e-324, -1e-300}, 3000),
	}
	codesOf := []*Codes{
		nil, {Rate: 50}, {Units: []int32{1, 2, 3, math.MaxInt32, -5}, Rate: 1e6}, {Units: []int32{4}, Rate: 1e-300}, {Units: []int32{4, 5}, Rate: 1e300},
	}
	for name, x := range sounds {
		for i, rate := range []int{1, 333, 8000, 10_000_000, math.MaxInt32} {
			for j, o := range []Options{{Width: MinWidth, Height: MinHeight, Title: string(make([]rune, 500))}, {Width: 900, Height: 700, Start: 1e8, Title: "\xff\x00\n…"}} {
				codes := codesOf[(i+2*j)%len(codesOf)]
				m, l := drawn(t, rate, o, x, codes)
				if m.Rect.Dx() != o.Width || m.Rect.Dy() != o.Height || !m.Opaque() {
					t.Fatalf("%s at %d Hz: %v", name, rate, m.Rect)
				}
				if name == "silent" {
					for y := l.spectrum.Min.Y; y < l.spectrum.Max.Y; y += 7 {
						for x := l.spectrum.Min.X; x < l.spectrum.Max.X; x += 7 {
							if heatAt(m, x, y) != 0 {
								t.Fatalf("silence at %d Hz has colour %v at %d, %d", rate, m.RGBAAt(x, y), x, y)
							}
						}
					}
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	for _, size := range [][2]int{{MinWidth - 1, 500}, {500, MinHeight - 1}, {MaxWidth + 1, 500}, {500, MaxHeight + 1}, {0, 0}, {-1, 500}, {math.MaxInt, math.MaxInt}} {
		var wrong *SizeError
		if _, err := New(8000, Options{Width: size[0], Height: size[1]}); !errors.As(err, &wrong) || wrong.Width != size[0] || wrong.Height != size[1] {
			t.Errorf("%v: %v", size, err)
		}
	}
	if _, err := New(8000, Options{Width: MaxWidth, Height: MaxHeight}); err != nil {
		t.Error(err)
	}
}

// TestSameBytes checks that the same sound gives the same file, however it is cut into blocks.
func TestSameBytes(t *testing.T) {
	x := tone(16000, 40000, 700, 0.3)
	file := func(block int) []byte {
		p, err := New(16000, small)
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(x, block) {
			p.Add(part)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, p.Draw(&Codes{[]int32{1, 2, 3}, 1})); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := file(len(x))
	for _, block := range []int{len(x), 1, 4095} {
		if !bytes.Equal(file(block), first) {
			t.Errorf("another file with blocks of %d samples", block)
		}
	}
}

// TestText checks that a title of any length ends before what stands at the right.
func TestText(t *testing.T) {
	short, l := drawn(t, 16000, small, nil, nil)
	o := small
	o.Title = string(bytes.Repeat([]byte("W"), 300))
	long, _ := drawn(t, 16000, o, nil, nil)
	c := newCanvas(10, 10)
	from := l.scale.Max.X - c.width("16000 Hz, 0 s") - 15
	for y := range 34 {
		for x := from; x < small.Width; x++ {
			if short.RGBAAt(x, y) != long.RGBAAt(x, y) {
				t.Fatalf("a long title reaches %d, %d", x, y)
			}
		}
	}
	if long.RGBAAt(l.wave.Min.X+5, 18) == paper && long.RGBAAt(l.wave.Min.X+6, 18) == paper && long.RGBAAt(l.wave.Min.X+7, 18) == paper {
		t.Error("a long title is not written at all")
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		most      int
		time      bool
		want      string
	}{
		{0, 8, 10, false, "[0 1 2 3 4 5 6 7 8]"},
		{-0.066, 0.066, 5, false, "[-0.05 0.00 0.05]"},
		{0, 22.05, 5, false, "[0 5 10 15 20]"},
		{-70, 0, 7, false, "[-70 -60 -50 -40 -30 -20 -10 0]"},
		{-1e6, 1e6, 4, false, "[-1e+06 -5e+05 0e+00 5e+05 1e+06]"},
		{0, 2.6, 11, true, "time (s) [0.0 0.5 1.0 1.5 2.0 2.5]"},
		{2, 2.03, 8, true, "time (s) [2.000 2.005 2.010 2.015 2.020 2.025 2.030]"},
		{0, 200, 5, true, "time (min:s) [0:00 1:00 2:00 3:00]"},
		{1000, 1002, 4, true, "time (s) [1000.0 1000.5 1001.0 1001.5 1002.0]"},
		{0, 3600, 7, true, "time (h:min:s) [0:00:00 0:10:00 0:20:00 0:30:00 0:40:00 0:50:00 1:00:00]"},
		{0, 36000, 6, true, "time (h:min:s) [0:00:00 2:00:00 4:00:00 6:00:00 8:00:00 10:00:00]"},
		{0, 1e7, 4, true, "time (h:min:s) [0:00:00 768:00:00 1536:00:00 2304:00:00]"},
	} {
		ticks, name := ticks(c.low, c.high, c.most), ""
		if c.time {
			ticks, name = timeTicks(c.low, c.high, c.most)
			name += " "
		}
		var labels []string
		for _, tick := range ticks {
			labels = append(labels, tick.label)
			if tick.at < c.low-1e-9*c.high || tick.at > c.high*(1+1e-9) {
				t.Errorf("%v to %v: a tick at %v", c.low, c.high, tick.at)
			}
		}
		if got := name + fmt.Sprint(labels); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

// TestColours checks that the scale of levels gets lighter evenly, and that units can be told apart.
func TestColours(t *testing.T) {
	for i := range heat[1:] {
		if step := lightness(heat[i+1].R, heat[i+1].G, heat[i+1].B) - lightness(heat[i].R, heat[i].G, heat[i].B); step < -0.002 || step > 0.012 {
			t.Errorf("lightness rises by %.4f from %v to %v, want about %.4f", step, heat[i], heat[i+1], 0.92/255)
		}
	}
	if a, b := lightness(heat[0].R, heat[0].G, heat[0].B), lightness(heat[255].R, heat[255].G, heat[255].B); a > 0.1 || b < 0.95 {
		t.Errorf("lightness from %.2f to %.2f", a, b)
	}
	nearest := 1000
	for i := range int32(64) {
		for j := range i {
			a, b := UnitColour(i), UnitColour(j)
			distance := 0
			for _, d := range []int{int(a.R) - int(b.R), int(a.G) - int(b.G), int(a.B) - int(b.B)} {
				distance += max(d, -d)
			}
			nearest = min(nearest, distance)
		}
	}
	if nearest < 15 {
		t.Errorf("two of the first 64 units differ by %d of 765 only", nearest)
	}
	for unit := range int32(300) {
		text, cell := onUnit(unit), UnitColour(unit)
		if contrast := luminance(text.R, text.G, text.B, cell.R, cell.G, cell.B); contrast < 3 {
			t.Errorf("unit %d: the contrast of its number is %.1f, want 3", unit, contrast)
		}
	}
}

func linear(v uint8) float64 {
	if f := float64(v) / 255; f > 0.04045 {
		return math.Pow((f+0.055)/1.055, 2.4)
	} else {
		return f / 12.92
	}
}

// lightness is that of OKLab.
func lightness(red, green, blue uint8) float64 {
	r, g, b := linear(red), linear(green), linear(blue)
	return 0.2104542553*math.Cbrt(0.4122214708*r+0.5363325363*g+0.0514459929*b) +
		0.7936177850*math.Cbrt(0.2119034982*r+0.6806995451*g+0.1073969566*b) -
		0.0040720468*math.Cbrt(0.0883024619*r+0.2817188376*g+0.6299787005*b)
}

// luminance returns the contrast of two colours, 1 to 21 (WCAG 2).
func luminance(r, g, b, r2, g2, b2 uint8) float64 {
	y := 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
	z := 0.2126*linear(r2) + 0.7152*linear(g2) + 0.0722*linear(b2)
	return (max(y, z) + 0.05) / (min(y, z) + 0.05)
}
