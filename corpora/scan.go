package corpora

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// Options of a scan. The zero value detects the layout and takes the defaults.
type Options struct {
	Layout     string // one of Layouts; "" detects it
	Microphone int    // of VCTK 0.92: 1 or 2; 0 is 1

	// Pattern says what the paths in plain folders mean: as many last elements of a path as it has itself are compared with
	// it. "{speaker}" is the speaker; also {text}, {split} (train, valid, dev, val, validation, test), {gender}, {age} and
	// {lang}; "*" is anything. Both take as little as they can, and never a slash.
	//
	//	{text}_{speaker}_*.wav      6_jackson_23.wav
	//	{split}/{speaker}/*/*.*     train/1272/128104/0001.flac
	//
	// What does not fit is reported and left out. "" takes the name of the folder for the speaker.
	Pattern string

	MinSeconds float64               // what is shorter is reported as Short; 0 is 0.1
	Progress   func(done, total int) // called after every recording, by one goroutine at a time; may be nil
}

// Kind is a kind of problem.
type Kind string

// The problems of a corpus. What is left out of the manifest is an Error; what is in it, but probably wrong, a Warning.
const (
	Unreadable  Kind = "unreadable"   // Error: the recording, or a folder, cannot be read, or not to its end
	Missing     Kind = "missing"      // Error: listed, but not there
	Empty       Kind = "empty"        // Error: a recording without samples
	BadName     Kind = "bad name"     // Error: a path that cannot be in a manifest, or does not fit the layout or the pattern
	BadLine     Kind = "bad line"     // Error: a line of a table of the corpus that cannot be understood
	OtherFormat Kind = "other format" // Error: a recording in a format that is not read, going by its name

	Truncated Kind = "truncated"    // Warning: cut off; what is there is taken
	Clipped   Kind = "clipped"      // Warning: samples cut off at full scale; see audio.Meter
	TooLoud   Kind = "too loud"     // Warning: floating-point samples beyond full scale
	Silent    Kind = "silent"       // Warning: no sample reaches -60 dBFS
	Duplicate Kind = "duplicate"    // Warning: the same samples as an earlier recording, which is not silent
	Short     Kind = "short"        // Warning: shorter than Options.MinSeconds
	Differs   Kind = "differs"      // Warning: not as many samples as the manifest had said
	Twice     Kind = "listed twice" // Warning: the same path again; the first line is taken

	Odd             Kind = "odd"              // Note: the file has faults that do no harm
	NoText          Kind = "no text"          // Note: the corpus has texts, but none for this
	OtherMicrophone Kind = "other microphone" // Note: not there from the microphone asked for; left out
	Unlisted        Kind = "not listed"       // Note: a recording that the table of the corpus has not; left out
	Link            Kind = "link"             // Note: a link to a folder, which is not followed
)

var kinds = []Kind{
	Unreadable, Missing, Empty, BadName, BadLine, OtherFormat,
	Truncated, Clipped, TooLoud, Silent, Duplicate, Short, Differs, Twice,
	Odd, NoText, OtherMicrophone, Unlisted, Link,
}

// Severity says how bad a problem is.
type Severity string

// The severities of problems.
const (
	Error   Severity = "error"   // the recording is left out
	Warning Severity = "warning" // it is in the manifest, but look at it
	Note    Severity = "note"    // good to know
)

// Severity returns the severity that problems of this kind have.
func (k Kind) Severity() Severity {
	switch i := slices.Index(kinds, k); {
	case i < slices.Index(kinds, Truncated):
		return Error
	case i < slices.Index(kinds, Odd):
		return Warning
	}
	return Note
}

// Problem is something wrong with a recording, or with a table or a folder of the corpus.
type Problem struct {
	Path     string   `json:"path"` // as Utterance.Path
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Detail   string   `json:"detail"`
}

// Report is what a scan has found. Its numbers are of the utterances in the manifest, except LeftOut.
type Report struct {
	Source     string  `json:"source"` // as Scan was given it
	Layout     string  `json:"layout"`
	LeftOut    int     `json:"left_out"` // recordings, one for each problem that is an Error
	Utterances int     `json:"utterances"`
	Seconds    float64 `json:"seconds"`

	Splits    []Part    `json:"splits"`
	Rates     []Part    `json:"rates"`     // in Hz
	Channels  []Part    `json:"channels"`  // their number
	Encodings []Part    `json:"encodings"` // as audio.Info has them
	RMS       *Levels   `json:"rms_dbfs"`  // of utterances; digital silence is left aside; nil if there is nothing else
	Peak      *Levels   `json:"peak_dbfs"`
	Speakers  []Speaker `json:"speakers"` // in order of their names
	Problems  []Problem `json:"problems"` // in order of severity, kind and path

	Manifest *Manifest `json:"-"`
}

// Part is how much of a corpus has something in common.
type Part struct {
	Value      string  `json:"value"`
	Utterances int     `json:"utterances"`
	Seconds    float64 `json:"seconds"`
}

