package audio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vqaudio/vqaudio/files"
)

// TestOpen opens what is there, and what is not.
func TestOpen(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	sound, _, _ := smallFLAC(nil)
	for name, data := range map[string][]byte{"flac.wav": sound, "wav.mp3": wavPCM16(1, 2, 3).bytes(nil, nil)} {
		r, err := Open(write(name, data))
		if err != nil {
			t.Fatal(err)
		}
		info := r.Info()
		if all, err := ReadAll(r); err != nil || int64(len(all.Data)) != info.Frames || all.Format.SampleRate != 16000 {
			t.Errorf("%s: %d samples of %d, %v", name, len(all.Data), info.Frames, err)
		}
		if n, err := r.Read(make([]float64, 1)); n != 0 || err != io.EOF {
			t.Errorf("%s: behind the end %d, %v", name, n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := Open(folder); err == nil || !strings.Contains(err.Error(), folder+": is a folder") {
		t.Errorf("a folder: %v", err)
	}
	empty := write("empty.wav", nil)
	var format *files.FormatError
	if _, err := Open(empty); !errors.As(err, &format) || format.File != empty || !strings.Contains(format.Found, "empty") {
		t.Errorf("an empty file: %v", err)
	}
}

// TestStandardInput reads a pipe.
func TestStandardInput(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(old *os.File) { os.Stdin = old }(os.Stdin)
	os.Stdin = in
	go func() {
		out.Write(wavPCM16(1, 2, 3).bytes(nil, nil))
		out.Close()
	}()
	r, err := Open("-")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadAll(r)
	if err != nil || len(all.Data) != 3 {
		t.Errorf("read %v, %v", all.Data, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Errorf("standard input was closed: %v", err)
	}
}

// TestSniff gives the first bytes of many kinds of file.
func TestSniff(t *testing.T) {
	tag := "ID3\x03\x00\x00\x00\x00\x00\x05hello"
	for _, c := range []struct{ begin, unsupported string }{
		{"OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x1e\x01vorbis", "Vorbis in Ogg"},
		{"OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x13OpusHead", "Opus in Ogg"},
		{"OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01\x33\x7fFLAC", "FLAC in Ogg"},
		{"OggS", "Ogg"},
		{"FORM\x00\x00\x00\x00AIFF", "AIFF"},
		{"FORM\x00\x00\x00\x00AIFC", "AIFF-C"},
		{"\x00\x00\x00\x20ftypM4A ", "MP4"},
		{"caff\x00\x01", "Core Audio"},
		{"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "Wave64"},
		{".snd\x00\x00\x00\x18", "AU"},
		{"NIST_1A\n   1024\n", "NIST SPHERE"},
		{"RIFF\x00\x00\x00\x00AVI LIST", "RIFF that is not WAVE"},
		{"\xff\xf1\x50\x80", "AAC"},
		{"\xff\xfd\x90\x00", "layer I or II"},
		{tag + "wvpk", "WavPack"},
		{"\x1a\x45\xdf\xa3", "Matroska"},

		{"", ""}, {"R", ""}, {"RIFF", ""}, {"RIFF\x00\x00\x00\x00WA", ""}, {"RF65\x00\x00\x00\x00WAVE", ""}, {"fLa", ""}, {"hello, world", ""},
		{"ID3", ""}, {tag, ""}, {tag[:12], ""}, {"ID3\x03\x00\x00\x80\x00\x00\x00", ""}, {"ID3\x03\x00\x00\x7f\x7f\x7f\x7f", ""}, {"\x00\x00\x00\x00", ""},
	} {
		r, err := NewReader(strings.NewReader(c.begin), "x")
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		switch {
		case err == nil:
			t.Errorf("%q: %+v", c.begin, r.Info())
		case c.unsupported == "" && !(errors.As(err, &format) && format.Expected != ""):
			t.Errorf("%q: %v, want a FormatError", c.begin, err)
		case c.unsupported != "" && !(errors.As(err, &unsupported) && strings.Contains(unsupported.What, c.unsupported)):
			t.Errorf("%q: %v, want %q in an UnsupportedError", c.begin, err, c.unsupported)
		}
	}
}

// TestReadErrors has inputs that fail, which is not the same as an end.
func TestReadErrors(t *testing.T) {
	broken := errors.New("the disk is broken")
	file, _, f := smallFLAC(nil)
	wav := wavPCM16(make([]int16, 40)...).bytes(nil, nil)
	for _, c := range []struct {
		name   string
		begin  []byte
		frames int // that come before it; -1: none is opened
	}{
		{"nothing", nil, -1},
		{"WAV, within the header", wav[:30], -1},
		{"WAV, within the data", wav[:44+61], 30},
		{"FLAC, within the header", file[:20], -1},
		{"FLAC, before a frame", file[:f.frameStarts[2]], 2 * 192},
		{"FLAC, within a frame", file[:f.frameStarts[2]+30], 2 * 192},
		{"a tag", []byte("ID3\x03\x00\x00\x00\x00\x05\x05hello"), -1},
	} {
		r, err := NewReader(io.MultiReader(bytes.NewReader(c.begin), iotest.ErrReader(broken)), "x.wav")
		frames := -1
		if err == nil {
			var got []float64
			got, err = readBlocks(r, 3)
			frames = len(got)
		}
		var format *files.FormatError
		if frames != c.frames || !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "x.wav: ") || errors.As(err, &format) {
			t.Errorf("%s: %d frames, %v; want %d, %v", c.name, frames, err, c.frames, broken)
		}
	}
}

// FuzzReader reads anything. It may be refused; if not, it ends, samples are finite and come in whole frames, as many as Info
// then says, and memory stays small.
func FuzzReader(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 7))
	for _, id := range []string{"RIFF", "RIFX", "RF64", "BW64"} {
		for _, tag := range []uint16{1, 3, 6, 7, 2} {
			for _, bits := range []int{8, 16, 24, 32, 64} {
				w := wavFile{id: id, tag: tag, extensible: rng.IntN(2) == 0, guidOrder: byteOrder(wavFile{id: id}.order()), channels: 1 + rng.IntN(3), bits: bits, stride: bits / 8, valid: bits}
				for range 3 * w.channels {
					w.data = w.put(w.data, math.Float64bits(rng.Float64()), w.stride)
				}
				f.Add(w.bytes(w.chunk("LIST", 3, []byte("abc")), w.chunk("id3 ", 2, []byte("xy"))))
			}
		}
	}
	for bits := 4; bits <= 32; bits += 4 {
		flac := newFLACFile(rng, 16000, bits, [][]int64{flacSignal(rng, bits, 100), flacSignal(rng, bits, 100)})
		flac.sizes = []int{40}
		f.Add(flac.bytes())
		flac.total, flac.sum = 0, [16]byte{}
		f.Add(slices.Concat([]byte("ID3\x03\x00\x00\x00\x00\x00\x05hello"), flac.bytes(), []byte("TAG")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := NewReader(bytes.NewReader(data), "x")
		if err == nil {
			err = checkReader(r, int64(len(data)))
		} else if isForeign(err) {
			err = nil
		}
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 16<<20+32*uint64(len(data)) {
			t.Errorf("%d bytes of memory for a file of %d", taken, len(data))
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// isForeign reports whether err puts the blame on the file.
func isForeign(err error) bool {
	var format *files.FormatError
	var unsupported *files.UnsupportedError
	return errors.As(err, &format) || errors.As(err, &unsupported)
}

// checkReader reads r to the end, and returns what is wrong about that.
func checkReader(r *Reader, size int64) error {
	info := r.Info()
	channels := info.Channels
	if format := r.Format(); format.NumChannels != channels || format.SampleRate != info.Rate ||
		channels < 1 || channels > maxChannels || info.Rate < 1 || info.Rate > maxRate || info.Frames < -1 {
		return fmt.Errorf("%+v of %+v", format, info)
	}
	block := make([]float64, 1000/channels*channels+channels+channels/2)
	var frames int64
	for {
		n, err := r.Read(block)
		if n < 0 || n > len(block) || n%channels != 0 || (n == 0) != (err != nil) {
			return fmt.Errorf("Read has returned %d of %d samples of %d channels, %v", n, len(block), channels, err)
		}
		for _, x := range block[:n] {
			if !(math.Abs(x) <= math.MaxFloat32) {
				return fmt.Errorf("sample %v", x)
			}
		}
		frames += int64(n / channels)
		if frames > 65536*size { // the most that FLAC makes of a byte
			return fmt.Errorf("%d frames of %d bytes", frames, size)
		}
		if err == nil {
			continue
		}
		if _, again := r.Read(block); again != err {
			return fmt.Errorf("after %v: %v", err, again)
		}
		if !errors.Is(err, io.EOF) && !isForeign(err) {
			return err
		}
		if got := r.Info().Frames; errors.Is(err, io.EOF) && got != frames {
			return fmt.Errorf("%d frames, Info has %d", frames, got)
		}
		return nil
	}
}

func ExampleNewReader() {
	// A WAV file of 4 samples.
	file := "RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x08\x00\x00\x00" +
		"\x00\x40\x00\xc0\x00\x20\x00\x00"
	r, err := NewReader(strings.NewReader(file), "a.wav")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	info := r.Info()
	fmt.Println(info.Container, info.Encoding, info.Channels, info.Rate, info.Bits)
	block := make([]float64, 1024)
	for {
		n, err := r.Read(block)
		if err == io.EOF {
			break
		} else if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(block[:n])
	}
	fmt.Println(r.Info().Frames, "frames")
	// Output:
	// RIFF PCM 1 16000 16
	// [0.5 -0.5 0.25 0]
	// 4 frames
}
