package prior

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Utterance is the codes of a recording, and who speaks.
type Utterance struct {
	Speaker int32 // id, or Nobody
	Codes   []int32
}

// Sampler makes sequences to train on, batch after batch, for ever. A sequence begins with an utterance, which is chosen with a
// probability proportional to its length, and goes on with others of the same speaker in random order, none of them twice, to the
// length that is wanted: so that the net sees how speech begins, and knows pasts that are longer than what it sees, as when it speaks for
// an hour. If the speaker has no more, those of others follow, and the sequence is nobody's; if nobody has, all may come again.
//
// A first utterance of n codes, more than the T of a sequence, is entered in its midst, too: at an offset that is drawn evenly from -T to
// n-T, where those below 0 count as 0. So all of it is seen.
//
// Batch number n depends on the utterances, the configuration and n, and on nothing else: where the sampler stands is a number.
type Sampler struct {
	config     SamplerConfig
	utterances []Utterance
	ends       []int64   // [utterances], codes up to the end of each
	by         [][]int32 // [utterances], all of the same speaker
	all        []int32   // utterances
	order      []int32   // scratch: utterances of a speaker, or all
	used       []int64   // by utterance: the number of the last sequence that had it
	sequence   int64
	next       uint64
	source     *rand.ChaCha8
	random     *rand.Rand // over source
	batch      Batch
}

// SamplerConfig says what a [Sampler] makes.
type SamplerConfig struct {
	Length int // codes T of a sequence, at least 1
	Batch  int // sequences B of a batch, at least 1
	Seed   uint64
	Nobody int32   // the id of nobody
	Hidden float64 // share of sequences whose speaker is hidden: they are nobody's
	Noise  float64 // share of codes that the net sees as others, drawn evenly from all codes of all utterances
}

// NewSampler starts a sampler at batch 0. It returns an error if there are no codes, and panics if the configuration makes no sense.
func NewSampler(utterances []Utterance, c SamplerConfig) (*Sampler, error) {
	if c.Length < 1 || c.Batch < 1 {
		panic(fmt.Sprintf("prior: no sampler of %d sequences of %d codes", c.Batch, c.Length))
	}
	s := &Sampler{config: c, source: rand.NewChaCha8([32]byte{})}
	s.random = rand.New(s.source)
	speakers := map[int32]int{}
	total := int64(0)
	for _, u := range utterances {
		if len(u.Codes) == 0 {
			continue
		}
		i := int32(len(s.utterances))
		total += int64(len(u.Codes))
		s.utterances, s.ends, s.all = append(s.utterances, u), append(s.ends, total), append(s.all, i)
		group, known := speakers[u.Speaker]
		if !known {
			group = len(s.by)
			speakers[u.Speaker], s.by = group, append(s.by, nil)
		}
		s.by[group] = append(s.by[group], i)
	}
	if total == 0 {
		return nil, errors.New("there are no codes to train on")
	}
	groups := make([][]int32, len(s.utterances)) // by utterance
	for _, of := range s.by {
		for _, i := range of {
			groups[i] = of
		}
	}
	s.by, s.order, s.used = groups, make([]int32, 0, len(s.all)), make([]int64, len(s.all))
	n := c.Length * c.Batch
	s.batch = Batch{Codes: make([]int32, n), Speakers: make([]int32, c.Batch), Size: c.Batch}
	if c.Noise > 0 {
		s.batch.Past = make([]int32, n)
	}
	return s, nil
}

// Position is the number of the batch that Next returns.
func (s *Sampler) Position() uint64 { return s.next }

// Restore goes on at the batch of a number.
func (s *Sampler) Restore(next uint64) { s.next = next }

// Next returns the next batch, which is valid until the next call. It allocates nothing.
func (s *Sampler) Next() Batch {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], s.config.Seed)
	binary.LittleEndian.PutUint64(key[8:], s.next)
	copy(key[16:], "codes")
	s.source.Seed(key)
	s.next++
	for b := range s.config.Batch {
		s.batch.Speakers[b] = s.fill(s.batch.Codes[b*s.config.Length:][:s.config.Length])
		if s.random.Float64() < s.config.Hidden {
			s.batch.Speakers[b] = s.config.Nobody
		}
	}
	if s.config.Noise > 0 {
		total := s.ends[len(s.ends)-1]
		for i, code := range s.batch.Codes {
			if s.random.Float64() < s.config.Noise {
				at := s.random.Int64N(total)
				u := s.at(at)
				code = s.utterances[u].Codes[at-s.ends[u]+int64(len(s.utterances[u].Codes))]
			}
			s.batch.Past[i] = code
		}
	}
	return s.batch
}

// at returns the utterance in which a code lies, by its number among all.
func (s *Sampler) at(code int64) int {
	i, _ := slices.BinarySearch(s.ends, code+1)
	return i
}

// fill makes a sequence, and returns whose it is.
func (s *Sampler) fill(codes []int32) int32 {
	s.sequence++
	first := s.at(s.random.Int64N(s.ends[len(s.ends)-1]))
	u := s.utterances[first]
	start := 0
	if n := len(u.Codes); n > len(codes) {
		start = max(0, s.random.IntN(n+1)-len(codes))
	}
	codes = codes[copy(codes, u.Codes[start:]):]
	s.used[first] = s.sequence
	codes = s.goOn(codes, s.by[first])
	if len(codes) == 0 {
		return u.Speaker
	}
	for codes = s.goOn(codes, s.all); len(codes) > 0; codes = s.goOn(codes, s.all) {
		s.sequence++ // all may come again
	}
	return s.config.Nobody
}

// goOn puts those utterances of a list that the sequence does not have, in random order, into codes, and returns what is left of these.
func (s *Sampler) goOn(codes []int32, list []int32) []int32 {
	s.order = append(s.order[:0], list...)
	for left := s.order; len(left) > 0 && len(codes) > 0; {
		k := s.random.IntN(len(left))
		i := left[k]
		left[k] = left[len(left)-1]
		left = left[:len(left)-1]
		if s.used[i] == s.sequence {
			continue
		}
		s.used[i] = s.sequence
		codes = codes[copy(codes, s.utterances[i].Codes):]
	}
	return codes
}
