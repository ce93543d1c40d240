package compress

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/internal/rangecoder"
	"github.com/vqaudio/vqaudio/wavenet"
)

// block is some utterances.
type block struct {
	number  int
	first   int  // number of the first utterance
	goingOn bool // it began in the block before
	entries []entry
	units   []int32 // of all frames
	bits    float64 // information of the units under the net
	code    []byte
}

// entry is an utterance, or what of one is in a block.
type entry struct {
	name      string
	frames    int
	goesOn    bool // in the next block
	durations bool
}

// sideBySide is how many blocks a core codes at a time: for all of them it reads the weights of the net once.
const sideBySide = 8

// coder codes and decodes blocks.
type coder struct{ predictor *wavenet.Predictor }

// together is how many blocks keep all cores busy.
func together() int { return sideBySide * parallel.Threads() }

// groups calls do for groups of blocks, on all cores.
func groups(blocks []*block, do func(group []*block) error) error {
	if len(blocks) == 0 {
		return nil
	}
	threads := parallel.Threads()
	size := parallel.Blocks(len(blocks), threads*parallel.Blocks(len(blocks), threads*sideBySide)) // as many for all
	errs := make([]error, parallel.Blocks(len(blocks), size))
	parallel.For(len(errs), func(i int) {
		from, to := parallel.Block(i, len(blocks), size)
		errs[i] = do(blocks[from:to])
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// encode makes the code of blocks of their units.
func (c coder) encode(ctx context.Context, blocks []*block, progress func(frames int)) error {
	return groups(blocks, func(group []*block) error {
		encoders := make([]*rangecoder.Encoder, len(group))
		for i := range group {
			encoders[i] = rangecoder.NewEncoder(nil)
		}
		err := c.each(ctx, group, progress, func(s *wavenet.Sequences, place, i, frame int) int32 {
			unit := group[i].units[frame]
			encoders[i].Encode(s.Frequencies(place), unit)
			group[i].bits += s.Bits(place, unit)
			return unit
		})
		for i, b := range group {
			b.code = encoders[i].Close()
		}
		return err
	})
}

// decode makes the units of blocks of their code.
func (c coder) decode(ctx context.Context, blocks []*block, progress func(frames int)) error {
	return groups(blocks, func(group []*block) error {
		decoders := make([]*rangecoder.Decoder, len(group))
		for i, b := range group {
			decoders[i] = rangecoder.NewDecoder(b.code)
		}
		return c.each(ctx, group, progress, func(s *wavenet.Sequences, place, i, _ int) int32 {
			unit := decoders[i].Decode(s.Frequencies(place))
			group[i].units = append(group[i].units, unit)
			return unit
		})
	})
}

// each goes through the frames of blocks, side by side: unit returns that of a frame of block i, which s has predicted at place.
func (c coder) each(ctx context.Context, blocks []*block, progress func(frames int),
	unit func(s *wavenet.Sequences, place, i, frame int) int32) error {
	s := c.predictor.Sequences(len(blocks))
	next, end := make([]int, len(blocks)), make([]int, len(blocks)) // of each block, the entry that comes, and the frame where it begins
	which := make([]int, 0, len(blocks))
	for frame := 0; ; frame++ {
		which = which[:0]
		for i, b := range blocks {
			for frame == end[i] && next[i] < len(b.entries) {
				end[i] += b.entries[next[i]].frames
				next[i]++
				s.Reset(i)
			}
			if frame < end[i] {
				which = append(which, i)
			}
		}
		if len(which) == 0 {
			return nil
		}
		s.Predict(which)
		for place, i := range which {
			s.Append(i, unit(s, place, i, frame))
		}
		if progress != nil {
			progress(len(which))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// tableSize is how long an entry is in a table that is not deflated, at most.
func (e entry) tableSize() int { return binary.MaxVarintLen32 + len(e.name) + 1 }

// append appends the block as it is in a file.
func (b *block) append(out []byte) []byte {
	var table []byte
	for _, e := range b.entries {
		flags := uint64(e.frames) << 2
		if e.goesOn {
			flags |= 2
		}
		if e.durations {
			flags |= 1
		}
		table = append(append(binary.AppendUvarint(table, flags), e.name...), '\n')
	}
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		panic(err) // of a level that there is
	}
	w.Write(table) // to memory
	w.Close()

	from, first := len(out), uint64(b.first)<<1
	if b.goingOn {
		first |= 1
	}
	out = append(out, markFirst, markBlock)
	for _, v := range []uint64{uint64(b.number), first, uint64(deflated.Len()), uint64(len(b.code))} {
		out = binary.AppendUvarint(out, v)
	}
	out = appendChecksum(append(out, deflated.Bytes()...), from)
	return appendChecksum(append(out, b.code...), len(out))
}

// wrong is what is wrong at an offset.
type wrong struct {
	offset          int
	found, expected string
}

// cut is the end of a file where more was expected.
func cut(at int, expected string) *wrong { return &wrong{at, "the end of the file", expected} }

// head is a block of which the code is still in the file.
type head struct {
	block
	size     int // of the head in bytes
	codeSize int // of the code behind it, without its checksum
}

// numbers reads n varints from b[at:], and returns them with the place behind them.
func numbers(b []byte, at, n int, expected string) ([]uint64, int, *wrong) {
	var all []uint64
	for range n {
		v, size := binary.Uvarint(b[at:])
		switch {
		case size == 0:
			return nil, 0, cut(len(b), expected)
		case size < 0 || v > math.MaxInt32:
			return nil, 0, &wrong{at, "a number beyond all bounds", expected}
		}
		all, at = append(all, v), at+size
	}
	return all, at, nil
}

// check checks that a checksum of b[:at] follows there.
func check(b []byte, at int, of string) *wrong {
	if len(b) < at+checksum {
		return cut(len(b), "the checksum of "+of)
	}
	if found, sum := binary.LittleEndian.Uint32(b[at:]), crc32.Checksum(b[:at], castagnoli); found != sum {
		return &wrong{at, fmt.Sprintf("checksum %08x", found), fmt.Sprintf("%08x, that of %s", sum, of)}
	}
	return nil
}

// parseHead reads the head that b begins with.
func parseHead(b []byte) (*head, *wrong) {
	const expected = "a block, or the end mark"
	if len(b) < 2 {
		return nil, cut(len(b), expected)
	}
	if b[0] != markFirst || b[1] != markBlock {
		return nil, &wrong{0, fmt.Sprintf("%x", b[:2]), expected}
	}
	v, at, w := numbers(b, 2, 4, "numbers of a block")
	if w != nil {
		return nil, w
	}
	if v[2] > maxTable || v[3] > maxCode {
		return nil, &wrong{2, fmt.Sprintf("a table of %d bytes, and a code of %d", v[2], v[3]), fmt.Sprintf("at most %d, and %d", maxTable, maxCode)}
	}
	h := &head{block: block{number: int(v[0]), first: int(v[1] >> 1), goingOn: v[1]&1 != 0}, codeSize: int(v[3])}
	end := at + int(v[2])
	if w := check(b, end, "the head of a block"); w != nil {
		return nil, w
	}
	h.size = end + checksum
	found := h.parseTable(b[at:end])
	if found != "" {
		return nil, &wrong{at, found, fmt.Sprintf("names and lengths of utterances of %d frames together, at most", maxFrames)}
	}
	return h, nil
}

// parseTable reads the entries of a table, and returns what is wrong with it.
func (b *block) parseTable(deflated []byte) (found string) {
	table, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflated)), maxTable+1))
	if err != nil || len(table) > maxTable {
		return "something else"
	}
	frames := 0
	for len(table) > 0 {
		flags, n := binary.Uvarint(table)
		size := bytes.IndexByte(table[max(n, 0):], '\n')
		if n <= 0 || size <= 0 || size > maxName || flags>>2 > maxFrames {
			return fmt.Sprintf("something else as utterance %d", len(b.entries))
		}
		e := entry{name: string(table[n : n+size]), frames: int(flags >> 2), goesOn: flags&2 != 0, durations: flags&1 != 0}
		b.entries = append(b.entries, e)
		table, frames = table[n+size+1:], frames+e.frames
		if e.goesOn && len(table) > 0 {
			return fmt.Sprintf("utterance %d, which goes on in the next block, in front of others", len(b.entries)-1)
		}
	}
	if frames > maxFrames || b.goingOn && len(b.entries) == 0 {
		return fmt.Sprintf("%d utterances of %d frames", len(b.entries), frames)
	}
	return ""
}

// end is the end mark.
type end struct{ blocks, utterances, size int }

// isEnd says whether b begins with the end mark.
func isEnd(b []byte) bool { return len(b) >= 2 && b[0] == markFirst && b[1] == markEnd }

func (e end) append(out []byte) []byte {
	from := len(out)
	out = binary.AppendUvarint(append(out, markFirst, markEnd), uint64(e.blocks))
	return appendChecksum(binary.AppendUvarint(out, uint64(e.utterances)), from)
}

// parseEnd reads the end mark that b begins with.
func parseEnd(b []byte) (end, *wrong) {
	v, at, w := numbers(b, 2, 2, "numbers of blocks and utterances")
	if w == nil {
		w = check(b, at, "the end mark")
	}
	if w != nil {
		return end{}, w
	}
	return end{int(v[0]), int(v[1]), at + checksum}, nil
}
