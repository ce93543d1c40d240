package audio

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vqaudio/vqaudio/files"
)

func mp3File(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".mp3"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readMP3 reads b whole, and checks that Info and what comes agree.
func readMP3(t *testing.T, b []byte) ([]float64, Info) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b), "x")
	if err != nil {
		t.Fatal(err)
	}
	before := r.Info()
	all, err := ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	info := r.Info()
	if info.Container != "MP3" || info.Encoding != "MP3" || info.Bits != 0 || info.Channels != r.Format().NumChannels || info.Rate != r.Format().SampleRate ||
		info.Frames*int64(info.Channels) != int64(len(all.Data)) {
		t.Fatalf("%+v for %d samples", info, len(all.Data))
	}
	if !info.Truncated && len(info.Oddities) == 0 && before.Frames >= 0 && before.Frames != info.Frames {
		t.Errorf("%d frames were said, %d came", before.Frames, info.Frames)
	}
	return all.Data, info
}

// TestMP3Sines compares with what was encoded. With a LAME tag there is no delay; without it, that of encoder and decoder.
func TestMP3Sines(t *testing.T) {
	for _, c := range []struct {
		name   string
		hz     []float64
		rate   int
		frames int64
		delay  int
		peak   float64 // LAME makes low constant bit rates softer by 5 %
	}{
		{"sines-44100-stereo", []float64{440, 1000}, 44100, 17640, 0, 0.475},
		{"sine-48000-mono", []float64{700}, 48000, 19200, 0, 0.5},
		{"sine-11025-mono", []float64{300}, 11025, 12 * 576, 576 + mp3Delay, 0.475},
	} {
		x, info := readMP3(t, mp3File(t, c.name))
		if info.Channels != len(c.hz) || info.Rate != c.rate || info.Frames != c.frames || info.Truncated || info.Oddities != nil {
			t.Errorf("%s: %+v", c.name, info)
			continue
		}
		for channel, hz := range c.hz {
			var signal, noise float64
			for i := c.rate / 20; i < c.rate/3; i++ { // away from the ends, which the encoder smears
				want := c.peak * math.Sin(2*math.Pi*hz*float64(i)/float64(c.rate))
				d := x[(i+c.delay)*info.Channels+channel] - want
				signal += want * want
				noise += d * d
			}
			if snr := 10 * math.Log10(signal/noise); !(snr > 40) {
				t.Errorf("%s: channel %d is %.1f dB above the noise", c.name, channel, snr)
			}
		}
	}
}

// TestMP3Speech compares with FFmpeg's decoder: see testdata/README.md. The file has padded frames of MPEG-2, and blocks of
// all types.
func TestMP3Speech(t *testing.T) {
	x, info := readMP3(t, mp3File(t, "speech-22050-mono"))
	if info.Channels != 1 || info.Rate != 22050 || info.Frames != 48*576 || info.Truncated || info.Oddities != nil {
		t.Fatalf("%+v", info)
	}
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	if rms := math.Sqrt(sum / float64(len(x))); math.Abs(rms-0.063643) > 1e-5 {
		t.Errorf("RMS %.6f, want 0.063643", rms)
	}
	for i, want := range map[int]float64{2500: -0.001081, 4200: 0.072636, 5900: -0.045122, 7600: -0.000883, 12700: -0.106982, 14400: 0.135858, 16100: 0.025448, 17800: -0.046444, 19500: -0.134089} {
		if d := math.Abs(x[i] - want); d > 2.0/(1<<15) {
			t.Errorf("sample %d is %.6f, want %.6f", i, x[i], want)
		}
	}
}

