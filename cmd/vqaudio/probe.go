package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

func probeCommand() *cli.Command {
	return &cli.Command{Name: "probe", Action: func(*cli.Context) error { return errors.New("not built yet") }}
}
