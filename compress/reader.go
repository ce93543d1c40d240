package compress

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Reader reads what a [Writer] has written.
//
//	r, err := compress.NewReader(in, "units.vqu", prior)
//	for {
//		part, err := r.Next(ctx)
//		if errors.Is(err, io.EOF) {
//			break
//		}
//		...
//	}
//
// A file is not trusted: what is wrong is a [*DamageError], and no more memory is taken than for the blocks that are decoded side
// by side.
type Reader struct {
	// Progress, which may be nil, is called with the number of units that have been decoded since, by several goroutines at once.
	Progress func(units int)

	in    *bufio.Reader
	file  string
	at    int64 // offset of what in is about to return
	info  units.Info
	coder coder

	// What is to come:
	number int    // of the block
	next   int    // number of the utterance that begins first
	goesOn bool   // one before it goes on
	cut    string // name of that, if nothing of it has been lost; else ""
	ended  bool   // nothing
	failed error  // why in ends; nil at the end of the file

	queue []item
	open  string         // name of the utterance of which the last part was no end; else ""
	held  units.Sequence // its last unit with durations, which may go on
}

// item is a block, from the entry that comes, or an error.
type item struct {
	block *block
	entry int
	frame int
	err   error
}

// Part is an utterance, or a part of one that was in several blocks.
type Part struct {
	Name         string
	Begins, Ends bool // with this part
	units.Sequence
}

// MismatchError says that a file was compressed with another prior.
type MismatchError struct {
	File                 string
	Prior, Model         string // fingerprints, of which it was compressed,
	ThisPrior, ThisModel string // and of which it was to be read
}

// Error names the file, and all fingerprints that differ.
func (e *MismatchError) Error() string {
	if e.Model != e.ThisModel {
		return fmt.Sprintf("%s: was compressed with prior %s, over units of model %s; this is prior %s, over units of model %s", e.File, e.Prior, e.Model, e.ThisPrior, e.ThisModel)
	}
	return fmt.Sprintf("%s: was compressed with prior %s; this is prior %s", e.File, e.Prior, e.ThisPrior)
}

// DamageError says that a part of a file is damaged or missing, and what is lost with it.
type DamageError struct {
	Err *files.FormatError
	// Cut is the utterance whose first part was returned, and whose other part is lost; "" if there is none.
	Cut string
	// First is the number of the first utterance that is lost, Lost of how many nothing is left; -1 of all that follow. Names are theirs, as far
	// as they can be read.
	First, Lost int
	Names       []string
}

// Unwrap returns the damage without what is lost.
func (e *DamageError) Unwrap() error { return e.Err }

// Error names file, place, what was found and expected, and what is lost.
func (e *DamageError) Error() string {
	var lost []string
	if e.Cut != "" {
		lost = append(lost, "the rest of "+e.Cut)
	}
	const most = 5
	names := strings.Join(e.Names[:min(len(e.Names), most)], ", ")
	if len(e.Names) > most {
		names += ", ..."
	}
	switch {
	case e.Lost < 0:
		lost = append(lost, fmt.Sprintf("all utterances after the first %d", e.First))
	case e.Lost == 1:
		lost = append(lost, fmt.Sprintf("utterance %d", e.First+1))
	case e.Lost > 1:
		lost = append(lost, fmt.Sprintf("utterances %d to %d", e.First+1, e.First+e.Lost))
	}
	if len(lost) == 0 {
		lost = append(lost, "no utterance")
	}
	text := fmt.Sprintf("%v; lost: %s", e.Err, strings.Join(lost, " and "))
	if names != "" {
		text += " (" + names + ")"
	}
	return text
}

