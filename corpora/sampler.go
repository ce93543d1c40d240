package corpora

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"math/rand/v2"
	"sort"
)

// Sampler draws training segments from a [Cache], batch after batch, for ever. A goroutine of its own prepares batches
// ahead, so that training never waits. Its other methods are for one goroutine at a time.
//
// A segment comes from an utterance that is chosen with a probability proportional to its length, and begins at each of its
// samples where a whole segment is left with equal probability: so a second of sound is as likely to be heard in a short
// utterance as in a long one. (Were each possible segment of the corpus equally likely, utterances hardly longer than a
// segment would hardly be heard.) An utterance that is shorter than a segment lies anywhere in it, with equal probability,
// and there is silence around it: [Sampler.Short] counts them.
//
// Batch number n depends on the cache, the configuration and n, and on nothing else: each batch has a random generator of its
// own, ChaCha8 with a key of seed and n. So where the sampler stands is a single number, and batches that were prepared but
// not used are no part of it.
type Sampler struct {
	cache   *Cache
	config  SamplerConfig
	chosen  []int32 // utterances of the split
	ends    []int64 // [len(chosen)], samples up to the end of each
	next    uint64  // the number of the batch that Next returns
	current *Batch  // that Next has returned last

	random rand.ChaCha8 // of the goroutine
	free   chan *Batch
	ready  chan *Batch
	quit   chan struct{} // closed to stop the goroutine
	done   chan struct{} // closed by it
	closed bool
}

// SamplerConfig says what a [Sampler] draws.
type SamplerConfig struct {
	Split   string // Train, Valid or Test; "" for all utterances
	Segment int    // length T of a segment in samples, at least 1
	Batch   int    // segments B in a batch, at least 1
	Seed    uint64
	Ahead   int // batches that are prepared ahead, 0 for 4; it changes nothing but memory
}

// Batch is B segments of T samples.
type Batch struct {
	Samples    []float32 // [B, T], from -1 to 1
	Speakers   []int32   // [B], indices in Cache.Speakers
	Utterances []int32   // [B], indices in Cache.Utterances
	Starts     []int64   // [B], where in the utterance the segment begins; below 0 if silence comes first
}

// SamplerState is where a [Sampler] stands. It can be kept as JSON.
type SamplerState struct {
	Cache   string `json:"cache"` // which, by checksum
	Split   string `json:"split"`
	Segment int    `json:"segment"`
	Batch   int    `json:"batch"`
	Seed    uint64 `json:"seed"`
	Next    uint64 `json:"next"` // number of the next batch, from 0
}

// maxBatchSamples is the largest batch.
const maxBatchSamples = 1 << 30

// NewSampler starts a sampler at batch 0. It returns an error if the split has no utterances, and panics if the
// configuration makes no sense. Close it before the cache.
func NewSampler(cache *Cache, config SamplerConfig) (*Sampler, error) {
	if config.Ahead == 0 {
		config.Ahead = 4
	}
	if config.Segment < 1 || config.Batch < 1 || config.Ahead < 1 || config.Segment > maxBatchSamples/config.Batch {
		panic(fmt.Sprintf("corpora: no sampler of %d segments of %d samples, %d batches ahead", config.Batch, config.Segment, config.Ahead))
	}
	s := &Sampler{cache: cache, config: config}
	s.chosen = cache.split(config.Split)
	if len(s.chosen) == 0 {
		return nil, fmt.Errorf("the cache has no utterances in split %q", config.Split)
	}
	total := int64(0)
	for _, i := range s.chosen {
		total += cache.utterances[i].Samples
		s.ends = append(s.ends, total)
	}
	s.free, s.ready = make(chan *Batch, config.Ahead+1), make(chan *Batch, config.Ahead+1)
	for range config.Ahead + 1 { // one of them is in use
		s.free <- newBatch(config.Batch, config.Segment)
	}
	s.start()
	return s, nil
}

// split returns the utterances of a split; of "", all.
func (c *Cache) split(name string) []int32 {
	var chosen []int32
	for i := range c.utterances {
		if name == "" || c.utterances[i].Split == name {
			chosen = append(chosen, int32(i))
		}
	}
	return chosen
}

func newBatch(segments, samples int) *Batch {
	return &Batch{
		Samples: make([]float32, segments*samples), Speakers: make([]int32, segments),
		Utterances: make([]int32, segments), Starts: make([]int64, segments),
	}
}

// Next returns the next batch, which is valid until the next call of Next, Restore or Close. It allocates nothing.
func (s *Sampler) Next() *Batch {
	if s.closed {
		panic("corpora: Next of a closed sampler")
	}
	if s.current != nil {
		s.free <- s.current
	}
	s.current = <-s.ready
	s.next++
	return s.current
}

