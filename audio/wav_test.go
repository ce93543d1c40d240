package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	goaudio "github.com/go-audio/wav"

	"github.com/vqaudio/vqaudio/files"
)

// byteOrder is little or big.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// wavFile is a WAV file to be built.
type wavFile struct {
	id         string // RIFF, ...
	tag        uint16 // the encoding
	extensible bool   // it stands in a GUID
	guidOrder  byteOrder
	channels   int
	bits       int // in the fmt chunk
	stride     int // bytes of a sample
	valid      int // of EXTENSIBLE
	data       []byte
}

func (f wavFile) order() byteOrder {
	if f.id == "RIFX" {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// chunk returns a chunk of f, with its pad byte if it needs one.
func (f wavFile) chunk(id string, size int, content []byte) []byte {
	p := f.order().AppendUint32([]byte(id), uint32(size))
	p = append(p, content...)
	if len(content)%2 == 1 {
		p = append(p, 0)
	}
	return p
}

// format returns the chunk "fmt ".
func (f wavFile) format() []byte {
	o := f.order()
	tag := f.tag
	if f.extensible {
		tag = 0xfffe
	}
	const rate = 16000
	align := f.channels * f.stride
	p := o.AppendUint16(nil, tag)
	p = o.AppendUint16(p, uint16(f.channels))
	p = o.AppendUint32(p, rate)
	p = o.AppendUint32(p, uint32(rate*align))
	p = o.AppendUint16(p, uint16(align))
	p = o.AppendUint16(p, uint16(f.bits))
	if f.extensible {
		g := f.guidOrder
		p = o.AppendUint16(p, 22)
		p = o.AppendUint16(p, uint16(f.valid))
		p = o.AppendUint32(p, 0)
		p = g.AppendUint32(p, uint32(f.tag)) // KSDATAFORMAT_SUBTYPE_...: {tag-0000-0010-8000-00AA00389B71}
		p = g.AppendUint16(p, 0)
		p = g.AppendUint16(p, 0x10)
		p = append(p, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71)
	}
	return f.chunk("fmt ", len(p), p)
}

// bytes returns the whole, with chunks before and after the data.
func (f wavFile) bytes(before, after []byte) []byte {
	data := f.chunk("data", len(f.data), f.data)
	if f.id != "RF64" && f.id != "BW64" {
		body := slices.Concat([]byte("WAVE"), before, f.format(), data, after)
		return append(f.order().AppendUint32([]byte(f.id), uint32(len(body))), body...)
	}
	binary.LittleEndian.PutUint32(data[4:], math.MaxUint32)
	body := slices.Concat([]byte("WAVE"), f.chunk("ds64", 28, make([]byte, 28)), before, f.format(), data, after)
	binary.LittleEndian.PutUint64(body[12:], uint64(len(body)))
	binary.LittleEndian.PutUint64(body[20:], uint64(len(f.data)))
	return append([]byte(f.id+"\xff\xff\xff\xff"), body...)
}

// put appends a sample of n bytes, low in x.
func (f wavFile) put(p []byte, x uint64, n int) []byte {
	b := make([]byte, 8)
	if f.id == "RIFX" {
		binary.BigEndian.PutUint64(b, x)
		return append(p, b[8-n:]...)
	}
	binary.LittleEndian.PutUint64(b, x)
	return append(p, b[:n]...)
}

// readBlocks reads r to the end in blocks of length samples.
func readBlocks(r *Reader, length int) ([]float64, error) {
	var all []float64
	block := make([]float64, length)
	for {
		n, err := r.Read(block)
		all = append(all, block[:n]...)
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
	}
}

// TestWAVForms reads back samples that were put into all encodings, containers and orders of bytes.
func TestWAVForms(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	type encoding struct {
		tag                 uint16
		name                string
		bits, stride, valid int
	}
	var encodings []encoding
	for bits := 1; bits <= 64; bits++ {
		encodings = append(encodings, encoding{1, "PCM", bits, (bits + 7) / 8, bits})
	}
	encodings = append(encodings,
		encoding{1, "PCM", 24, 4, 24}, encoding{1, "PCM", 16, 4, 16}, encoding{1, "PCM", 8, 2, 8}, // in the low bytes
		encoding{1, "PCM", 32, 4, 24}, encoding{1, "PCM", 16, 2, 12}, // in the high bits
		encoding{3, "FLOAT", 32, 4, 32}, encoding{3, "FLOAT", 64, 8, 64},
		encoding{6, "ALAW", 8, 1, 8}, encoding{7, "MULAW", 8, 1, 8})
	for _, id := range []string{"RIFF", "RIFX", "RF64", "BW64"} {
		for _, e := range encodings {
			for _, extensible := range []bool{false, true} {
				if e.valid != e.bits && !extensible {
					continue
				}
				f := wavFile{id: id, tag: e.tag, extensible: extensible, channels: 1 + rng.IntN(6), bits: e.bits, stride: e.stride, valid: e.valid}
				f.guidOrder = []byteOrder{binary.LittleEndian, binary.BigEndian}[rng.IntN(2)]
				frames := 1 + rng.IntN(50)
				var want []float64
				for range frames * f.channels {
					raw := rng.Uint64()
					switch e.name {
					case "PCM":
						n := (e.bits + 7) / 8
						raw >>= 64 - 8*n
						sample := float64(int64(raw<<(64-8*n))>>(64-8*n)) / math.Exp2(float64(8*n-1))
						if n == 1 {
							sample = (float64(raw) - 128) / 128
						}
						want = append(want, sample)
						if e.stride > n && id == "RIFX" { // low is at the end
							f.data = append(f.data, make([]byte, e.stride-n)...)
						}
						f.data = f.put(f.data, raw, n)
						if e.stride > n && id != "RIFX" {
							f.data = append(f.data, make([]byte, e.stride-n)...)
						}
					case "FLOAT":
						x := rng.NormFloat64()
						if e.bits == 32 {
							x = float64(float32(x))
							f.data = f.put(f.data, uint64(math.Float32bits(float32(x))), 4)
						} else {
							f.data = f.put(f.data, math.Float64bits(x), 8)
						}
						want = append(want, x)
					default:
						table := &aLawTable
						if e.name == "MULAW" {
							table = &muLawTable
						}
						f.data = append(f.data, byte(raw))
						want = append(want, table[byte(raw)])
					}
				}
				name := fmt.Sprintf("%s %s %d bits in %d bytes, extensible %v, %d channels", id, e.name, e.bits, e.stride, extensible, f.channels)
				file := f.bytes(nil, nil)
				for _, in := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file)), iotest.DataErrReader(bytes.NewReader(file))} {
					r, err := NewReader(in, "x.wav")
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					got, err := readBlocks(r, f.channels*(1+rng.IntN(20))+rng.IntN(f.channels))
					if err != nil || !slices.Equal(got, want) {
						t.Fatalf("%s: %v\ngot  %v\nwant %v", name, err, got, want)
					}
					info := r.Info()
					if info.Container != id || info.Encoding != e.name || info.Channels != f.channels || info.Rate != 16000 ||
						info.Bits != e.bits || info.ValidBits != e.valid || info.Frames != int64(frames) || info.Truncated {
						t.Fatalf("%s: %+v", name, info)
					}
					if e.stride == (e.bits+7)/8 && len(info.Oddities) > 0 {
						t.Fatalf("%s: %q", name, info.Oddities)
					}
				}
			}
		}
	}
}

