// Package holdout divides corpora that nobody has divided for training, validation and testing.
package holdout

import (
	"crypto/sha256"
	"encoding/binary"
)

// The splits, as manifests and folders name them.
const (
	Train = "train"
	Valid = "valid"
	Test  = "test"
)

// Split returns the split of what has that name: Train for about 90 of 100 names, Valid and Test for about 5 each. It depends on
// nothing else, so that it is the same on every machine, and stays the same when a corpus grows: the first eight bytes of
// the SHA-256 of the name, as a big-endian number, over 2^64; below 0.05 it is Valid, from there to 0.10 Test.
func Split(name string) string {
	sum := sha256.Sum256([]byte(name))
	switch x := float64(binary.BigEndian.Uint64(sum[:])) / (1 << 64); {
	case x < 0.05:
		return Valid
	case x < 0.10:
		return Test
	}
	return Train
}
