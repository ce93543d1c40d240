package corpora

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/files"
)

// formatError checks that err is a FormatError or an UnsupportedError.
func formatError(t testing.TB, err error) {
	t.Helper()
	var format *files.FormatError
	var unsupported *files.UnsupportedError
	if !errors.As(err, &format) && !errors.As(err, &unsupported) {
		t.Fatalf("%v (%T), want a FormatError", err, err)
	}
}

// tiny prepares a cache of two short utterances.
func tiny(t testing.TB) string {
	m := &Manifest{Dir: t.TempDir(), Utterances: []Utterance{
		{Path: "a.wav", Speaker: "a", Text: "A", Seconds: -1, Frames: -1, SourceRate: -1},
		{Path: "bad.wav", Speaker: "a", Text: "A", Seconds: -1, Frames: -1, SourceRate: -1},
		{Path: "b.wav", Speaker: "b", Text: "B", Seconds: -1, Frames: -1, SourceRate: -1},
	}}
	record(t, m.File(0), 16000, 1, audio.PCM16, noise(1, 150, 0.1, 0))
	record(t, m.File(2), 16000, 1, audio.PCM16, noise(2, 90, 0.2, 0))
	dir := t.TempDir()
	prepare(t, m, dir, DefaultSettings(), 1)
	return dir
}

// TestOpenCacheDamaged flips bits of every byte of every file of a cache, cuts every file at every length, makes it longer,
// and takes it away.
func TestOpenCacheDamaged(t *testing.T) {
	dir := tiny(t)
	open(t, dir)
	whole := contents(t, dir)
	if names := slices.Sorted(maps.Keys(whole)); !slices.Equal(names, []string{headerName, samplesName, skippedName, indexName}) {
		t.Fatalf("a cache is made of %q", names)
	}
	for name, data := range whole {
		attempt := func(what string, data []byte) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
			c, err := OpenCache(dir)
			if err == nil {
				c.Close()
				t.Fatalf("%s %s: opened", name, what)
			}
			formatError(t, err)
		}
		for i := range len(data) {
			for _, flip := range []byte{1, 0x20, 0x80} {
				broken := []byte(data)
				broken[i] ^= flip
				attempt(fmt.Sprintf("with byte %d changed", i), broken)
			}
			attempt(fmt.Sprintf("cut at %d", i), []byte(data[:i]))
		}
		attempt("longer", []byte(data+"\n"))
		attempt("twice", []byte(data+data))
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCache(dir); err == nil {
			t.Fatalf("opened without %s", name)
		} else if name != samplesName {
			formatError(t, err)
		}
		plantFile(t, dir, name, []byte(data))
	}
	open(t, dir)
}

