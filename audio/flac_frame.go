package audio

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// flacBits reads the bits of a frame, first the highest of each byte. Behind the end of the input all are zero, and err
// says so.
type flacBits struct {
	in    *input
	p     []byte // the next bytes of in, which have not been taken from it
	i     int    // of these are in cache
	cache uint64 // the next bits, at the top; below them zeros
	n     uint   // how many
	crc   uint16 // of what was before p
	end   error  // what has ended in: there is nothing behind p
	err   error  // what is wrong with the frame: a fault, or end where more bits were wanted
}

// frame reads the frame with header h, whose bytes are next in in, into block, whose slices it makes longer where they are
// too short.
func (b *flacBits) frame(in *input, h flacHeader, block [][]int64) error {
	*b = flacBits{in: in}
	b.more()
	b.i = h.length
	for c := range block {
		if cap(block[c]) < h.size {
			block[c] = make([]int64, h.size)
		}
		block[c] = block[c][:h.size]
		width := uint(h.bits)
		if h.stereo == 8 && c == 1 || h.stereo == 9 && c == 0 || h.stereo == 10 && c == 1 {
			width++ // the difference of two channels
		}
		b.subframe(block[c], width)
		if b.err != nil {
			return b.fault(h)
		}
	}
	b.n -= b.n % 8
	b.give()
	crc := flacCRC16(b.crc, b.p[:b.i])
	b.cache, b.n = 0, 0
	if sum := uint16(b.read(16)); b.err != nil {
		return b.fault(h)
	} else if sum != crc {
		return in.malformed(h.at, fmt.Sprintf("%04x as at its end", sum), "a FLAC frame whose checksum is %04x", crc)
	}
	b.give()
	in.skip(int64(b.i))

	if h.stereo > 0 {
		flacStereo(block[0], block[1], h.stereo)
	}
	var beyond int64
	for _, samples := range block {
		for _, x := range samples {
			beyond |= x ^ x>>63
		}
	}
	if beyond>>(h.bits-1) != 0 {
		return in.malformed(h.at, fmt.Sprintf("samples of %d bits", h.bits), "a FLAC frame with larger ones")
	}
	return nil
}

// flacStereo makes left and right of two channels that were coded together.
func flacStereo(a, b []int64, how int) {
	b = b[:len(a)]
	switch how {
	case 8: // left and side
		for i := range a {
			b[i] = a[i] - b[i]
		}
	case 9: // side and right
		for i := range a {
			a[i] += b[i]
		}
	case 10: // middle and side: the half that the middle has lost is the low bit of the side
		for i := range a {
			side := b[i]
			twice := a[i]<<1 | side&1
			a[i], b[i] = (twice+side)>>1, (twice-side)>>1
		}
	}
}

// flacFault is what a subframe has that it may not.
type flacFault string

func (f flacFault) Error() string { return string(f) }

// fault returns b.err, with its place if it is a fault of the format.
func (b *flacBits) fault(h flacHeader) error {
	if what, ok := b.err.(flacFault); ok {
		return b.in.malformed(h.at, "a FLAC frame", "%s", string(what))
	}
	return b.err
}

// fail notes what is wrong, unless something has been before.
func (b *flacBits) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// give takes whole bytes out of the cache again.
func (b *flacBits) give() {
	b.i -= int(b.n / 8)
	b.n %= 8
	b.cache &= ^uint64(0) << (64 - b.n)
}

// more goes on to further bytes of in, or sets end.
func (b *flacBits) more() {
	b.give()
	b.crc = flacCRC16(b.crc, b.p[:b.i])
	b.in.skip(int64(b.i))
	b.p, b.end = b.in.ahead(len(b.p) - b.i + 1)
	b.i = 0
	if b.end == io.EOF {
		b.end = io.ErrUnexpectedEOF
	}
}

