// Package alignment reads which phone is spoken when: tables, and the TextGrids of Praat and of forced aligners.
//
// Read returns the alignments of a corpus, Match says which of them belongs to which recording, and At which phone is spoken at
// a time:
//
//	set, err := alignment.Read("alignments.tsv", "")
//	which, err := set.Match(paths)
//	phone := set.Utterances[which[i]].At(0.25) // an index in set.Phones
//
// A table is UTF-8, a line for each phone, columns parted by tabs, no quoting. The first line names the columns, which stand in any
// order; these are read, and others left alone:
//
//	path    of the recording, with slashes
//	start   seconds from its beginning
//	dur     seconds
//	phone   what is spoken
//
// A TextGrid (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html) is the long or the short text format, in UTF-8, or
// in UTF-16 with a byte order mark. One of its interval tiers is read. It belongs to the recording of its own name.
//
// Files are not trusted: what is wrong is a [*files.FormatError] with its line.
package alignment

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vqaudio/vqaudio/files"
)

// DefaultTier is the name of the interval tier that is read from a TextGrid: that of the Montreal Forced Aligner.
const DefaultTier = "phones"

// MaxPhones is the largest number of different labels in a [Set]. Whoever has more has words.
const MaxPhones = 1024

// Set is the alignments of a corpus.
type Set struct {
	Phones     []string    // all labels, sorted; one may be empty, as silence is in many TextGrids
	Utterances []Utterance // in the order of the file, or of the names of the files
}

// Utterance is the alignment of a recording.
type Utterance struct {
	Path      string     // of the recording, or the end of it: with slashes, without extension
	Intervals []Interval // in order; they do not overlap, but there may be gaps between them
}

// Interval is the time from Start up to, but not including, End, in seconds from the start of the recording.
type Interval struct {
	Start, End float64 // 0 <= Start < End
	Phone      int32   // index in Set.Phones
}

// At returns the phone at a time in seconds; -1 if it lies in none of the intervals.
func (u *Utterance) At(seconds float64) int32 {
	i := sort.Search(len(u.Intervals), func(i int) bool { return u.Intervals[i].End > seconds })
	if i < len(u.Intervals) && u.Intervals[i].Start <= seconds {
		return u.Intervals[i].Phone
	}
	return -1
}

// Read reads a table, a TextGrid, or a folder with all TextGrids below it, each called by its path in the folder. Which of the two
// a file is shows in its bytes. Of TextGrids the interval tier of the name given is read, "" for [DefaultTier].
func Read(name, tier string) (*Set, error) {
	if tier == "" {
		tier = DefaultTier
	}
	b := &builder{phones: map[string]int32{}}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		err = b.readFile(name, path.Base(filepath.ToSlash(name)), tier)
	default:
		err = b.readFolder(name, tier)
	}
	if err != nil {
		return nil, err
	}
	return b.set(), nil
}

func (b *builder) readFolder(name, tier string) error {
	found := false
	err := filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.EqualFold(filepath.Ext(file), textGridExt) {
			return err
		}
		found = true
		relative, err := filepath.Rel(name, file)
		if err != nil {
			return err
		}
		return b.readFile(file, filepath.ToSlash(relative), tier)
	})
	if err == nil && !found {
		err = &files.FormatError{File: name, Offset: -1, Found: "a folder without TextGrids", Expected: "one with files called *.TextGrid, or a table"}
	}
	return err
}

// readFile reads a file, called as given if it is a TextGrid.
func (b *builder) readFile(name, called, tier string) error {
	f, err := files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b.file = name
	return b.read(f, called, tier)
}

// read reads the content of a file.
func (b *builder) read(in io.Reader, called, tier string) error {
	r := bufio.NewReader(in)
	start, _ := r.Peek(256)
	switch kindOf(start) {
	case binaryGrid:
		return &files.UnsupportedError{File: b.file, What: "a binary TextGrid: save it as a text file in Praat"}
	case textGrid:
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return b.readTextGrid(data, strings.TrimSuffix(called, path.Ext(called)), tier)
	}
	return b.readTable(r)
}