func TestOpenCacheRefuses(t *testing.T) {
	dir := tiny(t)
	for _, test := range []struct {
		change   func(*cacheHeader)
		expected string
	}{
		{func(h *cacheHeader) { h.Version = 2 }, "version 2"},
		{func(h *cacheHeader) { h.Format = "safetensors" }, "safetensors"},
		{func(h *cacheHeader) { h.Samples++ }, "sample"},
		{func(h *cacheHeader) { h.Samples = math.MaxInt64 }, "samples"},
		{func(h *cacheHeader) { h.Utterances = -1 }, "-1 utterances"},
		{func(h *cacheHeader) { h.Utterances = 3 }, "3 of 2"},
		{func(h *cacheHeader) { h.Speakers = 1 }, "2 of 1"},
		{func(h *cacheHeader) { h.Settings.Rate = 0 }, "rate 0"},
	} {
		h, err := readHeader(dir)
		if err != nil {
			t.Fatal(err)
		}
		good := h.encode()
		test.change(h)
		plantFile(t, dir, headerName, h.encode())
		if _, err := OpenCache(dir); err == nil || !strings.Contains(err.Error(), test.expected) {
			t.Errorf("got %v, want something with %q", err, test.expected)
		} else {
			formatError(t, err)
		}
		plantFile(t, dir, headerName, good)
	}
	empty := t.TempDir()
	_, err := OpenCache(empty)
	formatError(t, err)
	if _, err := OpenCache(filepath.Join(empty, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestParseIndex: numbers that make no sense.
func TestParseIndex(t *testing.T) {
	const header = "path\tspeaker\ttake\tfirst\tsamples\tgain\toffset\tcrc32c\n"
	const good = "a\ts\t1\t0\t10\t0.5\t-0.25\t0000abcd\n" + "b\ts\t-\t10\t5\t1e-5\t0\tffffffff\n"
	utterances, err := parseIndex(strings.NewReader(header+good), "index", 15)
	if err != nil {
		t.Fatal(err)
	}
	want := CachedUtterance{First: 10, Samples: 5, Gain: 1e-5, CRC32C: 0xffffffff}
	u := utterances[1]
	u.Utterance = Utterance{}
	if fmt.Sprint(u) != fmt.Sprint(want) || !slices.Equal(utterances[0].Extra, []string{"1"}) {
		t.Errorf("%+v, want %+v", u, want)
	}
	for _, bad := range []string{
		header + good + "c\ts\t-\t15\t1\t1\t0\t0\n", // beyond the end
		header + good[:strings.IndexByte(good, '\n')+1],
		strings.Replace(header, "gain", "gian", 1) + good,
		"path\tspeaker\nx\ty\n",
		header + strings.Replace(good, "\t10\t0.5", "\t16\t0.5", 1),
		header + strings.Replace(good, "\t10\t0.5", "\t0\t0.5", 1),
		header + strings.Replace(good, "\t10\t0.5", "\t-1\t0.5", 1),
		header + strings.Replace(good, "\t10\t0.5", "\t9223372036854775807\t0.5", 1),
		header + strings.Replace(good, "\t10\t5", "\t9\t6", 1),
		header + strings.Replace(good, "\t10\t5", "\t-9223372036854775808\t6", 1),
		header + strings.Replace(good, "0.5", "NaN", 1),
		header + strings.Replace(good, "0.5", "+Inf", 1),
		header + strings.Replace(good, "0.5", "0", 1),
		header + strings.Replace(good, "0.5", "-1", 1),
		header + strings.Replace(good, "0.5", "1e-60", 1),
		header + strings.Replace(good, "0.5", "1e36", 1),
		header + strings.Replace(good, "-0.25", "NaN", 1),
		header + strings.Replace(good, "-0.25", "-Inf", 1),
		header + strings.Replace(good, "-0.25", "-", 1),
		header + strings.Replace(good, "0000abcd", "abcdefgh", 1),
		header + strings.Replace(good, "0000abcd", "1ffffffff", 1),
	} {
		_, err := parseIndex(strings.NewReader(bad), "index", 15)
		if err == nil {
			t.Errorf("accepted:\n%s", bad)
			continue
		}
		formatError(t, err)
	}
}

func FuzzCacheIndex(f *testing.F) {
	index := contents(f, tiny(f))[indexName]
	f.Add([]byte(index), int64(240))
	f.Add([]byte(strings.ReplaceAll(index, "240", "-1")), int64(1))
	f.Add([]byte("path\tspeaker\tfirst\tsamples\tgain\toffset\tcrc32c\nx\ty\t0\t9\t1\t0\t00000000\n"), int64(9))
	f.Fuzz(func(t *testing.T, data []byte, total int64) {
		utterances, err := parseIndex(bytes.NewReader(data), "index", total)
		if err != nil {
			formatError(t, err)
			return
		}
		next := int64(0)
		for _, u := range utterances {
			loudest := float64(u.Gain)*32768 + math.Abs(float64(u.Offset))
			if u.First != next || u.Samples < 1 || !(u.Gain > 0) || !(loudest <= 2*math.MaxFloat32) {
				t.Fatalf("%+v", u)
			}
			next += u.Samples
		}
		if next != total {
			t.Fatalf("%d samples of %d", next, total)
		}
		newCache(16000, utterances)
	})
}

func FuzzCacheHeader(f *testing.F) {
	header := contents(f, tiny(f))[headerName]
	f.Add([]byte(header))
	f.Add([]byte(strings.ReplaceAll(header, "1", "-1")))
	f.Add([]byte(`{"format":"vqaudio cache","version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseHeader(data, headerName)
		if err != nil {
			formatError(t, err)
		} else if !bytes.Equal(h.encode(), data) {
			t.Fatalf("accepted, and not what would be written:\n%s", data)
		}
	})
}

// FuzzJournal: whatever a journal holds, what is taken from it would be written so.
func FuzzJournal(f *testing.F) {
	for i, r := range []preparedUtterance{
		{skipped: "a.wav: no samples"},
		{waveMeasure: waveMeasure{samples: 10, unit: 1. / 32768, sum: -5, squares: 100, low: -7, high: 9, crc32c: 0xabcdef}},
	} {
		f.Add(sealLine(nil, r.text(i)))
		f.Add([]byte(r.text(i)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		text, ok := unsealLine(line)
		if !ok {
			text = string(line)
		} else if !bytes.Equal(sealLine(nil, text), line) {
			t.Fatalf("line %q", line)
		}
		i, r, ok := parseRecord(text)
		if !ok {
			return
		}
		if i < 0 || r.skipped == "" && (r.samples < 1 || !(r.unit > 0) || r.low > r.high) {
			t.Fatalf("%q: %+v", text, r)
		}
		if j, again, ok := parseRecord(r.text(i)); !ok || again != r || i != j {
			t.Fatalf("%q: %+v, written and read again %+v", text, r, again)
		}
	})
}

func TestCacheRead(t *testing.T) {
	c := NewCache(8000, []Utterance{{Speaker: "z"}, {Speaker: "a"}}, [][]int16{{1, 2}, {-32768, 32767, 16384}})
	if c.Rate() != 8000 || !slices.Equal(c.Speakers(), []string{"a", "z"}) || c.Utterances()[0].SpeakerID != 1 {
		t.Errorf("%d Hz, speakers %q, %+v", c.Rate(), c.Speakers(), c.Utterances())
	}
	c.Utterances()[1].Offset = 0.25
	for _, test := range []struct {
		start int64
		want  []float32
	}{
		{0, []float32{-0.75, 32767./32768 + 0.25, 0.75}},
		{1, []float32{32767./32768 + 0.25, 0.75, 0, 0}},
		{-2, []float32{0, 0, -0.75}},
		{-1, []float32{0, -0.75, 32767./32768 + 0.25, 0.75, 0}},
		{-9, []float32{0, 0}},
		{3, []float32{0}},
		{math.MaxInt64, []float32{0}},
		{math.MinInt64, []float32{0}},
		{1, []float32{}},
	} {
		x := make([]float32, len(test.want))
		for i := range x {
			x[i] = 99
		}
		if c.Read(x, 1, test.start); !slices.Equal(x, test.want) {
			t.Errorf("from %d: %v, want %v", test.start, x, test.want)
		}
	}
	if s := c.Samples(0); len(s) != 2 || cap(s) != 2 {
		t.Errorf("%d samples, capacity %d", len(s), cap(s))
	}
}

func BenchmarkOpenCache(b *testing.B) {
	m := &Manifest{Dir: b.TempDir()}
	samples := int64(0)
	for i := range 64 {
		m.Utterances = append(m.Utterances, Utterance{Path: fmt.Sprintf("%d.wav", i), Speaker: "a", SourceRate: -1})
		record(b, m.File(i), 16000, 1, audio.PCM16, noise(uint64(i), 1<<20, 0.5, 0))
		samples += 1 << 20
	}
	dir := b.TempDir()
	prepare(b, m, dir, DefaultSettings(), 0)
	b.SetBytes(2 * samples)
	for b.Loop() {
		c, err := OpenCache(dir)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
