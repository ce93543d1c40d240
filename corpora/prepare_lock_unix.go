//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package corpora

import (
	"errors"
	"os"
	"syscall"
)

// lockFolder locks the folder dir against other programs, until unlock is called or the program ends. If another has
// locked it, the error is [ErrBusy]. Where the file system knows no locks, there is none.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, ErrBusy
	}
	return func() { f.Close() }, nil
}
