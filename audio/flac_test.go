package audio

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/bits"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/shared"
)

// flacFile is a FLAC file to be built, with every choice that the format leaves drawn at random.
type flacFile struct {
	rng         *rand.Rand
	rate, bits  int
	samples     [][]int64 // [channel][time]
	sizes       []int     // of the blocks, repeated to the end
	total       uint64    // in STREAMINFO
	sum         [16]byte  // in STREAMINFO
	explicit    bool      // each frame says how many bits it has, where it can
	metadata    []byte    // blocks after STREAMINFO, none of them the last
	kinds       map[string]int
	frameStarts []int // bytes
}

// newFLACFile returns a file of the samples with all that STREAMINFO can have.
func newFLACFile(rng *rand.Rand, rate, bits int, samples [][]int64) *flacFile {
	f := &flacFile{rng: rng, rate: rate, bits: bits, samples: samples, sizes: []int{192}, kinds: map[string]int{}}
	f.total = uint64(len(samples[0]))
	h := md5.New()
	for i := range samples[0] {
		for _, channel := range samples {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], uint64(channel[i]))
			h.Write(b[:(bits+7)/8])
		}
	}
	h.Sum(f.sum[:0])
	return f
}

// flacWriter writes bits, first the highest of each byte.
type flacWriter struct {
	p    []byte
	free int // bits of the last byte
}

func (w *flacWriter) put(x uint64, n int) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.p = append(w.p, 0)
			w.free = 8
		}
		w.free--
		w.p[len(w.p)-1] |= byte(x>>n&1) << w.free
	}
}

func (w *flacWriter) unary(n int) {
	for ; n >= 32; n -= 32 {
		w.put(0, 32)
	}
	w.put(1, n+1)
}

// crc returns the remainder of p, of n bits, bit by bit.
func flacTestCRC(p []byte, n int, polynomial uint32) uint32 {
	var r uint32
	for _, b := range p {
		for i := 7; i >= 0; i-- {
			top := r>>(n-1)&1 ^ uint32(b)>>i&1
			r = r << 1 & (1<<n - 1)
			if top == 1 {
				r ^= polynomial
			}
		}
	}
	return r
}

func (f *flacFile) bytes() []byte {
	w := &flacWriter{p: []byte("fLaC")}
	last := uint64(1)
	if len(f.metadata) > 0 {
		last = 0
	}
	w.put(last<<31|34, 32)
	w.put(16, 16)
	w.put(65535, 16)
	w.put(0, 48)
	w.put(uint64(f.rate), 20)
	w.put(uint64(len(f.samples)-1), 3)
	w.put(uint64(f.bits-1), 5)
	w.put(f.total, 36)
	w.p = append(w.p, f.sum[:]...)
	if last == 0 {
		w.p = append(w.p, f.metadata...)
		w.put(1<<31|1<<24|3, 32) // PADDING
		w.put(0, 24)
	}
	for start, i := 0, 0; start < len(f.samples[0]); i++ {
		size := min(f.sizes[i%len(f.sizes)], len(f.samples[0])-start)
		f.frameStarts = append(f.frameStarts, len(w.p))
		f.frame(w, start, size)
		start += size
	}
	return w.p
}

