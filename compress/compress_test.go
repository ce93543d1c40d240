package compress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/wavenet"
)

// testPrior is a small net with random weights, the same on every processor.
func testPrior(seed uint64) Prior {
	c := wavenet.Config{Classes: 20, Residual: 8, Skip: 8, Layers: 3, Cycles: 1, Global: 2}
	n := wavenet.New(c, dilated.Float32, rand.NewPCG(seed, 1))
	r := rand.New(rand.NewPCG(seed, 2))
	for _, p := range n.Parameters() {
		for i := range p.Value.Data {
			p.Value.Data[i] = 2*r.Float32() - 1
		}
	}
	return Prior{Net: n, Global: []float32{0.5, -1}, Fingerprint: fmt.Sprintf("%016x", seed), Info: units.Info{Rate: 16000, Hop: 64, K: 20, Model: "0123456789abcdef"}}
}

// utterance returns units that are often the same as those before.
func utterance(name string, n int, info units.Info) *units.Utterance {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(name))))
	u := &units.Utterance{Name: name, Info: info, Sequence: units.Sequence{Units: []int32{}}}
	unit := int32(0)
	for range n {
		if r.IntN(3) == 0 {
			unit = r.Int32N(20)
		}
		u.Units = append(u.Units, unit)
	}
	return u
}

// joined returns an utterance with its equal units joined.
func joined(u *units.Utterance) *units.Utterance {
	j := &units.Utterance{Name: u.Name, Info: u.Info, Sequence: units.Sequence{Units: []int32{}, Durations: []int32{}}}
	for i, unit := range u.Units {
		if i > 0 && u.Units[i-1] == unit {
			j.Durations[len(j.Durations)-1]++
			continue
		}
		j.Units, j.Durations = append(j.Units, unit), append(j.Durations, 1)
	}
	return j
}

// utterances returns some of all kinds: about 8 blocks.
func utterances(info units.Info) []*units.Utterance {
	all := []*units.Utterance{utterance("empty", 0, info), utterance("one", 1, info), joined(utterance("long", 2*testFrames+50, info))}
	for i := range 12 {
		u := utterance(fmt.Sprintf("speaker%d/utterance-%02d", i/5, i), 120+5*i, info)
		if i%3 == 0 {
			u = joined(u)
		}
		all = append(all, u)
	}
	still := &units.Utterance{Name: "still", Info: info, Sequence: units.Sequence{Units: []int32{3}, Durations: []int32{testFrames + 9}}}
	return append(all, still, utterance("full", testFrames, info), joined(utterance("joined", 250, info)), utterance("last", 2, info))
}

// testFrames is how many frames a block has in most tests.
const testFrames = 600

func write(t testing.TB, p Prior, all []*units.Utterance) ([]byte, Stats) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, p)
	if err != nil {
		t.Fatal(err)
	}
	w.full = testFrames
	for _, u := range all {
		if err := w.Write(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.Stats()
}

// collect puts parts together; utterances that were cut end where they were.
type collect struct {
	all    []*units.Utterance
	open   bool
	damage []*DamageError
}

// read reads a file with all its damages.
func read(t testing.TB, file []byte, p Prior) *collect {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), "in.vqu", p)
	if err != nil {
		t.Fatal(err)
	}
	c := &collect{}
	for {
		part, err := r.Next(t.Context())
		var damage *DamageError
		switch {
		case errors.Is(err, io.EOF):
			if c.open {
				t.Fatal("the file ends within an utterance")
			}
			return c
		case errors.As(err, &damage):
			if (damage.Cut != "") != c.open || c.open && damage.Cut != c.all[len(c.all)-1].Name {
				t.Fatalf("%v, with an open utterance: %v", err, c.open)
			}
			c.open = false
			c.damage = append(c.damage, damage)
			continue
		case err != nil:
			t.Fatal(err)
		}
		if part.Begins == c.open {
			t.Fatalf("%s begins: %v, with one that has not ended: %v", part.Name, part.Begins, c.open)
		}
		if part.Begins {
			u := &units.Utterance{Name: part.Name, Info: r.Info()}
			u.Units = []int32{}
			if part.Durations != nil {
				u.Durations = []int32{}
			}
			c.all = append(c.all, u)
		}
		u := c.all[len(c.all)-1]
		if u.Name != part.Name {
			t.Fatalf("a part of %s after %s", part.Name, u.Name)
		}
		u.Units, u.Durations = append(u.Units, part.Units...), append(u.Durations, part.Durations...)
		c.open = !part.Ends
	}
}

