package audio

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/mewkiz/flac/frame"
)

// flacDecoder reads FLAC (RFC 9639), of 4 to 24 bits and 1 to 8 channels.
//
// The stream begins with blocks of metadata, of which the first, STREAMINFO, says what all frames of sound have in common. A
// frame is a header, the samples of each channel one channel after another, and a checksum of it all. STREAMINFO may also
// have the number of samples and their MD5 sum. A frame that is damaged, and a sum that does not agree at the end, are
// errors; a file that ends too early is not: see [Info].
//
// Frames are decoded by github.com/mewkiz/flac, whose reader of whole streams is gone round: it believes the lengths of
// metadata, needs the depth of samples in every frame, and does not tell what is damaged from what is cut off. More than 24
// bits it does not decode. At 24 and at 176.4 kHz it writes a line to the standard logger for each frame: a program that
// reads such files may want to silence that.
type flacDecoder struct {
	in   *input
	info Info

	total int64          // frames of sound, in the sense of Info, as STREAMINFO has them; 0 where it does not
	sum   [md5.Size]byte // of the samples, as STREAMINFO has it; zero where it does not
	md5   hash.Hash      // of the samples so far
	read  int64          // frames of sound decoded

	block  []*frame.Subframe // the samples of a frame of the stream: one for each channel
	size   int               // of block
	pos    int               // handed out
	packed []byte            // samples on their way to md5
	ended  bool
}

// flacBlocks are the names of the blocks of metadata.
var flacBlocks = [...]string{"STREAMINFO", "PADDING", "APPLICATION", "SEEKTABLE", "VORBIS_COMMENT", "CUESHEET", "PICTURE"}

