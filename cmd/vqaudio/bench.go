package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/vqaudio/vqaudio/internal/bench"
	"github.com/vqaudio/vqaudio/internal/kernel"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure the kernels against the peak of this machine, and the work with sound",
		ArgsUsage: "[NAME...]",
		Description: "Measures the peak of the multiply-add instructions, then each kernel and the share that it reaches of\n" +
			"that peak, or of another bound that applies; then resampling and analysis against real time, and the\n" +
			"drawing of training segments. A NAME chooses a benchmark, or all that begin with it.\n" +
			"Close other programs: they take what is measured.\n\n" +
			"   vqaudio bench                          everything, in about a minute, on one thread\n" +
			"   vqaudio bench conv gate-forward        these only\n" +
			"   vqaudio bench --threads 2 dilated      on two threads, with the speed-up over one\n" +
			"   vqaudio bench --tier avx2              as a machine without AVX-512 would\n" +
			"   vqaudio bench --json > bench.json      for programs",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object with \"machine\" and \"results\""},
			&cli.IntFlag{Name: "threads", Value: 1, Usage: "measure on `N` threads"},
			&cli.StringFlag{Name: "tier", Usage: "use the instructions of tier `T`: generic, neon, avx2, avx512, avx512,noamx, ..."},
			&cli.Float64Flag{Name: "seconds", Value: 60, Usage: "take about `S` seconds for all; with too few, the last benchmarks are left out"},
			&cli.BoolFlag{Name: "list", Usage: "list what would be measured, and measure nothing"},
		},
		Action: runBench,
	}
}

// benchReport is what --json prints.
type benchReport struct {
	Machine bench.Machine  `json:"machine"`
	Results []bench.Result `json:"results"`
	LeftOut []string       `json:"left_out,omitempty"` // names with shapes, for want of time
}

