package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/audio"
)

// soundExtensions are the names of files that are looked at in a folder. Some are of formats that are not read: their files
// are not passed over, but reported.
var soundExtensions = []string{
	".wav", ".wave", ".bwf", ".rf64", ".bw64", ".w64", ".flac", ".mp3", ".mp2", ".aac", ".m4a", ".mp4", ".ogg", ".oga", ".opus",
	".spx", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd", ".sph", ".wv", ".ape", ".tta", ".wma", ".amr", ".webm", ".mka",
}

func probeCommand() *cli.Command {
	return &cli.Command{
		Name:      "probe",
		Usage:     "tell what recordings are and hold",
		ArgsUsage: "FILE|FOLDER|-...",
		Description: "Reads each file to its end, and prints container, encoding, channels, rate, bits (those that carry\n" +
			"sound of those that are stored), frames, length, peak and RMS over all channels, then what is odd\n" +
			"about it; or the error. What a file is shows in its bytes, not in its name. A folder stands for the\n" +
			"files in it, and in the folders below, that end in\n\n" +
			"   " + wrapWords(soundExtensions, 90) + "\n\n" +
			"and do not begin with a dot. \"-\" is standard input. The exit code is 0 if all were read to the end, else 1.\n\n" +
			"   vqaudio probe speech.wav               one file\n" +
			"   vqaudio probe VCTK/ | grep odd:        what is odd about a corpus?\n" +
			"   vqaudio probe --json . > probe.jsonl   for programs: one object a line, with \"file\" and \"error\", or \"file\",\n" +
			"                                          \"container\", \"encoding\", \"channels\", \"rate\", \"bits\", \"frames\",\n" +
			"                                          \"seconds\", \"peak\", \"rms\", \"first\" (four samples of the first\n" +
			"                                          channel), \"chunks\" and \"oddities\"",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a line"},
		},
		Action: runProbe,
	}
}

// wrapWords joins words by spaces, in lines of at most width characters.
func wrapWords(words []string, width int) string {
	var s strings.Builder
	line := 0
	for _, w := range words {
		switch {
		case line == 0:
		case line+1+len(w) > width:
			s.WriteString("\n   ")
			line = 0
		default:
			s.WriteByte(' ')
			line++
		}
		s.WriteString(w)
		line += len(w)
	}
	return s.String()
}

// probeReport is what --json prints of a file that was read.
type probeReport struct {
	File      string        `json:"file"`
	Container string        `json:"container"`
	Encoding  string        `json:"encoding"`
	Channels  int           `json:"channels"`
	Rate      int           `json:"rate"`
	Bits      int           `json:"bits"`
	Frames    int64         `json:"frames"`
	Seconds   float64       `json:"seconds"`
	Peak      float64       `json:"peak"`
	RMS       float64       `json:"rms"`
	First     []float64     `json:"first"`
	Chunks    []audio.Chunk `json:"chunks"`
	Oddities  []string      `json:"oddities"`

	validBits int
}

// probeError is what --json prints of one that was not.
type probeError struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// probeJob is a file to look at. Done is closed when report or err is there.
type probeJob struct {
	name   string
	report probeReport
	err    error
	done   chan struct{}
}

func runProbe(c *cli.Context) error {
	if !c.Args().Present() {
		return &usageError{errors.New("nothing to probe"), "vqaudio probe FILE, or a folder, or - for standard input"}
	}
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()

	// Files are read by a worker on each core, and printed in the order in which they were found. Not many can be waiting.
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *probeJob), make(chan *probeJob, 4*workers)
	go func() {
		defer close(work)
		defer close(order)
		for _, name := range c.Args().Slice() {
			if err := findSound(name, func(name string, err error) error {
				job := &probeJob{name: name, err: err, done: make(chan struct{})}
				for _, queue := range []chan *probeJob{order, work} {
					select {
					case queue <- job:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return nil
			}); err != nil {
				return
			}
		}
	}()
	for range workers {
		go func() {
			for job := range work {
				if job.err == nil {
					job.report, job.err = probe(ctx, job.name)
				}
				close(job.done)
			}
		}()
	}

	print := printProbe
	if c.Bool("json") {
		print = printProbeJSON
	} else {
		fmt.Fprintf(c.App.Writer, probeColumns, "format", "ch", "rate", "bits", "frames", "length", "peak", "dBFS", "rms", "dBFS", "file")
	}
	files, failed := 0, 0
	for job := range order {
		select {
		case <-job.done:
		case <-ctx.Done(): // a read may never return, of a pipe
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		files++
		if job.err != nil {
			failed++
		}
		if err := print(c.App.Writer, job); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d could not be read", failed, files)
	}
	return nil
}

// findSound calls found with each file that name stands for, in the order of their names: with name itself, unless it is a
// folder. An error is of a name that stands for none. It stops when found returns an error, with that.
func findSound(name string, found func(name string, err error) error) error {
	if info, err := os.Stat(name); name == "-" || err != nil || !info.IsDir() {
		return found(name, nil)
	}
	files := 0
	err := filepath.WalkDir(filepath.Clean(name)+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			files++
			if err := found(path, err); err != nil {
				return err
			}
			return fs.SkipDir
		}
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 {
			if info, err := os.Stat(path); err == nil {
				mode = info.Mode() // a folder behind a link may hold this one: it is not entered
			}
		}
		if mode.IsDir() || mode&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0 || strings.HasPrefix(entry.Name(), ".") ||
			!slices.Contains(soundExtensions, strings.ToLower(filepath.Ext(path))) {
			return nil
		}
		files++
		return found(path, nil)
	})
	if err == nil && files == 0 {
		err = found(name, fmt.Errorf("%s: no file in this folder has the name of a recording", name))
	}
	return err
}

