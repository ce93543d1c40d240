// Package corpora turns folders of recordings into training segments: it knows the layouts of the usual speech corpora,
// lists their utterances in a manifest, prepares a cache of their sound once, and draws segments from it.
package corpora

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/holdout"
)

// Utterance is a line of a manifest: a recording and what is known about it. An empty string, or -1 for a number, is
// what is not known ("-" in the file). Path and Speaker always are.
type Utterance struct {
	Path       string   // relative to Manifest.Dir, or absolute; with slashes
	Speaker    string   // unique over all corpora of the manifest
	Text       string   // what is said
	Seconds    float64  // length; milliseconds in the file
	Split      string   // Train, Valid or Test
	Corpus     string   // which source
	Gender     string   // "f", "m" or what else the corpus says
	Age        string   // years, or what else the corpus says: "twenties"
	Lang       string   // ISO code
	Frames     int64    // samples of a channel, as the recording has them
	SourceRate int      // Hz, before any conversion that the recording has been through; 0 is not known, too
	Extra      []string // the columns beyond these, as Manifest.Extra names them
}

// The values of Utterance.Split.
const (
	Train = holdout.Train
	Valid = holdout.Valid
	Test  = holdout.Test
)

// Manifest lists the utterances of a corpus.
//
// In a file it is a table: UTF-8, a line each, columns parted by tabs, no quoting, "-" for what is not known. The first
// line names the columns, which stand in any order:
//
//	path speaker text seconds split corpus gender age lang frames source_rate
//
// Path and speaker must be there; the others may be left out, and further ones are kept.
//
// A path is relative to the folder of the file, with slashes, and leads to something in that folder or below, so that
// both can be moved together; what lies elsewhere has an absolute path, so that the manifest can be put anywhere. ".."
// is refused: where it leads depends on how the folder is reached.
type Manifest struct {
	Dir        string   // what relative paths are relative to
	Extra      []string // names of further columns
	Utterances []Utterance
}

var manifestColumns = []string{
	"path", "speaker", "text", "seconds", "split", "corpus", "gender", "age", "lang", "frames", "source_rate",
}

// Limits of a manifest, far above what anyone needs.
const (
	maxLine            = 1 << 20 // bytes
	maxManifestColumns = 256
	maxSeconds         = 1e9
)

// ReadManifest reads a manifest. Errors in its content are [*files.FormatError] with the line. A byte order mark, CRLF
// and empty lines are passed over; an empty field counts as "-"; a control character in a text counts as a space.
func ReadManifest(name string) (*Manifest, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := parseManifest(f, name)
	if err != nil {
		return nil, err
	}
	m.Dir = filepath.Dir(name)
	return m, nil
}

// File returns the name to open utterance i by.
func (m *Manifest) File(i int) string {
	name := filepath.FromSlash(m.Utterances[i].Path)
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(m.Dir, name)
}

// Write writes the manifest to the file name, all columns, with the paths that hold from its folder. Tabs, line breaks
// and other control characters of a text become spaces; a path with one is an error, as is one that is there twice. It
// panics if an utterance has more extra columns than the manifest; if it has fewer, the rest is not known.
func (m *Manifest) Write(name string) error {
	rebase, err := m.rebase(filepath.Dir(name))
	if err != nil {
		return err
	}
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	defer f.Discard()
	w := bufio.NewWriterSize(f, 1<<16)
	if err := m.format(w, rebase); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Commit()
}

// rebase returns the function from the paths of m to those that a manifest in folder has.
func (m *Manifest) rebase(folder string) (func(string) string, error) {
	to, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	from, err := filepath.Abs(m.Dir)
	if err != nil {
		return nil, err
	}
	return func(name string) string {
		name = filepath.FromSlash(name)
		if !filepath.IsAbs(name) {
			name = filepath.Join(from, name)
		}
		if inside, err := filepath.Rel(to, name); err == nil && filepath.IsLocal(inside) {
			name = inside
		}
		return filepath.ToSlash(name)
	}, nil
}

