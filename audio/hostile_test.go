package audio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/shared"
)

// hostileFile is a recording that the tests below damage.
type hostileFile struct {
	name   string
	bytes  []byte
	sound  []float64 // of the whole file; nil if it is refused
	header int       // how many bytes come before the sound

	// Of WAV files that are read; otherwise 0.
	channels, align int   // align is the bytes of a frame
	size            int64 // of the data, as the header has it
}

// beginning returns a copy of as much of the file as its header takes effect on: reading more would be reading the same
// samples millions of times.
func (f *hostileFile) beginning() []byte {
	after := beginning
	if strings.HasSuffix(f.name, ".mp3") {
		after = 600 // a few frames
	}
	return bytes.Clone(f.bytes[:min(len(f.bytes), f.header+after)])
}

const beginning = 1 << 12

// hostileFiles returns every awkward WAV file, some FLAC files of speech, and the MP3 files of testdata.
func hostileFiles(t testing.TB) []*hostileFile {
	t.Helper()
	if testing.Short() {
		t.Skip("needs 20 seconds for hundreds of thousands of damaged files: not with -short")
	}
	names, err := filepath.Glob(filepath.Join(shared.Data(t, "wav-cases"), "*.wav"))
	if err != nil || len(names) < 90 {
		t.Fatalf("%d awkward files, %v", len(names), err)
	}
	for _, pattern := range []string{"an4/fash/an25*.flac", "fsdd/*/0_*_1.flac"} {
		flac, err := filepath.Glob(filepath.Join(shared.Data(t, "speech"), filepath.FromSlash(pattern)))
		if err != nil || len(flac) == 0 {
			t.Fatalf("no FLAC files %s, %v", pattern, err)
		}
		names = append(names, flac[:min(len(flac), 3)]...)
	}
	mp3, err := filepath.Glob(filepath.Join("testdata", "*.mp3"))
	if err != nil || len(mp3) == 0 {
		t.Fatalf("no MP3 files, %v", err)
	}
	var all []*hostileFile
	for _, name := range append(names, mp3...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f := &hostileFile{name: filepath.Base(name), bytes: b, header: min(len(b), 400)}
		if strings.HasSuffix(name, ".mp3") {
			f.header = mp3Starts(t, b)[1] + 40 // of the second frame, the header and the side information
		}
		if r, err := newReader(bytes.NewReader(b), "x", int64(len(b))); err == nil {
			for _, c := range r.Info().Chunks {
				if c.ID == "data" {
					f.header, f.size = int(c.Offset), c.Size
				}
			}
			all, err := ReadAll(r)
			if err == nil {
				f.sound = all.Data
			}
			if i := r.Info(); strings.HasSuffix(name, ".wav") {
				f.channels, f.align = i.Channels, (i.Bits+7)/8*i.Channels
			}
		}
		all = append(all, f)
	}
	return all
}

