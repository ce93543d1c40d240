package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/vqaudio/vqaudio/files"
)

// File is a file that is being read, whose header has been read and found to describe all of its bytes.
type File struct {
	Metadata map[string]string
	Tensors  []Info // in the order of their data

	name     string
	r        io.ReaderAt
	size     int64
	checksum int64 // where its digits are, from the start of the file; 0 if there are none
	closer   io.Closer
}

// Open opens a file. What is not in the format is a [*files.FormatError], an element type other than the [DType]s here a
// [*files.UnsupportedError].
func Open(name string) (*File, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	file, err := New(f, info.Size(), name)
	if err != nil {
		f.Close()
		return nil, err
	}
	file.closer = f
	return file, nil
}

// Close closes the file, if Open has opened it.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// New is [Open] for a file of so many bytes that is there already, or for what is in memory. Errors call it name.
func New(r io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{name: name, r: r, size: size}
	var length [8]byte
	if err := f.readAt(length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, f.wrong(0, fmt.Sprintf("a header of %d bytes", n), fmt.Sprintf("at most the %d that follow, and at most %d: this is no safetensors file, or a part of one", size-8, maxHeader))
	}
	header := make([]byte, n)
	if err := f.readAt(header, 8); err != nil {
		return nil, err
	}
	if !utf8.Valid(header) {
		return nil, f.wrong(8, "a header that is not UTF-8", "JSON")
	}
	p := parser{file: f, Decoder: json.NewDecoder(bytes.NewReader(header)), header: header}
	p.UseNumber()
	if err := p.parse(); err != nil {
		return nil, err
	}
	return f, f.place(8 + int64(n))
}

// place checks that the tensors, which have offsets from the start of the data, fill it, and puts them in order.
func (f *File) place(start int64) error {
	slices.SortStableFunc(f.Tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.bytes, b.bytes)) // an empty one before what begins there
	})
	at := start
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.offset != at-start {
			return f.wrong(at, fmt.Sprintf("tensor %q at byte %d of the data", t.Name, t.offset), fmt.Sprintf("a tensor at byte %d of it, where the one before ends", at-start))
		}
		t.offset = at
		if t.bytes > f.size-at {
			return f.wrong(at, fmt.Sprintf("%d bytes for tensor %q", f.size-at, t.Name), fmt.Sprintf("the %d that the header says", t.bytes))
		}
		at += t.bytes
	}
	if at != f.size {
		return f.wrong(at, fmt.Sprintf("%d more bytes", f.size-at), "the end of the file, as it belongs to no tensor")
	}
	return nil
}

// parser reads the JSON of a header token by token: the json package would take a name that is there twice.
type parser struct {
	*json.Decoder
	file   *File
	header []byte
}

func (p *parser) parse() error {
	names := map[string]bool{}
	err := p.object("a JSON object with a tensor for each name", func(name string) error {
		if names[name] {
			return p.wrong(fmt.Sprintf("%q twice", name), "every name once")
		}
		names[name] = true
		if name == metadataKey {
			return p.metadata()
		}
		return p.tensor(name)
	})
	if err != nil {
		return err
	}
	if end := p.InputOffset(); len(bytes.Trim(p.header[end:], " ")) > 0 {
		return p.wrong(fmt.Sprintf("%.20q", p.header[end:]), "spaces up to the end of the header")
	}
	return nil
}

func (p *parser) metadata() error {
	f := p.file
	f.Metadata = map[string]string{}
	return p.object("an object of strings for "+metadataKey, func(key string) error {
		if _, twice := f.Metadata[key]; twice {
			return p.wrong(fmt.Sprintf("metadata %q twice", key), "every key once")
		}
		token, err := p.next()
		if err != nil {
			return err
		}
		value, ok := token.(string)
		if !ok {
			return p.wrong(fmt.Sprintf("%v for metadata %q", token, key), "a string")
		}
		f.Metadata[key] = value
		if end := p.InputOffset() - 1; key == checksumKey && len(value) == len(noChecksum) && string(p.header[end-8:end]) == value {
			f.checksum = 8 + end - 8
		}
		return nil
	})
}

