// Package audio reads and writes recordings, and prepares them: WAV in every form in use, FLAC and MP3 in, WAV out,
// resampling, level, silence, mu-law.
//
// Sound flows through a [Source] in blocks, so that a recording of ten hours takes no more memory than one of a second.
// [Open] gives the source of a file; [Mono], [Channel] and [Resample] are sources over a source; [ReadAll] collects one
// into a buffer, for what is known to be short.
//
// Samples are float64 from -1 to 1, so that all encodings up to 32-bit integers and 64-bit floats come through exactly.
// Float files may go beyond that range, and are not clipped.
package audio

import (
	"errors"
	"fmt"
	"io"

	goaudio "github.com/go-audio/audio"
)

// Format is the number of channels and the rate of a stream. It is that of github.com/go-audio/audio, as is the buffer of
// [ReadAll], so that what is read here can be handed to other packages that know them.
type Format = goaudio.Format

// Source is a stream of sound.
type Source interface {
	// Format returns the number of channels and the sampling rate in Hz, both at least 1, the same at every call.
	Format() Format
	// Read fills block with frames (one sample of each channel, in order), and returns how many samples it has filled: whole
	// frames. Len(block) is at least the number of channels. Less than a full block says nothing; the end is 0 and io.EOF. After
	// another error, which comes with 0 too, the samples handed out before stand.
	Read(block []float64) (int, error)
}

// copySamples is about the length of the blocks that ReadAll and Copy pass on, of all channels together.
const copySamples = 1 << 14

// ReadAll reads what is left of src. Memory grows with what has been read, never with what a header promises. With an
// error, the buffer holds what came before it.
func ReadAll(src Source) (*goaudio.FloatBuffer, error) {
	format := src.Format()
	all := &goaudio.FloatBuffer{Format: &format}
	err := Copy(src, func(block []float64) error {
		all.Data = append(all.Data, block...)
		return nil
	})
	return all, err
}

// Copy reads what is left of src, and gives each block of it to write, which must not keep it. It stops at the first error.
func Copy(src Source, write func(block []float64) error) error {
	channels := src.Format().NumChannels
	block := make([]float64, channels*max(1, copySamples/channels))
	for {
		n, err := src.Read(block)
		if n > 0 {
			if err := write(block[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// FromBuffer returns the source of the samples in buffer, which it does not copy. It panics unless they are whole frames.
func FromBuffer(buffer *goaudio.FloatBuffer) Source {
	if c := buffer.Format.NumChannels; c < 1 || len(buffer.Data)%c != 0 {
		panic(fmt.Sprintf("audio: %d samples are not frames of %d channels", len(buffer.Data), c))
	}
	return &bufferSource{*buffer.Format, buffer.Data}
}

type bufferSource struct {
	format Format
	rest   []float64
}

func (s *bufferSource) Format() Format { return s.format }

func (s *bufferSource) Read(block []float64) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(block[:len(block)-len(block)%s.format.NumChannels], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
