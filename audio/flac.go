package audio

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/mewkiz/flac/frame"
)

// flacDecoder reads FLAC (RFC 9639).
type flacDecoder struct {
	in     *input
	info   Info
	total  int64 // frames as STREAMINFO has them, 0 where it does not know
	frames int64 // decoded
	sum    hash.Hash
	want   [md5.Size]byte // of the samples, zero where not known
	ready  []float64      // decoded, not handed out
	out    []float64
	bytes  []byte
	done   bool
}

var flacBlocks = [...]string{"STREAMINFO", "PADDING", "APPLICATION", "SEEKTABLE", "VORBIS_COMMENT", "CUESHEET", "PICTURE"}

// newFLACDecoder reads up to the first frame.
func newFLACDecoder(in *input) (*flacDecoder, error) {
	d := &flacDecoder{in: in, sum: md5.New()}
	d.info = Info{Container: "FLAC", Encoding: "FLAC", Frames: -1}
	in.skip(4)
	for last := false; !last; {
		p, err := in.look(4)
		if err == io.EOF {
			return nil, in.malformed(in.offset, "a metadata block", "the end of the file")
		} else if err != nil {
			return nil, err
		}
		last = p[0]&0x80 != 0
		kind := int(p[0] & 0x7f)
		c := Chunk{ID: fmt.Sprintf("block %d", kind), Offset: in.offset + 4, Size: int64(binary.BigEndian.Uint32(p) & 0xffffff)}
		if kind < len(flacBlocks) {
			c.ID = flacBlocks[kind]
		}
		if (kind == 0) != (d.info.Rate == 0) || kind == 127 {
			return nil, in.malformed(in.offset, "one STREAMINFO, first", "metadata block %s", c.ID)
		}
		in.skip(4)
		if len(d.info.Chunks) < maxChunks {
			d.info.Chunks = append(d.info.Chunks, c)
		}
		if kind == 0 {
			p, err := in.look(34)
			if err == io.EOF || c.Size != 34 {
				return nil, in.malformed(c.Offset, "34", "STREAMINFO of %d bytes, %d there", c.Size, len(p))
			} else if err != nil {
				return nil, err
			}
			bits := binary.BigEndian.Uint64(p[10:])
			d.info.Rate = int(bits >> 44)
			d.info.Channels = int(bits>>41&7) + 1
			d.info.Bits = int(bits>>36&31) + 1
			d.info.ValidBits = d.info.Bits
			d.total = int64(bits & (1<<36 - 1))
			copy(d.want[:], p[18:])
			if d.info.Rate == 0 {
				return nil, in.malformed(c.Offset+10, "at least 1 Hz", "a rate of 0 Hz")
			}
			if d.info.Bits < 4 {
				return nil, in.malformed(c.Offset+12, "4 to 32", "%d bits", d.info.Bits)
			}
			if d.total > 0 {
				d.info.Frames = d.total
			}
		}
		if n, err := in.skip(c.Size); err == io.EOF {
			return nil, in.malformed(c.Offset, fmt.Sprintf("%d bytes", c.Size), "%s of %d bytes", c.ID, n)
		} else if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Info returns what is known so far.
func (d *flacDecoder) Info() Info { return d.info }

// Read fills block with whole frames.
func (d *flacDecoder) Read(block []float64) (int, error) {
	for len(d.ready) == 0 {
		if d.done {
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

// next decodes a frame.
func (d *flacDecoder) next() (err error) {
	at := d.in.offset
	defer func() {
		if r := recover(); r != nil {
			err = d.in.malformed(at, "a FLAC frame", "%v", r)
		}
	}()
	if d.total > 0 && d.frames >= d.total {
		return d.end()
	}
	f, err := frame.New(d.in)
	if err == io.EOF {
		return d.end()
	}
	if err == nil {
		if f.BitsPerSample == 0 {
			f.BitsPerSample = uint8(d.info.Bits)
		}
		if f.Channels.Count() != d.info.Channels || int(f.BitsPerSample) != d.info.Bits {
			return d.in.malformed(at, "as in STREAMINFO", "a frame of %d channels, %d bits", f.Channels.Count(), f.BitsPerSample)
		}
		err = f.Parse()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		d.info.Truncated = true
		return d.end()
	} else if err != nil {
		return d.in.malformed(at, "a FLAC frame", "%v", err)
	}
	n := len(f.Subframes[0].Samples)
	channels := d.info.Channels
	if cap(d.out) < n*channels {
		d.out = make([]float64, n*channels)
	}
	d.ready = d.out[:n*channels]
	scale := 1 / float64(int64(1)<<(d.info.Bits-1))
	for c, s := range f.Subframes {
		for i, x := range s.Samples[:n] {
			d.ready[i*channels+c] = float64(x) * scale
		}
	}
	width := (d.info.Bits + 7) / 8
	d.bytes = d.bytes[:0]
	for i := range n {
		for _, s := range f.Subframes {
			x := s.Samples[i]
			for j := range width {
				d.bytes = append(d.bytes, byte(x>>(8*j)))
			}
		}
	}
	d.sum.Write(d.bytes)
	d.frames += int64(n)
	return nil
}

func (d *flacDecoder) end() error {
	d.done = true
	if d.frames < d.total {
		d.info.Truncated = true
		d.odd("%d frames, %d there", d.total, d.frames)
	}
	d.info.Frames = d.frames
	if d.want != ([md5.Size]byte{}) && !d.info.Truncated && !bytes.Equal(d.sum.Sum(nil), d.want[:]) {
		return d.in.malformed(d.in.offset, "as in STREAMINFO", "samples of another MD5")
	}
	return nil
}

func (d *flacDecoder) odd(what string, args ...any) {
	d.info.Oddities = append(d.info.Oddities, fmt.Sprintf(what, args...))
}
