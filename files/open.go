package files

import (
	"errors"
	"io/fs"
	"os"
)

// Regular returns an error, a [*fs.PathError], unless name is a regular file or a link to one. A pipe or a device, which
// would be waited for, is none.
func Regular(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a file")}
	}
	return err
}

// Open opens a regular file for reading: see [Regular].
func Open(name string) (*os.File, error) {
	if err := Regular(name); err != nil {
		return nil, err
	}
	return os.Open(name)
}