// attack reads b, of which the reader learns the size if it is known, and at most so many samples. It checks what holds for
// every file whatsoever, and if sound is not nil, that the samples are those, as far as they go. It returns how many there
// were, what Info says after them, and the error in the end.
func attack(b []byte, sizeKnown bool, most int, sound []float64) (samples int, info Info, err, wrong error) {
	defer func() {
		if p := recover(); p != nil {
			wrong = fmt.Errorf("panic: %v", p)
		}
	}()
	in := &countedReads{r: bytes.NewReader(b)}
	size := int64(-1)
	if sizeKnown {
		size = int64(len(b))
	}
	r, err := newReader(in, "x", size)
	if err == nil {
		info = r.Info()
		channels := info.Channels
		if channels < 1 || channels > 256 || info.Rate < 1 || info.Rate > 10_000_000 {
			return 0, info, nil, fmt.Errorf("%d channels at %d Hz", channels, info.Rate)
		}
		perByte := 1 // of WAV; a frame of MP3 has at least 24 bytes, a frame of FLAC 10
		switch info.Container {
		case "MP3":
			perByte = 2 * 1152 / 24
		case "FLAC":
			perByte = 8 * 65536 / 10
		}
		block := make([]float64, 4096/channels*channels)
		for err == nil && samples < most {
			var n int
			n, err = r.Read(block)
			if n%channels != 0 || n < 0 || n > len(block) || n == 0 && err == nil || n > 0 && err != nil {
				return samples, info, err, fmt.Errorf("Read returned %d samples of %d channels, %v", n, channels, err)
			}
			for i, x := range block[:n] {
				if !(math.Abs(x) <= math.MaxFloat32) {
					return samples, info, err, fmt.Errorf("a sample is %v", x)
				}
				if sound != nil && (samples+i >= len(sound) || x != sound[samples+i]) {
					return samples, info, err, fmt.Errorf("sample %d is not that of the whole file", samples+i)
				}
			}
			if samples += n; samples > perByte*len(b) {
				return samples, info, err, fmt.Errorf("%d samples from %d bytes", samples, len(b))
			}
		}
		info = r.Info()
		if err == io.EOF {
			err = nil
			if info.Frames*int64(channels) != int64(samples) {
				return samples, info, nil, fmt.Errorf("%d samples of %d channels, Info says %d frames", samples, channels, info.Frames)
			}
		}
	}
	if in.calls > 16+len(b)/256 {
		return samples, info, err, fmt.Errorf("%d reads of a file of %d bytes", in.calls, len(b))
	}
	var format *files.FormatError
	var unsupported *files.UnsupportedError
	switch {
	case err == nil:
	case errors.As(err, &format):
		if format.File != "x" || format.Found == "" || format.Offset < 0 || format.Offset > int64(len(b)) {
			wrong = fmt.Errorf("incomplete or beside the file: %#v", format)
		}
	case errors.As(err, &unsupported):
		if unsupported.File != "x" || unsupported.What == "" || unsupported.Offset < 0 || unsupported.Offset > int64(len(b)) {
			wrong = fmt.Errorf("incomplete or beside the file: %#v", unsupported)
		}
	default:
		wrong = fmt.Errorf("not typed: %w", err)
	}
	return samples, info, err, wrong
}

// countedReads counts the calls of Read.
type countedReads struct {
	r     io.Reader
	calls int
}

func (c *countedReads) Read(p []byte) (int, error) {
	c.calls++
	return c.r.Read(p)
}

// TestCuts cuts every file at every 97th byte. What is left is refused, or is the beginning of the same sound: all that
// is there. Of files that are cut far behind the header, only some are read to the end.
func TestCuts(t *testing.T) {
	for _, f := range hostileFiles(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for i, cut := 0, 0; cut < len(f.bytes); i, cut = i+1, cut+97 {
				most := beginning
				if cut < f.header+1<<14 || i%101 == 0 {
					most = math.MaxInt
				}
				samples, info, err, wrong := attack(f.bytes[:cut], i%2 == 0, most, f.sound)
				if wrong != nil {
					t.Fatalf("cut at %d: %v", cut, wrong)
				}
				if f.align == 0 || f.sound == nil || cut < f.header || samples >= most {
					continue
				}
				want := min((cut-f.header)/f.align*info.Channels, len(f.sound))
				const unknown = 1<<32 - 1 // where the end is
				if err == nil && (samples != want || info.Truncated != (want < len(f.sound)) && f.size != unknown) {
					t.Fatalf("cut at %d: %d samples, truncated %v, want %d of %d", cut, samples, info.Truncated, want, len(f.sound))
				}
			}
		})
	}
}

// changes are what is done to a byte.
func changes(b byte) [10]byte {
	c := [10]byte{8: 0, 9: 0xFF}
	for bit := range 8 {
		c[bit] = b ^ 1<<bit
	}
	return c
}

// TestChanges changes every byte of every header: each bit, all to 0 and all to 1. Files without a data chunk, and FLAC and
// MP3 files, are changed in their first bytes.
func TestChanges(t *testing.T) {
	for _, f := range hostileFiles(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := f.beginning()
			for i := range f.header {
				for j, to := range changes(f.bytes[i]) {
					b[i] = to
					if _, _, _, wrong := attack(b, (i+j)%2 == 0, math.MaxInt, nil); wrong != nil {
						t.Fatalf("byte %d set to %#x: %v", i, to, wrong)
					}
				}
				b[i] = f.bytes[i]
			}
		})
	}
}

