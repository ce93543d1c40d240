package audio

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// What no recording goes beyond. A block of every source is some frames long, so that its memory is bounded too.
const (
	maxChannels = 256        // seventh-order Ambisonics has 64, the largest film mix 128
	maxRate     = 10_000_000 // Hz; recorders of ultrasound reach a few MHz
)

// Info is what a recording's header says, checked against what is there as far as that is known: when it is opened, against
// the size of the file; once its end has been read, against all of it.
type Info struct {
	Container string // "RIFF", "RIFX", "RF64", "BW64" (forms of WAV), "FLAC" or "MP3"
	Encoding  string // of the samples: "PCM", "FLOAT", "ALAW", "MULAW", "FLAC", "MP3"
	Channels  int    // 1 to 256
	Rate      int    // Hz, 1 to 10 million
	Bits      int    // of a sample as the header has it; 0 where the encoding has none
	ValidBits int    // of those that carry sound
	Frames    int64  // one sample of every channel each; -1 until the end has been read, where no header tells and no size is known
	Chunks    []Chunk
	Truncated bool     // the recording is cut off: what was there has been, or will be, read
	Oddities  []string // what is wrong with the file but does no harm to its sound: "RIFF size 12 too small"
}

// Chunk is a piece of a container.
type Chunk struct {
	ID     string `json:"id"`     // as it stands there: "fmt ", "data", "LIST"
	Offset int64  `json:"offset"` // of its first byte after id and size
	Size   int64  `json:"size"`   // as the header has it
}

// decoder reads the recording of one container, from where its bytes begin.
type decoder interface {
	// Info returns what is known so far.
	Info() Info
	// Read fills block, as a Source does.
	Read(block []float64) (int, error)
}

// Reader is the [Source] of a file. Its samples are finite, and within the range of float32: anything else in a file is an
// error where it stands.
type Reader struct {
	decoder decoder
	format  Format
	tags    []Chunk // before the container
	err     error   // that has ended the reading
	close   func() error
}

// Open opens a recording. What it is is known from its bytes, not from its name; "-" is standard input, which is not closed.
//
// What is no recording is a [files.FormatError], a recording of a kind that is not read a [files.UnsupportedError]: from
// Open, or from Read where it shows later.
func Open(name string) (*Reader, error) {
	if name == "-" {
		return NewReader(os.Stdin, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	size := int64(-1)
	stat, err := f.Stat()
	switch {
	case err != nil:
	case stat.IsDir():
		err = &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	case stat.Mode().IsRegular():
		size = stat.Size()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	r, err := newReader(f, name, size)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.close = f.Close
	return r, nil
}

// NewReader reads a recording from r, which it does not close. Errors call it name.
func NewReader(r io.Reader, name string) (*Reader, error) { return newReader(r, name, -1) }

// newReader reads from r, whose size is -1 where it is not known.
func newReader(r io.Reader, name string, size int64) (*Reader, error) {
	in := newInput(r, name, size)
	d, tags, err := newDecoder(in)
	if err != nil {
		return nil, err
	}
	info := d.Info()
	return &Reader{
		decoder: d,
		format:  Format{NumChannels: info.Channels, SampleRate: info.Rate},
		tags:    tags,
		close:   func() error { return nil },
	}, nil
}

// Info returns what is known about the recording so far.
func (r *Reader) Info() Info {
	info := r.decoder.Info()
	info.Chunks = slices.Concat(r.tags, info.Chunks)
	info.Oddities = slices.Clone(info.Oddities)
	return info
}

// Format returns the channels and rate.
func (r *Reader) Format() Format { return r.format }

// Read fills block: see [Source].
func (r *Reader) Read(block []float64) (int, error) {
	if c := r.format.NumChannels; len(block) < c {
		panic(fmt.Sprintf("audio: Read into a block of %d samples, fewer than the %d channels", len(block), c))
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.decoder.Read(block)
	r.err = err
	return n, err
}

// Close closes the file.
func (r *Reader) Close() error { return r.close() }
