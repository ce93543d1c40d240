package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

func plotCommand() *cli.Command {
	return &cli.Command{Name: "plot", Action: func(*cli.Context) error { return errors.New("not built yet") }}
}
