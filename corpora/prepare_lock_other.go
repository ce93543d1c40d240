//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package corpora

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// lockFolder locks the folder dir against other programs, until unlock is called. If another has locked it, the error is
// [ErrBusy].
func lockFolder(dir string) (unlock func(), err error) {
	name := filepath.Join(dir, lockName)
	// Windows refuses to delete a file that another program has open: what can be deleted was left by one that was killed.
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ErrBusy
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrBusy
	} else if err != nil {
		return nil, err
	}
	return func() {
		f.Close()
		os.Remove(name)
	}, nil
}
