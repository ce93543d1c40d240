package corpora

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vqaudio/vqaudio/audio"
	"github.com/vqaudio/vqaudio/files"
)

// CacheSettings say what [Prepare] makes of the recordings.
type CacheSettings struct {
	Rate    int     `json:"rate"`    // Hz, at least 1
	Channel int     `json:"channel"` // that is taken, from 1; 0 takes the mean of all
	Trim    float64 `json:"trim"`    // dB below the loud parts at which sound is silence, cut off at both ends; 0 cuts nothing
	Level   Level   `json:"level"`   // what is brought to Target
	Target  float64 `json:"target"`  // RMS in dBFS, at most 0
}

// Level says what has one level.
type Level string

// With LevelSpeaker all utterances of a speaker get the same gain, so that the soft ones stay softer than the loud ones;
// with LevelFile each gets its own. With LevelNone they stay as they are, except what goes beyond full scale: float
// recordings can.
const (
	LevelSpeaker Level = "speaker"
	LevelFile    Level = "file"
	LevelNone    Level = "none"
)

// DefaultSettings are the usual ones: 16 kHz, all channels mixed, silence cut off, each speaker at -26 dBFS, the nominal
// level of speech in telephony (ITU-T P.56, G.191).
func DefaultSettings() CacheSettings {
	return CacheSettings{Rate: 16000, Trim: audio.TrimBelow, Level: LevelSpeaker, Target: -26}
}

// Check returns what is wrong with the settings.
func (s CacheSettings) Check() error {
	switch {
	case s.Rate < 1 || s.Rate > 1_000_000:
		return fmt.Errorf("rate %d: want 1 to a million Hz", s.Rate)
	case s.Channel < 0 || s.Channel > 1<<16:
		return fmt.Errorf("channel %d: want 1 or more, or 0 for the mean of all", s.Channel)
	case !(s.Trim >= 0 && s.Trim <= 200):
		return fmt.Errorf("trim %v: want 0 to 200 dB", s.Trim)
	case s.Level != LevelSpeaker && s.Level != LevelFile && s.Level != LevelNone:
		return fmt.Errorf("level %q: want %q, %q or %q", s.Level, LevelSpeaker, LevelFile, LevelNone)
	case !(s.Target >= -200 && s.Target <= 0):
		return fmt.Errorf("target %v: want -200 to 0 dBFS", s.Target)
	}
	return nil
}

// PrepareOptions say how Prepare goes about it; the cache does not depend on them.
type PrepareOptions struct {
	Threads  int                                // 0: GOMAXPROCS
	Started  func(done, all int)                // called once: an interrupted run has left done of all utterances; may be nil
	Finished func(utterance int, skipped error) // called for each of the others, in the order of the manifest; may be nil
}

// PrepareReport says what has been made.
type PrepareReport struct {
	Utterances int // in the cache
	Skipped    int // not in it: see skipped.tsv
	Speakers   int
	Samples    int64
	Quieter    int  // speakers (or files) that stay below the target, as their peaks would clip
	Already    bool // the cache was there, whole: nothing was done
}

// ErrBusy is the error of [Prepare] for a folder that another program is just preparing.
var ErrBusy = errors.New("another program is preparing this cache")

// SettingsError is the error of [Prepare] for a folder that holds another cache, or part of one.
type SettingsError struct {
	Dir         string
	Whole       bool     // it is complete
	Differences []string // "rate 16000, now 22050"
}

func (e *SettingsError) Error() string {
	what := "part of another cache"
	if e.Whole {
		what = "another cache"
	}
	return fmt.Sprintf("%s holds %s: %s; give another folder, or delete this one", e.Dir, what, strings.Join(e.Differences, "; "))
}