func (f *flacFile) frame(w *flacWriter, start, size int) {
	begin := len(w.p)
	channels := make([][]int64, len(f.samples))
	for c := range channels {
		channels[c] = slices.Clone(f.samples[c][start : start+size])
	}
	mode := len(channels) - 1
	if len(channels) == 2 {
		mode = []int{1, 8, 9, 10}[f.rng.IntN(4)]
		for i := range size {
			l, r := channels[0][i], channels[1][i]
			switch mode {
			case 8:
				channels[1][i] = l - r
			case 9:
				channels[0][i] = l - r
			case 10:
				channels[0][i], channels[1][i] = (l+r)>>1, l-r
			}
		}
	}
	f.kinds[fmt.Sprint("channels ", mode)]++

	w.put(0xfff9, 16) // blocks of variable size
	sizeCode := map[int]uint64{192: 1, 576: 2, 1152: 3, 2304: 4, 4608: 5, 256: 8, 512: 9, 1024: 10, 2048: 11, 4096: 12, 8192: 13, 16384: 14, 32768: 15}[size]
	if sizeCode == 0 || f.rng.IntN(2) == 0 {
		sizeCode = 7
		if size <= 256 {
			sizeCode = 6
		}
	}
	rateCode := map[int]uint64{88200: 1, 176400: 2, 192000: 3, 8000: 4, 16000: 5, 22050: 6, 24000: 7, 32000: 8, 44100: 9, 48000: 10, 96000: 11}[f.rate]
	choices := []uint64{0, rateCode}
	if f.rate%1000 == 0 && f.rate/1000 < 256 {
		choices = append(choices, 12)
	}
	if f.rate < 65536 {
		choices = append(choices, 13)
	}
	if f.rate%10 == 0 && f.rate/10 < 65536 {
		choices = append(choices, 14)
	}
	rateCode = choices[f.rng.IntN(len(choices))]
	bitsCode := map[int]uint64{8: 1, 12: 2, 16: 4, 20: 5, 24: 6, 32: 7}[f.bits]
	if !f.explicit && f.rng.IntN(2) == 0 {
		bitsCode = 0
	}
	w.put(sizeCode<<4|rateCode, 8)
	w.put(uint64(mode)<<4|bitsCode<<1, 8)
	if start < 0x80 {
		w.put(uint64(start), 8)
	} else { // as runes are in UTF-8
		more := 1
		for start>>(6*more) >= 1<<(6-more) {
			more++
		}
		w.put(0xff<<(7-more)&0xff|uint64(start)>>(6*more), 8)
		for ; more > 0; more-- {
			w.put(0x80|uint64(start)>>(6*(more-1))&0x3f, 8)
		}
	}
	switch sizeCode {
	case 6:
		w.put(uint64(size-1), 8)
	case 7:
		w.put(uint64(size-1), 16)
	}
	switch rateCode {
	case 12:
		w.put(uint64(f.rate/1000), 8)
	case 13:
		w.put(uint64(f.rate), 16)
	case 14:
		w.put(uint64(f.rate/10), 16)
	}
	w.put(uint64(flacTestCRC(w.p[begin:], 8, 0x07)), 8)
	for c, x := range channels {
		width := f.bits
		if mode == 8 && c == 1 || mode == 9 && c == 0 || mode == 10 && c == 1 {
			width++
		}
		f.subframe(w, x, width)
	}
	w.free = 0
	w.put(uint64(flacTestCRC(w.p[begin:], 16, 0x8005)), 16)
}

