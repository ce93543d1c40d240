package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

const (
	// recentSteps is the number of steps whose codes are described, and mostRecent that of codes, if those are more.
	recentSteps = 100
	mostRecent  = 1 << 16
	// collapsed is the perplexity, as a share of the entries, below which a codebook has collapsed. One of few entries has when
	// all but one are hardly used: below collapsedToOne.
	collapsed      = 0.02
	collapsedToOne = 1.1
	// collapseEvery is the number of steps from one look at the codebooks to the next.
	collapseEvery = 250
)

// recent are the codes of the last steps. Of a model without codes there are none.
type recent struct {
	config vqvae.BottleneckConfig
	digits tensor.Tensor // [codes, M], the entries of each code, the latest one last; -1 where there is none yet

	entries []int32 // scratch: of a code,
	counts  []int32 // how often each entry of a codebook occurs,
	codes   []int32 // all codes
}

// newRecent returns room for recentSteps steps of so many codes.
func newRecent(c vqvae.BottleneckConfig, codes int) *recent {
	n := 0
	if c.Books() > 0 {
		n = min(recentSteps*codes, mostRecent)
	}
	r := &recent{config: c, digits: tensor.New(n, c.Books()), entries: make([]int32, c.Books())}
	if n > 0 {
		r.counts, r.codes = make([]int32, c.Entries), make([]int32, 0, n)
	}
	r.clear()
	return r
}

// state returns what a checkpoint has to hold: "codes.recent".
func (r *recent) state() nn.Parameters {
	if len(r.entries) == 0 {
		return nil
	}
	return nn.Parameters{{Name: "codes.recent", Value: r.digits}}
}

// clear forgets all codes.
func (r *recent) clear() {
	for i := range r.digits.Data {
		r.digits.Data[i] = -1
	}
}

// add takes the codes of a step.
func (r *recent) add(codes []int32) {
	n, books := r.digits.Dim(0), len(r.entries)
	codes = codes[max(0, len(codes)-n):]
	copy(r.digits.Data, r.digits.Data[len(codes)*books:])
	for i, code := range codes {
		r.config.Split(r.entries, code)
		row := r.digits.Data[(n-len(codes)+i)*books:]
		for m, k := range r.entries {
			row[m] = float32(k) // which is at most 2^20
		}
	}
}

// book returns the perplexity of the entries of a codebook, 0 if there are none yet, and how many occur.
func (r *recent) book(m int) (perplexity float64, used int) {
	clear(r.counts)
	for at := m; at < r.digits.Len(); at += len(r.entries) {
		if k := r.digits.Data[at]; k >= 0 {
			r.counts[int(k)]++
		}
	}
	return describe(r.counts)
}

// all returns the perplexity of the codes, 0 if there are none yet, and how many occur.
func (r *recent) all() (perplexity float64, used int) {
	if len(r.entries) == 1 {
		return r.book(0)
	}
	r.codes = r.codes[:0]
	for at := 0; at < r.digits.Len(); at += len(r.entries) {
		if r.digits.Data[at] < 0 {
			continue
		}
		for m := range r.entries {
			r.entries[m] = int32(r.digits.Data[at+m])
		}
		r.codes = append(r.codes, r.config.Join(r.entries))
	}
	slices.Sort(r.codes)
	counts := r.codes[:0] // one for each run of equal codes
	for i := 0; i < len(r.codes); {
		n := 1
		for i+n < len(r.codes) && r.codes[i+n] == r.codes[i] {
			n++
		}
		counts = append(counts, int32(n))
		i += n
	}
	return describe(counts)
}

// describe returns the perplexity of what occurs so often, and how much does.
func describe(counts []int32) (perplexity float64, used int) {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	if total == 0 {
		return 0, 0
	}
	entropy := 0.0
	for _, n := range counts {
		if n > 0 {
			used++
			p := float64(n) / total
			entropy -= p * math.Log(p)
		}
	}
	return math.Exp(entropy), used
}

// books returns the perplexity of each codebook; nil if there is but one, or none.
func (r *recent) books() []float64 {
	if len(r.entries) < 2 {
		return nil
	}
	all := make([]float64, len(r.entries))
	for m := range all {
		all[m], _ = r.book(m)
	}
	return all
}

// watch makes codebooks that have collapsed anew, of the encoder's outputs for the last batch.
func (r *run) watch() error {
	if r.model.Quantiser == nil || r.state.Step%collapseEvery != 0 || r.state.Guard.Bad > 0 {
		return nil
	}
	var books []int
	for m := range r.model.Quantiser.Books {
		perplexity, used := r.recent.book(m)
		if entries := r.config.Model.Bottleneck.Entries; used == 0 || entries == 1 || perplexity >= max(collapsedToOne, collapsed*float64(entries)) {
			continue
		}
		books = append(books, m)
		name, e := "codebook", line{Collapsed: perplexity}
		if len(r.model.Quantiser.Books) > 1 {
			name, e.Codebook = fmt.Sprintf("codebook %d", m), &m
		}
		r.note("step %d: the %s had collapsed to a perplexity of %.1f, %d entries in use; it is made anew of encoder outputs",
			r.state.Step, name, perplexity, used)
		if err := r.logEvent(e); err != nil {
			return err
		}
	}
	if len(books) == 0 {
		return nil
	}
	if err := r.model.InitialiseCodebooks(&r.arena, []vqvae.Batch{r.batch}, r.draw("collapse"), books...); err != nil {
		return err
	}
	for _, m := range books {
		if r.average != nil {
			copy(r.averageBooks[m].Data, r.model.Quantiser.Books[m].Entries.Value.Data)
		}
	}
	r.recent.clear()
	r.state.Guard.forget()
	return nil
}

// updateAverage takes the weights into their average. The entries of codebooks that begin anew do so in the average too, and those that
// lie on the sphere stay there.
func (r *run) updateAverage(repairs vqvae.Repairs) {
	if r.average == nil {
		return
	}
	r.average.Update()
	for m, average := range r.averageBooks {
		b := r.model.Quantiser.Books[m]
		b.Project(average)
		if repairs == nil {
			continue
		}
		for _, k := range repairs[m] {
			copy(average.Row(int(k)), b.Entries.Value.Row(int(k)))
		}
	}
}