// format writes the table.
func (m *Manifest) format(w *bufio.Writer, rebase func(string) string) error {
	header := slices.Clone(manifestColumns)
	for _, column := range m.Extra {
		header = append(header, cleanField(column))
	}
	if err := checkColumns(header); err != nil {
		return err
	}
	w.WriteString(strings.Join(header, "\t") + "\n")

	seen := make(map[string]bool, len(m.Utterances))
	fields := make([]string, 0, len(header))
	for _, u := range m.Utterances {
		name, speaker := rebase(u.Path), cleanField(u.Speaker)
		found, expected := checkPath(name)
		switch {
		case found != "":
			return fmt.Errorf("found %s, expected %s", found, expected)
		case seen[name]:
			return fmt.Errorf("path %q is there twice", name)
		case speaker == "":
			return fmt.Errorf("%s: no speaker", name)
		case !isSplit(u.Split):
			return fmt.Errorf("%s: split %q, expected %s", name, u.Split, splitNames)
		case !(u.Seconds <= maxSeconds):
			return fmt.Errorf("%s: %v seconds", name, u.Seconds)
		case len(u.Extra) > len(m.Extra):
			panic(fmt.Sprintf("corpora: %s has %d extra columns, the manifest %d", name, len(u.Extra), len(m.Extra)))
		}
		seen[name] = true
		rate := u.SourceRate
		if rate == 0 {
			rate = -1
		}
		fields = append(fields[:0], name, speaker, u.Text, formatNumber(u.Seconds, 3), u.Split, u.Corpus, u.Gender, u.Age,
			u.Lang, formatNumber(u.Frames, 0), formatNumber(rate, 0))
		fields = append(fields, u.Extra...)
		fields = fields[:len(header):cap(fields)]
		for i, s := range fields {
			if i > 0 {
				w.WriteByte('\t')
			}
			if s = cleanField(s); s == "" {
				s = "-"
			}
			w.WriteString(s)
		}
		w.WriteByte('\n')
	}
	return nil
}

// parseManifest reads the table. Errors call it name.
func parseManifest(r io.Reader, name string) (*Manifest, error) {
	lines := newLineReader(r, name)
	next := func() (string, error) {
		for {
			text, err := lines.next()
			switch {
			case err != nil:
				return "", err
			case !utf8.ValidString(text):
				return "", lines.fail("bytes that are not UTF-8", "a manifest in UTF-8")
			case strings.ContainsRune(text, 0):
				return "", lines.fail("a NUL", "text")
			case text != "":
				return text, nil
			}
		}
	}
	first, err := next()
	if err == io.EOF {
		return nil, lines.fail("nothing", "a line that names the columns")
	} else if err != nil {
		return nil, err
	}
	header := strings.Split(first, "\t")
	for i := range header {
		header[i] = cleanField(header[i])
	}
	if err := checkColumns(header); err != nil {
		return nil, lines.fail(err.Error(), "columns parted by tabs, path and speaker among them")
	}
	m := &Manifest{}
	place := make([]int, len(header)) // in the order of manifestColumns, then of Extra
	for i, column := range header {
		place[i] = slices.Index(manifestColumns, column)
		if place[i] < 0 {
			place[i] = len(manifestColumns) + len(m.Extra)
			m.Extra = append(m.Extra, column)
		}
	}

	lineOf := map[string]int{}
	same := map[string]string{} // one copy of what many lines have
	share := func(s string) string {
		if t, ok := same[s]; ok {
			return t
		}
		s = strings.Clone(s)
		same[s] = s
		return s
	}
	fields := make([]string, len(manifestColumns)+len(m.Extra))
	for {
		text, err := next()
		if err == io.EOF {
			return m, nil
		} else if err != nil {
			return nil, err
		}
		if n := strings.Count(text, "\t") + 1; n != len(header) {
			return nil, lines.fail(plural(n, "column"), fmt.Sprint(len(header)))
		}
		clear(fields)
		for i := range header {
			var s string
			s, text, _ = strings.Cut(text, "\t")
			if place[i] > 0 {
				s = cleanField(s)
			}
			if s != "-" {
				fields[place[i]] = s
			}
		}
		if found, expected := checkPath(fields[0]); found != "" {
			return nil, lines.fail(found, expected)
		}
		u := Utterance{
			Path:    strings.Clone(filepath.ToSlash(filepath.Clean(filepath.FromSlash(fields[0])))),
			Speaker: share(fields[1]), Text: strings.Clone(fields[2]), Split: share(fields[4]), Corpus: share(fields[5]),
			Gender: share(fields[6]), Age: share(fields[7]), Lang: share(fields[8]),
		}
		if before := lineOf[u.Path]; before > 0 {
			return nil, lines.fail(fmt.Sprintf("path %q, which line %d has", u.Path, before), "each path once")
		}
		lineOf[u.Path] = lines.number
		if u.Speaker == "" {
			return nil, lines.fail("no speaker", "a name")
		}
		if !isSplit(u.Split) {
			return nil, lines.fail(fmt.Sprintf("split %q", u.Split), splitNames)
		}
		seconds, ok := parseNumber(fields[3], maxSeconds, false)
		if !ok {
			return nil, lines.fail(fmt.Sprintf("seconds %q", fields[3]), `a number of seconds, or "-"`)
		}
		frames, ok := parseNumber(fields[9], 1<<53, true)
		if !ok {
			return nil, lines.fail(fmt.Sprintf("frames %q", fields[9]), `a whole number, or "-"`)
		}
		rate, ok := parseNumber(fields[10], math.MaxInt32, true)
		if !ok || rate == 0 {
			return nil, lines.fail(fmt.Sprintf("source_rate %q", fields[10]), `a whole number of Hz, or "-"`)
		}
		u.Seconds, u.Frames, u.SourceRate = seconds, int64(frames), int(rate)
		for _, s := range fields[len(manifestColumns):] {
			u.Extra = append(u.Extra, share(s))
		}
		m.Utterances = append(m.Utterances, u)
	}
}