func (f *flacFile) subframe(w *flacWriter, x []int64, width int) {
	rng := f.rng
	var all uint64
	for _, v := range x {
		all |= uint64(v)
	}
	wasted := min(bits.TrailingZeros64(all), width-1)
	if rng.IntN(3) == 0 {
		wasted = 0
	}
	x = slices.Clone(x)
	for i := range x {
		x[i] >>= wasted
	}
	width -= wasted
	header := func(kind string, code uint64) {
		f.kinds[kind]++
		if wasted == 0 {
			w.put(code<<1, 8)
			return
		}
		f.kinds["wasted bits"]++
		w.put(code<<1|1, 8)
		w.unary(wasted - 1)
	}
	constant := !slices.ContainsFunc(x, func(v int64) bool { return v != x[0] })
	if constant && rng.IntN(2) == 0 {
		header("constant", 0)
		w.put(uint64(x[0]), width)
		return
	}
	var weights []int64
	var shift, precision int
	order := rng.IntN(5)
	linear := rng.IntN(2) == 0
	if linear {
		order, precision, shift = 1+rng.IntN(32), 1+rng.IntN(15), rng.IntN(16)
		for range order {
			weights = append(weights, rng.Int64N(1<<precision)-1<<(precision-1))
		}
		if rng.IntN(2) == 0 { // one that predicts well
			precision, shift = 13, 10
			clear(weights)
			for i := range weights {
				weights[i] = rng.Int64N(5) - 2
			}
			weights[0] = 1000
		}
	} else {
		weights = [][]int64{{}, {1}, {2, -1}, {3, -3, 1}, {4, -6, 4, -1}}[order]
	}
	residual := make([]int64, len(x))
	verbatim := order >= len(x) || rng.IntN(8) == 0
	for i := order; i < len(x) && !verbatim; i++ {
		var sum int64
		for j, weight := range weights {
			sum += weight * x[i-1-j]
		}
		residual[i] = x[i] - sum>>shift
		verbatim = residual[i] >= math.MaxInt32 || residual[i] <= -math.MaxInt32
	}
	if verbatim {
		header("verbatim", 1)
		for _, v := range x {
			w.put(uint64(v), width)
		}
		return
	}
	if linear {
		header("linear", uint64(31+order))
	} else {
		header(fmt.Sprint("fixed ", order), uint64(8+order))
	}
	for _, v := range x[:order] {
		w.put(uint64(v), width)
	}
	if linear {
		w.put(uint64(precision-1), 4)
		w.put(uint64(shift), 5)
		for _, weight := range weights {
			w.put(uint64(weight), precision)
		}
	}

	partitionOrder := rng.IntN(7)
	for len(x)%(1<<partitionOrder) != 0 || len(x)>>partitionOrder <= order {
		partitionOrder--
	}
	length := len(x) >> partitionOrder
	method := uint64(rng.IntN(2))
	parts := make([][]int64, 1<<partitionOrder)
	parameters := make([]int, len(parts))
	for i := range parts {
		parts[i] = residual[max(order, i*length) : (i+1)*length]
		var largest uint64
		for _, v := range parts[i] {
			largest = max(largest, uint64(v)<<1^uint64(v>>63))
		}
		parameters[i] = max(0, bits.Len64(largest)-rng.IntN(9)) // long runs of zeros too
		if parameters[i] > 14 {
			method = 1
		}
	}
	parameters[0] = min(parameters[0], 30)
	w.put(method, 2)
	w.put(uint64(partitionOrder), 4)
	for i, part := range parts {
		k := min(parameters[i], 30)
		var width int
		for _, v := range part {
			width = max(width, bits.Len64(uint64(v^v>>63))+1)
		}
		if !slices.ContainsFunc(part, func(v int64) bool { return v != 0 }) {
			width = 0
		}
		if width <= 31 && rng.IntN(6) == 0 {
			f.kinds["escape"]++
			w.put(math.MaxUint64, 4+int(method))
			w.put(uint64(width), 5)
			for _, v := range part {
				w.put(uint64(v), width)
			}
			continue
		}
		f.kinds[fmt.Sprint("rice ", method)]++
		w.put(uint64(k), 4+int(method))
		for _, v := range part {
			folded := uint64(v)<<1 ^ uint64(v>>63)
			w.unary(int(folded >> k))
			w.put(folded, k)
		}
	}
}

// flacSignal returns n samples of some kind.
func flacSignal(rng *rand.Rand, bits, n int) []int64 {
	top := int64(1)<<(bits-1) - 1
	x := make([]int64, n)
	frequency, kind := rng.Float64(), rng.IntN(6)
	for i := range x {
		switch kind {
		case 0: // silence
		case 1: // as large as can be
			x[i] = []int64{top, -top - 1}[rng.IntN(2)]
		case 2:
			x[i] = rng.Int64N(2*top+2) - top - 1
		case 3: // with wasted bits
			x[i] = (rng.Int64N(2*top+2) - top - 1) &^ (1<<min(3, bits-2) - 1)
		default:
			x[i] = int64(float64(top) * 0.9 * math.Sin(frequency*float64(i)))
			if i%97 == 0 {
				x[i] = -top - 1
			}
		}
	}
	return x
}

