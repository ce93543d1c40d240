package units

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/files"
)

// Reader reads utterances from a file, or from all files of a folder.
type Reader struct {
	format Format
	next   func() (*Utterance, error) // of the open file
	file   *os.File                   // that is open; nil if it is not ours
	folder string
	rest   []string // files of the folder that are to come, by their paths below it
}

// parser reads the utterances of one file, one at a time, and then io.EOF.
type parser interface{ next() (*Utterance, error) }

// Open begins to read a file or a folder. With the format "" it is found out. Of a folder, all files in it and below it with
// the extension of the format are read, in the order of their names; with the format "", those that are like the first. What is in a file with units alone, or
// vectors alone, is called by the file's name without extension.
func Open(name string, f Format) (*Reader, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		r := &Reader{format: f}
		return r, r.open(name, baseName(name))
	}
	return openFolder(name, f)
}

// NewReader begins to read utterances from in. With the format "" it is found out. Errors call the file name, and so is an
// utterance whose name is not in it: what is left of the name without folders and extension.
func NewReader(in io.Reader, name string, f Format) (*Reader, error) {
	r := &Reader{format: f}
	return r, r.begin(in, name, baseName(name))
}

func baseName(name string) string {
	base := filepath.Base(name)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func openFolder(name string, f Format) (*Reader, error) {
	r := &Reader{format: f, folder: name}
	extensions := map[string]bool{}
	for _, s := range specs {
		if f == "" || f == s.format {
			extensions[s.extension] = true
		}
	}
	err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && extensions[filepath.Ext(path)] && !strings.HasPrefix(d.Name(), ".") {
			path, err = filepath.Rel(name, path)
			r.rest = append(r.rest, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(r.rest) == 0 {
		return nil, fmt.Errorf("%s: no file of units in this folder", name)
	}
	first := filepath.Ext(r.rest[0])
	err = r.openNext()
	r.rest = slices.DeleteFunc(r.rest, func(path string) bool { return filepath.Ext(path) != first })
	return r, err
}

// openNext opens the next file of the folder.
func (r *Reader) openNext() error {
	path := r.rest[0]
	r.rest = r.rest[1:]
	return r.open(filepath.Join(r.folder, path), filepath.ToSlash(strings.TrimSuffix(path, filepath.Ext(path))))
}

func (r *Reader) open(name, utterance string) error {
	open := os.Open
	if r.folder != "" { // where a pipe would not be meant
		open = files.Open
	}
	f, err := open(name)
	if err != nil {
		return err
	}
	if err := r.begin(f, name, utterance); err != nil {
		f.Close()
		return err
	}
	r.file = f
	return nil
}

// byteOrderMark is what some editors put in front of UTF-8. It is no part of the text.
const byteOrderMark = "\ufeff"

// begin begins a file, whose only utterance is called so if it has no name in it.
func (r *Reader) begin(in io.Reader, name, utterance string) error {
	b := bufio.NewReaderSize(in, 1<<16)
	if start, err := b.Peek(len(byteOrderMark)); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if string(start) == byteOrderMark {
		b.Discard(len(byteOrderMark))
	}
	if r.format == "" {
		start, err := b.Peek(detectBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if r.format = Detect(start); r.format == "" {
			return &files.FormatError{File: name, Offset: -1, Line: 1, Found: fmt.Sprintf("%.40q", start),
				Expected: "units: whole numbers, or a format that holds them"}
		}
	}
	l := &lines{in: b, file: name}
	single := &Utterance{Name: utterance}
	var p parser
	switch r.format {
	case ZeroSpeech:
		p = &zeroSpeechParser{l, single}
	case Text:
		p = &textParser{l, single}
	case Fairseq, ZeroSpeech2021:
		p = &listParser{l, r.format}
	case JSONL:
		p = &jsonParser{l}
	case TSV:
		p = &tsvParser{lines: l}
	case NPY:
		p = &npyParser{&array{in: b, file: name}, single}
	default:
		r.format.spec() // which panics
	}
	r.next = p.next
	return nil
}

// Format is the format that is read.
func (r *Reader) Format() Format { return r.format }

// Next returns the next utterance; after the last, io.EOF.
func (r *Reader) Next() (*Utterance, error) {
	for {
		u, err := r.next()
		if !errors.Is(err, io.EOF) {
			return u, err
		}
		if len(r.rest) == 0 {
			return nil, io.EOF
		}
		r.Close()
		if err := r.openNext(); err != nil {
			return nil, err
		}
	}
}

// Close closes the file that is open.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// lines reads lines of text.
type lines struct {
	in     *bufio.Reader
	file   string
	number int // of the line that was read last, from 1
	buffer []byte
}

// next returns the next line without its end, until the next call; after the last, io.EOF.
func (l *lines) next() ([]byte, error) {
	l.buffer = l.buffer[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.buffer = append(l.buffer, part...)
		switch {
		case err == nil:
			l.number++
			line := l.buffer[:len(l.buffer)-1]
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.buffer) > 0:
			l.number++
			return l.buffer, nil
		default:
			return nil, err
		}
	}
}

// wrong is a line that is not what the format wants.
func (l *lines) wrong(found, expected string) error {
	return &files.FormatError{File: l.file, Offset: -1, Line: max(l.number, 1), Found: found, Expected: expected}
}

// text is the name of bytes in an error.
func text(b []byte) string { return fmt.Sprintf("%.40q", b) }
