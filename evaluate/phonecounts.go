package evaluate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// PhoneCounts are how many frames have a code z and a phone y, for all z and y. Codes and phones are numbers from 0 on. The zero
// value is empty.
type PhoneCounts struct{ frames map[pairing]int64 }

// pairing is a code with a phone.
type pairing struct{ code, phone int32 }

// Add counts n more frames with a code and a phone.
func (c *PhoneCounts) Add(code, phone int32, n int64) {
	if c.frames == nil {
		c.frames = map[pairing]int64{}
	}
	if n > 0 {
		c.frames[pairing{code, phone}] += n
	}
}

// pairingCount is the frames of a pairing, more than 0.
type pairingCount struct {
	pairing
	n int64
}

// sorted returns the counts by code, then phone.
func (c *PhoneCounts) sorted() []pairingCount {
	list := make([]pairingCount, 0, len(c.frames))
	for p, n := range c.frames {
		list = append(list, pairingCount{p, n})
	}
	slices.SortFunc(list, func(a, b pairingCount) int {
		return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.phone, b.phone))
	})
	return list
}

// labelCount is the frames of a code, or of a phone.
type labelCount struct {
	label int32
	n     int64
}

// totals returns the frames of each label that of gives, by label.
func (c *PhoneCounts) totals(of func(pairing) int32) []labelCount {
	sums := map[int32]int64{}
	for p, n := range c.frames {
		sums[of(p)] += n
	}
	list := make([]labelCount, 0, len(sums))
	for l, n := range sums {
		list = append(list, labelCount{l, n})
	}
	slices.SortFunc(list, func(a, b labelCount) int { return cmp.Compare(a.label, b.label) })
	return list
}

func codeOf(p pairing) int32  { return p.code }
func phoneOf(p pairing) int32 { return p.phone }

// byFrames sorts labels by their frames, most of them first; of several the lowest.
func byFrames(list []labelCount) []labelCount {
	slices.SortFunc(list, func(a, b labelCount) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.label, b.label)) })
	return list
}

// without returns the counts without some phones.
func (c *PhoneCounts) without(phone func(int32) bool) *PhoneCounts {
	r := new(PhoneCounts)
	for p, n := range c.frames {
		if !phone(p.phone) {
			r.Add(p.code, p.phone, n)
		}
	}
	return r
}

// random returns counts of the same phones with codes that know nothing of them: the code of each frame is drawn by the frequencies of
// the codes.
func (c *PhoneCounts) random(src rand.Source) *PhoneCounts {
	codes, total := c.totals(codeOf), int64(0)
	ends := make([]int64, len(codes)) // of the frames of each code, if they stood one behind the other
	for i, z := range codes {
		total += z.n
		ends[i] = total
	}
	random, r := rand.New(src), new(PhoneCounts)
	for _, y := range c.totals(phoneOf) {
		for range y.n {
			at := random.Int64N(total)
			r.Add(codes[sort.Search(len(ends), func(i int) bool { return ends[i] > at })].label, y.label, 1)
		}
	}
	return r
}

// phoneMap takes a code to the phone that is most frequent with it; of several the first.
type phoneMap struct {
	phones map[int32]int32
	other  int32 // of codes that were not there: the most frequent phone of all
}

// fit returns the map of the counts.
func (c *PhoneCounts) fit() phoneMap {
	m, most := phoneMap{phones: map[int32]int32{}, other: -1}, map[int32]int64{}
	for _, p := range c.sorted() {
		if p.n > most[p.code] {
			most[p.code], m.phones[p.code] = p.n, p.phone
		}
	}
	if phones := byFrames(c.totals(phoneOf)); len(phones) > 0 {
		m.other = phones[0].label
	}
	return m
}

func (m phoneMap) of(code int32) int32 {
	if p, ok := m.phones[code]; ok {
		return p
	}
	return m.other
}

// PhoneFigures say how much codes z tell of phones y. p is the distribution of both over the frames that are scored. All are from 0 to
// 1, the more the better.
type PhoneFigures struct {
	// Accuracy is the share of the frames whose phone is the one that the map names: from each code to the phone that it came with
	// most often in other utterances.
	Accuracy float64 `json:"accuracy"`
	// PhonePurity is the same with a map that was made of the very frames that are scored, as in the paper (section 4.3): the sum
	// over z of max_y p(y, z). It grows with the number of codes, whatever they are.
	PhonePurity float64 `json:"phone_purity"`
	// ClusterPurity is the sum over y of max_z p(y, z): it falls where a phone has many codes.
	ClusterPurity float64 `json:"cluster_purity"`
	// PNMI is I(y; z) / H(y), the share of the uncertainty about the phone that the code takes away (Hsu et al., HuBERT, arXiv 2106.07447).
	// Few frames of many codes raise it. It is 0 if there is but one phone.
	PNMI float64 `json:"pnmi"`
}