// lineReader reads the lines of a foreign table, without their ends and without a byte order mark.
type lineReader struct {
	name   string
	number int // of the line read last, from 1
	lines  *bufio.Scanner
}

func newLineReader(r io.Reader, name string) *lineReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	return &lineReader{name: name, lines: lines}
}

// next returns the next line; at the end, io.EOF.
func (l *lineReader) next() (string, error) {
	l.number++
	if l.lines.Scan() {
		text := l.lines.Text()
		if l.number == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		return text, nil
	}
	switch err := l.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return "", l.fail(fmt.Sprintf("a line of more than %d bytes", maxLine), "one line for each recording")
	case err != nil:
		return "", fmt.Errorf("%s: %w", l.name, err)
	}
	return "", io.EOF
}

// fail returns the error that the last line holds something else than it should.
func (l *lineReader) fail(found, expected string) error {
	return &files.FormatError{File: l.name, Offset: -1, Line: l.number, Found: found, Expected: expected}
}

// checkColumns returns what is wrong with the names of the columns.
func checkColumns(names []string) error {
	if len(names) > maxManifestColumns {
		return fmt.Errorf("%d columns, more than %d", len(names), maxManifestColumns)
	}
	for i, s := range names {
		if s == "" || s == "-" {
			return errors.New("a column without a name")
		}
		if slices.Contains(names[:i], s) {
			return fmt.Errorf("two columns %q", s)
		}
	}
	for _, s := range manifestColumns[:2] {
		if !slices.Contains(names, s) {
			return fmt.Errorf("no column %q", s)
		}
	}
	return nil
}

// checkPath returns what is wrong with a path of a manifest, and what should be, or nothing.
func checkPath(s string) (found, expected string) {
	const relative = "a path within the folder of the manifest, or an absolute one"
	switch {
	case s == "" || path.Clean(s) == "." || path.Clean(s) == "-":
		return "no path", relative
	case !utf8.ValidString(s):
		return fmt.Sprintf("path %q, not UTF-8", s), "a path in UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Sprintf("path %q", s), "one without control characters"
	case strings.TrimSpace(s) != s:
		return fmt.Sprintf("path %q", s), "one without spaces around it"
	case slices.Contains(strings.Split(filepath.ToSlash(s), "/"), ".."):
		return fmt.Sprintf("path %q", s), relative
	}
	return "", ""
}

const splitNames = `"train", "valid", "test" or "-"`

func isSplit(s string) bool { return s == "" || s == Train || s == Valid || s == Test }

// cleanField makes s fit into a field: valid UTF-8 on one line, without tabs, without spaces around it.
func cleanField(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, s)
	}
	return strings.TrimSpace(s)
}

// parseNumber reads a decimal number from 0 to limit; "" is -1.
func parseNumber(s string, limit float64, whole bool) (float64, bool) {
	if s == "" {
		return -1, true
	}
	if strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil && x <= limit && !(whole && x != math.Trunc(x))
}

// formatNumber writes x with a number of decimals; below 0 it is not known.
func formatNumber[T int | int64 | float64](x T, decimals int) string {
	if x < 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(x), 'f', decimals, 64)
}

// plural: "1 column", "2 columns".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