// fill puts at least 56 bits into the cache, or all that there are.
func (b *flacBits) fill() {
	for b.n < 56 {
		if b.i+8 <= len(b.p) {
			b.cache |= binary.BigEndian.Uint64(b.p[b.i:]) >> b.n
			b.i += int(63-b.n) / 8
			b.n |= 56
			b.cache &= ^uint64(0) << (64 - b.n)
			return
		}
		if b.i < len(b.p) {
			b.cache |= uint64(b.p[b.i]) << (56 - b.n)
			b.i++
			b.n += 8
		} else if b.end == nil {
			b.more()
		} else {
			return
		}
	}
}

// read returns the next n bits, 56 at most.
func (b *flacBits) read(n uint) uint64 {
	if b.n < n {
		if b.fill(); b.n < n {
			b.fail(b.end)
			b.cache, b.n = 0, 0
			return 0
		}
	}
	x := b.cache >> (64 - n)
	b.cache <<= n
	b.n -= n
	return x
}

// signed returns the next n bits, 56 at most, as a number in two's complement.
func (b *flacBits) signed(n uint) int64 {
	return int64(b.read(n)<<(64-n)) >> (64 - n)
}

// unary returns how many zeros come before the next one, and takes that too.
func (b *flacBits) unary() uint64 {
	var zeros uint64
	for {
		if k := uint(bits.LeadingZeros64(b.cache)); k < b.n {
			b.cache <<= k + 1
			b.n -= k + 1
			return zeros + uint64(k)
		}
		zeros += uint64(b.n)
		b.cache, b.n = 0, 0
		if b.fill(); b.n == 0 {
			b.fail(b.end)
			return 0
		}
	}
}

// subframe reads the samples of a channel, of width bits each (RFC 9639, section 9.2).
func (b *flacBits) subframe(x []int64, width uint) {
	kind := b.read(8)
	if kind&0x80 != 0 {
		b.fail(flacFault("a subframe that begins with 1"))
		return
	}
	var wasted uint // low bits that are zero in all samples
	if kind&1 != 0 {
		w := b.unary() + 1
		if w >= uint64(width) {
			b.fail(flacFault(fmt.Sprintf("%d wasted bits of %d", w, width)))
			return
		}
		wasted = uint(w)
		width -= wasted
	}
	switch kind >>= 1; {
	case kind == 0: // constant
		v := b.signed(width)
		for i := range x {
			x[i] = v
		}
	case kind == 1: // verbatim
		for i := range x {
			x[i] = b.signed(width)
		}
	case kind >= 8 && kind <= 12:
		b.fixed(x, width, int(kind-8))
	case kind >= 32:
		b.linear(x, width, int(kind-31))
	default:
		b.fail(flacFault(fmt.Sprintf("a subframe of the reserved kind %06b", kind)))
	}
	if wasted > 0 {
		for i := range x {
			x[i] <<= wasted
		}
	}
}

// warmUp reads the samples before the first that is predicted.
func (b *flacBits) warmUp(x []int64, width uint, order int) bool {
	if order > len(x) {
		b.fail(flacFault(fmt.Sprintf("a predictor of order %d for %d samples", order, len(x))))
		return false
	}
	for i := range order {
		x[i] = b.signed(width)
	}
	return true
}

// fixed reads samples that are predicted by the polynomial through the order before them.
func (b *flacBits) fixed(x []int64, width uint, order int) {
	if !b.warmUp(x, width, order) {
		return
	}
	b.residual(x, order)
	switch order {
	case 1:
		for i := 1; i < len(x); i++ {
			x[i] += x[i-1]
		}
	case 2:
		for i := 2; i < len(x); i++ {
			x[i] += 2*x[i-1] - x[i-2]
		}
	case 3:
		for i := 3; i < len(x); i++ {
			x[i] += 3*(x[i-1]-x[i-2]) + x[i-3]
		}
	case 4:
		for i := 4; i < len(x); i++ {
			x[i] += 4*(x[i-1]+x[i-3]) - 6*x[i-2] - x[i-4]
		}
	}
}