func init() {
	log.SetOutput(io.Discard) // the decoder writes there about two rates, a line for each frame
}

// TestFLACForms reads back what was written in all depths and numbers of channels, with all the ways to code a block.
func TestFLACForms(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	kinds := map[string]int{}
	rates := []int{8000, 16000, 22050, 24000, 44100, 48000, 96000, 176400, 11025, 655350, 1, 1048575}
	for bits := 4; bits <= 24; bits++ {
		for trial := range 24 {
			samples := make([][]int64, 1+trial%8)
			n := 1 + rng.IntN(2000)
			for c := range samples {
				samples[c] = flacSignal(rng, bits, n)
			}
			f := newFLACFile(rng, rates[rng.IntN(len(rates))], bits, samples)
			f.kinds, f.explicit = kinds, trial%2 == 0
			f.sizes = [][]int{{192}, {1 + rng.IntN(40), 256, 1 + rng.IntN(600)}, {576}, {4096}}[rng.IntN(4)]
			file := f.bytes()
			want := make([]float64, 0, n*len(samples))
			for i := range n {
				for _, x := range samples {
					want = append(want, float64(x[i])/math.Exp2(float64(bits-1)))
				}
			}
			name := fmt.Sprintf("%d bits, %d channels, %d samples, blocks of %v", bits, len(samples), n, f.sizes)
			for _, in := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file))} {
				r, err := NewReader(in, "x.flac")
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got, err := readBlocks(r, len(samples)*(1+rng.IntN(300))+rng.IntN(len(samples)))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s: other samples", name)
				}
				info := r.Info()
				if info.Container != "FLAC" || info.Encoding != "FLAC" || info.Channels != len(samples) || info.Rate != f.rate ||
					info.Bits != bits || info.ValidBits != bits || info.Frames != int64(n) || info.Truncated || len(info.Oddities) > 0 {
					t.Fatalf("%s: %+v", name, info)
				}
			}
		}
	}
	for _, kind := range []string{"constant", "verbatim", "fixed 0", "fixed 1", "fixed 2", "fixed 3", "fixed 4", "linear", "wasted bits",
		"rice 0", "rice 1", "escape", "channels 0", "channels 1", "channels 7", "channels 8", "channels 9", "channels 10"} {
		if kinds[kind] < 10 {
			t.Errorf("%d times %s: too few to tell", kinds[kind], kind)
		}
	}
}

// smallFLAC is a file of 1000 samples of 16 bits, and what is in it.
func smallFLAC(change func(*flacFile)) (file []byte, want []float64, f *flacFile) {
	rng := rand.New(rand.NewPCG(3, 4))
	x := make([]int64, 1000)
	for i := range x {
		x[i] = int64(10000 * math.Sin(float64(i)/7))
		want = append(want, float64(x[i])/32768)
	}
	f = newFLACFile(rng, 16000, 16, [][]int64{x})
	if change != nil {
		change(f)
	}
	return f.bytes(), want, f
}