// TestMemory checks that memory goes with what is in a file, not with what it says: for WAV, a MiB and 4 bytes a byte. A
// decoder of FLAC takes some MiB (8 channels of 65536 samples), and go-mp3 64 KiB for every frame.
func TestMemory(t *testing.T) {
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	measure := func(b []byte) (taken uint64, samples int) {
		metrics.Read(allocated)
		before := allocated[0].Value.Uint64()
		samples, _, _, wrong := attack(b, true, beginning, nil)
		if wrong != nil {
			t.Error(wrong)
		}
		metrics.Read(allocated)
		return allocated[0].Value.Uint64() - before, samples
	}
	worst := map[string]uint64{}
	for _, f := range hostileFiles(t) {
		kind := filepath.Ext(f.name)
		check := func(b []byte, what string) {
			taken, samples := measure(b)
			worst[kind] = max(worst[kind], taken)
			most := 1<<20 + 4*uint64(len(b))
			switch kind {
			case ".flac":
				most += 8 << 20
			case ".mp3":
				most += uint64(samples/576+2) * (64 << 10)
			}
			if taken > most {
				t.Errorf("%s, %s: %d bytes of memory for a file of %d", f.name, what, taken, len(b))
			}
		}
		check(f.bytes, "whole")
		for cut := 0; cut < f.header; cut += 7 {
			check(f.bytes[:cut], fmt.Sprintf("cut at %d", cut))
		}
		b := f.beginning()
		for i := range min(f.header, 400) {
			for _, to := range []byte{0, 0x7F, 0xFF, f.bytes[i] ^ 0x80} {
				b[i] = to
				check(b, fmt.Sprintf("byte %d set to %#x", i, to))
			}
			b[i] = f.bytes[i]
		}
	}
	t.Logf("most memory: %v", worst)
}

// TestStumblingInput reads all files from inputs that give a byte at a time, or now and then nothing: it is the same sound.
func TestStumblingInput(t *testing.T) {
	for _, f := range hostileFiles(t) {
		if f.sound == nil {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, step := range []int{1, 997} {
				b, sound := f.bytes, f.sound
				if most := 1 << 15; step == 1 && len(b) > f.header+most {
					b = b[:f.header+most]
				}
				r, err := NewReader(&stumbling{rest: b, step: step}, "x")
				if err != nil {
					t.Fatal(err)
				}
				all, err := ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if len(b) == len(f.bytes) && len(all.Data) != len(sound) || len(all.Data) > len(sound) || len(all.Data) == 0 && len(sound) > 0 {
					t.Fatalf("%d bytes at a time: %d samples, want %d", step, len(all.Data), len(sound))
				}
				for i, x := range all.Data {
					if x != sound[i] {
						t.Fatalf("%d bytes at a time: sample %d differs", step, i)
					}
				}
			}
		})
	}
}

// stumbling gives at most step bytes at a time, and every third time none.
type stumbling struct {
	rest  []byte
	step  int
	calls int
}

func (s *stumbling) Read(p []byte) (int, error) {
	if s.calls++; s.calls%3 == 0 {
		return 0, nil
	}
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// TestFailingInput reads all files from inputs that fail somewhere: this error comes out, with the name, and is not taken
// for an end or for a fault of the file. Behind the sound of a WAV file it does no harm.
func TestFailingInput(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, f := range hostileFiles(t) {
		if f.sound == nil {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for at := 0; at < len(f.bytes); at += 1 + at/3 {
				r, err := NewReader(io.MultiReader(bytes.NewReader(f.bytes[:at]), failingRead{broken}), "x")
				if err == nil {
					_, err = ReadAll(r)
				}
				if err == nil && f.align > 0 && at >= f.header+len(f.sound)/f.channels*f.align {
					break
				}
				if !errors.Is(err, broken) || !strings.Contains(err.Error(), "x: ") || isForeign(err) {
					t.Fatalf("failing at %d: %v", at, err)
				}
			}
		})
	}
}

type failingRead struct{ err error }

func (f failingRead) Read([]byte) (int, error) { return 0, f.err }
