package prior

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/vqaudio/vqaudio/tensor"
)

// Report is what [Measure] has found. All but counts are bits per code, the mean over all codes of the utterances.
type Report struct {
	Utterances int     `json:"utterances"`
	Codes      int64   `json:"codes"`
	Seconds    float64 `json:"seconds"` // of sound
	Rate       float64 `json:"rate"`    // codes in a second of it

	// Prior is the cross entropy of the prior, told who speaks where it knows the speaker; Nobody the same, not told; equal, and
	// computed once, if it knows no speakers.
	Prior  float64 `json:"prior"`
	Nobody float64 `json:"nobody"`
}

// Measure computes the likelihood of utterances, each by itself from its start. It returns an error if ctx is cancelled, or if there
// are no codes. Progress, which may be nil, is called after every utterance with the number of codes that are done.
func Measure(ctx context.Context, p *Prior, utterances []Utterance, a *tensor.Arena, progress func(codes int64)) (Report, error) {
	r := Report{Utterances: len(utterances), Rate: p.Config.CodeRate()}
	for _, u := range utterances {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		r.Codes += int64(len(u.Codes))
		nobody := p.NLL(a, u.Codes, p.Nobody())
		told := nobody
		if u.Speaker != p.Nobody() {
			told = p.NLL(a, u.Codes, u.Speaker)
		}
		r.Nobody += nobody
		r.Prior += told
		a.Reset()
		if progress != nil {
			progress(r.Codes)
		}
	}
	if r.Codes == 0 {
		return Report{}, errors.New("there are no codes to measure")
	}
	r.Seconds = float64(r.Codes) / r.Rate
	for _, v := range []*float64{&r.Prior, &r.Nobody} {
		*v /= math.Ln2 * float64(r.Codes)
	}
	return r, nil
}

// Counts are how often codes, and pairs of codes one after the other, occur in utterances.
type Counts struct {
	K     int             // different codes that there are
	Total int64           // codes
	One   []int64         // [K]
	Rows  []int64         // [K+1], pairs by their first code; the last are the starts of utterances
	Pairs map[int64]int64 // by first code * K + second code; before the first code of an utterance there is K
}

// Count counts the codes of utterances, of which there are K different ones.
func Count(k int, utterances []Utterance) *Counts {
	c := &Counts{K: k, One: make([]int64, k), Rows: make([]int64, k+1), Pairs: map[int64]int64{}}
	for _, u := range utterances {
		before := k
		for _, code := range u.Codes {
			c.One[code]++
			c.Rows[before]++
			c.Pairs[int64(before)*int64(k)+int64(code)]++
			before = int(code)
		}
		c.Total += int64(len(u.Codes))
	}
	return c
}

// Entropy is the empirical entropy of the codes in bits per code, -sum p log2 p: what a unigram model would cost that had seen just
// these codes.
func (c *Counts) Entropy() float64 {
	sum := 0.0
	for _, n := range c.One {
		if n > 0 {
			sum -= float64(n) * math.Log2(float64(n)/float64(c.Total))
		}
	}
	return sum / float64(c.Total)
}

// ConditionalEntropy is the empirical entropy of a code given the one before it, in bits per code: what a bigram model would cost that had seen
// just these codes. Of few codes it says little, as most pairs occur once then.
func (c *Counts) ConditionalEntropy() float64 {
	sum := 0.0
	for _, pair := range slices.Sorted(maps.Keys(c.Pairs)) { // sums in one order
		n := float64(c.Pairs[pair])
		sum -= n * math.Log2(n/float64(c.Rows[pair/int64(c.K)]))
	}
	return sum / float64(c.Total)
}

// Bigram is a pair of models fitted to Counts: of codes by themselves, with a half added to each count (Krichevsky and Trofimov),
//
//	p(b) = (n(b) + 1/2) / (N + K/2),
//
// and of codes given the one before, which falls back to that (a Dirichlet prior of strength s, MacKay and Peto 1995),
//
//	p(b | a) = (n(a,b) + s p(b)) / (n(a) + s),
//
// with that power of two for s that is best when each pair of Counts is predicted from all others.
type Bigram struct {
	counts   *Counts
	strength float64
}

// Fit returns models fitted to counts.
func (c *Counts) Fit() *Bigram {
	best, least := 1.0, math.Inf(1)
	pairs := slices.Sorted(maps.Keys(c.Pairs))
	for s := 1.0; s <= 1<<16; s *= 2 {
		b := &Bigram{c, s}
		cost := 0.0
		for _, pair := range pairs {
			n, row := float64(c.Pairs[pair]), float64(c.Rows[pair/int64(c.K)])
			cost -= n * math.Log2((n-1+s*b.one(pair%int64(c.K)))/(row-1+s))
		}
		if cost < least {
			best, least = s, cost
		}
	}
	return &Bigram{c, best}
}

// one is p(b).
func (b *Bigram) one(code int64) float64 {
	return (float64(b.counts.One[code]) + 0.5) / (float64(b.counts.Total) + 0.5*float64(b.counts.K))
}

// CrossEntropy returns what other codes of the same model cost under the unigram model and under the bigram model, in bits per code.
func (b *Bigram) CrossEntropy(of *Counts) (unigram, bigram float64) {
	for _, pair := range slices.Sorted(maps.Keys(of.Pairs)) {
		n, before, code := float64(of.Pairs[pair]), pair/int64(of.K), pair%int64(of.K)
		p := b.one(code)
		unigram -= n * math.Log2(p)
		bigram -= n * math.Log2((float64(b.counts.Pairs[pair])+b.strength*p)/(float64(b.counts.Rows[before])+b.strength))
	}
	return unigram / float64(of.Total), bigram / float64(of.Total)
}
