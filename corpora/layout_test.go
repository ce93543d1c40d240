package corpora

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/files"
)

// plant writes files into a folder: those with text, and recordings, whatever their extension, of a quarter of a second
// of a tone that depends on the name.
func plant(t testing.TB, folder string, texts map[string]string, recordings ...string) {
	t.Helper()
	for name, text := range texts {
		plantFile(t, folder, name, []byte(text))
	}
	for _, name := range recordings {
		plantFile(t, folder, name, wavFile(t, 16000, 1, tone(name, 4000)))
	}
}

func plantFile(t testing.TB, folder, name string, data []byte) {
	t.Helper()
	name = filepath.Join(folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tone is a sine at -6 dBFS with a frequency that depends on the name.
func tone(name string, samples int) []float64 {
	h := fnv.New32a()
	h.Write([]byte(name))
	step := 0.05 + float64(h.Sum32())/(1<<32)
	block := make([]float64, samples)
	for i := range block {
		block[i] = 0.5 * math.Sin(step*float64(i))
	}
	return block
}

// wavFile returns a WAV file of 16 bits.
func wavFile(t testing.TB, rate, channels int, block []float64) []byte {
	t.Helper()
	return encodedFile(t, rate, channels, audio.PCM16, block)
}

func encodedFile(t testing.TB, rate, channels int, encoding audio.Encoding, block []float64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := audio.NewWriter(&b, audio.Format{NumChannels: channels, SampleRate: rate}, encoding, int64(len(block)/channels))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(block); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// want is what a layout is to say of an utterance.
type want struct{ path, speaker, text, split, gender, age, lang string }

// checkList lists a corpus, and compares utterances, in order, and problems, as "kind path".
func checkList(t *testing.T, folder string, o Options, layout string, utterances []want, problems ...string) {
	t.Helper()
	l, name, err := list(folder, o)
	if err != nil {
		t.Fatal(err)
	}
	if name != layout {
		t.Errorf("layout %s, want %s", name, layout)
	}
	var got []want
	for _, u := range l.manifest.Utterances {
		got = append(got, want{u.Path, u.Speaker, u.Text, u.Split, u.Gender, u.Age, u.Lang})
	}
	if !reflect.DeepEqual(got, utterances) {
		t.Errorf("got  %+v\nwant %+v", got, utterances)
	}
	var gotProblems []string
	for _, p := range l.problems {
		gotProblems = append(gotProblems, fmt.Sprintf("%s %s", p.Kind, p.Path))
		if p.Detail == "" {
			t.Errorf("no detail for %s %s", p.Kind, p.Path)
		}
	}
	if !reflect.DeepEqual(gotProblems, problems) {
		t.Errorf("problems %q\nwant     %q", gotProblems, problems)
	}
}

func TestVCTK080(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, map[string]string{
		"speaker-info.txt":          "ID  AGE  GENDER  ACCENTS  REGION  \n225  23  F    English    Southern  England\n315  18  M    American  New  England \n",
		"txt/p225/p225_001.txt":     "Please call Stella.\n",
		"txt/p225/p225_002.txt":     "Ask her\r\nto bring",
		"wav48/p376/p376_295.raw":   "no header",
		"wav48/p225/._p225_001.wav": "of a Mac",
	}, "wav48/p225/p225_002.wav", "wav48/p225/p225_001.wav", "wav48/p315/p315_001.wav")
	checkList(t, folder, Options{}, "vctk", []want{
		{"wav48/p225/p225_001.wav", "vctk-p225", "Please call Stella.", SplitOf("p225", "p225_001"), "f", "23", "en"},
		{"wav48/p225/p225_002.wav", "vctk-p225", "Ask her  to bring", SplitOf("p225", "p225_002"), "f", "23", "en"},
		{"wav48/p315/p315_001.wav", "vctk-p315", "", SplitOf("p315", "p315_001"), "m", "18", "en"},
	}, "no text wav48/p315/p315_001.wav", "other format wav48/p376/p376_295.raw")
}

func TestVCTK092(t *testing.T) {
	folder := t.TempDir()
	const sound = "wav48_silence_trimmed/"
	plant(t, folder, map[string]string{
		"speaker-info.txt": "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \np225  23  F    English    Southern  England\n" +
			"p280  25  F    Unknown   France (mic2 files unavailable)\ns5    24  F\n",
		"txt/p225/p225_001.txt": "Please call Stella.\n",
		"txt/p280/p280_001.txt": "Please call Stella.\n",
		"txt/s5/s5_001.txt":     "Please call Stella.\n",
		sound + "log.txt":       "not sound",
	}, sound+"p225/p225_001_mic1.flac", sound+"p225/p225_001_mic2.flac", sound+"p280/p280_001_mic1.flac",
		sound+"s5/s5_001_mic1.flac", sound+"s5/s5_001_mic2.flac")
	checkList(t, folder, Options{}, "vctk", []want{
		{sound + "p225/p225_001_mic1.flac", "vctk-p225", "Please call Stella.", SplitOf("p225", "p225_001"), "f", "23", "en"},
		{sound + "p280/p280_001_mic1.flac", "vctk-p280", "Please call Stella.", SplitOf("p280", "p280_001"), "f", "25", "en"},
		{sound + "s5/s5_001_mic1.flac", "vctk-s5", "Please call Stella.", SplitOf("s5", "s5_001"), "f", "24", "en"},
	})
	checkList(t, folder, Options{Microphone: 2}, "vctk", []want{
		{sound + "p225/p225_001_mic2.flac", "vctk-p225", "Please call Stella.", SplitOf("p225", "p225_001"), "f", "23", "en"},
		{sound + "s5/s5_001_mic2.flac", "vctk-s5", "Please call Stella.", SplitOf("s5", "s5_001"), "f", "24", "en"},
	}, "other microphone "+sound+"p280/p280_001_mic1.flac")
}

func TestLibriSpeech(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, map[string]string{
		"SPEAKERS.TXT": "; reader_id: the ID\n;ID  |SEX| SUBSET           |MINUTES| NAME\n14   | F | dev-clean  | 25.03 | Kristin LeMoine\n" +
			"60   | M | train-clean-100  | 20.18 | | CBW | Simon\n",
		"dev-clean/14/208/14-208.trans.txt":             "14-208-0000 MR JONES'S\n14-208-0001 WENT\n",
		"train-clean-100/60/121082/60-121082.trans.txt": "60-121082-0000 IN\n",
		"test-other/1/2/1-2.trans.txt":                  "1-2-0000 A\n",
	}, "dev-clean/14/208/14-208-0000.flac", "dev-clean/14/208/14-208-0001.flac", "dev-clean/14/208/stray.flac",
		"train-clean-100/60/121082/60-121082-0000.flac", "test-other/1/2/1-2-0000.flac", "test-other/1/2/1-2-0001.flac",
		"test-other/1/3/1-3-0000.flac", "intro/1.flac")
	checkList(t, folder, Options{}, "librispeech", []want{
		{"dev-clean/14/208/14-208-0000.flac", "librispeech-14", "MR JONES'S", Valid, "f", "", "en"},
		{"dev-clean/14/208/14-208-0001.flac", "librispeech-14", "WENT", Valid, "f", "", "en"},
		{"test-other/1/2/1-2-0000.flac", "librispeech-1", "A", Test, "", "", "en"},
		{"test-other/1/2/1-2-0001.flac", "librispeech-1", "", Test, "", "", "en"},
		{"test-other/1/3/1-3-0000.flac", "librispeech-1", "", Test, "", "", "en"},
		{"train-clean-100/60/121082/60-121082-0000.flac", "librispeech-60", "IN", Train, "m", "", "en"},
	}, "bad name dev-clean/14/208/stray.flac", "no text test-other/1/2/1-2-0001.flac", "no text test-other/1/3")
	checkList(t, filepath.Join(folder, "dev-clean"), Options{}, "librispeech", []want{
		{"14/208/14-208-0000.flac", "librispeech-14", "MR JONES'S", Valid, "f", "", "en"},
		{"14/208/14-208-0001.flac", "librispeech-14", "WENT", Valid, "f", "", "en"},
	}, "bad name 14/208/stray.flac")
}

func TestLJSpeech(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, map[string]string{
		"metadata.csv": "LJ001-0001|He said \"no in 1884|He said \"no in eighteen eighty-four\n" +
			"LJ001-0002|in being|\n\nLJ001-0003\n../x|a|b\nLJ001-0001|again|again\n",
	}, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav", "wavs/LJ001-0009.wav")
	checkList(t, folder, Options{}, "ljspeech", []want{
		{"wavs/LJ001-0001.wav", "ljspeech-lj", `He said "no in eighteen eighty-four`, SplitOf("lj", "LJ001-0001"), "f", "", "en"},
		{"wavs/LJ001-0002.wav", "ljspeech-lj", "in being", SplitOf("lj", "LJ001-0002"), "f", "", "en"},
		{"wavs/LJ001-0003.wav", "ljspeech-lj", "", SplitOf("lj", "LJ001-0003"), "f", "", "en"},
	}, "no text wavs/LJ001-0003.wav", "bad name wavs/../x.wav", "listed twice wavs/LJ001-0001.wav", "not listed wavs/LJ001-0009.wav")
}

func TestCommonVoice(t *testing.T) {
	folder := t.TempDir()
	// The columns of version 1, and of version 17.
	const old = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\n"
	const recent = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment\n"
	plant(t, folder, map[string]string{
		"train.tsv": recent + "c0ffee\ta.mp3\t1\t\"\"\"Good-bye,\"\" said the boy.\"\t\t2\t0\tfourties\tfemale_feminine\t\t\ten\t\n" +
			"c0ffee\tb.mp3\t2\t\"Hello\" she\t\t2\t0\t\t\t\t\ten\t\n" + "c0ffee\tbroken\n",
		"test.tsv":      old + "beef\tc\tNo\t2\t0\ttwenties\tmale\t\n\tx\tNo\t2\t0\t\t\t\n",
		"validated.tsv": recent + "c0ffee\td.mp3\t3\tyes\t\t2\t0\t\tother\t\t\ten\t\n",
	}, "clips/a.mp3", "clips/b.mp3", "clips/c.mp3", "clips/d.mp3")
	checkList(t, folder, Options{}, "commonvoice", []want{
		{"clips/a.mp3", "commonvoice-c0ffee", `"Good-bye," said the boy.`, Train, "f", "fourties", "en"},
		{"clips/b.mp3", "commonvoice-c0ffee", `"Hello" she`, Train, "", "", "en"},
		{"clips/c.mp3", "commonvoice-beef", "No", Test, "m", "twenties", ""},
	}, "bad line train.tsv", "bad line test.tsv")
	for _, name := range []string{"train.tsv", "test.tsv"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	checkList(t, folder, Options{}, "commonvoice", []want{
		{"clips/d.mp3", "commonvoice-c0ffee", "yes", SplitOf("c0ffee", "d"), "other", "", "en"},
	})

	plant(t, folder, map[string]string{"validated.tsv": "path\tsentence\n"})
	var format *files.FormatError
	if _, _, err := list(folder, Options{}); !errors.As(err, &format) || format.Found != `no column "client_id"` {
		t.Errorf("a table without speakers: %v", err)
	}
}

func TestUnquote(t *testing.T) {
	for s, want := range map[string]string{
		``: ``, `"`: `"`, `""`: ``, `Hello`: `Hello`, `"Hello"`: `"Hello"`, `"Hello" she`: `"Hello" she`,
		`"""Hello"" she"`: `"Hello" she`, `"""Hello"""`: `"Hello"`, `"a "b" c"`: `"a "b" c"`, `"""`: `"""`, `""""`: `"`,
	} {
		if got := unquote(s); got != want {
			t.Errorf("%s became %s, want %s", s, got, want)
		}
	}
}

func TestPlainFolders(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "mine")
	plant(t, folder, map[string]string{
		"bob/c.ogg": "Ogg", "notes.txt": "hello", ".hidden/x.wav": "x", "bob/._d.wav": "of a Mac",
	}, "ann/a.wav", "ann/deep/b.WAV", "bob/c.flac", "top.wav")
	checkList(t, folder, Options{}, "folders", []want{
		{"ann/a.wav", "ann", "", SplitOf("ann", "a"), "", "", ""},
		{"ann/deep/b.WAV", "deep", "", SplitOf("deep", "b"), "", "", ""},
		{"bob/c.flac", "bob", "", SplitOf("bob", "c"), "", "", ""},
		{"top.wav", "mine", "", SplitOf("", "top"), "", "", ""},
	}, "other format bob/c.ogg")
}

func TestPattern(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, nil, "dev/ann/f/7_x_1.wav", "train/bob/m/8_y_1.wav", "odd/bob/m/8_y_1.wav", "9.wav")
	checkList(t, folder, Options{Pattern: "{split}/{speaker}/{gender}/{text}_*.wav"}, "folders", []want{
		{"dev/ann/f/7_x_1.wav", "ann", "7", Valid, "f", "", ""},
		{"train/bob/m/8_y_1.wav", "bob", "8", Train, "m", "", ""},
	}, "bad name 9.wav", "bad name odd/bob/m/8_y_1.wav")
	checkList(t, folder, Options{Pattern: "{text}_{speaker}_*.*"}, "folders", []want{
		{"dev/ann/f/7_x_1.wav", "x", "7", SplitOf("x", "7_x_1"), "", "", ""},
		{"odd/bob/m/8_y_1.wav", "y", "8", SplitOf("y", "8_y_1"), "", "", ""},
		{"train/bob/m/8_y_1.wav", "y", "8", SplitOf("y", "8_y_1"), "", "", ""},
	}, "bad name 9.wav")
	for _, pattern := range []string{"{who}.wav", "{speaker", "speaker}", "{speaker}{speaker}", "{{speaker}}"} {
		var wrong *PatternError
		if _, _, err := list(folder, Options{Pattern: pattern}); !errors.As(err, &wrong) || wrong.Pattern != pattern {
			t.Errorf("pattern %s: %v", pattern, err)
		}
	}
}

