package alignment

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/shared"
)

// long and short are the same TextGrid; long as Praat writes it.
const long = `File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 1.25 
tiers? <exists> 
size = 3 
item []: 
    item [1]:
        class = "IntervalTier" 
        name = "words" 
        xmin = 0 
        xmax = 1.25 
        intervals: size = 1 
        intervals [1]:
            xmin = 0 
            xmax = 1.25 
            text = "the ""cat"" 5 <exists> ! no comment
on two lines" 
    item [2]:
        class = "TextTier" 
        name = "bell" 
        xmin = 0 
        xmax = 1.25 
        points: size = 1 
        points [1]:
            number = 0.5 
            mark = "ding" 
    item [3]:
        class = "IntervalTier" 
        name = "phones" 
        xmin = 0 
        xmax = 1.25 
        intervals: size = 4 
        intervals [1]:
            xmin = 0 
            xmax = 0.25 
            text = "" 
        intervals [2]:
            xmin = 0.25 
            xmax = 5e-1 
            text = "k" 
        intervals [3]:
            xmin = 0.5 
            xmax = 1 
            text = " æ " 
        intervals [4]:
            xmin = 1 
            xmax = 1.25 
            text = "k" 
`

const short = `"ooTextFile"
"TextGrid" ! of class "Other" 7
0 1.25 <exists>
3 tiers
"IntervalTier" "words" 0 1.25 1 0 1.25 "the"
"TextTier"
"bell"
0
1.25
1
0.5
"ding"
"IntervalTier" "phones" 0 1.25 4
0 0.25 "" 0.25 0.5 "k"
0.5 1.0 "æ"
1 1.25 "k"`

var wantSet = &Set{
	Phones: []string{"", "k", "æ"},
	Utterances: []Utterance{{Path: "a", Intervals: []Interval{
		{0, 0.25, 0}, {0.25, 0.5, 1}, {0.5, 1, 2}, {1, 1.25, 1},
	}}},
}

// write writes a file into a folder of the test's.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func inUTF16(s string, little bool) []byte {
	var b []byte
	for _, w := range utf16.Encode([]rune("\ufeff" + s)) {
		if little {
			b = append(b, byte(w), byte(w>>8))
		} else {
			b = append(b, byte(w>>8), byte(w))
		}
	}
	return b
}

func TestTextGrid(t *testing.T) {
	for name, data := range map[string][]byte{
		"long": []byte(long), "short": []byte(short), "mark": []byte("\ufeff" + long), "CRLF": []byte(strings.ReplaceAll(long, "\n", "\r\n")),
		"CR": []byte(strings.ReplaceAll(short, "\n", "\r")), "UTF-16LE": inUTF16(long, true), "UTF-16BE": inUTF16(short, false),
		"old": []byte(strings.Replace(short, "ooTextFile", "ooTextFile short", 1)),
	} {
		got, err := Read(write(t, "a.TextGrid", data), "")
		if err != nil || !reflect.DeepEqual(got, wantSet) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	var e *files.FormatError
	if got, err := Read(write(t, "b.textgrid", []byte(long)), "words"); !errors.As(err, &e) || e.Line != 18 { // a label of two lines
		t.Errorf("words: %+v, %v", got, err)
	}
	if got, err := Read(write(t, "b.textgrid", []byte(short)), "words"); err != nil || !slices.Equal(got.Phones, []string{"the"}) {
		t.Errorf("words: %+v, %v", got, err)
	}
}

func TestTextGridErrors(t *testing.T) {
	for _, c := range []struct {
		from, to string // what is changed in short
		line     int
		found    string
	}{
		{`"TextGrid"`, `"Sound"`, 2, `class "Sound"`},
		{`<exists>`, ``, 4, `"3"`},
		{`<exists>`, `<absent>`, 0, `tiers []`},
		{`3 tiers`, `4 tiers`, 16, `the end of the file`},
		{`3 tiers`, `1e12`, 4, `1e+12`},
		{`3 tiers`, `2.5`, 4, `2.5`},
		{`3 tiers`, `-1`, 4, `-1`},
		{`"phones"`, `"phone"`, 0, `"words", "phone"`},
		{`"words"`, `"phones"`, 13, `another interval tier`},
		{`"TextTier"`, `"TextTire"`, 6, `class "TextTire"`},
		{`1.25 4`, `1.25 2147483647`, 16, `the end of the file`},
		{`1.25 4`, `1.25 5`, 16, `the end of the file`},
		{`0.5 1.0 "æ"`, `0.4 1.0 "æ"`, 15, `0.4 to 1 behind one from 0.25 to 0.5`},
		{`0.5 1.0 "æ"`, `0.5 0.4 "æ"`, 15, `0.5 to 0.4`},
		{`0.5 1.0 "æ"`, `0.5 1e300 "æ"`, 15, `1e+300`},
		{`0.5 1.0 "æ"`, `0.5 1e999 "æ"`, 15, `"æ"`},
		{`0.5 1.0 "æ"`, `-0.5 1.0 "æ"`, 15, `-0.5`},
		{`0.5 1.0 "æ"`, `0.5 "æ" 1.0`, 15, `"æ"`},
		{`"æ"`, "\"\xe6\"", 15, `byte 0xe6`},
		{`"æ"`, "\"\x00\"", 15, `byte 0x00`},
		{`"æ"`, "\"\x1b\"", 15, `label "\x1b"`},
		{`"æ"`, `"æ`, 15, `label "æ\n1 1.25"`},
		{`1 1.25 "k"`, `1 1.25 "k`, 16, `a text without an end`},
	} {
		data := strings.Replace(short, c.from, c.to, 1)
		if data == short {
			t.Fatalf("%q is not there", c.from)
		}
		got, err := Read(write(t, "a.TextGrid", []byte(data)), "")
		var e *files.FormatError
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Found, c.found) {
			t.Errorf("%s for %s: %+v, %v", c.to, c.from, got, err)
		}
	}
	if _, err := Read(write(t, "a.TextGrid", inUTF16(short, true)[:99]), ""); err == nil || !strings.Contains(err.Error(), "99 bytes") {
		t.Errorf("half a character: %v", err)
	}
	var e *files.UnsupportedError
	if _, err := Read(write(t, "a.TextGrid", []byte("ooBinaryFile\x08TextGrid")), ""); !errors.As(err, &e) {
		t.Errorf("binary: %v", err)
	}
}