func TestMP3Damage(t *testing.T) {
	const spf = 576
	speech := mp3File(t, "speech-22050-mono")
	x, _ := readMP3(t, speech)
	starts := mp3Starts(t, speech)
	odd := func(name string, info Info, truncated bool, want ...string) {
		t.Helper()
		if info.Truncated != truncated || len(info.Oddities) != len(want) {
			t.Errorf("%s: truncated %v, %q", name, info.Truncated, info.Oddities)
			return
		}
		for i, o := range info.Oddities {
			if !strings.Contains(o, want[i]) {
				t.Errorf("%s: %q, want %q", name, o, want[i])
			}
		}
	}

	id3 := append([]byte("ID3\x04\x00\x00\x00\x00\x01\x02"), make([]byte, 130)...)
	v1 := append([]byte("TAG"), make([]byte, 125)...)
	ape := append([]byte("APETAGEX\xd0\x07\x00\x00\x28\x00\x00\x00"), make([]byte, 16+40)...)
	tagged := slices.Concat(id3, speech[:starts[20]], id3, speech[starts[20]:], ape, v1)
	got, info := readMP3(t, tagged)
	odd("tags", info, false)
	var ids []string
	for _, c := range info.Chunks {
		ids = append(ids, c.ID)
	}
	if !slices.Equal(got, x) || !slices.Equal(ids, []string{"ID3", "ID3", "APETAGEX", "TAG"}) {
		t.Errorf("tags: %d samples, want %d; %q", len(got), len(x), ids)
	}

	got, info = readMP3(t, slices.Concat(speech[:starts[20]], []byte("no frame\xff\xf3 at all"), speech[starts[20]:], []byte("the end")))
	odd("junk", info, false, "24 bytes that belong to no frame, the first at byte")
	if !slices.Equal(got, x) {
		t.Error("junk changes the sound")
	}

	got, info = readMP3(t, speech[:starts[30]+50])
	odd("cut", info, true, "the last frame has 50 of")
	if !slices.Equal(got, x[:30*spf]) {
		t.Error("the cut changes the sound before it")
	}

	// A recording cut out of a longer one: as soon as the reservoir is there, the sound is as it was, two frames later in full.
	got, info = readMP3(t, speech[starts[10]:])
	var silent int
	for silent < len(got) && got[silent] == 0 {
		silent++
	}
	odd("from frame 10 on", info, false, "frames are silent")
	if n := (silent + spf - 1) / spf; n < 1 || n > 4 || !slices.Equal(got[(n+2)*spf:], x[(n+12)*spf:]) {
		t.Errorf("from frame 10 on: %d samples are silent, then come others than before", silent)
	}

	sine := mp3File(t, "sine-48000-mono")
	y, _ := readMP3(t, sine)
	at := mp3Starts(t, sine)
	got, info = readMP3(t, sine[:at[10]])
	odd("fewer frames", info, true, "9 frames of the 18")
	if !slices.Equal(got, y[:9*1152-1105]) {
		t.Error("fewer frames: other sound")
	}
	got, info = readMP3(t, append(bytes.Clone(sine), sine[at[1]:]...))
	odd("more frames", info, false, "more frames than the 18")
	if len(got) != 36*1152-1105 || !slices.Equal(got[:len(y)], y) {
		t.Errorf("more frames: %d samples", len(got))
	}
	got, info = readMP3(t, sine[at[1]:])
	odd("without the tag", info, false)
	if len(got) != 18*1152 || !slices.Equal(got[1105:][:len(y)], y) {
		t.Errorf("without the tag: %d samples", len(got))
	}
	stereo := mp3File(t, "sines-44100-stereo")
	z, _ := readMP3(t, stereo)
	got, info = readMP3(t, stereo[mp3Starts(t, stereo)[6]:])
	odd("MPEG-1 from frame 5 on", info, false, "frames are silent")
	if !slices.Equal(got[2*5*1152:][:8*1152], z[2*(10*1152-1105):][:8*1152]) {
		t.Error("MPEG-1 from frame 5 on: other sound")
	}
}

func TestMP3Refused(t *testing.T) {
	speech, stereo := mp3File(t, "speech-22050-mono"), mp3File(t, "sines-44100-stereo")
	starts := mp3Starts(t, stereo)
	set := func(b []byte, at int, and, or byte) []byte {
		b = bytes.Clone(b)
		b[at] = b[at]&and | or
		return b
	}
	for name, c := range map[string]struct {
		bytes  []byte
		offset int64
		what   string // unsupported; "" for a FormatError
	}{
		"free bit rate":    {set(speech, 2, 0x0F, 0), 0, "free bit rate"},
		"8 kHz":            {[]byte{0xFF, 0xE3, 0x18, 0xC4, 0, 0, 0, 0}, 0, "8 kHz"},
		"intensity stereo": {set(stereo, starts[3]+3, 0x0F, 0x50), int64(starts[3]), "intensity"},
		"one broken frame": {speech[:60], 0, ""},
		"no second frame":  {slices.Concat(speech[:104], make([]byte, 500)), 104, ""},
		"noise":            {slices.Concat(stereo[:starts[3]], make([]byte, 100_000)), int64(starts[3]), ""},
		"too many values":  {set(stereo, starts[3]+4+4, 0xFF, 0xFF), int64(starts[3]), ""},
	} {
		r, err := NewReader(bytes.NewReader(c.bytes), "x")
		if err == nil {
			_, err = ReadAll(r)
		}
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		switch {
		case c.what == "" && (!errors.As(err, &format) || format.Offset != c.offset):
			t.Errorf("%s: %v, want a FormatError at byte %d", name, err, c.offset)
		case c.what != "" && (!errors.As(err, &unsupported) || unsupported.Offset != c.offset || !strings.Contains(err.Error(), c.what)):
			t.Errorf("%s: %v, want an UnsupportedError at byte %d", name, err, c.offset)
		}
	}
}