func (p *parser) tensor(name string) error {
	t := Info{Name: name}
	var offsets []int
	err := p.object(fmt.Sprintf("an object for tensor %q", name), func(key string) error {
		switch {
		case key == "dtype" && t.DType == "":
			token, err := p.next()
			if err != nil {
				return err
			}
			d, ok := token.(string)
			if !ok {
				return p.wrong(fmt.Sprintf("%v for the dtype of tensor %q", token, name), "a string")
			}
			if t.DType = DType(d); t.DType.Size() == 0 {
				return &files.UnsupportedError{File: p.file.name, Offset: 8 + p.InputOffset(), What: fmt.Sprintf("element type %.80q of tensor %.80q", d, name)}
			}
			return nil
		case key == "shape" && t.Shape == nil:
			var err error
			t.Shape, err = p.integers(maxRank)
			return err
		case key == "data_offsets" && offsets == nil:
			var err error
			offsets, err = p.integers(2)
			return err
		}
		return p.wrong(fmt.Sprintf("key %q of tensor %q", key, name), "dtype, shape and data_offsets, each once")
	})
	if err != nil {
		return err
	}
	if t.DType == "" || t.Shape == nil || len(offsets) != 2 {
		return p.wrong(fmt.Sprintf("tensor %q without dtype, shape or two data_offsets", name), "all three")
	}
	n, fits := size(t.DType, t.Shape)
	if !fits {
		return p.wrong(fmt.Sprintf("tensor %q of %v", name, t), "a size that can be counted")
	}
	if offsets[0] > offsets[1] || int64(offsets[1]-offsets[0]) != n {
		return p.wrong(fmt.Sprintf("bytes %d to %d for tensor %q", offsets[0], offsets[1], name), fmt.Sprintf("%d bytes for %v", n, t))
	}
	t.offset, t.bytes = int64(offsets[0]), n
	p.file.Tensors = append(p.file.Tensors, t)
	return nil
}

// object reads an object and calls member behind each key.
func (p *parser) object(what string, member func(key string) error) error {
	switch token, err := p.next(); {
	case err != nil:
		return err
	case token != json.Delim('{'):
		return p.wrong(fmt.Sprintf("%v", token), what)
	}
	for p.More() {
		key, err := p.next()
		if err != nil {
			return err
		}
		if err := member(key.(string)); err != nil { // the json package lets no other key pass
			return err
		}
	}
	_, err := p.next()
	return err
}

// integers reads an array of at most so many numbers that an int holds and that are not negative. It is not nil.
func (p *parser) integers(most int) ([]int, error) {
	switch token, err := p.next(); {
	case err != nil:
		return nil, err
	case token != json.Delim('['):
		return nil, p.wrong(fmt.Sprintf("%v", token), "an array of numbers")
	}
	numbers := []int{}
	for p.More() {
		token, err := p.next()
		if err != nil {
			return nil, err
		}
		number, _ := token.(json.Number)
		v, err := strconv.ParseUint(number.String(), 10, strconv.IntSize-1)
		if err != nil {
			return nil, p.wrong(fmt.Sprintf("%v", token), fmt.Sprintf("a whole number from 0 to %d", math.MaxInt))
		}
		if len(numbers) == most {
			return nil, p.wrong(fmt.Sprintf("more than %d numbers", most), "no more")
		}
		numbers = append(numbers, int(v))
	}
	_, err := p.next()
	return numbers, err
}

// next returns the next token.
func (p *parser) next() (json.Token, error) {
	token, err := p.Token()
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, p.file.wrong(8+syntax.Offset, "in the header: "+syntax.Error(), "JSON")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, p.wrong("the end of the header", "more JSON")
	case err != nil:
		return nil, p.wrong("in the header: "+err.Error(), "JSON")
	}
	return token, nil
}

