package audio

import (
	"errors"
	"io"
)

// Info is what a recording's header says, checked against what is there as far as that is known.
type Info struct {
	Container string // "RIFF", "RIFX", "RF64", "BW64" (forms of WAV), "FLAC" or "MP3"
	Encoding  string // of the samples: "PCM", "FLOAT", "ALAW", "MULAW", "FLAC", "MP3"
	Channels  int    // at least 1
	Rate      int    // Hz, at least 1
	Bits      int    // of a sample as the header has it; 0 where the encoding has none
	ValidBits int    // of those that carry sound
	Frames    int64  // one sample of every channel each; -1 until the end has been read, where no header tells and no size is known
	Chunks    []Chunk
	Oddities  []string // what is wrong with the file but does no harm to its sound: "RIFF size 12 too small"
}

// Chunk is a piece of a container.
type Chunk struct {
	ID     string `json:"id"`     // as it stands there: "fmt ", "data", "LIST"
	Offset int64  `json:"offset"` // of its first byte after id and size
	Size   int64  `json:"size"`   // as the header has it
}

// Reader is the Source of a file.
type Reader struct{}

// Open opens a recording. What it is is known from its bytes, not from its name; "-" is standard input.
func Open(name string) (*Reader, error) { return nil, errors.New("audio: Open: not built yet") }

// NewReader reads a recording from r. Errors call it name.
func NewReader(r io.Reader, name string) (*Reader, error) {
	return nil, errors.New("audio: NewReader: not built yet")
}

// Info returns what is known about the recording so far.
func (r *Reader) Info() Info { return Info{} }

// Format returns the channels and rate.
func (r *Reader) Format() Format { return Format{} }

// Read fills block: see [Source].
func (r *Reader) Read(block []float64) (int, error) { return 0, io.EOF }

// Close closes the file.
func (r *Reader) Close() error { return nil }
