package audio

import (
	"bytes"
	"encoding/binary"
)

// The encodings of a fmt chunk that matter here (RFC 2361 registers all).
const (
	wavTagPCM        = 0x0001
	wavTagFloat      = 0x0003
	wavTagALaw       = 0x0006
	wavTagMuLaw      = 0x0007
	wavTagExtensible = 0xfffe
)

// wavCompressed names the encodings that are not read.
var wavCompressed = map[uint16]string{
	0x0002: "Microsoft ADPCM in WAV",
	0x0010: "OKI ADPCM in WAV",
	0x0011: "IMA ADPCM in WAV",
	0x0014: "G.723 ADPCM in WAV",
	0x0015: "DIGISTD in WAV",
	0x0017: "Dialogic OKI ADPCM in WAV",
	0x0020: "Yamaha ADPCM in WAV",
	0x0022: "TrueSpeech in WAV",
	0x0031: "GSM 6.10 in WAV",
	0x0040: "G.721 ADPCM in WAV",
	0x0042: "G.723.1 in WAV",
	0x0045: "G.726 ADPCM in WAV",
	0x0050: "MPEG audio, layer I or II, in WAV",
	0x0055: "MP3 in WAV",
	0x0064: "G.726 ADPCM in WAV",
	0x0065: "G.722 in WAV",
	0x0083: "G.729 in WAV",
	0x0092: "AC-3 (S/PDIF) in WAV",
	0x00ff: "AAC in WAV",
	0x0160: "Windows Media Audio in WAV",
	0x0161: "Windows Media Audio in WAV",
	0x0162: "Windows Media Audio in WAV",
	0x0163: "Windows Media Audio in WAV",
	0x1600: "AAC (ADTS) in WAV",
	0x1610: "AAC in WAV",
	0x2000: "AC-3 in WAV",
	0x2001: "DTS in WAV",
	0x566f: "Vorbis in WAV",
	0x674f: "Vorbis in WAV",
	0xf1ac: "FLAC in WAV",
}

// wavGUIDTails are the sub-formats of WAVE_FORMAT_EXTENSIBLE that begin with a tag of 32 bits: those of Microsoft, and
// those of Ambisonic B-format. Each is here in the two orders of bytes.
var wavGUIDTails = []struct {
	order binary.ByteOrder
	tail  string
}{
	{binary.LittleEndian, "\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"},
	{binary.BigEndian, "\x00\x00\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"},
	{binary.LittleEndian, "\x21\x07\xd3\x11\x86\x44\xc8\xc1\xca\x00\x00\x00"},
	{binary.BigEndian, "\x07\x21\x11\xd3\x86\x44\xc8\xc1\xca\x00\x00\x00"},
}

// wavGUIDTag returns the tag of the sub-format guid. Files of either order of bytes are about with GUIDs of either.
func wavGUIDTag(guid []byte) (uint16, bool) {
	for _, g := range wavGUIDTails {
		if tag := g.order.Uint32(guid); string(guid[4:]) == g.tail && tag < 1<<16 {
			return uint16(tag), true
		}
	}
	return 0, false
}

// format takes in the fmt chunk, whose first bytes are p, at byte at of the file.
func (d *wavDecoder) format(p []byte, at int64) error {
	if len(p) < 16 {
		return d.in.malformed(at, "at least 16", `%d bytes of chunk "fmt "`, len(p))
	}
	order := d.order
	tag, channels, rate := order.Uint16(p), int(order.Uint16(p[2:])), order.Uint32(p[4:])
	byteRate, align, bits := order.Uint32(p[8:]), int(order.Uint16(p[12:])), int(order.Uint16(p[14:]))
	valid := bits
	if tag == wavTagExtensible {
		if len(p) < 40 {
			return d.in.malformed(at, "40", `%d bytes of chunk "fmt " of WAVE_FORMAT_EXTENSIBLE`, len(p))
		}
		valid = int(order.Uint16(p[18:]))
		var known bool
		if tag, known = wavGUIDTag(p[24:40]); !known {
			return d.in.unsupported(at+24, "WAV sub-format %x", p[24:40])
		}
	}

	switch {
	case channels == 0:
		return d.in.malformed(at+2, "1 to 256", "0 channels")
	case channels > maxChannels:
		return d.in.unsupported(at+2, "WAV of %d channels", channels)
	case rate == 0 || rate > maxRate:
		return d.in.malformed(at+4, "1 Hz to 10 MHz", "a rate of %d Hz", rate)
	}
	width := (bits + 7) / 8 // bytes that a sample needs
	d.stride = width
	switch tag {
	case wavTagPCM:
		d.info.Encoding = "PCM"
		if bits == 0 || bits > 64 {
			return d.in.malformed(at+14, "1 to 64", "PCM of %d bits", bits)
		}
		if align%channels == 0 && align/channels > width && align/channels <= 8 {
			d.stride = align / channels
			d.odd("%d bits in %d bytes: read from the low %d", bits, d.stride, width)
		}
		d.decode = wavPCM(width, d.stride, d.info.Container == "RIFX")
	case wavTagFloat:
		d.info.Encoding = "FLOAT"
		if bits != 32 && bits != 64 {
			return d.in.malformed(at+14, "32 or 64", "floating-point samples of %d bits", bits)
		}
		d.decode = wavFloat(bits, d.info.Container == "RIFX")
	case wavTagALaw, wavTagMuLaw:
		d.info.Encoding, d.decode = "ALAW", wavTable(&aLawTable)
		if tag == wavTagMuLaw {
			d.info.Encoding, d.decode = "MULAW", wavTable(&muLawTable)
		}
		if bits != 8 {
			return d.in.malformed(at+14, "8", "%s of %d bits", d.info.Encoding, bits)
		}
	case 0:
		return d.in.malformed(at, "an encoding", "encoding 0")
	default:
		if what := wavCompressed[tag]; what != "" {
			return d.in.unsupported(at, "%s", what)
		}
		return d.in.unsupported(at, "WAV encoding 0x%04x", tag)
	}

	d.info.Channels, d.info.Rate, d.info.Bits = channels, int(rate), bits
	if want := channels * d.stride; align != want {
		d.odd("block align %d, not %d", align, want)
	} else if uint64(byteRate) != uint64(rate)*uint64(align) {
		d.odd("byte rate %d, not %d", byteRate, uint64(rate)*uint64(align))
	}
	if valid == 0 || valid > bits {
		d.odd("%d valid bits of %d", valid, bits)
		valid = bits
	}
	d.info.ValidBits = valid
	return nil
}

// wavID reports whether p begins with what may be the id of a chunk: printable, or the rest zero.
func wavID(p []byte) bool {
	id := bytes.TrimRight(p[:4], "\x00")
	for _, b := range id {
		if b < 0x20 || b > 0x7e {
			return false
		}
	}
	return len(id) > 0
}
