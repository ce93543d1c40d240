package corpora

import (
	"fmt"
	"testing"
)

// TestSplitOf holds the split to values worked out elsewhere (Python: int(hashlib.sha256(b"p225/p225_001").hexdigest()[:16],
// 16) / 2**64), and to its shares: for 100,000 utterances, within four standard deviations.
func TestSplitOf(t *testing.T) {
	for key, want := range splitExamples {
		if got := SplitOf(key[0], key[1]); got != want {
			t.Errorf("%s/%s: %s, want %s", key[0], key[1], got, want)
		}
	}
	count := map[string]int{}
	for i := range 100_000 {
		count[SplitOf(fmt.Sprintf("p%d", i%110), fmt.Sprintf("p%d_%03d", i%110, i/110))]++
	}
	const expected, tolerance = 5000, 4 * 69 // of sqrt(100000 x 0.05 x 0.95)
	for _, split := range []string{Valid, Test} {
		if n := count[split]; n < expected-tolerance || n > expected+tolerance {
			t.Errorf("%d of 100000 in %s", n, split)
		}
	}
	if len(count) != 3 {
		t.Errorf("splits %v", count)
	}
}

// TestSplitsStay adds recordings to a corpus, and stores those it had in another format and folder.
func TestSplitsStay(t *testing.T) {
	splits := func(folder string) map[string]string {
		l, _, err := list(folder, Options{})
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]string{}
		for _, u := range l.manifest.Utterances {
			of[u.Speaker+"/"+stem(u.Path)] = u.Split
		}
		return of
	}
	small, large := t.TempDir(), t.TempDir()
	for i := range 60 {
		plantFile(t, small, fmt.Sprintf("ann/%02d.wav", i), nil)
		plantFile(t, large, fmt.Sprintf("more/ann/%02d.flac", i), nil)
		plantFile(t, large, fmt.Sprintf("more/ann/before%02d.flac", i), nil)
		plantFile(t, large, fmt.Sprintf("aaron/%02d.flac", i), nil)
	}
	before, after := splits(small), splits(large)
	if len(before) != 60 || len(after) != 180 {
		t.Fatalf("%d and %d utterances", len(before), len(after))
	}
	seen := map[string]bool{}
	for name, split := range before {
		seen[split] = true
		if after[name] != split {
			t.Errorf("%s was in %s, is in %s", name, split, after[name])
		}
	}
	if len(seen) != 3 {
		t.Errorf("60 utterances fill only %v", seen)
	}
}

var splitExamples = map[[2]string]string{
	{"p225", "p225_001"}: Train, // 0.7780
	{"p225", "p225_002"}: Train, // 0.6235
	{"p225", "p225_025"}: Valid, // 0.0192
	{"p225", "p225_044"}: Valid, // 0.0012
	{"p225", "p225_058"}: Test,  // 0.0500
	{"p225", "p225_072"}: Test,  // 0.0922
	{"", "top"}:          Train, // 0.7314
}
