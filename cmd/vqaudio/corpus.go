package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func corpusCommand() *cli.Command {
	return &cli.Command{
		Name:  "corpus",
		Usage: "list the recordings of a corpus, and prepare them for training",
		Description: "First scan, then prepare:\n\n" +
			"   vqaudio corpus scan VCTK/ -o vctk.tsv           what is there, what is wrong with it; writes the manifest\n" +
			"   vqaudio corpus prepare vctk.tsv -o vctk.cache   decodes, resamples and normalises all of it, once",
		Subcommands: []*cli.Command{corpusScanCommand(), corpusPrepareCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("%q is not a command of vqaudio corpus", c.Args().First()), "vqaudio corpus --help lists them"}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}