// linear reads samples that are predicted as a weighted sum of the order before them.
func (b *flacBits) linear(x []int64, width uint, order int) {
	if !b.warmUp(x, width, order) {
		return
	}
	precision := uint(b.read(4)) + 1
	shift := b.signed(5)
	if precision == 16 || shift < 0 {
		b.fail(flacFault(fmt.Sprintf("a predictor of %d bits, shifted by %d", precision, shift)))
		return
	}
	var weights [32]int64 // of the oldest sample first
	for i := order - 1; i >= 0; i-- {
		weights[i] = b.signed(precision)
	}
	b.residual(x, order)
	w := weights[:order]
	for i := order; i < len(x); i++ {
		var sum int64
		for j, s := range x[i-order : i : i] {
			sum += w[j] * s
		}
		x[i] += sum >> shift
	}
}

// residual reads the differences from the prediction, into x after its first order samples: partitions of equal length,
// each in a Rice code of its own (RFC 9639, section 9.2.7).
func (b *flacBits) residual(x []int64, order int) {
	method, partitions := b.read(2), 1<<b.read(4)
	length := len(x) / partitions
	if method > 1 || length*partitions != len(x) || length < order {
		b.fail(flacFault(fmt.Sprintf("method %d, %d partitions of %d samples, %d of them before the first", method, partitions, len(x), order)))
		return
	}
	parameterBits := 4 + uint(method)
	for start := 0; start < len(x) && b.err == nil; start += length {
		part := x[start : start+length]
		if start == 0 {
			part = part[order:]
		}
		k := uint(b.read(parameterBits))
		if k < 1<<parameterBits-1 {
			b.rice(part, k)
			continue
		}
		n := uint(b.read(5)) // bits of each, without a code
		for i := range part {
			part[i] = b.signed(n)
		}
	}
}

// rice reads numbers in the Rice code with parameter k: what is above the low k bits in unary, then these; the sign is the
// lowest bit of all.
func (b *flacBits) rice(x []int64, k uint) {
	k &= 31
	for len(x) > 0 && b.err == nil {
		n := b.riceAhead(x, k)
		if x = x[n:]; len(x) == 0 {
			return
		}
		high := b.unary() // of one that is long, or at the end of the bytes at hand
		if high > math.MaxUint32>>k {
			b.fail(flacFault("a residual of more than 32 bits"))
		}
		v := high<<k | b.read(k)
		x[0] = int64(v>>1) ^ -int64(v&1)
		x = x[1:]
	}
}

// riceAhead reads numbers as rice does, as long as they are short and bytes are at hand, and returns how many.
func (b *flacBits) riceAhead(x []int64, k uint) int {
	cache, n, p, i := b.cache, b.n, b.p, b.i
	count := 0
	for ; count < len(x) && i+8 <= len(p); count++ {
		if n < 48 {
			cache |= binary.BigEndian.Uint64(p[i:]) >> n
			i += int(63-n) / 8
			n |= 56
		}
		zeros := uint(bits.LeadingZeros64(cache))
		length := zeros + 1 + k
		if length > n {
			break
		}
		rest := cache << (zeros + 1)
		v := uint64(zeros)<<k | rest>>1>>(63-k)
		x[count] = int64(v>>1) ^ -int64(v&1)
		cache = rest << k
		n -= length
	}
	b.cache, b.n, b.i = cache&(^uint64(0)<<(64-n)), n, i
	return count
}

var flacTable8, flacTable16 = flacTables()

// flacTables are the checksums of single bytes: with polynomial x^8+x^2+x+1 for headers, and x^16+x^15+x^2+1 for frames.
func flacTables() (t8 [256]uint8, t16 [256]uint16) {
	for i := range 256 {
		a, b := uint8(i), uint16(i)<<8
		for range 8 {
			a = a<<1 ^ a>>7*0x07
			b = b<<1 ^ b>>15*0x8005
		}
		t8[i], t16[i] = a, b
	}
	return t8, t16
}

func flacCRC8(p []byte) (crc uint8) {
	for _, c := range p {
		crc = flacTable8[crc^c]
	}
	return crc
}

func flacCRC16(crc uint16, p []byte) uint16 {
	for _, c := range p {
		crc = crc<<8 ^ flacTable16[byte(crc>>8)^c]
	}
	return crc
}
