package corpora

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unsafe"

	"github.com/edsrzf/mmap-go"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// Cache is a corpus as training needs it: every utterance decoded, at one rate, one channel, ready to be cut into segments.
//
// On disk it is a folder, made by [Prepare]:
//
//	samples.s16      all utterances one after the other, 16-bit little-endian samples
//	utterances.tsv   a manifest with five more columns: first, samples, gain, offset, crc32c
//	skipped.tsv      what could not be read, and why: path, reason
//	cache.json       version, settings, totals and checksums; written last, so that without it the cache is half-written
//
// A sample s of an utterance stands for s*gain + offset, from -1 to 1: normalising the level and removing DC have cost
// nothing and lost nothing. Paths are those of the manifest that the cache was made from.
//
// [OpenCache] maps samples.s16 into memory: the system keeps as much of it there as it has room for. Besides, an utterance
// takes some hundred bytes and its text. Whoever cuts the file short while it is mapped ends the program (SIGBUS on Unix).
//
// A Cache may be used by several goroutines at once, until it is closed.
type Cache struct {
	rate       int
	utterances []CachedUtterance
	speakers   []string
	samples    []int16
	id         string // checksum of cache.json; of a cache in memory ""
	level      float64
	trim       float64

	file    *os.File  // samples.s16, nil if that is empty
	mapping mmap.MMap // of file
}

// CachedUtterance is an utterance of a [Cache].
type CachedUtterance struct {
	Utterance
	SpeakerID int32   // index in Cache.Speakers
	First     int64   // its first sample is that many after the first of the cache
	Samples   int64   // its length, at least 1
	Gain      float32 // a sample s stands for s*Gain + Offset
	Offset    float32
	CRC32C    uint32 // of its samples as bytes; of a cache in memory 0
}

// The files of a cache, and the journal of one that is being made.
const (
	samplesName = "samples.s16"
	indexName   = "utterances.tsv"
	skippedName = "skipped.tsv"
	headerName  = "cache.json"
	journalName = "journal"
)

const (
	cacheFormat  = "vqaudio cache"
	cacheVersion = 1

	maxHeader           = 1 << 20 // bytes of cache.json
	maxUtteranceSamples = 1 << 32 // 74 hours at 16 kHz; sums of squares stay below 2^62
)

// cacheHeader is cache.json.
type cacheHeader struct {
	Format     string        `json:"format"`
	Version    int           `json:"version"`
	Settings   CacheSettings `json:"settings"`
	Manifest   string        `json:"manifest"` // checksum of what it lists
	Utterances int           `json:"utterances"`
	Skipped    int           `json:"skipped"`
	Speakers   int           `json:"speakers"`
	Samples    int64         `json:"samples"`
	Index      string        `json:"utterances.tsv"` // checksums
	SkipList   string        `json:"skipped.tsv"`
	CRC32C     string        `json:"crc32c"` // of this file with "" here
}

// indexColumns are the columns that the index adds to a manifest.
var indexColumns = []string{"first", "samples", "gain", "offset", "crc32c"}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func formatCRC(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// encode returns the bytes of the file, with its checksum filled in.
func (h cacheHeader) encode() []byte {
	h.CRC32C = ""
	h.CRC32C = formatCRC(crc32.Checksum(h.marshal(), castagnoli))
	return h.marshal()
}

func (h cacheHeader) marshal() []byte {
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		panic(err) // settings are checked: no NaN
	}
	return append(data, '\n')
}

// readHeader reads cache.json in the folder dir. A file that is not exactly what encode would write is damaged.
func readHeader(dir string) (*cacheHeader, error) {
	name := filepath.Join(dir, headerName)
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		found, expected := "no cache", `one, made by "vqaudio corpus prepare"`
		if _, e := os.Stat(filepath.Join(dir, journalName)); e == nil {
			found, expected = "a half-written cache", `a whole one: run the same "vqaudio corpus prepare" again, it goes on where it stopped`
		} else if _, e := os.Stat(dir); e != nil {
			return nil, e
		}
		return nil, &notPreparedError{&files.FormatError{File: name, Found: found, Expected: expected}}
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHeader+1))
	if err != nil {
		return nil, err
	}
	return parseHeader(data, name)
}

