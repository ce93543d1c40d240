package images

import (
	"encoding/json"
	"slices"
	"testing"
)

// numbered is a set whose picture i has only pixels of value i.
func numbered(n int) *Set {
	s := &Set{Height: 2, Width: 3, Channels: 1}
	for i := range n {
		s.Pixels = append(s.Pixels, slices.Repeat([]uint8{uint8(i)}, 6)...)
		s.Labels = append(s.Labels, int32(i%7))
	}
	return s
}

func TestSampler(t *testing.T) {
	const n, batch = 10, 4
	set := numbered(n)
	s := NewSampler(set, 1)
	pixels, labels := make([]uint8, batch*6), make([]int32, batch)
	var dealt []int
	for range 10 * n / batch { // ten epochs
		s.Next(pixels, labels)
		for i := range batch {
			picture := pixels[6*i : 6*i+6]
			if !slices.Equal(picture, set.Picture(int(picture[0]))) || labels[i] != int32(picture[0]%7) {
				t.Fatalf("picture %v with label %d", picture, labels[i])
			}
			dealt = append(dealt, int(picture[0]))
		}
	}
	orders := map[[n]int]bool{}
	for epoch := range slices.Chunk(dealt, n) {
		orders[[n]int(epoch)] = true
		sorted := slices.Sorted(slices.Values(epoch))
		if !slices.Equal(sorted, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("an epoch deals %v", epoch)
		}
	}
	if len(orders) != 10 {
		t.Errorf("%d orders in 10 epochs", len(orders))
	}
	if s.State() != (SamplerState{Seed: 1, Pictures: n, Epoch: 9, Cursor: n}) {
		t.Errorf("at the end: %+v", s.State())
	}
	if unlabelled := NewSampler(&Set{Height: 1, Width: 1, Channels: 1, Pixels: []uint8{5}}, 0); true {
		unlabelled.Next(pixels, slices.Repeat([]int32{9}, len(pixels)))
		unlabelled.Next(pixels[:3], labels[:3])
		if pixels[2] != 5 || labels[2] != -1 {
			t.Errorf("without labels: %v, %v", pixels[:3], labels[:3])
		}
	}
}

// TestShuffle checks that every picture comes at every place about as often as at any other.
func TestShuffle(t *testing.T) {
	const n, seeds = 6, 6000
	var counts [n][n]int
	pixels := make([]uint8, 6*n)
	for seed := range uint64(seeds) {
		NewSampler(numbered(n), seed).Next(pixels, nil)
		for place := range n {
			counts[pixels[6*place]][place]++
		}
	}
	var chi float64
	for _, row := range counts {
		for _, c := range row {
			chi += float64((c-seeds/n)*(c-seeds/n)) / (seeds / n)
		}
	}
	if chi > 55 { // 25 degrees of freedom: exceeded by chance once in 2000
		t.Errorf("chi squared %g: %v", chi, counts)
	}
}

func TestSamplerState(t *testing.T) {
	set := numbered(23)
	for before := range 12 {
		a := NewSampler(set, 42)
		batch := make([]uint8, 6*5)
		for range before {
			a.Next(batch, nil)
		}
		saved, err := json.Marshal(a.State())
		if err != nil {
			t.Fatal(err)
		}
		var state SamplerState
		if err := json.Unmarshal(saved, &state); err != nil {
			t.Fatal(err)
		}
		b := NewSampler(set, 0)
		if err := b.Restore(state); err != nil {
			t.Fatal(err)
		}
		other := make([]uint8, len(batch))
		for i := range 20 {
			a.Next(batch, nil)
			b.Next(other, nil)
			if !slices.Equal(batch, other) || a.State() != b.State() {
				t.Fatalf("restored after %d batches, batch %d differs", before, i)
			}
		}
	}
	s := NewSampler(set, 3)
	for _, bad := range []SamplerState{{Pictures: 22}, {Pictures: 23, Cursor: 24}, {Pictures: 23, Cursor: -1}} {
		if err := s.Restore(bad); err == nil || s.State() != (SamplerState{Seed: 3, Pictures: 23}) {
			t.Errorf("%+v: %v, then %+v", bad, err, s.State())
		}
	}
}

func TestSamplerAllocatesNothing(t *testing.T) {
	s := NewSampler(numbered(50), 1)
	pixels, labels, floats := make([]uint8, 6*16), make([]int32, 16), make([]float32, 6*16)
	if n := testing.AllocsPerRun(100, func() { s.Next(pixels, labels); Floats(floats, pixels) }); n != 0 {
		t.Errorf("a batch takes %v allocations", n)
	}
}

func TestFloats(t *testing.T) {
	pixels, floats := make([]uint8, 256), make([]float32, 256)
	for i := range pixels {
		pixels[i] = uint8(i)
	}
	Floats(floats, pixels)
	if floats[0] != -1 || floats[255] != 1 {
		t.Errorf("from %g to %g", floats[0], floats[255])
	}
	for i, f := range floats {
		if d := float64(f) - (float64(i)-127.5)/127.5; d > 1e-7 || d < -1e-7 {
			t.Errorf("%d becomes %g", i, f)
		}
	}
}