func TestTable(t *testing.T) {
	data := "phone\tx\tstart\tpath\tdur\r\nSIL\t1\t0\tan4/a.flac\t0.25\r\n\r\nK\t1\t0\t./b.c\t1\r\nAE\t1\t0.249755859375\tan4/a.flac\t.25\nK\t1\t1.5\tan4/a.flac\t0\nK\t1\t1.5\tan4/a.flac\t1e-2\n"
	got, err := Read(write(t, "a.tsv", []byte("\ufeff"+data)), "")
	want := &Set{Phones: []string{"AE", "K", "SIL"}, Utterances: []Utterance{
		{"an4/a", []Interval{{0, 0.249755859375, 2}, {0.249755859375, 0.499755859375, 0}, {1.5, 1.51, 1}}}, {"b.c", []Interval{{0, 1, 1}}},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		data  string
		line  int
		found string
	}{
		{"", 1, "empty"},
		{"path\tstart\tphone\n", 1, `"path\tstart\tphone"`},
		{"RIFF\x00\x01", 1, "RIFF"},
		{"path\tstart\tdur\tphone\na\t0\t1\n", 2, "3 columns"},
		{"path\tstart\tdur\tphone\na\tx\t1\tb\n", 2, `start "x"`},
		{"path\tstart\tdur\tphone\na\tNaN\t1\tb\n", 2, `start "NaN"`},
		{"path\tstart\tdur\tphone\na\t0\t-1\tb\n", 2, `dur "-1"`},
		{"path\tstart\tdur\tphone\na\t0\t1e9\tb\n", 2, `1e+09`},
		{"path\tstart\tdur\tphone\na\t-1\t1\tb\n", 2, `-1 to 0`},
		{"path\tstart\tdur\tphone\n\t0\t1\tb\n", 2, "no path"},
		{"path\tstart\tdur\tphone\na\t0\t1\tb\nc\t0\t1\tb\na\t0.5\t1\tb\n", 4, "behind one"},
		{"path\tstart\tdur\tphone\na\t0\t1\t\xff\n", 2, `label`},
		{"path\tstart\tdur\tphone\n" + strings.Repeat("a", maxLine+1), 2, "longer line"},
	} {
		got, err := Read(write(t, "a.tsv", []byte(c.data)), "")
		var e *files.FormatError
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Found, c.found) {
			t.Errorf("%.60q: %+v, %v", c.data, got, err)
		}
	}
	words := new(strings.Builder)
	words.WriteString("path\tstart\tdur\tphone\n")
	for i := range MaxPhones + 1 {
		fmt.Fprintf(words, "a\t%d\t1\tw%d\n", i, i)
	}
	var e *files.FormatError
	if _, err := Read(write(t, "a.tsv", []byte(words.String())), ""); !errors.As(err, &e) || e.Line != MaxPhones+2 {
		t.Errorf("words: %v", err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir, ""); err == nil {
		t.Error("an empty folder was read")
	}
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.TextGrid", "x/y/a.b.textgrid", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(short), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(dir, "")
	if err != nil || len(got.Utterances) != 2 || got.Utterances[0].Path != "b" || got.Utterances[1].Path != "x/y/a.b" ||
		!reflect.DeepEqual(got.Phones, wantSet.Phones) || !reflect.DeepEqual(got.Utterances[1].Intervals, wantSet.Utterances[0].Intervals) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Read(filepath.Join(dir, "none"), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestAt(t *testing.T) {
	u := Utterance{Intervals: []Interval{{0.5, 1, 7}, {1, 2, 8}, {3, 4, 9}}}
	for at, want := range map[float64]int32{0: -1, 0.499: -1, 0.5: 7, 0.999: 7, 1: 8, 1.5: 8, 2: -1, 2.5: -1, 3: 9, 4: -1, 9: -1, -1: -1, math.NaN(): -1} {
		if got := u.At(at); got != want {
			t.Errorf("at %v: %d, want %d", at, got, want)
		}
	}
	if got := new(Utterance).At(0); got != -1 {
		t.Errorf("of nothing: %d", got)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		alignments, paths []string
		want              []int
	}{
		{[]string{"an4/a/x", "an4/b/x"}, []string{"/data/an4/b/x.flac", "an4/a/x.WAV", "fsdd/x.wav", "/data/an4/b/y.flac"}, []int{1, 0, -1, -1}},
		{[]string{"x", "b/x"}, []string{"/b/x.wav", "/a/x.wav"}, []int{1, 0}},
		{[]string{"an4/b/x"}, []string{"b/x.wav", "c/x.wav", "4/b/x.wav"}, []int{0, -1, -1}},
		{[]string{"b/x", "bb/x"}, []string{"./bb/x.wav", "b/x"}, []int{1, 0}},
		{[]string{"a/x", "b/x"}, []string{"x.wav"}, nil},
		{[]string{"a/x", "b/x", "x"}, []string{"x.wav"}, []int{2}},
		{[]string{"x", "x"}, []string{"a/x.wav"}, nil},
		{[]string{"x"}, []string{"a/x.wav", "b/x.wav"}, nil},
		{nil, []string{"a"}, []int{-1}},
	} {
		s := new(Set)
		for _, a := range c.alignments {
			s.Utterances = append(s.Utterances, Utterance{Path: a})
		}
		got, err := s.Match(c.paths)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%v of %v: %v, %v", c.paths, c.alignments, got, err)
		}
	}
}

// TestShared reads real alignments.
func TestShared(t *testing.T) {
	got, err := Read(shared.Data(t, "speech/alignments.tsv"), "")
	if err != nil {
		t.Fatal(err)
	}
	seconds := 0.0
	for _, u := range got.Utterances {
		for _, i := range u.Intervals {
			seconds += i.End - i.Start
		}
	}
	if len(got.Utterances) != 1465 || len(got.Phones) != 40 || math.Abs(seconds-75.2*60) > 60 {
		t.Errorf("%d utterances, %d phones, %.0f s", len(got.Utterances), len(got.Phones), seconds)
	}
}

// check checks what holds of every set.
func check(t *testing.T, s *Set) {
	t.Helper()
	if !slices.IsSorted(s.Phones) || len(slices.Compact(slices.Clone(s.Phones))) != len(s.Phones) {
		t.Errorf("phones %q", s.Phones)
	}
	for _, u := range s.Utterances {
		end := 0.0
		for _, i := range u.Intervals {
			if !(i.Start >= end && i.End > i.Start) || i.Phone < 0 || int(i.Phone) >= len(s.Phones) {
				t.Errorf("%+v after %v", i, end)
			}
			end = i.End
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(long))
	f.Add([]byte(short))
	f.Add(inUTF16(short, true))
	f.Add([]byte("path\tstart\tdur\tphone\na\t0\t1\tb\na\t0.9995\t1\tc\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &builder{file: "a", phones: map[string]int32{}}
		if err := b.read(bytes.NewReader(data), "a", "phones"); err != nil {
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			if !errors.As(err, &format) && !errors.As(err, &unsupported) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		check(t, b.set())
	})
}

// TestMemory reads files that state large numbers, and files of the smallest lines.
func TestMemory(t *testing.T) {
	lines := new(strings.Builder)
	lines.WriteString("path\tstart\tdur\tphone\n")
	for i := range 100_000 {
		fmt.Fprintf(lines, "%x\t0\t1\tb\n", i)
	}
	for name, data := range map[string]string{
		"sizes": strings.Replace(short, "1.25 4", "1.25 2147483647", 1), "table": lines.String(),
		"texts": short[:len(short)-1] + strings.Repeat(`""`, 1<<20), "blanks": short + strings.Repeat(" ", 1<<20),
		"words": `"ooTextFile"` + strings.Repeat(" a", 1<<20),
	} {
		file := write(t, "a", []byte(data))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Read(file, "")
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(40*len(data)+1<<20); got > most {
			t.Errorf("%s: %d bytes for %d", name, got, len(data))
		}
	}
}
