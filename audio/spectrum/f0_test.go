package spectrum

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/internal/shared"
)

func newF0(t testing.TB, c F0Config) *F0 {
	t.Helper()
	f, err := NewF0(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// harmonics returns n samples in which multiples of the frequency sound, from one to another, each with this amplitude, as
// far as the rate holds them.
func harmonics(n int, amplitude, hz float64, from, to, rate int) []float64 {
	x := make([]float64, n)
	for h := from; h <= to && 2*hz*float64(h) < float64(rate); h++ {
		for i := range x {
			x[i] += amplitude * math.Cos(2*math.Pi*hz*float64(h)*float64(i)/float64(rate)+float64(h*h))
		}
	}
	return x
}

// TestF0Steady: sines and sums of harmonics, among them such without the first ones, are found to 0.1 %, at every rate.
func TestF0Steady(t *testing.T) {
	for _, rate := range []int{8000, 11025, 16000, 22050, 44100, 48000} {
		f := newF0(t, Speech(rate))
		for hz := 62.; hz <= 500; hz *= 1.26 {
			for name, x := range map[string][]float64{
				"sine": sine(rate/4, 0.3, hz, rate), "all harmonics": harmonics(rate/4, 0.02, hz, 1, 1000, rate),
				"harmonics 2 to 5": harmonics(rate/4, 0.1, hz, 2, 5, rate), "harmonics 3 to 6": harmonics(rate/4, 0.1, min(hz, 300), 3, 6, rate),
			} {
				want := hz
				if name == "harmonics 3 to 6" {
					want = min(hz, 300)
				}
				for frame, got := range f.Track(nil, x)[3:22] {
					if !(math.Abs(got/want-1) < 0.001) {
						t.Fatalf("%d Hz: %s of %.2f Hz: frame %d has %v", rate, name, want, frame+3, got)
					}
				}
			}
		}
	}
}

// voice returns n samples of a voice: 15 harmonics that fall by 6 dB an octave, of the frequency that hz has at each time,
// with white noise about 20 dB below.
func voice(n, rate int, hz func(seconds float64) float64) []float64 {
	x := noise(n, 0.015)
	phase := 0.
	for i := range x {
		phase += hz((float64(i)-0.5)/float64(rate)) / float64(rate)
		for h := 1.; h <= 15; h++ {
			x[i] += 0.1 / h * math.Cos(2*math.Pi*h*phase+h*h)
		}
	}
	return x
}

// TestF0Glide: what glides is followed at the time at which it is there: the middle of each frame.
func TestF0Glide(t *testing.T) {
	f := newF0(t, Speech(16000))
	for name, hz := range map[string]func(s float64) float64{
		"up":      func(s float64) float64 { return 90 + 130*s },
		"down":    func(s float64) float64 { return 300 * math.Exp2(-1.2*s) },
		"vibrato": func(s float64) float64 { return 200 * math.Exp2(0.1*math.Sin(2*math.Pi*5*s)) },
	} {
		mean, square := 0., 0. // of the error, in cents
		for frame, got := range f.Track(nil, voice(16000, 16000, hz))[5:95] {
			want := hz((float64(frame+5)*160 + 80) / 16000)
			if !(math.Abs(got/want-1) < 0.01) {
				t.Errorf("%s: frame %d has %v Hz, want %v", name, frame+5, got, want)
			}
			cents := 1200 * math.Log2(got/want)
			mean += cents / 90
			square += cents * cents / 90
		}
		t.Logf("%s: mean %.2f cents, RMS %.2f", name, mean, math.Sqrt(square))
		// If frames were 1 ms off, so would be the mean of "up" by 1.5 cents and that of "down" by 2.
		if !(math.Abs(mean) < 0.5) || math.Sqrt(square) > 4 {
			t.Errorf("%s: %.2f cents off in the mean, %.2f RMS", name, mean, math.Sqrt(square))
		}
	}
}

// TestF0Unvoiced: noise, silence and an offset are unvoiced, as is noise between two voices, whatever the level of all.
func TestF0Unvoiced(t *testing.T) {
	f := newF0(t, Speech(16000))
	offset := make([]float64, 16000)
	for i := range offset {
		offset[i] = 0.5
	}
	brown := noise(16000*10, 0.1)
	for i := 1; i < len(brown); i++ {
		brown[i] += 0.9 * brown[i-1]
	}
	for name, x := range map[string][]float64{
		"white noise": noise(16000*10, 0.5), "brown noise": brown, "silence": make([]float64, 16000), "an offset": offset,
		"a click": append(make([]float64, 5000), append([]float64{1}, make([]float64, 5000)...)...),
	} {
		voiced := 0
		for _, hz := range f.Track(nil, x) {
			if hz != 0 {
				voiced++
			}
		}
		if voiced > 0 {
			t.Errorf("%s: %d frames are voiced", name, voiced)
		}
	}

	x := slices.Concat(harmonics(4800, 0.05, 140, 1, 20, 16000), noise(4800, 0.1), harmonics(4800, 0.05, 210, 1, 20, 16000), make([]float64, 1600))
	want := f.Track(nil, x)
	for frame, got := range want {
		expected := 0.
		switch {
		case frame < 30:
			expected = 140
		case frame >= 60 && frame < 90:
			expected = 210
		}
		if border := frame%30 < 2 || frame%30 > 27; !border && math.Abs(got-expected) > 0.5 {
			t.Errorf("frame %d has %v, want %v", frame, got, expected)
		}
	}
	for i := range x {
		x[i] /= 1024 // exact
	}
	if !slices.Equal(f.Track(nil, x), want) {
		t.Error("another level gives another track")
	}
	for i := range x {
		x[i] = x[i]*1024 + 0.1
	}
	for frame, got := range f.Track(nil, x)[2:100] {
		if (got == 0) != (want[frame+2] == 0) || math.Abs(got-want[frame+2]) > 0.1 {
			t.Errorf("frame %d has %v with an offset, %v without", frame+2, got, want[frame+2])
		}
	}
}

// TestF0Octaves: a voice in which every second period is weaker, or in which the second harmonic is much the loudest, keeps
// its frequency.
func TestF0Octaves(t *testing.T) {
	f := newF0(t, Speech(16000))
	for _, hz := range []float64{80, 110, 160, 220} {
		weak := harmonics(16000, 0.05, hz, 1, 10, 16000)
		for i, v := range harmonics(16000, 0.2, 2*hz, 1, 1, 16000) {
			weak[i] += v
		}
		alternating := harmonics(16000, 0.05, hz, 1, 10, 16000)
		for i, v := range harmonics(16000, 0.003, hz/2, 1, 20, 16000) {
			alternating[i] += v
		}
		for name, x := range map[string][]float64{"loud second harmonic": weak, "alternating periods": alternating} {
			for frame, got := range f.Track(nil, x)[3:97] {
				if math.Abs(got/hz-1) > 0.01 {
					t.Errorf("%s, %v Hz: frame %d has %v", name, hz, frame+3, got)
					break
				}
			}
		}
	}
}

// TestF0Neighbours: a voice that has but its even harmonics for a moment, which on its own would be an octave higher, keeps
// its frequency.
func TestF0Neighbours(t *testing.T) {
	x := harmonics(16000, 0.05, 150, 1, 12, 16000)
	copy(x[8000:8640], harmonics(16000, 0.05, 300, 1, 6, 16000)[8000:])
	for frame, got := range newF0(t, Speech(16000)).Track(nil, x)[3:97] {
		if math.Abs(got-150) > 1.5 {
			t.Errorf("frame %d has %v", frame+3, got)
		}
	}
}

// TestF0Short: no samples have no frames, a few have unvoiced ones; what is no number unvoices only the frames that read it.
func TestF0Short(t *testing.T) {
	f := newF0(t, Speech(16000))
	for n, frames := range map[int]int{0: 0, 1: 1, 2: 1, 160: 1, 161: 2, 400: 3} {
		got := f.Track(nil, noise(n, 0.5))
		if len(got) != frames || f.config.Frames(n) != frames {
			t.Errorf("%d samples have %d frames, want %d", n, len(got), frames)
		}
		for _, hz := range got {
			if hz != 0 {
				t.Errorf("%d samples of noise have %v Hz", n, hz)
			}
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		x := harmonics(16000, 0.05, 150, 1, 10, 16000)
		x[8000] = bad
		for frame, hz := range f.Track(nil, x) {
			switch away := math.Abs(float64(frame*160 + 80 - 8000)); {
			case away < 2*16000/60./2 && hz != 0:
				t.Errorf("%v: frame %d, which reads it, has %v Hz", bad, frame, hz)
			case away > 2*16000/60./2+20 && frame > 1 && frame < 98 && math.Abs(hz-150) > 0.2:
				t.Errorf("%v: frame %d has %v Hz", bad, frame, hz)
			}
		}
		for i := range x {
			x[i] = bad
		}
		for frame, hz := range f.Track(nil, x) {
			if hz != 0 {
				t.Errorf("only %v: frame %d has %v Hz", bad, frame, hz)
			}
		}
	}
}

func TestF0Reuse(t *testing.T) {
	f := newF0(t, Speech(16000))
	x := voice(16000, 16000, func(float64) float64 { return 120 })
	want := f.Track(nil, x)
	dst := f.Track(nil, noise(20000, 0.1))
	if n := testing.AllocsPerRun(2, func() { dst = f.Track(dst, x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !slices.Equal(dst, want) {
		t.Error("a used tracker gives another result")
	}
}

func TestF0ConfigErrors(t *testing.T) {
	for want, c := range map[string]F0Config{
		"hop":                {Rate: 16000, Hop: 0, Low: 60, High: 500},
		"from 5":             {Rate: 16000, Hop: 160, Low: 5, High: 500},
		"to 60":              {Rate: 16000, Hop: 160, Low: 60, High: 60},
		"to 1001":            {Rate: 16000, Hop: 160, Low: 60, High: 1001},
		"from NaN":           {Rate: 16000, Hop: 160, Low: math.NaN(), High: 500},
		"rate of 1073741824": {Rate: 1 << 30, Hop: 160, Low: 60, High: 500},
		"rate of 1999":       {Rate: 1999, Hop: 20, Low: 60, High: 500},
	} {
		if _, err := NewF0(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	for _, c := range []F0Config{{2000, 20, 60, 500}, {5999, 1, 10, 1000}, {192000, 7, 499, 500}} {
		f, err := NewF0(c)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		f.Track(nil, noise(500, 1))
	}
}

func TestMedianF0(t *testing.T) {
	for _, test := range []struct{ track, want string }{{"[0 120 0 100 300]", "120"}, {"[100 0 110]", "105"}, {"[0 0]", "NaN"}, {"[]", "NaN"}} {
		var track []float64
		for _, w := range strings.Fields(strings.Trim(test.track, "[]")) {
			var hz float64
			fmt.Sscan(w, &hz)
			track = append(track, hz)
		}
		if got := fmt.Sprint(MedianF0(track)); got != test.want {
			t.Errorf("%s: %s, want %s", test.track, got, test.want)
		}
	}
}

// TestF0Speakers takes the longest utterance of every speaker: women's and men's medians must be where they are known to be
// (165 to 255 and 85 to 155 Hz are typical: Baken and Orlikoff 2000), and jumps by an octave rare.
func TestF0Speakers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs seconds for some minutes of speech: not with -short")
	}
	root := shared.Data(t, "speech")
	type utterance struct{ path, gender, seconds string }
	longest := map[string]utterance{}
	list, err := os.Open(filepath.Join(root, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		columns := strings.Split(lines.Text(), "\t")
		if len(columns) < 7 || columns[0] == "path" {
			continue
		}
		u := utterance{columns[0], columns[6], columns[3]}
		if before := longest[columns[1]]; len(u.seconds) > len(before.seconds) || len(u.seconds) == len(before.seconds) && u.seconds > before.seconds {
			longest[columns[1]] = u
		}
	}
	f := newF0(t, Speech(16000))
	medians := map[string][]float64{}
	jumps, pairs, wrong := 0, 0, 0
	for speaker, u := range longest {
		r, err := audio.Open(filepath.Join(root, filepath.FromSlash(u.path)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := audio.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		track := f.Track(nil, b.Data)
		for i := 1; i < len(track); i++ {
			if track[i] > 0 && track[i-1] > 0 {
				pairs++
				if math.Abs(math.Log2(track[i]/track[i-1])) > 0.7 {
					jumps++
				}
			}
		}
		median := MedianF0(track)
		medians[u.gender] = append(medians[u.gender], median)
		if (u.gender == "f") != (median > 162) {
			wrong++
			t.Logf("%s (%s) has a median of %.0f Hz", speaker, u.gender, median)
		}
	}
	if len(medians["f"]) < 30 || len(medians["m"]) < 60 {
		t.Fatalf("%d women and %d men", len(medians["f"]), len(medians["m"]))
	}
	for gender, within := range map[string][2]float64{"f": {165, 255}, "m": {85, 155}} {
		all := medians[gender]
		slices.Sort(all)
		middle := all[len(all)/2]
		t.Logf("%s: %d speakers, medians from %.0f to %.0f Hz, in the middle %.0f, 10 to 90 %% from %.0f to %.0f",
			gender, len(all), all[0], all[len(all)-1], middle, all[len(all)/10], all[len(all)*9/10])
		if all[len(all)/10] < within[0] || all[len(all)*9/10] > within[1] {
			t.Errorf("%s: four fifths of the speakers from %v to %v Hz, want %v", gender, all[len(all)/10], all[len(all)*9/10], within)
		}
	}
	t.Logf("%d jumps by an octave in %d pairs of voiced frames", jumps, pairs)
	if pairs < 10000 || float64(jumps)/float64(pairs) > 0.005 {
		t.Errorf("%d jumps by an octave in %d pairs of voiced frames", jumps, pairs)
	}
	if wrong > len(longest)/20 {
		t.Errorf("%d of %d speakers are on the wrong side of 162 Hz", wrong, len(longest))
	}
}

// FuzzF0 tries to make an analysis panic, or give what is neither a frequency nor unvoiced.
func FuzzF0(f *testing.F) {
	f.Add([]byte{0, 0, 127, 255, 3}, uint16(16000), uint8(160))
	f.Add([]byte("0123456789012345678901234567890123456789"), uint16(2000), uint8(1))
	f.Add([]byte("\xf5\xa4\xb7\xa4\xa4\xa4\xa4"), uint16(2455), uint8('V')) // a peak beyond the range
	f.Fuzz(func(t *testing.T, data []byte, rate uint16, hop uint8) {
		c := Speech(int(rate))
		c.Hop = int(hop)
		tracker, err := NewF0(c)
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(uint64(rate), 1))
		x := make([]float64, len(data))
		for i, b := range data {
			x[i] = math.Ldexp(float64(int8(b)), r.IntN(40)-20)
			if b == 0x80 {
				x[i] = math.Inf(1)
			}
		}
		for frame, hz := range tracker.Track(nil, x) {
			if hz != 0 && !(hz > c.Low*(1-1e-9) && hz < c.High*(1+1e-9)) {
				t.Errorf("frame %d has %v Hz", frame, hz)
			}
		}
	})
}
