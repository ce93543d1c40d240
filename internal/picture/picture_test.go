package picture

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// drawn draws x at 16 kHz, fed in blocks of the given length, and returns where things are in it.
func drawn(t *testing.T, x []float64, block int, o Options, codes *Codes) (*image.RGBA, layout) {
	t.Helper()
	p, err := New(16000, o)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(x, block) {
		p.Add(part)
	}
	return p.Draw(codes), p.layout(codes != nil)
}

var usual = Options{Width: 800, Height: 500, Title: "test"}

// brightness of a colour, 0 to 765.
func brightness(c color.RGBA) int { return int(c.R) + int(c.G) + int(c.B) }

// brightest returns the row of the spectrogram that is brightest over the columns of its middle half.
func brightest(m *image.RGBA, r image.Rectangle) int {
	best, row := -1, 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		sum := 0
		for x := r.Min.X + r.Dx()/4; x < r.Max.X-r.Dx()/4; x++ {
			sum += brightness(m.RGBAAt(x, y))
		}
		if sum > best {
			best, row = sum, y
		}
	}
	return row
}

// column returns the column of r whose pixels differ most from those of the picture's first column in r.
func column(m *image.RGBA, r image.Rectangle) int {
	most, found := -1, 0
	for x := r.Min.X; x < r.Max.X; x++ {
		sum := 0
		for y := r.Min.Y; y < r.Max.Y; y++ {
			d := brightness(m.RGBAAt(x, y)) - brightness(m.RGBAAt(r.Min.X, y))
			sum += max(d, -d)
		}
		if sum > most {
			most, found = sum, x
		}
	}
	return found
}

func sine(hz, amplitude float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = amplitude * math.Sin(2*math.Pi*hz*float64(i)/16000)
	}
	return x
}

// TestSine: a sine is where the axis of frequency has it, and as bright as its level.
func TestSine(t *testing.T) {
	for _, hz := range []float64{200, 1000, 3333, 7900} {
		m, l := drawn(t, sine(hz, 1, 16000), 1000, usual, nil)
		want := float64(l.spectrum.Max.Y) - hz/8000*float64(l.spectrum.Dy())
		if got := float64(brightest(m, l.spectrum)) + 0.5; math.Abs(got-want) > 1.5 {
			t.Errorf("%v Hz: brightest at row %v, want %v", hz, got, want)
		}
	}
	// Full scale is 0 dB, the brightest colour there is; -20 dB beside it is 20 of 70 dB down the scale.
	x := sine(1000, 1, 16000)
	copy(x[8000:], sine(1000, 0.1, 8000))
	m, l := drawn(t, x, 1000, usual, nil)
	y := brightest(m, l.spectrum)
	for _, c := range []struct{ at, level float64 }{{0.25, 0}, {0.75, -20}} {
		got := m.RGBAAt(l.spectrum.Min.X+int(c.at*float64(l.spectrum.Dx())), y)
		index := slices.Index(heat[:], got)
		if want := heatIndex(c.level, 0); index < want-8 || index > want { // the row is a little beside the sine's bin
			t.Errorf("%v dB: colour %d of the scale, want %d", c.level, index, want)
		}
	}
}

// TestClick: a click is where the axis of time has it, in both panels, also after columns have been merged many times.
func TestClick(t *testing.T) {
	for _, n := range []int{1600, 16000, 1600000} {
		for _, place := range []float64{0.3, 0.71} {
			x := make([]float64, n)
			at := int(place * float64(n))
			x[at] = 1
			m, l := drawn(t, x, 4096, usual, nil)
			want := float64(l.wave.Min.X) + place*float64(l.wave.Dx())
			for _, r := range []image.Rectangle{l.wave, l.spectrum} {
				// In a short sound a click is as wide as the window; the middle of it counts.
				got := float64(column(m, r)) + 0.5
				if tolerance := max(2, 0.0125*16000/float64(n)*float64(r.Dx())); math.Abs(got-want) > tolerance {
					t.Errorf("click at %v of %d samples: column %v of %v, want %v", place, n, got, r, want)
				}
			}
		}
	}
}