func TestManifestLayout(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, map[string]string{"manifest.tsv": "path\tspeaker\tsplit\tmood\na/1.wav\tann\ttest\tgay\na/2.wav\tann\t-\t-\n"},
		"a/1.wav", "a/2.wav", "a/3.wav")
	utterances := []want{{"a/1.wav", "ann", "", Test, "", "", ""}, {"a/2.wav", "ann", "", SplitOf("ann", "2"), "", "", ""}}
	checkList(t, folder, Options{}, "manifest", utterances, "not listed a/3.wav")
	checkList(t, filepath.Join(folder, "manifest.tsv"), Options{}, "manifest", utterances)
}

// TestLinks makes a link that leads back, one to a file, and one that leads nowhere.
func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs links, which Windows lets few users make")
	}
	folder := t.TempDir()
	plant(t, folder, nil, "ann/a.wav")
	for link, to := range map[string]string{"ann/back": "..", "ann/b.wav": "a.wav", "ann/c.wav": "nowhere.wav"} {
		if err := os.Symlink(to, filepath.Join(folder, filepath.FromSlash(link))); err != nil {
			t.Fatal(err)
		}
	}
	utterances := []want{
		{"ann/a.wav", "ann", "", SplitOf("ann", "a"), "", "", ""},
		{"ann/b.wav", "ann", "", SplitOf("ann", "b"), "", "", ""},
		{"ann/c.wav", "ann", "", SplitOf("ann", "c"), "", "", ""},
	}
	checkList(t, folder, Options{}, "folders", utterances, "link ann/back")
	whole := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(folder, whole); err != nil {
		t.Fatal(err)
	}
	checkList(t, whole, Options{}, "folders", utterances, "link ann/back")
}

