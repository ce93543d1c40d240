package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

func corpusScanCommand() *cli.Command {
	return &cli.Command{Name: "scan", Action: func(*cli.Context) error { return errors.New("not built yet") }}
}