// kind is what a file is, by its first bytes.
type kind int

const (
	table kind = iota
	textGrid
	binaryGrid
)

func kindOf(start []byte) kind {
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	switch {
	case bytes.HasPrefix(start, []byte("ooBinaryFile")):
		return binaryGrid
	case hasUTF16Mark(start), bytes.Contains(line, []byte("ooTextFile")):
		return textGrid
	}
	return table
}

// builder makes a Set.
type builder struct {
	file       string // that is being read
	phones     map[string]int32
	labels     []string // by their numbers in phones
	utterances []Utterance
}

// set returns what was read, with phones in order.
func (b *builder) set() *Set {
	s := &Set{Phones: slices.Sorted(slices.Values(b.labels)), Utterances: b.utterances}
	order := make([]int32, len(b.labels))
	for i, p := range s.Phones {
		order[b.phones[p]] = int32(i)
	}
	for _, u := range s.Utterances {
		for i := range u.Intervals {
			u.Intervals[i].Phone = order[u.Intervals[i].Phone]
		}
	}
	return s
}

func (b *builder) wrong(line int, found, expected string) error {
	return &files.FormatError{File: b.file, Offset: -1, Line: line, Found: found, Expected: expected}
}

// rounding is by how many seconds an interval may begin before the end of the one before it: times are written with few digits.
const rounding = 0.001

// maxSeconds is the latest time that is taken: ten years.
const maxSeconds = 10 * 366 * 24 * 3600

// add adds an interval to the utterance. One that ends where it starts is left out.
func (b *builder) add(u *Utterance, line int, start, end float64, phone string) error {
	switch {
	case !(start >= 0 && start <= end && end <= maxSeconds):
		return b.wrong(line, fmt.Sprintf("an interval from %v to %v", start, end), "seconds from 0 on, the start before the end")
	case start == end:
		return nil
	}
	if n := len(u.Intervals); n > 0 {
		last := &u.Intervals[n-1]
		if start < last.End-rounding || end <= last.Start || start <= last.Start {
			return b.wrong(line, fmt.Sprintf("an interval from %v to %v behind one from %v to %v", start, end, last.Start, last.End),
				"intervals in order, which do not overlap")
		}
		last.End = min(last.End, start)
	}
	if !utf8.ValidString(phone) || strings.ContainsFunc(phone, unicode.IsControl) {
		return b.wrong(line, "the label "+quote(phone), "text in UTF-8, without control characters")
	}
	k, ok := b.phones[phone]
	if !ok {
		if len(b.labels) == MaxPhones {
			return b.wrong(line, fmt.Sprintf("one more label, %s", quote(phone)), fmt.Sprintf("phones, at most %d different ones", MaxPhones))
		}
		k = int32(len(b.labels))
		phone = strings.Clone(phone) // not to keep its line
		b.phones[phone] = k
		b.labels = append(b.labels, phone)
	}
	u.Intervals = append(u.Intervals, Interval{start, end, k})
	return nil
}

// parseSeconds reads a decimal number.
func parseSeconds(text string) (float64, bool) {
	if text == "" || strings.Trim(text, "+-.0123456789eE") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && !math.IsInf(v, 0)
}

// quote quotes what a file holds, cut short.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

// soundExt are the extensions that a path loses before it is compared.
var soundExt = []string{".wav", ".flac", ".mp3", ".ogg", ".opus", ".sph", ".aiff", ".aif"}

// trimSound returns a path with slashes, without the extension of a recording.
func trimSound(p string) string {
	p = filepath.ToSlash(p)
	if ext := path.Ext(p); slices.Contains(soundExt, strings.ToLower(ext)) {
		p = strings.TrimSuffix(p, ext)
	}
	return strings.TrimPrefix(p, "./")
}

