package units

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/files"
)

// utterances are some of every kind, for a format that holds everything.
func utterances(vectors bool) []*Utterance {
	info := Info{Rate: 16000, Hop: 64, K: 512, Model: "d0c5a1"}
	if vectors {
		return []*Utterance{
			{Name: "a/b", Info: info, Sequence: Sequence{Units: []int32{3, 3, 0}, Vectors: []float32{1.5, -2, 0, 1e-30, 3, math.MaxFloat32}, Dim: 2}},
			{Name: "one", Sequence: Sequence{Vectors: []float32{7, 0.1, math.SmallestNonzeroFloat32}, Dim: 1}},
		}
	}
	return []*Utterance{
		{Name: "a/b c", Info: info, Sequence: Sequence{Units: []int32{511, 0, 0, 7}}},
		{Name: "é#", Info: info, Sequence: Sequence{Units: []int32{5}, Durations: []int32{3}}},
		{Name: "empty", Info: info, Sequence: Sequence{Units: []int32{}}},
		{Name: "unknown", Sequence: Sequence{Units: []int32{0, math.MaxInt32}, Durations: []int32{1, math.MaxInt32}}},
		{Name: "12", Info: Info{Hop: 320}, Sequence: Sequence{Units: []int32{1, 1, 1, 1, 2}, Durations: []int32{1, 2, 1, 1, 1}}},
	}
}

// held is what a format holds of u.
func held(u *Utterance, f Format, vectors bool) *Utterance {
	h := *u
	if f != JSONL && f != TSV {
		h.Info, h.Durations = Info{}, nil
	}
	if vectors {
		h.Units = nil
	}
	return &h
}

func writeAll(t *testing.T, w *Writer, us []*Utterance) {
	t.Helper()
	defer w.Discard()
	for _, u := range us {
		if err := w.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func readAll(r *Reader) ([]*Utterance, error) {
	var us []*Utterance
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return us, nil
		}
		if err != nil {
			return us, err
		}
		us = append(us, u)
	}
}

func equal(t *testing.T, got, want []*Utterance) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d utterances, want %d", len(got), len(want))
	}
	for i, u := range got {
		if !reflect.DeepEqual(u, want[i]) {
			t.Errorf("got  %+v\nwant %+v", u, want[i])
		}
	}
}

// TestRoundTrip writes every format and reads it back: by its name, and in such formats as can be told by what is in the
// file, without.
func TestRoundTrip(t *testing.T) {
	for _, f := range Formats() {
		for _, vectors := range []bool{false, true} {
			if vectors && !f.Vectors() {
				continue
			}
			us := utterances(vectors)
			var want []*Utterance
			for _, u := range us {
				want = append(want, held(u, f, vectors))
			}
			if f.Folder() { // which is read in the order of names
				want[0], want[1] = want[1], want[0]
				if !vectors {
					want = []*Utterance{held(us[4], f, false), held(us[0], f, false), held(us[2], f, false), held(us[3], f, false), held(us[1], f, false)}
				} else {
					want[0], want[1] = want[1], want[0]
				}
			}
			name := filepath.Join(t.TempDir(), "out")
			w, err := Create(name, f, Options{Vectors: vectors})
			if err != nil {
				t.Fatal(err)
			}
			writeAll(t, w, us)
			for _, as := range []Format{f, ""} {
				r, err := Open(name, as)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				got, err := readAll(r)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				equal(t, got, want)
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if found := r.Format(); found != f && !(f == ZeroSpeech && !vectors && found == Text) {
					t.Errorf("%s was taken for %s", f, found)
				}
			}
		}
	}
}