// wavPCM16 is a plain file of 16 bits.
func wavPCM16(samples ...int16) wavFile {
	f := wavFile{id: "RIFF", tag: 1, channels: 1, bits: 16, stride: 2}
	for _, s := range samples {
		f.data = binary.LittleEndian.AppendUint16(f.data, uint16(s))
	}
	return f
}

// TestWAVChunks puts chunks of all kinds round the data.
func TestWAVChunks(t *testing.T) {
	f := wavPCM16(1, -2, 3)
	f.data = append(f.data, 7) // half a sample, and a pad byte
	odd := f.chunk("LIST", 5, []byte("abcde"))
	bare := odd[:len(odd)-1]
	for _, c := range []struct {
		name          string
		before, after []byte
		ids           string
		oddities      []string
	}{
		{"none", nil, nil, "fmt ,data", nil},
		{"before", slices.Concat(odd, f.chunk("JUNK", 0, nil)), nil, "LIST,JUNK,fmt ,data", nil},
		{"no pad byte before", bare, nil, "LIST,fmt ,data", []string{"no pad byte at 25"}},
		{"after", nil, slices.Concat(odd, f.chunk("id3 ", 2, []byte("xy"))), "fmt ,data,LIST,id3 ", nil},
		{"no pad byte after", nil, slices.Concat(bare, f.chunk("id3 ", 2, []byte("xy"))), "fmt ,data,LIST,id3 ", []string{"no pad byte at 65"}},
		{"short id", f.chunk("PAD\x00", 1, []byte("x")), nil, "PAD\x00,fmt ,data", nil},
		{"two of format", f.format(), nil, "fmt ,fmt ,data", []string{`a second chunk "fmt " at byte 44`}},
		{"junk", nil, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "fmt ,data", []string{"9 bytes after the last chunk, at byte 52"}},
		{"stray", nil, []byte("LIS"), "fmt ,data", []string{"3 bytes after the last chunk, at byte 52"}},
		{"chunk cut off", nil, odd[:10], "fmt ,data,LIST", []string{`chunk "LIST" of 5 bytes, 2 there`}},
		{"text before the format", f.chunk("fmtx", 4, []byte("fmt ")), nil, "fmtx,fmt ,data", nil},
	} {
		r, err := NewReader(bytes.NewReader(f.bytes(c.before, c.after)), "x.wav")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := readBlocks(r, 2)
		if want := []float64{1. / 32768, -2. / 32768, 3. / 32768}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: read %v, %v", c.name, got, err)
		}
		var ids []string
		for _, chunk := range r.Info().Chunks {
			ids = append(ids, chunk.ID)
		}
		if got := strings.Join(ids, ","); got != c.ids {
			t.Errorf("%s: chunks %q, want %q", c.name, got, c.ids)
		}
		oddities := slices.DeleteFunc(r.Info().Oddities, func(s string) bool { return s == "the last frame has 1 of 2 bytes" })
		if !slices.Equal(oddities, c.oddities) {
			t.Errorf("%s: oddities %q, want %q", c.name, oddities, c.oddities)
		}
	}
}