// TestCodes: cells have the colours of their units at the times of their units, also in a picture that begins later.
func TestCodes(t *testing.T) {
	units := make([]int32, 40) // 20 a second: two seconds
	for i := range units {
		units[i] = int32(i * 13 % 32)
	}
	for _, start := range []float64{0, 0.5, 1.75} {
		o := usual
		o.Start = start
		m, l := drawn(t, sine(300, 0.5, 16000), 1000, o, &Codes{Units: units, Rate: 20})
		for x := l.codes.Min.X; x < l.codes.Max.X; x++ {
			at := 20 * (start + (float64(x-l.codes.Min.X)+0.5)/float64(l.codes.Dx()))
			want := paper // after the last unit
			if int(at) < len(units) {
				want = UnitColour(units[int(at)])
			}
			if got := m.RGBAAt(x, l.codes.Min.Y+1); got != want {
				t.Fatalf("start %v, column %d: %v, want %v, of place %.2f", start, x, got, want, at)
			}
		}
	}
	// Many units in a pixel: the most frequent one.
	many := slices.Repeat([]int32{3, 7, 7}, 10000)
	m, l := drawn(t, sine(300, 0.5, 16000), 1000, usual, &Codes{Units: many, Rate: 30000})
	for x := l.codes.Min.X; x < l.codes.Max.X; x++ {
		if got := m.RGBAAt(x, l.codes.Min.Y+1); got != UnitColour(7) {
			t.Fatalf("column %d: %v, want that of unit 7, %v", x, got, UnitColour(7))
		}
	}
}

// TestBlocks: the picture does not depend on how the sound comes.
func TestBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, 50021)
	for i := range x {
		x[i] = rng.NormFloat64() / 5
	}
	want, _ := drawn(t, x, len(x), usual, nil)
	for _, block := range []int{1, 997, 4096, 4097} {
		if got, _ := drawn(t, x, block, usual, nil); !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("blocks of %d: another picture", block)
		}
	}
}

// TestMemory: what is kept of a sound does not grow with it.
func TestMemory(t *testing.T) {
	p, err := New(16000, usual)
	if err != nil {
		t.Fatal(err)
	}
	x := sine(440, 0.5, 16000)
	for range 900 {
		p.Add(x)
		if w, s := p.waveform, p.spectrogram; cap(w.columns) > 16*usual.Width || cap(s.counts) > 4*usual.Width ||
			cap(s.sums) > 4*usual.Width*s.bins || cap(s.buffer) > 4*4096 {
			t.Fatalf("after %d samples: %d columns, %d spectra, %d samples", p.samples, cap(w.columns), cap(s.counts), cap(s.buffer))
		}
	}
	m, l := p.Draw(nil), p.layout(false)
	want := float64(l.spectrum.Max.Y) - 440./8000*float64(l.spectrum.Dy())
	if got := float64(brightest(m, l.spectrum)) + 0.5; math.Abs(got-want) > 1.5 {
		t.Errorf("brightest at row %v, want %v", got, want)
	}
}

// TestOddSounds draws what is hardly a sound.
func TestOddSounds(t *testing.T) {
	nan := math.NaN()
	for name, x := range map[string][]float64{
		"nothing": {}, "a sample": {1}, "two samples": {1, -1}, "silence": make([]float64, 30000),
		"no numbers":   {nan, math.Inf(1), math.Inf(-1), nan},
		"huge numbers": slices.Repeat([]float64{1e300, -1e300}, 5000),
	} {
		for _, codes := range []*Codes{nil, {Rate: 50}, {Units: []int32{0, math.MaxInt32, 5}, Rate: 1e6}, {Units: []int32{1}, Rate: 1e-9}} {
			for _, start := range []float64{0, 1e8} {
				m, l := drawn(t, x, 4096, Options{Width: MinWidth, Height: MinHeight, Title: name, Start: start}, codes)
				if name != "silence" {
					continue
				}
				for y := l.spectrum.Min.Y; y < l.spectrum.Max.Y; y++ {
					if got := m.RGBAAt(l.spectrum.Min.X+50, y); got != heat[0] {
						t.Fatalf("silence in row %d is %v, want %v", y, got, heat[0])
					}
				}
			}
		}
	}
	for _, rate := range []int{1, 7, 1000, 192000, 10_000_000} {
		p, err := New(rate, usual)
		if err != nil {
			t.Fatal(err)
		}
		p.Add(sine(1000, 1, 3000))
		p.Draw(nil)
	}
}

