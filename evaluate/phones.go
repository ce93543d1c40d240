package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/vqaudio/vqaudio/alignment"
	"github.com/vqaudio/vqaudio/audio/spectrum"
	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/vqvae"
)

// PhoneOptions say what [Phones] measures.
type PhoneOptions struct {
	Split    string   // whose utterances are scored; "" is [corpora.Test]
	Fit      string   // on whose utterances the map from codes to phones is made, another one; "" is [corpora.Train]
	Silence  []string // labels that are no phones; nil takes [IsSilence]
	Clusters int      // K of the k-means beside the model; 0 for none
	Seed     uint64   // of random codes and k-means
	Progress Progress
}

// PhoneReport is what [Phones] has found.
type PhoneReport struct {
	Split      PhoneSplit  `json:"scored"`
	Fit        PhoneSplit  `json:"fitted"`
	Silence    []string    `json:"silence"` // the labels that were taken for silence and fillers, of those that occur
	SampleRate int         `json:"rate"`
	Hop        int         `json:"hop"`   // samples of a code
	Model      PhoneUnits  `json:"units"` // of the model
	KMeans     *PhoneUnits `json:"kmeans,omitempty"`
}

// PhoneSplit is what was there of a split.
type PhoneSplit struct {
	Name       string  `json:"split"`
	Utterances int     `json:"utterances"` // with an alignment
	Unaligned  int     `json:"unaligned"`  // utterances without one: left out
	Seconds    float64 `json:"seconds"`    // of the utterances with one
	Frames     int64   `json:"frames"`     // codes of them
	Outside    int64   `json:"outside"`    // frames that lie in no interval of the alignment: not counted
}

// PhoneUnits say what the codes of a model, or of k-means, tell of phones.
type PhoneUnits struct {
	Codes                  // of all frames of the scored utterances
	All        PhoneScores `json:"all"`    // silence and fillers are classes as others are
	Speech     PhoneScores `json:"speech"` // frames of silence and fillers left out, both in making the map and in scoring
	Phones     []PhoneRow  `json:"phones"` // of All, the most frequent first
	Clustering *Clustering `json:"clustering,omitempty"`

	// Counts are the frames that are scored, silence and fillers included; phones are indices in the alignment.Set.
	Counts *PhoneCounts `json:"-"`
}

// Clustering is how k-means came about.
type Clustering struct {
	Frames  int     `json:"frames"` // that were clustered
	Rounds  int     `json:"rounds"`
	Inertia float64 `json:"inertia"` // mean squared distance of a standardised frame from its centre
}

// PhoneRow is what becomes of a phone.
type PhoneRow struct {
	Phone      string      `json:"phone"`
	Frames     int64       `json:"frames"`
	Accuracy   float64     `json:"accuracy"`   // share of them that the map, made of other utterances, takes for this phone
	Codes      []CodeShare `json:"codes"`      // the most frequent ones
	Confusions []Confusion `json:"confusions"` // the phones that it is most often taken for
}

// CodeShare is a code, and in which share of a phone's frames it is.
type CodeShare struct {
	Code  int32   `json:"code"`
	Share float64 `json:"share"`
}

// Confusion is a phone, and which share of another one's frames is taken for it.
type Confusion struct {
	Phone string  `json:"phone"`
	Share float64 `json:"share"`
}

// mostListed is the number of codes and of confusions in a PhoneRow.
const mostListed = 5

// IsSilence says whether a label of an alignment stands for silence, noise or a filler rather than for a phone: one without text; SIL, SP,
// SPN, NSN, PAU, EPI, H#, _ or #, in either case; or one in +pluses+, <pointed> or [square] brackets.
func IsSilence(label string) bool {
	if n := len(label); n > 1 && slices.Contains([]string{"++", "<>", "[]"}, label[:1]+label[n-1:]) {
		return true
	}
	return slices.Contains([]string{"", "SIL", "SP", "SPN", "NSN", "PAU", "EPI", "H#", "_", "#"}, strings.ToUpper(label))
}

