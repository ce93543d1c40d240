package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"unicode/utf8"

	"github.com/vqaudio/vqaudio/files"
)

// Tensor is a tensor to write.
type Tensor struct {
	Name  string
	Shape []int
	Data  any // its elements: []float32, []float64, []int64, []int32, []uint8, or []uint16, which are the bits of BF16
}

// typeOf returns the type and number of the elements of a slice; "" if it is something else.
func typeOf(data any) (DType, int) {
	switch d := data.(type) {
	case []float64:
		return F64, len(d)
	case []float32:
		return F32, len(d)
	case []int64:
		return I64, len(d)
	case []int32:
		return I32, len(d)
	case []uint8:
		return U8, len(d)
	case []uint16:
		return BF16, len(d)
	}
	return "", 0
}

// Write writes a file, whole or not at all. Tensors stand in the order given; the same tensors and metadata give the same
// bytes. The data starts at a multiple of 8 bytes. It adds the checksum to the metadata, under the key "crc32". Names and metadata
// must be UTF-8. It panics if a name is there twice or reserved, or if Data is not what Shape says.
func Write(name string, metadata map[string]string, tensors []Tensor) error {
	header, err := encodeHeader(metadata, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	defer f.Discard()
	sum := crc32.NewIEEE()
	w := io.MultiWriter(f, sum)
	if _, err := w.Write(header); err != nil {
		return err
	}
	buffer := make([]byte, 0, chunk)
	for _, t := range tensors {
		d, n := typeOf(t.Data)
		for from, per := 0, chunk/d.Size(); from < n; from += per {
			if _, err := w.Write(appendElements(buffer, t.Data, from, min(from+per, n))); err != nil {
				return err
			}
		}
	}
	digits := []byte(fmt.Sprintf("%08x", sum.Sum32()))
	// Quotes within strings have a backslash before them: this is the key, and nothing else is.
	key := []byte(`"` + checksumKey + `":"`)
	if _, err := f.WriteAt(digits, int64(bytes.Index(header, key)+len(key))); err != nil {
		return err
	}
	return f.Commit()
}

// encodeHeader returns the length and the header, with zeros for the checksum.
func encodeHeader(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[checksumKey] = noChecksum
	for key, value := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("metadata %q is not UTF-8", key)
		}
	}
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	write := func(v any) { // without the line end that the encoder adds
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(err) // strings and integers
		}
		b.Truncate(b.Len() - 1)
	}
	b.WriteString(`{"` + metadataKey + `":`)
	write(metadata) // the json package sorts the keys
	names, at := map[string]bool{metadataKey: true}, 0
	for _, t := range tensors {
		if !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("the tensor's name %q is not UTF-8", t.Name)
		}
		d, n := typeOf(t.Data)
		if bytes, fits := size(d, t.Shape); d == "" || !fits || int(bytes) != n*d.Size() || len(t.Shape) > maxRank || names[t.Name] {
			panic(fmt.Sprintf("safetensors.Write: %T of %d for tensor %q %v, or the name is there twice", t.Data, n, t.Name, t.Shape))
		}
		names[t.Name] = true
		b.WriteByte(',')
		write(t.Name)
		b.WriteByte(':')
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		write(struct {
			DType   DType  `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{d, shape, [2]int{at, at + n*d.Size()}})
		at += n * d.Size()
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if n := b.Len() - 8; n > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes: want at most %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

// appendElements appends elements from to to-1 of data to b.
func appendElements(b []byte, data any, from, to int) []byte {
	switch data := data.(type) {
	case []float32:
		for _, v := range data[from:to] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	case []float64:
		for _, v := range data[from:to] {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	case []int64:
		for _, v := range data[from:to] {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	case []int32:
		for _, v := range data[from:to] {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
	case []uint8:
		b = append(b, data[from:to]...)
	case []uint16:
		for _, v := range data[from:to] {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
	}
	return b
}