// wrong returns an error at the place that has been read up to.
func (p *parser) wrong(found, expected string) error {
	return p.file.wrong(8+p.InputOffset(), found, expected)
}

// wrong returns an error of a reasonable length, however long the names in the file are.
func (f *File) wrong(offset int64, found, expected string) error {
	return &files.FormatError{File: f.name, Offset: offset, Found: fmt.Sprintf("%.200s", found), Expected: fmt.Sprintf("%.200s", expected)}
}

func (f *File) readAt(b []byte, offset int64) error {
	n, err := f.r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return f.wrong(offset+int64(n), "the end of the file", fmt.Sprintf("%d more bytes", len(b)-n))
	}
	return err
}

// Find returns the tensor of that name, or false.
func (f *File) Find(name string) (Info, bool) {
	for _, t := range f.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Info{}, false
}

// chunk is the number of bytes that are read and written at a time, a multiple of all sizes of elements.
const chunk = 1 << 16

// Read reads the elements of a tensor of f into dst, a slice of as many: []float32 for F32, BF16 and F16, else []float64,
// []int64, []int32 or []uint8, or []uint16 for the bits of BF16. It panics if dst is something else.
func (f *File) Read(t Info, dst any) error {
	if d, n := typeOf(dst); n != t.Len() || d != t.DType && !(d == F32 && t.DType.Size() == 2) {
		panic(fmt.Sprintf("safetensors.Read: %T of %d for tensor %q, %v", dst, n, t.Name, t))
	}
	buffer, size := make([]byte, min(chunk, t.bytes)), t.DType.Size()
	for from := int64(0); from < t.bytes; from += chunk {
		b := buffer[:min(chunk, t.bytes-from)]
		if err := f.readAt(b, t.offset+from); err != nil {
			return err
		}
		decode(dst, int(from)/size, b, t.DType)
	}
	return nil
}

// decode decodes b to the elements of dst from first on.
func decode(dst any, first int, b []byte, d DType) {
	n := len(b) / d.Size()
	switch dst := dst.(type) {
	case []float32:
		dst = dst[first : first+n]
		switch d {
		case F32:
			for i := range dst {
				dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			}
		case BF16:
			for i := range dst {
				dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
			}
		case F16:
			for i := range dst {
				dst[i] = half(binary.LittleEndian.Uint16(b[2*i:]))
			}
		}
	case []float64:
		for i := range n {
			dst[first+i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case []int64:
		for i := range n {
			dst[first+i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case []int32:
		for i := range n {
			dst[first+i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case []uint8:
		copy(dst[first:], b)
	case []uint16:
		for i := range n {
			dst[first+i] = binary.LittleEndian.Uint16(b[2*i:])
		}
	}
}

// half widens an IEEE 754 binary16.
func half(bits uint16) float32 {
	sign, exponent, fraction := uint32(bits>>15)<<31, uint32(bits>>10)&31, uint32(bits)&1023
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 31: // infinite or NaN
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent-15+127)<<23 | fraction<<13)
}

// Verify returns a [*files.FormatError] if the file has no checksum, or another than it says.
func (f *File) Verify() error {
	if f.checksum == 0 {
		return f.wrong(8, fmt.Sprintf("metadata %s %q", checksumKey, f.Metadata[checksumKey]), "eight hexadecimal digits of a checksum")
	}
	sum := crc32.NewIEEE()
	zeros := []byte(noChecksum)
	after := f.checksum + int64(len(zeros))
	_, err := io.Copy(sum, io.MultiReader(
		io.NewSectionReader(f.r, 0, f.checksum), bytes.NewReader(zeros), io.NewSectionReader(f.r, after, f.size-after)))
	if err != nil {
		return err
	}
	if got, want := fmt.Sprintf("%08x", sum.Sum32()), f.Metadata[checksumKey]; got != want {
		return f.wrong(f.checksum, "a file with the checksum "+got, want+": it is damaged")
	}
	return nil
}