// newFLACDecoder reads up to the first frame.
func newFLACDecoder(in *input) (*flacDecoder, error) {
	d := &flacDecoder{in: in, md5: md5.New()}
	d.info = Info{Container: "FLAC", Encoding: "FLAC", Frames: -1}
	in.skip(int64(len("fLaC")))
	for first, last := true, false; !last; first = false {
		at := in.offset
		p, err := in.look(4)
		if err == io.EOF {
			return nil, in.malformed(at, "a block of metadata", "the end of the file")
		} else if err != nil {
			return nil, err
		}
		var kind int
		last, kind = p[0]&0x80 != 0, int(p[0]&0x7f)
		c := Chunk{ID: fmt.Sprint(kind), Offset: at + 4, Size: int64(p[1])<<16 | int64(p[2])<<8 | int64(p[3])}
		if kind < len(flacBlocks) {
			c.ID = flacBlocks[kind]
		}
		if first != (kind == 0) || kind == 127 {
			return nil, in.malformed(at, "one STREAMINFO, first of all", "metadata block %s", c.ID)
		}
		in.skip(4)
		if len(d.info.Chunks) < maxChunks {
			d.info.Chunks = append(d.info.Chunks, c)
		}
		if first {
			if err := d.streamInfo(c); err != nil {
				return nil, err
			}
		}
		if n, err := in.skip(c.Size); err == io.EOF {
			return nil, in.malformed(at, fmt.Sprintf("%d bytes", c.Size), "metadata block %s of %d bytes", c.ID, n)
		} else if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// streamInfo takes in the block STREAMINFO, which is next (RFC 9639, section 8.2).
func (d *flacDecoder) streamInfo(c Chunk) error {
	const size = 34
	p, err := d.in.look(size)
	if err != nil && err != io.EOF {
		return err
	}
	if c.Size != size || len(p) < size {
		return d.in.malformed(c.Offset-4, "34 bytes", "STREAMINFO of %d bytes, %d there", c.Size, min(int64(len(p)), c.Size))
	}
	// After the least and greatest size of blocks and frames: 20 bits rate, 3 channels, 5 bits, 36 samples.
	x := binary.BigEndian.Uint64(p[10:])
	d.info.Rate, d.info.Channels, d.info.Bits = int(x>>44), int(x>>41&7)+1, int(x>>36&31)+1
	d.info.ValidBits = d.info.Bits
	d.total = int64(x & (1<<36 - 1))
	copy(d.sum[:], p[18:])
	switch {
	case d.info.Rate == 0:
		return d.in.malformed(c.Offset+10, "at least 1 Hz", "a rate of 0 Hz")
	case d.info.Bits < 4:
		return d.in.malformed(c.Offset+12, "4 to 32", "samples of %d bits", d.info.Bits)
	case d.info.Bits > 24:
		return d.in.unsupported(c.Offset+12, "FLAC of %d bits", d.info.Bits)
	case d.total > 0:
		d.info.Frames = d.total
	}
	return nil
}

// Info returns what is known so far.
func (d *flacDecoder) Info() Info { return d.info }

// Read fills block with whole frames.
func (d *flacDecoder) Read(block []float64) (int, error) {
	if d.pos == d.size {
		if err := d.next(); err != nil {
			return 0, err
		}
	}
	channels := d.info.Channels
	n := min(len(block)/channels, d.size-d.pos)
	scale := 1 / float64(int64(1)<<(d.info.Bits-1))
	for c, subframe := range d.block {
		for i, x := range subframe.Samples[d.pos : d.pos+n] {
			block[i*channels+c] = float64(x) * scale
		}
	}
	d.pos += n
	return n * channels, nil
}

// next decodes the next frame of the stream, or ends it: then it returns io.EOF, or what is wrong with it all.
func (d *flacDecoder) next() error {
	if d.ended {
		return io.EOF
	}
	if d.total > 0 && d.read == d.total {
		return d.end()
	}
	block, err := d.frame()
	switch {
	case err == io.EOF: // between frames
		return d.end()
	case err == io.ErrUnexpectedEOF:
		d.info.Truncated = true
		d.odd("cut off within a frame")
		return d.end()
	case err != nil:
		return err
	}
	d.block, d.size, d.pos = block, block[0].NSamples, 0
	if left := d.total - d.read; d.total > 0 && int64(d.size) > left {
		d.odd("%d samples more in the last frame than STREAMINFO has", int64(d.size)-left)
		d.size = int(left)
	}
	d.read += int64(d.size)
	d.hash()
	return nil
}

// hash adds the block to the MD5 sum, which is over the samples in time, channels together, in as many bytes each as they
// need, the low one first.
func (d *flacDecoder) hash() {
	width := (d.info.Bits + 7) / 8
	channels := len(d.block)
	if need := d.size * channels * width; cap(d.packed) < need {
		d.packed = make([]byte, need)
	}
	p := d.packed[:d.size*channels*width]
	for c, subframe := range d.block {
		q := p[c*width:]
		switch width {
		case 2:
			for i, x := range subframe.Samples[:d.size] {
				binary.LittleEndian.PutUint16(q[i*2*channels:], uint16(x))
			}
		default:
			for i, x := range subframe.Samples[:d.size] {
				for b := range width {
					q[i*width*channels+b] = byte(x >> (8 * b))
				}
			}
		}
	}
	d.md5.Write(p)
}

// end says what is to be said at the end of the stream.
func (d *flacDecoder) end() error {
	d.ended = true
	d.size, d.pos = 0, 0
	if d.read < d.total {
		d.info.Truncated = true
		d.odd("%d samples in STREAMINFO, %d there", d.total, d.read)
	}
	d.info.Frames = d.read
	at := d.in.offset
	if n, _ := d.in.skip(math.MaxInt64); n > 0 && !d.info.Truncated {
		d.odd("%d bytes after the last frame, at byte %d", n, at)
	}
	if sum := d.md5.Sum(nil); !d.info.Truncated && d.sum != [md5.Size]byte{} && !bytes.Equal(sum, d.sum[:]) {
		return d.in.malformed(at, fmt.Sprintf("%x as in STREAMINFO", d.sum), "samples whose MD5 sum is %x", sum)
	}
	return io.EOF
}

func (d *flacDecoder) odd(what string, args ...any) {
	d.info.Oddities = append(d.info.Oddities, fmt.Sprintf(what, args...))
}

// frame decodes the next frame. Io.EOF says that there is none, io.ErrUnexpectedEOF that the file ends within it.
func (d *flacDecoder) frame() (block []*frame.Subframe, err error) {
	at := d.in.offset
	begin, err := d.in.look(3)
	if len(begin) == 0 || d.total == 0 && string(begin) == "TAG" { // ID3v1
		if err == nil {
			err = io.EOF
		}
		return nil, err
	}
	damaged := func(found string, args ...any) error { return d.in.malformed(at, "a FLAC frame", found, args...) }
	source := &faultKeeper{in: d.in}
	defer func() {
		if p := recover(); p != nil {
			block, err = nil, damaged("one that breaks the decoder: %v", p)
		}
	}()
	f, err := frame.New(source)
	if err == nil {
		if f.BitsPerSample == 0 {
			f.BitsPerSample = uint8(d.info.Bits)
		}
		if f.SampleRate == 0 {
			f.SampleRate = uint32(d.info.Rate)
		}
		if f.Channels.Count() != d.info.Channels || int(f.BitsPerSample) != d.info.Bits || int(f.SampleRate) != d.info.Rate {
			return nil, d.in.malformed(at, fmt.Sprintf("%d, %d and %d as in STREAMINFO", d.info.Channels, d.info.Bits, d.info.Rate),
				"a frame of %d channels, %d bits and %d Hz", f.Channels.Count(), f.BitsPerSample, f.SampleRate)
		}
		err = f.Parse()
	}
	switch {
	case source.fault == io.EOF && err != nil:
		return nil, io.ErrUnexpectedEOF
	case source.fault != nil && source.fault != io.EOF:
		return nil, source.fault
	case err != nil:
		return nil, damaged("%v", err)
	}
	for _, s := range f.Subframes {
		if len(s.Samples) != int(f.BlockSize) || f.BlockSize == 0 {
			return nil, damaged("one of %d samples in a block of %d", len(s.Samples), f.BlockSize)
		}
		for _, x := range s.Samples {
			if x < -1<<(d.info.Bits-1) || x >= 1<<(d.info.Bits-1) {
				return nil, damaged("sample %d in %d bits", x, d.info.Bits)
			}
		}
	}
	return f.Subframes, nil
}

// faultKeeper reads from in, and keeps what has ended that: the decoder does not always pass it on.
type faultKeeper struct {
	in    *input
	fault error
}

// Read is that of io.Reader.
func (k *faultKeeper) Read(p []byte) (int, error) {
	n, err := k.in.Read(p)
	if err != nil {
		k.fault = err
	}
	return n, err
}