// figures scores counts with a map made of other frames.
func (c *PhoneCounts) figures(m phoneMap) PhoneFigures {
	list, codes, phones := c.sorted(), map[int32]float64{}, map[int32]float64{}
	total, right := 0.0, 0.0
	for _, p := range list {
		n := float64(p.n)
		total += n
		codes[p.code] += n
		phones[p.phone] += n
		if m.of(p.code) == p.phone {
			right += n
		}
	}
	if total == 0 {
		return PhoneFigures{}
	}
	mostOfCode, mostOfPhone := map[int32]int64{}, map[int32]int64{}
	information := 0.0
	for _, p := range list {
		mostOfCode[p.code] = max(mostOfCode[p.code], p.n)
		mostOfPhone[p.phone] = max(mostOfPhone[p.phone], p.n)
		n := float64(p.n)
		information += n / total * math.Log(n*total/(codes[p.code]*phones[p.phone]))
	}
	f := PhoneFigures{Accuracy: right / total, PhonePurity: share(mostOfCode, total), ClusterPurity: share(mostOfPhone, total)}
	entropy := 0.0
	for _, y := range c.totals(phoneOf) {
		p := float64(y.n) / total
		entropy -= p * math.Log(p)
	}
	if entropy > 0 {
		f.PNMI = min(max(information/entropy, 0), 1)
	}
	return f
}

// share returns how much of total the values are together.
func share(values map[int32]int64, total float64) float64 {
	sum := int64(0)
	for _, n := range values {
		sum += n
	}
	return float64(sum) / total
}

// PhoneScores are [PhoneFigures] of codes, and of codes that know nothing.
type PhoneScores struct {
	Classes int   `json:"classes"` // different phones in the frames that are scored
	Frames  int64 `json:"frames"`  // that are scored
	Fitted  int64 `json:"fitted"`  // frames that the map was made of
	PhoneFigures
	// Random is of as many codes, as frequent as these, drawn for each frame without regard to it. What the figures are above
	// Random, the codes know.
	Random PhoneFigures `json:"random"`
}

// ScorePhones scores counts with a map made of other frames. Src draws the random codes.
func ScorePhones(fit, scored *PhoneCounts, src rand.Source) PhoneScores {
	frames := func(c *PhoneCounts) (n int64) {
		for _, v := range c.frames {
			n += v
		}
		return n
	}
	s := PhoneScores{Classes: len(scored.totals(phoneOf)), Frames: frames(scored), Fitted: frames(fit), PhoneFigures: scored.figures(fit.fit())}
	random := fit.random(src).fit()
	s.Random = scored.random(src).figures(random)
	return s
}

// PhoneMatrix is p(phone | code).
type PhoneMatrix struct {
	Phones []int32     // those that occur, the most frequent first
	Codes  []int32     // those that occur, by their most frequent phone in that order, then by its probability, falling
	Of     []int32     // for each code, which of Phones is its most frequent one
	P      [][]float64 // for each phone, its probability with each code
}

// Matrix returns p(phone | code).
func (c *PhoneCounts) Matrix() PhoneMatrix {
	var m PhoneMatrix
	rank := map[int32]int{}
	for i, y := range byFrames(c.totals(phoneOf)) {
		m.Phones = append(m.Phones, y.label)
		rank[y.label] = i
	}
	codes, best, own := c.totals(codeOf), c.fit(), map[int32]float64{} // own is p(best phone | code)
	total := map[int32]float64{}
	for _, z := range codes {
		total[z.label] = float64(z.n)
		own[z.label] = float64(c.frames[pairing{z.label, best.of(z.label)}]) / float64(z.n)
	}
	slices.SortFunc(codes, func(a, b labelCount) int {
		return cmp.Or(cmp.Compare(rank[best.of(a.label)], rank[best.of(b.label)]), cmp.Compare(own[b.label], own[a.label]), cmp.Compare(a.label, b.label))
	})
	column := map[int32]int{}
	for i, z := range codes {
		m.Codes = append(m.Codes, z.label)
		m.Of = append(m.Of, int32(rank[best.of(z.label)]))
		column[z.label] = i
	}
	for range m.Phones {
		m.P = append(m.P, make([]float64, len(codes)))
	}
	for p, n := range c.frames {
		m.P[rank[p.phone]][column[p.code]] = float64(n) / total[p.code]
	}
	return m
}