// notPreparedError is the error that there is no cache.json.
type notPreparedError struct{ error }

func (e *notPreparedError) Unwrap() error { return e.error }

func parseHeader(data []byte, name string) (*cacheHeader, error) {
	damaged := func(found string) error {
		return &files.FormatError{File: name, Found: found, Expected: "cache.json as it was written: prepare the cache anew, in an empty folder"}
	}
	if len(data) > maxHeader {
		return nil, damaged("more than a megabyte")
	}
	var h cacheHeader
	err := json.Unmarshal(data, &h)
	switch {
	case err != nil:
		return nil, damaged(err.Error())
	case h.Format != cacheFormat:
		return nil, damaged(fmt.Sprintf("format %q", h.Format))
	case h.Version != cacheVersion:
		return nil, &files.UnsupportedError{File: name, What: fmt.Sprintf("version %d of the cache (this program has version %d)", h.Version, cacheVersion)}
	case h.Settings.Check() != nil:
		return nil, damaged(h.Settings.Check().Error())
	case !bytes.Equal(data, h.encode()):
		return nil, damaged("something that does not agree with its checksum")
	case h.Utterances < 0 || h.Samples < 0 || h.Samples > math.MaxInt64/2:
		return nil, damaged(fmt.Sprintf("%d utterances of %d samples", h.Utterances, h.Samples))
	}
	return &h, nil
}