// NewReader begins to read a file, which errors call name. It is a [*files.FormatError] if it is none of this package, a
// [*files.UnsupportedError] if it is of a later version, and a [*MismatchError] if it was compressed with another prior.
func NewReader(in io.Reader, name string, p Prior) (*Reader, error) {
	want, err := p.header()
	if err != nil {
		return nil, err
	}
	r := &Reader{in: bufio.NewReaderSize(in, maxHead+maxCode+checksum), file: name, info: p.Info,
		coder: coder{wavenet.NewPredictor(p.Net, p.Global)}}
	h, size, w := parseHeader(r.peek(maxHeader))
	if w != nil && r.failed != nil {
		return nil, r.failed
	}
	if w != nil {
		return nil, r.wrong(w)
	}
	if h.version != version {
		return nil, &files.UnsupportedError{File: name, Offset: int64(len(magic)), What: fmt.Sprintf("version %d of compressed units", h.version)}
	}
	if h.prior != want.prior || h.model != want.model {
		return nil, &MismatchError{name, hex.EncodeToString(h.prior[:]), hex.EncodeToString(h.model[:]), p.Fingerprint, p.Info.Model}
	}
	if h != want {
		return nil, r.wrong(&wrong{len(magic) + 1 + 16, fmt.Sprintf("%d units of %d samples at %d Hz", h.k, h.hop, h.rate),
			fmt.Sprintf("%d of %d at %d Hz, as the prior has them", want.k, want.hop, want.rate)})
	}
	r.discard(size)
	return r, nil
}

// Info says what the units stand for.
func (r *Reader) Info() units.Info { return r.info }

// Next returns the next utterance, or part of one; after the last, io.EOF. After a [*DamageError] it goes on behind the damage: of the
// utterance that is cut there comes no more, not even its end.
func (r *Reader) Next(ctx context.Context) (Part, error) {
	for {
		if len(r.queue) == 0 {
			if r.ended {
				return Part{}, io.EOF
			}
			if err := r.fill(ctx); err != nil {
				return Part{}, err
			}
			continue
		}
		i := &r.queue[0]
		switch {
		case i.err != nil && r.held.Units != nil:
			part := Part{Name: r.open, Sequence: r.held}
			r.held = units.Sequence{}
			return part, nil
		case i.err != nil:
			err := i.err
			r.open, r.queue = "", r.queue[1:]
			return Part{}, err
		case i.entry == len(i.block.entries):
			r.queue = r.queue[1:]
		default:
			if part, ok := r.part(i); ok {
				return part, nil
			}
		}
	}
}

// part returns the next entry of a block. Not ok is one whose beginning is lost.
func (r *Reader) part(i *item) (part Part, ok bool) {
	e := i.block.entries[i.entry]
	all := i.block.units[i.frame:][:e.frames]
	begins := i.entry > 0 || !i.block.goingOn
	i.entry, i.frame = i.entry+1, i.frame+e.frames
	if !begins && r.open == "" {
		return Part{}, false
	}
	r.open = ""
	if e.goesOn {
		r.open = e.name
	}
	part = Part{Name: e.name, Begins: begins, Ends: !e.goesOn, Sequence: units.Sequence{Units: all}}
	if e.durations || r.held.Units != nil {
		part.Sequence = r.join(all, e.goesOn)
	}
	return part, true
}

// join makes units with durations of frames. The last one is held back if it may go on.
func (r *Reader) join(frames []int32, goesOn bool) units.Sequence {
	s := r.held
	r.held = units.Sequence{}
	for _, unit := range frames {
		if n := len(s.Units); n > 0 && s.Units[n-1] == unit && s.Durations[n-1] < math.MaxInt32 {
			s.Durations[n-1]++
			continue
		}
		s.Units, s.Durations = append(s.Units, unit), append(s.Durations, 1)
	}
	if n := len(s.Units); goesOn && n > 0 {
		r.held = units.Sequence{Units: []int32{s.Units[n-1]}, Durations: []int32{s.Durations[n-1]}}
		s.Units, s.Durations = s.Units[:n-1], s.Durations[:n-1]
	}
	return s
}

// fill reads blocks up to the next damage, as many as are decoded side by side, and decodes them.
func (r *Reader) fill(ctx context.Context) error {
	var blocks []*block
	var failed error
	for len(blocks) < together() && failed == nil && !r.ended {
		var b *block
		if b, failed = r.read(ctx); b != nil {
			blocks = append(blocks, b)
		}
	}
	if err := r.coder.decode(ctx, blocks, r.Progress); err != nil {
		return err
	}
	for _, b := range blocks {
		r.queue = append(r.queue, item{block: b})
	}
	if failed != nil {
		r.queue = append(r.queue, item{err: failed})
	}
	return nil
}