func equal(t testing.TB, got, want []*units.Utterance) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Fatalf("%d utterances, want %d", len(got), len(want))
		}
		if got[i].Name != want[i].Name || got[i].Info != want[i].Info || !slices.Equal(got[i].Units, want[i].Units) || !reflect.DeepEqual(got[i].Durations, want[i].Durations) {
			t.Fatalf("utterance %d: %s of %d units, want %s of %d; or units differ", i, got[i].Name, len(got[i].Units), want[i].Name, len(want[i].Units))
		}
	}
}

// TestFullBlock codes as much as a block may have, and a frame more.
func TestFullBlock(t *testing.T) {
	p := testPrior(1)
	var b bytes.Buffer
	w, err := NewWriter(&b, p)
	if err != nil {
		t.Fatal(err)
	}
	all := []*units.Utterance{utterance("full", maxFrames, p.Info), utterance("one", 1, p.Info)}
	for _, u := range all {
		if err := w.Write(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(t.Context()); err != nil || w.Stats().Blocks != 2 {
		t.Fatal(err, w.Stats())
	}
	equal(t, read(t, b.Bytes(), p).all, all)
}

func TestRoundTrip(t *testing.T) {
	p := testPrior(1)
	all := utterances(p.Info)
	frames := int64(0)
	for _, u := range all {
		frames += u.Frames()
	}
	var first []byte
	for _, threads := range []int{1, 3} {
		before := parallel.Threads()
		parallel.SetThreads(threads)
		file, stats := write(t, p, all)
		got := read(t, file, p)
		parallel.SetThreads(before)
		if len(got.damage) > 0 {
			t.Fatal(got.damage[0])
		}
		equal(t, got.all, all)
		if first == nil {
			first = file
		}
		if !bytes.Equal(file, first) {
			t.Error("the file depends on the number of threads")
		}
		total := int64(0)
		for _, n := range stats.Counts {
			total += n
		}
		if stats.Units != frames || total != frames || stats.Utterances != len(all) || stats.Bytes != int64(len(file)) || stats.Blocks < 6 {
			t.Errorf("%+v of %d frames in %d bytes", stats, frames, len(file))
		}
		if bits := 8 * float64(stats.CodeBytes); math.Abs(bits-stats.Bits) > stats.Bits*1e-5+10*float64(stats.Blocks) {
			t.Errorf("a code of %v bits in %d blocks for %v", bits, stats.Blocks, stats.Bits)
		}
		if rest := stats.Bytes - stats.CodeBytes; rest > int64(60+40*stats.Blocks+10*len(all)) {
			t.Errorf("%d bytes beside the code", rest)
		}
	}
}

// TestGolden wants the code that was made once: on every machine it is the same.
func TestGolden(t *testing.T) {
	p := testPrior(1)
	file, _ := write(t, p, utterances(p.Info))
	starts, heads := blocksOf(t, file)
	h := sha256.New()
	for i, head := range heads {
		h.Write(file[starts[i]+head.size : starts[i+1]]) // without the head, of which the deflated part may change with Go
	}
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != "a9e77cf81e83c755" {
		t.Errorf("code %s", got)
	}
}

// TestOthers: no utterances; units that do not say whose they are; durations of units that could be joined and are not.
func TestOthers(t *testing.T) {
	p := testPrior(1)
	file, stats := write(t, p, nil)
	if got := read(t, file, p); len(got.all) != 0 || len(got.damage) != 0 || stats.Blocks != 0 {
		t.Errorf("%+v, %+v", got, stats)
	}
	u := utterance("a", 30, units.Info{})
	apart := &units.Utterance{Name: "b", Sequence: units.Sequence{Units: []int32{3, 3}, Durations: []int32{2, 1}}}
	file, _ = write(t, p, []*units.Utterance{u, apart})
	frames := &units.Utterance{Name: "b", Info: p.Info, Sequence: units.Sequence{Units: []int32{3, 3, 3}}}
	u.Info = p.Info
	equal(t, read(t, file, p).all, []*units.Utterance{u, frames})

	// Utterances without end, and names that fill tables.
	var all []*units.Utterance
	for i := range 3000 {
		all = append(all, utterance(fmt.Sprintf("%s%d", strings.Repeat("ä", 20), i), i%2, p.Info))
	}
	all = append(all, utterance(strings.Repeat("n", maxName), 5, p.Info))
	file, _ = write(t, p, all)
	equal(t, read(t, file, p).all, all)
}

func TestWriterRefuses(t *testing.T) {
	p := testPrior(1)
	var b bytes.Buffer
	w, err := NewWriter(&b, p)
	if err != nil {
		t.Fatal(err)
	}
	good := utterance("good", 10, p.Info)
	if err := w.Write(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(u *units.Utterance){
		"two utterances of this name": func(u *units.Utterance) { u.Name = "good" },
		"want a name":                 func(u *units.Utterance) { u.Name = "" },
		"1 to 4096 bytes":             func(u *units.Utterance) { u.Name = strings.Repeat("n", maxName+1) },
		"in a line":                   func(u *units.Utterance) { u.Name = "a\nb" },
		"the rate is 8000":            func(u *units.Utterance) { u.Rate = 8000 },
		"the hop is 65":               func(u *units.Utterance) { u.Hop = 65 },
		"number of units is 21":       func(u *units.Utterance) { u.K = 21 },
		"of model ffff":               func(u *units.Utterance) { u.Model = "ffff" },
		"unit 3 is 20, of 20":         func(u *units.Utterance) { u.Units[3] = 20 },
		"unit 0 is -1":                func(u *units.Utterance) { u.Units[0] = -1 },
		"10 units with 1 durations":   func(u *units.Utterance) { u.Durations = []int32{1} },
		"duration 1 is 0":             func(u *units.Utterance) { u.Durations = make([]int32, 10); u.Durations[0] = 1 },
		"vectors only":                func(u *units.Utterance) { u.Sequence = units.Sequence{Vectors: []float32{1}, Dim: 1} },
	} {
		u := utterance("bad", 10, p.Info)
		change(u)
		if err := w.Write(t.Context(), u); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, b.Bytes(), p).all, []*units.Utterance{good})

	p.Fingerprint = "none"
	if _, err := NewWriter(io.Discard, p); err == nil || !strings.Contains(err.Error(), "16 hexadecimal digits") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w, _ = NewWriter(io.Discard, testPrior(1))
	w.Write(ctx, good)
	if err := w.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOtherPrior(t *testing.T) {
	p := testPrior(1)
	file, _ := write(t, p, []*units.Utterance{utterance("a", 10, p.Info)})
	other, model, rate := testPrior(2), testPrior(1), testPrior(1)
	model.Info.Model = "fedcba9876543210"
	rate.Info.Rate = 8000
	later := bytes.Clone(file)
	later[3] = 2
	for _, c := range []struct {
		file []byte
		p    Prior
		want any
		text string
	}{
		{file, other, new(*MismatchError), "in.vqu: was compressed with prior 0000000000000001; this is prior 0000000000000002"},
		{file, model, new(*MismatchError), "over units of model 0123456789abcdef; this is prior 0000000000000001, over units of model fedcba9876543210"},
		{file, rate, new(*files.FormatError), "20 units of 64 samples at 16000 Hz"},
		{later, p, new(*files.UnsupportedError), "version 2 of compressed units"},
		{[]byte("a|1 2 3\n"), p, new(*files.FormatError), "expected compressed units"},
		{nil, p, new(*files.FormatError), "expected compressed units"},
	} {
		_, err := NewReader(bytes.NewReader(c.file), "in.vqu", c.p)
		if err == nil || !errors.As(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%T %v, want %s", err, err, c.text)
		}
	}
	for i := range 28 {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x40
		if _, err := NewReader(bytes.NewReader(damaged), "in.vqu", p); err == nil {
			t.Errorf("byte %d of the header changed: no error", i)
		}
		if _, err := NewReader(bytes.NewReader(file[:i]), "in.vqu", p); err == nil {
			t.Errorf("%d bytes of the header: no error", i)
		}
	}
}

// blocksOf returns where the blocks of a file begin, and where the last one ends.
func blocksOf(t *testing.T, file []byte) (starts []int, heads []*head) {
	t.Helper()
	_, at, w := parseHeader(file)
	for w == nil && !isEnd(file[at:]) {
		var h *head
		h, w = parseHead(file[at:])
		if w == nil {
			starts, heads = append(starts, at), append(heads, h)
			at += h.size + h.codeSize + checksum
		}
	}
	if w != nil {
		t.Fatal(w)
	}
	return append(starts, at), heads
}

// TestDamage damages each part of a file: all else is recovered, and what is lost is named.
func TestDamage(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	parallel.SetThreads(1) // for many small files
	p := testPrior(1)
	all := utterances(p.Info)
	file, _ := write(t, p, all)
	starts, heads := blocksOf(t, file)

	// lose returns what is left of all utterances without some blocks.
	lose := func(blocks ...int) (left []*units.Utterance, lost []string) {
		var open *units.Utterance // that may go on
		for i, h := range heads {
			gone := slices.Contains(blocks, i)
			for j, e := range h.entries {
				begins := j > 0 || !h.goingOn
				index := h.first + j
				switch {
				case gone && begins:
					lost = append(lost, e.name)
					open = nil
				case gone:
					open = nil
				case begins:
					open = &units.Utterance{Name: e.name, Info: p.Info, Sequence: units.Sequence{Units: []int32{}}}
					left = append(left, open)
					fallthrough
				case open != nil:
					var frames []int32
					u := all[index]
					for k, unit := range u.Units {
						d := 1
						if u.Durations != nil {
							d = int(u.Durations[k])
						}
						frames = append(frames, slices.Repeat([]int32{unit}, d)...)
					}
					from := len(open.Units)
					open.Units = append(open.Units, frames[from:from+e.frames]...)
				}
			}
		}
		for i, u := range left {
			for _, was := range all {
				if was.Name == u.Name && was.Durations != nil {
					left[i] = joined(u)
				}
			}
		}
		return left, lost
	}
	change := func(at int) []byte {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1
		return damaged
	}
	for i := range heads {
		if testing.Short() && i%3 != 1 {
			continue // under qemu seconds each
		}
		left, lost := lose(i)
		for what, damaged := range map[string][]byte{
			"marker":   change(starts[i]),
			"number":   change(starts[i] + 2),
			"table":    change(starts[i] + heads[i].size - 9),
			"head sum": change(starts[i] + heads[i].size - 1),
			"code":     change(starts[i] + heads[i].size + heads[i].codeSize/2),
			"code sum": change(starts[i+1] - 1),
			"left out": slices.Concat(file[:starts[i]], file[starts[i+1]:]),
			"inserted": slices.Concat(file[:starts[i]+20], []byte("\xb5\xb5B and more"), file[starts[i]+20:]),
			"longer":   slices.Concat(file[:starts[i]+1], bytes.Repeat([]byte{markFirst, markBlock, 1, 2, 200, 3}, 3000), file[starts[i]+1:]),
		} {
			name := fmt.Sprintf("block %d, %s", i, what)
			got := read(t, damaged, p)
			equal(t, got.all, left)
			if len(got.damage) != 1 {
				t.Fatalf("%s: %d damages", name, len(got.damage))
			}
			d := got.damage[0]
			if d.Lost != len(lost) || strings.HasPrefix(what, "code") && !slices.Equal(d.Names, lost) {
				t.Errorf("%s: %v, lost were %q", name, d, lost)
			}
			if d.Err.File != "in.vqu" || d.Err.Offset < int64(starts[i]) || d.Err.Offset > int64(starts[i+1]) {
				t.Errorf("%s: %v, want an offset from %d to %d", name, d.Err, starts[i], starts[i+1])
			}
		}
		var behind []int
		for j := i; j < len(heads); j++ {
			behind = append(behind, j)
		}
		left, lost = lose(behind...)
		for _, at := range []int{starts[i], starts[i] + 1, starts[i] + 5, starts[i] + heads[i].size, starts[i+1] - 1} {
			got := read(t, file[:at], p)
			equal(t, got.all, left)
			if last := got.damage[len(got.damage)-1]; last.Lost != -1 || last.First > len(all)-len(lost)+len(heads[i].entries) {
				t.Errorf("cut at %d: %v", at, last)
			}
		}
		twice := slices.Concat(file[:starts[i+1]], file[starts[i]:])
		if got := read(t, twice, p); len(got.damage) != 1 || got.damage[0].Lost != 0 && !heads[i].goingOn {
			t.Errorf("block %d twice: %v", i, got.damage)
		}
	}
	end := starts[len(heads)]
	for what, damaged := range map[string][]byte{
		"end mark": change(end), "end mark's numbers": change(end + 2), "end mark's sum": change(len(file) - 1), "without end mark": file[:end],
		"cut end mark": file[:len(file)-1], "more": append(bytes.Clone(file), 0), "two": append(bytes.Clone(file), file...),
	} {
		got := read(t, damaged, p)
		if len(got.damage) != 1 {
			t.Errorf("%s: %v", what, got.damage)
		}
		equal(t, got.all, all)
	}
}

// TestHostile: blocks that are valid, and say what cannot be.
func TestHostile(t *testing.T) {
	p := testPrior(1)
	h, err := p.header()
	if err != nil {
		t.Fatal(err)
	}
	start := h.append(nil)
	one := func(b block) []byte {
		return end{blocks: 1, utterances: len(b.entries)}.append(b.append(bytes.Clone(start)))
	}
	bomb := block{entries: []entry{{name: "a", frames: maxFrames}}}
	if got := read(t, one(bomb), p); len(got.all) != 1 || len(got.all[0].Units) != maxFrames {
		t.Errorf("a code of no bytes: %v", got.damage)
	}
	for name, b := range map[string]block{
		"frames":     {entries: []entry{{name: "a", frames: maxFrames}, {name: "b", frames: 1}}},
		"long":       {entries: []entry{{name: "a", frames: maxFrames + 1}}},
		"no name":    {entries: []entry{{name: "", frames: 1}}},
		"long name":  {entries: []entry{{name: strings.Repeat("n", maxName+1), frames: 1}}},
		"large":      {entries: slices.Repeat([]entry{{name: strings.Repeat("n", maxName), frames: 0}}, 17)},
		"goes on":    {entries: []entry{{name: "a", frames: 1, goesOn: true}, {name: "b", frames: 1}}},
		"at the end": {entries: []entry{{name: "a", frames: 1, goesOn: true}}},
		"going on":   {goingOn: true, entries: []entry{{name: "a", frames: 1}}},
		"empty":      {goingOn: true},
		"first":      {first: 7, entries: []entry{{name: "a", frames: 1}}},
		"number":     {number: math.MaxInt32, entries: []entry{{name: "a", frames: 1}}},
		"code":       {code: make([]byte, maxCode+1), entries: []entry{{name: "a", frames: 1}}},
	} {
		if got := read(t, one(b), p); len(got.damage) == 0 {
			t.Errorf("%s: no damage", name)
		}
	}

	// Sizes that are not there, and a table of which much would be made.
	lying := binary.AppendUvarint(append(bytes.Clone(start), markFirst, markBlock, 0, 0), maxTable)
	lying = append(lying, 0, 1, 2)
	for name, file := range map[string][]byte{"lying": lying, "bomb": one(bomb)} {
		read(t, file, p)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		read(t, file, p)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", name, got)
		}
	}
}

// failing fails after some bytes.
type failing struct {
	r io.Reader
	n int
}

func (f *failing) Read(b []byte) (int, error) {
	if f.n == 0 {
		return 0, errors.New("the disk is broken")
	}
	n, err := f.r.Read(b[:min(len(b), f.n)])
	f.n -= n
	return n, err
}

// TestReadError: what cannot be read ends the file, and what came before is there.
func TestReadError(t *testing.T) {
	p := testPrior(1)
	file, _ := write(t, p, utterances(p.Info))
	starts, _ := blocksOf(t, file)
	r, err := NewReader(&failing{bytes.NewReader(file), starts[3]}, "in.vqu", p)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil; n++ {
		_, err = r.Next(t.Context())
	}
	if err.Error() != "the disk is broken" || n < 3 {
		t.Errorf("%v after %d parts", err, n)
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err = NewReader(bytes.NewReader(file), "in.vqu", p)
	if err == nil {
		_, err = r.Next(ctx)
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzReader reads anything: with a header, and with checksums that are right where the fuzzer's bytes stand for a block.
func FuzzReader(f *testing.F) {
	p := testPrior(1)
	file, _ := write(f, p, []*units.Utterance{utterance("a", 20, p.Info), joined(utterance("b", 30, p.Info))})
	h, err := p.header()
	if err != nil {
		f.Fatal(err)
	}
	start := h.append(nil)
	f.Add(file, false)
	f.Add(file[len(start):], true)
	f.Add([]byte{markFirst, markBlock, 0, 0, 0, 0}, true)
	f.Add([]byte{markFirst, markEnd, 0, 0}, true)
	f.Fuzz(func(t *testing.T, data []byte, body bool) {
		if body {
			data = appendChecksum(append(bytes.Clone(start), data...), len(start))
		}
		r, err := NewReader(bytes.NewReader(data), "in.vqu", p)
		for n := 0; !errors.Is(err, io.EOF); n++ {
			var format *files.FormatError
			var unsupported *files.UnsupportedError
			var mismatch *MismatchError
			if err != nil && !errors.As(err, &format) && !errors.As(err, &unsupported) && !errors.As(err, &mismatch) {
				t.Fatalf("%T %v", err, err)
			}
			if format != nil && (format.Offset < 0 || format.Offset > int64(len(data))) {
				t.Fatalf("%+v of %d bytes", format, len(data))
			}
			if r == nil {
				return
			}
			if n > len(data)+100000 {
				t.Fatal("no end")
			}
			var part Part
			if part, err = r.Next(t.Context()); err == nil && part.Name == "" {
				t.Fatal("a part without a name")
			}
		}
	})
}
