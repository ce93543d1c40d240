package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/train"
)

// builtIn is the name of the built-in model where a flag names a model.
const builtIn = "built-in"

// modelFirst splits the arguments of a command into the model, or the prior, that they may begin with, and the rest. The name is
// empty, which is that of the built-in one, if the first argument is something else.
func modelFirst(c *cli.Context) (model string, rest []string) {
	args := c.Args().Slice()
	if len(args) > 0 && namesModel(args[0]) {
		return args[0], args[1:]
	}
	return "", args
}

// modelAndOne is modelFirst for a command that takes one more argument, units say, and -o.
func modelAndOne(c *cli.Context, what, example string) (model, input string, err error) {
	model, rest := modelFirst(c)
	switch {
	case len(rest) == 0 || c.String("output") == "":
		return "", "", &usageError{fmt.Errorf("want %s, and -o", what), example}
	case len(rest) > 1 && model == "":
		return "", "", &usageError{fmt.Errorf("%s is neither a safetensors file nor the folder of a training, and %s is one argument", rest[0], what), example}
	case len(rest) > 1:
		return "", "", &usageError{fmt.Errorf("%q is one argument too many", rest[1]), example}
	}
	return model, rest[0], nil
}

// namesModel reports whether a name is that of a model or a prior: a safetensors file, by its bytes or its name, or the folder of a
// training.
func namesModel(name string) bool {
	if isFolder(name) {
		for _, file := range []string{train.ConfigName, train.BestName} {
			if _, err := os.Stat(filepath.Join(name, file)); err == nil {
				return true
			}
		}
		return false
	}
	if filepath.Ext(name) == ".safetensors" {
		return true
	}
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() { // a pipe can be read once
		return false
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var start [9]byte // the length of the header, below 2^24, and its first byte
	_, err = f.Read(start[:])
	return err == nil && bytes.Equal(start[3:], []byte("\x00\x00\x00\x00\x00{"))
}
