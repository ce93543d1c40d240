package audio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/vqaudio/vqaudio/files"
)

// inputBuffer is how many bytes a decoder can look ahead, and reads at once.
const inputBuffer = 64 << 10

// input is the bytes of a recording, read once from the start to the end. Lengths that a file states are safe in its
// methods: nothing is allocated for them.
type input struct {
	name   string
	offset int64 // of the next byte
	size   int64 // of the whole, -1 where it is not known
	buffer *bufio.Reader
}

// newInput reads from r, whose size is -1 where it is not known.
func newInput(r io.Reader, name string, size int64) *input {
	return &input{name: name, size: size, buffer: bufio.NewReaderSize(r, inputBuffer)}
}

// look returns the next bytes, n at most and at most inputBuffer, without taking them. Fewer come with io.EOF or the error
// that has ended the input. They are good until the next call.
func (in *input) look(n int) ([]byte, error) {
	p, err := in.buffer.Peek(min(n, inputBuffer))
	return p, in.named(err)
}

// skip goes n bytes on, or to the end of the input, and returns how far it got: less than n comes with io.EOF, or the
// error that has ended the input.
func (in *input) skip(n int64) (int64, error) {
	for left := n; left > 0; {
		k, err := in.buffer.Discard(int(min(left, math.MaxInt32)))
		in.offset += int64(k)
		left -= int64(k)
		if err != nil {
			return n - left, in.named(err)
		}
	}
	return n, nil
}

// Read is that of io.Reader.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.buffer.Read(p)
	in.offset += int64(n)
	return n, in.named(err)
}

// named gives err the name of the input, unless it has one. Io.EOF stays what it is.
func (in *input) named(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%s: %w", in.name, err)
}

// malformed is the error that the bytes at offset are not what they should be.
func (in *input) malformed(offset int64, expected, found string, args ...any) error {
	return &files.FormatError{File: in.name, Offset: offset, Found: fmt.Sprintf(found, args...), Expected: expected}
}

// unsupported is the error that the bytes at offset name a form that is not read.
func (in *input) unsupported(offset int64, what string, args ...any) error {
	return &files.UnsupportedError{File: in.name, Offset: offset, What: fmt.Sprintf(what, args...)}
}
