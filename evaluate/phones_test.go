package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/alignment"
	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// spoken is a corpus at 8 kHz whose samples say which phone they belong to: phone y is the sample 100 (y + 1), what is in no
// interval is 0. Intervals are of random lengths.
func spoken(phones []string) (*corpora.Cache, *alignment.Set) {
	r := rand.New(rand.NewPCG(9, 10))
	set := &alignment.Set{Phones: phones}
	var utterances []corpora.Utterance
	var samples [][]int16
	for i := range 40 {
		x, u := make([]int16, 3000+r.IntN(2000)), alignment.Utterance{Path: fmt.Sprintf("s/%d", i)}
		for at := r.IntN(100); at < len(x); {
			end := min(at+1+r.IntN(400), len(x))
			y := r.IntN(len(phones))
			u.Intervals = append(u.Intervals, alignment.Interval{Start: float64(at) / 8000, End: float64(end) / 8000, Phone: int32(y)})
			for ; at < end; at++ {
				x[at] = int16(100 * (y + 1))
			}
			if r.IntN(5) == 0 {
				at += r.IntN(200)
			}
		}
		utterance := corpora.Utterance{Path: fmt.Sprintf("/corpus/s/%d.wav", i), Speaker: "ann", Split: []string{corpora.Train, corpora.Test, corpora.Train, corpora.Valid}[i%4]}
		utterances = append(utterances, utterance)
		samples = append(samples, x)
		if i != 5 && i != 8 && i != 12 { // 5 is of the test split, 8 and 12 are of the training split
			set.Utterances = append(set.Utterances, u)
		}
	}
	return corpora.NewCache(8000, utterances, samples), set
}

// perfect is codes that are phones: code t is number code[y] of the sample in the middle of its span, or the last code if that is
// none's.
type perfect struct {
	step int
	code []int32
}

func (p perfect) hop() int { return p.step }

func (p perfect) codes(samples []float32) []int32 {
	var codes []int32
	for t := 0; t*p.step < len(samples); t++ {
		middle := t*p.step + p.step/2
		y := -1
		if middle < len(samples) {
			y = int(math.Round(float64(samples[middle])*32768/100)) - 1
		}
		if y < 0 {
			y = len(p.code) - 1
		}
		codes = append(codes, p.code[y])
	}
	return codes
}

// ignorant is codes that know nothing: they come one after the other.
type ignorant struct{ step, entries int }

func (p ignorant) hop() int { return p.step }

func (p ignorant) codes(samples []float32) []int32 {
	codes := make([]int32, (len(samples)+p.step-1)/p.step)
	for t := range codes {
		codes[t] = int32(t * 7 % p.entries)
	}
	return codes
}

// measured measures codes on the corpus.
func measured(t *testing.T, cache *corpora.Cache, set *alignment.Set, c coding, k int) (PhoneUnits, PhoneReport) {
	t.Helper()
	p := &phoneMeasure{cache: cache, set: set, options: PhoneOptions{Split: corpora.Test, Fit: corpora.Train, Seed: 1}, silence: make([]bool, len(set.Phones))}
	for i, y := range set.Phones {
		p.silence[i] = IsSilence(y)
	}
	if err := p.choose(); err != nil {
		t.Fatal(err)
	}
	var r PhoneReport
	u, err := p.measure(t.Context(), c, k, "encoding", &r)
	if err != nil {
		t.Fatal(err)
	}
	return u, r
}

func TestCodesThatArePhones(t *testing.T) {
	phones := []string{"A", "B", "C", "SIL"}
	cache, set := spoken(phones)
	one := func(f PhoneFigures) bool {
		return f.Accuracy == 1 && f.PhonePurity == 1 && f.ClusterPurity == 1 && near(f.PNMI, 1)
	}
	for _, step := range []int{2, 16, 50} {
		u, r := measured(t, cache, set, perfect{step, []int32{7, 3, 5, 2, 9}}, 10)
		if !one(u.All.PhoneFigures) || !one(u.Speech.PhoneFigures) || u.All.Classes != 4 || u.Speech.Classes != 3 {
			t.Errorf("a code for %d samples: %+v, without silence %+v", step, u.All, u.Speech)
		}
		if x := u.All.Random; x.Accuracy > 0.35 || x.PNMI > 0.05 {
			t.Errorf("random codes: %+v", x)
		}
		for _, row := range u.Phones {
			want := PhoneRow{Phone: row.Phone, Frames: row.Frames, Accuracy: 1, Codes: []CodeShare{{[]int32{7, 3, 5, 2}[slices.Index(phones, row.Phone)], 1}}, Confusions: []Confusion{}}
			if !reflect.DeepEqual(row, want) {
				t.Errorf("%+v, want %+v", row, want)
			}
		}
		if r.Split.Utterances != 9 || r.Split.Unaligned != 1 || r.Fit.Utterances != 18 || r.Fit.Unaligned != 2 {
			t.Errorf("scored %+v, fitted %+v", r.Split, r.Fit)
		}
		if r.Split.Outside == 0 || r.Split.Frames != u.All.Frames+r.Split.Outside || u.Entries != 10 || u.Used != 5 || math.Abs(u.Rate*r.Split.Seconds-float64(r.Split.Frames)) > 1e-6 {
			t.Errorf("%+v, %+v", r.Split, u.Codes)
		}
	}
	if u, _ := measured(t, cache, set, ignorant{16, 8}, 8); u.All.Accuracy > 0.35 || u.All.PNMI > 0.05 || math.Abs(u.All.PNMI-u.All.Random.PNMI) > 0.02 || u.Speech.Accuracy > 0.45 {
		t.Errorf("codes that know nothing: %+v, without silence %+v", u.All, u.Speech)
	}
}

