package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/corpora"
)

func corpusPrepareCommand() *cli.Command {
	usual := corpora.DefaultSettings()
	return &cli.Command{
		Name:      "prepare",
		Usage:     "decode, resample and normalise a corpus, once",
		ArgsUsage: "MANIFEST",
		Description: "Makes a cache, a folder that training maps into memory, of what a manifest lists. Interrupted by whatever, it\n" +
			"goes on where it stopped when the same command is run again. A file that cannot be read, or holds no sound, is\n" +
			"reported, listed in CACHE/skipped.tsv, and left out; then the exit code is 1.\n\n" +
			"   vqaudio corpus prepare vctk.tsv -o vctk.cache                  16 kHz, each speaker at -26 dBFS\n" +
			"   vqaudio corpus prepare vctk.tsv -o c --rate 22050 --trim 0     another rate, silence at the ends left there\n" +
			"   vqaudio corpus prepare calls.tsv -o c --channel 1 --level file the first channel, each file at that level",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "make the cache in the folder `CACHE`"},
			&cli.IntFlag{Name: "rate", Value: usual.Rate, Usage: "resample to `HZ`"},
			&cli.StringFlag{Name: "channel", Value: "mix", Usage: "take channel `N`, from 1; mix takes the mean of all"},
			&cli.Float64Flag{Name: "trim", Value: usual.Trim, Usage: "cut off both ends what is `DB` below the loud parts; 0 cuts nothing"},
			&cli.StringFlag{Name: "level", Value: string(usual.Level), Usage: "bring each `WHAT` to the target: speaker, file, or none"},
			&cli.Float64Flag{Name: "target", Value: usual.Target, Usage: "RMS in `DBFS`; less where samples would clip"},
			&cli.IntFlag{Name: "threads", Usage: "work on `N` threads; the cache is the same with any number", DefaultText: "all cores"},
		},
		Action: runCorpusPrepare,
	}
}

func runCorpusPrepare(c *cli.Context) error {
	const example = "vqaudio corpus prepare corpus.tsv -o corpus.cache"
	out := c.String("output")
	if c.NArg() != 1 || out == "" {
		return &usageError{errors.New("want one manifest, and -o with the folder of the cache"), example}
	}
	settings := corpora.CacheSettings{
		Rate: c.Int("rate"), Trim: c.Float64("trim"), Level: corpora.Level(c.String("level")), Target: c.Float64("target"),
	}
	if channel := c.String("channel"); channel != "mix" {
		if _, err := fmt.Sscanf(channel+"\n", "%d\n", &settings.Channel); err != nil || settings.Channel < 1 {
			return &usageError{fmt.Errorf("--channel %q: want mix, or a number from 1", channel), example + " --channel 1"}
		}
	}
	if err := settings.Check(); err != nil {
		return &usageError{fmt.Errorf("--%w", err), "vqaudio corpus prepare --help lists the flags"}
	}
	threads := c.Int("threads")
	if threads < 0 || threads > 1024 {
		return &usageError{fmt.Errorf("--threads %d: want 1 to 1024, or 0 for all cores", threads), example + " --threads 2"}
	}
	m, err := corpora.ReadManifest(c.Args().First())
	if err != nil {
		return err
	}

	var p *progressBar
	report, err := corpora.Prepare(c.Context, m, out, settings, corpora.PrepareOptions{
		Threads: threads,
		Started: func(done, all int) {
			p = newProgress(c.App.ErrWriter, "preparing", "files", int64(all-done))
			if done > 0 {
				p.Note("going on after %d of %d files", done, all)
			}
		},
		Finished: func(i int, skipped error) {
			if skipped != nil {
				p.Note("skipped: %s", describeSkipped(m.File(i), skipped))
			}
			p.Add(1)
		},
	})
	if p != nil {
		p.Done()
	}
	if err != nil {
		return err
	}
	already := ""
	if report.Already {
		already = "was there already, whole: "
	}
	seconds := float64(report.Samples) / float64(settings.Rate)
	fmt.Fprintf(c.App.Writer, "%s: %s%s, %.2f hours, %s, %.1f MB\n", out, already,
		count(report.Utterances, "utterance"), seconds/3600, count(report.Speakers, "speaker"), float64(report.Samples)*2e-6)
	if report.Quieter > 0 {
		fmt.Fprintf(c.App.Writer, "%s below %v dBFS: peaks would clip\n", count(report.Quieter, string(settings.Level)), settings.Target)
	}
	if report.Skipped > 0 {
		return fmt.Errorf("%d of %d files were skipped: see %s/skipped.tsv", report.Skipped, len(m.Utterances), out)
	}
	return nil
}

// describeSkipped is the error with the file, which most errors name themselves.
func describeSkipped(name string, err error) string {
	if text := err.Error(); strings.Contains(text, name) {
		return text
	}
	return name + ": " + err.Error()
}