// Prepare makes a [Cache] of what the manifest lists in the folder dir, which is made if it is not there.
//
// Each recording is decoded, mixed down, resampled, and trimmed: silence at both ends is cut off but for
// [audio.TrimMargin]. Samples are stored in 16 bits: exactly, if that is what they are; otherwise scaled so that the loudest
// just fits. Level and DC (the mean of the utterance) are set right by a gain and an offset in the index; the gain is
// limited so that no sample clips. A truncated recording is taken as far as it goes. What cannot be read, or holds no
// sound, is skipped and listed in skipped.tsv.
//
// A run that was interrupted, by ctx, a signal or power, goes on where it stopped when Prepare is called again with the
// same manifest and settings, and the result is the same, byte for byte; nor does it depend on the number of threads. If
// the cache is complete, it is checked. With other settings, or another manifest, the error is a [*SettingsError]; while
// another program is at it, [ErrBusy].
//
// Memory is constant: a few megabytes for each thread, whatever the length of the recordings; longer ones go through
// temporary files in dir, 4 bytes for a sample.
func Prepare(ctx context.Context, m *Manifest, dir string, settings CacheSettings, o PrepareOptions) (*PrepareReport, error) {
	if err := settings.Check(); err != nil {
		return nil, err
	}
	m, sum, err := normalForm(m)
	if err != nil {
		return nil, err
	}
	run := journalHeader{Version: cacheVersion, Settings: settings, Manifest: sum}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	defer unlock()

	h, err := readHeader(dir)
	var missing *notPreparedError
	switch {
	case err == nil:
		if d := (journalHeader{h.Version, h.Settings, h.Manifest}).differences(run); len(d) > 0 {
			return nil, &SettingsError{Dir: dir, Whole: true, Differences: d}
		}
		return alreadyPrepared(dir, h)
	case !errors.As(err, &missing):
		return nil, err
	}
	if err := tidyFolder(dir); err != nil {
		return nil, err
	}
	j, err := openJournal(dir, run, len(m.Utterances))
	if err != nil {
		return nil, err
	}
	defer j.close()
	if o.Started != nil {
		o.Started(len(j.records), len(m.Utterances))
	}
	p := &preparation{manifest: m, dir: dir, settings: settings, journal: j}
	err = p.run(ctx, o)
	if e := j.checkpoint(); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return p.finish(run)
}

// normalForm returns m as it comes from a file, without the columns of an index (which is a manifest, too), and the
// checksum of that.
func normalForm(m *Manifest) (*Manifest, string, error) {
	clean := &Manifest{Utterances: slices.Clone(m.Utterances)}
	for i := range clean.Utterances {
		clean.Utterances[i].Extra = nil
	}
	for column, name := range m.Extra {
		if slices.Contains(indexColumns, name) {
			continue
		}
		clean.Extra = append(clean.Extra, name)
		for i, u := range m.Utterances {
			field := ""
			if column < len(u.Extra) {
				field = u.Extra[column]
			}
			clean.Utterances[i].Extra = append(clean.Utterances[i].Extra, field)
		}
	}
	var table bytes.Buffer
	w := bufio.NewWriter(&table)
	err := clean.format(w, func(path string) string { return path })
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return nil, "", fmt.Errorf("manifest: %w", err)
	}
	sum := formatCRC(crc32.Checksum(table.Bytes(), castagnoli))
	clean, err = parseManifest(&table, "manifest")
	if err != nil {
		return nil, "", err
	}
	clean.Dir = m.Dir
	return clean, sum, nil
}

