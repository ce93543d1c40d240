package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

func corpusPrepareCommand() *cli.Command {
	return &cli.Command{Name: "prepare", Action: func(*cli.Context) error { return errors.New("not built yet") }}
}
