package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/vqvae"
)

// TestRecent compares the description of the last codes with counts of them.
func TestRecent(t *testing.T) {
	for _, c := range []vqvae.BottleneckConfig{
		{Kind: vqvae.VQ, Entries: 20, Groups: 1, Stages: 1},
		{Kind: vqvae.VQ, Entries: 6, Groups: 2, Stages: 2},
		{Kind: vqvae.VQ, Entries: 46340, Groups: 1, Stages: 2}, // 2^31 codes, but for a few
	} {
		const step = 7
		random := rand.New(rand.NewPCG(1, 2))
		r := newRecent(c, step)
		var all []int32
		check := func(when string) {
			t.Helper()
			last := all[max(0, len(all)-recentSteps*step):]
			describe := func(of func(code int32) int32) (perplexity float64, used int) {
				counts := map[int32]float64{}
				for _, code := range last {
					counts[of(code)]++
				}
				entropy := 0.0
				for _, n := range counts {
					entropy -= n / float64(len(last)) * math.Log(n/float64(len(last)))
				}
				return math.Exp(entropy), len(counts)
			}
			wrong := func(what string, perplexity float64, used int, of func(int32) int32) {
				t.Helper()
				if want, n := describe(of); len(last) > 0 && (math.Abs(perplexity-want) > 1e-9*want || used != n) || len(last) == 0 && perplexity+float64(used) != 0 {
					t.Errorf("%d codebooks of %d, %s: perplexity %v of %s, %d used, want %v and %d", c.Books(), c.Entries, when, perplexity, what, used, want, n)
				}
			}
			perplexity, used := r.all()
			wrong("all", perplexity, used, func(code int32) int32 { return code })
			for m := range c.Books() {
				perplexity, used := r.book(m)
				wrong(fmt.Sprint("codebook ", m), perplexity, used, func(code int32) int32 {
					entries := make([]int32, c.Books())
					c.Split(entries, code)
					return entries[m]
				})
			}
		}
		check("empty")
		for i := range 3 * recentSteps {
			codes := make([]int32, step)
			for j := range codes {
				entries := make([]int32, c.Books())
				for m := range entries {
					entries[m] = int32(math.Abs(random.NormFloat64())*float64(c.Entries)/4) % int32(c.Entries)
				}
				codes[j] = c.Join(entries)
			}
			r.add(codes)
			if all = append(all, codes...); i == 3 || i == recentSteps+5 || i == 3*recentSteps-1 {
				check(fmt.Sprintf("after %d steps", i))
			}
		}
		r.clear()
		all = nil
		check("cleared")
	}
	// More codes in a step than are described.
	c := vqvae.BottleneckConfig{Kind: vqvae.VQ, Entries: 2, Groups: 1, Stages: 1}
	r := newRecent(c, mostRecent)
	codes := make([]int32, mostRecent+100)
	codes[99], codes[len(codes)-1] = 1, 1
	r.add(codes)
	if r.digits.Dim(0) != mostRecent || r.digits.Data[0] != 0 || r.digits.Data[mostRecent-1] != 1 {
		t.Errorf("%d codes, from %v to %v", r.digits.Dim(0), r.digits.Data[0], r.digits.Data[mostRecent-1])
	}
	// A model without codes.
	r = newRecent(vqvae.BottleneckConfig{Kind: vqvae.VAE}, 10)
	r.add(nil)
	if p, n := r.all(); p != 0 || n != 0 || r.state() != nil || r.books() != nil {
		t.Errorf("without codes: perplexity %v of %d", p, n)
	}
}

// begin begins a run for a test of its parts.
func begin(t *testing.T, c Config) *run {
	t.Helper()
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	r, err := start(c, Options{Corpus: corpus("a", "b", "c")}, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.sampler.Close()
		r.log.close()
	})
	return r
}

// TestAveragedCodebooks: the average of a codebook follows it; where an entry begins anew, so does its average; that of entries on
// the sphere stays there.
func TestAveragedCodebooks(t *testing.T) {
	for _, codebook := range []string{vqvae.ByAverage, vqvae.ByLoss} {
		c := tiny(t, 0)
		b := &c.Model.Bottleneck
		b.Codebook, b.Distance, b.Groups, b.Stages, b.Entries, b.Dead = codebook, vqvae.Cosine, 2, 2, 12, 0
		c.Training.Average = 0.99
		r := begin(t, c)
		moved := false
		for range 15 {
			if err := r.step(); err != nil {
				t.Fatal(err)
			}
		}
		for m, average := range r.averageBooks {
			book := r.model.Quantiser.Books[m]
			for k := range b.Entries {
				length := 0.0
				for i, x := range average.Row(k) {
					length += float64(x) * float64(x)
					moved = moved || x != book.Entries.Value.Row(k)[i]
				}
				if book.OnSphere && math.Abs(length-1) > 1e-6 {
					t.Errorf("by %s: the average of entry %d of codebook %d has the length %v", codebook, k, m, math.Sqrt(length))
				}
			}
		}
		if !moved {
			t.Errorf("by %s: averages are the entries", codebook)
		}
		r.model.Quantiser.Books[1].Counts.Data[5], r.model.Quantiser.Books[2].Counts.Data[7] = -1, -1
		r.model.Quantiser.Config.Dead = 1e-9
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		for m, average := range r.averageBooks {
			for k := range b.Entries {
				same := true
				for i, x := range average.Row(k) {
					same = same && x == r.model.Quantiser.Books[m].Entries.Value.Row(k)[i]
				}
				if replaced := m == 1 && k == 5 || m == 2 && k == 7; replaced && !same {
					t.Errorf("by %s: entry %d of codebook %d begins anew, its average does not", codebook, k, m)
				}
			}
		}
	}
}

// TestCollapseOfOne: of several codebooks one that has collapsed is made anew, and no other.
func TestCollapseOfOne(t *testing.T) {
	c := tiny(t, 0)
	c.Model.Bottleneck.Groups, c.Model.Bottleneck.Entries, c.Model.Bottleneck.Dead = 2, 200, 0
	r := begin(t, c)
	var n notes
	r.notes = n.add
	for range recentSteps {
		codes := make([]int32, 16)
		for i := range codes {
			codes[i] = c.Model.Bottleneck.Join([]int32{int32(rand.IntN(200)), 3})
		}
		r.recent.add(codes)
	}
	r.sampler.Next()
	if err := r.step(); err != nil {
		t.Fatal(err)
	}
	before := [2][]float32{}
	for m := range before {
		before[m] = append(before[m], r.model.Quantiser.Books[m].Entries.Value.Data...)
	}
	r.state.Step = collapseEvery
	if err := r.watch(); err != nil {
		t.Fatal(err)
	}
	for m, was := range before {
		same := true
		for i, x := range r.model.Quantiser.Books[m].Entries.Value.Data {
			same = same && x == was[i]
			if m == 1 && r.averageBooks[m].Data[i] != x {
				t.Fatal("the average does not begin anew")
			}
		}
		if same != (m == 0) {
			t.Errorf("codebook %d is made anew: %t", m, !same)
		}
	}
	if len(n.lines) != 1 || !strings.Contains(n.lines[0], "the codebook 1 had collapsed to a perplexity of 1.") {
		t.Errorf("%q", n.lines)
	}
	if _, used := r.recent.all(); used != 0 {
		t.Errorf("%d codes are still known", used)
	}
}
