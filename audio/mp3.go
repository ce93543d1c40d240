package audio

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hajimehoshi/go-mp3"
)

// mp3Decoder reads MP3: MPEG-1, MPEG-2 and MPEG-2.5 audio, layer III (ISO 11172-3, ISO 13818-3), of one or two channels.
//
// The stream is a row of frames of 1152 samples, or 576 below 32 kHz. A frame has a header of 4 bytes, perhaps a checksum
// of 2, side information, and main data, of which a part may lie in the frames before it (the reservoir). The first may
// hold no sound but, as Xing's and LAME's encoders write it, the number of frames and of the samples that the
// encoder has added at both ends: these are taken off again.
//
// github.com/hajimehoshi/go-mp3 decodes the frames, to 16 bits, which is finer than MP3 is. It is handed one whole frame
// at a time, checked and where needed rewritten, because by itself it
//   - takes a file of bytes for sound wherever something looks like a header, allocates what an ID3 tag says, and panics
//     where a frame contradicts itself;
//   - mistakes the length of padded frames of MPEG-2 (many files of 22.05 kHz turn into noise), and refuses MPEG-2.5;
//   - decodes intensity stereo wrongly: this is refused;
//   - decodes noise where the reservoir is missing, as at the start of a recording cut from a longer one;
//   - always delivers two channels.
//
// What is in a frame cannot be checked further: most changed bits of main data are other sound.
type mp3Decoder struct {
	in    *input
	info  Info
	first mp3Header // what the others have to be like

	library *mp3.Decoder // nil before the first frame
	feed    mp3Feed
	have    int    // bytes of main data that the library has kept, of the last ones
	tail    []byte // the last of the main data, for frames that are rewritten
	pcm     []byte // of a frame, as the library gives it

	frames int64 // decoded
	total  int64 // frames in the file as the first says, 0 where it does not
	end    int64 // samples of a channel until the padding begins, where total > 0
	at     int64 // samples of a channel decoded, from 0 on after the encoder's delay
	block  []float64
	ready  []float64 // of block, not handed out
	ended  bool
	silent int64 // frames without their reservoir
	junk   int64 // bytes that belong to no frame
	junkAt int64 // where the first of them is
}

// mp3Delay is by how many samples a decoder is late, after the delay of the encoder that the file states.
const mp3Delay = 529

// mp3Reservoir is how many bytes of main data a frame of MPEG-2 can take from those before it.
const mp3Reservoir = 255

// mp3Header is the header of a frame, valid.
type mp3Header uint32

// mp3HeaderOf returns the header at p, if it is one of layer III and has a bit rate.
func mp3HeaderOf(p []byte) (mp3Header, bool) {
	if !isMP3(p) || p[2]>>4 == 0 {
		return 0, false
	}
	return mp3Header(binary.BigEndian.Uint32(p)), true
}

// mp3Rates are the sampling rates of MPEG-1 in Hz.
var mp3Rates = [3]int{44100, 48000, 32000}