// Levels is a distribution in dBFS: the least and largest, and those that 5, 50 and 95 of 100 do not exceed.
type Levels struct {
	Min    float64 `json:"min"`
	P5     float64 `json:"p5"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	Max    float64 `json:"max"`
}

// Speaker is what there is of a speaker. Levels are over all samples; without sound they are nil.
type Speaker struct {
	Name       string   `json:"speaker"`
	Gender     string   `json:"gender,omitempty"`
	Utterances int      `json:"utterances"`
	Seconds    float64  `json:"seconds"`
	RMS        *float64 `json:"rms_dbfs"`
	Peak       *float64 `json:"peak_dbfs"`
}

// silentPeak is -60 dBFS: the noise of the quietest studio at the usual gain comes near it.
const silentPeak = 0.001

// recording is what the samples of a file say.
type recording struct {
	info  audio.Info
	level audio.Meter
	hash  uint64 // of the samples
	err   error
}

// Scan lists the corpus in source, a folder or a manifest, decodes all of its recordings on all cores, and reports what it
// is and what is wrong with it. The manifest of the report lists what can be used, with lengths, rates and splits; nothing
// is written. What the corpus or manifest says stands, except lengths, which are those found.
//
// An error means that there is no report: ctx is cancelled, or the layout is not known ([LayoutError]), or the list of a
// corpus cannot be read. The report does not depend on the number of cores.
func Scan(ctx context.Context, source string, o Options) (*Report, error) {
	l, layout, err := list(source, o)
	if err != nil {
		return nil, err
	}
	m := l.manifest
	recordings := make([]recording, len(m.Utterances))
	var done int
	var lock sync.Mutex
	seed := maphash.MakeSeed()
	parallel.For(len(recordings), func(i int) {
		if ctx.Err() != nil {
			return
		}
		recordings[i].measure(ctx, m.File(i), seed)
		if o.Progress != nil {
			lock.Lock()
			defer lock.Unlock()
			done++
			o.Progress(done, len(recordings))
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Report{Source: source, Layout: layout}
	r.judge(l, recordings)
	return r, nil
}

// scratch is what measuring a recording needs and can be used again.
type scratch struct {
	block [4096]float64 // several frames of the widest recordings there are
	bytes [8 * 4096]byte
	hash  maphash.Hash
}

var scratches parallel.Pool[scratch]

// measure decodes a file.
func (r *recording) measure(ctx context.Context, name string, seed maphash.Seed) {
	r.err = func() error {
		if err := files.Regular(name); err != nil {
			return err
		}
		src, err := audio.Open(name)
		if err != nil {
			return err
		}
		defer src.Close()
		s := scratches.Get()
		defer scratches.Put(s)
		s.hash.SetSeed(seed)
		r.level.Channels = src.Format().NumChannels
		for {
			n, err := src.Read(s.block[:])
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			r.level.Add(s.block[:n])
			for i, x := range s.block[:n] {
				binary.LittleEndian.PutUint64(s.bytes[8*i:], math.Float64bits(x))
			}
			s.hash.Write(s.bytes[:8*n])
		}
		r.info = src.Info()
		r.info.Chunks = nil // one record a recording is kept, which is to be small
		r.hash = s.hash.Sum64()
		return nil
	}()
}

func (r *recording) frames() int64 { return r.level.Samples() / int64(r.info.Channels) }

func (r *recording) seconds() float64 { return float64(r.frames()) / float64(r.info.Rate) }

// judge fills the report from what was listed and measured.
func (r *Report) judge(l *listing, recordings []recording) {
	type sound struct {
		hash     uint64
		samples  int64
		channels int
	}
	first := map[sound]string{} // path of the first recording of a sound
	m := *l.manifest
	m.Utterances = nil
	t := newTally()
	minSeconds := l.options.MinSeconds
	if minSeconds == 0 {
		minSeconds = 0.1
	}
	for i := range recordings {
		u, rec := l.manifest.Utterances[i], &recordings[i]
		report := func(kind Kind, format string, args ...any) { l.report(kind, u.Path, fmt.Sprintf(format, args...)) }
		switch {
		case errors.Is(rec.err, fs.ErrNotExist):
			report(Missing, "no such file")
			continue
		case rec.err != nil:
			report(Unreadable, "%s", strings.TrimPrefix(errorText(rec.err), l.manifest.File(i)+": "))
			continue
		case rec.frames() == 0:
			report(Empty, "no samples")
			continue
		}
		if u.Frames >= 0 && u.Frames != rec.frames() {
			report(Differs, "%d samples a channel, the manifest says %d", rec.frames(), u.Frames)
		}
		if rec.info.Truncated {
			report(Truncated, "%.3f s are there: %s", rec.seconds(), strings.Join(rec.info.Oddities, ", "))
		} else if len(rec.info.Oddities) > 0 {
			report(Odd, "%s", strings.Join(rec.info.Oddities, ", "))
		}
		if rec.seconds() < minSeconds {
			report(Short, "%.3f s", rec.seconds())
		}
		if rec.level.Peak() < silentPeak {
			report(Silent, "%s", describePeak(rec.level.Peak()))
		} else {
			key := sound{rec.hash, rec.level.Samples(), rec.info.Channels}
			if before, ok := first[key]; ok {
				report(Duplicate, "same samples as %s", before)
			} else {
				first[key] = u.Path
			}
		}
		if rec.level.Peak() > 1 {
			report(TooLoud, "%s", describePeak(rec.level.Peak()))
		} else if n := rec.level.Clipped(); n > 0 {
			report(Clipped, "%s at full scale", plural(int(n), "sample"))
		}
		u.Frames, u.Seconds = rec.frames(), rec.seconds()
		if u.SourceRate < 0 {
			u.SourceRate = rec.info.Rate
		}
		m.Utterances = append(m.Utterances, u)
		t.add(&u, rec)
	}
	r.Manifest = &m
	r.Problems = append([]Problem{}, l.problems...)
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Path, b.Path))
	})
	for _, p := range r.Problems {
		if p.Severity == Error {
			r.LeftOut++
		}
	}
	t.fill(r)
}

func describePeak(peak float64) string {
	if peak == 0 {
		return "all samples are zero"
	}
	return fmt.Sprintf("peak %.1f dBFS", audio.DBFS(peak))
}

// tally sums up utterances.
type tally struct {
	all                                Part
	splits, rates, channels, encodings map[string]*Part
	rms, peak                          []float64
	speakers                           map[string]*speakerTally
}

type speakerTally struct {
	part   Part
	gender string
	level  audio.Meter
}

func newTally() *tally {
	return &tally{
		splits: map[string]*Part{}, rates: map[string]*Part{}, channels: map[string]*Part{}, encodings: map[string]*Part{},
		speakers: map[string]*speakerTally{},
	}
}

func (t *tally) add(u *Utterance, rec *recording) {
	seconds := rec.seconds()
	t.all.add(seconds)
	for _, p := range []struct {
		parts map[string]*Part
		value string
	}{
		{t.splits, u.Split}, {t.rates, strconv.Itoa(rec.info.Rate)}, {t.channels, strconv.Itoa(rec.info.Channels)},
		{t.encodings, rec.info.Encoding},
	} {
		if p.parts[p.value] == nil {
			p.parts[p.value] = &Part{Value: p.value}
		}
		p.parts[p.value].add(seconds)
	}
	s := t.speakers[u.Speaker]
	if s == nil {
		s = &speakerTally{part: Part{Value: u.Speaker}, gender: u.Gender}
		t.speakers[u.Speaker] = s
	}
	s.part.add(seconds)
	s.level.Merge(&rec.level)
	if rms := rec.level.RMS(); rms > 0 { // even a peak above 0 may have squares that vanish
		t.rms = append(t.rms, audio.DBFS(rms))
		t.peak = append(t.peak, audio.DBFS(rec.level.Peak()))
	}
}

func (p *Part) add(seconds float64) {
	p.Utterances++
	p.Seconds += seconds
}

func (t *tally) fill(r *Report) {
	r.Utterances, r.Seconds = t.all.Utterances, t.all.Seconds
	r.Splits, r.Rates, r.Channels, r.Encodings = parts(t.splits), parts(t.rates), parts(t.channels), parts(t.encodings)
	order := []string{Train, Valid, Test}
	slices.SortFunc(r.Splits, func(a, b Part) int {
		return slices.Index(order, a.Value) - slices.Index(order, b.Value)
	})
	r.RMS, r.Peak = levels(t.rms), levels(t.peak)
	r.Speakers = []Speaker{}
	for _, name := range slices.Sorted(maps.Keys(t.speakers)) {
		s := t.speakers[name]
		speaker := Speaker{Name: name, Gender: s.gender, Utterances: s.part.Utterances, Seconds: s.part.Seconds}
		if s.level.RMS() > 0 {
			rms, peak := audio.DBFS(s.level.RMS()), audio.DBFS(s.level.Peak())
			speaker.RMS, speaker.Peak = &rms, &peak
		}
		r.Speakers = append(r.Speakers, speaker)
	}
}

// parts returns the parts in order of their values, numbers by size.
func parts(of map[string]*Part) []Part {
	sorted := []Part{}
	for _, p := range of {
		sorted = append(sorted, *p)
	}
	slices.SortFunc(sorted, func(a, b Part) int {
		return cmp.Or(cmp.Compare(len(a.Value), len(b.Value)), cmp.Compare(a.Value, b.Value))
	})
	return sorted
}

// levels returns the distribution of x, which it sorts.
func levels(x []float64) *Levels {
	if len(x) == 0 {
		return nil
	}
	slices.Sort(x)
	at := func(percent int) float64 { return x[(len(x)-1)*percent/100] }
	return &Levels{Min: at(0), P5: at(5), Median: at(50), P95: at(95), Max: at(100)}
}
