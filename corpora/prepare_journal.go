package corpora

import (
	"bufio"
	"bytes"
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
	"strings"
	"time"

	"github.com/vqaudio/vqaudio/files"
)

// The journal tells how far a cache that is being made has come: a line with what is made, then one for each utterance of
// the manifest, in order, that is in the samples file or was skipped. Each line ends with its checksum. Samples are
// on disk before the line that speaks of them, so whatever interrupts the run, the lines up to the first damaged one
// hold.
type journal struct {
	file    *os.File // of the journal
	samples *os.File
	records []preparedUtterance // of all lines
	end     int64               // bytes of the samples file that the records account for
	pending []byte              // lines that are not in the file yet
	since   int64               // bytes of samples since the last checkpoint
	saved   time.Time           // when that was
}

// preparedUtterance is a line of the journal.
type preparedUtterance struct {
	skipped string // why; then the rest is 0
	waveMeasure
}

// A checkpoint is made after that time or that many bytes of samples.
const checkpointBytes = 256 << 20

var checkpointTime = 2 * time.Second // tests make it 0

// journalHeader is the first line of a journal.
type journalHeader struct {
	Version  int           `json:"version"`
	Settings CacheSettings `json:"settings"`
	Manifest string        `json:"manifest"` // checksum of what it lists
}

