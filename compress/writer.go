package compress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Writer compresses utterances.
//
//	w, err := compress.NewWriter(out, prior)
//	for ... {
//		err := w.Write(ctx, u)
//	}
//	err = w.Close(ctx)
//
// After an error of what it is written to, or of the context, it is of no more use.
type Writer struct {
	// Progress, which may be nil, is called with the number of units that have been coded since, by several goroutines at once.
	Progress func(units int)

	out     io.Writer
	info    units.Info
	coder   coder
	names   map[string]bool
	block   *block   // which is being filled
	table   int      // bytes of its table, at most
	full    int      // frames of a block, at most
	waiting []*block // to be coded
	stats   Stats
}

// Stats says what a [Writer] has written.
type Stats struct {
	Utterances int
	Blocks     int
	Units      int64           // frames
	Counts     map[int32]int64 // of each unit
	Bits       float64         // cross entropy of the units under the net
	CodeBytes  int64           // of the units alone
	Bytes      int64           // of the file
}

// NewWriter begins a file with what p predicts. It is an error if p's fingerprints are none.
func NewWriter(out io.Writer, p Prior) (*Writer, error) {
	h, err := p.header()
	if err != nil {
		return nil, err
	}
	w := &Writer{out: out, info: p.Info, coder: coder{wavenet.NewPredictor(p.Net, p.Global)}, names: map[string]bool{}, block: &block{}, full: maxFrames, stats: Stats{Counts: map[int32]int64{}}}
	return w, w.write(h.append(nil))
}

func (w *Writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.stats.Bytes += int64(n)
	return err
}

// tableMargin is more than a table that cannot be deflated grows.
const tableMargin = 64

// check returns what is wrong with an utterance.
func (w *Writer) check(u *units.Utterance) error {
	for _, v := range []struct {
		name      string
		has, want int
	}{{"rate", u.Rate, w.info.Rate}, {"hop", u.Hop, w.info.Hop}, {"number of units", u.K, w.info.K}} {
		if v.has != 0 && v.has != v.want {
			return fmt.Errorf("the %s is %d, the prior's is %d", v.name, v.has, v.want)
		}
	}
	switch {
	case u.Model != "" && u.Model != w.info.Model:
		return fmt.Errorf("the units are of model %s, the prior is over those of %s", u.Model, w.info.Model)
	case u.Units == nil && u.Dim > 0:
		return errors.New("there are vectors only, and no units")
	case u.Durations != nil && len(u.Durations) != len(u.Units):
		return fmt.Errorf("%d units with %d durations", len(u.Units), len(u.Durations))
	case u.Name == "" || len(u.Name) > maxName || strings.Contains(u.Name, "\n"):
		return fmt.Errorf("want a name of 1 to %d bytes in a line", maxName)
	case w.names[u.Name]:
		return errors.New("there are two utterances of this name")
	}
	for i, unit := range u.Units {
		if unit < 0 || int(unit) >= w.info.K {
			return fmt.Errorf("unit %d is %d, of %d", i, unit, w.info.K)
		}
		if u.Durations != nil && u.Durations[i] < 1 {
			return fmt.Errorf("duration %d is %d", i, u.Durations[i])
		}
	}
	return nil
}

// Write writes an utterance. It is an error, and nothing of it is written, if it has no units, if they are not those that the prior
// predicts, or if one of the same name was written. Vectors are left out. Durations come back if no equal units follow each other;
// otherwise units come back as frames.
func (w *Writer) Write(ctx context.Context, u *units.Utterance) error {
	if err := w.check(u); err != nil {
		return fmt.Errorf("%.80s: %w", u.Name, err)
	}
	w.names[u.Name] = true
	e := entry{name: u.Name, durations: isJoined(u.Sequence)}
	left := u.Frames()
	if left > int64(w.full-len(w.block.units)) || w.table+e.tableSize() > maxTable-tableMargin {
		if err := w.cut(ctx, false); err != nil {
			return err
		}
	}
	w.stats.Utterances++
	w.stats.Units += left
	at, of := 0, int32(0) // the unit, and how many of its frames are done
	for {
		e.frames = int(min(left, int64(w.full-len(w.block.units))))
		left -= int64(e.frames)
		e.goesOn = left > 0
		for n := e.frames; n > 0; {
			d := int32(1)
			if u.Durations != nil {
				d = u.Durations[at]
			}
			some := min(n, int(d-of))
			for range some {
				w.block.units = append(w.block.units, u.Units[at])
			}
			w.stats.Counts[u.Units[at]] += int64(some)
			n -= some
			if of += int32(some); of == d {
				at, of = at+1, 0
			}
		}
		w.block.entries = append(w.block.entries, e)
		w.table += e.tableSize()
		if !e.goesOn {
			return nil
		}
		if err := w.cut(ctx, true); err != nil {
			return err
		}
	}
}

// isJoined says whether a sequence has durations, of units each of which is another than the one before.
func isJoined(s units.Sequence) bool {
	if s.Durations == nil {
		return false
	}
	for i := 1; i < len(s.Units); i++ {
		if s.Units[i] == s.Units[i-1] {
			return false
		}
	}
	return true
}

// cut completes the block, if there is anything in it.
func (w *Writer) cut(ctx context.Context, goesOn bool) error {
	if len(w.block.entries) == 0 {
		return nil
	}
	w.waiting = append(w.waiting, w.block)
	next := &block{number: w.block.number + 1, first: w.stats.Utterances, goingOn: goesOn}
	if goesOn {
		next.first--
	}
	w.block, w.table = next, 0
	if len(w.waiting) < together() {
		return nil
	}
	return w.flush(ctx)
}

// flush codes and writes the blocks that wait.
func (w *Writer) flush(ctx context.Context) error {
	if err := w.coder.encode(ctx, w.waiting, w.Progress); err != nil {
		return err
	}
	for _, b := range w.waiting {
		if err := w.write(b.append(nil)); err != nil {
			return err
		}
		w.stats.Blocks++
		w.stats.CodeBytes += int64(len(b.code))
		w.stats.Bits += b.bits
	}
	w.waiting = w.waiting[:0]
	return nil
}

// Close completes the file. It does not close what it is written to.
func (w *Writer) Close(ctx context.Context) error {
	if err := w.cut(ctx, false); err != nil {
		return err
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	return w.write(end{blocks: w.stats.Blocks, utterances: w.stats.Utterances}.append(nil))
}

// Stats says what has been written; all of it after Close.
func (w *Writer) Stats() Stats { return w.stats }