// probe reads the file name to its end.
func probe(ctx context.Context, name string) (probeReport, error) {
	r, err := audio.Open(name)
	if err != nil {
		return probeReport{}, err
	}
	defer r.Close()
	channels := r.Format().NumChannels
	meter := audio.Meter{Channels: channels}
	first := []float64{}
	err = audio.Copy(r, func(block []float64) error {
		for i := 0; i < len(block) && len(first) < 4; i += channels {
			first = append(first, block[i])
		}
		meter.Add(block)
		return ctx.Err()
	})
	info := r.Info()
	return probeReport{
		File:      name,
		Container: info.Container,
		Encoding:  info.Encoding,
		Channels:  info.Channels,
		Rate:      info.Rate,
		Bits:      info.Bits,
		Frames:    info.Frames,
		Seconds:   float64(info.Frames) / float64(info.Rate),
		Peak:      meter.Peak(),
		RMS:       meter.RMS(),
		First:     first,
		Chunks:    append([]audio.Chunk{}, info.Chunks...),
		Oddities:  append([]string{}, info.Oddities...),
		validBits: info.ValidBits,
	}, err
}

func printProbeJSON(out io.Writer, job *probeJob) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if job.err != nil {
		return e.Encode(probeError{job.name, job.err.Error()})
	}
	return e.Encode(job.report)
}

const probeColumns = "%-11s %3v %7v %5v %10v %12v  %9v %6v  %9v %6v  %s\n"

func printProbe(out io.Writer, job *probeJob) error {
	if job.err != nil {
		_, err := fmt.Fprintf(out, "error: %v\n", job.err)
		return err
	}
	r := &job.report
	format := r.Container
	if r.Encoding != r.Container {
		format += " " + r.Encoding
	}
	bits := fmt.Sprint(r.Bits)
	switch {
	case r.Bits == 0:
		bits = "-"
	case r.validBits != r.Bits:
		bits = fmt.Sprintf("%d/%d", r.validBits, r.Bits)
	}
	_, err := fmt.Fprintf(out, probeColumns, format, r.Channels, r.Rate, bits, r.Frames, clock(r.Seconds),
		fmt.Sprintf("%.6f", r.Peak), fmt.Sprintf("%.1f", audio.DBFS(r.Peak)),
		fmt.Sprintf("%.6f", r.RMS), fmt.Sprintf("%.1f", audio.DBFS(r.RMS)), r.File)
	var chunks []string
	for _, c := range r.Chunks {
		chunks = append(chunks, fmt.Sprintf("%s %d", strings.TrimSpace(c.ID), c.Size))
	}
	if err == nil && len(chunks) > 0 {
		_, err = fmt.Fprintf(out, "    chunks: %s\n", strings.Join(chunks, ", "))
	}
	for _, odd := range r.Oddities {
		if err == nil {
			_, err = fmt.Fprintf(out, "    odd: %s\n", odd)
		}
	}
	return err
}

// clock writes a length in seconds as minutes, seconds and milliseconds, with hours if there are any: 1:02:03.456.
func clock(seconds float64) string {
	d := time.Duration(seconds*1000+0.5) * time.Millisecond
	h, m, s, ms := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60, d.Milliseconds()%1000
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d.%03d", h, m, s, ms)
	}
	return fmt.Sprintf("%d:%02d.%03d", m, s, ms)
}