// Match returns for each path of a recording the index of its alignment in s.Utterances, -1 if it has none.
//
// They belong together if their paths are the same from the right on, as far as the shorter one of the two goes: "an4/a/b.flac" in a
// table and "/data/an4/a/b.wav" of a recording, or "a/b.TextGrid". Extensions of sound are of no account. Of several alignments
// the one with the longest path is taken. It is an error if that leaves several, or if one alignment is that of two recordings.
func (s *Set) Match(paths []string) ([]int, error) {
	byName := map[string][]int{}
	for i, u := range s.Utterances {
		byName[path.Base(u.Path)] = append(byName[path.Base(u.Path)], i)
	}
	which, taken := make([]int, len(paths)), map[int]string{}
	for i, full := range paths {
		p := trimSound(full)
		best, several, rank := -1, -1, -1
		for _, k := range byName[path.Base(p)] {
			a := s.Utterances[k].Path
			r := len(a)
			switch {
			case isTail(a, p):
			case isTail(p, a):
				r = 0
			default:
				continue
			}
			switch {
			case r > rank:
				best, several, rank = k, -1, r
			case r == rank:
				several = k
			}
		}
		if several >= 0 {
			return nil, fmt.Errorf("%s: two alignments fit, of %s and of %s", full, s.Utterances[best].Path, s.Utterances[several].Path)
		}
		if which[i] = best; best < 0 {
			continue
		}
		if before, ok := taken[best]; ok {
			return nil, fmt.Errorf("the alignment of %s fits two recordings, %s and %s: its path has to tell them apart", s.Utterances[best].Path, before, full)
		}
		taken[best] = full
	}
	return which, nil
}

// isTail says whether tail is all of p, or its last elements.
func isTail(tail, p string) bool {
	rest, ok := strings.CutSuffix(p, tail)
	return ok && (rest == "" || strings.HasSuffix(rest, "/"))
}

// columns are those of a table that are read.
var columns = [...]string{"path", "start", "dur", "phone"}

const maxLine = 1 << 20 // bytes

// readTable reads a table.
func (b *builder) readTable(r *bufio.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var at [len(columns)]int // which field each column is
	byPath := map[string]int{}
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSuffix(lines.Text(), "\r")
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
			names := strings.Split(text, "\t")
			for i, c := range columns {
				if at[i] = slices.Index(names, c); at[i] < 0 {
					return b.wrong(1, quote(text), "a TextGrid, or the columns "+strings.Join(columns[:], ", ")+", parted by tabs")
				}
			}
			continue
		}
		if text == "" {
			continue
		}
		fields := strings.Split(text, "\t")
		var field [len(columns)]string
		for i, k := range at {
			if k >= len(fields) {
				return b.wrong(n, fmt.Sprintf("%d columns", len(fields)), fmt.Sprintf("%d or more", slices.Max(at[:])+1))
			}
			field[i] = fields[k]
		}
		start, ok := parseSeconds(field[1])
		if !ok {
			return b.wrong(n, "start "+quote(field[1]), "seconds")
		}
		duration, ok := parseSeconds(field[2])
		if !ok || duration < 0 {
			return b.wrong(n, "dur "+quote(field[2]), "seconds")
		}
		if field[0] == "" {
			return b.wrong(n, "no path", "that of a recording")
		}
		i, ok := byPath[field[0]]
		if !ok {
			i = len(b.utterances)
			own := strings.Clone(field[0])
			byPath[own] = i
			b.utterances = append(b.utterances, Utterance{Path: trimSound(own)})
		}
		if err := b.add(&b.utterances[i], n, start, start+duration, field[3]); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return b.wrong(n+1, "a longer line", fmt.Sprintf("at most %d bytes", maxLine))
	case err != nil:
		return err
	case n == 0:
		return b.wrong(1, "an empty file", "a TextGrid, or a table with the columns "+strings.Join(columns[:], ", "))
	}
	return nil
}