// sealLine appends a line with its checksum.
func sealLine(b []byte, text string) []byte {
	return fmt.Appendf(b, "%s\t%08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

// unsealLine returns the text of a line, if it is whole.
func unsealLine(line []byte) (text string, ok bool) {
	line, whole := bytes.CutSuffix(line, []byte("\n"))
	at := bytes.LastIndexByte(line, '\t')
	if !whole || at < 0 {
		return "", false
	}
	return string(line[:at]), string(line[at+1:]) == formatCRC(crc32.Checksum(line[:at], castagnoli))
}

// openJournal opens or begins the journal in dir, with the samples file cut to what it accounts for. Run has utterances
// lines at most. A journal of another run is a [*SettingsError].
func openJournal(dir string, run journalHeader, utterances int) (*journal, error) {
	j := &journal{saved: time.Now()}
	ok := false
	defer func() {
		if !ok {
			j.close()
		}
	}()
	var err error
	if j.file, err = os.OpenFile(filepath.Join(dir, journalName), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	if j.samples, err = os.OpenFile(filepath.Join(dir, samplesName), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	length, err := j.read(dir, run, utterances)
	if err != nil {
		return nil, err
	}
	if err := j.samples.Truncate(j.end); err != nil {
		return nil, err
	}
	if err := j.file.Truncate(length); err != nil {
		return nil, err
	}
	if _, err := j.file.Seek(length, io.SeekStart); err != nil {
		return nil, err
	}
	if length == 0 {
		text, err := json.Marshal(run)
		if err != nil {
			return nil, err
		}
		j.pending = sealLine(nil, string(text))
	}
	if err := j.checkpoint(); err != nil {
		return nil, err
	}
	ok = true
	return j, nil
}

// read reads the lines that hold, and returns their length in bytes.
func (j *journal) read(dir string, run journalHeader, utterances int) (length int64, err error) {
	lines := bufio.NewReader(j.file)
	line, err := lines.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		return 0, nil // interrupted before anything was done
	}
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return 0, err
	}
	var found journalHeader
	text, ok := unsealLine(line)
	if !ok || json.Unmarshal([]byte(text), &found) != nil || found.Version < 1 {
		return 0, &files.FormatError{File: j.file.Name(), Offset: -1, Line: 1, Found: "a line that does not agree with its checksum",
			Expected: "the start of a journal: delete the folder, or give another one"}
	}
	if d := found.differences(run); len(d) > 0 {
		return 0, &SettingsError{Dir: dir, Differences: d}
	}
	length = int64(len(line))
	samples := bufio.NewReaderSize(j.samples, 1<<20)
	for len(j.records) < utterances {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		text, ok := unsealLine(line)
		if !ok {
			break
		}
		utterance, r, ok := parseRecord(text)
		if !ok || utterance != len(j.records) {
			break
		}
		sum := crc32.New(castagnoli)
		n, err := io.CopyN(sum, samples, 2*r.samples)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if n != 2*r.samples || sum.Sum32() != r.crc32c {
			break
		}
		j.records = append(j.records, r)
		j.end += n
		length += int64(len(line))
	}
	return length, nil
}

// differences lists where two runs differ: "rate 16000, now 22050".
func (h journalHeader) differences(now journalHeader) []string {
	var d []string
	compare := func(name string, before, now any) {
		if before != now {
			d = append(d, fmt.Sprintf("%s %v, now %v", name, before, now))
		}
	}
	compare("version", h.Version, now.Version)
	compare("rate", h.Settings.Rate, now.Settings.Rate)
	compare("channel", h.Settings.Channel, now.Settings.Channel)
	compare("trim", h.Settings.Trim, now.Settings.Trim)
	compare("level", h.Settings.Level, now.Settings.Level)
	compare("target", h.Settings.Target, now.Settings.Target)
	if h.Manifest != now.Manifest {
		d = append(d, "another manifest")
	}
	return d
}

// add appends an utterance whose samples, if any, are in s.
func (j *journal) add(r preparedUtterance, s *spool) error {
	if r.skipped == "" {
		if err := s.writeTo(j.samples, j.end); err != nil {
			return err
		}
	}
	j.pending = sealLine(j.pending, r.text(len(j.records)))
	j.records = append(j.records, r)
	j.end += 2 * r.samples
	j.since += 2 * r.samples
	if j.since >= checkpointBytes || time.Since(j.saved) >= checkpointTime {
		return j.checkpoint()
	}
	return nil
}

// checkpoint makes durable what has been added.
func (j *journal) checkpoint() error {
	if len(j.pending) > 0 {
		if err := j.samples.Sync(); err != nil {
			return err
		}
		if _, err := j.file.Write(j.pending); err != nil {
			return err
		}
		if err := j.file.Sync(); err != nil {
			return err
		}
	}
	j.pending = j.pending[:0]
	j.since, j.saved = 0, time.Now()
	return nil
}

func (j *journal) close() {
	for _, f := range []*os.File{j.file, j.samples} {
		if f != nil {
			f.Close()
		}
	}
}

// removeJournal deletes the journal of a cache that is complete.
func removeJournal(dir string) error {
	err := os.Remove(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// text is the line of an utterance, without its checksum.
func (r *preparedUtterance) text(utterance int) string {
	if r.skipped != "" {
		return fmt.Sprintf("%d\tskipped\t%s", utterance, r.skipped)
	}
	return fmt.Sprintf("%d\tprepared\t%d\t%s\t%d\t%d\t%d\t%d\t%08x", utterance, r.samples,
		strconv.FormatFloat(r.unit, 'g', -1, 64), r.sum, r.squares, r.low, r.high, r.crc32c)
}

// parseRecord reads what text has written, and reports whether it makes sense.
func parseRecord(text string) (utterance int, r preparedUtterance, ok bool) {
	fields := strings.Split(text, "\t")
	if len(fields) < 3 {
		return 0, r, false
	}
	var failed []error
	whole := func(field int, low, high int64) int64 {
		x, err := strconv.ParseInt(fields[field], 10, 64)
		if err == nil && (x < low || x > high) {
			err = strconv.ErrRange
		}
		failed = append(failed, err)
		return x
	}
	utterance = int(whole(0, 0, math.MaxInt32))
	switch {
	case fields[1] == "skipped" && len(fields) == 3 && fields[2] != "":
		r.skipped = fields[2]
	case fields[1] == "prepared" && len(fields) == 9:
		unit, err := strconv.ParseFloat(fields[3], 64)
		sum, e := strconv.ParseUint(fields[8], 16, 32)
		failed = append(failed, err, e)
		if !(unit > 0 && unit <= math.MaxFloat32) {
			return 0, r, false
		}
		r.samples = whole(2, 1, maxUtteranceSamples)
		r.unit = unit
		r.sum = whole(4, -r.samples<<15, r.samples<<15)
		r.squares = whole(5, 0, r.samples<<30)
		r.low = int16(whole(6, math.MinInt16, math.MaxInt16))
		r.high = int16(whole(7, int64(r.low), math.MaxInt16))
		r.crc32c = uint32(sum)
	default:
		return 0, r, false
	}
	return utterance, r, !slices.ContainsFunc(failed, func(err error) bool { return err != nil })
}
