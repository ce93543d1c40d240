package corpora

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vqaudio/vqaudio/internal/shared"
)

// numbered returns a cache of utterances with the given lengths, by turns for training and validation, of three speakers;
// no two samples of an utterance are the same.
func numbered(lengths ...int) *Cache {
	utterances, samples := make([]Utterance, len(lengths)), make([][]int16, len(lengths))
	for i, n := range lengths {
		utterances[i] = Utterance{Path: fmt.Sprint(i), Speaker: fmt.Sprint(i % 3), Split: []string{Train, Valid}[i%2]}
		samples[i] = make([]int16, n)
		for j := range samples[i] {
			samples[i][j] = int16(100*i + j + 1)
		}
	}
	return NewCache(16000, utterances, samples)
}

func newSampler(t testing.TB, c *Cache, config SamplerConfig) *Sampler {
	t.Helper()
	s, err := NewSampler(c, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// copyBatch returns a batch that stays.
func copyBatch(b *Batch) Batch {
	return Batch{slices.Clone(b.Samples), slices.Clone(b.Speakers), slices.Clone(b.Utterances), slices.Clone(b.Starts)}
}

func equalBatches(a, b Batch) bool {
	return slices.Equal(a.Samples, b.Samples) && slices.Equal(a.Speakers, b.Speakers) &&
		slices.Equal(a.Utterances, b.Utterances) && slices.Equal(a.Starts, b.Starts)
}

// improbable is a value that chi-square with n degrees of freedom exceeds with a probability of about 1e-6 (Wilson and
// Hilferty 1931).
func improbable(n int) float64 {
	v := 2 / (9 * float64(n))
	return float64(n) * math.Pow(1-v+4.753*math.Sqrt(v), 3)
}

// TestSamplerDistribution: utterances by their lengths, and in each every start equally often; short ones anywhere.
func TestSamplerDistribution(t *testing.T) {
	const length, batch, batches = 30, 64, 4000
	c := numbered(50, 1000, 200, 1000, 31, 1000, 30, 1000, 12, 1000, 95, 1000, 1)
	total := 0.0
	for _, u := range c.Utterances() {
		if u.Split == Train {
			total += float64(u.Samples)
		}
	}
	s := newSampler(t, c, SamplerConfig{Split: Train, Segment: length, Batch: batch, Seed: 5})
	if s.Short() != 2 {
		t.Errorf("%d short utterances, want 2", s.Short())
	}
	type place struct {
		utterance int32
		start     int64
	}
	seen, again := map[place]float64{}, 0
	var before Batch
	x := make([]float32, length)
	for range batches {
		b := s.Next()
		for i, u := range b.Utterances {
			seen[place{u, b.Starts[i]}]++
			if c.Utterances()[u].SpeakerID != b.Speakers[i] {
				t.Fatal("another speaker")
			}
			if c.Read(x, int(u), b.Starts[i]); !slices.Equal(x, b.Samples[i*length:][:length]) {
				t.Fatal("other samples")
			}
			if before.Utterances != nil && before.Utterances[i] == u && before.Starts[i] == b.Starts[i] {
				again++
			}
		}
		before = copyBatch(b)
	}

	// Chi-square over utterances, then over the places in each.
	const draws = batch * batches
	chi, places := 0.0, 0
	repeats := 0.0 // expected: the same place in successive batches
	for i, u := range c.Utterances() {
		if u.Split != Train {
			continue
		}
		expected, count := draws*float64(u.Samples)/total, 0.0
		low, high := int64(0), u.Samples-length
		if high < low {
			low, high = high, low
		}
		each := make([]float64, 0, high-low+1)
		for start := low; start <= high; start++ {
			n := seen[place{int32(i), start}]
			delete(seen, place{int32(i), start})
			each = append(each, n)
			count += n
			repeats += (draws - batch) * math.Pow(expected/draws/float64(high-low+1), 2)
		}
		chi += (count - expected) * (count - expected) / expected
		places++
		within := 0.0
		for _, n := range each {
			within += (n - count/float64(len(each))) * (n - count/float64(len(each))) / (count / float64(len(each)))
		}
		if len(each) > 1 && within > improbable(len(each)-1) {
			t.Errorf("starts in utterance %d of %d samples: chi-square %.1f with %d degrees of freedom", i, u.Samples, within, len(each)-1)
		}
	}
	if chi > improbable(places-1) {
		t.Errorf("utterances: chi-square %.1f with %d degrees of freedom", chi, places-1)
	}
	if len(seen) > 0 {
		t.Errorf("places that do not exist: %v", seen)
	}
	if math.Abs(float64(again)-repeats) > 5*math.Sqrt(repeats) {
		t.Errorf("%d places are those of the batch before, want about %.0f", again, repeats)
	}
}

// TestSamplerRestore: from any state, the batches go on as they did, however many were prepared ahead.
func TestSamplerRestore(t *testing.T) {
	c := numbered(500, 700, 20, 90, 400)
	config := SamplerConfig{Segment: 64, Batch: 3, Seed: 42}
	s := newSampler(t, c, config)
	const n = 40
	states, batches := []SamplerState{s.State()}, []Batch{}
	for range n {
		batches = append(batches, copyBatch(s.Next()))
		states = append(states, s.State())
	}
	for i := 1; i < n; i++ {
		if equalBatches(batches[i], batches[i-1]) {
			t.Fatalf("batch %d is that before", i)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	other := newSampler(t, c, SamplerConfig{Segment: 64, Batch: 3, Seed: 42, Ahead: 9})
	for range 200 {
		at := random.IntN(n)
		text, err := json.Marshal(states[at])
		if err != nil {
			t.Fatal(err)
		}
		var state SamplerState
		if err := json.Unmarshal(text, &state); err != nil {
			t.Fatal(err)
		}
		if err := other.Restore(state); err != nil {
			t.Fatal(err)
		}
		if random.IntN(2) == 0 {
			time.Sleep(time.Duration(random.IntN(100)) * time.Microsecond)
		}
		for i := at; i < min(n, at+random.IntN(12)); i++ {
			if !equalBatches(*other.Next(), batches[i]) {
				t.Fatalf("restored at batch %d, batch %d differs", at, i)
			}
			if other.State() != states[i+1] {
				t.Fatalf("state %+v, want %+v", other.State(), states[i+1])
			}
		}
	}

	for _, change := range []func(*SamplerState){
		func(s *SamplerState) { s.Cache = "another" },
		func(s *SamplerState) { s.Split = Test },
		func(s *SamplerState) { s.Segment++ },
		func(s *SamplerState) { s.Batch++ },
		func(s *SamplerState) { s.Seed++ },
	} {
		state := other.State()
		change(&state)
		before := other.State()
		if err := other.Restore(state); err == nil || other.State() != before {
			t.Errorf("restored %+v: %v", state, err)
		}
	}
	if a, b := newSampler(t, c, SamplerConfig{Segment: 64, Batch: 3, Seed: 43}).Next(), batches[0]; equalBatches(*a, b) {
		t.Error("another seed, the same batch")
	}
}

// TestSamplerPinned: what a seed gives never changes, or else training could not be repeated with a later version.
func TestSamplerPinned(t *testing.T) {
	s := newSampler(t, numbered(50000, 70000, 20, 90000), SamplerConfig{Segment: 640, Batch: 8, Seed: 1})
	s.Next()
	b := s.Next()
	if want := []int32{3, 3, 3, 3, 3, 0, 1, 1}; !slices.Equal(b.Utterances, want) {
		t.Errorf("utterances %d, want %d", b.Utterances, want)
	}
	if want := []int64{4196, 83109, 70272, 41994, 47962, 23418, 5919, 59662}; !slices.Equal(b.Starts, want) {
		t.Errorf("starts %d, want %d", b.Starts, want)
	}
}

func TestSamplerAllocatesNothing(t *testing.T) {
	s := newSampler(t, numbered(5000, 7000), SamplerConfig{Segment: 640, Batch: 4})
	if n := testing.AllocsPerRun(100, func() { s.Next() }); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}

func TestSamplerClose(t *testing.T) {
	c := numbered(5000, 7000)
	before := runtime.NumGoroutine()
	for i := range 50 {
		s, err := NewSampler(c, SamplerConfig{Segment: 64, Batch: 2, Ahead: 1 + i%3})
		if err != nil {
			t.Fatal(err)
		}
		for range i % 7 {
			s.Next()
		}
		s.Close()
		s.Close()
	}
	noMoreGoroutines(t, before)
	if _, err := NewSampler(c, SamplerConfig{Split: Test, Segment: 1, Batch: 1}); err == nil {
		t.Error("a sampler of a split without utterances")
	}
	for _, config := range []SamplerConfig{{}, {Segment: 1}, {Batch: 1}, {Segment: 1 << 20, Batch: 1 << 20}, {Segment: 1, Batch: 1, Ahead: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v does not panic", config)
				}
			}()
			NewSampler(c, config)
		}()
	}
}

func TestInOrder(t *testing.T) {
	c := numbered(25, 99, 7, 99, 10)
	type segment struct {
		utterance int32
		start     int64
	}
	var got []segment
	var sizes []int
	x := make([]float32, 10)
	for b := range c.InOrder(Train, 10, 2) {
		sizes = append(sizes, len(b.Starts))
		if len(b.Samples) != 10*len(b.Starts) || len(b.Utterances) != len(b.Starts) || len(b.Speakers) != len(b.Starts) {
			t.Fatalf("%d samples of %d segments", len(b.Samples), len(b.Starts))
		}
		for i, start := range b.Starts {
			got = append(got, segment{b.Utterances[i], start})
			c.Read(x, int(b.Utterances[i]), start)
			if !slices.Equal(x, b.Samples[10*i:][:10]) || b.Speakers[i] != c.Utterances()[b.Utterances[i]].SpeakerID {
				t.Fatalf("segment %d differs", i)
			}
		}
	}
	if want := []segment{{0, 0}, {0, 10}, {2, 0}, {4, 0}}; !slices.Equal(got, want) || !slices.Equal(sizes, []int{2, 2}) {
		t.Errorf("%v in batches of %d, want %v", got, sizes, want)
	}
	sizes = nil
	for b := range c.InOrder("", 25, 4) {
		sizes = append(sizes, len(b.Starts))
	}
	if want := []int{4, 4, 1}; !slices.Equal(sizes, want) {
		t.Errorf("batches of %d, want %d", sizes, want)
	}
	for range c.InOrder("", 25, 4) {
		break
	}
	for range c.InOrder(Test, 25, 4) {
		t.Error("a batch of nothing")
	}
}

// TestSamplerMany: a hundred thousand utterances.
func TestSamplerMany(t *testing.T) {
	lengths := make([]int, 100_000)
	for i := range lengths {
		lengths[i] = 100 + i%200
	}
	s := newSampler(t, numbered(lengths...), SamplerConfig{Segment: 100, Batch: 1000})
	most := int32(0)
	for range 100 {
		most = max(most, slices.Max(s.Next().Utterances))
	}
	if most < 99_900 {
		t.Errorf("of 100,000 utterances %d is the last that was drawn", most)
	}
}

// TestSamplerSpeech draws from the corpus in shared, through a cache on disk.
func TestSamplerSpeech(t *testing.T) {
	folder := shared.Data(t, "speech")
	if testing.Short() {
		t.Skip("needs ten seconds for 1.6 hours of speech: not with -short")
	}
	m, err := ReadManifest(filepath.Join(folder, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	prepare(t, m, dir, DefaultSettings(), 0)
	c := open(t, dir)
	s := newSampler(t, c, SamplerConfig{Split: Train, Segment: 7680, Batch: 16, Seed: 1})
	heard := map[int32]bool{}
	const batches = 400
	began := time.Now()
	for range batches {
		for _, id := range s.Next().Speakers {
			heard[id] = true
		}
	}
	t.Logf("%.0f million samples a second; %d utterances are short", batches*16*7680/time.Since(began).Seconds()*1e-6, s.Short())
	if len(heard) != len(c.Speakers()) {
		t.Errorf("%d speakers of %d in %d segments", len(heard), len(c.Speakers()), 16*batches)
	}
}