func TestSizes(t *testing.T) {
	for _, size := range [][2]int{{MinWidth - 1, 500}, {500, MinHeight - 1}, {MaxWidth + 1, 500}, {500, MaxHeight + 1}, {-1, -1}, {math.MaxInt, math.MaxInt}} {
		var wrong *SizeError
		if _, err := New(16000, Options{Width: size[0], Height: size[1]}); !errors.As(err, &wrong) || wrong.Width != size[0] || wrong.Height != size[1] {
			t.Errorf("%v: %v", size, err)
		}
	}
	for _, size := range [][2]int{{MinWidth, MaxHeight}, {MaxWidth, MinHeight}} {
		o := Options{Width: size[0], Height: size[1]}
		if m, _ := drawn(t, sine(1000, 1, 3000), 1000, o, &Codes{Units: []int32{1, 2}, Rate: 10}); m.Bounds() != image.Rect(0, 0, size[0], size[1]) {
			t.Errorf("%v: %v", size, m.Bounds())
		}
	}
}

// TestColours: the scale of levels gets lighter at every step, and units have colours of their own.
func TestColours(t *testing.T) {
	linear := func(v uint8) float64 { // IEC 61966-2-1
		x := float64(v) / 255
		if x > 0.04045 {
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return x / 12.92
	}
	luminance := func(c color.RGBA) float64 { return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B) }
	for i := 8; i < len(heat); i++ {
		if luminance(heat[i]) <= luminance(heat[i-8]) {
			t.Errorf("%v is not lighter than %v", heat[i], heat[i-8])
		}
	}
	seen := map[color.RGBA]int32{}
	for unit := range int32(512) {
		c := UnitColour(unit)
		if before, ok := seen[c]; ok {
			t.Errorf("units %d and %d have the same colour %v", before, unit, c)
		}
		seen[c] = unit
	}
	// Ottosson's published pairs: white is L = 1, and pure red L = 0.628, a = 0.225, b = 0.126.
	if got := oklch(1, 0, 0); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("white is %v", got)
	}
	r, g, b := linearRGB(0.62796, 0.22486, 0.12585)
	if math.Abs(r-1) > 1e-3 || math.Abs(g) > 1e-3 || math.Abs(b) > 1e-3 {
		t.Errorf("red is %v, %v, %v", r, g, b)
	}
}

func TestTicks(t *testing.T) {
	labels := func(ticks []tick) (all []string) {
		for _, t := range ticks {
			all = append(all, t.label)
		}
		return all
	}
	for _, c := range []struct {
		low, high float64
		most      int
		want      []string
	}{
		{0, 8, 9, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8"}},
		{0, 2.6, 6, []string{"0.0", "0.5", "1.0", "1.5", "2.0", "2.5"}},
		{-0.06, 0.06, 3, []string{"-0.05", "0.00", "0.05"}},
		{100.001, 100.004, 4, []string{"100.001", "100.002", "100.003", "100.004"}},
	} {
		if got := labels(ticks(c.low, c.high, c.most)); !slices.Equal(got, c.want) {
			t.Errorf("%v to %v: %q, want %q", c.low, c.high, got, c.want)
		}
	}
	for _, c := range []struct {
		low, high float64
		most      int
		name      string
		want      []string
	}{
		{0, 4, 5, "time (s)", []string{"0", "1", "2", "3", "4"}},
		{0, 300, 5, "time (min:s)", []string{"0:00", "1:00", "2:00", "3:00", "4:00", "5:00"}},
		{3600, 3600 * 3, 4, "time (h:min:s)", []string{"1:00:00", "1:30:00", "2:00:00", "2:30:00", "3:00:00"}},
	} {
		got, name := timeTicks(c.low, c.high, c.most)
		if !slices.Equal(labels(got), c.want) || name != c.name {
			t.Errorf("%v to %v s: %q %s, want %q %s", c.low, c.high, labels(got), name, c.want, c.name)
		}
	}
}
