package corpora

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/shared"
)

func TestManifestOfAnyShape(t *testing.T) {
	for name, text := range map[string]string{
		"all columns": "path\tspeaker\ttext\tseconds\tsplit\tcorpus\tgender\tage\tlang\tframes\tsource_rate\n" +
			"a/b.wav\tann\tHALLO, \"YOU\"\t1.500\ttrain\tc\tf\t30\ten\t24000\t16000\n",
		"any order, byte order mark, CRLF, no end of line": "\ufeffsource_rate\tspeaker\tage\tlang\tframes\tgender\tcorpus\tsplit\tseconds\ttext\tpath\r\n\r\n" +
			"16000\tann\t30\ten\t24000\tf\tc\ttrain\t1.5\t HALLO, \"YOU\" \t./a//b.wav",
	} {
		m, err := parseManifest(strings.NewReader(text), "m.tsv")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := []Utterance{{"a/b.wav", "ann", `HALLO, "YOU"`, 1.5, Train, "c", "f", "30", "en", 24000, 16000, nil}}
		if !reflect.DeepEqual(m.Utterances, want) {
			t.Errorf("%s: got %+v\nwant %+v", name, m.Utterances, want)
		}
	}

	m, err := parseManifest(strings.NewReader("mood\tspeaker\tpath\tplace\ngay\tann\ta.wav\t-\n\tbob\tb.wav\tx y\n"), "m.tsv")
	if err != nil {
		t.Fatal(err)
	}
	unknown := Utterance{Seconds: -1, Frames: -1, SourceRate: -1}
	a, b := unknown, unknown
	a.Path, a.Speaker, a.Extra = "a.wav", "ann", []string{"gay", ""}
	b.Path, b.Speaker, b.Extra = "b.wav", "bob", []string{"", "x y"}
	want := &Manifest{Extra: []string{"mood", "place"}, Utterances: []Utterance{a, b}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
}

func TestManifestErrors(t *testing.T) {
	const head = "path\tspeaker\tseconds\tsplit\tframes\tsource_rate\n"
	const good = "a.wav\tann\t1\ttrain\t16000\t16000\n"
	for _, c := range []struct {
		text, found string
		line        int
	}{
		{"", "nothing", 1},
		{"\n\n", "nothing", 3},
		{"path\ttext\n", `no column "speaker"`, 1},
		{"path\tspeaker\tpath\n", `two columns "path"`, 1},
		{"path\tspeaker\t\n", "a column without a name", 1},
		{"path\tspeaker" + strings.Repeat("\tx", 255) + "\n", "257 columns, more than 256", 1},
		{head + good + "b.wav\tann\n", "2 columns", 3},
		{head + good + strings.TrimSpace(good) + "\tx\n", "7 columns", 3},
		{head + "\n" + good + good, `path "a.wav", which line 3 has`, 4},
		{head + good + "./" + good, `path "a.wav", which line 2 has`, 3},
		{head + "\tann\t-\t-\t-\t-\n", "no path", 2},
		{head + "-\tann\t-\t-\t-\t-\n", "no path", 2},
		{head + "./\tann\t-\t-\t-\t-\n", "no path", 2},
		{head + "../a.wav\tann\t-\t-\t-\t-\n", `path "../a.wav"`, 2},
		{head + "a/../b.wav\tann\t-\t-\t-\t-\n", `path "a/../b.wav"`, 2},
		{head + "a\x01.wav\tann\t-\t-\t-\t-\n", `path "a\x01.wav"`, 2},
		{head + " a.wav\tann\t-\t-\t-\t-\n", `path " a.wav"`, 2},
		{head + "a.wav\t-\t-\t-\t-\t-\n", "no speaker", 2},
		{head + "a.wav\tann\tlong\t-\t-\t-\n", `seconds "long"`, 2},
		{head + "a.wav\tann\tNaN\t-\t-\t-\n", `seconds "NaN"`, 2},
		{head + "a.wav\tann\t1000000001\t-\t-\t-\n", `seconds "1000000001"`, 2},
		{head + "a.wav\tann\t-1\t-\t-\t-\n", `seconds "-1"`, 2},
		{head + "a.wav\tann\t1\tdev\t-\t-\n", `split "dev"`, 2},
		{head + "a.wav\tann\t1\t-\t1.5\t-\n", `frames "1.5"`, 2},
		{head + "a.wav\tann\t1\t-\t99999999999999999999\t-\n", `frames "99999999999999999999"`, 2},
		{head + "a.wav\tann\t1\t-\t1\t0\n", `source_rate "0"`, 2},
		{head + "a\x00.wav\tann\t-\t-\t-\t-\n", "a NUL", 2},
		{head + "a\xff.wav\tann\t-\t-\t-\t-\n", "bytes that are not UTF-8", 2},
		{"\xff\xfep\x00a\x00", "bytes that are not UTF-8", 1},
		{head + good + strings.Repeat("x", 2<<20), "a line of more than 1048576 bytes", 3},
	} {
		m, err := parseManifest(strings.NewReader(c.text), "m.tsv")
		var format *files.FormatError
		if !errors.As(err, &format) || format.Found != c.found || format.Line != c.line || format.File != "m.tsv" || format.Expected == "" {
			t.Errorf("%.200q: %+v, %v; want line %d: found %s", c.text, m, err, c.line, c.found)
		}
	}
	if _, err := ReadManifest(filepath.Join(t.TempDir(), "none.tsv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a manifest that is not there: %v", err)
	}
	if _, err := ReadManifest(t.TempDir()); err == nil {
		t.Error("a folder was read as a manifest")
	}
}

// TestManifestMoves writes a manifest to its own folder, to one above and to one elsewhere: the paths hold from there.
func TestManifestMoves(t *testing.T) {
	root := t.TempDir()
	elsewhere := t.TempDir()
	corpus := filepath.Join(root, "corpus")
	m := &Manifest{Dir: corpus, Utterances: []Utterance{
		{Path: "a/b.wav", Speaker: "ann", Text: "one\ttwo\r\nthree\u0085 ", Seconds: 1.25, Frames: -1, SourceRate: -1},
		{Path: filepath.ToSlash(filepath.Join(root, "far.wav")), Speaker: "bob", Text: "-", Seconds: -1, Frames: 7},
	}}
	files := []string{m.File(0), m.File(1)}
	if err := os.Mkdir(corpus, 0o755); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string][]string{
		corpus:    {"a/b.wav", filepath.ToSlash(files[1])},
		root:      {"corpus/a/b.wav", "far.wav"},
		elsewhere: {filepath.ToSlash(files[0]), filepath.ToSlash(files[1])},
	} {
		name := filepath.Join(folder, "manifest.tsv")
		if err := m.Write(name); err != nil {
			t.Fatal(err)
		}
		back, err := ReadManifest(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			if back.File(i) != files[i] || back.Utterances[i].Path != want[i] {
				t.Errorf("in %s: path %s for %s, want %s", folder, back.Utterances[i].Path, back.File(i), want[i])
			}
		}
		if u := back.Utterances[0]; u.Text != "one two  three" || u.Seconds != 1.25 || u.Frames != -1 {
			t.Errorf("in %s: %+v", folder, u)
		}
		if u := back.Utterances[1]; u.Text != "" || u.Seconds != -1 || u.Frames != 7 || u.SourceRate != -1 {
			t.Errorf("in %s: %+v", folder, u)
		}
	}
}

