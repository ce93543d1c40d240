package audio_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/internal/shared"
)

func ExampleActivity() {
	data := make([]float64, 3*16000) // a second of sound between two of silence
	for i := 16000; i < 32000; i++ {
		data[i] = 0.3 * math.Sin(2*math.Pi*200*float64(i)/16000)
	}
	activity := audio.NewActivity(16000)
	activity.Add(data)
	start, end := activity.Bounds(audio.TrimBelow, audio.TrimMargin)
	trimmed, err := audio.ReadAll(audio.Section(mono(data), start, end))
	fmt.Println(start, end, len(trimmed.Data), err)
	// Output: 13600 34400 20800 <nil>
}

// bounds of the sound in data at 16 kHz.
func bounds(data []float64, below, margin float64) [2]int64 {
	a := audio.NewActivity(16000)
	a.Add(data)
	start, end := a.Bounds(below, margin)
	return [2]int64{start, end}
}

// burst is silence of n samples with noise of a level from start to end.
func burst(n, start, end int, level float64) []float64 {
	random := rand.New(rand.NewPCG(11, 12))
	data := make([]float64, n)
	for i := start; i < end; i++ {
		data[i] = level * random.NormFloat64()
	}
	return data
}

func TestActivityKnown(t *testing.T) {
	add := func(x, y []float64) []float64 {
		for i := range y {
			x[i] += y[i]
		}
		return x
	}
	constant := burst(16000, 0, 0, 0)
	for i := range constant {
		constant[i] = 0.5
	}
	clicks := burst(16000, 4000, 8000, 0.1)
	clicks[160], clicks[15000] = 1, -1
	nan := burst(16000, 4000, 8000, 0.1)
	nan[10] = math.NaN()
	infinite := burst(16000, 4000, 8000, 0.1)
	infinite[10] = math.Inf(1)
	for _, c := range []struct {
		what          string
		data          []float64
		below, margin float64
		want          [2]int64
	}{
		{"a burst", burst(16000, 4000, 8000, 0.1), 35, 0, [2]int64{4000, 8000}},
		{"with a margin", burst(16000, 4000, 8000, 0.1), 35, 0.1, [2]int64{2400, 9600}},
		{"with more margin than there is", burst(16000, 4000, 8000, 0.1), 35, 10, [2]int64{0, 16000}},
		{"with an infinite margin", burst(16000, 4000, 8000, 0.1), 35, math.Inf(1), [2]int64{0, 16000}},
		{"within frames", burst(16000, 4100, 7900, 0.1), 35, 0, [2]int64{4000, 8000}},
		{"over DC", add(burst(16000, 4000, 8000, 0.001), constant), 35, 0, [2]int64{4000, 8000}},
		{"over noise 40 dB below", add(burst(16000, 4000, 8000, 0.1), burst(16000, 0, 16000, 0.001)), 35, 0, [2]int64{4000, 8000}},
		{"over noise 30 dB below", add(burst(16000, 4000, 8000, 0.1), burst(16000, 0, 16000, 0.00316)), 35, 0, [2]int64{0, 16000}},
		{"short after two minutes of noise 50 dB below", add(burst(1920000, 1900000, 1908000, 0.1), burst(1920000, 0, 1920000, 0.000316)), 35, 0, [2]int64{1900000, 1908000}},
		{"between clicks", clicks, 35, 0, [2]int64{4000, 8000}},
		{"two bursts", add(burst(16000, 4000, 8000, 0.1), burst(16000, 0, 12000, 0.01)), 35, 0, [2]int64{0, 12000}},
		{"beside NaN", nan, 35, 0, [2]int64{4000, 8000}},
		{"beside infinity", infinite, 35, 0, [2]int64{4000, 8000}},
		{"digital silence", make([]float64, 16000), 35, 0.1, [2]int64{}},
		{"a constant", constant, 35, 0.1, [2]int64{}},
		{"nothing", nil, 35, 0.1, [2]int64{}},
		{"one sample", []float64{0.5}, 35, 0.1, [2]int64{}},
		{"two samples", []float64{0.5, -0.5}, 35, 0.1, [2]int64{0, 2}},
		{"a frame and a half", burst(240, 0, 240, 0.1), 35, 0, [2]int64{0, 240}},
		{"to the last sample", burst(16033, 8000, 16033, 0.1), 35, 0, [2]int64{8000, 16033}},
		{"all", burst(16000, 0, 16000, 0.1), 35, 0.1, [2]int64{0, 16000}},
	} {
		if got := bounds(c.data, c.below, c.margin); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// TestActivityBlocks checks that neither blocks nor rates matter beyond the length of a frame.
func TestActivityBlocks(t *testing.T) {
	for _, rate := range []int{1, 99, 8000, 11025, 44100, 192000} {
		random := rand.New(rand.NewPCG(1, uint64(rate)))
		n := max(rate, 100)
		data := burst(2*n, n/2, n, 0.2)
		whole, parts := audio.NewActivity(rate), audio.NewActivity(rate)
		whole.Add(data)
		for rest := data; len(rest) > 0; {
			k := min(len(rest), random.IntN(1000))
			parts.Add(rest[:k])
			rest = rest[k:]
		}
		start, end := whole.Bounds(35, 0)
		if s, e := parts.Bounds(35, 0); s != start || e != end {
			t.Errorf("%d Hz: %d to %d, in parts %d to %d", rate, start, end, s, e)
		}
		frame := max(8, rate/100+1)
		if math.Abs(float64(int(start)-n/2)) > float64(frame) || math.Abs(float64(int(end)-n)) > float64(frame) {
			t.Errorf("%d Hz: %d to %d, want %d to %d", rate, start, end, n/2, n)
		}
	}
}

// TestActivityOnSpeech measures the bounds with the usual parameters against alignments: how often they cut off more than
// 20 ms of a phone, and what silence they leave. The bounds of this test are a little above what was measured.
func TestActivityOnSpeech(t *testing.T) {
	if testing.Short() {
		t.Skip("needs ten seconds for 75 minutes of speech: not with -short")
	}
	folder := shared.Data(t, "speech")
	for _, c := range []struct {
		corpus          string
		cut, lead, tail float64 // share of the utterances; seconds
	}{
		{"an4", 0.013, 0.30, 0.15},   // 0.95 %; 0.28 of 0.39 s, 0.14 of 0.16 s
		{"so762", 0.006, 0.24, 0.27}, // 0.19 %; 0.22 of 0.54 s, 0.25 of 0.57 s
	} {
		utterances, cut, lead, tail := 0.0, 0.0, 0.0, 0.0
		for path, phones := range alignments(t, filepath.Join(folder, "alignments.tsv"), c.corpus+"/") {
			r, err := audio.Open(filepath.Join(folder, path))
			if err != nil {
				t.Fatal(err)
			}
			a := audio.NewActivity(r.Format().SampleRate)
			err = audio.Copy(r, func(block []float64) error { a.Add(block); return nil })
			r.Close()
			if err != nil {
				t.Fatal(err)
			}
			first, last := a.Bounds(audio.TrimBelow, audio.TrimMargin)
			start, end := float64(first)/16000, float64(last)/16000
			for _, p := range phones {
				if lost := p.end - p.start - max(0, min(end, p.end)-max(start, p.start)); lost > 0.0201 {
					cut++
					break
				}
			}
			utterances++
			lead += max(0, phones[0].start-start)
			tail += max(0, end-phones[len(phones)-1].end)
		}
		cut, lead, tail = cut/utterances, lead/utterances, tail/utterances
		t.Logf("%s: %.0f utterances: %.2f %% cut, %.3f s of silence left before and %.3f after", c.corpus, utterances, 100*cut, lead, tail)
		if utterances < 500 || cut > c.cut || lead > c.lead || tail > c.tail {
			t.Errorf("%s: want at least 500, at most %v %% cut, %v and %v s left", c.corpus, 100*c.cut, c.lead, c.tail)
		}
	}
}

type phone struct{ start, end float64 } // seconds

// alignments returns the phones of each recording whose path begins with prefix, in order, without silence and fillers.
func alignments(t *testing.T, name, prefix string) map[string][]phone {
	t.Helper()
	all := map[string][]phone{}
	for _, column := range table(t, name, prefix) { // path, start, dur, phone, ...
		if column[3] == "SIL" || strings.HasPrefix(column[3], "+") {
			continue
		}
		start, err1 := strconv.ParseFloat(column[1], 64)
		dur, err2 := strconv.ParseFloat(column[2], 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q: %v, %v", column, err1, err2)
		}
		all[column[0]] = append(all[column[0]], phone{start, start + dur})
	}
	return all
}

func BenchmarkActivity(b *testing.B) {
	data := burst(1<<14, 0, 1<<14, 0.1)
	a := audio.NewActivity(16000)
	for b.Loop() {
		a.Add(data)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(data)), "ns/sample")
}
