package audio

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/vqaudio/vqaudio/internal/shared"
)

func TestSpeechFLAC(t *testing.T) {
	folder := shared.Data(t, "speech")
	f, err := os.Open(filepath.Join(folder, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(lines); i += 100 {
		s, err := Open(filepath.Join(folder, lines[i][0]))
		if err != nil {
			t.Fatal(err)
		}
		all, err := ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := strconv.Itoa(len(all.Data)); got != lines[i][9] {
			t.Errorf("%s: %s frames, want %s", lines[i][0], got, lines[i][9])
		}
		if len(s.Info().Oddities) > 0 {
			t.Error(s.Info().Oddities)
		}
	}
}
