package picture

import (
	"bytes"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

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

// TestSinePower checks the level of a sine by its power over all rows of a column, whatever the rate and however often
// columns were merged: that of the sine times the equivalent noise bandwidth of a Hann window, 1.5 bins of a transform of its
// length.
func TestSinePower(t *testing.T) {
	const width, height = 300, 400
	for _, rate := range []int{8000, 16000, 44100} {
		for _, seconds := range []float64{0.2, 2, 15} {
			x := sine(1000*16000/float64(rate), 0.5, int(seconds*float64(rate)))
			s := newSpectrogram(rate, 2*width)
			for part := range slices.Chunk(x, 4096) {
				s.add(part)
			}
			s.end(int64(len(x)))
			levels := s.levels(int64(len(x)), width, height)
			binsPerRow, power := float64(s.bins-1)/height, 0.0
			for y := range height {
				power += binsPerRow * math.Pow(10, float64(levels[y*width+width/2])/10)
			}
			power /= 1.5 * 2 * float64(s.bins-1) / float64(s.window)
			// Rows that are narrower than bins are points between them: their sum is not quite that of the bins.
			if got, want := 10*math.Log10(power), 20*math.Log10(0.5); math.Abs(got-want) > 0.2 {
				t.Errorf("%d Hz, %v s: %.2f dB, want %.2f", rate, seconds, got, want)
			}
		}
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

// TestAddAllocatesNothing checks that, once there are most columns, more sound takes no more memory.
func TestAddAllocatesNothing(t *testing.T) {
	p, err := New(16000, usual)
	if err != nil {
		t.Fatal(err)
	}
	second := sine(300, 0.1, 16000)
	for range 60 {
		p.Add(second)
	}
	if n := testing.AllocsPerRun(60, func() { p.Add(second) }); n > 0 {
		t.Errorf("a second more makes %v allocations", n)
	}
}

// TestText checks that a title of any length ends before what stands at the right.
func TestText(t *testing.T) {
	short, l := drawn(t, nil, 1, usual, nil)
	o := usual
	o.Title = string(bytes.Repeat([]byte("W"), 300))
	long, _ := drawn(t, nil, 1, o, nil)
	c := newCanvas(10, 10)
	from := l.scale.Max.X - c.width("16000 Hz, 0 s") - 15
	for y := range 34 {
		for x := from; x < usual.Width; x++ {
			if short.RGBAAt(x, y) != long.RGBAAt(x, y) {
				t.Fatalf("a long title reaches %d, %d", x, y)
			}
		}
	}
	if long.RGBAAt(l.wave.Min.X+5, 18) == paper && long.RGBAAt(l.wave.Min.X+6, 18) == paper && long.RGBAAt(l.wave.Min.X+7, 18) == paper {
		t.Error("a long title is not written at all")
	}
}

// TestContrast checks that numbers can be read on the colours of their units: a contrast of 3 or more, 21 is black on white
// (WCAG 2.1, 1.4.3).
func TestContrast(t *testing.T) {
	luminance := func(c color.RGBA) (y float64) {
		for i, v := range [3]uint8{c.R, c.G, c.B} {
			linear := float64(v) / 255 / 12.92
			if f := float64(v) / 255; f > 0.04045 {
				linear = math.Pow((f+0.055)/1.055, 2.4)
			}
			y += [3]float64{0.2126, 0.7152, 0.0722}[i] * linear
		}
		return y
	}
	for unit := range int32(512) {
		y, z := luminance(onUnit(unit)), luminance(UnitColour(unit))
		if contrast := (max(y, z) + 0.05) / (min(y, z) + 0.05); contrast < 3 {
			t.Errorf("unit %d: the contrast of its number is %.1f, want 3", unit, contrast)
		}
	}
}

// TestNumbers checks that numbers are written on units where there is room, and that a notch marks a repeated unit.
func TestNumbers(t *testing.T) {
	units := []int32{7, 7, 3, 1023, 4}
	m, l := drawn(t, sine(300, 0.5, 5*16000), 16000, usual, &Codes{Units: units, Rate: 1})
	cell := float64(l.codes.Dx()) / float64(len(units))
	on := func(unit int32, from, to float64, top, bottom int) (n int) { // pixels in the colour of text
		for x := l.codes.Min.X + int(from*cell); x < l.codes.Min.X+int(to*cell); x++ {
			for y := top; y < bottom; y++ {
				if m.RGBAAt(x, y) == onUnit(unit) {
					n++
				}
			}
		}
		return n
	}
	notches := l.codes.Max.Y - 4
	for _, c := range []struct {
		unit     int32
		from, to float64 // in cells
		number   bool
		notch    int // pixels
	}{
		{7, 0, 0.9, false, 0}, {7, 0.9, 1.1, true, 4}, {7, 1.1, 2, false, 0}, // one number in the middle of two cells
		{3, 2, 3, true, 0}, {1023, 3, 4, true, 0}, {4, 4, 5, true, 0},
	} {
		if got := on(c.unit, c.from, c.to, l.codes.Min.Y, notches) > 0; got != c.number {
			t.Errorf("a number on %v to %v: %v, want %v", c.from, c.to, got, c.number)
		}
		if got := on(c.unit, c.from, c.to, notches, l.codes.Max.Y); got != c.notch {
			t.Errorf("a notch on %v to %v: %d pixels, want %d", c.from, c.to, got, c.notch)
		}
	}
}
