// Package compress keeps units in files of few bytes: each unit at the cost of its probability under a prior, a net that predicts it
// from those before it. Whoever has the same prior reads them back, all of them, on any machine.
//
// A [Writer] codes utterances, a [Reader] decodes them; both work on all cores, and what they make does not depend on the number of cores.
// The former keeps the names of all utterances in memory; nothing else grows with the file. Probabilities are the whole numbers of
// [wavenet.Predictor], the coder is package rangecoder.
//
// # The file
//
// Numbers are unsigned varints (encoding/binary), checksums CRC-32C in four bytes, little endian, of what is named.
//
//	header   "vqu", version 1           4 bytes
//	         fingerprint of the prior   8 bytes
//	         fingerprint of the model   8 bytes
//	         rate, hop, K               of the units: Hz, samples, how many different ones
//	         checksum                   of all this
//	block    0xB5 'B'
//	         number                     of the block, from 0
//	         first                      twice the number of its first utterance, from 0; plus 1 if that began in the block before
//	         sizes                      of the table and of the code, in bytes
//	         table                      deflated (RFC 1951): for each utterance 4 frames + 2 (it goes on in the next block)
//	                                    + 1 (it has durations), then its name and a newline
//	         checksum                   of all this
//	         code                       of the units of all utterances, each from the start of a sequence
//	         checksum                   of the code
//	...
//	end      0xB5 'E'
//	         blocks, utterances         how many there are
//	         checksum                   of all this
//
// A block has at most 16384 frames. An utterance that does not fit into what is left of a block begins the next one, and has several if
// need be. So blocks depend on nothing but the prior: what is damaged is lost, and nothing besides. Units with durations are coded as
// frames.
package compress

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Prior is a net over the units of a model, and what tells both from others.
type Prior struct {
	Net         *wavenet.Net // over Info.K classes, with a softmax and no local condition
	Global      []float32    // its global condition; nil if it has none
	Fingerprint string       // 16 hexadecimal digits
	Info        units.Info   // of the units: all of it
}

const (
	magic   = "vqu"
	version = 1

	maxFrames = 1 << 14 // of a block
	maxTable  = 1 << 16 // bytes of a table, as it is and deflated
	maxName   = 1 << 12 // bytes
	maxCode   = maxFrames*wavenet.FrequencyBits/8 + 8
	checksum  = 4 // bytes
	maxHeader = len(magic) + 1 + 2*8 + 3*binary.MaxVarintLen32 + checksum
	maxHead   = 2 + 4*binary.MaxVarintLen64 + maxTable + checksum

	markFirst, markBlock, markEnd = 0xB5, 'B', 'E'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendChecksum appends the checksum of b[from:].
func appendChecksum(b []byte, from int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// header is what a file begins with.
type header struct {
	version      byte
	prior, model [8]byte
	rate, hop, k uint64
}

// header returns what a file of p begins with. It is an error if p cannot be kept in one.
func (p Prior) header() (header, error) {
	h := header{version: version, rate: uint64(p.Info.Rate), hop: uint64(p.Info.Hop), k: uint64(p.Info.K)}
	for _, f := range []struct {
		of   string
		text string
		to   *[8]byte
	}{{"prior", p.Fingerprint, &h.prior}, {"model", p.Info.Model, &h.model}} {
		b, err := hex.DecodeString(f.text)
		if err != nil || len(b) != len(f.to) {
			return header{}, fmt.Errorf("fingerprint %.40q of the %s: want 16 hexadecimal digits", f.text, f.of)
		}
		copy(f.to[:], b)
	}
	if p.Info.K != p.Net.Config.Classes {
		panic(fmt.Sprintf("compress: a net over %d classes for %d units", p.Net.Config.Classes, p.Info.K))
	}
	return h, nil
}

func (h header) append(b []byte) []byte {
	from := len(b)
	b = append(append(b, magic...), h.version)
	b = append(append(b, h.prior[:]...), h.model[:]...)
	for _, v := range []uint64{h.rate, h.hop, h.k} {
		b = binary.AppendUvarint(b, v)
	}
	return appendChecksum(b, from)
}

// parseHeader reads the header that b begins with. Of another version, there is only that.
func parseHeader(b []byte) (h header, at int, w *wrong) {
	if len(b) <= len(magic) || string(b[:len(magic)]) != magic {
		return header{}, 0, &wrong{0, fmt.Sprintf("%.8q", b), "compressed units: " + magic}
	}
	at = len(magic)
	if h.version = b[at]; h.version != version {
		return h, at, nil
	}
	at++
	for _, f := range []*[8]byte{&h.prior, &h.model} {
		at += copy(f[:], b[at:])
	}
	v, at, w := numbers(b, min(at, len(b)), 3, "rate, hop and K")
	if w == nil {
		w = check(b, at, "the header")
	}
	if w != nil {
		return header{}, 0, w
	}
	h.rate, h.hop, h.k = v[0], v[1], v[2]
	return h, at + checksum, nil
}