// TestWAVManyChunks has more chunks, and more that is odd about them, than are worth telling.
func TestWAVManyChunks(t *testing.T) {
	f := wavPCM16(5)
	junk := bytes.Repeat(f.chunk("JUNK", 1, []byte("x"))[:9], 5000) // without pad bytes
	r, err := NewReader(bytes.NewReader(f.bytes(junk, junk)), "x.wav")
	if err != nil {
		t.Fatal(err)
	}
	got, err := readBlocks(r, 2)
	if info := r.Info(); err != nil || len(got) != 1 || len(info.Chunks) != maxChunks || len(info.Oddities) != maxOddities {
		t.Errorf("%v, %v, %d chunks, %d oddities", got, err, len(info.Chunks), len(info.Oddities))
	}
}

// TestWAVLengths reads files whose sizes are wrong or not known, from a file and from a pipe.
func TestWAVLengths(t *testing.T) {
	f := wavPCM16(1, 2, 3, 4, 5)
	file := f.bytes(nil, nil)
	const start = 44
	with := func(riff, data uint32, length int) []byte {
		p := slices.Clone(file)
		binary.LittleEndian.PutUint32(p[4:], riff)
		binary.LittleEndian.PutUint32(p[start-4:], data)
		if length > len(p) {
			p = append(p, make([]byte, length-len(p))...)
		}
		return p[:length]
	}
	const unknown = math.MaxUint32
	for _, c := range []struct {
		name      string
		file      []byte
		frames    int64
		truncated bool
		oddities  []string
	}{
		{"right", file, 5, false, nil},
		{"RIFF size too small", with(20, 10, start+10), 5, false, []string{"RIFF size 26 too small"}},
		{"RIFF size too large", with(146, 10, start+10), 5, false, []string{"RIFF size 100 too large"}},
		{"stream", with(unknown, unknown, start+10), 5, false,
			[]string{"data size 4294967295: read to the end of the file", "RIFF size 4294967295, as of unknown length"}},
		{"stream of zeros", with(0, 0, start+10), 5, false,
			[]string{"data size 0: read to the end of the file", "RIFF size 0, as of unknown length"}},
		{"stream of SoX", with(0x7ffff024, 0x7ffff000, start+10), 5, false,
			[]string{"data size 2147479552: read to the end of the file", "RIFF size 2147479588, as of unknown length"}},
		{"stream of arecord", with(0x80000024, 0x80000000, start+10), 5, false,
			[]string{"data size 2147483648: read to the end of the file", "RIFF size 2147483684, as of unknown length"}},
		{"stream that ends within a sample", with(unknown, unknown, start+9), 4, false,
			[]string{"data size 4294967295: read to the end of the file", "the last frame has 1 of 2 bytes", "RIFF size 4294967295, as of unknown length"}},
		{"cut off", with(46, 10, start+6), 3, true, []string{"data size 10, 6 bytes there", "RIFF size 4 too large"}},
		{"cut off within a sample", with(46, 10, start+7), 3, true,
			[]string{"data size 10, 7 bytes there", "the last frame has 1 of 2 bytes", "RIFF size 3 too large"}},
		{"cut off before the first", with(46, 10, start), 0, true, []string{"data size 10, 0 bytes there", "RIFF size 10 too large"}},
		{"cut off far before", with(1<<30, 1<<30-36, start+10), 5, true, []string{"data size 1073741788, 10 bytes there", "RIFF size 1073741778 too large"}},
		{"empty", with(36, 0, start), 0, false, nil},
		{"half a sample", with(37, 9, start+9), 4, false, []string{"the last frame has 1 of 2 bytes", "RIFF size 8 too small"}},
	} {
		for _, size := range []int64{int64(len(c.file)), -1} {
			r, err := newReader(bytes.NewReader(c.file), "x.wav", size)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if got := r.Info().Frames; size >= 0 && got != c.frames || size < 0 && got != -1 {
				t.Errorf("%s, size %d: %d frames before reading, want %d", c.name, size, got, c.frames)
			}
			got, err := readBlocks(r, 3)
			if err != nil || int64(len(got)) != c.frames || len(got) > 0 && got[len(got)-1] != float64(c.frames)/32768 {
				t.Errorf("%s, size %d: read %v, %v", c.name, size, got, err)
			}
			info := r.Info()
			if info.Frames != c.frames || info.Truncated != c.truncated || !slices.Equal(info.Oddities, c.oddities) {
				t.Errorf("%s, size %d: %d frames, truncated %v, %q\nwant %d, %v, %q", c.name, size,
					info.Frames, info.Truncated, info.Oddities, c.frames, c.truncated, c.oddities)
			}
		}
	}

	// RF64 whose sizes were never filled in.
	f.id = "RF64"
	unfilled := f.bytes(nil, nil)
	clear(unfilled[20:36])
	if r, err := NewReader(bytes.NewReader(unfilled), "x.wav"); err != nil {
		t.Error(err)
	} else if got, err := readBlocks(r, 2); err != nil || len(got) != 5 {
		t.Errorf("RF64 without sizes: %v, %v", got, err)
	}

	// A file that becomes shorter while it is read.
	r, err := newReader(bytes.NewReader(file[:start+6]), "x.wav", int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readBlocks(r, 2); len(got) != 3 || err != nil || !r.Info().Truncated || r.Info().Frames != 3 {
		t.Errorf("a file that became shorter: %v, %v, %+v", got, err, r.Info())
	}
}

// TestWAVRefused reads what is no WAV file, or none that can be read.
func TestWAVRefused(t *testing.T) {
	plain := wavPCM16(1, 2)
	file := plain.bytes(nil, nil)
	edit := func(at int, p ...byte) []byte {
		q := slices.Clone(file)
		copy(q[at:], p)
		return q
	}
	extensible := plain
	extensible.extensible, extensible.valid, extensible.guidOrder = true, 16, binary.LittleEndian
	guid := extensible.bytes(nil, nil)
	guid[52] ^= 1
	rf64 := plain
	rf64.id = "RF64"
	sizes := rf64.bytes(nil, nil)
	for _, c := range []struct {
		name   string
		file   []byte
		offset int64
		what   string // of an UnsupportedError
	}{
		{"4 bytes", file[:4], 0, ""},
		{"11 bytes", file[:11], 0, ""},
		{"no chunk", file[:12], 12, ""},
		{"half of a chunk's header", file[:18], 12, ""},
		{"half of the format", file[:30], 12, ""},
		{"no data", file[:36], 36, ""},
		{"half of the header of the data", file[:42], 36, ""},
		{"no format", edit(12, 'x'), 36, ""},
		{"an id that is none", edit(12, 1), 12, ""},
		{"a format of 15 bytes", edit(16, 15), 20, ""},
		{"a format of 1.7 GB", edit(19, 0x66), 12, ""},
		{"an extensible format of 16 bytes", edit(20, 0xfe, 0xff), 20, ""},
		{"no channels", edit(22, 0), 22, ""},
		{"257 channels", edit(22, 1, 1), 22, "WAV of 257 channels"},
		{"a rate of 0", edit(24, 0, 0, 0, 0), 24, ""},
		{"a rate of 4 GHz", edit(24, 0xff, 0xff, 0xff, 0xff), 24, ""},
		{"0 bits", edit(34, 0), 34, ""},
		{"65 bits", edit(34, 65), 34, ""},
		{"a float of 16 bits", edit(20, 3), 34, ""},
		{"A-law of 16 bits", edit(20, 6), 34, ""},
		{"encoding 0", edit(20, 0), 20, ""},
		{"encoding 0x1234", edit(20, 0x34, 0x12), 20, "WAV encoding 0x1234"},
		{"GSM", edit(20, 0x31), 20, "GSM 6.10 in WAV"},
		{"MP3", edit(20, 0x55), 20, "MP3 in WAV"},
		{"another GUID", guid, 44, "WAV sub-format 0100000000001000810000aa00389b71"},
		{"sizes of 2^63", slices.Concat(sizes[:20], []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, sizes[28:]), 20, ""},
	} {
		r, err := NewReader(bytes.NewReader(c.file), "x.wav")
		if err == nil {
			t.Errorf("%s: no error, but %+v", c.name, r.Info())
			continue
		}
		var format *files.FormatError
		var unsupported *files.UnsupportedError
		switch {
		case errors.As(err, &format) && c.what == "":
			if format.File != "x.wav" || format.Offset != c.offset || format.Found == "" || format.Expected == "" {
				t.Errorf("%s: %#v, want offset %d", c.name, format, c.offset)
			}
		case errors.As(err, &unsupported) && c.what != "":
			if unsupported.File != "x.wav" || unsupported.Offset != c.offset || !strings.HasPrefix(unsupported.What, c.what) {
				t.Errorf("%s: %#v, want %q at %d", c.name, unsupported, c.what, c.offset)
			}
		default:
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestWAVNotFinite has samples that are no numbers: what comes before them is read.
func TestWAVNotFinite(t *testing.T) {
	for _, bits := range []int{32, 64} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(math.NaN(), -1), 1e39} {
			if bits == 32 && bad == 1e39 {
				continue
			}
			f := wavFile{id: "RIFF", tag: 3, channels: 2, bits: bits, stride: bits / 8}
			samples := []float64{1, -math.MaxFloat32, math.MaxFloat32, 0, 5, bad, 7, 8}
			for _, x := range samples {
				if bits == 32 {
					f.data = binary.LittleEndian.AppendUint32(f.data, math.Float32bits(float32(x)))
				} else {
					f.data = binary.LittleEndian.AppendUint64(f.data, math.Float64bits(x))
				}
			}
			r, err := NewReader(bytes.NewReader(f.bytes(nil, nil)), "x.wav")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readBlocks(r, 20)
			var format *files.FormatError
			if !slices.Equal(got, samples[:4]) || !errors.As(err, &format) || format.Offset != int64(44+5*bits/8) {
				t.Errorf("%v in %d bits: read %v, %v", bad, bits, got, err)
			}
			if _, again := r.Read(make([]float64, 2)); again != err {
				t.Errorf("%v in %d bits: after the error %v", bad, bits, again)
			}
		}
	}
}

// TestG711 compares with values in the tables of G.711, of 14 bits for mu-law (table 2a) and 13 for A-law (table 1a).
func TestG711(t *testing.T) {
	for code, want := range map[byte]float64{0x80: 8031, 0x8f: 4191, 0x9f: 2079, 0xaf: 1023, 0xbf: 495, 0xcf: 231, 0xdf: 99, 0xef: 33, 0xfe: 2, 0xff: 0} {
		if got, other := muLawTable[code]*8192, muLawTable[code&0x7f]*8192; got != want || other != -want {
			t.Errorf("mu-law %02x: %v and %v, want %v", code, got, other, want)
		}
	}
	for code, want := range map[byte]float64{0xff: 4032, 0xf0: 2112, 0xe0: 1056, 0xd0: 528, 0xc0: 264, 0xb0: 132, 0xa0: 66, 0x80: 1} {
		code ^= 0x55 // the table has the bits before every second one is inverted
		if got, other := aLawTable[code]*4096, aLawTable[code&0x7f]*4096; got != want || other != -want {
			t.Errorf("A-law %02x: %v and %v, want %v", code, got, other, want)
		}
	}
	for name, table := range map[string]*[256]float64{"A-law": &aLawTable, "mu-law": &muLawTable} {
		sorted := slices.Clone(table[:])
		slices.Sort(sorted)
		distinct := len(slices.Compact(sorted))
		if want := map[string]int{"A-law": 256, "mu-law": 255}[name]; distinct != want { // mu-law has two zeros
			t.Errorf("%s has %d values, want %d", name, distinct, want)
		}
	}
}

// TestGoAudioAgrees compares with github.com/go-audio/wav on the forms that it reads.
func TestGoAudioAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	for _, bits := range []int{8, 16, 24, 32} {
		f := wavFile{id: "RIFF", tag: 1, channels: 2, bits: bits, stride: bits / 8}
		for range 1000 * f.channels {
			f.data = f.put(f.data, rng.Uint64(), f.stride)
		}
		file := f.bytes(f.chunk("LIST", 4, []byte("INFO")), nil)
		theirs, err := goaudio.NewDecoder(bytes.NewReader(file)).FullPCMBuffer()
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(bytes.NewReader(file), "x.wav")
		if err != nil {
			t.Fatal(err)
		}
		ours, err := ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(ours.Data) != 2000 || len(theirs.Data) != 2000 || *theirs.Format != *ours.Format {
			t.Fatalf("%d bits: %d samples of %+v, theirs %d of %+v", bits, len(ours.Data), ours.Format, len(theirs.Data), theirs.Format)
		}
		for i, x := range theirs.Data {
			if bits == 8 {
				x -= 128
			}
			if want := float64(x) / math.Exp2(float64(bits-1)); ours.Data[i] != want {
				t.Fatalf("%d bits: sample %d is %v, theirs %v", bits, i, ours.Data[i], want)
			}
		}
	}
}

// TestWAVAllocates shows that reading takes no memory for a block.
func TestWAVAllocates(t *testing.T) {
	f := wavFile{id: "RIFF", tag: 1, channels: 2, bits: 24, stride: 3, data: make([]byte, 6<<20)}
	r, err := NewReader(bytes.NewReader(f.bytes(nil, nil)), "x.wav")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]float64, 4096)
	if n := testing.AllocsPerRun(100, func() {
		if n, err := r.Read(block); n != len(block) || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a block", n)
	}
}
