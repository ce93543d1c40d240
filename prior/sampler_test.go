package prior

import (
	"slices"
	"testing"
)

// numbered returns utterances of these lengths and speakers, whose codes are 1000 times their number, and up.
func numbered(lengths []int, speakers []int32) []Utterance {
	var list []Utterance
	for i, n := range lengths {
		u := Utterance{Speaker: speakers[i]}
		for j := range n {
			u.Codes = append(u.Codes, int32(1000*i+j))
		}
		list = append(list, u)
	}
	return list
}

func newSampler(t *testing.T, utterances []Utterance, c SamplerConfig) *Sampler {
	t.Helper()
	s, err := NewSampler(utterances, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSampler: sequences are whole utterances of one speaker, the last cut off, none twice; when there are no more of theirs, of others, and
// then they are nobody's.
func TestSampler(t *testing.T) {
	const nobody = 9
	utterances := numbered([]int{30, 50, 0, 40, 60, 20, 35}, []int32{0, 0, 0, 0, 1, 1, 2})
	s := newSampler(t, utterances, SamplerConfig{Length: 110, Batch: 5, Seed: 3, Nobody: nobody})
	seen := map[int32]int{}
	for range 200 {
		b := s.Next()
		for i, id := range b.Speakers {
			codes := b.Codes[i*110 : (i+1)*110]
			var order []int
			for j := 0; j < len(codes); {
				u := int(codes[j] / 1000)
				n := min(len(utterances[u].Codes), len(codes)-j)
				if !slices.Equal(codes[j:j+n], utterances[u].Codes[:n]) {
					t.Fatalf("%v is no utterance", codes[j:j+n])
				}
				if slices.Contains(order, u) {
					t.Fatalf("utterances %v, and %d again", order, u)
				}
				order = append(order, u)
				j += n
			}
			first := utterances[order[0]].Speaker
			own := 0
			for _, u := range order {
				if utterances[u].Speaker == first {
					own++
				}
			}
			switch {
			case first == 0 && (id != 0 || own != len(order)):
				t.Fatalf("utterances %v are of %d", order, id)
			case first == 1 && (id != nobody || !slices.Contains(order[:2], 4) || !slices.Contains(order[:2], 5)):
				t.Fatalf("utterances %v are of %d", order, id)
			case first == 2 && id != nobody:
				t.Fatalf("utterances %v are of %d", order, id)
			}
			seen[first]++
		}
	}
	// By length: 120, 80 and 35 of 235.
	for speaker, want := range map[int32]int{0: 511, 1: 340, 2: 149} {
		if n := seen[speaker]; n < want-60 || n > want+60 {
			t.Errorf("%d of 1000 sequences begin with speaker %d, want about %d", n, speaker, want)
		}
	}
}

// TestSamplerShort: where there are not codes enough, they come again.
func TestSamplerShort(t *testing.T) {
	s := newSampler(t, numbered([]int{3, 2}, []int32{0, 0}), SamplerConfig{Length: 50, Batch: 1, Nobody: 1})
	b := s.Next()
	counts := map[int32]int{}
	for _, code := range b.Codes {
		counts[code]++
	}
	if len(counts) != 5 || b.Speakers[0] != 1 {
		t.Errorf("%v of %v", b.Codes, b.Speakers)
	}
	for code, n := range counts {
		if n < 9 {
			t.Errorf("code %d is there %d times", code, n)
		}
	}
	for _, none := range [][]Utterance{nil, {{Speaker: 1}}} {
		if _, err := NewSampler(none, SamplerConfig{Length: 1, Batch: 1}); err == nil {
			t.Error("no codes are no error")
		}
	}
}

// TestSamplerLong: of a long utterance all is seen, its start in a share of sequences.
func TestSamplerLong(t *testing.T) {
	s := newSampler(t, numbered([]int{300}, []int32{0}), SamplerConfig{Length: 100, Batch: 1, Nobody: 1})
	starts, seen := 0, make([]bool, 300)
	for range 900 {
		b := s.Next()
		if b.Codes[0] == 0 {
			starts++
		}
		if b.Speakers[0] != 0 || b.Codes[99] != b.Codes[0]+99 {
			t.Fatalf("%v", b.Codes)
		}
		for _, code := range b.Codes {
			seen[code] = true
		}
	}
	if starts < 250 || starts > 350 || slices.Contains(seen, false) {
		t.Errorf("%d of 900 sequences begin at the start, want about 300; seen is %v", starts, seen)
	}
}

// TestSamplerNoise: shares are what was asked for, and others are as often as they occur.
func TestSamplerNoise(t *testing.T) {
	utterances := []Utterance{{Codes: slices.Repeat([]int32{1, 2, 2, 2}, 100)}}
	s := newSampler(t, utterances, SamplerConfig{Length: 400, Batch: 10, Nobody: 1, Hidden: 0.25, Noise: 0.4})
	hidden, changed, total := 0, 0, 0
	for range 50 {
		b := s.Next()
		for _, id := range b.Speakers {
			hidden += int(id)
		}
		for i, code := range b.Codes {
			total++
			if b.Past[i] != code {
				changed++
			}
		}
	}
	// A code is another with 0.4, and then differs with 2 * 1/4 * 3/4.
	if share := float64(changed) / float64(total); share < 0.145 || share > 0.155 {
		t.Errorf("%.4f of codes are seen as others, want 0.15", share)
	}
	if hidden < 100 || hidden > 150 {
		t.Errorf("%d of 500 speakers are hidden, want about 125", hidden)
	}
}

// TestSamplerRestore: where a sampler stands is a number.
func TestSamplerRestore(t *testing.T) {
	c := SamplerConfig{Length: 40, Batch: 3, Seed: 5, Nobody: 9, Hidden: 0.5, Noise: 0.1}
	utterances := numbered([]int{30, 50, 40, 60, 20}, []int32{0, 0, 1, 1, 1})
	s, other := newSampler(t, utterances, c), newSampler(t, utterances, c)
	for range 7 {
		s.Next()
	}
	other.Restore(s.Position())
	for range 5 {
		a, b := s.Next(), other.Next()
		if !slices.Equal(a.Codes, b.Codes) || !slices.Equal(a.Past, b.Past) || !slices.Equal(a.Speakers, b.Speakers) {
			t.Fatal("batches differ")
		}
	}
	c.Seed++
	if a, b := newSampler(t, utterances, c).Next(), newSampler(t, utterances, c); slices.Equal(a.Codes, s.batch.Codes) || b.Position() != 0 {
		t.Error("the seed makes no difference")
	}
	if n := testing.AllocsPerRun(20, func() { s.Next() }); n > 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}