// TestMP3Pieces checks that sound does not depend on how it is read.
func TestMP3Pieces(t *testing.T) {
	for _, name := range []string{"speech-22050-mono", "sines-44100-stereo"} {
		b := mp3File(t, name)
		want, _ := readMP3(t, b)
		r, err := NewReader(iotest.OneByteReader(bytes.NewReader(b)), "x")
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for block := make([]float64, 7); ; {
			n, err := r.Read(block)
			if n%r.Format().NumChannels != 0 {
				t.Fatalf("%s: %d samples are not whole frames", name, n)
			}
			got = append(got, block[:n]...)
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: other sound in pieces", name)
		}
	}
}

// mp3Starts returns where the frames of b begin, and its length.
func mp3Starts(t testing.TB, b []byte) []int {
	t.Helper()
	var starts []int
	at := 0
	for at < len(b) {
		h, ok := mp3HeaderOf(b[at:])
		if !ok {
			t.Fatalf("no frame at byte %d", at)
		}
		starts = append(starts, at)
		at += h.size()
	}
	return append(starts, at)
}

// FuzzMP3 changes bytes of whole files: edits is a row of a place, high byte first, and what is added to the byte there.
func FuzzMP3(f *testing.F) {
	var all [][]byte
	for _, name := range []string{"speech-22050-mono", "sines-44100-stereo", "sine-48000-mono", "sine-11025-mono"} {
		b := mp3File(f, name)
		starts := mp3Starts(f, b)
		all = append(all, b[:starts[5]], b[starts[3]:starts[8]])
	}
	for i := range all {
		f.Add(uint8(i), uint16(0), []byte{})
		f.Add(uint8(i), uint16(100*i), []byte{0, 5, 255, 0, 110, 9, 1, 4, 1})
	}
	f.Fuzz(func(t *testing.T, which uint8, cut uint16, edits []byte) {
		b := bytes.Clone(all[int(which)%len(all)])
		b = b[:len(b)-int(cut)%len(b)]
		for e := range slices.Chunk(edits, 3) {
			if len(e) == 3 {
				b[(int(e[0])<<8|int(e[1]))%len(b)] += e[2]
			}
		}
		r, err := NewReader(bytes.NewReader(b), "x")
		if err == nil {
			var samples int
			err = Copy(r, func(block []float64) error {
				for _, v := range block {
					if !(math.Abs(v) <= 1) {
						t.Fatalf("a sample is %v", v)
					}
				}
				samples += len(block)
				return nil
			})
			if i := r.Info(); err == nil && int64(samples) != i.Frames*int64(i.Channels) {
				t.Errorf("%d samples of %d channels, %d frames", samples, i.Channels, i.Frames)
			}
			if most := (len(b)/24 + 1) * 1152 * 2; samples > most { // a frame has at least 24 bytes
				t.Errorf("%d samples from %d bytes", samples, len(b))
			}
		}
		if err != nil && !errors.As(err, new(*files.FormatError)) && !errors.As(err, new(*files.UnsupportedError)) {
			t.Errorf("not typed: %v", err)
		}
	})
}

func BenchmarkMP3(b *testing.B) {
	for _, name := range []string{"speech-22050-mono", "sine-48000-mono"} {
		b.Run(name, func(b *testing.B) {
			data := mp3File(b, name)
			var seconds float64
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(data), "x")
				if err != nil {
					b.Fatal(err)
				}
				if err := Copy(r, func([]float64) error { return nil }); err != nil {
					b.Fatal(err)
				}
				seconds += float64(r.Info().Frames) / float64(r.Info().Rate)
			}
			b.ReportMetric(seconds/b.Elapsed().Seconds(), "x-real-time")
		})
	}
}
