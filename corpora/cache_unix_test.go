//go:build unix

package corpora

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOpenCachePipe: a pipe in the place of a file of a cache is refused, and not waited for.
func TestOpenCachePipe(t *testing.T) {
	dir := tiny(t)
	for name, data := range contents(t, dir) {
		file := filepath.Join(dir, name)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCache(dir); err == nil {
			t.Errorf("%s is a pipe, and the cache is opened", name)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		plantFile(t, dir, name, []byte(data))
	}
	open(t, dir)
}