// mp3Bitrates are the bit rates in kbit/s of MPEG-1, and of MPEG-2 and 2.5.
var mp3Bitrates = [2][15]int{
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// version is 0 for MPEG-1, 1 for MPEG-2, 2 for MPEG-2.5.
func (h mp3Header) version() int { return [4]int{2, -1, 1, 0}[h>>19&3] }

// low is 0 for MPEG-1, and 1 for the others: one granule of 576 samples a frame instead of two.
func (h mp3Header) low() int { return min(h.version(), 1) }

func (h mp3Header) rate() int { return mp3Rates[h>>10&3] >> h.version() }

func (h mp3Header) channels() int {
	if h>>6&3 == 3 {
		return 1
	}
	return 2
}

func (h mp3Header) samples() int { return 1152 >> h.low() }

// size is the length of the frame in bytes.
func (h mp3Header) size() int {
	return 144>>h.low()*1000*mp3Bitrates[h.low()][h>>12&15]/h.rate() + int(h>>9&1)
}

// side is where the side information begins and ends.
func (h mp3Header) side() (from, to int) {
	from = 4
	if h>>16&1 == 0 {
		from += 2 // a checksum
	}
	return from, from + [2][2]int{{17, 32}, {9, 17}}[h.low()][h.channels()-1]
}

// like reports whether frames of g and h can be of one recording.
func (h mp3Header) like(g mp3Header) bool {
	const version, rate = 3 << 19, 3 << 10
	return h&(version|rate) == g&(version|rate) && h.channels() == g.channels()
}

// newMP3Decoder reads the first frame.
func newMP3Decoder(in *input) (*mp3Decoder, error) {
	p, err := in.look(4)
	if err != nil {
		return nil, err
	}
	h, ok := mp3HeaderOf(p)
	switch {
	case !ok:
		return nil, in.unsupported(in.offset, "MP3 of free bit rate")
	case h.rate() == 8000:
		return nil, in.unsupported(in.offset, "MP3 of 8 kHz")
	}
	d := &mp3Decoder{in: in, first: h}
	d.info = Info{Container: "MP3", Encoding: "MP3", Channels: h.channels(), Rate: h.rate(), Frames: -1}
	p, err = in.look(h.size() + 4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(p) < h.size() {
		return nil, in.malformed(in.offset, "a whole frame", "an MP3 frame of %d bytes, %d there", h.size(), len(p))
	}
	if after := p[h.size():]; len(after) == 4 {
		if next, ok := mp3HeaderOf(after); (!ok || !next.like(h)) && mp3Tag(after) == "" {
			return nil, in.malformed(in.offset+int64(h.size()), "the next MP3 frame", "%q", after)
		}
	}
	if d.about(p[:h.size()]) {
		in.skip(int64(h.size()))
	}
	return d, nil
}

// about reads what a first frame without sound says about the others. It returns false if the frame is not such a one.
func (d *mp3Decoder) about(p []byte) bool {
	if at := 4 + 32; len(p) >= at+18 && string(p[at:at+4]) == "VBRI" { // by Fraunhofer's encoder
		d.expect(int64(binary.BigEndian.Uint32(p[at+14:])), 0, 0)
		return true
	}
	from, to := d.first.side()
	after := p[min(to, len(p)):]
	if !isXing(after) {
		after = p[min(4+to-from, len(p)):] // for some, the checksum is part of the side information
	}
	if !isXing(after) {
		return false
	}
	const frames, bytes, seek, quality = 1, 2, 4, 8
	flags := binary.BigEndian.Uint32(after[4:])
	after = after[8:]
	var total, delay, padding int64
	for _, field := range []struct {
		flag uint32
		size int
	}{{frames, 4}, {bytes, 4}, {seek, 100}, {quality, 4}} {
		if flags&field.flag == 0 {
			continue
		}
		if len(after) < field.size {
			return true
		}
		if field.flag == frames {
			total = int64(binary.BigEndian.Uint32(after))
		}
		after = after[field.size:]
	}
	// LAME's part: its name, and at byte 21 delay and padding in samples, 12 bits each. FFmpeg writes it too.
	if len(after) >= 24 && (strings.HasPrefix(string(after), "LAME") || strings.HasPrefix(string(after), "Lavc") || strings.HasPrefix(string(after), "Lavf")) {
		delay = int64(after[21])<<4 | int64(after[22]>>4)
		padding = int64(after[22]&15)<<8 | int64(after[23])
		delay += mp3Delay
		padding -= mp3Delay
	}
	d.expect(total, delay, padding)
	return true
}

func isXing(p []byte) bool {
	return len(p) >= 8 && (string(p[:4]) == "Xing" || string(p[:4]) == "Info")
}

// expect notes how many frames there should be, and how many samples at both ends are not of the recording. A padding
// below 0 is sound that is missing at the end, because the decoder is late.
func (d *mp3Decoder) expect(frames, delay, padding int64) {
	d.at = -delay
	d.total = frames
	d.end = frames*int64(d.first.samples()) - delay - max(padding, 0)
	if d.total > 0 && d.end >= 0 {
		d.info.Frames = d.end
	} else {
		d.total = 0
	}
}

// Info returns what is known so far.
func (d *mp3Decoder) Info() Info { return d.info }

// Read fills block with whole frames.
func (d *mp3Decoder) Read(block []float64) (int, error) {
	for len(d.ready) == 0 {
		if d.ended {
			return 0, io.EOF
		}
		if err := d.next(); err != nil {
			return 0, err
		}
	}
	n := copy(block[:len(block)-len(block)%d.info.Channels], d.ready)
	d.ready = d.ready[n:]
	return n, nil
}

// next decodes a frame, passes over what is none, or finds the end.
func (d *mp3Decoder) next() error {
	p, err := d.in.look(4)
	if err != nil && err != io.EOF {
		return err
	}
	if len(p) == 0 {
		d.finish()
		return nil
	}
	h, ok := mp3HeaderOf(p)
	if !ok || !h.like(d.first) {
		return d.skipJunk()
	}
	p, err = d.in.look(h.size())
	if err != nil && err != io.EOF {
		return err
	}
	if len(p) < h.size() {
		d.info.Truncated = true
		d.oddity("the last frame has %d of %d bytes", len(p), h.size())
		d.in.skip(int64(len(p)))
		return nil
	}
	if err := d.decode(h, p); err != nil {
		return err
	}
	if _, err := d.in.skip(int64(len(p))); err != nil {
		return err
	}
	d.frames++

	// From is where the recording begins in this frame, to where it ends if this is the last.
	from, to := max(0, -d.at), int64(h.samples())
	if d.frames == d.total {
		if after, _ := d.in.look(4); len(after) == 4 {
			if next, ok := mp3HeaderOf(after); ok && next.like(d.first) {
				d.oddity("more frames than the %d that the first one says", d.total)
				d.total = 0
			}
		}
	}
	if d.total > 0 {
		to = min(to, d.end-d.at)
	}
	channels := d.info.Channels
	d.block = d.block[:0]
	for i := from; i < to; i++ {
		for c := range channels {
			d.block = append(d.block, float64(int16(binary.LittleEndian.Uint16(d.pcm[4*i+int64(2*c):])))/(1<<15))
		}
	}
	d.ready = d.block
	d.at += int64(h.samples())
	return nil
}

// finish says at the end what it was like.
func (d *mp3Decoder) finish() {
	d.ended = true
	if d.total > d.frames {
		d.info.Truncated = true
		d.oddity("%d frames of the %d that the first one says", d.frames, d.total)
	}
	d.info.Frames = max(0, d.at)
	if d.total > 0 {
		d.info.Frames = max(0, min(d.at, d.end))
	}
	if d.silent > 0 {
		d.oddity("%d frames are silent, because what they need of others is missing", d.silent)
	}
	if d.junk > 0 {
		d.oddity("%d bytes that belong to no frame, the first at byte %d", d.junk, d.junkAt)
	}
}

func (d *mp3Decoder) oddity(format string, args ...any) {
	d.info.Oddities = append(d.info.Oddities, fmt.Sprintf(format, args...))
}

// mp3Tag names the tag that begins with p, "" for none.
func mp3Tag(p []byte) string {
	for _, tag := range []string{"TAG", "APETAGEX", "ID3"} {
		if n := min(len(p), len(tag)); n >= 3 && string(p[:n]) == tag[:n] {
			return tag
		}
	}
	return ""
}

// skipJunk passes over a tag, or to the next frame: one that is followed by another, or by the end of the file.
func (d *mp3Decoder) skipJunk() error {
	p, err := d.in.look(inputBuffer)
	if err != nil && err != io.EOF {
		return err
	}
	size := int64(0)
	switch tag := mp3Tag(p); {
	case tag == "TAG" && len(p) >= 128: // ID3v1
		size = 128
	case tag == "APETAGEX" && len(p) >= 32:
		size = 32 + int64(binary.LittleEndian.Uint32(p[12:]))
	case tag == "ID3":
		if n, ok := id3Size(p); ok {
			size = id3Header + n
		}
	}
	if size > 0 {
		if len(d.info.Chunks) < maxChunks {
			d.info.Chunks = append(d.info.Chunks, Chunk{ID: mp3Tag(p), Offset: d.in.offset, Size: size})
		}
		if n, err := d.in.skip(size); err == io.EOF {
			d.oddity("a tag of %d bytes, of which %d are there", size, n)
		} else if err != nil {
			return err
		}
		return nil
	}
	n := 1
	for ; n < len(p); n++ {
		h, ok := mp3HeaderOf(p[n:])
		if !ok || !h.like(d.first) || n+h.size() > len(p) {
			continue
		}
		after := p[n+h.size():]
		if next, ok := mp3HeaderOf(after); ok && next.like(d.first) || len(after) == 0 && err == io.EOF {
			break
		}
	}
	if n == len(p) && err != io.EOF {
		return d.in.malformed(d.in.offset, "an MP3 frame", "%q and on, for %d bytes without one", p[:8], n)
	}
	if d.junk == 0 {
		d.junkAt = d.in.offset
	}
	d.junk += int64(n)
	_, err = d.in.skip(int64(n))
	return err
}

// decode gives the frame p to the library and leaves its sound in d.pcm.
func (d *mp3Decoder) decode(h mp3Header, p []byte) (err error) {
	from, to := h.side()
	if to > len(p) {
		return d.in.malformed(d.in.offset, fmt.Sprintf("at least %d, for its side information", to), "an MP3 frame of %d bytes", len(p))
	}
	if h>>6&3 == 1 && h>>4&1 == 1 {
		return d.in.unsupported(d.in.offset, "MP3 with intensity stereo")
	}
	begin, need, err := d.sideInfo(h, p[from:to])
	if err != nil {
		return err
	}
	if h.low() == 0 {
		d.pass(h, p, begin, need)
	} else if err := d.rewrite(h, p[from:to], p[to:], begin, need); err != nil {
		return err
	}
	d.pcm = d.pcm[:cap(d.pcm)]
	if n := 4 * h.samples(); len(d.pcm) < n {
		d.pcm = make([]byte, n)
	}
	defer func() {
		if r := recover(); r != nil {
			err = d.in.malformed(d.in.offset, "an MP3 frame", "a frame that contradicts itself (%v)", r)
		}
	}()
	if d.library == nil {
		if d.library, err = mp3.NewDecoder(&d.feed); err != nil {
			return d.in.malformed(d.in.offset, "an MP3 frame", "a frame that cannot be decoded (%v)", err)
		}
	}
	if _, err := io.ReadFull(d.library, d.pcm[:4*h.samples()]); err != nil || len(d.feed.rest) > 0 {
		return d.in.malformed(d.in.offset, "an MP3 frame", "a frame that cannot be decoded (%v)", err)
	}
	return nil
}

// sideInfo returns from the side information of a frame how many bytes before its main data its sound begins, and how
// many bytes it has.
func (d *mp3Decoder) sideInfo(h mp3Header, side []byte) (begin, need int, err error) {
	bits := func(at, n int) int {
		v := 0
		for i := at; i < at+n; i++ {
			v = v<<1 | int(side[i/8]>>(7-i%8)&1)
		}
		return v
	}
	channels := h.channels()
	at, length, granules := 9+[2]int{5, 3}[channels-1]+4*channels, 59, 2 // ISO 11172-3, section 2.4.1.7
	begin = bits(0, 9)
	if h.low() == 1 {
		at, length, granules = 8+channels, 63, 1 // ISO 13818-3, section 2.4.1.7
		begin = bits(0, 8)
	}
	for i := range granules * channels {
		need += bits(at+i*length, 12)
		if pairs := bits(at+i*length+12, 9); pairs > 288 {
			return 0, 0, d.in.malformed(d.in.offset, "at most 288", "an MP3 frame of %d pairs of values", pairs)
		}
	}
	return begin, (need + 7) / 8, nil
}

// pass feeds a frame of MPEG-1 as it is, but as silence if its sound is not all there.
func (d *mp3Decoder) pass(h mp3Header, p []byte, begin, need int) {
	from, to := h.side()
	frame := d.feed.next(len(p))
	copy(frame, p)
	frame[3] &^= 3 // emphasis, of which the library does not take the reserved value
	if begin > d.have || need > begin+len(p)-to {
		d.silent++
		clear(frame[from:to])
		begin = 0
	}
	d.have = begin + len(p) - to
}

// rewrite feeds a frame of MPEG-2 or 2.5 as one of MPEG-2 at the highest bit rate, whose length the library gets right:
// first the sound that is in the frame itself, then zeros, and at the end what the next frame may take. MPEG-2.5 has the
// bands of MPEG-2 at 16 kHz, except at 8 kHz.
func (d *mp3Decoder) rewrite(h mp3Header, side, main []byte, begin, need int) error {
	const noChecksum, highest, padded = 1 << 16, 14 << 12, 1 << 9
	to := h&^(3<<19|15<<12|padded|3) | 2<<19 | noChecksum | highest
	if h.version() == 2 {
		to = to&^(3<<10) | 2<<10
	}
	frame := d.feed.next(to.size())
	clear(frame)
	binary.BigEndian.PutUint32(frame, uint32(to))
	sound := frame[4+len(side):]
	own := max(0, need-begin) // of the bytes of sound
	switch {
	case begin > d.have || own > len(main):
		d.silent++
		own = 0
	case own > len(sound):
		return d.in.unsupported(d.in.offset, "MP3 of MPEG-2 with a frame of %d bytes of sound", own)
	default:
		copy(frame[4:], side)
		copy(sound, main[:own])
	}
	d.tail = append(d.tail, main...)
	d.tail = append(d.tail[:0], d.tail[max(0, len(d.tail)-mp3Reservoir):]...)
	d.have = min(len(d.tail), len(sound)-own)
	copy(sound[len(sound)-d.have:], d.tail[len(d.tail)-d.have:])
	return nil
}

// mp3Feed is what the library reads from: the frame that it is to decode next.
type mp3Feed struct {
	frame, rest []byte
}

// next returns the n bytes that are to be filled with the next frame.
func (f *mp3Feed) next(n int) []byte {
	f.frame = slices.Grow(f.frame[:0], n)[:n]
	f.rest = f.frame
	return f.frame
}

func (f *mp3Feed) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}
