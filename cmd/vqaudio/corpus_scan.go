package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

func corpusScanCommand() *cli.Command {
	var names strings.Builder
	for _, l := range corpora.Layouts() {
		fmt.Fprintf(&names, "   %-12s %s\n", l.Name, l.About)
	}
	return &cli.Command{
		Name:      "scan",
		Usage:     "say what a corpus is and what is wrong with it; write its manifest",
		ArgsUsage: "DIR|MANIFEST",
		Description: "Decodes every recording: hours, speakers, splits, rates, levels, and a list of what is wrong. What cannot\n" +
			"be used (unreadable, missing, empty, badly named) is left out of the manifest; what can, but is probably\n" +
			"wrong (truncated, clipped, too loud, silent, duplicate, short), is reported and kept.\n\n" +
			"   vqaudio corpus scan VCTK/                        writes VCTK/manifest.tsv\n" +
			"   vqaudio corpus scan VCTK/ -o vctk.tsv            writes it there, over what is there\n" +
			"   vqaudio corpus scan digits/ --pattern '{text}_{speaker}_*.wav'\n" +
			"   vqaudio corpus scan vctk.tsv --json              checks what a manifest lists; writes none\n\n" +
			"Layouts, detected from what is in the folder:\n\n" + names.String() + "\n" +
			"A pattern is compared with the last parts of a path: {speaker}, {text}, {split}, {gender}, {age}, {lang} and *.\n" +
			"Official splits are kept. Elsewhere a hash of speaker and file name chooses: of 100 utterances about 90 are\n" +
			"for training, 5 for validation, 5 for testing, and stay so when the corpus grows. The texts of VCTK that all\n" +
			"speakers read are in all three.\n\n" +
			"Paths in the manifest are relative to its folder, or absolute for what lies outside it: a manifest in the\n" +
			"folder of the corpus can be moved with it. Columns, parted by tabs, \"-\" for what is not known:\n" +
			"path speaker text seconds split corpus gender age lang frames source_rate\n\n" +
			"Exit codes: 0 all recordings are in the manifest, 1 some were left out or it failed, 2 called wrongly.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the manifest to `FILE`, not to manifest.tsv in the folder"},
			&cli.StringFlag{Name: "layout", Usage: "the corpus is laid out as `L`, whatever it looks like"},
			&cli.StringFlag{Name: "pattern", Usage: "in plain folders, what paths mean: `P` as '{speaker}/*.wav'"},
			&cli.IntFlag{Name: "mic", Value: 1, Usage: "of VCTK 0.92, take microphone `N`, 1 or 2"},
			&cli.Float64Flag{Name: "min-seconds", Value: 0.1, Usage: "report what is shorter than `S`"},
			&cli.BoolFlag{Name: "all", Usage: "list every problem, not the first five of a kind"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object, with every speaker and every problem"},
			&cli.IntFlag{Name: "threads", Usage: "use `N` threads, not all cores"},
		},
		Action: runCorpusScan,
	}
}

func runCorpusScan(c *cli.Context) error {
	const hint = "vqaudio corpus scan --help"
	if c.NArg() != 1 {
		return &usageError{fmt.Errorf("corpus scan takes one folder or manifest, not %d", c.NArg()), hint}
	}
	source := c.Args().First()
	o := corpora.Options{
		Layout: c.String("layout"), Microphone: c.Int("mic"), Pattern: c.String("pattern"), MinSeconds: c.Float64("min-seconds"),
	}
	known := func(l corpora.LayoutName) bool { return l.Name == o.Layout }
	switch {
	case o.Layout != "" && !slices.ContainsFunc(corpora.Layouts(), known):
		return &usageError{fmt.Errorf("--layout %s: there is no such layout", o.Layout), hint + " lists the layouts"}
	case o.Microphone != 1 && o.Microphone != 2:
		return &usageError{fmt.Errorf("--mic %d: want 1 or 2", o.Microphone), hint}
	case !(o.MinSeconds > 0 && o.MinSeconds < 1e6):
		return &usageError{fmt.Errorf("--min-seconds %v: want more than 0, less than a million", o.MinSeconds), hint}
	case c.IsSet("threads") && (c.Int("threads") < 1 || c.Int("threads") > 1024):
		return &usageError{fmt.Errorf("--threads %d: want 1 to 1024", c.Int("threads")), hint}
	}
	if c.IsSet("threads") {
		before := parallel.Threads()
		parallel.SetThreads(c.Int("threads"))
		defer parallel.SetThreads(before)
	}
	if o.Layout == "" {
		var err error
		if o.Layout, err = corpora.Detect(source); err != nil {
			return err
		}
	}
	if o.Pattern != "" && o.Layout != "folders" {
		return &usageError{fmt.Errorf("--pattern is for plain folders, and %s is %s", source, o.Layout), "--layout folders takes it as such"}
	}
	output, err := scanOutput(source, o.Layout, c.String("output"))
	if err != nil {
		return err
	}

	var p *progressBar
	o.Progress = func(_, total int) {
		if p == nil {
			p = newProgress(c.App.ErrWriter, "scanning", "files", int64(total))
		}
		p.Add(1)
	}
	report, err := corpora.Scan(c.Context, source, o)
	if p != nil {
		p.Done()
	}
	var pattern *corpora.PatternError
	if errors.As(err, &pattern) {
		return &usageError{err, hint}
	}
	if err != nil {
		return err
	}
	if report.Utterances == 0 {
		output = "" // a manifest of nothing is of no use
	}
	if output != "" {
		if err := report.Manifest.Write(output); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(struct {
			Manifest string `json:"manifest,omitempty"`
			*corpora.Report
		}{output, report})
	} else {
		err = printScan(c.App.Writer, report, output, c.Bool("all"))
	}
	if err == nil && report.LeftOut > 0 {
		err = fmt.Errorf("%s left out of the manifest", count(report.LeftOut, "recording"))
	}
	return err
}