// Phones compares the codes of a model with the phones of alignments, on whole utterances of a corpus. A code has the phone in whose
// interval the middle of its span lies: code t of a model with a hop of h samples that of the time (t + 1/2) h / rate. Utterances
// without an alignment are left out, and so are codes in no interval.
//
// K-means, beside it, is of MFCC with their differences and the differences of those, 39 numbers every 10 ms, standardised; a code
// that is longer takes the mean of the frames whose middles lie in its span, a shorter one the value between the two frames next to
// its middle. It is fitted on the utterances that the map is made of.
//
// It returns an error if the corpus has been trimmed, since the times of alignments are those of whole recordings.
func Phones(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, set *alignment.Set, o PhoneOptions) (PhoneReport, error) {
	o.Split, o.Fit = cmp.Or(o.Split, corpora.Test), cmp.Or(o.Fit, corpora.Train)
	switch {
	case cache.Rate() != m.Config.Rate:
		return PhoneReport{}, fmt.Errorf("the corpus is at %d Hz, the model at %d Hz", cache.Rate(), m.Config.Rate)
	case cache.Trim() != 0:
		return PhoneReport{}, errors.New("silence was cut off the recordings of this corpus, and the times of alignments no longer fit: prepare it with --trim 0")
	case o.Split == o.Fit:
		return PhoneReport{}, fmt.Errorf("the map from codes to phones is to be made of other utterances than those of the split %q, which are scored", o.Split)
	}
	model, err := newCoder(m)
	if err != nil {
		return PhoneReport{}, err
	}
	p := &phoneMeasure{cache: cache, set: set, options: o, silence: make([]bool, len(set.Phones))}
	if err := p.choose(); err != nil {
		return PhoneReport{}, err
	}
	r := PhoneReport{SampleRate: cache.Rate(), Hop: model.hop(), Silence: []string{}}
	for i, label := range set.Phones {
		p.silence[i] = IsSilence(label)
		if o.Silence != nil {
			p.silence[i] = slices.Contains(o.Silence, label)
		}
		if p.silence[i] {
			r.Silence = append(r.Silence, label)
		}
	}
	if r.Model, err = p.measure(ctx, model, model.entries(), "encoding", &r); err != nil || o.Clusters == 0 {
		return r, err
	}
	mfcc, clustering, err := p.cluster(ctx, model.hop())
	if err != nil {
		return PhoneReport{}, err
	}
	k, err := p.measure(ctx, mfcc, o.Clusters, "assigning", &r)
	k.Clustering = clustering
	r.KMeans = &k
	return r, err
}

// phoneMeasure is the work of Phones.
type phoneMeasure struct {
	cache       *corpora.Cache
	set         *alignment.Set
	options     PhoneOptions
	silence     []bool // by phone
	fit, scored []aligned
	unaligned   [2]int // utterances of the two
}

// aligned is an utterance of the corpus with its alignment.
type aligned struct {
	utterance int
	alignment *alignment.Utterance
}

// choose finds the utterances of the two splits and their alignments.
func (p *phoneMeasure) choose() error {
	var paths []string
	for _, u := range p.cache.Utterances() {
		paths = append(paths, u.Path)
	}
	which, err := p.set.Match(paths)
	if err != nil {
		return err
	}
	for i, u := range p.cache.Utterances() {
		for k, split := range []string{p.options.Fit, p.options.Split} {
			switch {
			case u.Split != split:
			case which[i] < 0:
				p.unaligned[k]++
			case k == 0:
				p.fit = append(p.fit, aligned{i, &p.set.Utterances[which[i]]})
			default:
				p.scored = append(p.scored, aligned{i, &p.set.Utterances[which[i]]})
			}
		}
	}
	for k, of := range [][]aligned{p.fit, p.scored} {
		if len(of) == 0 {
			return fmt.Errorf("no utterance with an alignment in the split %q, %d without one%s", []string{p.options.Fit, p.options.Split}[k],
				p.unaligned[k], p.examples())
		}
	}
	return nil
}

// examples shows what was compared.
func (p *phoneMeasure) examples() string {
	if len(p.cache.Utterances()) == 0 || len(p.set.Utterances) == 0 {
		return ""
	}
	return fmt.Sprintf(": an utterance is called %s, an alignment %s", p.cache.Utterances()[0].Path, p.set.Utterances[0].Path)
}

// coding turns sound into codes, one for each hop that has begun. It may be used by several goroutines at once.
type coding interface {
	hop() int
	codes(samples []float32) []int32
}