func TestDetect(t *testing.T) {
	empty, two, above, file := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	plant(t, two, map[string]string{"metadata.csv": "", "train.tsv": ""}, "wavs/a.wav", "clips/a.mp3")
	plant(t, above, map[string]string{"LJSpeech-1.1/metadata.csv": ""}, "LJSpeech-1.1/wavs/a.wav")
	plant(t, file, map[string]string{"m.tsv": ""})
	for folder, why := range map[string]string{
		empty: "no recordings found", two: "may be ljspeech or commonvoice: name one",
		above: "no corpus itself, but LJSpeech-1.1 in it looks like ljspeech: scan that, or name a layout",
	} {
		_, err := Detect(folder)
		var unknown *LayoutError
		if !errors.As(err, &unknown) || unknown.Why != why || !strings.Contains(err.Error(), "vctk, librispeech, ") {
			t.Errorf("%v, want %s", err, why)
		}
	}
	if name, err := Detect(filepath.Join(file, "m.tsv")); name != "manifest" || err != nil {
		t.Errorf("a file is a %q, %v", name, err)
	}
	if _, err := Detect(filepath.Join(empty, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing is %v", err)
	}
	for _, l := range Layouts() {
		if l.Name == "folders" || l.Name == "manifest" {
			continue
		}
		var unknown *LayoutError
		if _, _, err := list(empty, Options{Layout: l.Name}); !errors.As(err, &unknown) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an empty folder as %s: %v", l.Name, err)
		}
	}
	var unknown *LayoutError
	if _, _, err := list(above, Options{Layout: "vctk2"}); !errors.As(err, &unknown) {
		t.Errorf("layout vctk2: %v", err)
	}
}

