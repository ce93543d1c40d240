package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/tensor"
)

// TestStream compares streams in pieces of many sizes with the whole.
func TestStream(t *testing.T) {
	base := tiny()
	base.Encoder = EncoderConfig{Input: Wave, Channels: []int{32, 32, 32, 64, 64, 64}, Strides: []int{2, 2, 2, 2, 2, 2}}
	base.Decoder.Upsample = nil
	phonemes := base
	phonemes.Encoder = EncoderConfig{Input: Wave, Channels: []int{16, 16, 16, 16, 16, 16, 16, 16}, Strides: []int{2, 2, 2, 2, 2, 2, 2, 5}}
	odd := base
	odd.Encoder = EncoderConfig{Input: Wave, Channels: []int{5, 7, 6}, Strides: []int{5, 1, 3}}
	near, far := features(LogMel), features(LogMel)
	near.Encoder.Centre, far.Encoder.Centre = 3, 50
	all := []Config{base, phonemes, odd, near, far}
	for _, c := range bottlenecks() {
		all = append(all, c)
	}
	for _, c := range all {
		for _, precision := range []dilated.Precision{dilated.Float32, dilated.BFloat16} {
			m := newModel(t, c, precision)
			hop := c.Hop()
			s := NewStream(m)
			for _, block := range []int{1, 2, 5, s.block} { // the size of a block is of no account
				for _, n := range []int{0, 1, 2, 7, 41, 3*min(block, 100) + 2} {
					s.block = block
					t.Run(fmt.Sprintf("%s%d-hop%d/precision%d/block%d/%d", c.Bottleneck.Kind, c.Bottleneck.Books(), hop, precision, block, n), func(t *testing.T) { testStream(t, m, s, n) })
				}
			}
		}
	}
}

// testStream encodes n frames.
func testStream(t *testing.T, m *Model, s *Stream, n int) {
	r := rand.New(rand.NewPCG(uint64(n), 5))
	input := noise(m.Config, 1, n, uint64(n)).Input
	channels := input.Channels()
	a := new(tensor.Arena)
	want := m.Latent(a, input)
	if want.Vectors.Rows() != n {
		t.Fatalf("%d frames", want.Vectors.Rows())
	}
	for _, largest := range []int{1, 17, 1000, input.Rows() + 1} {
		var codes []int32
		var vectors []float32
		take := func(f Frames) {
			codes, vectors = append(codes, f.Codes...), append(vectors, f.Vectors.Data...)
		}
		for rest := input.Data; len(rest) > 0; {
			k := min(len(rest), (r.IntN(largest)+1)*channels)
			take(s.Write(rest[:k]))
			rest = rest[k:]
		}
		take(s.Close())
		if !slices.Equal(codes, want.Codes) {
			t.Fatalf("pieces up to %d: codes %v, want %v", largest, codes, want.Codes)
		}
		if !slices.EqualFunc(vectors, want.Vectors.Data, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Fatalf("pieces up to %d: other vectors", largest)
		}
	}
}

// TestStreamMemory checks that a stream holds no more after a hundred blocks than after two.
func TestStreamMemory(t *testing.T) {
	m := newModel(t, tiny(), dilated.Float32)
	s := NewStream(m)
	s.block = 50
	held := func() int {
		return s.arena.Bytes() + 4*(cap(s.input)+cap(s.vectors)+cap(s.codes))
	}
	piece := noise(m.Config, 1, 25, 1).Input.Data
	var early int
	for i := range 200 {
		s.Write(piece)
		if i == 7 {
			early = held()
		}
	}
	if late := held(); late > early {
		t.Errorf("%d bytes after 200 pieces, %d after 8", late, early)
	}
	if allocations := testing.AllocsPerRun(20, func() { s.Write(piece) }); allocations > 2 {
		t.Errorf("%g allocations for a piece", allocations)
	}
}