// TestFLACStreams reads files with more, less or other things in them than usual.
func TestFLACStreams(t *testing.T) {
	tag := []byte("ID3\x04\x00\x10\x00\x00\x02\x01" + strings.Repeat("x", 257) + "3DI.......") // with a footer
	comment := slices.Concat([]byte{4, 0, 0, 5}, []byte("abcde"))
	for _, c := range []struct {
		name      string
		change    func(*flacFile)
		edit      func([]byte) []byte
		opened    int64 // frames before reading
		frames    int
		truncated bool
		chunks    string
		oddities  []string
	}{
		{"plain", nil, nil, 1000, 1000, false, "STREAMINFO", nil},
		{"of unknown length", func(f *flacFile) { f.total = 0 }, nil, -1, 1000, false, "STREAMINFO", nil},
		{"without a sum", func(f *flacFile) { f.sum = [16]byte{} }, nil, 1000, 1000, false, "STREAMINFO", nil},
		{"with metadata", func(f *flacFile) { f.metadata = comment }, nil, 1000, 1000, false, "STREAMINFO VORBIS_COMMENT PADDING", nil},
		{"with unknown metadata", func(f *flacFile) { f.metadata = []byte{77, 0, 0, 1, 9} }, nil, 1000, 1000, false, "STREAMINFO 77 PADDING", nil},
		{"behind a tag", nil, func(p []byte) []byte { return slices.Concat(tag, p) }, 1000, 1000, false, "ID3 STREAMINFO", nil},
		{"behind two tags", nil, func(p []byte) []byte { return slices.Concat(tag, tag, p) }, 1000, 1000, false, "ID3 ID3 STREAMINFO", nil},
		{"before a tag", nil, func(p []byte) []byte { return slices.Concat(p, []byte("TAG"), make([]byte, 125)) }, 1000, 1000, false, "STREAMINFO",
			[]string{"128 bytes after the last frame, at byte %d"}},
		{"of unknown length before a tag", func(f *flacFile) { f.total = 0 }, func(p []byte) []byte { return slices.Concat(p, []byte("TAG"), make([]byte, 125)) },
			-1, 1000, false, "STREAMINFO", []string{"128 bytes after the last frame, at byte %d"}},
		{"cut off", nil, func(p []byte) []byte { return p[:len(p)-1] }, 1000, 960, true, "STREAMINFO",
			[]string{"cut off within a frame", "1000 samples in STREAMINFO, 960 there"}},
		{"of unknown length, cut off", func(f *flacFile) { f.total = 0 }, func(p []byte) []byte { return p[:len(p)-1] }, -1, 960, true, "STREAMINFO",
			[]string{"cut off within a frame"}},
		{"that says more", func(f *flacFile) { f.total = 1 << 35 }, nil, 1 << 35, 1000, true, "STREAMINFO",
			[]string{"34359738368 samples in STREAMINFO, 1000 there"}},
		{"that says less", func(f *flacFile) { f.total, f.sum = 999, [16]byte{} }, nil, 999, 999, false, "STREAMINFO",
			[]string{"1 samples more in the last frame than STREAMINFO has"}},
	} {
		file, want, _ := smallFLAC(c.change)
		end := len(file)
		if c.edit != nil {
			file = c.edit(file)
		}
		for i, s := range c.oddities {
			if strings.Contains(s, "%d") {
				c.oddities[i] = fmt.Sprintf(s, end)
			}
		}
		r, err := NewReader(bytes.NewReader(file), "x.flac")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := r.Info().Frames; got != c.opened {
			t.Errorf("%s: %d frames before reading, want %d", c.name, got, c.opened)
		}
		got, err := readBlocks(r, 77)
		if err != nil || !slices.Equal(got, want[:c.frames]) {
			t.Errorf("%s: %d samples, %v", c.name, len(got), err)
		}
		info := r.Info()
		var chunks []string
		for _, c := range info.Chunks {
			chunks = append(chunks, c.ID)
		}
		if info.Frames != int64(c.frames) || info.Truncated != c.truncated || !slices.Equal(info.Oddities, c.oddities) || strings.Join(chunks, " ") != c.chunks {
			t.Errorf("%s: %+v", c.name, info)
		}
	}
}