func runBench(c *cli.Context) error {
	threads, seconds := c.Int("threads"), c.Float64("seconds")
	if threads < 1 || threads > 1024 {
		return &usageError{fmt.Errorf("--threads %d: want 1 to 1024", threads), "vqaudio bench --threads 2"}
	}
	if !(seconds > 0 && seconds <= 1e6) {
		return &usageError{fmt.Errorf("--seconds %v: want more than 0, at most a million", seconds), "vqaudio bench --seconds 60"}
	}
	if c.IsSet("tier") {
		setting, err := kernel.ParseTier(c.String("tier"))
		if err != nil {
			return &usageError{err, "vqaudio bench --tier generic runs everywhere"}
		}
		defer kernel.Use(kernel.Use(setting))
	}
	chosen, err := bench.List(c.Args().Slice()...)
	var unknown *bench.UnknownNameError
	if errors.As(err, &unknown) {
		return &usageError{err, "the names are " + strings.Join(unknown.Known, ", ")}
	}
	if err != nil {
		return err
	}
	t := newTable(c.App.Writer, chosen)
	if c.Bool("list") {
		t.list(chosen)
		return nil
	}

	report := benchReport{Machine: bench.ThisMachine(threads), Results: []bench.Result{}}
	p := progress{out: c.App.ErrWriter, total: len(chosen)}
	observer := bench.Observer{Started: p.started, Measured: func(bench.Benchmark, bench.Result) { p.clear() }}
	if !c.Bool("json") {
		t.machine(report.Machine)
		observer.Measured = func(b bench.Benchmark, r bench.Result) {
			p.clear()
			t.result(b.Group, r)
		}
	}
	results, leftOut := bench.Measure(c.Context, chosen, threads, time.Duration(seconds*float64(time.Second)), observer)
	p.clear()
	report.Results = append(report.Results, results...)
	for _, b := range leftOut {
		report.LeftOut = append(report.LeftOut, title(b))
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		if err := e.Encode(report); err != nil {
			return err
		}
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	if len(leftOut) > 0 {
		fmt.Fprintf(c.App.ErrWriter, "note: %v seconds were too few: %d of %d left out, of %s\n",
			seconds, len(leftOut), len(chosen), strings.Join(bench.Names(leftOut), ", "))
	}
	return nil
}

// progress tells on standard error what is being measured: in one line that is written over on a terminal, in plain lines
// elsewhere.
type progress struct {
	out   io.Writer
	total int
}

func (p *progress) started(i int, b bench.Benchmark, left time.Duration) {
	begin, end := "", "\n"
	if isTerminal(p.out) {
		begin, end = "\r\x1b[K", ""
	}
	fmt.Fprintf(p.out, "%s%d/%d %s, %.0f s left%s", begin, i+1, p.total, title(b), math.Ceil(left.Seconds()), end)
}

// title is the name of a benchmark with its shape, if it has one.
func title(b bench.Benchmark) string { return strings.TrimSpace(b.Name + " " + b.Shape) }

// clear takes the line away again.
func (p *progress) clear() {
	if isTerminal(p.out) {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// table prints results as they come, in columns that are wide enough for all.
type table struct {
	out              io.Writer
	name, shape, isa int // widths
	group, lines     int // the group of the last line; lines so far
}

func newTable(out io.Writer, chosen []bench.Benchmark) *table {
	t := &table{out: out, name: len("benchmark"), shape: len("shape"), isa: len("with")}
	for _, b := range chosen {
		t.name = max(t.name, utf8.RuneCountInString(b.Name))
		t.shape = max(t.shape, utf8.RuneCountInString(b.Shape))
		t.isa = max(t.isa, utf8.RuneCountInString(b.ISA))
	}
	return t
}

func (t *table) list(chosen []bench.Benchmark) {
	for _, b := range chosen {
		fmt.Fprintf(t.out, "%-*s  %-*s  %-*s  %s\n", t.name, b.Name, t.shape, b.Shape, t.isa, b.ISA, b.DType)
	}
}

func (t *table) machine(m bench.Machine) {
	cpu := m.CPU
	if cpu == "" {
		cpu = m.Arch
	}
	fmt.Fprintf(t.out, "%s, %d cores, %s/%s, %s\n", cpu, m.Cores, m.OS, m.Arch, m.Go)
	tier := m.Tier
	if len(m.Extensions) > 0 {
		tier += " with " + strings.Join(m.Extensions, ", ")
	}
	fmt.Fprintf(t.out, "tier %s; threads: %d\n\n", tier, m.Threads)
	fmt.Fprintf(t.out, "%-*s  %-*s  %-*s  %10s %-10s  %s\n", t.name, "benchmark", t.shape, "shape", t.isa, "with", "median", "", "share")
}

// result prints a line, after an empty one where a new group begins.
func (t *table) result(group int, r bench.Result) {
	if t.lines > 0 && t.group != group {
		fmt.Fprintln(t.out)
	}
	t.group = group
	t.lines++
	line := fmt.Sprintf("%-*s  %-*s  %-*s  %10s %-10s", t.name, r.Name, t.shape, r.Shape, t.isa, r.ISA, fourDigits(r.Value), r.Unit)
	var notes []string
	if r.Bound != "" {
		notes = append(notes, fmt.Sprintf("%3.0f %% of %s", 100*r.Share, r.Bound))
	}
	if r.RatioToFloat32 != 0 {
		notes = append(notes, fmt.Sprintf("%.2f x f32", r.RatioToFloat32))
	}
	if r.SpeedUp != 0 {
		notes = append(notes, fmt.Sprintf("%.2f x one thread", r.SpeedUp))
	}
	fmt.Fprintln(t.out, strings.TrimRight(line+"  "+strings.Join(notes, ", "), " "))
}

// fourDigits: 1234, 207.3, 0.2871.
func fourDigits(v float64) string {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%.*f", max(0, 3-int(math.Floor(math.Log10(v)))), v)
}
