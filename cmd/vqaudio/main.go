// Command vqaudio learns discrete units of speech, and speaks with them. See "vqaudio --help".
//
// Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	log.SetOutput(io.Discard) // nothing here logs, but the decoder of FLAC does, a line for each frame at some rates
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// newApp returns the command line.
func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:  "vqaudio",
		Usage: "discrete units of speech, learnt on ordinary processors",
		Description: "vqaudio learns discrete units of speech from recordings alone (a VQ-VAE with a WaveNet decoder), turns\n" +
			"recordings into units, units into sound, and one voice into another, in plain Go and Go assembly.\n\n" +
			"Begin, with the model that is part of this program:\n" +
			"   vqaudio demo                                        a page to look at and listen to\n" +
			"   vqaudio voices                                      its voices, with a sample of each\n" +
			"   vqaudio convert me.wav --to so762-0563 -o out.wav   what a recording says, in another voice\n" +
			"   vqaudio encode me.wav -o units.jsonl                its units\n" +
			"   vqaudio generate --speaker so762-0563 -o new.wav    speech that nobody has spoken\n\n" +
			"Learn from recordings:\n" +
			"   vqaudio corpus scan VCTK/ -o vctk.tsv               what is in this corpus, and what is wrong with it?\n" +
			"   vqaudio corpus prepare vctk.tsv -o vctk.cache       decode, resample and normalise it, once\n" +
			"   vqaudio train vqvae --corpus vctk.cache --preset base --out run/\n" +
			"   vqaudio evaluate nll run/ --corpus vctk.cache       does the decoder use its codes?\n" +
			"   vqaudio info run/                                   what is this model?\n" +
			"   vqaudio train prior --model run/ --corpus vctk.cache --out prior/       what follows what in its codes?\n" +
			"   vqaudio train vqvae --corpus cifar-10/ --preset image --out pictures/   the same of pictures\n\n" +
			"Use what was learnt: a model of your own comes first, then the recordings:\n" +
			"   vqaudio encode run/ speech/ -o units.txt            recordings to units\n" +
			"   vqaudio decode run/ units.txt --speaker p225 -o spoken/\n" +
			"   vqaudio convert run/ in.wav --to p225 -o out.wav    the same words in another voice\n" +
			"   vqaudio compress prior/ units.txt -o units.vqu      units in few bytes\n\n" +
			"Look at recordings, and at this machine:\n" +
			"   vqaudio probe speech.wav\n" +
			"   vqaudio plot speech.wav\n" +
			"   vqaudio bench\n\n" +
			"More about a command: vqaudio help train vqvae\n\n" +
			"Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted.",
		Version: version(),

		Commands: []*cli.Command{
			corpusCommand(), estimateCommand(), trainCommand(), experimentCommand(), evaluateCommand(), infoCommand(), exportCommand(), encodeCommand(), unitsCommand(),
			decodeCommand(), convertCommand(), generateCommand(), demoCommand(), voicesCommand(), compressCommand(), decompressCommand(), speakerCommand(), probeCommand(), plotCommand(), benchCommand(), manCommand(), completionCommand(),
		},
		HideVersion:    false,
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // errors come back to here
		OnUsageError:   onUsageError,

		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // a value may hold commas: --set strides=[2,2]
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{
					fmt.Errorf("%q is not a command of vqaudio", c.Args().First()), "vqaudio --help lists the commands",
				}
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		for _, sub := range c.Subcommands {
			sub.OnUsageError = onUsageError
		}
	}
	return app
}

// run runs the command line args, the program's name first, and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cli.VersionPrinter = func(c *cli.Context) { fmt.Fprintln(c.App.Writer, version()) }
	app := newApp(stdout, stderr)
	if len(args) > 3 && args[1] == "help" { // the library knows "help corpus", not "help corpus scan"
		args = slices.Concat(args[:1], args[2:], []string{"--help"})
	}
	if !completing(args) {
		args = flagsFirst(app, args)
	}
	err := app.RunContext(ctx, args)
	var usage *usageError
	var exit cli.ExitCoder
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "vqaudio: interrupted")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "vqaudio: %v\nhint: %s\n", err, usage.hint)
		return exitUsage
	case errors.As(err, &exit): // help for what does not exist
		fmt.Fprintf(stderr, "vqaudio: %v\nhint: vqaudio --help lists the commands\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "vqaudio: %v\n", err)
	return exitFailure
}

// usageError is a command line that means nothing, with a hint at what would.
type usageError struct {
	error
	hint string
}

func (e *usageError) Unwrap() error { return e.error }

func onUsageError(c *cli.Context, err error, _ bool) error {
	return &usageError{err, c.Command.HelpName + " --help lists the flags"}
}

// flagsFirst moves the flags of a command in front of its arguments, where the flag package looks for them, so that
// "bench conv --json" is "bench --json conv". What follows "--" is no flag.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 || app.Command(args[1]) == nil {
		return args
	}
	command, first := app.Command(args[1]), 2
	for _, sub := range command.Subcommands {
		if len(args) > 2 && sub.HasName(args[2]) {
			command, first = sub, 3
			break
		}
	}
	takesValue := func(name string) bool {
		for _, f := range command.Flags {
			if _, isSwitch := f.(*cli.BoolFlag); !isSwitch && slices.Contains(f.Names(), name) {
				return true
			}
		}
		return false
	}
	var flags, rest []string
	for i := first; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rest = slices.Concat(args[i:i+1], rest, args[i+1:])
			break
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			rest = append(rest, a)
			continue
		}
		flags = append(flags, a)
		if takesValue(strings.TrimLeft(a, "-")) && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return slices.Concat(args[:first], flags, rest)
}

// version names the version of the module that the program was built from, the Go that built it, and what for.
func version() string {
	module := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		module = info.Main.Version
	}
	return fmt.Sprintf("vqaudio %s %s %s/%s", module, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