func TestPhoneRows(t *testing.T) {
	p := &phoneMeasure{set: &alignment.Set{Phones: []string{"A", "B", "C"}}}
	fit := countsOf([][]int64{{9, 0, 0}, {0, 9, 0}, {0, 0, 9}, {0, 1, 0}})
	got := p.rows(fit, countsOf([][]int64{{4, 3, 0}, {0, 1, 0}, {1, 2, 0}, {0, 4, 0}}))
	want := []PhoneRow{
		{"B", 10, 0.5, []CodeShare{{3, 0.4}, {0, 0.3}, {2, 0.2}, {1, 0.1}}, []Confusion{{"A", 0.3}, {"C", 0.2}}},
		{"A", 5, 0.8, []CodeShare{{0, 0.8}, {2, 0.2}}, []Confusion{{"C", 0.2}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestIsSilence(t *testing.T) {
	for label, want := range map[string]bool{"": true, "SIL": true, "sil": true, "Spn": true, "+NSN+": true, "<eps>": true, "[noise]": true, "h#": true,
		"S": false, "AA": false, "+": false, "<": false, "<a": false, "SILK": false, "æ": false} {
		if got := IsSilence(label); got != want {
			t.Errorf("%q: %v", label, got)
		}
	}
}

// TestPhones compares the whole with codes counted one by one.
func TestPhones(t *testing.T) {
	m := testModel(t, testConfig)
	cache, set := spoken([]string{"A", "B", "spn"})
	r := rand.New(rand.NewPCG(11, 12))
	for _, u := range []int{0, 1, 3, 7} { // not so regular
		for i := range cache.Samples(u) {
			cache.Samples(u)[i] += int16(1000 * r.NormFloat64())
		}
	}
	o := PhoneOptions{Clusters: 6, Seed: 3}
	got, err := Phones(t.Context(), m, cache, set, o)
	if err != nil {
		t.Fatal(err)
	}
	want := new(PhoneCounts)
	c, err := newCoder(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, u := range cache.Utterances() {
		k := slices.IndexFunc(set.Utterances, func(a alignment.Utterance) bool { return "/corpus/"+a.Path+".wav" == u.Path })
		if u.Split != corpora.Test || k < 0 {
			continue
		}
		x := make([]float32, u.Samples)
		cache.Read(x, i, 0)
		for f, code := range c.codes(x) {
			for _, interval := range set.Utterances[k].Intervals {
				if at := (float64(f) + 0.5) * 16 / 8000; interval.Start <= at && at < interval.End {
					want.Add(code, interval.Phone, 1)
				}
			}
		}
	}
	if !reflect.DeepEqual(got.Model.Counts, want) || len(want.frames) < 10 {
		t.Errorf("counts %v, want %v", got.Model.Counts.sorted(), want.sorted())
	}
	if !slices.Equal(got.Silence, []string{"spn"}) || got.Hop != 16 || got.Model.Entries != 16 || got.Model.Speech.Classes != 2 || got.KMeans.Entries != 6 || got.KMeans.Used < 2 || got.KMeans.All.Classes != 3 {
		t.Errorf("%+v, k-means %+v", got, got.KMeans)
	}

	before := parallel.Threads()
	for _, threads := range []int{1, 3} {
		parallel.SetThreads(threads)
		again, err := Phones(t.Context(), m, cache, set, o)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		if b, _ := json.Marshal(again); string(a) != string(b) {
			t.Errorf("on %d threads\n%s\nbefore\n%s", threads, b, a)
		}
	}
	parallel.SetThreads(before)

	o.Silence, o.Clusters = []string{"A", "spn", "none"}, 0
	if r, err := Phones(t.Context(), m, cache, set, o); err != nil || !slices.Equal(r.Silence, []string{"A", "spn"}) || r.KMeans != nil || r.Model.Speech.Classes != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPhonesErrors(t *testing.T) {
	m := testModel(t, testConfig)
	cache, set := spoken([]string{"A", "B"})
	other := &alignment.Set{Phones: set.Phones, Utterances: []alignment.Utterance{{Path: "elsewhere"}}}
	for _, c := range []struct {
		set  *alignment.Set
		o    PhoneOptions
		want string
	}{
		{set, PhoneOptions{Split: corpora.Train}, "other utterances"},
		{other, PhoneOptions{}, `called /corpus/s/0.wav, an alignment elsewhere`},
		{new(alignment.Set), PhoneOptions{}, "no utterance with an alignment"},
		{set, PhoneOptions{Split: "none"}, `"none"`},
		{set, PhoneOptions{Clusters: 1 << 20}, "1048576 clusters of"},
	} {
		if _, err := Phones(t.Context(), m, cache, c.set, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.o, err, c.want)
		}
	}
	if _, err := Phones(t.Context(), m, corpora.NewCache(16000, nil, nil), set, PhoneOptions{}); err == nil || !strings.Contains(err.Error(), "16000 Hz") {
		t.Errorf("another rate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := PhoneOptions{Clusters: 4, Progress: func(what, _ string, done, _ int) {
		if what == "assigning" && done == 2 {
			cancel()
		}
	}}
	if _, err := Phones(ctx, m, cache, set, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestMFCC compares the vectors of codes with frames at the same places.
func TestMFCC(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 5003)
	for i := range x {
		x[i] = float32(0.1 * r.NormFloat64())
	}
	analyser, err := spectrum.New(spectrum.MFCC(16000))
	if err != nil {
		t.Fatal(err)
	}
	frames := spectrum.WithDeltas(nil, analyser.MFCC(nil, widen(x)), 13, 2)
	n := len(frames) / mfccWidth // 32: the last one from sample 4960 on
	at := func(i, j int) float64 { return float64(frames[min(max(i, 0), n-1)*mfccWidth+j]) }
	for _, c := range []struct {
		hop  int
		want func(t, j int) float64
	}{
		{160, at},
		{320, func(t, j int) float64 { return (at(2*t, j) + at(2*t+1, j)) / 2 }},
		{480, func(t, j int) float64 { // the last code begins at 4800, and has two frames
			if t == 10 {
				return (at(30, j) + at(31, j)) / 2
			}
			return (at(3*t, j) + at(3*t+1, j) + at(3*t+2, j)) / 3
		}},
		{240, func(t, j int) float64 { // the first of every two has its middles at 80 and 400 - 160 = 240: the end of its span
			if t%2 == 0 {
				return at(3*t/2, j)
			}
			return (at(3*t/2, j) + at(3*t/2+1, j)) / 2
		}},
		{80, func(t, j int) float64 {
			if t%2 == 0 { // its middle lies a quarter of a frame before that of frame t/2
				return at(t/2, j)*0.75 + at(t/2-1, j)*0.25
			}
			return at(t/2, j)*0.75 + at(t/2+1, j)*0.25
		}},
		{16000, func(_, j int) float64 {
			sum := 0.0
			for i := range n {
				sum += at(i, j) / float64(n)
			}
			return sum
		}},
	} {
		m, err := newMFCC(16000, c.hop)
		if err != nil {
			t.Fatal(err)
		}
		got := m.vectors(x)
		if len(got) != (len(x)+c.hop-1)/c.hop*mfccWidth {
			t.Errorf("hop %d: %d numbers", c.hop, len(got))
			continue
		}
		for i, v := range got {
			if want := c.want(i/mfccWidth, i%mfccWidth); math.Abs(float64(v)-want) > 1e-4*(1+math.Abs(want)) {
				t.Errorf("hop %d, code %d, number %d: %v, want %v", c.hop, i/mfccWidth, i%mfccWidth, v, want)
				break
			}
		}
		m.measure(got)
		m.standardise(got)
		var again mfcc
		again.measure(got)
		for j := range mfccWidth {
			if c.hop < 1000 && (math.Abs(again.mean[j]) > 1e-5 || math.Abs(again.deviation[j]-1) > 1e-5) {
				t.Errorf("hop %d, number %d: mean %v, deviation %v", c.hop, j, again.mean[j], again.deviation[j])
			}
		}
	}
}
