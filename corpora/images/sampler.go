package images

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// Sampler deals out the pictures of a set: in each epoch every picture once, in an order that the seed and the number of
// the epoch determine. It is not safe for use by several goroutines at once.
type Sampler struct {
	set   *Set
	state SamplerState
	order []int32 // [N], of the epoch
}

// SamplerState is all that a Sampler's future depends on besides the set. It can be kept as JSON.
type SamplerState struct {
	Seed     uint64 `json:"seed"`
	Pictures int    `json:"pictures"` // in the set
	Epoch    uint64 `json:"epoch"`    // from 0
	Cursor   int    `json:"cursor"`   // how many pictures of the epoch have been dealt, from 0 to Pictures
}

// NewSampler returns a sampler at the start of epoch 0. It panics if the set is empty.
func NewSampler(set *Set, seed uint64) *Sampler {
	if set.Len() == 0 {
		panic("images: a sampler needs pictures")
	}
	s := &Sampler{set: set, state: SamplerState{Seed: seed, Pictures: set.Len()}, order: make([]int32, set.Len())}
	s.shuffle()
	return s
}

// State returns where the sampler stands.
func (s *Sampler) State() SamplerState { return s.state }

// Restore goes on where another sampler over the same set stood. It returns an error, and changes nothing, if state does
// not fit the set.
func (s *Sampler) Restore(state SamplerState) error {
	if state.Pictures != len(s.order) || state.Cursor < 0 || state.Cursor > state.Pictures {
		return fmt.Errorf("images: the sampler's state is at picture %d of %d, the set has %d", state.Cursor, state.Pictures, len(s.order))
	}
	s.state = state
	s.shuffle()
	return nil
}

// Next fills pixels, [B, Height, Width, Channels], with the next B pictures, and labels, [B], with theirs: -1 if not
// known. A batch that an epoch is too short for goes on into the next. Labels may be nil. Next panics if the lengths do
// not fit; it allocates nothing.
func (s *Sampler) Next(pixels []uint8, labels []int32) {
	size := s.set.Height * s.set.Width * s.set.Channels
	if len(pixels)%size != 0 || labels != nil && len(labels) != len(pixels)/size {
		panic(fmt.Sprintf("images: %d bytes of pixels and %d labels for pictures of %d bytes", len(pixels), len(labels), size))
	}
	for i := range len(pixels) / size {
		if s.state.Cursor == len(s.order) {
			s.state.Cursor = 0
			s.state.Epoch++
			s.shuffle()
		}
		at := int(s.order[s.state.Cursor])
		s.state.Cursor++
		copy(pixels[i*size:], s.set.Picture(at))
		if labels == nil {
			continue
		}
		labels[i] = -1
		if s.set.Labels != nil {
			labels[i] = s.set.Labels[at]
		}
	}
}

// shuffle puts the pictures into the order of the epoch, by Fisher and Yates.
func (s *Sampler) shuffle() {
	var random rand.PCG
	random.Seed(s.state.Seed, s.state.Epoch)
	for i := range s.order {
		s.order[i] = int32(i)
	}
	for i := len(s.order) - 1; i > 0; i-- {
		j, _ := bits.Mul64(random.Uint64(), uint64(i+1)) // below i+1; uneven by less than one part in 2^32
		s.order[i], s.order[j] = s.order[j], s.order[i]
	}
}

// Floats sets to[i] to pixels[i] mapped from 0..255 to -1..1, as models take them. The lengths are the same.
func Floats(to []float32, pixels []uint8) {
	if len(to) != len(pixels) {
		panic(fmt.Sprintf("images: %d floats for %d pixels", len(to), len(pixels)))
	}
	for i, p := range pixels {
		to[i] = float32(p)/127.5 - 1
	}
}