// measure scores codes, k different ones. It fills in what r says of the splits.
func (p *phoneMeasure) measure(ctx context.Context, c coding, k int, what string, r *PhoneReport) (PhoneUnits, error) {
	progress := newCounter(len(p.fit)+len(p.scored), what, "utterances", p.options.Progress)
	fit, err := p.count(ctx, c, p.fit, progress)
	if err != nil {
		return PhoneUnits{}, err
	}
	scored, err := p.count(ctx, c, p.scored, progress)
	if err != nil {
		return PhoneUnits{}, err
	}
	r.Fit = fit.split(p.options.Fit, p.unaligned[0], p.cache.Rate())
	r.Split = scored.split(p.options.Split, p.unaligned[1], p.cache.Rate())
	src := rand.NewPCG(p.options.Seed, 3)
	silent := func(phone int32) bool { return p.silence[phone] }
	u := PhoneUnits{Codes: scored.describe(k, p.cache.Rate()), Counts: &scored.counts}
	u.All = ScorePhones(&fit.counts, &scored.counts, src)
	u.Speech = ScorePhones(fit.counts.without(silent), scored.counts.without(silent), src)
	u.Phones = p.rows(&fit.counts, &scored.counts)
	return u, nil
}

// counted is what was counted in utterances.
type counted struct {
	counts     PhoneCounts
	utterances int
	samples    int64
	outside    int64
	used       map[int32]int64 // of all codes
}

// count counts the codes of utterances.
func (p *phoneMeasure) count(ctx context.Context, c coding, of []aligned, progress *counter) (*counted, error) {
	sum := &counted{utterances: len(of), used: map[int32]int64{}}
	var mu sync.Mutex
	seconds := float64(c.hop()) / float64(p.cache.Rate())
	err := each(ctx, len(of), func(i int) error {
		codes := c.codes(p.sound(of[i]))
		mu.Lock()
		defer mu.Unlock()
		for t, z := range codes {
			sum.used[z]++
			if phone := of[i].alignment.At((float64(t) + 0.5) * seconds); phone >= 0 {
				sum.counts.Add(z, phone, 1)
			} else {
				sum.outside++
			}
		}
		sum.samples += p.cache.Utterances()[of[i].utterance].Samples
		progress.add()
		return nil
	})
	return sum, err
}

// sound returns the samples of an utterance.
func (p *phoneMeasure) sound(a aligned) []float32 {
	x := make([]float32, p.cache.Utterances()[a.utterance].Samples)
	p.cache.Read(x, a.utterance, 0)
	return x
}

func (c *counted) frames() (n int64) {
	for _, v := range c.used {
		n += v
	}
	return n
}

func (c *counted) split(name string, unaligned, rate int) PhoneSplit {
	return PhoneSplit{Name: name, Utterances: c.utterances, Unaligned: unaligned, Seconds: float64(c.samples) / float64(rate), Frames: c.frames(), Outside: c.outside}
}

// describe describes the codes, of k that there might be.
func (c *counted) describe(k, rate int) Codes {
	return DescribeCodes(c.used, k, float64(c.samples)/float64(rate))
}

// rows describes the phones that are scored, with a map made of other utterances.
func (p *phoneMeasure) rows(fit, scored *PhoneCounts) []PhoneRow {
	m := fit.fit()
	codes, taken := map[int32][]labelCount{}, map[int32]map[int32]int64{}
	for _, c := range scored.sorted() {
		codes[c.phone] = append(codes[c.phone], labelCount{c.code, c.n})
		if taken[c.phone] == nil {
			taken[c.phone] = map[int32]int64{}
		}
		taken[c.phone][m.of(c.code)] += c.n
	}
	var rows []PhoneRow
	for _, y := range byFrames(scored.totals(phoneOf)) {
		n := float64(y.n)
		row := PhoneRow{Phone: p.set.Phones[y.label], Frames: y.n, Accuracy: float64(taken[y.label][y.label]) / n, Confusions: []Confusion{}}
		for _, z := range first(byFrames(codes[y.label])) {
			row.Codes = append(row.Codes, CodeShare{z.label, float64(z.n) / n})
		}
		var others []labelCount
		for phone, k := range taken[y.label] {
			if phone != y.label {
				others = append(others, labelCount{phone, k})
			}
		}
		for _, o := range first(byFrames(others)) {
			row.Confusions = append(row.Confusions, Confusion{p.set.Phones[o.label], float64(o.n) / n})
		}
		rows = append(rows, row)
	}
	return rows
}

func first(list []labelCount) []labelCount { return list[:min(mostListed, len(list))] }

// mostClustered is the number of frames that k-means is fitted on at most: of more, every second one is taken, or every third...
const mostClustered = 1 << 18

