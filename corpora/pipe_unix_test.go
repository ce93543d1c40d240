//go:build unix

package corpora

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestPipes has pipes, which nobody writes to, in the place of recordings and texts: they are reported, and not waited for.
func TestPipes(t *testing.T) {
	folder := t.TempDir()
	plant(t, folder, map[string]string{"speaker-info.txt": "ID AGE GENDER\n225 23 F\n", "txt/p225/p225_001.txt": "Please."},
		"wav48/p225/p225_001.wav", "wav48/p225/p225_003.wav")
	for _, name := range []string{"txt/p225/p225_003.txt", "wav48/p225/p225_002.wav"} {
		if err := syscall.Mkfifo(filepath.Join(folder, filepath.FromSlash(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Scan(context.Background(), folder, Options{Layout: "vctk"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.Problems {
		got = append(got, string(p.Kind)+": "+p.Path+": "+p.Detail)
	}
	if r.Utterances != 2 || !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "p225_003.txt") || strings.Contains(s, "p225_003.wav") }) {
		t.Errorf("%d utterances, %q", r.Utterances, got)
	}

	m := &Manifest{Dir: folder, Utterances: []Utterance{
		{Path: "wav48/p225/p225_001.wav", Speaker: "a", Seconds: -1, Frames: -1, SourceRate: -1},
		{Path: "wav48/p225/p225_002.wav", Speaker: "a", Seconds: -1, Frames: -1, SourceRate: -1},
	}}
	var reasons []string
	report, err := Prepare(context.Background(), m, filepath.Join(t.TempDir(), "cache"), DefaultSettings(), PrepareOptions{
		Finished: func(_ int, skipped error) {
			if skipped != nil {
				reasons = append(reasons, skipped.Error())
			}
		},
	})
	if err != nil || report.Utterances != 1 || len(reasons) != 1 || !strings.HasSuffix(reasons[0], "not a file") {
		t.Errorf("%+v, %v, %q", report, err, reasons)
	}
}