// FuzzTables puts any bytes into every table of every layout.
func FuzzTables(f *testing.F) {
	for _, s := range []string{
		"ID AGE GENDER\np225 23 F English\n", "225", "14 | F | dev-clean | 25 | A\n", "14-208-0000 MR JONES\n", "LJ001|a \"b|c\n../x|\n",
		"client_id\tpath\tsentence\tage\tgender\tlocale\nc\ta\t\"\"\"x\"\"\"\ttwenties\tmale\ten\nc\n", "path\tspeaker\n\xff\x00", "\ufeff\r\n",
	} {
		f.Add([]byte(s))
	}
	folder := f.TempDir()
	tables := map[string][]string{
		"vctk":        {"speaker-info.txt", "txt/p225/p225_001.txt"},
		"librispeech": {"SPEAKERS.TXT", "dev-clean/14/208/14-208.trans.txt"},
		"ljspeech":    {"metadata.csv"},
		"commonvoice": {"train.tsv"},
	}
	plant(f, folder, nil, "vctk/wav48/p225/p225_001.wav", "librispeech/dev-clean/14/208/14-208-0000.flac", "ljspeech/wavs/LJ001.wav", "commonvoice/clips/a.mp3")
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, of := range tables {
			corpus := filepath.Join(folder, name)
			for _, table := range of {
				plantFile(t, corpus, table, data)
			}
			l, _, err := list(corpus, Options{Layout: name})
			var format *files.FormatError
			var layout *LayoutError
			if err != nil && !errors.As(err, &format) && !errors.As(err, &layout) {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				formatted(t, l.manifest)
			}
		}
	})
}

// TestOnePathTwice has a table that names one file in several ways: the manifest has it once, and can be written.
func TestOnePathTwice(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, map[string]string{"train.tsv": "client_id\tpath\tsentence\nann\ta.wav\tyes\nann\t./a.wav\tyes\nbob\t/a.wav\tno\n"}, "clips/a.wav")
	l, _, err := list(folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.manifest.Utterances) != 1 || len(l.problems) != 2 || l.problems[0].Kind != Twice || l.problems[1].Kind != Twice {
		t.Errorf("%+v, %+v", l.manifest.Utterances, l.problems)
	}
	if err := l.manifest.Write(filepath.Join(folder, "manifest.tsv")); err != nil {
		t.Error(err)
	}
}
