//go:build unix

package files_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vqaudio/vqaudio/files"
)

// TestCreateSparesDevices: what is no file keeps its place.
func TestCreateSparesDevices(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := files.Write(name, []byte("text")); err == nil {
		t.Error("a pipe was written")
	}
	if info, err := os.Lstat(name); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe has become %v, %v", info, err)
	}
	alone(t, name)
}
