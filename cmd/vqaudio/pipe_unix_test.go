//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// TestPipeInterrupted: a command that waits for a pipe ends when it is interrupted, and leaves nothing behind; be it standard
// input to which nobody writes, or a pipe that nobody opens.
func TestPipeInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer func(f *os.File) { os.Stdin = f }(os.Stdin)
	os.Stdin = r
	before, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"encode model.safetensors IN -o out",
		"convert model.safetensors IN --to ann -o out",
		"decode model.safetensors IN --speaker ann -o out",
		"units convert IN --to tsv -o out",
	} {
		for _, in := range []string{"-", "pipe"} {
			ctx, cancel := context.WithCancel(context.Background())
			timer := time.AfterFunc(50*time.Millisecond, cancel)
			line := strings.Replace(line, "IN", in, 1)
			if _, stderr, code := runCommand(ctx, line); code != exitInterrupted {
				t.Errorf("%s: exit code %d, %s", line, code, stderr)
			}
			timer.Stop()
			cancel()
			if after, err := os.ReadDir("."); err != nil || len(after) != len(before) {
				t.Errorf("%s leaves %v, %v", line, after, err)
			}
		}
	}
}

// TestConvertNamedPipe: a pipe is read once.
func TestConvertNamedPipe(t *testing.T) {
	t.Chdir(t.TempDir())
	saveVoices(t, ".")
	saveSound(t, "in/a.wav", 5000)
	if err := syscall.Mkfifo("a.wav", 0o600); err != nil {
		t.Fatal(err)
	}
	sound := readFile(t, filepath.Join("in", "a.wav"))
	go os.WriteFile("a.wav", sound, 0)
	mustRun(t, "convert model.safetensors a.wav --to ann -o out.wav")
	mustRun(t, "convert model.safetensors in/a.wav --to ann -o want.wav")
	if !bytes.Equal(readFile(t, "out.wav"), readFile(t, "want.wav")) {
		t.Error("a pipe is converted otherwise than a file")
	}
}

// TestPipe reads what there is, in pieces of any size.
func TestPipe(t *testing.T) {
	data := bytes.Repeat([]byte("sound "), 3*pipeBuffer/6)
	for _, in := range []io.Reader{bytes.NewReader(data), iotest.DataErrReader(bytes.NewReader(data)), iotest.HalfReader(bytes.NewReader(data))} {
		if err := iotest.TestReader(&pipe{ctx: t.Context(), in: in}, data); err != nil {
			t.Error(err)
		}
	}
}
