package files_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/vqaudio/vqaudio/files"
)

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&files.FormatError{File: "a.wav", Offset: 12, Found: `chunk "fmx "`, Expected: `"fmt "`}, `a.wav: at byte 12: found chunk "fmx ", expected "fmt "`},
		{&files.FormatError{File: "m.tsv", Offset: -1, Line: 3, Found: "2 columns"}, "m.tsv: line 3: found 2 columns"},
		{&files.FormatError{File: "config.json", Offset: -1, Found: "the end", Expected: "JSON"}, "config.json: found the end, expected JSON"},
		{&files.FormatError{File: "-", Found: "nothing", Expected: "sound"}, "standard input: at byte 0: found nothing, expected sound"},
		{&files.UnsupportedError{File: "", Offset: 20, What: "GSM 6.10 in WAV"}, "input: at byte 20: GSM 6.10 in WAV is not supported"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestOpen opens a file and a link to one, and refuses a folder and what is not there. A pipe is tried by the tests of corpora.
func TestOpen(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "in")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := files.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	var path *fs.PathError
	if _, err := files.Open(folder); !errors.As(err, &path) || path.Path != folder {
		t.Errorf("a folder: %v", err)
	}
	if _, err := files.Open(name + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestCommit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	content(t, name, "old")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	content(t, name, "new")
	f.Discard()
	content(t, name, "new")
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Commit: %v, want %v", err, fs.ErrClosed)
	}
	alone(t, name)
}

func TestDiscard(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	if err := files.Write(name, []byte("old")); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	content(t, name, "old")
	alone(t, name)
}

func TestCannotCreate(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{folder, filepath.Join(folder, "none", "out")} {
		var path *fs.PathError
		if err := files.Write(name, nil); !errors.As(err, &path) || path.Path != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func content(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, []byte(want)) {
		t.Fatalf("%s holds %q (%v), want %q", name, got, err, want)
	}
}

func alone(t *testing.T, name string) {
	t.Helper()
	if all, err := os.ReadDir(filepath.Dir(name)); err != nil || len(all) != 1 {
		t.Errorf("beside %s: %v, %v", name, all, err)
	}
}