// TestFLACDamaged flips each bit of a file, and cuts it at each byte. What is handed out is right.
func TestFLACDamaged(t *testing.T) {
	file, want, f := smallFLAC(func(f *flacFile) { f.total = 0 })
	first := f.frameStarts[0]
	for i := range file {
		r, err := NewReader(bytes.NewReader(file[:i]), "x.flac")
		if i < first {
			if err == nil {
				t.Fatalf("cut at byte %d: no error", i)
			}
			continue
		}
		got, err := readBlocks(r, 100)
		atFrame := slices.Contains(f.frameStarts, i)
		whole, found := slices.BinarySearch(f.frameStarts, i)
		if !found {
			whole--
		}
		if err != nil && !(atFrame && len(got) < len(want)) || len(got) != min(192*whole, 1000) || !slices.Equal(got, want[:len(got)]) || r.Info().Truncated == atFrame {
			t.Fatalf("cut at byte %d: %d samples, %v, %+v", i, len(got), err, r.Info())
		}
	}
	step := 1
	if testing.Short() {
		step = 17
	}
	for bit := 0; bit < 8*len(file); bit += step {
		damaged := slices.Clone(file)
		damaged[bit/8] ^= 0x80 >> (bit % 8)
		r, err := NewReader(bytes.NewReader(damaged), "x.flac")
		if err != nil {
			continue
		}
		got, err := readBlocks(r, 100)
		if bit/8 >= first {
			var format *files.FormatError
			if !(errors.As(err, &format) || err == nil && r.Info().Truncated) || len(got) == len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Fatalf("bit %d of byte %d: %d samples, %v, %+v", bit%8, bit/8, len(got), err, r.Info())
			}
		}
	}
	damaged := slices.Clone(file)
	damaged[4+4+18] ^= 1 // of the MD5 sum
	r, err := NewReader(bytes.NewReader(damaged), "x.flac")
	if err != nil {
		t.Fatal(err)
	}
	var format *files.FormatError
	if got, err := readBlocks(r, 100); !slices.Equal(got, want) || !errors.As(err, &format) || !strings.Contains(format.Found, "MD5") {
		t.Errorf("another MD5 sum: %d samples, %v", len(got), err)
	}
}