// OpenCache opens the cache in the folder dir, and checks all of it: what is damaged, half-written or from elsewhere is a
// [*files.FormatError], a version that this program does not know a [*files.UnsupportedError]. Checking reads all samples
// once, on all cores.
func OpenCache(dir string) (*Cache, error) {
	h, err := readHeader(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, sum string }{{indexName, h.Index}, {skippedName, h.SkipList}} {
		if err := checkFile(filepath.Join(dir, f.name), f.sum); err != nil {
			return nil, err
		}
	}
	name := filepath.Join(dir, indexName)
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	utterances, err := parseIndex(f, name, h.Samples)
	if err != nil {
		return nil, err
	}
	c := newCache(h.Settings.Rate, utterances)
	if len(utterances) != h.Utterances || len(c.speakers) != h.Speakers {
		return nil, &files.FormatError{File: name, Offset: -1,
			Found:    fmt.Sprintf("%d utterances of %d speakers", len(utterances), len(c.speakers)),
			Expected: fmt.Sprintf("%d of %d, as cache.json says", h.Utterances, h.Speakers)}
	}
	c.id, c.trim = h.CRC32C, h.Settings.Trim
	if h.Settings.Level != LevelNone {
		c.level = h.Settings.Target
	}
	if err := c.mapSamples(filepath.Join(dir, samplesName), h.Samples); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// checkFile compares the checksum of a file.
func checkFile(name, want string) error {
	got, err := fileChecksum(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &files.FormatError{File: name, Found: "no file", Expected: "one that belongs to the cache: prepare it anew, in an empty folder"}
	case err != nil:
		return err
	case got != want:
		return damagedFile(name, 0, got, want)
	}
	return nil
}

func damagedFile(name string, offset int64, got, want string) error {
	return &files.FormatError{File: name, Offset: offset, Found: "a checksum of " + got,
		Expected: want + ": the file is damaged, prepare the cache anew, in an empty folder"}
}

// parseIndex reads utterances.tsv, for a file of that many samples.
func parseIndex(r io.Reader, name string, total int64) ([]CachedUtterance, error) {
	m, err := parseManifest(r, name)
	if err != nil {
		return nil, err
	}
	own := len(m.Extra) - len(indexColumns)
	if own < 0 || !slices.Equal(m.Extra[own:], indexColumns) {
		return nil, &files.FormatError{File: name, Offset: -1, Line: 1, Found: fmt.Sprintf("the columns %q", m.Extra),
			Expected: fmt.Sprintf("%q at the end", indexColumns)}
	}
	utterances := make([]CachedUtterance, len(m.Utterances))
	next := int64(0)
	for i, u := range m.Utterances {
		c := &utterances[i]
		fields := u.Extra[own:]
		u.Extra = u.Extra[:own:own]
		c.Utterance = u
		if column, expected := c.parseFields(fields, next, total-next); expected != "" {
			return nil, &files.FormatError{File: name, Offset: -1, Line: i + 2,
				Found: fmt.Sprintf("%s %q", indexColumns[column], fields[column]), Expected: expected}
		}
		next += c.Samples
	}
	if next != total {
		return nil, &files.FormatError{File: name, Offset: -1, Line: len(utterances) + 1,
			Found: fmt.Sprintf("an end at sample %d", next), Expected: fmt.Sprint(total)}
	}
	return utterances, nil
}

// parseFields reads the columns of the index for an utterance that begins at sample first, where left samples are left. It
// returns which column is wrong, and what is expected there; nothing if all are right.
func (c *CachedUtterance) parseFields(fields []string, first, left int64) (column int, expected string) {
	var err error
	if c.First, err = strconv.ParseInt(fields[0], 10, 64); err != nil || c.First != first {
		return 0, fmt.Sprintf("%d, where the utterance before ends", first)
	}
	limit := min(left, maxUtteranceSamples)
	if c.Samples, err = strconv.ParseInt(fields[1], 10, 64); err != nil || c.Samples < 1 || c.Samples > limit {
		return 1, fmt.Sprintf("1 to %d", limit)
	}
	gain, err := strconv.ParseFloat(fields[2], 32)
	if err != nil || !(gain > 0) {
		return 2, "a number above 0"
	}
	offset, err := strconv.ParseFloat(fields[3], 32)
	if err != nil || !(math.Abs(offset)+gain*(1<<15) <= math.MaxFloat32) {
		return 3, "a number"
	}
	sum, err := strconv.ParseUint(fields[4], 16, 32)
	if err != nil {
		return 4, "a checksum of 8 hexadecimal digits"
	}
	c.Gain, c.Offset, c.CRC32C = float32(gain), float32(offset), uint32(sum)
	return 0, ""
}

// mapSamples maps the file, and compares its size and its checksums.
func (c *Cache) mapSamples(name string, total int64) error {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return &files.UnsupportedError{File: name, What: "a cache on a big-endian machine"}
	}
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	c.file = f
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	if !stat.Mode().IsRegular() || stat.Size() != 2*total {
		return &files.FormatError{File: name, Offset: stat.Size(), Found: fmt.Sprintf("the end of %d bytes", stat.Size()),
			Expected: fmt.Sprintf("%d: the file is damaged, prepare the cache anew, in an empty folder", 2*total)}
	}
	if total == 0 {
		return nil // an empty file cannot be mapped
	}
	if int64(int(2*total)) != 2*total {
		return &files.UnsupportedError{File: name, What: fmt.Sprintf("a file of %d bytes on a 32-bit machine", 2*total)}
	}
	if c.mapping, err = mmap.Map(f, mmap.RDONLY, 0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.samples = unsafe.Slice((*int16)(unsafe.Pointer(&c.mapping[0])), total)

	sums := make([]uint32, len(c.utterances))
	parallel.For(len(sums), func(i int) {
		u := &c.utterances[i]
		sums[i] = crc32.Checksum(c.mapping[2*u.First:2*(u.First+u.Samples)], castagnoli)
	})
	for i, sum := range sums {
		if u := &c.utterances[i]; sum != u.CRC32C {
			return damagedFile(name, 2*u.First, formatCRC(sum), formatCRC(u.CRC32C))
		}
	}
	return nil
}

// newCache returns a cache without samples, with the speakers of utterances.
func newCache(rate int, utterances []CachedUtterance) *Cache {
	c := &Cache{rate: rate, utterances: utterances}
	ids := map[string]int32{}
	for i := range utterances {
		if name := utterances[i].Speaker; ids[name] == 0 {
			ids[name] = 1
			c.speakers = append(c.speakers, name)
		}
	}
	slices.Sort(c.speakers)
	for i, name := range c.speakers {
		ids[name] = int32(i)
	}
	for i := range utterances {
		utterances[i].SpeakerID = ids[utterances[i].Speaker]
	}
	return c
}

// NewCache returns a cache in memory, for programs that have their samples at hand, and for tests: samples holds those of
// each utterance, 32768 standing for 1; they are copied. It panics unless there is at least one sample for each.
func NewCache(rate int, utterances []Utterance, samples [][]int16) *Cache {
	if len(utterances) != len(samples) {
		panic(fmt.Sprintf("corpora: %d utterances, samples of %d", len(utterances), len(samples)))
	}
	cached := make([]CachedUtterance, len(utterances))
	var all []int16
	for i, u := range utterances {
		if len(samples[i]) == 0 {
			panic(fmt.Sprintf("corpora: utterance %d has no samples", i))
		}
		cached[i] = CachedUtterance{Utterance: u, First: int64(len(all)), Samples: int64(len(samples[i])), Gain: 1. / 32768}
		all = append(all, samples[i]...)
	}
	c := newCache(rate, cached)
	c.samples = all
	return c
}

// Checksum tells the cache from others; that of a cache in memory is "".
func (c *Cache) Checksum() string { return c.id }

// Rate returns the sampling rate in Hz.
func (c *Cache) Rate() int { return c.rate }

// Level returns the RMS in dBFS that speech was brought to; 0 if it stands as it was recorded, or in memory.
func (c *Cache) Level() float64 { return c.level }

// Trim returns the dB below the loud parts at which silence was cut off at both ends; 0 if the utterances are whole.
func (c *Cache) Trim() float64 { return c.trim }

// Speakers returns the names of all speakers, sorted. The caller must not change them.
func (c *Cache) Speakers() []string { return c.speakers }

// Utterances returns the utterances, in the order of the manifest. The caller must not change them.
func (c *Cache) Utterances() []CachedUtterance { return c.utterances }

// Samples returns the stored samples of utterance i, as they lie in the file. They must not be written to, nor be used after
// Close.
func (c *Cache) Samples(i int) []int16 {
	u := &c.utterances[i]
	return c.samples[u.First:][:u.Samples:u.Samples]
}

// Read fills x with the sound of utterance i from its sample start on, level and DC set right: from -1 to 1. Before the
// first and after the last sample there is silence: start may be negative.
func (c *Cache) Read(x []float32, i int, start int64) {
	u, s := &c.utterances[i], c.Samples(i)
	before := 0
	if start < 0 {
		before = int(-max(start, -int64(len(x))))
	}
	clear(x[:before])
	x = x[before:]
	s = s[min(max(start, 0), u.Samples):]
	if len(s) < len(x) {
		clear(x[len(s):])
		x = x[:len(s)]
	}
	gain, offset := u.Gain, u.Offset
	s = s[:len(x)]
	for j, v := range s {
		x[j] = float32(float32(v)*gain) + offset // the conversion forbids a fused multiply-add: the same on every machine
	}
}

// Close gives up the memory. Samplers over the cache must be closed before, and samples not be used after.
func (c *Cache) Close() error {
	var err error
	if c.mapping != nil {
		err = c.mapping.Unmap()
	}
	if c.file != nil {
		if e := c.file.Close(); err == nil {
			err = e
		}
	}
	c.samples, c.mapping, c.file = nil, nil, nil
	return err
}
