package audio

import (
	"bytes"
	"io"
)

// sniffed is how many bytes tell what a recording is.
const sniffed = 64

// newDecoder returns the decoder of what in begins with, after the ID3v2 tags before it, which it returns too.
func newDecoder(in *input) (decoder, []Chunk, error) {
	var tags []Chunk
	for {
		p, err := in.look(sniffed)
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		if size, ok := id3Size(p); ok {
			tags = append(tags, Chunk{ID: "ID3", Offset: in.offset + id3Header, Size: size})
			at := in.offset
			if n, err := in.skip(id3Header + size); err == io.EOF {
				return nil, nil, in.malformed(at, "the whole tag", "an ID3 tag of %d bytes, %d there", size, n-id3Header)
			} else if err != nil {
				return nil, nil, err
			}
			continue
		}
		d, err := decoderOf(in, p)
		return d, tags, err
	}
}

// decoderOf returns the decoder of what begins with p: the next bytes of in, sniffed of them if there are as many.
func decoderOf(in *input, p []byte) (decoder, error) {
	switch {
	case len(p) == 0 && in.offset == 0:
		return nil, in.malformed(0, "a recording", "nothing: the file is empty")
	case len(p) == 0:
		return nil, in.malformed(in.offset, "a recording", "the end of the file after a tag")
	case isWAV(p):
		return newWAVDecoder(in)
	case bytes.HasPrefix(p, []byte("fLaC")):
		return newFLACDecoder(in)
	case isMP3(p):
		return newMP3Decoder(in)
	}
	if what := refused(p); what != "" {
		return nil, in.unsupported(in.offset, "%s", what)
	}
	return nil, in.malformed(in.offset, "the beginning of a WAV, FLAC or MP3 file", "%q", p[:min(len(p), 8)])
}

// id3Header is the length of the header of an ID3v2 tag.
const id3Header = 10

// id3Size returns the length of the ID3v2 tag at p, after its header and with the footer that it may have (ID3 2.4.0,
// section 3.1).
func id3Size(p []byte) (int64, bool) {
	if len(p) < id3Header || string(p[:3]) != "ID3" || p[3] == 0xff || p[4] == 0xff {
		return 0, false
	}
	var size int64
	for _, b := range p[6:10] {
		if b >= 0x80 {
			return 0, false
		}
		size = size<<7 | int64(b)
	}
	if p[5]&0x10 != 0 {
		size += id3Header
	}
	return size, true
}

// isMP3 reports whether p begins with the header of a frame of MPEG audio, layer III (ISO 11172-3, section 2.4.1.3).
func isMP3(p []byte) bool {
	return isMPEGFrame(p) && p[1]>>1&3 == 1
}

func isMPEGFrame(p []byte) bool {
	return len(p) >= 4 && p[0] == 0xff && p[1]&0xe0 == 0xe0 &&
		p[1]>>3&3 != 1 && // a version
		p[2]>>4 != 15 && // a bit rate
		p[2]>>2&3 != 3 // a sampling rate
}

// magics are the first bytes of recordings that are known but not read.
var magics = []struct {
	offset int
	bytes  string
	what   string
}{
	{0, "RIFF", "RIFF that is not WAVE"},
	{0, "RIFX", "RIFX that is not WAVE"},
	{8, "AIFF", "AIFF"},
	{8, "AIFC", "AIFF-C"},
	{8, "8SVX", "8SVX"},
	{4, "ftyp", "MP4 (M4A, AAC, ALAC)"},
	{0, "caff", "Core Audio Format (CAF)"},
	{0, "riff\x2e\x91\xcf\x11", "Sony Wave64"},
	{0, ".snd", "Sun/NeXT audio (AU)"},
	{0, "NIST_1A", "NIST SPHERE"},
	{0, "ajkg", "Shorten"},
	{0, "wvpk", "WavPack"},
	{0, "MAC ", "Monkey's Audio (APE)"},
	{0, "TTA1", "True Audio (TTA)"},
	{0, "MPCK", "Musepack"},
	{0, "MP+", "Musepack"},
	{0, "#!AMR", "AMR"},
	{0, "\x1a\x45\xdf\xa3", "Matroska (WebM)"},
	{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (ASF)"},
	{0, "FRM8", "DSDIFF"},
	{0, "DSD ", "DSF"},
	{0, "MThd", "MIDI"},
	{0, "Creative Voice File", "Creative Voice"},
	{0, "\x0b\x77", "AC-3"},
}

// refused names the form of what begins with p, "" where it is not known.
func refused(p []byte) string {
	if bytes.HasPrefix(p, []byte("OggS")) {
		for _, codec := range []struct{ mark, what string }{
			{"OpusHead", "Opus in Ogg"}, {"\x01vorbis", "Vorbis in Ogg"}, {"\x7fFLAC", "FLAC in Ogg"}, {"Speex   ", "Speex in Ogg"},
		} {
			if bytes.Contains(p, []byte(codec.mark)) {
				return codec.what
			}
		}
		return "Ogg"
	}
	for _, m := range magics {
		if len(p) >= m.offset && bytes.HasPrefix(p[m.offset:], []byte(m.bytes)) {
			return m.what
		}
	}
	if isMPEGFrame(p) {
		if p[1]>>1&3 == 0 {
			return "AAC (ADTS)"
		}
		return "MPEG audio, layer I or II"
	}
	return ""
}