// alreadyPrepared checks the cache in dir.
func alreadyPrepared(dir string, h *cacheHeader) (*PrepareReport, error) {
	c, err := OpenCache(dir)
	if err != nil {
		return nil, err
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	// Interrupted when only this was left.
	if err := removeJournal(dir); err != nil {
		return nil, err
	}
	return &PrepareReport{Utterances: h.Utterances, Skipped: h.Skipped, Speakers: h.Speakers, Samples: h.Samples, Already: true}, nil
}

// lockName is a file that locks the folder where a folder cannot be locked itself.
const lockName = "lock"

// tidyFolder removes what a run that was killed has left in dir and nobody needs. In a folder with anything that is not
// part of a cache, it touches nothing, and returns an error.
func tidyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var left []string
	for _, e := range entries {
		name := e.Name()
		of := func(pattern string) bool { ok, _ := filepath.Match(pattern, name); return ok }
		switch {
		case !e.Type().IsRegular():
			return fmt.Errorf("%s holds %s, which is no file of a cache: give a folder of its own", dir, name)
		case name == journalName || name == samplesName || name == lockName:
		case of("spool-*.tmp") || of("."+indexName+"*.tmp") || of("."+skippedName+"*.tmp") || of("."+headerName+"*.tmp"):
			left = append(left, name)
		case name == indexName || name == skippedName: // to be written again
		default:
			return fmt.Errorf("%s holds %s, which is not part of a cache: give a folder of its own", dir, name)
		}
	}
	for _, name := range left {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// preparation is a run of Prepare.
type preparation struct {
	manifest *Manifest
	dir      string
	settings CacheSettings
	journal  *journal
}

// decoded is an utterance that a worker has finished, with its samples in spool.
type decoded struct {
	utterance int
	record    preparedUtterance
	reason    error // for skipping it
	spool     *spool
	err       error // ends the run
}

// run decodes on all threads, and appends to the journal in the order of the manifest. A worker takes a free spool, then
// the next utterance; so the utterance that is to be appended next always has one, and no worker waits for another as
// long as there are spools.
func (p *preparation) run(ctx context.Context, o PrepareOptions) error {
	threads := o.Threads
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	spools := make([]spool, 4*threads)
	free, done := make(chan *spool, len(spools)), make(chan decoded, len(spools)) // sending never waits
	for i := range spools {
		spools[i].name = filepath.Join(p.dir, fmt.Sprintf("spool-%d.tmp", i))
		free <- &spools[i]
	}
	var workers sync.WaitGroup
	defer func() {
		cancel()
		workers.Wait()
		for i := range spools {
			spools[i].remove()
		}
	}()

	all := len(p.manifest.Utterances)
	first := len(p.journal.records)
	var taken atomic.Int64
	taken.Store(int64(first))
	for range min(threads, all-first) {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case s := <-free:
					i := int(taken.Add(1) - 1)
					if i >= all {
						return
					}
					done <- p.decode(ctx, i, s)
				}
			}
		})
	}
	waiting := map[int]decoded{}
	for next := first; next < all; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d := <-done:
			if d.err != nil {
				return d.err
			}
			waiting[d.utterance] = d
		}
		for d, ok := waiting[next]; ok; d, ok = waiting[next] {
			delete(waiting, next)
			if err := p.journal.add(d.record, d.spool); err != nil {
				return err
			}
			free <- d.spool
			if o.Finished != nil {
				o.Finished(next, d.reason)
			}
			next++
		}
	}
	return nil
}

// decode takes utterance i through s.
func (p *preparation) decode(ctx context.Context, i int, s *spool) decoded {
	d := decoded{utterance: i, spool: s}
	d.record.waveMeasure, d.reason = p.measure(ctx, p.manifest.File(i), s)
	var fault *spoolError
	switch {
	case d.reason == nil:
	case ctx.Err() != nil:
		d.err = ctx.Err()
	case errors.As(d.reason, &fault):
		d.err = fault
	default:
		// The list is to be the same wherever the corpus is.
		text := strings.ReplaceAll(d.reason.Error(), p.manifest.File(i), p.manifest.Utterances[i].Path)
		d.record = preparedUtterance{skipped: cleanField(text)}
	}
	return d
}

// quietest is the peak, without DC, below which an utterance is silence: -120 dBFS, a 30th of the smallest step of 16 bits.
const quietest = 1e-6

