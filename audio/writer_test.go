package audio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	goaudio "github.com/go-audio/audio"
	"github.com/go-audio/wav"

	"github.com/vqaudio/vqaudio/audio"
)

func ExampleCreate() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	name := filepath.Join(folder, "out.wav")

	write := func(src audio.Source) error {
		w, err := audio.Create(name, src.Format(), audio.PCM16)
		if err != nil {
			return err
		}
		defer w.Discard() // does nothing after Close
		if err := audio.Copy(src, w.Write); err != nil {
			return err
		}
		fmt.Println(w.Clipped(), "clipped")
		return w.Close()
	}
	err = write(mono([]float64{0, 0.25, -1, 1.5}))
	fmt.Println(err)

	r, err := audio.Open(name)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	all, err := audio.ReadAll(r)
	fmt.Println(all.Data, err)
	// Output:
	// 1 clipped
	// <nil>
	// [0 0.25 -1 0.999969482421875] <nil>
}

// TestWriterHeaders spells headers out, byte by byte.
func TestWriterHeaders(t *testing.T) {
	for _, c := range []struct {
		what     string
		channels int
		encoding audio.Encoding
		frames   int64
		want     string
	}{
		{"16 bits", 1, audio.PCM16, 2, "RIFF\x28\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x04\x00\x00\x00" + "\x00\x40\x00\xc0"},
		{"length not known", 1, audio.PCM16, -1, "RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\xff\xff\xff\xff" + "\x00\x40\x00\xc0"},
		{"odd data", 1, audio.PCM24, 1, "RIFF\x28\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x80\xbb\x00\x00\x03\x00\x18\x00data\x03\x00\x00\x00" + "\x00\x00\x40\x00"},
		{"float", 1, audio.Float32, 2, "RIFF\x3a\x00\x00\x00WAVEfmt \x12\x00\x00\x00\x03\x00\x01\x00\x80\x3e\x00\x00\x00\xfa\x00\x00\x04\x00\x20\x00\x00\x00fact\x04\x00\x00\x00\x02\x00\x00\x00data\x08\x00\x00\x00" + "\x00\x00\x00\x3f\x00\x00\x00\xbf"},
		{"three channels", 3, audio.PCM16, 1, "RIFF\x4e\x00\x00\x00WAVEfmt \x28\x00\x00\x00\xfe\xff\x03\x00\x80\x3e\x00\x00\x00\x77\x01\x00\x06\x00\x10\x00" +
			"\x16\x00\x10\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71fact\x04\x00\x00\x00\x01\x00\x00\x00data\x06\x00\x00\x00" + "\x00\x40\x00\xc0\x00\x40"},
		{"no frames", 2, audio.PCM16, 0, "RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x80\x3e\x00\x00\x00\xfa\x00\x00\x04\x00\x10\x00data\x00\x00\x00\x00"},
	} {
		var out bytes.Buffer
		w, err := audio.NewWriter(&out, audio.Format{NumChannels: c.channels, SampleRate: 16000}, c.encoding, c.frames)
		if err != nil {
			t.Fatal(err)
		}
		frames := c.frames
		if frames < 0 {
			frames = 2
		}
		block := make([]float64, frames*int64(c.channels))
		for i := range block {
			block[i] = 0.5 - float64(i%2)
		}
		if err := w.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != c.want {
			t.Errorf("%s:\n%q, want\n%q", c.what, got, c.want)
		}
	}
}

// TestWriterRoundTrip writes every encoding to files and pipes, and reads all back bit for bit: what is a step of the
// encoding comes back as it was, what lies between as the nearest.
func TestWriterRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	folder := t.TempDir()
	for _, encoding := range []audio.Encoding{audio.PCM16, audio.PCM24, audio.Float32} {
		for _, channels := range []int{1, 2, 3, 5} {
			for _, frames := range []int{0, 1, 2, 7, 100000 / channels} {
				exact, between, steps := testSamples(random, encoding, channels*frames)
				what := fmt.Sprintf("%v, %d channels, %d frames", encoding, channels, frames)
				format := audio.Format{NumChannels: channels, SampleRate: 22050}
				name := filepath.Join(folder, "a.wav")
				for _, data := range [][]float64{exact, between} {
					w, err := audio.Create(name, format, encoding)
					if err != nil {
						t.Fatal(err)
					}
					writeAll(t, w, data, random)
					file, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					var known, unknown bytes.Buffer
					if w, err = audio.NewWriter(&known, format, encoding, int64(frames)); err != nil {
						t.Fatal(err)
					}
					writeAll(t, w, data, random)
					if w, err = audio.NewWriter(&unknown, format, encoding, -1); err != nil {
						t.Fatal(err)
					}
					writeAll(t, w, data, random)
					for from, bytes := range map[string][]byte{"file": file, "pipe": known.Bytes(), "pipe of unknown length": unknown.Bytes()} {
						what := what + ", " + from
						if from != "pipe of unknown length" {
							checkSizes(t, what, bytes)
						}
						readBack(t, what, bytes, format, encoding, data, steps)
					}
				}
			}
		}
	}
}