// read reads a block, or the end mark, for which it returns none.
func (r *Reader) read(ctx context.Context) (*block, error) {
	b := r.peek(maxHead)
	if isEnd(b) {
		return nil, r.readEnd(ctx, b)
	}
	h, wrong := parseHead(b)
	if wrong == nil {
		wrong = r.isNext(h)
	}
	if wrong != nil {
		return nil, r.seek(ctx, wrong)
	}
	b = r.peek(h.size + h.codeSize + checksum)
	code := b[h.size:]
	if wrong = check(code, h.codeSize, fmt.Sprintf("block %d", h.number)); wrong == nil {
		h.code = bytes.Clone(code[:h.codeSize])
		r.pass(h)
		r.discard(h.size + h.codeSize + checksum)
		return &h.block, nil
	}
	if r.failed != nil {
		return nil, r.seek(ctx, wrong)
	}
	wrong.offset += h.size
	damage := &DamageError{Err: r.wrong(wrong), Cut: r.cut, First: r.next, Lost: h.first + len(h.entries) - r.next}
	for _, e := range h.entries[len(h.entries)-damage.Lost:] {
		damage.Names = append(damage.Names, e.name)
	}
	r.pass(h)
	r.cut = ""
	r.discard(len(b))
	return nil, damage
}

// isNext returns what is wrong with a block where it is.
func (r *Reader) isNext(h *head) *wrong {
	first := r.next
	if r.goesOn {
		first--
	}
	if h.number == r.number && h.first == first && h.goingOn == r.goesOn && (r.cut == "" || h.entries[0].name == r.cut) {
		return nil
	}
	return &wrong{0, fmt.Sprintf("block %d, from utterance %d on", h.number, h.first), fmt.Sprintf("block %d, from utterance %d on", r.number, first)}
}

// pass goes behind a block.
func (r *Reader) pass(h *head) {
	r.number, r.next, r.goesOn, r.cut = h.number+1, h.first+len(h.entries), false, ""
	if n := len(h.entries); n > 0 && h.entries[n-1].goesOn {
		r.goesOn, r.cut = true, h.entries[n-1].name
	}
}

// readEnd reads the end mark that b begins with.
func (r *Reader) readEnd(ctx context.Context, b []byte) error {
	e, w := parseEnd(b)
	if w != nil {
		return r.seek(ctx, w)
	}
	r.ended = true
	switch {
	case e.blocks != r.number || e.utterances != r.next || r.goesOn:
		w = &wrong{0, fmt.Sprintf("the end of %d blocks with %d utterances", e.blocks, e.utterances), fmt.Sprintf("more blocks than %d with %d", r.number, r.next)}
	case len(b) > e.size:
		w = &wrong{e.size, "more behind the end mark", "the end of the file"}
	default:
		return nil
	}
	return &DamageError{Err: r.wrong(w), Cut: r.cut, First: r.next, Lost: max(0, e.utterances-r.next)}
}

// seek goes on to the next block that can be read, or to the end mark, and returns what is lost before it.
func (r *Reader) seek(ctx context.Context, w *wrong) error {
	damage := &DamageError{Err: r.wrong(w), Cut: r.cut, First: r.next, Lost: -1}
	r.cut = ""
	for ctx.Err() == nil {
		b := r.peek(maxHead)
		if r.failed != nil || len(b) == 0 {
			r.ended = true
			return cmp.Or(r.failed, error(damage))
		}
		if isEnd(b) {
			if e, w := parseEnd(b); w == nil && e.blocks >= r.number && e.utterances >= r.next {
				damage.Lost = e.utterances - r.next
				r.number, r.next, r.goesOn = e.blocks, e.utterances, false
				return damage
			}
		} else if h, w := parseHead(b); w == nil && h.number >= r.number {
			next := h.first // the utterance that begins first, or would if it had not begun before
			if h.goingOn {
				next++
			}
			if next >= r.next {
				damage.Lost = next - r.next
				r.number, r.next, r.goesOn = h.number, next, h.goingOn
				return damage
			}
		}
		n := bytes.IndexByte(b[1:], markFirst)
		if n < 0 {
			n = len(b) - 1
		}
		r.discard(1 + n)
	}
	return ctx.Err()
}

// wrong returns the error for what is wrong at an offset from where the reader is.
func (r *Reader) wrong(w *wrong) *files.FormatError {
	return &files.FormatError{File: r.file, Offset: r.at + int64(w.offset), Found: w.found, Expected: w.expected}
}

// peek returns the next n bytes, or all that there are.
func (r *Reader) peek(n int) []byte {
	b, err := r.in.Peek(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
	return b
}

func (r *Reader) discard(n int) {
	r.in.Discard(n) // of what has been peeked at
	r.at += int64(n)
}
