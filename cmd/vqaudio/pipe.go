package main

import (
	"context"
	"io"
	"os"
)

// pipe is standard input, or a pipe or device, in which nothing may ever come. Once ctx is cancelled a read comes back with
// its error.
type pipe struct {
	ctx    context.Context
	in     io.Reader
	buffer []byte // of the read that goes on
	got    []byte // what came, and has not been handed on
	end    error  // what came behind it
}

// pipeBuffer is what is read at a time, at most.
const pipeBuffer = 1 << 16

// openPipe opens name if it is "-" or neither a file nor a folder. Nil is for all others. It stays open until the program ends.
func openPipe(ctx context.Context, name string) (io.Reader, error) {
	if name == "-" {
		return &pipe{ctx: ctx, in: os.Stdin}, nil
	}
	if !isPipe(name) {
		return nil, nil
	}
	var f *os.File
	var err error
	if stopped := wait(ctx, func() { f, err = os.Open(name) }); stopped != nil { // for somebody who writes to it
		return nil, stopped
	}
	if err != nil {
		return nil, err
	}
	return &pipe{ctx: ctx, in: f}, nil
}

// isPipe says whether name is neither a file nor a folder, but something else.
func isPipe(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir() && !info.Mode().IsRegular()
}

func (p *pipe) Read(block []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p.got) == 0 && p.end == nil {
		if p.buffer == nil {
			p.buffer = make([]byte, pipeBuffer)
		}
		var n int
		var err error
		if stopped := wait(p.ctx, func() { n, err = p.in.Read(p.buffer) }); stopped != nil {
			return 0, stopped
		}
		p.got, p.end = p.buffer[:n], err
	}
	n := copy(block, p.got)
	if p.got = p.got[n:]; len(p.got) > 0 {
		return n, nil
	}
	return n, p.end
}

// wait waits until do is done, or else returns the error of ctx; then what do sets must not be looked at any more.
func wait(ctx context.Context, do func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