// Short returns how many utterances of the split are shorter than a segment.
func (s *Sampler) Short() int {
	n := 0
	for _, u := range s.chosen {
		if s.cache.utterances[u].Samples < int64(s.config.Segment) {
			n++
		}
	}
	return n
}

// State returns where the sampler stands: after the last batch that Next has returned.
func (s *Sampler) State() SamplerState {
	return SamplerState{
		Cache: s.cache.id, Split: s.config.Split, Segment: s.config.Segment, Batch: s.config.Batch, Seed: s.config.Seed, Next: s.next,
	}
}

// Restore goes on where a sampler of the same cache and configuration stood: the next batches are the same, bit for bit. If
// cache or configuration differ, it returns an error, and changes nothing.
func (s *Sampler) Restore(state SamplerState) error {
	here := s.State()
	here.Next = state.Next
	if here != state {
		return fmt.Errorf("the state is that of another sampler: %+v, this is %+v", state, here)
	}
	s.stop()
	s.next = state.Next
	s.start()
	return nil
}

// Close stops the goroutine.
func (s *Sampler) Close() {
	if !s.closed {
		s.closed = true
		s.stop()
	}
}

// start begins to prepare batches, from s.next on.
func (s *Sampler) start() {
	s.quit, s.done = make(chan struct{}), make(chan struct{})
	go s.prepare(s.next)
}

// stop ends that, and takes back what was prepared.
func (s *Sampler) stop() {
	close(s.quit)
	<-s.done
	if s.current != nil {
		s.free <- s.current
		s.current = nil
	}
	for len(s.ready) > 0 {
		s.free <- <-s.ready
	}
}

// prepare draws batch after batch, as long as there are free ones. All batches fit into either channel.
func (s *Sampler) prepare(number uint64) {
	defer close(s.done)
	for ; ; number++ {
		select {
		case <-s.quit:
			return
		case b := <-s.free:
			s.draw(b, number)
			s.ready <- b
		}
	}
}

// draw fills batch number n.
func (s *Sampler) draw(b *Batch, n uint64) {
	key := [32]byte([]byte("vqaudio segments0000000000000000"))
	binary.LittleEndian.PutUint64(key[16:], s.config.Seed)
	binary.LittleEndian.PutUint64(key[24:], n)
	s.random.Seed(key)
	length := int64(s.config.Segment)
	total := s.ends[len(s.ends)-1]
	for i := range b.Starts {
		at := s.below(total)
		k := sort.Search(len(s.ends), func(k int) bool { return s.ends[k] > at })
		u := s.chosen[k]
		start := int64(0)
		if spare := s.cache.utterances[u].Samples - length; spare >= 0 {
			start = s.below(spare + 1)
		} else {
			start = -s.below(1 - spare)
		}
		s.cache.segment(b, i, u, start)
	}
}

// below draws a number from 0 to n-1: the upper half of the product of n and 64 random bits. Its probability is off by
// less than a factor of 1 + n/2^64.
func (s *Sampler) below(n int64) int64 {
	high, _ := bits.Mul64(s.random.Uint64(), uint64(n))
	return int64(high)
}

// segment makes segment i of b that of utterance u from start on.
func (c *Cache) segment(b *Batch, i int, u int32, start int64) {
	length := len(b.Samples) / len(b.Starts)
	c.Read(b.Samples[i*length:][:length], int(u), start)
	b.Speakers[i], b.Utterances[i], b.Starts[i] = c.utterances[u].SpeakerID, u, start
}

// InOrder goes once through a split, "" for all utterances, for validation: utterance after utterance is cut into segments of
// length samples from its start on. What is left over at the end of an utterance is left out, unless that is all of it: a
// short utterance is followed by silence. The last batch may have fewer than batch segments. Each is valid until the next.
func (c *Cache) InOrder(split string, length, batch int) iter.Seq[*Batch] {
	if length < 1 || batch < 1 || length > maxBatchSamples/batch {
		panic(fmt.Sprintf("corpora: no batches of %d segments of %d samples", batch, length))
	}
	return func(yield func(*Batch) bool) {
		b, n := newBatch(batch, length), 0
		for _, u := range c.split(split) {
			for start := int64(0); start == 0 || start+int64(length) <= c.utterances[u].Samples; start += int64(length) {
				c.segment(b, n, u, start)
				if n++; n < batch {
					continue
				}
				if !yield(b) {
					return
				}
				n = 0
			}
		}
		if n > 0 {
			yield(&Batch{Samples: b.Samples[:n*length], Speakers: b.Speakers[:n], Utterances: b.Utterances[:n], Starts: b.Starts[:n]})
		}
	}
}