// TestFLACRefused has frames that agree with their checksums and yet are wrong.
func TestFLACRefused(t *testing.T) {
	// frame returns a file of one frame of 16 samples of 16 bits, with the bits of the subframe in words and their lengths.
	frame := func(header []byte, words ...uint64) []byte {
		w := &flacWriter{p: []byte("fLaC\x80\x00\x00\x22\x00\x10\x00\x10\x00\x00\x00\x00\x00\x00\x03\xe8\x00\xf0\x00\x00\x00\x00")}
		w.p = append(w.p, make([]byte, 16)...)
		begin := len(w.p)
		w.p = append(w.p, header...)
		w.put(uint64(flacTestCRC(w.p[begin:], 8, 0x07)), 8)
		for i := 0; i < len(words); i += 2 {
			w.put(words[i], int(words[i+1]))
		}
		w.free = 0
		w.put(uint64(flacTestCRC(w.p[begin:], 16, 0x8005)), 16)
		return w.p
	}
	mono := []byte{0xff, 0xf8, 0x60, 0x00, 0x00, 15}
	if r, err := NewReader(bytes.NewReader(frame(mono, 0, 8, 0x4000, 16)), "x"); err != nil {
		t.Fatal(err)
	} else if got, err := readBlocks(r, 20); err != nil || !slices.Equal(got, slices.Repeat([]float64{0.5}, 16)) {
		t.Fatalf("a right one: %v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		file []byte
	}{
		{"a bit before the kind", frame(mono, 0x80, 8, 0, 16)},
		{"a reserved kind", frame(mono, 2<<1, 8, 0, 16)},
		{"order 5", frame(mono, 13<<1, 8, 0, 16)},
		{"all bits wasted", frame(mono, 1, 8, 1, 16, 0, 16)},
		{"order 32 of 16 samples", frame(mono, 63<<1, 8, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64, 0, 64)},
		{"a precision of 16 bits", frame(mono, 32<<1, 8, 0, 16, 15, 4, 0, 64)},
		{"method 2", frame(mono, 8<<1, 8, 2, 2, 0, 64)},
		{"samples of 17 bits", frame(mono, 8<<1, 8, 1, 2, 0, 4, 31, 5, 17, 5, 0x8000, 17, 0, 64, 0, 64, 0, 64, 0, 64)},
		{"reserved channels", frame([]byte{0xff, 0xf8, 0x60, 0xb0, 0x00, 15}, 0, 64)},
		{"reserved bits", frame([]byte{0xff, 0xf8, 0x60, 0x06, 0x00, 15}, 0, 64)},
		{"a reserved bit", frame([]byte{0xff, 0xf8, 0x60, 0x01, 0x00, 15}, 0, 64)},
		{"a reserved size", frame([]byte{0xff, 0xf8, 0x00, 0x00, 0x00}, 0, 64)},
		{"a reserved rate", frame([]byte{0xff, 0xf8, 0x6f, 0x00, 0x00, 15}, 0, 64)},
		{"a number that goes on from nowhere", frame([]byte{0xff, 0xf8, 0x60, 0x00, 0x80, 15}, 0, 64)},
		{"a number of 8 bytes", frame([]byte{0xff, 0xf8, 0x60, 0x00, 0xff, 15}, 0, 64)},
		{"two channels", frame([]byte{0xff, 0xf8, 0x60, 0x10, 0x00, 15}, 0, 64)},
		{"8 bits", frame([]byte{0xff, 0xf8, 0x60, 0x02, 0x00, 15}, 0, 64)},
		{"8 kHz", frame([]byte{0xff, 0xf8, 0x64, 0x00, 0x00, 15}, 0, 64)},
		{"another checksum", func() []byte { p := frame(mono, 0, 8, 0x4000, 16); p[len(p)-1]++; return p }()},
		{"no STREAMINFO", []byte("fLaC\x84\x00\x00\x00")},
		{"a short STREAMINFO", []byte("fLaC\x80\x00\x00\x21" + strings.Repeat("\x01", 34))},
		{"two STREAMINFO", slices.Concat([]byte("fLaC\x00"), frame(mono)[5:42], []byte{0x80, 0, 0, 34}, make([]byte, 34))},
		{"metadata beyond the end", slices.Concat([]byte("fLaC\x00"), frame(mono)[5:42], []byte("\x84\xff\xff\xff...."))},
		{"metadata 127", slices.Concat([]byte("fLaC\x00"), frame(mono)[5:42], []byte("\xff\x00\x00\x00"))},
		{"a rate of 0", func() []byte { p := frame(mono); clear(p[18:20]); p[20] &= 15; return p }()},
		{"3 bits", func() []byte { p := frame(mono); p[20], p[21] = 0, 0x20; return p }()},
	} {
		r, err := NewReader(bytes.NewReader(c.file), "x.flac")
		var got []float64
		if err == nil {
			got, err = readBlocks(r, 20)
		}
		var format *files.FormatError
		if !errors.As(err, &format) || len(got) > 0 || format.File != "x.flac" || format.Expected == "" {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

// TestFLACSpeech reads real speech: as long as a manifest says, and with the MD5 sum that it has itself.
func TestFLACSpeech(t *testing.T) {
	folder := shared.Data(t, "speech")
	for i, row := range readTSV(t, filepath.Join(folder, "manifest.tsv")) {
		if i%75 != 0 {
			continue
		}
		r, err := Open(filepath.Join(folder, filepath.FromSlash(row["path"])))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBlocks(r, 4096)
		r.Close()
		info := r.Info()
		if err != nil || strconv.Itoa(len(got)) != row["frames"] || info.Rate != 16000 || info.Channels != 1 || len(info.Oddities) > 0 {
			t.Errorf("%s: %d samples, want %s; %v, %+v", row["path"], len(got), row["frames"], err, info)
		}
	}
}

func BenchmarkFLAC(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 6))
	x := make([]int64, 16000*10)
	for i := range x {
		x[i] = int64(8000*math.Sin(float64(i)/20)*math.Sin(float64(i)/4000) + 300*rng.NormFloat64())
	}
	f := newFLACFile(rng, 16000, 16, [][]int64{x})
	f.sizes = []int{4096}
	file := f.bytes()
	block := make([]float64, 4096)
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(file), "x.flac")
		for err == nil {
			_, err = r.Read(block)
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(10*float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
}