// measure decodes the recording name into s, and leaves in it the samples that go into the cache.
func (p *preparation) measure(ctx context.Context, name string, s *spool) (waveMeasure, error) {
	none := waveMeasure{}
	if err := files.Regular(name); err != nil {
		return none, err
	}
	r, err := audio.Open(name)
	if err != nil {
		return none, err
	}
	defer r.Close()
	src := audio.Mono(r)
	if p.settings.Channel > 0 {
		if src, err = audio.Channel(r, p.settings.Channel-1); err != nil {
			return none, err
		}
	}
	if src, err = audio.Resample(src, p.settings.Rate); err != nil {
		return none, err
	}
	s.reset()
	activity := audio.NewActivity(p.settings.Rate)
	err = audio.Copy(src, func(block []float64) error {
		if p.settings.Trim > 0 {
			activity.Add(block)
		}
		if err := s.add(block); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err != nil {
		return none, err
	}
	start, end := int64(0), s.len()
	if p.settings.Trim > 0 {
		start, end = activity.Bounds(p.settings.Trim, audio.TrimMargin)
	}
	switch {
	case s.len() == 0:
		return none, errors.New("no samples")
	case start >= end || s.peak < quietest:
		return none, errors.New("nothing but silence")
	}
	m, err := s.quantise(start, end)
	if err == nil && m.peak() < quietest {
		err = errors.New("nothing but silence")
	}
	return m, err
}

// finish writes what is left when all utterances are in the journal: index, list of the skipped, and, last, cache.json.
func (p *preparation) finish(run journalHeader) (*PrepareReport, error) {
	index := &Manifest{Dir: p.dir, Extra: slices.Concat(p.manifest.Extra, indexColumns)} // in Dir paths stay as they are
	var skipped strings.Builder
	skipped.WriteString("path\treason\n")
	cached, quieter := p.levels()
	speakers := map[string]bool{}
	for i, r := range p.journal.records {
		u := p.manifest.Utterances[i]
		if r.skipped != "" {
			fmt.Fprintf(&skipped, "%s\t%s\n", u.Path, r.skipped)
			continue
		}
		speakers[u.Speaker] = true
		c := cached[i]
		float := func(x float32) string { return strconv.FormatFloat(float64(x), 'g', -1, 32) }
		u.Extra = append(slices.Clip(u.Extra), strconv.FormatInt(c.First, 10), strconv.FormatInt(c.Samples, 10),
			float(c.Gain), float(c.Offset), formatCRC(c.CRC32C))
		index.Utterances = append(index.Utterances, u)
	}
	report := &PrepareReport{
		Utterances: len(index.Utterances), Skipped: len(p.journal.records) - len(index.Utterances),
		Speakers: len(speakers), Samples: p.journal.end / 2, Quieter: quieter,
	}
	if err := index.Write(filepath.Join(p.dir, indexName)); err != nil {
		return nil, err
	}
	if err := files.Write(filepath.Join(p.dir, skippedName), []byte(skipped.String())); err != nil {
		return nil, err
	}
	h := cacheHeader{
		Format: cacheFormat, Version: cacheVersion, Settings: p.settings, Manifest: run.Manifest,
		Utterances: report.Utterances, Skipped: report.Skipped, Speakers: report.Speakers, Samples: report.Samples,
		SkipList: formatCRC(crc32.Checksum([]byte(skipped.String()), castagnoli)),
	}
	var err error
	if h.Index, err = fileChecksum(filepath.Join(p.dir, indexName)); err != nil {
		return nil, err
	}
	if err := files.Write(filepath.Join(p.dir, headerName), h.encode()); err != nil {
		return nil, err
	}
	p.journal.close()
	return report, removeJournal(p.dir)
}

// levels returns the place, gain and offset of every utterance that is not skipped, and how many speakers or files stay
// below the target.
func (p *preparation) levels() (cached []CachedUtterance, quieter int) {
	type loudness struct {
		samples      int64
		energy, peak float64
	}
	of := map[string]*loudness{} // by speaker, or by path
	key := func(i int) string {
		if p.settings.Level == LevelSpeaker {
			return p.manifest.Utterances[i].Speaker
		}
		return p.manifest.Utterances[i].Path
	}
	for i := range p.journal.records {
		r := &p.journal.records[i]
		if r.skipped != "" {
			continue
		}
		l := of[key(i)]
		if l == nil {
			l = &loudness{}
			of[key(i)] = l
		}
		l.samples += r.samples
		l.energy += r.energy()
		l.peak = max(l.peak, r.peak())
	}
	gain := func(l *loudness) float64 {
		if p.settings.Level == LevelNone {
			return min(1, audio.FullScale/l.peak)
		}
		return audio.Gain(math.Sqrt(l.energy/float64(l.samples)), l.peak, p.settings.Target)
	}
	for _, l := range of {
		reached := gain(l) * math.Sqrt(l.energy/float64(l.samples))
		if p.settings.Level != LevelNone && audio.DBFS(reached) < p.settings.Target-0.01 {
			quieter++
		}
	}
	cached = make([]CachedUtterance, len(p.journal.records))
	first := int64(0)
	for i := range p.journal.records {
		r := &p.journal.records[i]
		if r.skipped != "" {
			continue
		}
		g := r.unit * gain(of[key(i)])
		cached[i] = CachedUtterance{First: first, Samples: r.samples, Gain: float32(g), Offset: float32(-r.mean() * g), CRC32C: r.crc32c}
		first += r.samples
	}
	return cached, quieter
}

// fileChecksum returns the checksum of a file.
func fileChecksum(name string) (string, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return formatCRC(sum.Sum32()), nil
}