// TestParts writes in parts what is then as if written at once.
func TestParts(t *testing.T) {
	for _, f := range Formats() {
		for _, o := range []Options{{}, {Dedup: true}, {Vectors: true}, {Vectors: true, Dedup: true}} {
			if o.Vectors && !f.Vectors() {
				continue
			}
			u := &Utterance{Name: "u", Info: Info{Hop: 2}}
			for i := range int32(40) {
				u.Units = append(u.Units, i*i/100)
				u.Vectors = append(u.Vectors, float32(i*i/100), 1)
			}
			u.Dim = 2
			var whole, parts bytes.Buffer
			w, err := NewWriter(&whole, f, o)
			if err != nil {
				t.Fatal(err)
			}
			writeAll(t, w, []*Utterance{u})
			if w, err = NewWriter(&parts, f, o); err != nil {
				t.Fatal(err)
			}
			err = w.Begin(u.Name, u.Info)
			for i := 0; i < 40 && err == nil; i += 5 {
				err = errors.Join(w.Add(Sequence{Units: u.Units[i : i+5], Vectors: u.Vectors[2*i : 2*i+10], Dim: 2}), w.Flush())
			}
			if err = errors.Join(err, w.End(), w.Commit()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(whole.Bytes(), parts.Bytes()) {
				t.Errorf("%s %+v: %q, in parts %q", f, o, whole.Bytes(), parts.Bytes())
			}
		}
	}
}

func TestDedup(t *testing.T) {
	u := &Utterance{Name: "u", Sequence: Sequence{Units: []int32{4, 4, 4, 5, 4, 4}, Durations: []int32{1, 2, 1, 1, math.MaxInt32, 1}}}
	var b bytes.Buffer
	w, err := NewWriter(&b, JSONL, Options{Dedup: true})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, []*Utterance{u})
	const want = `{"name":"u","units":[4,5,4,4],"durations":[4,1,2147483647,1]}` + "\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
}

// TestWritten compares with what others write.
func TestWritten(t *testing.T) {
	us := []*Utterance{
		{Name: "p1", Info: Info{Rate: 16000, Hop: 64, K: 8}, Sequence: Sequence{Units: []int32{7, 7, 1}, Durations: []int32{2, 1, 1}}},
		{Name: "p2", Info: Info{Rate: 16000, Hop: 64, K: 8}, Sequence: Sequence{Units: []int32{2}}},
	}
	for f, want := range map[Format]string{
		Fairseq:        "p1|7 7 1\np2|2\n",
		ZeroSpeech2021: "p1\t7,7,1\np2\t2\n",
		TSV: "# rate=16000 hop=64 k=8\nname\tstart\tend\tunit\np1\t0\t128\t7\np1\t128\t192\t7\n" +
			"p1\t192\t256\t1\np2\t0\t64\t2\n",
		JSONL: `{"name":"p1","rate":16000,"hop":64,"k":8,"units":[7,7,1],"durations":[2,1,1]}` + "\n" +
			`{"name":"p2","rate":16000,"hop":64,"k":8,"units":[2],"durations":[1]}` + "\n",
	} {
		var b bytes.Buffer
		w, err := NewWriter(&b, f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, w, us)
		if b.String() != want {
			t.Errorf("%s: got\n%swant\n%s", f, b.String(), want)
		}
	}
}