func TestCannotWriteManifest(t *testing.T) {
	good := Utterance{Path: "a.wav", Speaker: "ann"}
	for name, change := range map[string]func(m *Manifest){
		"line break in path": func(m *Manifest) { m.Utterances[0].Path = "a\nb.wav" },
		"path not UTF-8":     func(m *Manifest) { m.Utterances[0].Path = "a\xff.wav" },
		"no path":            func(m *Manifest) { m.Utterances[0].Path = "" },
		"no speaker":         func(m *Manifest) { m.Utterances[0].Speaker = " " },
		"split":              func(m *Manifest) { m.Utterances[0].Split = "dev" },
		"twice":              func(m *Manifest) { m.Utterances = append(m.Utterances, good) },
		"column twice":       func(m *Manifest) { m.Extra = []string{"path"} },
	} {
		m := &Manifest{Dir: t.TempDir(), Utterances: []Utterance{good}}
		change(m)
		out := filepath.Join(m.Dir, "out.tsv")
		if err := m.Write(out); err == nil {
			t.Errorf("%s: written", name)
		}
		if left, _ := os.ReadDir(m.Dir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// TestManifestRoundTrip reads and writes a manifest that others have made: not a byte changes.
func TestManifestRoundTrip(t *testing.T) {
	name := filepath.Join(shared.Data(t, "speech"), "manifest.tsv")
	m, err := ReadManifest(name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := formatted(t, m); len(m.Utterances) != 4468 || !bytes.Equal(got, want) {
		t.Errorf("%d utterances, want 4468; %d bytes written, %d read", len(m.Utterances), len(got), len(want))
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte("path\tspeaker\ttext\tseconds\tsplit\tframes\tsource_rate\tmood\na.wav\tann\tHI\t1.5\ttrain\t16000\t16000\tgay\n/b.wav\tbob\t-\t-\t-\t-\t-\t\n"))
	f.Add([]byte("\ufeffspeaker\tpath\r\nann\ta\r\n"))
	f.Add([]byte("path\tspeaker\na/../b\tx\n"))
	f.Add([]byte("path\tspeaker\n\x00\t\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(bytes.NewReader(data), "m.tsv")
		var format *files.FormatError
		if err != nil {
			if !errors.As(err, &format) {
				t.Fatalf("%v is not a FormatError", err)
			}
			return
		}
		text := formatted(t, m)
		again, err := parseManifest(bytes.NewReader(text), "m.tsv")
		if err != nil {
			t.Fatalf("own output: %v\n%s", err, text)
		}
		if len(again.Utterances) != len(m.Utterances) {
			t.Fatalf("%d utterances became %d", len(m.Utterances), len(again.Utterances))
		}
		for i := range m.Utterances { // seconds are rounded in the file
			again.Utterances[i].Seconds = m.Utterances[i].Seconds
		}
		if !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v\nbecame %+v", m, again)
		}
	})
}

// formatted returns the bytes of a manifest whose paths stay as they are.
func formatted(t *testing.T, m *Manifest) []byte {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := m.format(w, func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return b.Bytes()
}