// cluster fits k-means.
func (p *phoneMeasure) cluster(ctx context.Context, hop int) (coding, *Clustering, error) {
	c, err := newMFCC(p.cache.Rate(), hop)
	if err != nil {
		return nil, nil, err
	}
	starts, frames := make([]int, len(p.fit)), 0 // the number of an utterance's first frame
	for i, a := range p.fit {
		starts[i] = frames
		frames += int((p.cache.Utterances()[a.utterance].Samples + int64(hop) - 1) / int64(hop))
	}
	every := (frames + mostClustered - 1) / mostClustered
	rows := make([]float32, (frames+every-1)/every*mfccWidth)
	progress := newCounter(len(p.fit), "analysing", "utterances", p.options.Progress)
	if err := each(ctx, len(p.fit), func(i int) error {
		x := c.vectors(p.sound(p.fit[i]))
		for t := (every - starts[i]%every) % every; t*mfccWidth < len(x); t += every {
			copy(rows[(starts[i]+t)/every*mfccWidth:], x[t*mfccWidth:(t+1)*mfccWidth])
		}
		progress.add()
		return nil
	}); err != nil {
		return nil, nil, err
	}
	c.measure(rows)
	c.standardise(rows)
	if c.clusters, err = KMeans(ctx, rows, mfccWidth, p.options.Clusters, rand.NewPCG(p.options.Seed, 4), p.options.Progress); err != nil {
		return nil, nil, err
	}
	return c, &Clustering{len(rows) / mfccWidth, c.clusters.Rounds, c.clusters.Inertia}, nil
}

// mfccWidth is the number of coefficients with their differences and the differences of those.
const mfccWidth = 3 * 13

// mfcc turns sound into codes by k-means on MFCC.
type mfcc struct {
	config          spectrum.Config
	step            int // samples of a code
	mean, deviation [mfccWidth]float64
	clusters        *Clusters
}

func newMFCC(rate, hop int) (*mfcc, error) {
	c := &mfcc{config: spectrum.MFCC(rate), step: hop}
	_, err := spectrum.New(c.config)
	return c, err
}

func (c *mfcc) hop() int { return c.step }

func (c *mfcc) codes(samples []float32) []int32 {
	x := c.vectors(samples)
	c.standardise(x)
	codes := make([]int32, len(x)/mfccWidth)
	c.clusters.Assign(codes, x)
	return codes
}

// vectors returns the MFCC for each code that begins in samples, [codes, mfccWidth].
func (c *mfcc) vectors(samples []float32) []float32 {
	analyser, err := spectrum.New(c.config)
	if err != nil {
		panic(err) // newMFCC has tried it
	}
	frames := spectrum.WithDeltas(nil, analyser.MFCC(nil, widen(samples)), c.config.Cepstra, 2)
	n, hop := len(frames)/mfccWidth, c.config.Hop
	x := make([]float32, (len(samples)+c.step-1)/c.step*mfccWidth)
	for t := range len(x) / mfccWidth {
		to := x[t*mfccWidth:][:mfccWidth]
		if c.step < hop {
			// The middle of the code, counted in frames from the middle of the first one.
			at := min(max(((float64(t)+0.5)*float64(c.step))/float64(hop)-0.5, 0), float64(n-1))
			i := min(int(at), n-1)
			a, b, w := frames[i*mfccWidth:], frames[min(i+1, n-1)*mfccWidth:], float32(at-float64(i))
			for j := range to {
				to[j] = a[j] + w*(b[j]-a[j])
			}
			continue
		}
		// Frame i has its middle at (i + 1/2) hop.
		from := func(sample int) int { return (2*sample + hop - 1) / (2 * hop) } // the first whose middle is not before sample
		i := min(from(t*c.step), n-1)
		end := min(max(from((t+1)*c.step), i+1), n)
		for f := i; f < end; f++ {
			for j := range to {
				to[j] += frames[f*mfccWidth+j] / float32(end-i)
			}
		}
	}
	return x
}

// measure measures mean and standard deviation of rows.
func (c *mfcc) measure(rows []float32) {
	n := float64(len(rows) / mfccWidth)
	for j := range mfccWidth {
		sum, squares := 0.0, 0.0
		for i := j; i < len(rows); i += mfccWidth {
			sum += float64(rows[i])
		}
		c.mean[j] = sum / n
		for i := j; i < len(rows); i += mfccWidth {
			d := float64(rows[i]) - c.mean[j]
			squares += d * d
		}
		if c.deviation[j] = math.Sqrt(squares / n); c.deviation[j] == 0 {
			c.deviation[j] = 1
		}
	}
}

// standardise takes the mean off rows and divides them by the deviation.
func (c *mfcc) standardise(rows []float32) {
	for i := range rows {
		rows[i] = float32((float64(rows[i]) - c.mean[i%mfccWidth]) / c.deviation[i%mfccWidth])
	}
}