// scanOutput returns the name of the manifest to write, "" for none, after making sure that it can be written.
func scanOutput(source, layout, output string) (string, error) {
	beside := filepath.Join(source, "manifest.tsv")
	if output == "" {
		if layout == "manifest" {
			return "", nil
		}
		if _, err := os.Lstat(beside); !errors.Is(err, fs.ErrNotExist) {
			return "", &usageError{fmt.Errorf("%s exists", beside), "-o " + beside + " replaces it; -o FILE writes another"}
		}
		output = beside
	}
	if layout == "manifest" {
		for _, input := range []string{source, beside} {
			a, errA := os.Stat(input)
			b, errB := os.Stat(output)
			if errA == nil && errB == nil && os.SameFile(a, b) {
				return "", &usageError{fmt.Errorf("%s is the manifest that is scanned", output), "-o FILE writes another"}
			}
		}
	}
	f, err := files.Create(output)
	if err != nil {
		return "", &usageError{err, "-o FILE writes the manifest elsewhere"}
	}
	f.Discard()
	return output, nil
}

// printScan prints a report for people.
func printScan(w io.Writer, r *corpora.Report, output string, all bool) error {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, layout %s: %d of %d recordings can be used\n", shown(r.Source), r.Layout, r.Utterances, r.Utterances+r.LeftOut)
	if output != "" {
		fmt.Fprintf(&s, "manifest written to %s\n", shown(output))
	}
	if r.Utterances > 0 {
		fmt.Fprintf(&s, "\n%-24s %10s %10s\n", "", "utterances", "hours")
		for _, group := range []struct {
			name, unit string
			parts      []corpora.Part
		}{
			{"all", "", []corpora.Part{{Utterances: r.Utterances, Seconds: r.Seconds}}},
			{"split", "", r.Splits}, {"rate", " Hz", r.Rates}, {"channels", "", r.Channels}, {"encoding", "", r.Encodings},
		} {
			name := group.name
			for _, p := range group.parts {
				fmt.Fprintf(&s, "%-9s %-14s %10d %10.2f %5.1f %%\n", name, p.Value+group.unit, p.Utterances, p.Seconds/3600,
					100*p.Seconds/r.Seconds)
				name = ""
			}
		}
		if r.RMS != nil {
			fmt.Fprintf(&s, "\n%-24s %7s %7s %7s %7s %7s\n", "dBFS, of utterances", "least", "5 %", "median", "95 %", "most")
			for i, l := range []*corpora.Levels{r.RMS, r.Peak} {
				name := [...]string{"RMS", "peak"}[i]
				fmt.Fprintf(&s, "%-24s %7.1f %7.1f %7.1f %7.1f %7.1f\n", name, l.Min, l.P5, l.Median, l.P95, l.Max)
			}
		}
		printSpeakers(&s, r.Speakers)
	}
	printProblems(&s, r.Problems, all)
	_, err := io.WriteString(w, s.String())
	return err
}

func printSpeakers(s *strings.Builder, speakers []corpora.Speaker) {
	genders := map[string]int{}
	var minutes []float64
	var soft, loud *corpora.Speaker
	for i, speaker := range speakers {
		genders[speaker.Gender]++
		minutes = append(minutes, speaker.Seconds/60)
		if speaker.RMS == nil {
			continue
		}
		if soft == nil || *speaker.RMS < *soft.RMS {
			soft = &speakers[i]
		}
		if loud == nil || *speaker.RMS > *loud.RMS {
			loud = &speakers[i]
		}
	}
	slices.Sort(minutes)
	fmt.Fprintf(s, "\n%s", count(len(speakers), "speaker"))
	if genders["f"]+genders["m"] > 0 {
		fmt.Fprintf(s, ", %d f, %d m", genders["f"], genders["m"])
	}
	fmt.Fprintf(s, "; minutes each: %.1f to %.1f, median %.1f", minutes[0], minutes[len(minutes)-1], minutes[(len(minutes)-1)/2])
	if soft != nil {
		fmt.Fprintf(s, "; RMS from %.1f dBFS (%s) to %.1f (%s)", *soft.RMS, shown(soft.Name), *loud.RMS, shown(loud.Name))
	}
	s.WriteString("\n")
}

// printProblems lists them by kind.
func printProblems(s *strings.Builder, problems []corpora.Problem, all bool) {
	const first = 5
	if len(problems) == 0 {
		s.WriteString("\nnothing is wrong\n")
	}
	for len(problems) > 0 {
		kind := problems[0].Kind
		n := slices.IndexFunc(problems, func(p corpora.Problem) bool { return p.Kind != kind })
		if n < 0 {
			n = len(problems)
		}
		fmt.Fprintf(s, "\n%s: %s, %d", problems[0].Severity, kind, n)
		if problems[0].Severity == corpora.Error {
			s.WriteString(", left out")
		}
		s.WriteString("\n")
		for i, p := range problems[:n] {
			if i == first && !all {
				fmt.Fprintf(s, "   and %d more (--all lists them)\n", n-first)
				break
			}
			fmt.Fprintf(s, "   %s: %s\n", shown(p.Path), shown(p.Detail))
		}
		problems = problems[n:]
	}
}

// shown is a name as it can be printed: quoted, if a terminal would do something else with it.
func shown(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}

// count: "1 recording", "2 recordings".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