// TestAbandon takes utterances back: short ones, which are in the buffer, and long ones, which are in the file.
func TestAbandon(t *testing.T) {
	for _, f := range Formats() {
		us := []*Utterance{{Name: "a", Sequence: Sequence{Units: []int32{1, 2, 3}}}, {Name: "c", Sequence: Sequence{Units: []int32{4}}}}
		dir := t.TempDir()
		want, got := filepath.Join(dir, "want"), filepath.Join(dir, "got")
		w, err := Create(want, f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, w, us)
		if w, err = Create(got, f, Options{}); err != nil {
			t.Fatal(err)
		}
		long := make([]int32, 1<<17)
		for _, units := range [][]int32{{9}, long} {
			for _, info := range []Info{{}, {Hop: 3}} {
				if err = errors.Join(w.Begin("b", info), w.Add(Sequence{Units: units}), w.Abandon()); err != nil {
					t.Fatal(err)
				}
			}
			if len(units) == 1 {
				err = w.Write(us[0])
			} else {
				err = w.Write(us[1])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		sameTree(t, got, want)
	}
}

// sameTree compares files, or folders with all that is in them.
func sameTree(t *testing.T, got, want string) {
	t.Helper()
	tree := func(name string) map[string]string {
		all := map[string]string{}
		if err := filepath.Walk(name, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				var b []byte
				b, err = os.ReadFile(path)
				all[strings.TrimPrefix(path, name)] = string(b)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if g, w := tree(got), tree(want); !reflect.DeepEqual(g, w) {
		t.Errorf("got %q, want %q", g, w)
	}
}

// TestDiscard leaves nothing of what was not committed.
func TestDiscard(t *testing.T) {
	for _, f := range Formats() {
		dir := t.TempDir()
		w, err := Create(filepath.Join(dir, "out"), f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Begin("a", Info{}), w.Add(Sequence{Units: make([]int32, 1<<17)})); err != nil {
			t.Fatal(err)
		}
		w.Discard()
		sameTree(t, dir, t.TempDir())
	}
}

// TestRefused writes what formats cannot hold.
func TestRefused(t *testing.T) {
	units := Sequence{Units: []int32{1}}
	for _, c := range []struct {
		u       Utterance
		formats []Format // none: all
		want    string
	}{
		{Utterance{Name: "", Sequence: units}, nil, "is empty"},
		{Utterance{Name: "a\tb", Sequence: units}, nil, "control character"},
		{Utterance{Name: "a\nb", Sequence: units}, nil, "control character"},
		{Utterance{Name: "a\x80", Sequence: units}, nil, "UTF-8"},
		{Utterance{Name: " a", Sequence: units}, nil, "white space"},
		{Utterance{Name: "a|b", Sequence: units}, []Format{Fairseq}, `"|"`},
		{Utterance{Name: "../a", Sequence: units}, []Format{ZeroSpeech, NPY, Text}, "no path"},
		{Utterance{Name: "/a", Sequence: units}, []Format{ZeroSpeech, NPY, Text}, "no path"},
		{Utterance{Name: "a/", Sequence: units}, []Format{ZeroSpeech, NPY, Text}, "no path"},
		{Utterance{Name: "a", Info: Info{K: 1}, Sequence: units}, nil, "unit 0 is 1, of 1"},
		{Utterance{Name: "a", Sequence: Sequence{Units: []int32{-1}}}, nil, "unit 0 is -1"},
		{Utterance{Name: "a", Sequence: Sequence{Units: []int32{1}, Durations: []int32{0}}}, nil, "duration 0 is 0"},
		{Utterance{Name: "a", Sequence: Sequence{Units: []int32{1}, Durations: []int32{1, 1}}}, nil, "1 units with 2 durations"},
		{Utterance{Name: "a", Sequence: Sequence{Vectors: []float32{1, 2}, Dim: 2}}, nil, "no units"},
		{Utterance{Name: "a", Info: Info{Model: "a b"}, Sequence: units}, nil, "model"},
		{Utterance{Name: "a", Info: Info{Rate: -1}, Sequence: units}, nil, "rate -1"},
	} {
		if c.formats == nil {
			c.formats = Formats()
		}
		for _, f := range c.formats {
			dir := t.TempDir()
			w, err := Create(filepath.Join(dir, "out"), f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = w.Write(&c.u)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %+v: %v, want %s", f, c.u, err, c.want)
			}
			if err := w.Write(&Utterance{Name: "b", Sequence: units}); err != nil {
				t.Errorf("%s: after an error: %v", f, err)
			}
			if err := w.Write(&Utterance{Name: "b", Sequence: units}); err == nil {
				t.Errorf("%s: two utterances of one name", f)
			}
			w.Discard()
		}
	}
	if _, err := NewWriter(io.Discard, JSONL, Options{Vectors: true}); err == nil {
		t.Error("vectors in JSON")
	}
	w, err := NewWriter(io.Discard, NPY, Options{Vectors: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Sequence{units, {Vectors: []float32{float32(math.NaN())}, Dim: 1}, {Vectors: []float32{1}, Dim: 2}} {
		if err := w.Write(&Utterance{Name: "a", Sequence: s}); err == nil {
			t.Errorf("%+v was written", s)
		}
	}
}

// TestFolder reads what is in a folder, not what lies beside it.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"b/2.txt": "4\n5\n", "1.txt": "1 2 3", "b/notes.md": "# notes", "meta.jsonl": "{}", ".hidden.txt": "x", "z.TXT": "y",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []Format{"", Text} {
		r, err := Open(dir, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, []*Utterance{
			{Name: "1", Sequence: Sequence{Units: []int32{1, 2, 3}}}, {Name: "b/2", Sequence: Sequence{Units: []int32{4, 5}}},
		})
	}
	if _, err := Open(dir, NPY); err == nil || !strings.Contains(err.Error(), "no file of units") {
		t.Errorf("no file of the format: %v", err)
	}
}

// TestFormatErrors reads what is not what a format wants.
// TestByteOrderMark: the mark in front of a text is no part of the first name.
func TestByteOrderMark(t *testing.T) {
	for _, text := range []string{"a|1 2\n", "a\t1,2\n", `{"name":"a","units":[1,2]}`, "a\t0\t1\t1\na\t1\t2\t2\n"} {
		r, err := NewReader(strings.NewReader("\ufeff"+text), "in", "")
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := readAll(r)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		equal(t, got, []*Utterance{{Name: "a", Sequence: Sequence{Units: []int32{1, 2}}}})
	}
}

func TestFormatErrors(t *testing.T) {
	for _, c := range []struct {
		format   Format
		text     string
		line     int
		mentions string
	}{
		{Text, "1 2\n3 x4\n", 2, `"x4"`},
		{Text, "2147483648", 1, "2147483648"},
		{Text, "-1", 1, "-1"},
		{Fairseq, "a|1 2\n\nb 3\n", 3, "a name"},
		{Fairseq, "a|1 2\n|3\n", 2, "is empty"},
		{Fairseq, "a|1 2|3\n", 1, `"2|3"`},
		{ZeroSpeech2021, "a\t1,2\nb\t1,\n", 2, `""`},
		{ZeroSpeech2021, "a\t1-2,3-4\n", 1, `"1-2"`},
		{ZeroSpeech, "1\n2\n3 4\n", 3, "2 columns"},
		{ZeroSpeech, "1.5 2\n3\n", 2, "1 columns"},
		{ZeroSpeech, "1.5 inf\n", 1, "inf"},
		{ZeroSpeech, "1.5 1e99\n", 1, "1e99"},
		{ZeroSpeech, "0x1p-2 1\n", 1, "0x1p-2"},
		{JSONL, `{"name":"a","units":[1]}` + "\n{", 2, "unexpected EOF"},
		{JSONL, `{"name":"a"}`, 1, "no units"},
		{JSONL, `{"units":[1]}`, 1, "no name"},
		{JSONL, `{"name":"a","units":[1],"text":"x"}`, 1, "unknown field"},
		{JSONL, `{"name":"a","units":[1]}{}`, 1, "behind an object"},
		{JSONL, `{"name":"a","units":[1],"durations":[]}`, 1, "1 units with 0 durations"},
		{JSONL, `{"name":"a","units":[1.5]}`, 1, "found number 1.5 as units, expected"},
		{JSONL, `{"name":"a","units":[1],"durations":[1000000000000]}`, 1, "found number 1000000000000 as durations, expected"},
		{JSONL, `{"name":"a","units":"1 2"}`, 1, "found string as units, expected"},
		{JSONL, `{"name":"a","units":[3],"k":3}`, 1, "unit 0 is 3"},
		{JSONL, `{"name":"a","units":[],"hop":-1}`, 1, "hop -1"},
		{JSONL, `{"name":"a\u0000","units":[]}`, 1, "control"},
		{TSV, "a\t0\t1\n", 1, "3 columns"},
		{TSV, "a\t0\t1\t5\na\t2\t3\t5\n", 2, "a start at 2"},
		{TSV, "a\t0\t1\t5\nb\t1\t2\t5\n", 2, "a start at 1"},
		{TSV, "# hop=2\na\t0\t3\t5\n", 2, "an end at 3"},
		{TSV, "a\t0\t9223372036854775807\t5\n", 1, "an end at"},
		{TSV, "a\t0\t0\t5\n", 1, "an end at 0"},
		{TSV, "# hop=x\n", 1, "hop=x"},
		{TSV, "# hop=1 hop=2\n", 1, "twice"},
		{TSV, "# k=2\na\t0\t1\t2\n", 2, "unit 2"},
		{"", "\xff\xfe", 1, "units"},
		{"", "hello world", 1, "units"},
	} {
		var got *files.FormatError
		r, err := NewReader(strings.NewReader(c.text), "dir/in.txt", c.format)
		if err == nil {
			_, err = readAll(r)
		}
		if !errors.As(err, &got) || got.File != "dir/in.txt" || got.Line != c.line || !strings.Contains(got.Error(), c.mentions) {
			t.Errorf("%s %q: %v, want line %d: %s", c.format, c.text, err, c.line, c.mentions)
		}
	}
}