// testSamples returns samples that the encoding holds, samples that it does not, and its steps to 1, or 0.
func testSamples(random *rand.Rand, encoding audio.Encoding, n int) (exact, between []float64, steps float64) {
	exact, between = make([]float64, n), make([]float64, n)
	for i := range exact {
		switch encoding {
		case audio.Float32:
			exact[i] = float64(float32(random.NormFloat64()))
			between[i] = random.NormFloat64()
		default:
			steps = 1 << 15
			if encoding == audio.PCM24 {
				steps = 1 << 23
			}
			exact[i] = float64(random.Int64N(int64(2*steps))-int64(steps)) / steps
			between[i] = random.Float64()*1.9 - 0.95
		}
	}
	if steps > 0 && n >= 2 {
		exact[0], exact[1] = -1, 1-1/steps
	}
	return exact, between, steps
}

// writeAll writes data in blocks of changing size, and closes.
func writeAll(t *testing.T, w *audio.Writer, data []float64, random *rand.Rand) {
	t.Helper()
	defer w.Discard()
	channels := w.Format().NumChannels
	for len(data) > 0 {
		n := min(len(data), channels*random.IntN(20000))
		if err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Clipped() != 0 {
		t.Fatalf("%d samples clipped", w.Clipped())
	}
}

// checkSizes walks the chunks of a WAV file, which have to fill it exactly.
func checkSizes(t *testing.T, what string, file []byte) {
	t.Helper()
	if riff := binary.LittleEndian.Uint32(file[4:]); int(riff) != len(file)-8 {
		t.Fatalf("%s: RIFF size %d in a file of %d bytes", what, riff, len(file))
	}
	rest := file[12:]
	for len(rest) > 0 {
		size := int(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8+size+size%2:]
	}
}

// readBack reads a file and compares it with data, rounded to steps (or to float32).
func readBack(t *testing.T, what string, file []byte, format audio.Format, encoding audio.Encoding, data []float64, steps float64) {
	t.Helper()
	r, err := audio.NewReader(bytes.NewReader(file), what)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer r.Close()
	if r.Format() != format {
		t.Fatalf("%s: %v, want %v", what, r.Format(), format)
	}
	all, err := audio.ReadAll(r)
	if info := r.Info(); err != nil || len(all.Data) != len(data) || info.Truncated {
		t.Fatalf("%s: %d samples, %v, want %d; truncated: %v", what, len(all.Data), err, len(data), info.Truncated)
	}
	for i, x := range data {
		want := float64(float32(x))
		if steps > 0 {
			want = math.RoundToEven(x*steps) / steps
		}
		if all.Data[i] != want {
			t.Fatalf("%s: sample %d is %v, want %v of %v", what, i, all.Data[i], want, x)
		}
	}
}

// TestWriterSecondOpinion reads integers back with the decoder of github.com/go-audio/wav.
func TestWriterSecondOpinion(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	for _, encoding := range []audio.Encoding{audio.PCM16, audio.PCM24} {
		for _, channels := range []int{1, 2, 4} {
			// An even number: of odd data it decodes the pad byte too.
			data, _, steps := testSamples(random, encoding, channels*5000)
			name := filepath.Join(t.TempDir(), "a.wav")
			w, err := audio.Create(name, audio.Format{NumChannels: channels, SampleRate: 48000}, encoding)
			if err != nil {
				t.Fatal(err)
			}
			writeAll(t, w, data, random)
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			all, err := wav.NewDecoder(f).FullPCMBuffer()
			if err != nil || all.Format.NumChannels != channels || all.Format.SampleRate != 48000 || len(all.Data) != len(data) {
				t.Fatalf("%v, %d channels: %v, %v", encoding, channels, all.Format, err)
			}
			for i, x := range data {
				if got := float64(all.Data[i]) / steps; got != x {
					t.Fatalf("%v, %d channels: sample %d is %v, want %v", encoding, channels, i, got, x)
				}
			}
		}
	}
}

func TestWriterClips(t *testing.T) {
	const step16, step24 = 1.0 / (1 << 15), 1.0 / (1 << 23)
	for _, c := range []struct {
		encoding audio.Encoding
		step     float64
	}{{audio.PCM16, step16}, {audio.PCM24, step24}} {
		in := []float64{1 - c.step, 1 - 0.6*c.step, 1, 7, 1e300, -1, -1 - 0.4*c.step, -1 - 0.6*c.step, -7, -math.MaxFloat64}
		want := []float64{1 - c.step, 1 - c.step, 1 - c.step, 1 - c.step, 1 - c.step, -1, -1, -1, -1, -1}
		var out bytes.Buffer
		w, err := audio.NewWriter(&out, audio.Format{NumChannels: 1, SampleRate: 8000}, c.encoding, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(in), w.Close()); err != nil {
			t.Fatal(err)
		}
		if w.Clipped() != 6 {
			t.Errorf("%v: %d clipped, want 6", c.encoding, w.Clipped())
		}
		all := readData(t, out.Bytes())
		if !slices.Equal(all, want) {
			t.Errorf("%v: %v, want %v", c.encoding, all, want)
		}
	}
	// Floats are not clipped.
	var out bytes.Buffer
	w, err := audio.NewWriter(&out, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.Float32, -1)
	if err != nil {
		t.Fatal(err)
	}
	in := []float64{1.5, -2, math.MaxFloat32}
	if err := errors.Join(w.Write(in), w.Close()); err != nil || w.Clipped() != 0 {
		t.Fatal(err, w.Clipped())
	}
	if all := readData(t, out.Bytes()); !slices.Equal(all, in) {
		t.Errorf("%v, want %v", all, in)
	}
}

func readData(t testing.TB, file []byte) []float64 {
	t.Helper()
	r, err := audio.NewReader(bytes.NewReader(file), "test")
	if err != nil {
		t.Fatal(err)
	}
	all, err := audio.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all.Data
}

// TestWriterNotFinite checks that what is no sample is refused by name, and leaves no file.
func TestWriterNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e39} {
		for _, encoding := range []audio.Encoding{audio.PCM16, audio.PCM24, audio.Float32} {
			if bad == 1e39 && encoding != audio.Float32 {
				continue // is clipped
			}
			folder := t.TempDir()
			w, err := audio.Create(filepath.Join(folder, "a.wav"), audio.Format{NumChannels: 2, SampleRate: 8000}, encoding)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Write(make([]float64, 200)); err != nil {
				t.Fatal(err)
			}
			err = w.Write([]float64{0, 0, 0, bad})
			if err == nil || !strings.Contains(err.Error(), "frame 101, channel 1: ") {
				t.Errorf("%v in %v: %v", bad, encoding, err)
			}
			if again := w.Write([]float64{0, 0}); again != err {
				t.Errorf("then %v, want %v", again, err)
			}
			if again := w.Close(); again != err {
				t.Errorf("at the end %v, want %v", again, err)
			}
			if left, _ := os.ReadDir(folder); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}

func TestWriterPromise(t *testing.T) {
	format := audio.Format{NumChannels: 2, SampleRate: 8000}
	w, err := audio.NewWriter(io.Discard, format, audio.PCM16, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]float64, 4)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "2 frames, but 3") {
		t.Errorf("too few: %v", err)
	}
	if w, err = audio.NewWriter(io.Discard, format, audio.PCM16, 3); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]float64, 8)); err == nil || !strings.Contains(err.Error(), "more frames than the 3") {
		t.Errorf("too many: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		format audio.Format
		frames int64
	}{
		{audio.Format{NumChannels: 0, SampleRate: 8000}, -1},
		{audio.Format{NumChannels: -1, SampleRate: 8000}, -1},
		{audio.Format{NumChannels: 65536 / 2, SampleRate: 8000}, -1},
		{audio.Format{NumChannels: 1, SampleRate: 0}, -1},
		{audio.Format{NumChannels: 2, SampleRate: 1 << 30}, -1},
		{audio.Format{NumChannels: 2, SampleRate: 8000}, -2},
		{audio.Format{NumChannels: 2, SampleRate: 8000}, math.MaxInt64},
		{audio.Format{NumChannels: 2, SampleRate: 8000}, math.MaxInt64 / 4},
	} {
		if _, err := audio.NewWriter(io.Discard, c.format, audio.PCM16, c.frames); err == nil {
			t.Errorf("%v, %d frames: no error", c.format, c.frames)
		}
		if c.frames == -1 {
			if _, err := audio.Create(filepath.Join(folder, "a.wav"), c.format, audio.PCM16); err == nil {
				t.Errorf("%v: no error", c.format)
			}
		}
	}
	if _, err := audio.Create(filepath.Join(folder, "none", "a.wav"), audio.Format{NumChannels: 1, SampleRate: 1}, audio.PCM16); err == nil {
		t.Error("a file in no folder: no error")
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWriterKeepsTheOldFile: until Close, and for ever if it does not come or fails, the name holds what it held.
func TestWriterKeepsTheOldFile(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "a.wav")
	if err := os.WriteFile(name, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := audio.Create(name, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]float64, 100000)); err != nil {
		t.Fatal(err)
	}
	w.Discard()
	if err := w.Write(make([]float64, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write after Discard: %v", err)
	}
	if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close after Discard: %v", err)
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
	if got, err := os.ReadFile(name); string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	// A second Close says so, and a Discard after Close takes nothing away.
	if w, err = audio.Create(name, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Discard()
	if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.HasPrefix(got, []byte("RIFF")) {
		t.Errorf("%q, %v", got, err)
	}
}

// fullPipe fails after a number of bytes.
type fullPipe struct{ left int }

var errFull = errors.New("full")

func (p *fullPipe) Write(b []byte) (int, error) {
	if len(b) > p.left {
		return p.left, errFull
	}
	p.left -= len(b)
	return len(b), nil
}

func TestWriterPipeFails(t *testing.T) {
	for _, room := range []int{0, 100000} {
		w, err := audio.NewWriter(&fullPipe{room}, audio.Format{NumChannels: 1, SampleRate: 8000}, audio.PCM16, -1)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil && room < 1<<20 {
			err = w.Write(make([]float64, 1000))
			room += 2000
		}
		if !errors.Is(err, errFull) || !errors.Is(w.Close(), errFull) {
			t.Errorf("%v, want %v", err, errFull)
		}
	}
}

func TestWriterPanics(t *testing.T) {
	for what, f := range map[string]func(){
		"a frame and a half": func() {
			w, err := audio.NewWriter(io.Discard, audio.Format{NumChannels: 2, SampleRate: 8000}, audio.PCM16, -1)
			if err == nil {
				w.Write(make([]float64, 3))
			}
		},
		"no encoding": func() {
			audio.NewWriter(io.Discard, audio.Format{NumChannels: 2, SampleRate: 8000}, 3, -1)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}

// FuzzWriter writes numbers of any bits and reads them back.
func FuzzWriter(f *testing.F) {
	bits := func(x ...float64) (b []byte) {
		for _, x := range x {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		return b
	}
	f.Add(uint8(0), uint8(1), true, bits(0, 0.5, -1))
	f.Add(uint8(1), uint8(2), false, bits(1, -1, 0.1, 1e-9))
	f.Add(uint8(2), uint8(3), true, bits(1e30, -2, 1e-30))
	f.Add(uint8(1), uint8(1), true, bits(math.NaN()))
	f.Fuzz(func(t *testing.T, e, c uint8, known bool, raw []byte) {
		encoding, channels := audio.Encoding(e%3), int(c%9)+1
		frames := len(raw) / 8 / channels
		data, good := make([]float64, frames*channels), true
		for i := range data {
			data[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
			good = good && !math.IsNaN(data[i]) && !math.IsInf(data[i], 0) && (encoding != audio.Float32 || math.Abs(data[i]) <= math.MaxFloat32)
		}
		announced := int64(-1)
		if known {
			announced = int64(frames)
		}
		var out bytes.Buffer
		w, err := audio.NewWriter(&out, audio.Format{NumChannels: channels, SampleRate: 16000}, encoding, announced)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Write(data)
		if !good {
			if err == nil {
				t.Fatalf("%v: no error", data)
			}
			return
		}
		if err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		all := readData(t, out.Bytes())
		if len(all) != len(data) {
			t.Fatalf("%d samples, want %d", len(all), len(data))
		}
		for i, x := range data {
			want := float64(float32(x))
			if encoding != audio.Float32 {
				steps := float64(int(1) << (15 + 8*encoding))
				want = min(max(math.RoundToEven(x*steps), -steps), steps-1) / steps
			}
			if all[i] != want {
				t.Fatalf("%v: sample %d is %v, want %v", encoding, i, all[i], want)
			}
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	block := burst(1<<14, 0, 1<<14, 0.1)
	for _, encoding := range []audio.Encoding{audio.PCM16, audio.PCM24, audio.Float32} {
		b.Run(encoding.String(), func(b *testing.B) {
			w, err := audio.NewWriter(io.Discard, audio.Format{NumChannels: 1, SampleRate: 16000}, encoding, -1)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.Write(block); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(block)), "ns/sample")
		})
	}
}

// BenchmarkGoAudioEncoder is the encoder that Writer stands in for, at 16 bits, without the conversion to integers.
func BenchmarkGoAudioEncoder(b *testing.B) {
	block := &goaudio.IntBuffer{Format: &audio.Format{NumChannels: 1, SampleRate: 16000}, Data: make([]int, 1<<14)}
	w := wav.NewEncoder(discardSeeker{io.Discard}, 16000, 16, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(block.Data)), "ns/sample")
}

type discardSeeker struct{ io.Writer }

func (discardSeeker) Seek(int64, int) (int64, error) { return 0, nil }
