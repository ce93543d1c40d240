package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressInterval is the time between two lines of a progress that goes to a file or a pipe.
const progressInterval = 10 * time.Second

// progressBar tells on standard error how far a long piece of work is: on a terminal as a bar with rate and time left,
// elsewhere in a plain line every ten seconds. Its methods may be called from several goroutines.
type progressBar struct {
	out   io.Writer
	verb  string
	unit  string
	total int64

	mu    sync.Mutex
	bar   *progressbar.ProgressBar // nil where there is no terminal
	done  int64
	start time.Time
	told  time.Time // when the last plain line was written
}

// newProgress begins a progress: verb says what is done ("preparing"), unit to what ("files"), total to how many; -1 if
// that is not known.
func newProgress(stderr io.Writer, verb, unit string, total int64) *progressBar {
	now := time.Now()
	p := &progressBar{out: stderr, verb: verb, unit: unit, total: total, start: now, told: now}
	if isTerminal(stderr) && total != 0 {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(stderr),
			progressbar.OptionSetDescription(verb),
			progressbar.OptionSetItsString(unit),
			progressbar.OptionShowIts(),
			progressbar.OptionShowCount(),
			progressbar.OptionFullWidth(),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSpinnerType(9),
			progressbar.OptionSetSpinnerChangeInterval(0), // or else a goroutine turns it until the total is reached
		)
	}
	return p
}

// Add says that n more are done.
func (p *progressBar) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.bar != nil {
		p.bar.Add64(n)
		return
	}
	if now := time.Now(); now.Sub(p.told) >= progressInterval {
		p.told = now
		fmt.Fprintln(p.out, p.line(now.Sub(p.start)))
	}
}

// line is the plain line: "preparing: 1200 of 4468 files, 27 %, 310.2 files/s, 11s left".
func (p *progressBar) line(passed time.Duration) string {
	rate := float64(p.done) / passed.Seconds()
	if p.total < 0 {
		return fmt.Sprintf("%s: %d %s, %.1f %s/s", p.verb, p.done, p.unit, rate, p.unit)
	}
	s := fmt.Sprintf("%s: %d of %d %s, %.0f %%, %.1f %s/s", p.verb, p.done, p.total, p.unit,
		100*float64(p.done)/float64(max(1, p.total)), rate, p.unit)
	if p.done > 0 {
		left := float64(p.total-p.done) / rate
		s += fmt.Sprintf(", %v left", time.Duration(left*float64(time.Second)).Round(time.Second))
	}
	return s
}

// Note writes a line of its own, which stays, above the bar.
func (p *progressBar) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// Done takes the bar away.
func (p *progressBar) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.bar = nil
}

func (p *progressBar) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

// phases is the progress of work that has several parts: a bar for each.
type phases struct {
	stderr io.Writer
	what   string
	done   int
	bar    *progressBar
}

func newPhases(stderr io.Writer) *phases { return &phases{stderr: stderr} }

// Tell is an evaluate.Progress.
func (p *phases) Tell(what, unit string, done, total int) {
	if p.bar == nil || what != p.what {
		p.Done()
		p.bar, p.what, p.done = newProgress(p.stderr, what, unit, int64(total)), what, 0
	}
	p.bar.Add(int64(done - p.done))
	p.done = done
}

// Done takes the bar away.
func (p *phases) Done() {
	if p.bar != nil {
		p.bar.Done()
		p.bar = nil
	}
}
