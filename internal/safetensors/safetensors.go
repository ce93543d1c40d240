// Package safetensors reads and writes files of named tensors that Python reads too
// (https://huggingface.co/docs/safetensors, section Format):
//
//	8 bytes          length N of the header, little-endian
//	N bytes          the header, JSON: {"__metadata__": {KEY: STRING, ...},
//	                 NAME: {"dtype": "F32", "shape": [64, 128], "data_offsets": [BEGIN, END]}, ...}, then spaces
//	all other bytes  the data: tensors without gaps, row-major, little-endian. Offsets count from its start.
//
// One metadata key belongs to this package: "crc32" holds the checksum of the file, so that [File.Verify] finds any change.
// It is eight hexadecimal digits of the CRC-32 (IEEE, Python's zlib.crc32) of the whole file with zeros in the place of those
// digits.
package safetensors

import (
	"fmt"
	"math"
)

// Limits of what is read.
const (
	maxHeader = 1 << 24 // bytes, as its maps take ten times as many; the format itself allows 100 MB
	maxRank   = 8
)

const (
	metadataKey = "__metadata__"
	checksumKey = "crc32"
	noChecksum  = "00000000" // as long as a checksum is
)

// DType is the type of a tensor's elements, by its name in the format.
type DType string

// The types that are read and, but for F16, written.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	U8   DType = "U8"
)

// Size is the number of bytes of an element; 0 for a type that is not known here.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16:
		return 2
	case U8:
		return 1
	}
	return 0
}

// Info describes a tensor in a file.
type Info struct {
	Name  string
	DType DType
	Shape []int // without sizes it is a scalar

	offset, bytes int64 // of its data, from the start of the file
}

// Len is the number of elements.
func (i Info) Len() int { return int(i.bytes) / i.DType.Size() }

// size returns the number of bytes of so many elements as the shape says, or false if it is beyond an int.
func size(d DType, shape []int) (int64, bool) {
	n := uint64(d.Size())
	for _, s := range shape {
		if s == 0 {
			return 0, true // whatever overflows elsewhere
		}
	}
	for _, s := range shape {
		if n > math.MaxInt/uint64(s) {
			return 0, false
		}
		n *= uint64(s)
	}
	return int64(n), true
}

// String is the type and the shape: "F32 [64 128]".
func (i Info) String() string { return fmt.Sprintf("%s %v", i.DType, i.Shape) }
